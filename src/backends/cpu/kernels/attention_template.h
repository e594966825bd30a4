/* Template: attention over pages of keys and values, and the way into them, over a tier's vector.h and
 * activation_template.h. Each query's sums run over dimensions or tokens in order, one fused product at a time, however
 * many queries share a load. */
#include "unroll.h"

static inline vec vec_load_f32(const float *p)
{
    return vec_load(p);
}

static inline void vec_store_f32(float *p, vec a)
{
    vec_store(p, a);
}

/* What is not a number stays so. */
static inline vec vec_bound(vec a, float most)
{
    return vec_max(vec_set(-most), vec_min(vec_set(most), a));
}

#define DEFINE_STORE(format, element, most)                                                                            \
    static void store_key_##format(void *keys, const float *key, int head_dim)                                         \
    {                                                                                                                  \
        element rounded[LANES];                                                                                        \
        for (int d = 0; d < head_dim; d += LANES) {                                                                    \
            const int n = head_dim - d < LANES ? head_dim - d : LANES;                                                 \
            vec_store_##format(rounded, vec_bound(vec_load_up_to(key + d, n), most));                                  \
            for (int i = 0; i < n; i++)                                                                                \
                ((element *)keys)[(d + i) * FFAI__PAGE_TOKENS] = rounded[i];                                           \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static void store_value_##format(void *value, const float *x, int head_dim)                                        \
    {                                                                                                                  \
        for (int d = 0; d < head_dim; d += LANES)                                                                      \
            vec_store_##format((element *)value + d, vec_bound(vec_load_up_to(x + d, head_dim - d), most));            \
    }

DEFINE_STORE(bf16, uint16_t, INFINITY)
DEFINE_STORE(f16, uint16_t, FFAI__F16_MOST)
DEFINE_STORE(f32, float, INFINITY)
#undef DEFINE_STORE

#define DEFINE_WIDEN(format, element)                                                                                  \
    static void widen_##format(float *y, const void *x, int64_t n, const void *ahead)                                  \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i += LANES) {                                                                       \
            vec_store(y + i, vec_load_##format((const element *)x + i));                                               \
            __builtin_prefetch((const element *)ahead + i, 0, 2);                                                      \
        }                                                                                                              \
    }

DEFINE_WIDEN(bf16, uint16_t)
DEFINE_WIDEN(f16, uint16_t)
DEFINE_WIDEN(f32, float)
#undef DEFINE_WIDEN

/* So many vectors are one prefetch. */
#define VECTORS_OF_A_LINE(element) (LANES * (int)sizeof(element) < 64 ? 64 / (LANES * (int)sizeof(element)) : 1)

/* A block of SCORE_VECTORS * LANES tokens; count is a constant where this is inlined. A row of keys is followed by
 * a wish for the same row of the page that comes next. */
#define DEFINE_SCORES(format, element)                                                                                 \
    static inline __attribute__((always_inline)) void scores_block_##format(                                           \
        float *scores, const float *queries, const int count, const element *keys, int head_dim, const element *ahead) \
    {                                                                                                                  \
        vec sums[SCORE_QUERIES][SCORE_VECTORS];                                                                        \
        UNROLL(8)                                                                                                      \
        for (int i = 0; i < count; i++)                                                                                \
            UNROLL(4) for (int v = 0; v < SCORE_VECTORS; v++) sums[i][v] = vec_set(0);                                 \
        for (int d = 0; d < head_dim; d++) {                                                                           \
            vec k[SCORE_VECTORS];                                                                                      \
            UNROLL(4)                                                                                                  \
            for (int v = 0; v < SCORE_VECTORS; v++)                                                                    \
                k[v] = vec_load_##format(keys + (int64_t)d * FFAI__PAGE_TOKENS + v * LANES);                           \
            UNROLL(2)                                                                                                  \
            for (int v = 0; v < SCORE_VECTORS; v += VECTORS_OF_A_LINE(element))                                        \
                __builtin_prefetch(ahead + (int64_t)d * FFAI__PAGE_TOKENS + v * LANES, 0, 2);                          \
            UNROLL(8) for (int i = 0; i < count; i++)                                                                  \
            {                                                                                                          \
                const vec q = vec_set(queries[i * head_dim + d]);                                                      \
                UNROLL(4) for (int v = 0; v < SCORE_VECTORS; v++) sums[i][v] = vec_fma(q, k[v], sums[i][v]);           \
            }                                                                                                          \
        }                                                                                                              \
        UNROLL(8)                                                                                                      \
        for (int i = 0; i < count; i++)                                                                                \
            UNROLL(4)                                                                                                  \
        for (int v = 0; v < SCORE_VECTORS; v++)                                                                        \
            vec_store(scores + i * FFAI__SCORES_STRIDE + v * LANES, sums[i][v]);                                       \
    }                                                                                                                  \
                                                                                                                       \
    static void scores_##format(float *scores, const float *queries, int num_queries, const void *keys, int head_dim,  \
                                const void *ahead)                                                                     \
    {                                                                                                                  \
        for (int t = 0; t < FFAI__PAGE_TOKENS; t += SCORE_VECTORS * LANES) {                                           \
            const element *k = (const element *)keys + t;                                                              \
            const element *next = (const element *)ahead + t;                                                          \
            float *s = scores + t;                                                                                     \
            int i = 0;                                                                                                 \
            for (; i + SCORE_QUERIES <= num_queries; i += SCORE_QUERIES, next = k)                                     \
                scores_block_##format(s + i * FFAI__SCORES_STRIDE, queries + i * head_dim, SCORE_QUERIES, k, head_dim, \
                                      next);                                                                           \
            for (; i + 4 <= num_queries; i += 4, next = k)                                                             \
                scores_block_##format(s + i * FFAI__SCORES_STRIDE, queries + i * head_dim, 4, k, head_dim, next);      \
            for (; i + 3 <= num_queries; i += 3, next = k)                                                             \
                scores_block_##format(s + i * FFAI__SCORES_STRIDE, queries + i * head_dim, 3, k, head_dim, next);      \
            for (; i + 2 <= num_queries; i += 2, next = k)                                                             \
                scores_block_##format(s + i * FFAI__SCORES_STRIDE, queries + i * head_dim, 2, k, head_dim, next);      \
            for (; i < num_queries; i++, next = k)                                                                     \
                scores_block_##format(s + i * FFAI__SCORES_STRIDE, queries + i * head_dim, 1, k, head_dim, next);      \
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
        int begin, int end, int padded_dim, const element *ahead)                                                      \
    {                                                                                                                  \
        vec total[SUM_QUERIES > 3 ? SUM_QUERIES : 3][SUM_VECTORS];                                                     \
        UNROLL(6)                                                                                                      \
        for (int i = 0; i < count; i++)                                                                                \
            UNROLL(4) for (int v = 0; v < width; v++) total[i][v] = vec_load(sums + i * stride + v * LANES);           \
        for (int t = begin; t < end; t++) {                                                                            \
            vec x[SUM_VECTORS];                                                                                        \
            UNROLL(4)                                                                                                  \
            for (int v = 0; v < width; v++)                                                                            \
                x[v] = vec_load_##format(values + (int64_t)t * padded_dim + v * LANES);                                \
            UNROLL(4)                                                                                                  \
            for (int v = 0; v < width; v += VECTORS_OF_A_LINE(element))                                                \
                __builtin_prefetch(ahead + (int64_t)t * padded_dim + v * LANES, 0, 2);                                 \
            UNROLL(6) for (int i = 0; i < count; i++)                                                                  \
            {                                                                                                          \
                const vec w = vec_set(weights[i * FFAI__SCORES_STRIDE + t]);                                           \
                UNROLL(4) for (int v = 0; v < width; v++) total[i][v] = vec_fma(w, x[v], total[i][v]);                 \
            }                                                                                                          \
        }                                                                                                              \
        UNROLL(6)                                                                                                      \
        for (int i = 0; i < count; i++)                                                                                \
            UNROLL(4) for (int v = 0; v < width; v++) vec_store(sums + i * stride + v * LANES, total[i][v]);           \
    }                                                                                                                  \
                                                                                                                       \
    static inline __attribute__((always_inline)) void accumulate_rows_##format(                                        \
        float *sums, int64_t stride, const float *weights, const int count, const element *values, int begin, int end, \
        int padded_dim, const element *ahead)                                                                          \
    {                                                                                                                  \
        int d = 0;                                                                                                     \
        for (; d + SUM_VECTORS * LANES <= padded_dim; d += SUM_VECTORS * LANES)                                        \
            accumulate_block_##format(sums + d, stride, weights, count, SUM_VECTORS, values + d, begin, end,           \
                                      padded_dim, ahead + d);                                                          \
        for (; d < padded_dim; d += LANES)                                                                             \
            accumulate_block_##format(sums + d, stride, weights, count, 1, values + d, begin, end, padded_dim,         \
                                      ahead + d);                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    static void accumulate_##format(float *sums, int64_t stride, const float *weights, int num_queries,                \
                                    const void *values, int begin, int end, int padded_dim, const void *ahead)         \
    {                                                                                                                  \
        const element *next = ahead;                                                                                   \
        int i = 0;                                                                                                     \
        for (; i + SUM_QUERIES <= num_queries; i += SUM_QUERIES, next = values)                                        \
            accumulate_rows_##format(sums + i * stride, stride, weights + i * FFAI__SCORES_STRIDE, SUM_QUERIES,        \
                                     values, begin, end, padded_dim, next);                                            \
        for (; i + 3 <= num_queries; i += 3, next = values)                                                            \
            accumulate_rows_##format(sums + i * stride, stride, weights + i * FFAI__SCORES_STRIDE, 3, values, begin,   \
                                     end, padded_dim, next);                                                           \
        for (; i + 2 <= num_queries; i += 2, next = values)                                                            \
            accumulate_rows_##format(sums + i * stride, stride, weights + i * FFAI__SCORES_STRIDE, 2, values, begin,   \
                                     end, padded_dim, next);                                                           \
        for (; i < num_queries; i++, next = values)                                                                    \
            accumulate_rows_##format(sums + i * stride, stride, weights + i * FFAI__SCORES_STRIDE, 1, values, begin,   \
                                     end, padded_dim, next);                                                           \
    }

