#include "search.h"

#include <math.h>
#include <string.h>

#include "rounding.h"

enum { LANES = FFAI__ROUNDING_LANES, MOST_GROUP = 128, STEPS = 7, KEPT = 4, FITS = 2 };

typedef struct {
    const float *values;  /* [size] */
    const float *weights; /* [size] */
    int size;
    float last; /* the largest code */
    ffai__dtype scale_dtype;
} group;

typedef struct {
    float scale;
    float bias;
    float error;
    float codes[MOST_GROUP];
} fit;

static float as_stored(float value, ffai__dtype dtype)
{
    switch (dtype) {
    case FFAI__BF16:
        return ffai__bf16_to_f32(ffai__f32_to_bf16(value));
    case FFAI__F16:
        return ffai__f16_to_f32(ffai__f32_to_f16(value));
    default:
        return value;
    }
}

static float sum_lanes(const float lanes[LANES])
{
    float sums[LANES];
    memcpy(sums, lanes, sizeof sums);
    for (int width = LANES / 2; width; width /= 2) {
        for (int i = 0; i < width; i++)
            sums[i] += sums[i + width];
    }
    return sums[0];
}

/* The nearest code to each value, and the weighted error. Nearest up to the rounding of 1 / scale: the error counts
 * what was chosen. */
static float nearest_codes(float *restrict codes, const float *restrict values, const float *restrict weights, int size,
                           float scale, float bias, float last)
{
    const float rounder = 0x1.8p23f;
    const float inverse = 1 / scale;
    float errors[LANES] = {0};
    for (int first = 0; first < size; first += LANES) {
        for (int i = 0; i < LANES; i++) {
            const float value = values[first + i];
            float code = (value - bias) * inverse;
            code = code > 0.0f ? code : 0.0f;
            code = code < last ? code : last;
            code = (code + rounder) - rounder;
            const float off = value - (scale * code + bias);
            codes[first + i] = code;
            errors[i] += weights[first + i] * off * off;
        }
    }
    return sum_lanes(errors);
}

static void choose_codes(fit *f, const group *g)
{
    f->error = nearest_codes(f->codes, g->values, g->weights, g->size, f->scale, f->bias, g->last);
}

typedef struct {
    float weight[LANES], code[LANES], code_code[LANES], value[LANES], code_value[LANES];
} sums;

static void add_up(sums *restrict s, const float *restrict codes, const float *restrict values,
                   const float *restrict weights, int size, float origin)
{
    for (int first = 0; first < size; first += LANES) {
        for (int i = 0; i < LANES; i++) {
            const float weight = weights[first + i];
            const float code = codes[first + i];
            const float value = values[first + i] - origin;
            s->weight[i] += weight;
            s->code[i] += weight * code;
            s->code_code[i] += weight * code * code;
            s->value[i] += weight * value;
            s->code_value[i] += weight * code * value;
        }
    }
}

/* Scale and bias by weighted least squares for the codes that are there; unchanged where these are all the same. Values
 * count from the bias so far, which keeps the sums small. */
static void refit(fit *f, const group *g)
{
    sums s = {{0}, {0}, {0}, {0}, {0}};
    add_up(&s, f->codes, g->values, g->weights, g->size, f->bias);
    const double weight = (double)sum_lanes(s.weight);
    const double code = (double)sum_lanes(s.code);
    const double value = (double)sum_lanes(s.value);
    const double determinant = weight * (double)sum_lanes(s.code_code) - code * code;
    if (!(determinant > 1e-6 * weight * weight))
        return;
    const double scale = (weight * (double)sum_lanes(s.code_value) - code * value) / determinant;
    const double bias = (double)f->bias + (value - scale * code) / weight;
    f->scale = as_stored((float)scale, g->scale_dtype);
    f->bias = as_stored((float)bias, g->scale_dtype);
}

static bool usable(const fit *f)
{
    return isfinite(f->scale) && isfinite(f->bias) && fabsf(f->scale) > 1e-30f;
}

/* Take f, and what it becomes when it is fitted, if it is better than the best. */
static void improve(fit *best, fit *f, const group *g)
{
    for (int i = 0; i <= FITS; i++) {
        if (!usable(f))
            return;
        choose_codes(f, g);
        if (f->error < best->error)
            *best = *f;
        if (i < FITS)
            refit(f, g);
    }
}

typedef struct {
    float scale;
    float bias;
    float error;
} start;

/* Keep the KEPT with the least errors, the least first. */
static void keep(start kept[KEPT], start s)
{
    for (int i = 0; i < KEPT; i++) {
        if (s.error < kept[i].error) {
            const start pushed = kept[i];
            kept[i] = s;
            s = pushed;
        }
    }
}

/* Ranges with up to so much cut off at either end: an outlier may cost less clipped than it makes the others coarse.
 * The best of them are fitted. */
static void search(fit *best, const group *g, float least, float most)
{
    const float cut = (most - least) * (g->last < 8 ? 0.06f : 0.04f);
    start kept[KEPT];
    fit f;
    for (int i = 0; i < KEPT; i++)
        kept[i] = (start){0, 0, INFINITY};
    for (int i = 0; i < STEPS * STEPS; i++) {
        const int low = i / STEPS;
        const int high = i % STEPS;
        const float from = least + (float)low * cut;
        f.scale = as_stored((most - (float)high * cut - from) / g->last, g->scale_dtype);
        f.bias = as_stored(from, g->scale_dtype);
        if (!usable(&f))
            continue;
        choose_codes(&f, g);
        keep(kept, (start){f.scale, f.bias, f.error});
    }
    for (int i = 0; i < KEPT && kept[i].error < INFINITY; i++) {
        f.scale = kept[i].scale;
        f.bias = kept[i].bias;
        improve(best, &f, g);
    }
}

static void search_group(uint8_t *codes, float *scale, float *bias, const group *g)
{
    fit best = {.scale = as_stored(*scale, g->scale_dtype), .bias = as_stored(*bias, g->scale_dtype)};
    float least = g->values[0];
    float most = least;
    if (!usable(&best))
        return;
    float errors[LANES] = {0};
    for (int i = 0; i < g->size; i++) { /* MLX's own codes, which are not always nearest */
        const float off = g->values[i] - (best.scale * (float)codes[i] + best.bias);
        best.codes[i] = (float)codes[i];
        errors[i % LANES] += g->weights[i] * off * off;
        least = fminf(least, g->values[i]);
        most = fmaxf(most, g->values[i]);
    }
    best.error = sum_lanes(errors);
    fit f = best;
    improve(&best, &f, g);
    search(&best, g, least, most);
    for (int i = 0; i < g->size; i++)
        codes[i] = (uint8_t)(int)best.codes[i];
    *scale = best.scale;
    *bias = best.bias;
}

bool ffai__search_row(uint8_t *codes, float *scales, float *biases, const float *values, const float *weights,
                      int64_t columns, int bits, int group_size, ffai__dtype scale_dtype)
{
    float ones[MOST_GROUP];
    for (int i = 0; i < MOST_GROUP; i++)
        ones[i] = 1;
    if (!ffai__round_row(codes, scales, biases, values, columns, bits, group_size))
        return false;
    for (int64_t i = 0; i < columns / group_size; i++) {
        const int64_t first = i * group_size;
        const group g = {values + first, weights ? weights + first : ones, group_size, (float)((1 << bits) - 1),
                         scale_dtype};
        search_group(codes + first, scales + i, biases + i, &g);
    }
    return true;
}
