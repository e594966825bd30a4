/* The kernels of one tier, all but the matrix products: norms, activations, rope and attention.
 *
 * A result depends on the operands alone, not on the number of elements, queries or tokens handled in one call.
 * Pointers may be unaligned and outputs may be one of the inputs, unless said otherwise. */
#ifndef FFAI_CPU_KERNEL_TABLE_H
#define FFAI_CPU_KERNEL_TABLE_H

#include "cpu_features.h"
#include "step.h"

enum {
    FFAI__STORE_FORMATS = 3,
    FFAI__SPAN_TOKENS = 128,  /* positions whose softmax is taken at once; attention merges spans in order */
    FFAI__PARTIAL_EXTRA = 16, /* floats behind a partial's sums: its maximum and its denominator */
    FFAI__DIM_MULTIPLE = 16   /* value rows are padded with zeros to a multiple of this */
};

/* Floats a head's value row takes in a page and in a partial. */
static inline int ffai__padded_dim(int head_dim)
{
    return (head_dim + FFAI__DIM_MULTIPLE - 1) / FFAI__DIM_MULTIPLE * FFAI__DIM_MULTIPLE;
}

typedef struct ffai__kernels {
    /* y = x * w / sqrt(mean(x^2) + eps), over n floats. */
    void (*rms_norm)(float *y, const float *x, const float *w, int64_t n, float eps);
    /* Turn the pairs (x[i], x[i + dims/2]) of one head; dimensions from dims on pass through. */
    void (*rotate)(float *y, const float *x, const float *cosines, const float *sines, int dims, int head_dim);
    void (*silu)(float *y, const float *x, int64_t n);
    void (*swiglu)(float *y, const float *a, const float *b, int64_t n);
    void (*mul)(float *y, const float *a, const float *b, int64_t n);
    void (*add)(float *y, const float *a, const float *b, int64_t n);

    /* Attention over one page of one key/value head, by ffai__store_format. A query's scores have a row of
     * FFAI__SPAN_TOKENS floats.
     * scores: row i, elements [0, 32) = queries[i] . key of each token; keys are [head_dim][32]. */
    void (*scores[FFAI__STORE_FORMATS])(float *scores, const float *const *queries, int num_queries, const void *keys,
                                        int head_dim);
    /* Tokens [begin, end) of a span, from scores to weights exp(scale * (score - maximum)); maximum (scaled) and
     * the sum of the weights go to the partial's two extra floats. */
    void (*softmax)(float *extra, float *scores, int begin, int end, float scale);
    /* accumulate: sums[i] += the sum over tokens [begin, end) of weights[i][token] * value of the token; values are
     * [32][padded_dim]. weights have a row of FFAI__SPAN_TOKENS, sums one of sums_stride floats. */
    void (*accumulate[FFAI__STORE_FORMATS])(float *sums, int64_t sums_stride, const float *weights, int num_queries,
                                            const void *values, int begin, int end, int padded_dim);
    /* Partials are padded_dim sums, then maximum and denominator. into and part: two neighbouring spans. */
    void (*merge)(float *into, const float *part, int padded_dim);
    /* y [head_dim] = sums / denominator. */
    void (*finish)(float *y, const float *partial, int head_dim, int padded_dim);
} ffai__kernels;

extern const ffai__kernels ffai__kernels_scalar;
#if defined(__x86_64__)
extern const ffai__kernels ffai__kernels_avx2;
extern const ffai__kernels ffai__kernels_avx512;
#endif

/* A tier's table; the scalar one where this architecture lacks it. */
const ffai__kernels *ffai__kernels_of(ffai__isa isa);

#endif
