/* store_key, store_value. */
#include <math.h>
#include <string.h>

#include "timed.h"

static const int head_dims[] = {1, 2, 6, 8, 15, 16, 17, 33, 64, 80, 128, 250, 256};

enum { NUM_DIMS = sizeof head_dims / sizeof *head_dims, PAGE = FFAI__PAGE_TOKENS };

/* What else a head may be made of. */
enum { ANY_BITS = CHECKOP_FILLS, TIES, HEAD_FILLS };

static const ffai__kernels *kernels_of(const checkop *c)
{
    return checkop_tier_of(c)->kernels;
}

static const char *fill_name(int fill)
{
    return fill == ANY_BITS ? "any bits" : fill == TIES ? "ties" : checkop_fill_name((checkop_fill)fill);
}

static float float_of(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Between two numbers of the format, or next to there; every second one near the format's least and largest. */
static float tie(checkop *c, ffai__dtype dtype)
{
    const int kept = dtype == FFAI__F16 ? 10 : 7; /* bits of the mantissa */
    const uint32_t sign = checkop_random(c) & 0x80000000u;
    const uint32_t middle = (checkop_random(c) >> (32 - kept) << (23 - kept)) | 1u << (22 - kept);
    const int least = dtype == FFAI__F16 ? 127 - 26 : 0;
    const int most = dtype == FFAI__F16 ? 127 + 15 : 254;
    const int edge = checkop_pick(c, 0, 1) ? checkop_pick(c, least, least + 12) : checkop_pick(c, most - 1, most);
    const int exponent = checkop_pick(c, 0, 1) ? edge : checkop_pick(c, least, most);
    /* Numbers below float16's normal ones keep fewer bits. */
    const int lost = dtype == FFAI__F16 && exponent < 127 - 14 ? 127 - 14 - exponent : 0;
    const uint32_t mantissa = middle << lost & 0x7FFFFFu;
    return float_of((sign | (uint32_t)exponent << 23 | mantissa) + (uint32_t)checkop_pick(c, -1, 1));
}

static void fill_head(checkop *c, float *x, int head_dim, int fill, ffai__dtype dtype)
{
    if (fill < CHECKOP_FILLS)
        checkop_fill_floats(c, x, head_dim, (checkop_fill)fill);
    for (int i = 0; i < head_dim && fill >= CHECKOP_FILLS; i++)
        x[i] = fill == TIES ? tie(c, dtype) : float_of(checkop_random(c));
}

/* Number i of x as the format keeps it. */
static void expect_kept(checkop *c, const void *kept, const float *x, int i, ffai__dtype dtype)
{
    uint8_t expected[sizeof(float)];
    const bool beyond = dtype == FFAI__F16 && fabsf(x[i]) > FFAI__F16_MOST;
    const float within = beyond ? copysignf(FFAI__F16_MOST, x[i]) : x[i];
    ffai__from_f32(expected, dtype, &within, 1);
    if (memcmp(kept, expected, ffai__dtype_size(dtype)) == 0)
        return;
    uint32_t bits = 0, wanted = 0;
    memcpy(&bits, kept, ffai__dtype_size(dtype));
    memcpy(&wanted, expected, ffai__dtype_size(dtype));
    checkop_fail(c, "number %d, %a, is kept as %x instead of %x", i, (double)x[i], bits, wanted);
}

static void expect_canaries(checkop *c, const char *what, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != CHECKOP_CANARY) {
            checkop_fail(c, "%s: byte %zu was written", what, i);
            return;
        }
    }
}

static void key_case(checkop *c, int format, int head_dim, int fill)
{
    const ffai__dtype dtype = checkop_dtype(format);
    const size_t size = ffai__dtype_size(dtype);
    const int token = checkop_pick(c, 0, PAGE - 1);
    checkop_begin(c, "%s, head_dim %d, token %d, %s", ffai__dtype_name(dtype), head_dim, token, fill_name(fill));
    float *key = checkop_floats_in(c, head_dim);
    uint8_t *keys = checkop_output(c, size * PAGE * (size_t)head_dim, 64);
    fill_head(c, key, head_dim, fill, dtype);
    checkop_seal(c);
    kernels_of(c)->store_key[format](keys + (size_t)token * size, key, head_dim);
    for (int d = 0; d < head_dim; d++) {
        const uint8_t *row = keys + (size_t)d * PAGE * size;
        expect_kept(c, row + (size_t)token * size, key, d, dtype);
        expect_canaries(c, "earlier tokens", row, (size_t)token * size);
        expect_canaries(c, "later tokens", row + (size_t)(token + 1) * size, (size_t)(PAGE - token - 1) * size);
    }
    checkop_end(c);
}

