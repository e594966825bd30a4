/* What tests ask of the stub driver: a libcuda.so.1 that plays devices which are not there, with the host's memory for
 * theirs, and kernels over the model in tests/cuda_model. Work is done when it is submitted. Any thread may call it.
 *
 * Set from outside, for programs that are tested from outside:
 *     FFAI_STUB_DEVICES    how many devices there are, at most 4; none: 2
 *     FFAI_STUB_COMPUTE    their compute capability, times ten; none: 90
 *     FFAI_STUB_MEMORY     bytes of each; none: 1 GiB for the first, 2 GiB for the second, of which 768 MiB are free
 *     FFAI_STUB_FAIL       the name of a function that fails
 *     FFAI_STUB_FAIL_AT    n: the n-th call of any function fails, counted from 1
 *     FFAI_STUB_RESULT     with which result these fail; none: 999
 *     FFAI_STUB_FAIL_WAIT  a wait for a stream or an event finds that a kernel has failed: 700, and so does what
 * follows
 *
 * A kernel's fault is printed to stderr with its reason. As on a device, the next calls then give 719; those that give
 * something back do so all the same. */
#ifndef CUDA_STUB_STUB_H
#define CUDA_STUB_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STUB_EXPORT __attribute__((visibility("default")))

/* Everything as at the start but what is open: counts are 0, nothing fails, no kernel has failed. */
STUB_EXPORT void stub_reset(void);

/* Calls since then, of one function by its symbol or of all. */
STUB_EXPORT uint64_t stub_calls(const char *function);
STUB_EXPORT uint64_t stub_all_calls(void);

/* Of these, the ones that gave a stream something to do, outside a capture: launches of graphs and kernels, copies,
 * fills. */
STUB_EXPORT uint64_t stub_submissions(void);

/* This function fails from now on, NULL: none does; or one call alone, the n-th from now, counted from 1, 0: none. */
STUB_EXPORT void stub_fail(const char *function, int result);
STUB_EXPORT void stub_fail_at(uint64_t n, int result);

/* The function that failed last because it was told to; NULL: none did. */
STUB_EXPORT const char *stub_failed(void);

/* The next wait finds that a kernel has failed. */
STUB_EXPORT void stub_fail_wait(void);

/* What has not been given back: contexts retained, contexts pushed, bytes of device memory and of pinned memory, and
 * streams, events, graphs, instances of graphs and modules together. */
STUB_EXPORT int stub_open_contexts(void);
STUB_EXPORT int stub_pushed_contexts(void);
STUB_EXPORT size_t stub_device_bytes(void);
STUB_EXPORT size_t stub_pinned_bytes(void);
STUB_EXPORT int stub_open_objects(void);

#endif
