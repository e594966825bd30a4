/* rms_norm, rotate, silu, swiglu, mul, add. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "timed.h"

static const int sizes[] = {1, 2, 7, 15, 16, 17, 31, 33, 64, 80, 127, 576, 2048};

enum { NUM_SIZES = sizeof sizes / sizeof *sizes };

static const ffai__kernels *kernels_of(const checkop *c)
{
    return checkop_tier_of(c)->kernels;
}

/* --- rms_norm --- */

/* All terms of the sum have one sign, so that it is off by its depth in eps, halved by the root; then come the
 * division, the root, the reciprocal and two products. A tier adds at least eight chains. */
static double norm_bar(double exact, int n)
{
    return fabs(exact) * ((n / 8.0 + 6) / 2 + 6) * CHECKOP_EPS;
}

/* A sum of squares beyond float32 makes the row zero; an infinity is not a number then, and NaN makes all so. */
static void expect_norm(checkop *c, const float *y, const float *x, const float *w, int n, float eps)
{
    double squares = 0;
    for (int i = 0; i < n; i++)
        squares += (double)x[i] * (double)x[i];
    const double scale = squares > (double)FLT_MAX ? 0 : 1 / sqrt(squares / n + (double)eps);
    for (int i = 0; i < n; i++) {
        const double exact = (double)x[i] * (double)w[i] * scale;
        if (isnan(exact))
            checkop_not_finite(c, "y", i, y[i]);
        else
            checkop_near(c, "y", i, y[i], exact, norm_bar(exact, n));
    }
}

static void norm_case(checkop *c, int n, checkop_fill fill)
{
    const float eps = checkop_pick(c, 0, 1) ? 1e-5f : 1e-6f;
    checkop_begin(c, "n %d, x %s", n, checkop_fill_name(fill));
    float *x = checkop_floats_in(c, n);
    float *w = checkop_floats_in(c, n);
    float *y = checkop_floats_out(c, n);
    float *own = checkop_floats_out(c, n);
    checkop_fill_floats(c, x, n, fill);
    checkop_fill_floats(c, w, n, CHECKOP_PLAIN);
    memcpy(own, x, (size_t)n * sizeof *x);
    checkop_seal(c);
    kernels_of(c)->rms_norm(y, x, w, n, eps);
    kernels_of(c)->rms_norm(own, own, w, n, eps);
    expect_norm(c, y, x, w, n, eps);
    checkop_equal(c, "in place, elsewhere", own, y, n);
    checkop_end(c);
}

static void check_norm(checkop *c)
{
    for (int repeat = 0; repeat < 3; repeat++) {
        for (int s = 0; s < NUM_SIZES; s++) {
            for (int fill = 0; fill < CHECKOP_FILLS; fill++)
                norm_case(c, sizes[s], (checkop_fill)fill);
        }
    }
}

static void run_norm(void *context)
{
    const timed *t = context;
    t->tier->kernels->rms_norm(t->y, t->x[0], t->x[1], t->n, 1e-5f);
}

static bool bench_norm(checkop_job *job, const checkop_tier *tier, int variant)
{
    static const int widths[] = {576, 4096};
    if (variant >= 2)
        return false;
    timed_open(job, tier, run_norm, widths[variant], 2, "%d", widths[variant]);
    job->bytes = 12.0 * widths[variant]; /* x twice */
    job->flops = 4.0 * widths[variant];
    return true;
}

const checkop_kernel checkop_rms_norm = {"(n/16 + 9) eps of y: half the depth of the sum of squares, and six roundings",
                                         false, check_norm, bench_norm};

/* --- rotate --- */

static void expect_rotate(checkop *c, const float *y, const float *x, const float *cosines, const float *sines,
                          int half)
{
    for (int i = 0; i < half; i++) {
        const double a = (double)x[i];
        const double b = (double)x[half + i];
        const double cosine = (double)cosines[i];
        const double sine = (double)sines[i];
        checkop_near(c, "y", i, y[i], a * cosine - b * sine, 2.01 * CHECKOP_EPS * (fabs(a * cosine) + fabs(b * sine)));
        checkop_near(c, "y", half + i, y[half + i], b * cosine + a * sine,
                     2.01 * CHECKOP_EPS * (fabs(b * cosine) + fabs(a * sine)));
    }
}

