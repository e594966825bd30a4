/* Template: a multiply-add instruction repeated on registers. A tier includes it after
 *   peak_sum, peak_factor                  the registers
 *   peak_factor_of(float zero)             what is multiplied; zero is 0, which the compiler does not know
 *   peak_begin(int i), peak_step(sum, factor), peak_value(sum)     the i-th sum; the instruction; a float of it */
#ifndef FFAI_CPU_MACHINE_TEMPLATE_H
#define FFAI_CPU_MACHINE_TEMPLATE_H

#include "machine_kernels.h"

static _Thread_local volatile float sink;

static void multiply_add(int64_t iterations)
{
    const peak_factor factor = peak_factor_of(0 * sink);
    peak_sum sums[FFAI__PEAK_CHAINS];
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sums[i] = peak_begin(i);
    for (int64_t n = 0; n < iterations * FFAI__PEAK_REPEATS; n++) {
        UNROLL
        for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
            sums[i] = peak_step(sums[i], factor);
    }
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sink = sink + peak_value(sums[i]);
}

#endif
