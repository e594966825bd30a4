/* Stacks to run on by turns, within one thread of the system. */
#ifndef CUDA_MODEL_FIBERS_H
#define CUDA_MODEL_FIBERS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fiber {
    void *stack_pointer; /* while another one runs */
    void *stack;         /* lowest address; NULL: none yet */
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's */
} fiber;

enum { FIBER_STACK_BYTES = 256 << 10 }; /* touched as far as a kernel needs it */

/* A stack of its own, below it a page that may not be touched. On the first switch to it start() is called, which must
 * not return. False: no memory. `index` spreads stacks over the sets of the caches. */
bool fiber_create(fiber *created, unsigned index, void (*start)(void));

/* Forgets where it was: the next switch to it calls start() again. */
void fiber_restart(fiber *restarted, unsigned index, void (*start)(void));

/* Goes on at `to`, and returns when somebody switches to `from`. */
void fiber_switch(fiber *from, fiber *to);

/* To be called first in start(). */
void fiber_arrived(void);

#endif
