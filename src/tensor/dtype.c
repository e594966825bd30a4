#include "dtype.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[FFAI__DTYPE_COUNT] = {
#define FFAI__DTYPE_ROW(name, bytes) {#name, bytes},
    FFAI__DTYPE_LIST(FFAI__DTYPE_ROW)
#undef FFAI__DTYPE_ROW
};

const char *ffai__dtype_name(ffai__dtype dtype)
{
    return dtypes[dtype].name;
}

size_t ffai__dtype_size(ffai__dtype dtype)
{
    return dtypes[dtype].size;
}

bool ffai__dtype_find(ffai__dtype *dtype, const char *name, size_t length)
{
    for (int i = 0; i < FFAI__DTYPE_COUNT; i++) {
        if (strlen(dtypes[i].name) == length && memcmp(dtypes[i].name, name, length) == 0) {
            *dtype = (ffai__dtype)i;
            return true;
        }
    }
    return false;
}

bool ffai__dtype_is_float(ffai__dtype dtype)
{
    return dtype == FFAI__F32 || dtype == FFAI__F16 || dtype == FFAI__BF16;
}

uint16_t ffai__f32_to_f16(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    bits &= 0x7FFFFFFFu;
    if (bits > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u | ((bits >> 13) & 0x3FFu));
    if (bits >= 0x477FF000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7C00u);
    if (bits < 0x38800000u) {
        /* Subnormal: adding 2^-1 aligns the last kept bit with float32's, so the addition rounds. */
        float magnitude = 0;
        memcpy(&magnitude, &bits, sizeof magnitude);
        magnitude += 0.5f;
        memcpy(&bits, &magnitude, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3F000000u));
    }
    const uint32_t rounded = bits + 0xFFFu + ((bits >> 13) & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

/* Blocks of a known length become vectors. */
static inline __attribute__((always_inline)) void widen(float *restrict out, const unsigned char *restrict bytes,
                                                        size_t count, float (*to_f32)(uint16_t half))
{
    enum { BLOCK = 16 };
    uint16_t halves[BLOCK] = {0};
    for (; count >= BLOCK; count -= BLOCK, out += BLOCK, bytes += sizeof halves) {
        memcpy(halves, bytes, sizeof halves);
        for (size_t i = 0; i < BLOCK; i++)
            out[i] = to_f32(halves[i]);
    }
    memcpy(halves, bytes, count * sizeof *halves);
    for (size_t i = 0; i < count; i++)
        out[i] = to_f32(halves[i]);
}

static void narrow_f64(float *out, const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double value = 0;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        out[i] = (float)value;
    }
}

void ffai__to_f32(float *out, const void *data, ffai__dtype dtype, size_t count)
{
    if (dtype == FFAI__F32)
        memcpy(out, data, count * sizeof *out);
    else if (dtype == FFAI__F64)
        narrow_f64(out, data, count);
    else if (dtype == FFAI__BF16)
        widen(out, data, count, ffai__bf16_to_f32);
    else
        widen(out, data, count, ffai__f16_to_f32);
}

void ffai__from_f32(void *out, ffai__dtype dtype, const float *values, size_t count)
{
    unsigned char *bytes = out;
    if (dtype == FFAI__F32) {
        memcpy(out, values, count * sizeof *values);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint16_t half = dtype == FFAI__BF16 ? ffai__f32_to_bf16(values[i]) : ffai__f32_to_f16(values[i]);
        memcpy(bytes + i * sizeof half, &half, sizeof half);
    }
}
