#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtype.h"
#include "kernels/kernel_table.h"

enum { MOST = 2100 };

/* Run a check on every tier of this machine. */
static void on_every_tier(void (*check)(const ffai__kernels *))
{
    ffai__cpu_features features;
    ffai__cpu_features_detect(&features);
    for (ffai__isa isa = FFAI__ISA_SCALAR; isa < FFAI__ISA_COUNT; isa++) {
        if (ffai__isa_runs(&features, isa))
            check(ffai__kernels_of(isa));
    }
}

static float random_float(float most)
{
    return most * ((float)rand() / (float)RAND_MAX * 2 - 1);
}

static void fill(float *x, int n, float most)
{
    for (int i = 0; i < n; i++)
        x[i] = random_float(most);
}

static void assert_near(float value, double expected, double relative)
{
    if (!(fabs((double)value - expected) <= relative * fabs(expected) + 1e-37))
        fail_msg("%.9g instead of %.9g", (double)value, expected);
}

static void check_norm(const ffai__kernels *k)
{
    static const int sizes[] = {1, 7, 16, 33, 64, 80, 576, 2048};
    static float x[MOST];
    static float w[MOST];
    static float y[MOST];
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int n = sizes[s];
        double squares = 0;
        fill(x, n, 3);
        fill(w, n, 2);
        y[n] = 42;
        for (int i = 0; i < n; i++)
            squares += (double)x[i] * (double)x[i];
        k->rms_norm(y, x, w, n, 1e-5f);
        for (int i = 0; i < n; i++)
            assert_near(y[i], (double)x[i] * (double)w[i] / sqrt(squares / n + (double)1e-5f), 1e-6);
        assert_true(y[n] == 42);
    }
}

static void rms_norm_follows_its_definition(void **state)
{
    (void)state;
    on_every_tier(check_norm);
}

static void check_rotate(const ffai__kernels *k)
{
    static const int shapes[][2] = {{64, 64}, {80, 80}, {128, 32}, {6, 6}, {10, 2}, {256, 256}, {18, 12}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int head_dim = shapes[s][0];
        const int half = shapes[s][1] / 2;
        float x[256];
        float y[257];
        float c[128];
        float n[128];
        fill(x, head_dim, 2);
        y[head_dim] = 42;
        for (int i = 0; i < half; i++) {
            c[i] = cosf((float)i);
            n[i] = sinf((float)i);
        }
        k->rotate(y, x, c, n, 2 * half, head_dim);
        for (int i = 0; i < half; i++) {
            assert_true(fabsf(y[i] - (x[i] * c[i] - x[i + half] * n[i])) < 1e-6f);
            assert_true(fabsf(y[i + half] - (x[i + half] * c[i] + x[i] * n[i])) < 1e-6f);
        }
        assert_memory_equal(y + 2 * half, x + 2 * half, (size_t)(head_dim - 2 * half) * sizeof *x);
        assert_true(y[head_dim] == 42);
    }
}

static void rope_turns_pairs_and_passes_the_rest(void **state)
{
    (void)state;
    on_every_tier(check_rotate);
}

static void check_silu(const ffai__kernels *k)
{
    float x[37];
    float y[38];
    for (int trial = 0; trial < 200; trial++) {
        fill(x, 37, trial % 2 ? 85.0f : 4.0f);
        y[37] = 42;
        k->silu(y, x, 37);
        for (int i = 0; i < 37; i++)
            assert_near(y[i], (double)x[i] / (1 + exp(-(double)x[i])), 3e-7);
        assert_true(y[37] == 42);
    }
    const float edges[] = {0, -0.0f, 200, -200, NAN, INFINITY};
    k->silu(y, edges, 6);
    assert_true(y[0] == 0 && y[1] == 0 && y[2] == 200 && fabsf(y[3]) < 1e-30f && isnan(y[4]) && y[5] == INFINITY);
}

static void silu_is_right_to_the_last_bits(void **state)
{
    (void)state;
    on_every_tier(check_silu);
}

