#include "rounding.h"

#include <math.h>
#include <string.h>

enum { LANES = FFAI__ROUNDING_LANES };

typedef struct {
    float least;
    float most;
    bool finite;
} range;

/* The least and the largest value do not depend on the order in which they are looked at: lanes are side by side. */
static range range_of(const float *values, int group_size)
{
    float least[LANES];
    float most[LANES];
    uint32_t infinite[LANES] = {0};
    memcpy(least, values, sizeof least);
    memcpy(most, values, sizeof most);
    for (int first = 0; first < group_size; first += LANES) {
        uint32_t bits[LANES];
        memcpy(bits, values + first, sizeof bits);
        for (int i = 0; i < LANES; i++) {
            const float value = values[first + i];
            least[i] = value < least[i] ? value : least[i];
            most[i] = value > most[i] ? value : most[i];
            infinite[i] |= (bits[i] & 0x7FFFFFFFu) >= 0x7F800000u;
        }
    }
    range all = {least[0], most[0], true};
    for (int i = 0; i < LANES; i++) {
        all.least = least[i] < all.least ? least[i] : all.least;
        all.most = most[i] > all.most ? most[i] : all.most;
        all.finite &= !infinite[i];
    }
    return all;
}

/* The quotient is at most twice the last code in magnitude: adding and taking away 1.5 * 2^23 rounds it to the nearest
 * integer, ties to even, and a loop of this becomes vectors on every processor. */
static void round_codes(uint8_t *restrict codes, const float *restrict values, int group_size, float scale, float bias,
                        float last)
{
    const float rounder = 0x1.8p23f;
    for (int first = 0; first < group_size; first += LANES) {
        for (int i = 0; i < LANES; i++) {
            float code = ((values[first + i] - bias) / scale + rounder) - rounder;
            code = code > 0.0f ? code : 0.0f;
            code = code < last ? code : last;
            codes[first + i] = (uint8_t)(int32_t)code;
        }
    }
}

/* mlx/backend/cpu/quantized.cpp and ops.cpp's affine_quantize, which agree. */
static bool round_group(uint8_t *codes, float *scale, float *bias, const float *values, int bits, int group_size)
{
    const float least_scale = 1e-7f;
    const float last = (float)((1 << bits) - 1);
    const range all = range_of(values, group_size);
    const bool negative = fabsf(all.least) > fabsf(all.most);
    const float width = fmaxf((all.most - all.least) / last, least_scale);
    const float edge = negative ? all.least : all.most;
    float s = negative ? width : -width;
    float b = 0;
    const float steps = rintf(edge / s);
    if (steps != 0) {
        s = edge / steps;
        b = edge;
    }
    if (!all.finite || !isfinite(s) || s == 0)
        return false;
    round_codes(codes, values, group_size, s, b, last);
    *scale = s;
    *bias = b;
    return true;
}

bool ffai__round_row(uint8_t *codes, float *scales, float *biases, const float *values, int64_t columns, int bits,
                     int group_size)
{
    bool finite = true;
    for (int64_t g = 0; g < columns / group_size && finite; g++) {
        const int64_t first = g * group_size;
        finite = round_group(codes + first, scales + g, biases + g, values + first, bits, group_size);
    }
    return finite;
}