DEFINE_ACCUMULATE(bf16, uint16_t)
DEFINE_ACCUMULATE(f16, uint16_t)
DEFINE_ACCUMULATE(f32, float)
#undef DEFINE_ACCUMULATE

/* The greatest scaled score that is not hidden. Scores become scaled ones, hidden ones in the vectors of the window's
 * edges -infinity. A score that is not a number is passed over. */
static float scale_scores(float *scores, int begin, int end, float scale)
{
    const vec factor = vec_set(scale);
    const vec nothing = vec_set(-INFINITY);
    vec most = nothing;
    for (int i = begin / LANES * LANES; i < end; i += LANES) {
        vec x = vec_load(scores + i) * factor;
        if (i < begin || i + LANES > end)
            x = vec_window(x, nothing, begin - i, end - i);
        vec_store(scores + i, x);
        most = vec_max(x, most);
    }
    return vec_greatest(most);
}

/* The maximum rises: what has been summed so far counts for less. */
static void rescale(float *partial, int padded_dim, float maximum)
{
    const vec factor = vec_exp(vec_set(partial[padded_dim] - maximum));
    for (int d = 0; d < padded_dim + LANES; d += LANES)
        vec_store(partial + d, vec_load(partial + d) * factor);
    partial[padded_dim] = maximum;
}

