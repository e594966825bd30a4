/* Inverse frequencies of every rope_type, as transformers' modeling_rope_utils defines them. */
#include <math.h>

#include "config.h"

static const double pi = 3.14159265358979323846;

static void fill_default(float *table, int dims, double theta, double divisor)
{
    for (int i = 0; i < dims / 2; i++)
        table[i] = (float)(1.0 / pow(theta, 2.0 * i / dims) / divisor);
}

/* Llama 3.1: long wavelengths are interpolated, short ones kept, those between blended. */
static void fill_llama3(float *table, int dims, double theta, const ffai__rope_scaling *s)
{
    const double length = (double)s->original_max_position_embeddings;
    const double low_wavelength = length / s->low_freq_factor;
    const double high_wavelength = length / s->high_freq_factor;
    for (int i = 0; i < dims / 2; i++) {
        const double inv_freq = 1.0 / pow(theta, 2.0 * i / dims);
        const double wavelength = 2 * pi / inv_freq;
        double scaled = inv_freq;
        if (wavelength > low_wavelength) {
            scaled = inv_freq / s->factor;
        } else if (wavelength >= high_wavelength) {
            const double smooth =
                (length / wavelength - s->low_freq_factor) / (s->high_freq_factor - s->low_freq_factor);
            scaled = (1 - smooth) * inv_freq / s->factor + smooth * inv_freq;
        }
        table[i] = (float)scaled;
    }
}

/* The dimension whose wave turns `rotations` times over the trained length. */
static double correction_dim(double rotations, int dims, double theta, double length)
{
    return dims * log(length / (rotations * 2 * pi)) / (2 * log(theta));
}

/* YaRN (Peng et al. 2023): a ramp between interpolation and extrapolation. */
static void fill_yarn(float *table, int dims, double theta, const ffai__rope_scaling *s)
{
    const double length = (double)s->original_max_position_embeddings;
    double low = correction_dim(s->beta_fast, dims, theta, length);
    double high = correction_dim(s->beta_slow, dims, theta, length);
    if (s->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, dims - 1);
    if (high - low < 1e-3)
        high = low + 1e-3;
    for (int i = 0; i < dims / 2; i++) {
        const double inv_freq = 1.0 / pow(theta, 2.0 * i / dims);
        const double ramp = fmin(fmax((i - low) / (high - low), 0), 1);
        table[i] = (float)(inv_freq / s->factor * ramp + inv_freq * (1 - ramp));
    }
}

/* LongRoPE (Ding et al. 2024), with the long factors at every length, as mlx-lm has it: what a row means does not
 * change when its sequence grows. */
static void fill_longrope(float *table, int dims, double theta, const json_t *factors)
{
    for (int i = 0; i < dims / 2; i++) {
        const double factor = json_number_value(json_array_get(factors, (size_t)i));
        table[i] = (float)(1.0 / (factor * pow(theta, 2.0 * i / dims)));
    }
}

static double yarn_mscale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static double attention_factor(const ffai__config *c)
{
    const ffai__rope_scaling *s = &c->rope_scaling;
    if (s->attention_factor > 0)
        return s->attention_factor;
    if (s->rope_type == FFAI__ROPE_TYPE_YARN)
        return yarn_mscale(s->factor, s->mscale) / yarn_mscale(s->factor, s->mscale_all_dim);
    if (s->rope_type == FFAI__ROPE_TYPE_LONGROPE) {
        const double trained = (double)s->original_max_position_embeddings;
        const double growth = (double)c->max_position_embeddings / trained;
        return growth <= 1 ? 1 : sqrt(1 + log(growth) / log(trained));
    }
    return 1;
}

static void fill_tables(ffai__recorder *r, ffai__rope *rope, const ffai__config *c)
{
    const ffai__rope_scaling *s = &c->rope_scaling;
    const size_t half = (size_t)rope->dims / 2;
    float *table = ffai__recorder_table(r, half);
    rope->inv_freq = table;
    if (ffai__recorder_failed(r))
        return;
    switch (s->rope_type) {
    case FFAI__ROPE_TYPE_LLAMA3:
        fill_llama3(table, rope->dims, c->rope_theta, s);
        break;
    case FFAI__ROPE_TYPE_YARN:
        fill_yarn(table, rope->dims, c->rope_theta, s);
        break;
    case FFAI__ROPE_TYPE_LONGROPE:
        fill_longrope(table, rope->dims, c->rope_theta, s->long_factor);
        break;
    case FFAI__ROPE_TYPE_DYNAMIC:
        rope->kind = FFAI__ROPE_DYNAMIC;
        fill_default(table, rope->dims, c->rope_theta, 1);
        break;
    case FFAI__ROPE_TYPE_LINEAR:
        fill_default(table, rope->dims, c->rope_theta, s->factor);
        break;
    case FFAI__ROPE_TYPE_DEFAULT:
    case FFAI__ROPE_TYPE_COUNT:
        fill_default(table, rope->dims, c->rope_theta, 1);
        break;
    }
}

ffai__rope ffai__config_rope(ffai__recorder *r, const ffai__config *c)
{
    ffai__rope rope = {.kind = FFAI__ROPE_FIXED,
                       .head_dim = (int)c->head_dim,
                       .dims = (int)((double)c->head_dim * c->partial_rotary_factor),
                       .theta = c->rope_theta,
                       .factor = c->rope_scaling.factor,
                       .original_max_position = c->rope_scaling.original_max_position_embeddings,
                       .attention_factor = (float)attention_factor(c)};
    fill_tables(r, &rope, c);
    return rope;
}
