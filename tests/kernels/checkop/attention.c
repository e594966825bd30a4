/* scores, softmax, accumulate, widen, merge, finish. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "dtype.h"
#include "timed.h"

static const int head_dims[] = {2, 6, 8, 18, 32, 33, 64, 80, 96, 112, 128, 192, 250, 256};

enum { NUM_DIMS = sizeof head_dims / sizeof *head_dims, MOST_QUERIES = 32, PAGE = FFAI__PAGE_TOKENS };

static const ffai__kernels *kernels_of(const checkop *c)
{
    return checkop_tier_of(c)->kernels;
}

/* Numbers of a page, of [rows][width], as the store keeps them, and what they are in float32. */
static const void *stored_page(checkop *c, float *values, int rows, int width, int used, ffai__dtype dtype,
                               checkop_fill fill)
{
    const size_t count = (size_t)rows * (size_t)width;
    uint8_t *page = checkop_input(c, count * ffai__dtype_size(dtype), 64);
    for (int r = 0; r < rows; r++) {
        float *row = values + (int64_t)r * width;
        memset(row, 0, (size_t)width * sizeof *row);
        checkop_fill_floats(c, row, used, fill);
        for (int i = 0; i < used && dtype == FFAI__F16; i++)
            row[i] = fmaxf(fminf(row[i], 60000.0f), -60000.0f);
    }
    ffai__from_f32(page, dtype, values, count);
    ffai__to_f32(values, page, dtype, count);
    return page;
}

static bool denormal(float x)
{
    return fabs((double)x) < CHECKOP_LEAST;
}

/* --- scores --- */

static void expect_scores(checkop *c, const float *scores, const float *queries, int num_queries, const float *keys,
                          int head_dim)
{
    for (int i = 0; i < num_queries; i++) {
        for (int t = 0; t < PAGE; t++) {
            double exact = 0;
            double all = 0;
            double lost = 0; /* operands that may count as zero */
            for (int d = 0; d < head_dim; d++) {
                const double product = (double)queries[i * head_dim + d] * (double)keys[d * PAGE + t];
                exact += product;
                all += fabs(product);
                lost += denormal(queries[i * head_dim + d]) || denormal(keys[d * PAGE + t]) ? fabs(product) : 0;
            }
            const float score = scores[i * FFAI__SCORES_STRIDE + t];
            if (!isfinite(exact))
                checkop_not_finite(c, "score", i * PAGE + t, score);
            else
                checkop_near(c, "score", i * PAGE + t, score, exact, (head_dim + 1) * CHECKOP_EPS * all + lost);
        }
    }
}

static void scores_case(checkop *c, int format, int head_dim, int num_queries, checkop_fill fill,
                        checkop_fill keys_fill)
{
    static float keys[256 * PAGE];
    checkop_begin(c, "%s, head_dim %d, %d queries, the second %s, keys %s", ffai__dtype_name(checkop_dtype(format)),
                  head_dim, num_queries, checkop_fill_name(fill), checkop_fill_name(keys_fill));
    const void *page = stored_page(c, keys, head_dim, PAGE, PAGE, checkop_dtype(format), keys_fill);
    float *queries = checkop_floats_in(c, (int64_t)num_queries * head_dim);
    for (int i = 0; i < num_queries; i++)
        checkop_fill_floats(c, queries + (int64_t)i * head_dim, head_dim, i == 1 ? fill : CHECKOP_PLAIN);
    float *scores = checkop_floats_out(c, (int64_t)num_queries * FFAI__SCORES_STRIDE);
    float *alone = checkop_floats_out(c, FFAI__SCORES_STRIDE);
    checkop_seal(c);
    kernels_of(c)->scores[format](scores, queries, num_queries, page, head_dim, page);
    expect_scores(c, scores, queries, num_queries, keys, head_dim);
    for (int i = 0; i < num_queries; i++) {
        kernels_of(c)->scores[format](alone, queries + (int64_t)i * head_dim, 1, page, head_dim, page);
        checkop_equal(c, "alone, in company", alone, scores + i * FFAI__SCORES_STRIDE, PAGE);
        checkop_untouched(c, "beyond the page", scores + i * FFAI__SCORES_STRIDE + PAGE, FFAI__SCORES_STRIDE - PAGE);
    }
    checkop_end(c);
}