static void rotate_case(checkop *c, int dims, int head_dim, checkop_fill fill)
{
    const int half = dims / 2;
    checkop_begin(c, "%d of %d dimensions, x %s", dims, head_dim, checkop_fill_name(fill));
    float *x = checkop_floats_in(c, head_dim);
    float *cosines = checkop_floats_in(c, half);
    float *sines = checkop_floats_in(c, half);
    float *y = checkop_floats_out(c, head_dim);
    float *own = checkop_floats_out(c, head_dim);
    checkop_fill_floats(c, x, head_dim, fill);
    for (int i = 0; i < half; i++) {
        const float angle = 3.2f * checkop_uniform(c);
        cosines[i] = cosf(angle);
        sines[i] = sinf(angle);
    }
    memcpy(own, x, (size_t)head_dim * sizeof *x);
    checkop_seal(c);
    kernels_of(c)->rotate(y, x, cosines, sines, dims, head_dim);
    kernels_of(c)->rotate(own, own, cosines, sines, dims, head_dim);
    if (fill < CHECKOP_FINITE)
        expect_rotate(c, y, x, cosines, sines, half);
    checkop_equal(c, "dimensions that pass", y + dims, x + dims, head_dim - dims);
    checkop_equal(c, "in place, elsewhere", own, y, head_dim);
    checkop_end(c);
}

static void check_rotate(checkop *c)
{
    static const int shapes[][2] = {{2, 2},   {6, 6},   {8, 8},    {2, 10},    {12, 18},  {32, 64},  {64, 64},
                                    {80, 80}, {96, 96}, {32, 128}, {128, 128}, {50, 250}, {256, 256}};
    for (int repeat = 0; repeat < 3; repeat++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            for (int fill = 0; fill < CHECKOP_FILLS; fill++)
                rotate_case(c, shapes[s][0], shapes[s][1], (checkop_fill)fill);
        }
    }
}

static void run_rotate(void *context)
{
    const timed *t = context;
    t->tier->kernels->rotate(t->y, t->x[0], t->x[1], t->x[2], (int)t->n, (int)t->n);
}

static bool bench_rotate(checkop_job *job, const checkop_tier *tier, int variant)
{
    static const int dims[] = {64, 128};
    if (variant >= 2)
        return false;
    timed_open(job, tier, run_rotate, dims[variant], 3, "%d", dims[variant]);
    job->bytes = 8.0 * dims[variant];
    job->flops = 3.0 * dims[variant];
    return true;
}

const checkop_kernel checkop_rotate = {"2 eps of |a cos| + |b sin|: a product and a sum, fused or not", false,
                                       check_rotate, bench_rotate};

/* --- pointwise --- */

typedef void one_operand(float *y, const float *a, int64_t n);
typedef void two_operands(float *y, const float *a, const float *b, int64_t n);

typedef struct pointwise {
    one_operand *one;
    two_operands *two;
    double (*exact)(double a, double b);
    double (*bar)(double a, double b, double exact);
} pointwise;

static void apply(const pointwise *p, float *y, const float *a, const float *b, int64_t n)
{
    if (p->one)
        p->one(y, a, n);
    else
        p->two(y, a, b, n);
}

/* Every element: the right value where operands are finite; none of the others notices where one is not. */
static void expect_pointwise(checkop *c, const pointwise *p, const float *y, const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++) {
        const double other = p->two ? (double)b[i] : 1;
        const double exact = p->exact((double)a[i], other);
        if (isfinite(a[i]) && isfinite(other))
            checkop_near(c, "y", i, y[i], exact, p->bar((double)a[i], other, exact));
        else if (isnan(a[i]) || isnan(other) || isinf(exact))
            checkop_near(c, "y", i, y[i], exact, 0);
        else
            checkop_not_finite(c, "y", i, y[i]);
    }
}

static void pointwise_case(checkop *c, const pointwise *p, int n, checkop_fill fill_a, checkop_fill fill_b)
{
    checkop_begin(c, "n %d, a %s, b %s", n, checkop_fill_name(fill_a), checkop_fill_name(fill_b));
    float *a = checkop_floats_in(c, n);
    float *b = checkop_floats_in(c, n);
    float *y = checkop_floats_out(c, n);
    float *own = checkop_floats_out(c, n);
    checkop_fill_floats(c, a, n, fill_a);
    checkop_fill_floats(c, b, n, fill_b);
    if (fill_a == CHECKOP_SPREAD) { /* where the exponential function begins and ends */
        for (int i = 0; i < n; i += 2)
            a[i] = 95 * checkop_uniform(c);
    }
    memcpy(own, a, (size_t)n * sizeof *a);
    checkop_seal(c);
    apply(p, y, a, b, n);
    apply(p, own, own, b, n);
    expect_pointwise(c, p, y, a, b, n);
    checkop_equal(c, "in place, elsewhere", own, y, n);
    for (int i = 0; i < n; i++) {
        float alone = 0;
        apply(p, &alone, a + i, b + i, 1);
        checkop_equal(c, "alone, in company", &alone, y + i, 1);
    }
    checkop_end(c);
}

