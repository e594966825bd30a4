// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "launch.h"
#include "sample.h"
#include "sampling.h"

/* Steps of up to MOST_ROWS rows of up to MOST_ROWS sequences, all with output, drawn by the kernels and one after the
 * other by ffai__sample. */
enum { MOST_ROWS = 6, CONTEXT = 9000, SLOTS = 4 };

typedef struct fixture {
    int64_t vocab_size;
    int32_t rows;
    float *logits; /* [MOST_ROWS][vocab_size] */
    float *copy;   /* the same */
    int32_t tokens[MOST_ROWS][CONTEXT + 1];
    int32_t history[MOST_ROWS][CONTEXT + 1];
    int32_t slots[MOST_ROWS]; /* of rows */
    int32_t positions[MOST_ROWS];
    ffai__draw draws[MOST_ROWS];
    uint8_t *scratch;
    void *host_scratch;
    uint32_t number;
} fixture;

static void create(fixture *f, int64_t most_vocabulary)
{
    const size_t elements = MOST_ROWS * (size_t)most_vocabulary;
    memset(f, 0, sizeof *f);
    f->logits = ffai__array(elements, sizeof *f->logits);
    f->copy = ffai__array(elements, sizeof *f->copy);
    f->scratch = ffai__malloc_aligned(MOST_ROWS * ffai__cuda_sample_scratch_bytes(most_vocabulary));
    f->host_scratch = ffai__malloc_aligned(ffai__sample_scratch_bytes(most_vocabulary));
    assert_true(f->logits && f->copy && f->scratch && f->host_scratch);
}

static void destroy(fixture *f)
{
    ffai__free(f->logits);
    ffai__free(f->copy);
    ffai__free_aligned(f->scratch);
    ffai__free_aligned(f->host_scratch);
}

/* Another vocabulary has another layout of the scratch, which then begins with zeros. */
static void set_vocabulary(fixture *f, int64_t vocab_size)
{
    if (f->vocab_size != vocab_size)
        memset(f->scratch, 0, MOST_ROWS * ffai__cuda_sample_scratch_bytes(vocab_size));
    f->vocab_size = vocab_size;
}

/* What the device has of the step. */
typedef struct device_step {
    ffai__cuda_sizes sizes;
    ffai__cuda_row rows[MOST_ROWS];
    int32_t output_rows[MOST_ROWS];
    ffai__cuda_draw draws[MOST_ROWS];
    ffai__cuda_drawn drawn[SLOTS][MOST_ROWS];
    ffai__cuda_sample_args args;
    bool at_once;
} device_step;

static void fill_step(device_step *d, fixture *f)
{
    int32_t sequence_of_row[MOST_ROWS];
    memset(d, 0, sizeof *d);
    for (int32_t r = 0; r < f->rows; r++) {
        d->output_rows[r] = r;
        d->rows[r] = (ffai__cuda_row){.position = f->positions[r], .slot = f->slots[r]};
        sequence_of_row[r] = f->slots[r];
    }
    const ffai__step step = {
        .num_outputs = f->rows, .output_rows = d->output_rows, .sequence_of_row = sequence_of_row, .draws = f->draws};
    d->at_once = ffai__cuda_draws_fill(d->draws, &step);
    d->sizes = (ffai__cuda_sizes){f->rows, f->rows, .draws = 1, .number = f->number};
    d->args = (ffai__cuda_sample_args){
        .step = {.sizes = &d->sizes,
                 .rows = d->rows,
                 .output_rows = d->output_rows,
                 .draws = d->draws,
                 .history = f->history[0],
                 .history_stride = CONTEXT + 1},
        .logits = f->copy,
        .vocab_size = f->vocab_size,
        .scratch = f->scratch,
        .scratch_stride = (int64_t)ffai__cuda_sample_scratch_bytes(f->vocab_size),
        .drawn = d->drawn[0],
        .slots = SLOTS,
        .max_outputs = MOST_ROWS,
    };
}

