#include "linear_kernels.h"

typedef float peak_sum;
typedef float peak_factor;

FFAI__ALWAYS_INLINE peak_factor peak_factor_of(float zero)
{
    return 0.75f + zero;
}

FFAI__ALWAYS_INLINE peak_sum peak_begin(int i)
{
    return (float)i;
}

FFAI__ALWAYS_INLINE peak_sum peak_step(peak_sum sum, peak_factor factor)
{
    return sum * factor + factor;
}

FFAI__ALWAYS_INLINE float peak_value(peak_sum sum)
{
    return sum;
}

#include "machine_template.h"

const ffai__peak ffai__peak_scalar = {"float multiply, add", 2.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS, multiply_add};

uint64_t ffai__read_scalar(const uint8_t *bytes, size_t n)
{
    enum { WORDS = 8 };
    const uint64_t *words = (const uint64_t *)(const void *)bytes;
    uint64_t sums[WORDS] = {0};
    for (size_t i = 0; i < n / sizeof *words; i += WORDS) {
        UNROLL
        for (size_t k = 0; k < WORDS; k++)
            sums[k] += words[i + k];
    }
    uint64_t sum = 0;
    for (size_t k = 0; k < WORDS; k++)
        sum += sums[k];
    return sum;
}