static void check_scores(checkop *c)
{
    for (int format = 0; format < FFAI__STORE_FORMATS; format++) {
        for (int d = 0; d < NUM_DIMS; d++) {
            for (int fill = 0; fill < CHECKOP_FILLS; fill++)
                scores_case(c, format, head_dims[d], checkop_pick(c, 1, MOST_QUERIES), (checkop_fill)fill,
                            CHECKOP_PLAIN);
            for (int fill = 0; fill < CHECKOP_FINITE; fill++)
                scores_case(c, format, head_dims[d], checkop_pick(c, 1, 9), CHECKOP_PLAIN, (checkop_fill)fill);
        }
    }
}

static void run_scores(void *context)
{
    const timed *t = context;
    const int count = t->variant % 2 ? MOST_QUERIES : 4;
    t->tier->kernels->scores[t->variant / 2](t->y, t->x[1], count, t->x[0], (int)t->n, t->x[0]);
}

static bool bench_page(checkop_job *job, const checkop_tier *tier, int variant, void (*run)(void *))
{
    enum { DIM = 128 };
    if (variant >= 2 * FFAI__STORE_FORMATS)
        return false;
    const ffai__dtype dtype = checkop_dtype(variant / 2);
    const int queries = variant % 2 ? MOST_QUERIES : 4;
    timed_open(job, tier, run, MOST_QUERIES * (DIM + FFAI__SCORES_STRIDE), 2, "%s %d x %d", ffai__dtype_name(dtype),
               queries, DIM);
    timed *t = job->context;
    ffai__from_f32(t->x[0], dtype, t->x[0], (size_t)t->n); /* shrinks in place */
    t->n = DIM;
    t->variant = variant;
    job->bytes = (double)ffai__dtype_size(dtype) * DIM * PAGE;
    job->flops = 2.0 * DIM * PAGE * queries;
    return true;
}

static bool bench_scores(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_page(job, tier, variant, run_scores);
}

const checkop_kernel checkop_scores = {"(head_dim + 1) eps of the sum of |q k|: a chain of products and sums", false,
                                       check_scores, bench_scores};

/* --- softmax --- */

/* x, or the maximum it is subtracted from, may keep the product's last bits, and their difference is rounded. Below
 * e^-87.3 a result may be 0 or that. */
static double weight_bar(double x, double most)
{
    const double rounding = fmin(1, CHECKOP_EPS * (fabs(x) + fabs(most) + fabs(x - most)));
    return 2 * rounding * exp(fmin(x - most + rounding, 0)) + 4 * CHECKOP_EPS * exp(x - most) + 1.3e-38;
}

typedef struct softmax_case {
    int begin, end, head_dim;
    float scale;
    float before; /* the maximum of earlier spans, or -infinity */
    checkop_fill fill;
} softmax_case;

static bool all_finite(const softmax_case *s, const float *scores)
{
    for (int i = s->begin; i < s->end; i++) {
        if (!isfinite(scores[i] * s->scale))
            return false;
    }
    return true;
}

/* What was summed before: ones. */
static void expect_weights(checkop *c, const softmax_case *s, const float *weights, const float *partial,
                           const float *scores)
{
    const int padded = ffai__padded_dim(s->head_dim);
    double most = (double)s->before;
    for (int i = s->begin; i < s->end; i++)
        most = fmax(most, (double)(scores[i] * s->scale));
    const double kept = s->before > -INFINITY ? exp((double)s->before - most) : 0;
    const double kept_bar = kept > 0 ? weight_bar((double)s->before, most) : 0;
    double sum = kept;
    double off = kept_bar;
    for (int i = s->begin; i < s->end; i++) {
        const double x = (double)(scores[i] * s->scale);
        checkop_near(c, "weight", i, weights[i], exp(x - most), weight_bar(x, most));
        sum += exp(x - most);
        off += weight_bar(x, most);
    }
    checkop_near(c, "maximum", 0, partial[padded], most, 0);
    checkop_near(c, "denominator", 0, partial[padded + 1], sum, off + (s->end - s->begin + 1) * CHECKOP_EPS * sum);
    for (int d = 0; d < padded; d++)
        checkop_near(c, "sum before", d, partial[d], kept, kept_bar);
}