static void run_kernels(const device_step *d, bool at_once, unsigned blocks)
{
    CUDA_MODEL_RUN("sample_best", blocks, FFAI__CUDA_SAMPLE_THREADS, FFAI__CUDA_SAMPLE_BEST_SHARED_BYTES, &d->args);
    if (at_once)
        return;
    CUDA_MODEL_RUN("sample_weigh", blocks, FFAI__CUDA_SAMPLE_THREADS, FFAI__CUDA_SAMPLE_SHARED_BYTES, &d->args);
    CUDA_MODEL_RUN("sample_draw", blocks, FFAI__CUDA_SAMPLE_THREADS, FFAI__CUDA_SAMPLE_SHARED_BYTES, &d->args);
}

/* Draws on the device: history is written, the ids are in d. */
static void draw_on_device(device_step *d, fixture *f, unsigned blocks)
{
    const size_t bytes = MOST_ROWS * (size_t)f->vocab_size * sizeof *f->logits;
    memcpy(f->history, f->tokens, sizeof f->history);
    memcpy(f->copy, f->logits, bytes);
    fill_step(d, f);
    run_kernels(d, d->at_once, blocks ? blocks : ffai__cuda_sample_blocks(f->vocab_size, MOST_ROWS));
    assert_memory_equal(f->copy, f->logits, bytes);
}

static void describe(const fixture *f, int32_t r, int trial)
{
    const ffai__draw *d = &f->draws[r];
    print_message("trial %d, row %d of %d: %lld tokens, position %d, temperature %g, top_k %d, top_p %g, min_p %g, "
                  "penalties %g and %g, seed %llu\n",
                  trial, (int)r, (int)f->rows, (long long)f->vocab_size, (int)f->positions[r], (double)d->temperature,
                  (int)d->top_k, (double)d->top_p, (double)d->min_p, (double)d->repetition_penalty,
                  (double)d->presence_penalty, (unsigned long long)d->seed);
}

/* The rows in order, each with the tokens that those before it have drawn. Destroys f->copy and f->tokens. */
static void compare_with_host(const device_step *d, fixture *f, int trial)
{
    const ffai__cuda_drawn *drawn = d->drawn[f->number % SLOTS];
    for (int32_t r = 0; r < f->rows; r++) {
        int32_t *tokens = f->tokens[f->slots[r]];
        const int32_t position = f->positions[r];
        const int32_t id = ffai__sample(f->copy + r * f->vocab_size, f->vocab_size, &f->draws[r], tokens, position + 1,
                                        position, f->host_scratch);
        tokens[position + 1] = id;
        if (drawn[r].id != id)
            describe(f, r, trial);
        assert_int_equal(drawn[r].id, id);
        assert_memory_equal(&drawn[r].logit, &f->logits[r * f->vocab_size + id], sizeof(float));
    }
    assert_memory_equal(f->history, f->tokens, sizeof f->history);
}

static void check(fixture *f, unsigned blocks, int trial)
{
    device_step d;
    f->number++;
    draw_on_device(&d, f, blocks);
    compare_with_host(&d, f, trial);
}

/* --- cases --- */

static uint64_t random_state;

static uint32_t random_word(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

static int32_t random_below(int64_t end)
{
    return (int32_t)(random_word() % (uint32_t)end);
}

/* In [-1, 1], more often near 0. */
static float random_number(void)
{
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)random_below(1 << 20) / (float)(1 << 20) - 0.5f;
    return sum / 2;
}

#define CHOOSE(array) (array)[random_below((int64_t)(sizeof(array) / sizeof *(array)))]

static void spread(float *logits, int64_t n, float most)
{
    for (int64_t i = 0; i < n; i++)
        logits[i] = random_number() * most;
}

static void round_all(float *logits, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        logits[i] = roundf(logits[i]);
}

static void strew(float *logits, int64_t n, float what, int one_in)
{
    for (int64_t i = 0; i < n; i++) {
        if (random_below(one_in) == 0)
            logits[i] = what;
    }
}

