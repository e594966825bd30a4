#include "linear_kernels.h"
#include "machine_kernels.h"

static _Thread_local volatile float sink;

static void multiply_add(int64_t iterations)
{
    const float factor = 0.75f + 0 * sink;
    float sums[FFAI__PEAK_CHAINS];
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sums[i] = (float)i;
    for (int64_t n = 0; n < iterations * FFAI__PEAK_REPEATS; n++) {
        UNROLL
        for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
            sums[i] = sums[i] * factor + factor;
    }
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sink = sink + sums[i];
}

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
