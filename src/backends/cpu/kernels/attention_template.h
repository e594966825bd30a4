/* Template: attention over pages of keys and values, over a tier's vector.h and activation_template.h. Each query's
 * sums run over dimensions or tokens in order, one fused product at a time, however many queries share a load. */
#include "unroll.h"

static inline vec vec_load_f32(const float *p)
{
    return vec_load(p);
}

/* A block of SCORE_VECTORS * LANES tokens; count is a constant where this is inlined. */
#define DEFINE_SCORES(format, element)                                                                                 \
    static inline __attribute__((always_inline)) void scores_block_##format(                                           \
        float *scores, const float *const *queries, const int count, const element *keys, int head_dim)                \
    {                                                                                                                  \
        vec sums[SCORE_QUERIES][SCORE_VECTORS];                                                                        \
        UNROLL(8)                                                                                                      \
        for (int i = 0; i < count; i++)                                                                                \
            UNROLL(2) for (int v = 0; v < SCORE_VECTORS; v++) sums[i][v] = vec_set(0);                                 \
        for (int d = 0; d < head_dim; d++) {                                                                           \
            vec k[SCORE_VECTORS];                                                                                      \
            UNROLL(2)                                                                                                  \
            for (int v = 0; v < SCORE_VECTORS; v++)                                                                    \
                k[v] = vec_load_##format(keys + (int64_t)d * FFAI__PAGE_TOKENS + v * LANES);                           \
            UNROLL(8) for (int i = 0; i < count; i++)                                                                  \
            {                                                                                                          \
                const vec q = vec_set(queries[i][d]);                                                                  \
                UNROLL(2) for (int v = 0; v < SCORE_VECTORS; v++) sums[i][v] = vec_fma(q, k[v], sums[i][v]);           \
            }                                                                                                          \
        }                                                                                                              \
        UNROLL(8)                                                                                                      \
        for (int i = 0; i < count; i++)                                                                                \
            UNROLL(2)                                                                                                  \
        for (int v = 0; v < SCORE_VECTORS; v++)                                                                        \
            vec_store(scores + i * FFAI__SPAN_TOKENS + v * LANES, sums[i][v]);                                         \
    }                                                                                                                  \
                                                                                                                       \
    static void scores_##format(float *scores, const float *const *queries, int num_queries, const void *keys,         \
                                int head_dim)                                                                          \
    {                                                                                                                  \
        for (int t = 0; t < FFAI__PAGE_TOKENS; t += SCORE_VECTORS * LANES) {                                           \
            const element *k = (const element *)keys + t;                                                              \
            float *s = scores + t;                                                                                     \
            int i = 0;                                                                                                 \
            for (; i + SCORE_QUERIES <= num_queries; i += SCORE_QUERIES)                                               \
                scores_block_##format(s + i * FFAI__SPAN_TOKENS, queries + i, SCORE_QUERIES, k, head_dim);             \
            for (; i + 4 <= num_queries; i += 4)                                                                       \
                scores_block_##format(s + i * FFAI__SPAN_TOKENS, queries + i, 4, k, head_dim);                         \
            for (; i + 3 <= num_queries; i += 3)                                                                       \
                scores_block_##format(s + i * FFAI__SPAN_TOKENS, queries + i, 3, k, head_dim);                         \
            for (; i + 2 <= num_queries; i += 2)                                                                       \
                scores_block_##format(s + i * FFAI__SPAN_TOKENS, queries + i, 2, k, head_dim);                         \
            for (; i < num_queries; i++)                                                                               \
                scores_block_##format(s + i * FFAI__SPAN_TOKENS, queries + i, 1, k, head_dim);                         \
        }                                                                                                              \
    }

DEFINE_SCORES(bf16, uint16_t)
DEFINE_SCORES(f16, uint16_t)
DEFINE_SCORES(f32, float)
#undef DEFINE_SCORES