static void random_logits(float *logits, int64_t n)
{
    static const float spreads[] = {0.001f, 1, 10, 40, 300, 1e30f};
    static const float strange[] = {NAN, -INFINITY, -1e9f, -0.0f, 3.0e38f, -3.0e38f};
    spread(logits, n, CHOOSE(spreads));
    if (random_below(4) == 0)
        round_all(logits, n);
    if (random_below(8) == 0)
        strew(logits, n, 1.0f, 1); /* all are equal */
    if (random_below(4) == 0)
        strew(logits, n, CHOOSE(strange), 1 + random_below(3));
    if (random_below(4) == 0)
        logits[random_below(n)] = 25;
    if (random_below(30) == 0)
        logits[random_below(n)] = INFINITY;
}

static ffai__draw random_draw(int64_t n)
{
    static const float temperatures[] = {0, 0.1f, 0.6f, 1, 1, 2, 50, 100, 1e-3f, 1e-30f, FLT_MIN, 1e-40f};
    static const float top_ps[] = {1, 1, 0.95f, 0.9f, 0.5f, 0.01f, 1e-6f, 0.999999f};
    static const float min_ps[] = {0, 0, 0.05f, 0.5f, 1, 1e-4f, 1e-35f, 0.9999f};
    const int32_t top_ks[] = {0, 0, 1, 2, 20, 1000, (int32_t)n, INT32_MAX};
    static const float repetitions[] = {1, 1, 1.3f, 0.8f};
    static const float presences[] = {0, 0, 0.7f, -0.5f};
    return (ffai__draw){
        .temperature = CHOOSE(temperatures),
        .top_k = CHOOSE(top_ks),
        .top_p = CHOOSE(top_ps),
        .min_p = CHOOSE(min_ps),
        .repetition_penalty = CHOOSE(repetitions),
        .presence_penalty = CHOOSE(presences),
        .seed = (uint64_t)random_word() << 32 | random_word(),
    };
}

/* Sequences of one row or of several, at any length. */
static void random_rows(fixture *f)
{
    int32_t slot = random_below(MOST_ROWS);
    f->rows = 1 + random_below(MOST_ROWS);
    for (int32_t r = 0; r < f->rows; r++) {
        const bool goes_on = r > 0 && random_below(2) == 0;
        slot = goes_on || r == 0 ? slot : (slot + 1) % MOST_ROWS;
        f->slots[r] = slot;
        f->positions[r] = goes_on ? f->positions[r - 1] + 1 : random_below(random_below(8) ? 500 : CONTEXT - MOST_ROWS);
        f->draws[r] = random_draw(f->vocab_size);
    }
}

static void random_tokens(fixture *f)
{
    const int64_t most = random_below(2) ? f->vocab_size : 1 + f->vocab_size / 20;
    for (int32_t s = 0; s < MOST_ROWS; s++) {
        for (int i = 0; i <= CONTEXT; i++)
            f->tokens[s][i] = i < 600 ? random_below(most) : f->tokens[s][i - 600] + (i % 600 == 0);
    }
}

static void random_case(fixture *f, int64_t vocab_size)
{
    set_vocabulary(f, vocab_size);
    random_rows(f);
    random_tokens(f);
    for (int32_t r = 0; r < MOST_ROWS; r++)
        random_logits(f->logits + r * vocab_size, vocab_size);
}

