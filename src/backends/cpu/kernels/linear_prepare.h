/* Template: input rows as fixed point. A tier includes it after
 *   uint32_t fixed_magnitude(const float *x, int count)   the largest |x| as its bits; a NaN is larger than all
 *   int32_t fixed_convert(uint8_t *out, const float *x, int64_t column, int count, float factor)
 *           write round(x * factor) for columns column .. column + count of the row at x, and give their sum */
#ifndef FFAI_LINEAR_PREPARE_H
#define FFAI_LINEAR_PREPARE_H

#include "linear_kernels.h"

#include <math.h>

FFAI__ALWAYS_INLINE void prepare_fixed(void *prepared, const float *x, const ffai__linear_input *input)
{
    const float least = 0x1p-100f; /* below, steps would be denormal: such a group counts as zero */
    const int64_t bytes = ffai__fixed_bytes(input->columns);
    uint8_t *out = prepared;
    ffai__fixed_group *groups = (ffai__fixed_group *)(void *)(out + bytes);
    if (input->columns % (2 * FFAI__SPAN_COLUMNS))
        memset(out + bytes - 128, 0, 128);
    for (int64_t column = 0; column < input->columns; column += input->group_size) {
        const uint32_t bits = fixed_magnitude(x + column, input->group_size);
        float most = 0;
        memcpy(&most, &bits, sizeof most);
        const bool finite = bits < 0x7F800000u;
        /* NaN for the step makes the row's outputs NaN; the integers are zero then. */
        ffai__fixed_group group = {finite ? 0.0f : NAN, finite ? 0.0f : NAN, 0, 0};
        float factor = 0;
        if (finite && most >= least) {
            factor = (float)FFAI__FIXED_MOST / most;
            group.step = most / (float)FFAI__FIXED_MOST;
        }
        group.integer_sum = fixed_convert(out, x, column, input->group_size, factor);
        if (finite)
            group.sum = group.step * (float)group.integer_sum;
        *groups++ = group;
    }
}

#endif