/* A block of width vectors of the sums; count and width are constants where this is inlined. */
#define DEFINE_ACCUMULATE(format, element)                                                                             \
    static inline __attribute__((always_inline)) void accumulate_block_##format(                                       \
        float *sums, int64_t stride, const float *weights, const int count, const int width, const element *values,    \
        int begin, int end, int padded_dim)                                                                            \
    {                                                                                                                  \
        vec total[SUM_QUERIES > 3 ? SUM_QUERIES : 3][SUM_VECTORS];                                                     \
        UNROLL(4)                                                                                                      \
        for (int i = 0; i < count; i++)                                                                                \
            UNROLL(4) for (int v = 0; v < width; v++) total[i][v] = vec_load(sums + i * stride + v * LANES);           \
        for (int t = begin; t < end; t++) {                                                                            \
            vec x[SUM_VECTORS];                                                                                        \
            UNROLL(4)                                                                                                  \
            for (int v = 0; v < width; v++)                                                                            \
                x[v] = vec_load_##format(values + (int64_t)t * padded_dim + v * LANES);                                \
            UNROLL(4) for (int i = 0; i < count; i++)                                                                  \
            {                                                                                                          \
                const vec w = vec_set(weights[i * FFAI__SPAN_TOKENS + t]);                                             \
                UNROLL(4) for (int v = 0; v < width; v++) total[i][v] = vec_fma(w, x[v], total[i][v]);                 \
            }                                                                                                          \
        }                                                                                                              \
        UNROLL(4)                                                                                                      \
        for (int i = 0; i < count; i++)                                                                                \
            UNROLL(4) for (int v = 0; v < width; v++) vec_store(sums + i * stride + v * LANES, total[i][v]);           \
    }                                                                                                                  \
                                                                                                                       \
    static inline __attribute__((always_inline)) void accumulate_rows_##format(                                        \
        float *sums, int64_t stride, const float *weights, const int count, const element *values, int begin, int end, \
        int padded_dim)                                                                                                \
    {                                                                                                                  \
        int d = 0;                                                                                                     \
        for (; d + SUM_VECTORS * LANES <= padded_dim; d += SUM_VECTORS * LANES)                                        \
            accumulate_block_##format(sums + d, stride, weights, count, SUM_VECTORS, values + d, begin, end,           \
                                      padded_dim);                                                                     \
        for (; d < padded_dim; d += LANES)                                                                             \
            accumulate_block_##format(sums + d, stride, weights, count, 1, values + d, begin, end, padded_dim);        \
    }                                                                                                                  \
                                                                                                                       \
    static void accumulate_##format(float *sums, int64_t stride, const float *weights, int num_queries,                \
                                    const void *values, int begin, int end, int padded_dim)                            \
    {                                                                                                                  \
        int i = 0;                                                                                                     \
        for (; i + SUM_QUERIES <= num_queries; i += SUM_QUERIES)                                                       \
            accumulate_rows_##format(sums + i * stride, stride, weights + i * FFAI__SPAN_TOKENS, SUM_QUERIES, values,  \
                                     begin, end, padded_dim);                                                          \
        for (; i + 3 <= num_queries; i += 3)                                                                           \
            accumulate_rows_##format(sums + i * stride, stride, weights + i * FFAI__SPAN_TOKENS, 3, values, begin,     \
                                     end, padded_dim);                                                                 \
        for (; i + 2 <= num_queries; i += 2)                                                                           \
            accumulate_rows_##format(sums + i * stride, stride, weights + i * FFAI__SPAN_TOKENS, 2, values, begin,     \
                                     end, padded_dim);                                                                 \
        for (; i < num_queries; i++)                                                                                   \
            accumulate_rows_##format(sums + i * stride, stride, weights + i * FFAI__SPAN_TOKENS, 1, values, begin,     \
                                     end, padded_dim);                                                                 \
    }

DEFINE_ACCUMULATE(bf16, uint16_t)
DEFINE_ACCUMULATE(f16, uint16_t)
DEFINE_ACCUMULATE(f32, float)
#undef DEFINE_ACCUMULATE

static inline float greatest_lane(vec a)
{
    float lanes[LANES];
    vec_store(lanes, a);
    float most = lanes[0];
    for (int i = 1; i < LANES; i++)
        most = lanes[i] > most ? lanes[i] : most;
    return most;
}

/* A score that is not a number is passed over by the maximum, and makes its weight and the sum one. */
static void softmax(float *extra, float *scores, int begin, int end, float scale)
{
    const int first = begin / LANES * LANES;
    const vec factor = vec_set(scale);
    const vec nothing = vec_set(-INFINITY);
    vec most = nothing;
    for (int i = first; i < end; i += LANES) {
        const vec x = vec_window(vec_load(scores + i) * factor, nothing, begin - i, end - i);
        vec_store(scores + i, x);
        most = vec_max(x, most);
    }
    const float maximum = greatest_lane(most);
    vec sum = vec_set(0);
    for (int i = first; i < end; i += LANES) {
        const vec weight = vec_exp(vec_load(scores + i) - vec_set(maximum));
        vec_store(scores + i, weight);
        sum = sum + weight;
    }
    extra[0] = maximum;
    extra[1] = vec_sum(sum);
}

static void merge(float *into, const float *part, int padded_dim)
{
    const float before = into[padded_dim];
    const float other = part[padded_dim];
    const float maximum = before > other ? before : other;
    const vec a = vec_exp(vec_set(before - maximum));
    const vec b = vec_exp(vec_set(other - maximum));
    for (int d = 0; d < padded_dim; d += LANES)
        vec_store(into + d, vec_fma(vec_load(part + d), b, vec_load(into + d) * a));
    float scales[2 * LANES];
    vec_store(scales, a);
    vec_store(scales + LANES, b);
    into[padded_dim] = maximum;
    into[padded_dim + 1] = into[padded_dim + 1] * scales[0] + part[padded_dim + 1] * scales[LANES];
}

static void finish(float *y, const float *partial, int head_dim, int padded_dim)
{
    const vec denominator = vec_set(partial[padded_dim + 1]);
    for (int d = 0; d < head_dim; d += LANES)
        vec_store_up_to(y + d, vec_load(partial + d) / denominator, head_dim - d);
}
