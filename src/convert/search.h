/* Affine groups that are closer to their values than MLX's rounding, in the same format. */
#ifndef FFAI_CONVERT_SEARCH_H
#define FFAI_CONVERT_SEARCH_H

#include "dtype.h"

/* The same as ffai__round_row, but scale and bias of a group are searched: of several ranges narrower than that of the
 * values, each fitted by weighted least squares to the codes that it gives, the one with the least
 * sum of weights[c] (w[c] - (scale q[c] + bias))^2, which is at most that of MLX's rounding. Codes are those of scales
 * and biases as scale_dtype holds them, which is what comes out.
 *
 * weights  [columns], not negative; NULL: all the same */
bool ffai__search_row(uint8_t *codes, float *scales, float *biases, const float *values, const float *weights,
                      int64_t columns, int bits, int group_size, ffai__dtype scale_dtype);

#endif
