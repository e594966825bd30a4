/* Rows of numbers rounded to affine groups. What is here computes; what is written where is repack.h's. */
#ifndef FFAI_CONVERT_ROUNDING_H
#define FFAI_CONVERT_ROUNDING_H

#include <stdbool.h>
#include <stdint.h>

enum { FFAI__ROUNDING_LANES = 16 }; /* divides every group size */

/* As MLX's mx.quantize does it, to the last bit: the end of a group's range that is larger in magnitude becomes its
 * bias, the scale is a fraction of that end, so that zero is a code, and both are float32 while codes are computed.
 *
 * codes   [columns]
 * scales  [columns / group_size], not yet rounded to the type that they are stored in; so too biases
 * values  [columns]; bits 1 to 8; group_size 16, 32, 64 or 128, divides columns
 * False where a value is not finite, or a group's range is not. */
bool ffai__round_row(uint8_t *codes, float *scales, float *biases, const float *values, int64_t columns, int bits,
                     int group_size);

#endif