/* What is not seen may hold anything. */
static void check_softmax_case(checkop *c, const softmax_case *s)
{
    const int padded = ffai__padded_dim(s->head_dim);
    checkop_begin(c, "tokens %d to %d, times %g, maximum before %g, head_dim %d, scores %s", s->begin, s->end,
                  (double)s->scale, (double)s->before, s->head_dim, checkop_fill_name(s->fill));
    float scores[FFAI__SPAN_TOKENS];
    float *weights = checkop_floats_out(c, FFAI__SPAN_TOKENS);
    float *partial = checkop_floats_out(c, padded + FFAI__PARTIAL_EXTRA);
    for (int i = 0; i < FFAI__SPAN_TOKENS; i++)
        scores[i] = i % 3 ? NAN : INFINITY;
    checkop_fill_floats(c, scores + s->begin, s->end - s->begin, s->fill);
    for (int i = s->begin; i < s->end && s->fill == CHECKOP_PLAIN; i++)
        scores[i] *= 40;
    memcpy(weights, scores, sizeof scores);
    memset(partial, 0, (size_t)(padded + FFAI__PARTIAL_EXTRA) * sizeof *partial);
    for (int d = 0; d < padded; d++)
        partial[d] = s->before > -INFINITY ? 1 : 0;
    partial[padded] = s->before;
    partial[padded + 1] = s->before > -INFINITY ? 1 : 0;
    checkop_seal(c);
    kernels_of(c)->softmax(partial, weights, s->begin, s->end, s->scale, padded);
    if (all_finite(s, scores))
        expect_weights(c, s, weights, partial, scores);
    if (s->fill == CHECKOP_NAN || s->fill == CHECKOP_MIXTURE)
        checkop_not_finite(c, "denominator", 0, partial[padded + 1]);
    checkop_end(c);
}

static void check_softmax(checkop *c)
{
    for (int trial = 0; trial < 150; trial++) {
        const int begin = trial % 3 ? checkop_pick(c, 0, FFAI__SPAN_TOKENS - 1) : 0;
        const int end = trial % 5 ? checkop_pick(c, begin + 1, FFAI__SPAN_TOKENS) : FFAI__SPAN_TOKENS;
        for (int fill = 0; fill < CHECKOP_FILLS; fill++)
            check_softmax_case(c, &(softmax_case){.begin = begin,
                                                  .end = end,
                                                  .head_dim = head_dims[trial % NUM_DIMS],
                                                  .scale = trial % 2 ? 0.125f : 0.08838835f,
                                                  .before = trial % 4 ? 10 * checkop_normal(c) : -INFINITY,
                                                  .fill = (checkop_fill)fill});
    }
}

static void run_softmax(void *context)
{
    const timed *t = context;
    memcpy(t->y, t->x[0], (size_t)t->n * sizeof *t->y);
    t->x[1][FFAI__DIM_MULTIPLE] = 100; /* as it is most of the time: the maximum doesn't rise */
    t->tier->kernels->softmax(t->x[1], t->y, 0, (int)t->n, 0.125f, FFAI__DIM_MULTIPLE);
}

static bool bench_softmax(checkop_job *job, const checkop_tier *tier, int variant)
{
    if (variant)
        return false;
    timed_open(job, tier, run_softmax, FFAI__SPAN_TOKENS, 2, "%d", FFAI__SPAN_TOKENS);
    job->bytes = 8.0 * FFAI__SPAN_TOKENS;
    job->flops = 24.0 * FFAI__SPAN_TOKENS;
    return true;
}

const checkop_kernel checkop_softmax = {
    "weights and what is kept of earlier sums: exp of an argument that is off by (|x| + |max| + |x - max|) eps, x the "
    "scaled score, and 4 eps; their sum: that and n eps",
    false, check_softmax, bench_softmax};

/* --- accumulate --- */

