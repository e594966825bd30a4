#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sampling.h"

/* The generator's authors' known answers (Random123, kat_vectors, philox4x32 10). */
static void philox_gives_the_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4];
        uint32_t key[2];
        uint32_t out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t out[4];
        ffai__philox(out, known[i].counter, known[i].key);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static const ffai__draw plain = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

static int32_t sample(const float *logits, int64_t n, const ffai__draw *draw, const int32_t *tokens, int64_t count,
                      int64_t position)
{
    float *copy = ffai__array((size_t)n, sizeof *copy);
    void *scratch = ffai__malloc_aligned(ffai__sample_scratch_bytes(n));
    memcpy(copy, logits, (size_t)n * sizeof *copy);
    const int32_t id = ffai__sample(copy, n, draw, tokens, count, position, scratch);
    ffai__free(copy);
    ffai__free_aligned(scratch);
    return id;
}

typedef struct candidate {
    double logit;
    int32_t id;
    double probability;
} candidate;

static int by_logit(const void *a, const void *b)
{
    const candidate *x = a;
    const candidate *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void penalize(candidate *c, int64_t n, const ffai__draw *draw, const int32_t *tokens, int64_t count)
{
    for (int64_t id = 0; id < n; id++) {
        bool seen = false;
        for (int64_t i = 0; i < count; i++)
            seen = seen || tokens[i] == id;
        if (!seen)
            continue;
        const float logit = (float)c[id].logit;
        const float penalized = logit > 0 ? logit / draw->repetition_penalty : logit * draw->repetition_penalty;
        c[id].logit = (double)(penalized - draw->presence_penalty);
    }
}

static double softmax(candidate *c, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += c[i].probability = exp(c[i].logit - c[0].logit);
    for (int64_t i = 0; i < n; i++)
        c[i].probability /= sum;
    return sum;
}

/* The definition: sort, cut, cut, cut, draw. *margin: how near the draw, or a cut, came to the next token. */
static int32_t defined_sample(double *margin, const float *logits, int64_t n, const ffai__draw *draw,
                              const int32_t *tokens, int64_t count, int64_t position)
{
    candidate *c = ffai__array((size_t)n, sizeof *c);
    for (int64_t i = 0; i < n; i++)
        c[i] = (candidate){.logit = (double)logits[i], .id = (int32_t)i};
    penalize(c, n, draw, tokens, count);
    for (int64_t i = 0; i < n; i++)
        c[i].logit /= (double)draw->temperature;
    qsort(c, (size_t)n, sizeof *c, by_logit);
    *margin = 1;
    int64_t kept = draw->top_k > 0 && draw->top_k < n ? draw->top_k : n;
    softmax(c, kept);
    double sum = 0;
    for (int64_t i = 0; draw->top_p < 1 && i < kept; i++) {
        sum += c[i].probability;
        *margin = fmin(*margin, fabs(sum - (double)draw->top_p));
        if (sum >= (double)draw->top_p)
            kept = i + 1;
    }
    for (int64_t i = 1; i < kept; i++) {
        const double ratio = c[i].probability / c[0].probability;
        *margin = fmin(*margin, draw->min_p > 0 ? fabs(ratio - (double)draw->min_p) : 1);
        if (ratio < (double)draw->min_p)
            kept = i;
    }
    softmax(c, kept);
    const double uniform = ffai__philox_uniform(draw->seed, (uint64_t)position);
    int32_t id = c[kept - 1].id;
    sum = 0;
    for (int64_t i = 0; i < kept; i++) {
        sum += c[i].probability;
        *margin = fmin(*margin, fabs(sum - uniform));
        if (sum > uniform) {
            id = c[i].id;
            break;
        }
    }
    ffai__free(c);
    return id;
}

static float random_float(float most)
{
    return most * ((float)rand() / (float)RAND_MAX * 2 - 1);
}

static ffai__draw random_draw(void)
{
    static const float temperatures[] = {0.1f, 0.6f, 1.0f, 2.0f, 50.0f};
    static const float top_ps[] = {1.0f, 0.95f, 0.5f, 0.01f};
    static const float min_ps[] = {0.0f, 0.05f, 0.5f, 1.0f};
    static const int32_t top_ks[] = {0, 1, 20, 1000};
    return (ffai__draw){
        .temperature = temperatures[rand() % 5],
        .top_k = top_ks[rand() % 4],
        .top_p = top_ps[rand() % 4],
        .min_p = min_ps[rand() % 4],
        .repetition_penalty = rand() % 2 ? 1.0f : 1.3f,
        .presence_penalty = rand() % 2 ? 0.0f : 0.7f,
        .seed = (uint64_t)rand(),
    };
}

static void a_draw_is_what_sorting_and_cutting_would_give(void **state)
{
    (void)state;
    enum { MOST = 3000, HISTORY = 50 };
    float logits[MOST];
    int32_t tokens[HISTORY];
    int compared = 0;
    srand(7);
    for (int trial = 0; trial < 3000; trial++) {
        const int64_t n = trial % 10 ? 1 + rand() % 300 : MOST;
        const float spread = trial % 3 ? 10.0f : 1.0f;
        for (int64_t i = 0; i < n; i++)
            logits[i] = trial % 4 ? random_float(spread) : roundf(random_float(spread));
        for (int i = 0; i < HISTORY; i++)
            tokens[i] = rand() % (int32_t)n;
        const ffai__draw draw = random_draw();
        double margin = 0;
        const int32_t expected = defined_sample(&margin, logits, n, &draw, tokens, HISTORY, trial);
        const int32_t id = sample(logits, n, &draw, tokens, HISTORY, trial);
        if (margin < 1e-5)
            continue;
        compared++;
        assert_int_equal(id, expected);
    }
    assert_true(compared > 2000);
}

static void greedy_takes_the_smallest_id_among_equals(void **state)
{
    (void)state;
    const float logits[] = {1, 5, NAN, 5, -2, 5};
    const ffai__draw draw = {.temperature = 0, .top_p = 1, .repetition_penalty = 1};
    assert_int_equal(sample(logits, 6, &draw, NULL, 0, 0), 1);
}

static void penalties_count_each_token_of_the_history_once(void **state)
{
    (void)state;
    const float logits[] = {4.0f, 3.5f, -1.0f, -1.1f};
    const int32_t tokens[] = {0, 0, 0, 2};
    ffai__draw draw = {.temperature = 0, .top_p = 1, .repetition_penalty = 1, .presence_penalty = 0.4f};
    assert_int_equal(sample(logits, 4, &draw, tokens, 4, 0), 0);
    draw.presence_penalty = 0.6f;
    assert_int_equal(sample(logits, 4, &draw, tokens, 4, 0), 1);
    draw = (ffai__draw){.temperature = 0, .top_p = 1, .repetition_penalty = 1.2f};
    assert_int_equal(sample(logits, 4, &draw, tokens, 4, 0), 1);
    assert_int_equal(sample(logits + 2, 2, &draw, (const int32_t[]){0}, 1, 0), 1); /* a negative logit sinks */
}

static void a_mask_leaves_what_it_allows(void **state)
{
    (void)state;
    enum { COUNT = 200, KNOWN = 190 }; /* tokens that the mask does not know are not allowed */
    const int32_t tokens[] = {3, 40, 64, 199};
    float logits[COUNT];
    float left[COUNT];
    srand(11);
    for (int trial = 0; trial < 500; trial++) {
        uint32_t mask[(COUNT + 31) / 32] = {0};
        for (int i = 0; i < COUNT; i++) {
            const bool allowed = rand() % 8 == 0 || i == 5;
            logits[i] = random_float(4.0f);
            mask[i / 32] |= (uint32_t)allowed << i % 32;
            left[i] = allowed && i < KNOWN ? logits[i] : -INFINITY;
        }
        ffai__draw draw = random_draw();
        const int32_t expected = sample(left, COUNT, &draw, tokens, 4, trial);
        draw.allowed = mask;
        draw.num_allowed = KNOWN;
        const int32_t id = sample(logits, COUNT, &draw, tokens, 4, trial);
        assert_int_equal(id, expected);
        assert_true(id < KNOWN && mask[id / 32] >> id % 32 & 1);
    }
}

static void logits_that_are_not_numbers_are_never_drawn(void **state)
{
    (void)state;
    float logits[64];
    for (int i = 0; i < 64; i++)
        logits[i] = i == 40 ? 0.0f : i % 2 ? NAN : -INFINITY;
    for (int64_t position = 0; position < 50; position++)
        assert_int_equal(sample(logits, 64, &plain, NULL, 0, position), 40);
    for (int i = 0; i < 64; i++)
        logits[i] = NAN;
    assert_int_equal(sample(logits, 64, &plain, NULL, 0, 0), 0);
    logits[5] = INFINITY;
    assert_int_equal(sample(logits, 64, &plain, NULL, 0, 0), 5);
}

/* 99.9% quantile of chi-squared with 7 degrees of freedom: 24.32. The seeds are fixed, so it holds or it doesn't. */
static void draws_follow_the_distribution(void **state)
{
    (void)state;
    enum { N = 8, DRAWS = 20000 };
    const float logits[N] = {0.0f, 1.0f, -1.0f, 2.0f, 0.5f, -0.5f, 1.5f, 0.25f};
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += exp((double)logits[i]);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        int counts[N] = {0};
        ffai__draw draw = plain;
        draw.seed = seed;
        for (int64_t position = 0; position < DRAWS; position++)
            counts[sample(logits, N, &draw, NULL, 0, position)]++;
        double chi = 0;
        for (int i = 0; i < N; i++) {
            const double expected = DRAWS * exp((double)logits[i]) / sum;
            chi += (counts[i] - expected) * (counts[i] - expected) / expected;
        }
        assert_true(chi < 24.32);
    }
}

static void a_vocabulary_of_equal_logits_is_drawn_evenly(void **state)
{
    (void)state;
    enum { N = 1000 };
    static const float logits[N];
    for (int64_t position = 0; position < 20; position++) {
        const double uniform = ffai__philox_uniform(0, (uint64_t)position);
        assert_int_equal(sample(logits, N, &plain, NULL, 0, position), (int)(uniform * N));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(a_draw_is_what_sorting_and_cutting_would_give),
        cmocka_unit_test(greedy_takes_the_smallest_id_among_equals),
        cmocka_unit_test(penalties_count_each_token_of_the_history_once),
        cmocka_unit_test(a_mask_leaves_what_it_allows),
        cmocka_unit_test(logits_that_are_not_numbers_are_never_drawn),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(a_vocabulary_of_equal_logits_is_drawn_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