static void check_pointwise(const ffai__kernels *k)
{
    float a[70];
    float b[70];
    float y[70];
    float s[70];
    for (int n = 0; n < 70; n++) {
        fill(a, n, 5);
        fill(b, n, 5);
        k->mul(y, a, b, n);
        for (int i = 0; i < n; i++)
            assert_true(y[i] == a[i] * b[i]);
        k->add(y, a, b, n);
        for (int i = 0; i < n; i++)
            assert_true(y[i] == a[i] + b[i]);
        k->silu(s, a, n);
        k->swiglu(y, a, b, n);
        for (int i = 0; i < n; i++)
            assert_true(y[i] == s[i] * b[i]);
    }
}

static void pointwise_kernels_agree_with_scalars(void **state)
{
    (void)state;
    on_every_tier(check_pointwise);
}

static void check_softmax(const ffai__kernels *k)
{
    float scores[FFAI__SPAN_TOKENS];
    float weights[FFAI__SPAN_TOKENS];
    for (int trial = 0; trial < 500; trial++) {
        const int begin = rand() % FFAI__SPAN_TOKENS;
        const int end = begin + 1 + rand() % (FFAI__SPAN_TOKENS - begin);
        float extra[2];
        double most = -INFINITY;
        double sum = 0;
        for (int i = 0; i < FFAI__SPAN_TOKENS; i++) /* what is not seen may hold anything */
            scores[i] = i < begin || i >= end ? NAN : random_float(100);
        for (int i = begin; i < end; i++)
            most = fmax(most, (double)(scores[i] * 0.25f));
        memcpy(weights, scores, sizeof weights);
        k->softmax(extra, weights, begin, end, 0.25f);
        assert_true(extra[0] == (float)most);
        for (int i = begin; i < end; i++) {
            const double weight = exp((double)(scores[i] * 0.25f) - most);
            assert_near(weights[i], weight, 1e-5);
            sum += weight;
        }
        assert_near(extra[1], sum, 1e-5);
    }
}

static void softmax_sees_its_window_alone(void **state)
{
    (void)state;
    on_every_tier(check_softmax);
}

/* However many queries share a call, each gets the same bits. */
static void check_sharing(const ffai__kernels *k)
{
    enum { QUERIES = 11, DIM = 80 };
    static float q[QUERIES][DIM];
    static float page[FFAI__PAGE_TOKENS * DIM];
    static float together[QUERIES * FFAI__SPAN_TOKENS];
    static float alone[FFAI__SPAN_TOKENS];
    static float sums[QUERIES][DIM];
    float sum[DIM];
    uint16_t rounded[FFAI__PAGE_TOKENS * DIM];
    fill(q[0], QUERIES * DIM, 1);
    fill(page, FFAI__PAGE_TOKENS * DIM, 1);
    for (int format = 0; format < FFAI__STORE_FORMATS; format++) {
        const ffai__dtype dtype = format == FFAI__STORE_BF16 ? FFAI__BF16 : FFAI__F16;
        ffai__from_f32(rounded, dtype, page, FFAI__PAGE_TOKENS * DIM);
        const void *stored = format == FFAI__STORE_F32 ? (const void *)page : rounded;
        for (int n = 1; n <= QUERIES; n++) {
            const float *queries[QUERIES];
            for (int i = 0; i < n; i++)
                queries[i] = q[i];
            memset(sums, 0, sizeof sums);
            k->scores[format](together, queries, n, stored, DIM);
            k->accumulate[format](sums[0], DIM, together, n, stored, 3, 30, DIM);
            for (int i = 0; i < n; i++) {
                memset(sum, 0, sizeof sum);
                k->scores[format](alone, queries + i, 1, stored, DIM);
                assert_memory_equal(alone, together + i * FFAI__SPAN_TOKENS, FFAI__PAGE_TOKENS * sizeof(float));
                k->accumulate[format](sum, DIM, alone, 1, stored, 3, 17, DIM);
                k->accumulate[format](sum, DIM, alone, 1, stored, 17, 30, DIM);
                assert_memory_equal(sum, sums[i], sizeof sum);
            }
        }
    }
}

static void queries_that_share_a_page_change_no_bit(void **state)
{
    (void)state;
    on_every_tier(check_sharing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rms_norm_follows_its_definition), cmocka_unit_test(rope_turns_pairs_and_passes_the_rest),
        cmocka_unit_test(silu_is_right_to_the_last_bits),  cmocka_unit_test(pointwise_kernels_agree_with_scalars),
        cmocka_unit_test(softmax_sees_its_window_alone),   cmocka_unit_test(queries_that_share_a_page_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