static void softmax(float *partial, float *scores, int begin, int end, float scale, int padded_dim)
{
    const float maximum = scale_scores(scores, begin, end, scale);
    if (maximum > partial[padded_dim])
        rescale(partial, padded_dim, maximum);
    const vec shift = vec_set(partial[padded_dim]);
    vec sum = vec_set(0);
    for (int i = begin / LANES * LANES; i < end; i += LANES) {
        const vec weight = vec_exp(vec_load(scores + i) - shift);
        vec_store(scores + i, weight);
        sum = sum + weight;
    }
    partial[padded_dim + 1] += vec_sum(sum);
}

static void merge(float *into, const float *part, int padded_dim)
{
    const float before = into[padded_dim];
    const float other = part[padded_dim];
    const float maximum = before > other ? before : other;
    const vec a = vec_exp(vec_set(before - maximum));
    const vec b = vec_exp(vec_set(other - maximum));
    for (int d = 0; d < padded_dim + LANES; d += LANES)
        vec_store(into + d, vec_fma(vec_load(part + d), b, vec_load(into + d) * a));
    into[padded_dim] = maximum;
}

static void finish(float *y, const float *partial, int head_dim, int padded_dim)
{
    const vec denominator = vec_set(partial[padded_dim + 1]);
    for (int d = 0; d < head_dim; d += LANES)
        vec_store_up_to(y + d, vec_load(partial + d) / denominator, head_dim - d);
}