typedef struct sums_case {
    int format, head_dim, num_queries, begin, end;
    checkop_fill fill, values_fill;
} sums_case;

static void expect_sums(checkop *c, const sums_case *s, const float *sums, const float *before, int64_t stride,
                        const float *weights, const float *values)
{
    const int padded = ffai__padded_dim(s->head_dim);
    for (int i = 0; i < s->num_queries; i++) {
        for (int d = 0; d < s->head_dim; d++) {
            double exact = (double)before[i * stride + d];
            double all = fabs(exact);
            for (int t = s->begin; t < s->end; t++) {
                const double product =
                    (double)weights[i * FFAI__SCORES_STRIDE + t] * (double)values[(int64_t)t * padded + d];
                exact += product;
                all += fabs(product);
            }
            if (!isfinite(exact))
                checkop_not_finite(c, "sum", i * stride + d, sums[i * stride + d]);
            else
                checkop_near(c, "sum", i * stride + d, sums[i * stride + d], exact,
                             (s->end - s->begin + 1) * CHECKOP_EPS * all);
        }
    }
}

/* Queries alone, and the tokens in two calls, give the same bits. */
static void expect_same_alone(checkop *c, const sums_case *s, const float *sums, const float *before, int64_t stride,
                              const float *weights, const void *page)
{
    const int padded = ffai__padded_dim(s->head_dim);
    const int middle = checkop_pick(c, s->begin, s->end);
    float *alone = checkop_floats_out(c, padded);
    for (int i = 0; i < s->num_queries; i++) {
        const float *w = weights + i * FFAI__SCORES_STRIDE;
        memcpy(alone, before + i * stride, (size_t)padded * sizeof *alone);
        kernels_of(c)->accumulate[s->format](alone, padded, w, 1, page, s->begin, middle, padded, page);
        kernels_of(c)->accumulate[s->format](alone, padded, w, 1, page, middle, s->end, padded, page);
        checkop_equal(c, "alone, in company", alone, sums + i * stride, padded);
    }
}

static void accumulate_case(checkop *c, const sums_case *s)
{
    static float values[256 * PAGE];
    const int padded = ffai__padded_dim(s->head_dim);
    const int64_t stride = padded + checkop_pick(c, 0, 20);
    checkop_begin(c, "%s, head_dim %d, %d queries, tokens %d to %d, weights %s, values %s",
                  ffai__dtype_name(checkop_dtype(s->format)), s->head_dim, s->num_queries, s->begin, s->end,
                  checkop_fill_name(s->fill), checkop_fill_name(s->values_fill));
    const void *page = stored_page(c, values, PAGE, padded, s->head_dim, checkop_dtype(s->format), s->values_fill);
    float *weights = checkop_floats_in(c, (int64_t)s->num_queries * FFAI__SCORES_STRIDE);
    float *before = checkop_floats_in(c, s->num_queries * stride);
    float *sums = checkop_floats_out(c, s->num_queries * stride);
    for (int i = 0; i < s->num_queries; i++)
        checkop_fill_floats(c, weights + i * FFAI__SCORES_STRIDE, FFAI__SCORES_STRIDE,
                            i == 1 ? s->fill : CHECKOP_PLAIN);
    memcpy(before, sums, (size_t)(s->num_queries * stride) * sizeof *sums);
    for (int i = 0; i < s->num_queries; i++)
        checkop_fill_floats(c, before + i * stride, padded, CHECKOP_PLAIN);
    memcpy(sums, before, (size_t)(s->num_queries * stride) * sizeof *sums);
    checkop_seal(c);
    kernels_of(c)->accumulate[s->format](sums, stride, weights, s->num_queries, page, s->begin, s->end, padded, page);
    expect_sums(c, s, sums, before, stride, weights, values);
    for (int i = 0; i < s->num_queries; i++)
        checkop_untouched(c, "between the sums", sums + i * stride + padded, stride - padded);
    expect_same_alone(c, s, sums, before, stride, weights, page);
    checkop_end(c);
}