static void value_case(checkop *c, int format, int head_dim, int fill)
{
    const ffai__dtype dtype = checkop_dtype(format);
    const size_t size = ffai__dtype_size(dtype);
    const size_t padding = (size_t)(ffai__padded_dim(head_dim) - head_dim) * size;
    static const uint8_t zeros[FFAI__DIM_MULTIPLE * sizeof(float)];
    checkop_begin(c, "%s, head_dim %d, %s", ffai__dtype_name(dtype), head_dim, fill_name(fill));
    float *x = checkop_floats_in(c, head_dim);
    uint8_t *row = checkop_output(c, (size_t)head_dim * size + padding, FFAI__DIM_MULTIPLE * size);
    memset(row + (size_t)head_dim * size, 0, padding);
    fill_head(c, x, head_dim, fill, dtype);
    checkop_seal(c);
    kernels_of(c)->store_value[format](row, x, head_dim);
    for (int d = 0; d < head_dim; d++)
        expect_kept(c, row + (size_t)d * size, x, d, dtype);
    if (memcmp(row + (size_t)head_dim * size, zeros, padding) != 0)
        checkop_fail(c, "the padding is not zeros");
    checkop_end(c);
}

static void check_heads(checkop *c, void (*check)(checkop *c, int format, int head_dim, int fill))
{
    for (int format = 0; format < FFAI__STORE_FORMATS; format++) {
        for (int d = 0; d < NUM_DIMS; d++) {
            for (int fill = 0; fill < HEAD_FILLS; fill++)
                check(c, format, head_dims[d], fill);
        }
    }
}

static void check_store_key(checkop *c)
{
    check_heads(c, key_case);
}

static void check_store_value(checkop *c)
{
    check_heads(c, value_case);
}

static void run_store_key(void *context)
{
    const timed *t = context;
    uint8_t *keys = (uint8_t *)(void *)t->y;
    const size_t size = ffai__dtype_size(checkop_dtype(t->variant));
    for (size_t token = 0; token < PAGE; token++)
        t->tier->kernels->store_key[t->variant](keys + token * size, t->x[0] + token * (size_t)t->n, (int)t->n);
}

static void run_store_value(void *context)
{
    const timed *t = context;
    uint8_t *values = (uint8_t *)(void *)t->y;
    const size_t row = (size_t)t->n * ffai__dtype_size(checkop_dtype(t->variant));
    for (size_t token = 0; token < PAGE; token++)
        t->tier->kernels->store_value[t->variant](values + token * row, t->x[0] + token * (size_t)t->n, (int)t->n);
}

/* A page. */
static bool bench_heads(checkop_job *job, const checkop_tier *tier, int variant, void (*run)(void *))
{
    enum { DIM = 64 };
    if (variant >= FFAI__STORE_FORMATS)
        return false;
    timed_open(job, tier, run, DIM * PAGE, 1, "%s %d x %d", ffai__dtype_name(checkop_dtype(variant)), PAGE, DIM);
    timed *t = job->context;
    t->n = DIM;
    t->variant = variant;
    job->bytes = 4.0 * DIM * PAGE;
    return true;
}

static bool bench_store_key(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_heads(job, tier, variant, run_store_key);
}

static bool bench_store_value(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_heads(job, tier, variant, run_store_value);
}

#define BAR "none: the nearest number of the format to the last bit, infinities and what is not a number too"

const checkop_kernel checkop_store_key = {BAR, true, check_store_key, bench_store_key};
const checkop_kernel checkop_store_value = {BAR, true, check_store_value, bench_store_value};
