/* swapcontext asks the kernel for the signal mask at every switch; these few instructions do not. */
#define _GNU_SOURCE
#include "fibers.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

/* Saves what a function must keep, leaves the stack's place in *from, and goes on where `to` was left. */
void cuda_model_switch(void **from, void *to) __attribute__((visibility("hidden")));

#if defined(__x86_64__)
enum { SAVED_WORDS = 6 };
__asm__(".text\n"
        ".globl cuda_model_switch\n"
        ".hidden cuda_model_switch\n"
        ".type cuda_model_switch, @function\n"
        "cuda_model_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    popq %rdx\n" /* not ret: where it goes is another place than the call came from, which is mispredicted */
        "    jmp *%rdx\n"
        ".size cuda_model_switch, . - cuda_model_switch\n");

/* As if cuda_model_switch had been called by nobody: saved registers, where to go on, a return address that is none. */
static void *first_frame(char *top, void (*start)(void))
{
    void *frame[SAVED_WORDS + 2] = {0};
    memcpy(&frame[SAVED_WORDS], &start, sizeof start);
    char *place = top - sizeof frame; /* top is a multiple of 16, and so is what the ABI wants in front of a call */
    memcpy(place, frame, sizeof frame);
    return place;
}
#elif defined(__aarch64__)
enum { SAVED_WORDS = 20, LINK_WORD = 11 };
__asm__(".text\n"
        ".globl cuda_model_switch\n"
        ".hidden cuda_model_switch\n"
        ".type cuda_model_switch, %function\n"
        "cuda_model_switch:\n"
        "    stp x19, x20, [sp, #-160]!\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    ldp x19, x20, [sp], #160\n"
        "    br x30\n"
        ".size cuda_model_switch, . - cuda_model_switch\n");

static void *first_frame(char *top, void (*start)(void))
{
    void *frame[SAVED_WORDS] = {0};
    memcpy(&frame[LINK_WORD], &start, sizeof start);
    char *place = top - sizeof frame;
    memcpy(place, frame, sizeof frame);
    return place;
}
#else
#error "fibers are written for x86-64 and 64-bit ARM"
#endif

static fiber *left; /* the one that ran before */
static fiber *running;

bool fiber_create(fiber *created, unsigned index, void (*start)(void))
{
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, guard + FIBER_STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    mprotect(memory, guard, PROT_NONE);
    *created = (fiber){.stack = memory + guard, .stack_bytes = FIBER_STACK_BYTES};
    fiber_restart(created, index, start);
    return true;
}

/* Stacks begin at equal places of their pages, and would all want the same few sets of the first-level cache. */
static size_t colour(unsigned index)
{
    return index * 192u % 4096u;
}

void fiber_restart(fiber *restarted, unsigned index, void (*start)(void))
{
#ifdef WITH_ASAN
    __asan_unpoison_memory_region(restarted->stack, restarted->stack_bytes); /* frames that were given up */
#endif
    restarted->stack_pointer = first_frame((char *)restarted->stack + restarted->stack_bytes - colour(index), start);
    restarted->fake_stack = NULL;
}

void fiber_arrived(void)
{
#ifdef WITH_ASAN
    const void *bottom = NULL;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(running->fake_stack, &bottom, &bytes);
    memcpy(&left->stack, &bottom, sizeof bottom); /* news for the thread's own stack alone */
    left->stack_bytes = bytes;
#endif
}

void fiber_switch(fiber *from, fiber *to)
{
    left = from;
    running = to;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
    cuda_model_switch(&from->stack_pointer, to->stack_pointer);
    fiber_arrived();
}