static void check_accumulate(checkop *c)
{
    for (int format = 0; format < FFAI__STORE_FORMATS; format++) {
        for (int d = 0; d < NUM_DIMS; d++) {
            for (int fill = 0; fill < CHECKOP_FILLS + CHECKOP_FINITE; fill++) {
                const int begin = checkop_pick(c, 0, 3) ? 0 : checkop_pick(c, 0, PAGE - 1);
                accumulate_case(c, &(sums_case){.format = format,
                                                .head_dim = head_dims[d],
                                                .num_queries = checkop_pick(c, 1, fill % 4 ? 9 : MOST_QUERIES),
                                                .begin = begin,
                                                .end = checkop_pick(c, begin + 1, PAGE),
                                                .fill = fill < CHECKOP_FILLS ? (checkop_fill)fill : CHECKOP_PLAIN,
                                                .values_fill = fill < CHECKOP_FILLS
                                                                   ? CHECKOP_PLAIN
                                                                   : (checkop_fill)(fill - CHECKOP_FILLS)});
            }
        }
    }
}

static void run_accumulate(void *context)
{
    const timed *t = context;
    t->tier->kernels->accumulate[t->variant / 2](t->y, t->n, t->x[1], t->variant % 2 ? MOST_QUERIES : 4, t->x[0], 0,
                                                 PAGE, (int)t->n, t->x[0]);
}

static bool bench_accumulate(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_page(job, tier, variant, run_accumulate);
}

const checkop_kernel checkop_accumulate = {
    "(tokens + 1) eps of |sum before| + the sum of |w v|: a chain of products and sums", false, check_accumulate,
    bench_accumulate};

/* --- widen --- */

static void check_widen(checkop *c)
{
    static float values[256 * PAGE];
    for (int format = 0; format < FFAI__STORE_FORMATS; format++) {
        for (int fill = 0; fill < CHECKOP_FILLS; fill++) {
            const int count = PAGE * checkop_pick(c, 1, 256);
            checkop_begin(c, "%s, %d numbers, %s", ffai__dtype_name(checkop_dtype(format)), count,
                          checkop_fill_name((checkop_fill)fill));
            const void *page = stored_page(c, values, 1, count, count, checkop_dtype(format), (checkop_fill)fill);
            float *y = checkop_floats_out(c, count);
            checkop_seal(c);
            kernels_of(c)->widen[format](y, page, count, page);
            checkop_equal(c, "widened", y, values, count);
            checkop_end(c);
        }
    }
}

static void run_widen(void *context)
{
    const timed *t = context;
    t->tier->kernels->widen[t->variant / 2](t->y, t->x[0], t->n * PAGE, t->x[0]);
}

static bool bench_widen(checkop_job *job, const checkop_tier *tier, int variant)
{
    return variant < FFAI__STORE_FORMATS && bench_page(job, tier, 2 * variant, run_widen);
}

const checkop_kernel checkop_widen = {"none: every stored number is a float", true, check_widen, bench_widen};

/* --- merge --- */

/* A partial result: sums, then the maximum and the denominator. */
static void fill_partial(checkop *c, float *partial, int padded, checkop_fill fill)
{
    checkop_fill_floats(c, partial, padded, fill);
    memset(partial + padded, 0, FFAI__PARTIAL_EXTRA * sizeof *partial);
    partial[padded] = 30 * checkop_normal(c);
    partial[padded + 1] = 1.0f + 127.0f * fabsf(checkop_uniform(c));
}

static void expect_merged(checkop *c, const float *into, const float *before, const float *part, int padded)
{
    const double most = fmax((double)before[padded], (double)part[padded]);
    const double down_a = (double)before[padded] - most;
    const double down_b = (double)part[padded] - most;
    for (int d = 0; d < padded + 2; d++) {
        if (d == padded)
            continue;
        const double a = (double)before[d] * exp(down_a);
        const double b = (double)part[d] * exp(down_b);
        const double bar = CHECKOP_EPS * ((6 - down_a) * fabs(a) + (6 - down_b) * fabs(b));
        /* A factor below e^-87.3 is 0. */
        const double lost = 1.3e-38 * (fabs((double)before[d]) + fabs((double)part[d]));
        if (!isfinite(a + b))
            checkop_not_finite(c, "merged", d, into[d]);
        else
            checkop_near(c, "merged", d, into[d], a + b, bar + lost);
    }
    checkop_near(c, "maximum", 0, into[padded], most, 0);
}

