/* Template: norms, activations and rope over a tier's vector.h. */
#include <math.h>

/* e^x by e^(n ln 2 + r), |r| <= ln 2 / 2, and a polynomial whose relative error is 3.1e-9 (fitted at Chebyshev
 * nodes with 1 + r fixed). Below -87.3, where e^x would leave the normal numbers, the result is 0; above 88.3 it is
 * e^88.3; not a number stays so. */
static inline vec vec_exp(vec x)
{
    const vec shift = vec_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    const vec bounded = vec_min(vec_set(88.3f), vec_max(vec_set(-87.3f), x));
    const vec shifted = vec_fma(bounded, vec_set(1.44269504f), shift);
    const vec n = shifted - shift;
    vec r = vec_fma(n, vec_set(-0.693359375f), bounded);
    r = vec_fma(n, vec_set(2.12194440e-4f), r);
    vec p = vec_fma(vec_set(0x1.6a2342p-10f), r, vec_set(0x1.123a6cp-7f));
    p = vec_fma(p, r, vec_set(0x1.5558f4p-5f));
    p = vec_fma(p, r, vec_set(0x1.55549p-3f));
    p = vec_fma(p, r, vec_set(0x1.fffffcp-2f));
    p = vec_fma(p * r, r, r) + vec_set(1.0f);
    return vec_zero_below(p * vec_power_of_two(shifted), x, -87.3f);
}

static inline vec vec_silu(vec x)
{
    return x / (vec_set(1.0f) + vec_exp(-x));
}

static inline vec vec_load_up_to(const float *p, int64_t n)
{
    return n >= LANES ? vec_load(p) : vec_load_part(p, n);
}

static inline void vec_store_up_to(float *p, vec a, int64_t n)
{
    if (n >= LANES)
        vec_store(p, a);
    else
        vec_store_part(p, a, n);
}

static void rms_norm(float *y, const float *x, const float *w, int64_t n, float eps)
{
    vec even = vec_set(0);
    vec odd = vec_set(0);
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        const vec a = vec_load(x + i);
        const vec b = vec_load(x + i + LANES);
        even = vec_fma(a, a, even);
        odd = vec_fma(b, b, odd);
    }
    for (; i < n; i += LANES) {
        const vec a = vec_load_up_to(x + i, n - i);
        even = vec_fma(a, a, even);
    }
    const vec scale = vec_set(1.0f / sqrtf(vec_sum(even + odd) / (float)n + eps));
    for (i = 0; i < n; i += LANES)
        vec_store_up_to(y + i, vec_load_up_to(x + i, n - i) * scale * vec_load_up_to(w + i, n - i), n - i);
}

static void rotate(float *y, const float *x, const float *cosines, const float *sines, int dims, int head_dim)
{
    const int half = dims / 2;
    for (int i = 0; i < half; i += LANES) {
        const int n = half - i;
        const vec c = vec_load_up_to(cosines + i, n);
        const vec s = vec_load_up_to(sines + i, n);
        const vec a = vec_load_up_to(x + i, n);
        const vec b = vec_load_up_to(x + half + i, n);
        vec_store_up_to(y + i, vec_fma(a, c, -(b * s)), n);
        vec_store_up_to(y + half + i, vec_fma(b, c, a * s), n);
    }
    for (int i = dims; i < head_dim; i++)
        y[i] = x[i];
}

static void silu(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES)
        vec_store_up_to(y + i, vec_silu(vec_load_up_to(x + i, n - i)), n - i);
}

static void swiglu(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES)
        vec_store_up_to(y + i, vec_silu(vec_load_up_to(a + i, n - i)) * vec_load_up_to(b + i, n - i), n - i);
}

static void mul(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES)
        vec_store_up_to(y + i, vec_load_up_to(a + i, n - i) * vec_load_up_to(b + i, n - i), n - i);
}

static void add(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES)
        vec_store_up_to(y + i, vec_load_up_to(a + i, n - i) + vec_load_up_to(b + i, n - i), n - i);
}
