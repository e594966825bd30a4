/* Operands of a job for the benchmarks: a few rows of floats, or whatever a file hangs on it. */
#ifndef FFAI_TESTS_CHECKOP_TIMED_H
#define FFAI_TESTS_CHECKOP_TIMED_H

#include "checkop.h"

enum { TIMED_OPERANDS = 4 };

typedef struct timed {
    const checkop_tier *tier;
    int64_t n;
    float *y;
    float *x[TIMED_OPERANDS];
    int variant;
} timed;

/* y and `operands` rows x of n floats about normal; the job's name from the format. Bytes and flops are left. */
void timed_open(checkop_job *job, const checkop_tier *tier, void (*run)(void *context), int64_t n, int operands,
                const char *format, ...) __attribute__((format(printf, 6, 7)));

#endif