static void merge_case(checkop *c, int head_dim, checkop_fill fill)
{
    const int padded = ffai__padded_dim(head_dim);
    const int count = padded + FFAI__PARTIAL_EXTRA;
    checkop_begin(c, "head_dim %d, sums %s", head_dim, checkop_fill_name(fill));
    float *before = checkop_floats_in(c, count);
    float *part = checkop_floats_in(c, count);
    float *into = checkop_floats_out(c, count);
    fill_partial(c, before, padded, checkop_pick(c, 0, 1) ? fill : CHECKOP_PLAIN);
    fill_partial(c, part, padded, fill);
    memcpy(into, before, (size_t)count * sizeof *into);
    checkop_seal(c);
    kernels_of(c)->merge(into, part, padded);
    expect_merged(c, into, before, part, padded);
    checkop_end(c);
}

static void check_merge(checkop *c)
{
    for (int repeat = 0; repeat < 4; repeat++) {
        for (int d = 0; d < NUM_DIMS; d++) {
            for (int fill = 0; fill < CHECKOP_FILLS; fill++)
                merge_case(c, head_dims[d], (checkop_fill)fill);
        }
    }
}

static void run_merge(void *context)
{
    const timed *t = context;
    t->y[t->n] = 0.25f; /* an even merge: the sums stay what they are */
    t->x[0][t->n] = 0.25f;
    t->tier->kernels->merge(t->y, t->x[0], (int)t->n);
}

static void run_finish(void *context)
{
    const timed *t = context;
    t->x[0][t->n + 1] = 3;
    t->tier->kernels->finish(t->y, t->x[0], (int)t->n, (int)t->n);
}

static bool bench_partial(checkop_job *job, const checkop_tier *tier, int variant, void (*run)(void *), int operands,
                          double flops)
{
    enum { DIM = 128 };
    if (variant)
        return false;
    timed_open(job, tier, run, DIM + FFAI__PARTIAL_EXTRA, 1, "%d", DIM);
    timed *t = job->context;
    t->n = DIM;
    memset(t->x[0], 0, DIM * sizeof(float));
    job->bytes = 4.0 * DIM * operands;
    job->flops = flops * DIM;
    return true;
}

static bool bench_merge(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_partial(job, tier, variant, run_merge, 2, 3);
}

const checkop_kernel checkop_merge = {
    "(|difference of the maxima| + 6) eps of each of the two addends: exp of a rounded argument, two products, a sum",
    false, check_merge, bench_merge};

/* --- finish --- */

static void finish_case(checkop *c, int head_dim, checkop_fill fill)
{
    const int padded = ffai__padded_dim(head_dim);
    checkop_begin(c, "head_dim %d, sums %s", head_dim, checkop_fill_name(fill));
    float *partial = checkop_floats_in(c, padded + FFAI__PARTIAL_EXTRA);
    float *y = checkop_floats_out(c, head_dim);
    fill_partial(c, partial, padded, fill);
    checkop_seal(c);
    kernels_of(c)->finish(y, partial, head_dim, padded);
    for (int d = 0; d < head_dim; d++) {
        const double exact = (double)partial[d] / (double)partial[padded + 1];
        if (isfinite(exact))
            checkop_near(c, "y", d, y[d], exact, 2 * CHECKOP_EPS * fabs(exact));
        else
            checkop_not_finite(c, "y", d, y[d]);
    }
    checkop_end(c);
}

static void check_finish(checkop *c)
{
    for (int d = 0; d < NUM_DIMS; d++) {
        for (int fill = 0; fill < CHECKOP_FILLS; fill++)
            finish_case(c, head_dims[d], (checkop_fill)fill);
    }
}

static bool bench_finish(checkop_job *job, const checkop_tier *tier, int variant)
{
    return bench_partial(job, tier, variant, run_finish, 1, 1);
}

const checkop_kernel checkop_finish = {"2 eps of y: a quotient, or a reciprocal and a product", false, check_finish,
                                       bench_finish};
