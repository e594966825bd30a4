/* Template: input rows as bf16, rounded or in two parts. Needs lanes_f with f_load, f_round_bf16 (the nearest bf16 as
 * float32, ties to even), f_less (a - b; zero where that is not finite) and f_store_bf16 (of float32 that are bf16). */
#ifndef FFAI_LINEAR_PREPARE_BF16_H
#define FFAI_LINEAR_PREPARE_BF16_H

#include "linear_kernels.h"

/* 16 columns at x into one part or two. */
FFAI__ALWAYS_INLINE void prepare_bf16_lanes(uint8_t *out, const float *x, int parts)
{
    const lanes_f value = f_load(x);
    const lanes_f rounded = f_round_bf16(value);
    f_store_bf16(out, rounded);
    if (parts == 2)
        f_store_bf16(out + 64, f_round_bf16(f_less(value, rounded)));
}

FFAI__ALWAYS_INLINE void prepare_bf16(void *prepared, const float *x, const ffai__linear_input *input, int parts)
{
    uint8_t *out = prepared;
    const int64_t spans = ffai__spans(input->columns);
    for (int64_t s = 0; s < spans; s++, out += 64 * parts) {
        float padded[FFAI__SPAN_COLUMNS] = {0};
        const float *from = x + s * FFAI__SPAN_COLUMNS;
        const int64_t left = input->columns - s * FFAI__SPAN_COLUMNS;
        if (left < FFAI__SPAN_COLUMNS) {
            memcpy(padded, from, (size_t)left * sizeof *x);
            from = padded;
        }
        prepare_bf16_lanes(out, from, parts);
        prepare_bf16_lanes(out + 32, from + FFAI__TILE_ROWS, parts);
    }
}

#endif