static void check_pointwise(checkop *c, const pointwise *p)
{
    for (int s = 0; s < NUM_SIZES; s++) {
        for (int fill = 0; fill < CHECKOP_FILLS; fill++) {
            pointwise_case(c, p, sizes[s], (checkop_fill)fill, CHECKOP_PLAIN);
            pointwise_case(c, p, sizes[s], CHECKOP_SPREAD, (checkop_fill)fill);
            pointwise_case(c, p, sizes[s], (checkop_fill)fill, (checkop_fill)fill);
        }
    }
}

static double exact_silu(double a, double b)
{
    (void)b;
    return a / (1 + exp(-a));
}

/* The exponential function: 3.1e-9 of its polynomial, and under 3 eps of roundings; then a sum and a quotient. Below
 * -88.3 it is held at e^88.3, which leaves |a| 2^-127. */
static double silu_bar(double a, double b, double exact)
{
    (void)b;
    return 5.1 * CHECKOP_EPS * fabs(exact) + fabs(a) * 0x1p-126;
}

static double exact_swiglu(double a, double b)
{
    return exact_silu(a, 0) * b;
}

static double swiglu_bar(double a, double b, double exact)
{
    return 6.1 * CHECKOP_EPS * fabs(exact) + fabs(a * b) * 0x1p-126 + fabs(b) * CHECKOP_LEAST;
}

static double exact_mul(double a, double b)
{
    return a * b;
}

static double exact_add(double a, double b)
{
    return a + b;
}

static double one_rounding(double a, double b, double exact)
{
    (void)a;
    (void)b;
    return CHECKOP_EPS * fabs(exact);
}

static void check_silu(checkop *c)
{
    check_pointwise(c, &(pointwise){.one = kernels_of(c)->silu, .exact = exact_silu, .bar = silu_bar});
}

static void check_swiglu(checkop *c)
{
    check_pointwise(c, &(pointwise){.two = kernels_of(c)->swiglu, .exact = exact_swiglu, .bar = swiglu_bar});
}

static void check_mul(checkop *c)
{
    check_pointwise(c, &(pointwise){.two = kernels_of(c)->mul, .exact = exact_mul, .bar = one_rounding});
}

static void check_add(checkop *c)
{
    check_pointwise(c, &(pointwise){.two = kernels_of(c)->add, .exact = exact_add, .bar = one_rounding});
}

static void run_silu(void *context)
{
    const timed *t = context;
    t->tier->kernels->silu(t->y, t->x[0], t->n);
}

static void run_swiglu(void *context)
{
    const timed *t = context;
    t->tier->kernels->swiglu(t->y, t->x[0], t->x[1], t->n);
}

static void run_mul(void *context)
{
    const timed *t = context;
    t->tier->kernels->mul(t->y, t->x[0], t->x[1], t->n);
}

static void run_add(void *context)
{
    const timed *t = context;
    t->tier->kernels->add(t->y, t->x[0], t->x[1], t->n);
}

static bool bench_pointwise(checkop_job *job, const checkop_tier *tier, int variant, void (*run)(void *), int operands,
                            double flops)
{
    enum { WIDTH = 1536 };
    if (variant)
        return false;
    timed_open(job, tier, run, WIDTH, operands, "%d", WIDTH);
    job->bytes = 4.0 * WIDTH * operands;
    job->flops = flops * WIDTH;
    return true;
}

static bool bench_silu(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_pointwise(job, tier, variant, run_silu, 1, 24);
}

static bool bench_swiglu(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_pointwise(job, tier, variant, run_swiglu, 2, 25);
}

static bool bench_mul(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_pointwise(job, tier, variant, run_mul, 2, 1);
}

static bool bench_add(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_pointwise(job, tier, variant, run_add, 2, 1);
}

const checkop_kernel checkop_silu = {
    "5.1 eps of y + 2^-126 |x|: exp under 3.1, a sum, a quotient; exp is held at e^88.3", false, check_silu,
    bench_silu};
const checkop_kernel checkop_swiglu = {"6.1 eps of y: silu's, and a product", false, check_swiglu, bench_swiglu};
const checkop_kernel checkop_mul = {"eps of y: one rounding", true, check_mul, bench_mul};
const checkop_kernel checkop_add = {"eps of y: one rounding", true, check_add, bench_add};