/* One row without history, to be changed. */
static void plain_case(fixture *f, int64_t vocab_size)
{
    set_vocabulary(f, vocab_size);
    f->rows = 1;
    f->slots[0] = 0;
    f->positions[0] = 0;
    f->draws[0] = (ffai__draw){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    memset(f->tokens, 0, sizeof f->tokens);
    for (int64_t i = 0; i < MOST_ROWS * vocab_size; i++)
        f->logits[i] = 0;
}

static void need_kernels(void)
{
    if (!cuda_model_has_kernels())
        skip();
}

static int forwards(void **state)
{
    (void)state;
    cuda_model_run_backwards(false);
    return 0;
}

/* --- tests --- */

static void a_draw_is_the_one_of_the_host(void **state)
{
    (void)state;
    static const unsigned grids[] = {0, 0, 1, 5};
    fixture f;
    need_kernels();
    create(&f, 20000);
    random_state = 11;
    for (int trial = 0; trial < 2500; trial++) {
        cuda_model_run_backwards(trial % 2);
        random_case(&f, trial % 10 ? 1 + random_below(600) : trial % 20 ? 1 + random_below(20000) : 4096);
        check(&f, CHOOSE(grids), trial);
    }
    destroy(&f);
}

static void so_it_is_in_large_vocabularies(void **state)
{
    (void)state;
    fixture f;
    need_kernels();
    create(&f, 152064);
    random_state = 12;
    for (int trial = 0; trial < 24; trial++) {
        random_case(&f, trial % 2 ? 152064 : 128256);
        check(&f, 0, trial);
    }
    destroy(&f);
}

static void real_parameters_over_real_spreads_find_their_token(void **state)
{
    (void)state;
    fixture f;
    need_kernels();
    create(&f, 49152);
    random_state = 13;
    for (int trial = 0; trial < 30; trial++) {
        plain_case(&f, 49152);
        f.rows = MOST_ROWS;
        for (int32_t r = 0; r < f.rows; r++) {
            f.slots[r] = r;
            f.positions[r] = trial;
            f.draws[r] = (ffai__draw){.temperature = r % 2 ? 0.7f : 1.0f,
                                      .top_k = r % 3 == 1 ? 40 : 0,
                                      .top_p = r % 3 == 2 ? 0.9f : 1.0f,
                                      .min_p = r == 5 ? 0.05f : 0,
                                      .repetition_penalty = 1,
                                      .seed = random_word()};
            spread(f.logits + r * f.vocab_size, f.vocab_size, 20);
        }
        check(&f, 0, trial);
    }
    destroy(&f);
}

/* All tokens are in one bucket: more than are listed. */
static void a_bucket_with_all_of_the_vocabulary_is_looked_through(void **state)
{
    (void)state;
    fixture f;
    need_kernels();
    create(&f, 9000);
    random_state = 14;
    for (int trial = 0; trial < 24; trial++) {
        plain_case(&f, 9000);
        if (trial % 2) /* nearly equal, and one so low that buckets are wide */
            spread(f.logits, f.vocab_size, 1e-3f);
        if (trial % 4 == 3)
            f.logits[77] = -50;
        f.draws[0].top_k = trial % 3 == 0 ? 5000 : 0;
        f.draws[0].top_p = trial % 3 == 1 ? 0.7f : 1;
        f.draws[0].min_p = trial % 3 == 2 ? 0.9995f : 0;
        f.draws[0].repetition_penalty = trial % 5 == 0 ? 1.001f : 1;
        f.draws[0].seed = random_word();
        f.positions[0] = trial;
        check(&f, 0, trial);
    }
    destroy(&f);
}

static void greedy_rows_are_settled_by_the_first_kernel(void **state)
{
    (void)state;
    fixture f;
    need_kernels();
    create(&f, 13000);
    random_state = 15;
    for (int trial = 0; trial < 60; trial++) {
        device_step d;
        random_case(&f, 13000);
        for (int32_t r = 0; r < f.rows; r++) {
            f.draws[r].temperature = 0;
            f.draws[r].repetition_penalty = 1;
            f.draws[r].presence_penalty = 0;
        }
        draw_on_device(&d, &f, 0);
        assert_true(d.at_once);
        memcpy(f.history, f.tokens, sizeof f.history);
        run_kernels(&d, trial % 2, 40); /* once more, and the others after it change nothing */
        compare_with_host(&d, &f, trial);
    }
    destroy(&f);
}

static void temperatures_and_penalties_need_all_kernels(void **state)
{
    (void)state;
    ffai__cuda_draw made;
    ffai__draw draw = {.temperature = 0, .top_p = 1, .repetition_penalty = 1};
    const int32_t zero = 0;
    const ffai__step step = {.num_outputs = 1, .output_rows = &zero, .sequence_of_row = &zero, .draws = &draw};
    assert_true(ffai__cuda_draws_fill(&made, &step));
    draw.temperature = 0.5f;
    assert_false(ffai__cuda_draws_fill(&made, &step));
    draw.temperature = 0;
    draw.presence_penalty = 1;
    assert_false(ffai__cuda_draws_fill(&made, &step));
    draw.presence_penalty = 0;
    draw.repetition_penalty = 1.1f;
    assert_false(ffai__cuda_draws_fill(&made, &step));
    assert_int_equal(made.follows, 0);
}

static void penalties_of_a_row_see_what_the_rows_before_it_drew(void **state)
{
    (void)state;
    fixture f;
    need_kernels();
    create(&f, 5000);
    random_state = 16;
    for (int trial = 0; trial < 100; trial++) {
        plain_case(&f, 5000);
        f.rows = MOST_ROWS;
        for (int32_t r = 0; r < f.rows; r++) {
            f.slots[r] = trial % 3 == 0 ? 2 : r / 3;
            f.positions[r] = 10 + r * (1 + trial % 2);
            f.draws[r].temperature = (trial + r) % 3 ? 0 : 0.3f;
            f.draws[r].presence_penalty = (trial >> r % 5) % 2 ? 5 : 0;
            f.draws[r].seed = random_word();
            f.logits[r * f.vocab_size + 4700] = 9; /* the largest of all rows, until one has drawn it */
            f.logits[r * f.vocab_size + 30] = 7;
            f.logits[r * f.vocab_size + 31 + r] = 5;
        }
        check(&f, (unsigned)trial % 7, trial);
    }
    destroy(&f);
}

static void a_step_that_draws_nothing_touches_nothing(void **state)
{
    (void)state;
    fixture f;
    device_step d;
    need_kernels();
    create(&f, 300);
    random_state = 17;
    random_case(&f, 300);
    f.rows = 3;
    fill_step(&d, &f);
    memcpy(f.history, f.tokens, sizeof f.history);
    memset(d.drawn, 0x5A, sizeof d.drawn);
    ffai__cuda_drawn before[SLOTS][MOST_ROWS];
    memcpy(before, d.drawn, sizeof before);
    for (int without_rows = 0; without_rows < 2; without_rows++) {
        d.sizes.draws = without_rows;
        d.sizes.num_outputs = without_rows ? 0 : 3;
        run_kernels(&d, false, 4);
        assert_memory_equal(d.drawn, before, sizeof before);
        assert_memory_equal(f.history, f.tokens, sizeof f.history);
    }
    destroy(&f);
}

static void the_largest_is_found_wherever_it_is(void **state)
{
    (void)state;
    fixture f;
    need_kernels();
    create(&f, 9001);
    for (int64_t id = 0; id < 9001; id += id % 4096 < 5 ? 1 : 293) {
        plain_case(&f, 9001);
        f.draws[0].temperature = 0;
        f.logits[id] = 1;
        f.logits[9000] = 1;
        check(&f, 0, (int)id);
        assert_int_equal(f.history[0][1], id);
    }
    destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_draw_is_the_one_of_the_host, forwards),
        cmocka_unit_test(so_it_is_in_large_vocabularies),
        cmocka_unit_test(real_parameters_over_real_spreads_find_their_token),
        cmocka_unit_test(a_bucket_with_all_of_the_vocabulary_is_looked_through),
        cmocka_unit_test(greedy_rows_are_settled_by_the_first_kernel),
        cmocka_unit_test(temperatures_and_penalties_need_all_kernels),
        cmocka_unit_test(penalties_of_a_row_see_what_the_rows_before_it_drew),
        cmocka_unit_test(a_step_that_draws_nothing_touches_nothing),
        cmocka_unit_test(the_largest_is_found_wherever_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
