/* What every backend must do, held against the reference: tests that a program of each backend runs. It sets `tested`
 * before, and includes cmocka before this. */
#ifndef FFAI_TESTS_BACKEND_TESTS_H
#define FFAI_TESTS_BACKEND_TESTS_H

#include "tiny_model.h"

static const ffai__backend *tested;

enum { MOST_TOKENS = 1100 };

static int32_t prompt[MOST_TOKENS];

static void fill_prompt(int vocab)
{
    uint32_t state = 5;
    for (int i = 0; i < MOST_TOKENS; i++) {
        state = state * 1664525u + 1013904223u;
        prompt[i] = (int32_t)((state >> 8) % (uint32_t)vocab);
    }
}

/* max |a - b| / rms(b) */
static double error_of(const float *a, const float *b, int64_t count, int64_t *where)
{
    double squares = 0;
    double worst = 0;
    *where = 0;
    for (int64_t i = 0; i < count; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        squares += (double)b[i] * (double)b[i];
        if (!(difference <= worst)) {
            worst = difference;
            *where = i;
        }
    }
    return squares > 0 ? worst / sqrt(squares / (double)count) : worst;
}

/* Every activation of the last step on both sides; the first that departs is shown. */
static void compare_values(tiny_run *own, tiny_run *ref, double bar)
{
    const ffai__program *program = own->program;
    for (size_t i = 0; i < program->num_instructions; i++) {
        for (int k = 0; k < FFAI__MAX_OUTPUTS; k++) {
            const ffai__value value = program->instructions[i].out[k];
            if (value == FFAI__NONE || program->values[value].kind != FFAI__ACTIVATION)
                continue;
            const int rows = program->values[value].rows == FFAI__ROWS_R ? own->step.num_outputs : own->step.num_rows;
            const int64_t count = rows * program->values[value].columns;
            float *a = malloc((size_t)count * sizeof *a + 4);
            float *b = malloc((size_t)count * sizeof *b + 4);
            assert_int_equal(own->backend->read(own->run, value, a, NULL), FFAI_OK);
            assert_int_equal(ref->backend->read(ref->run, value, b, NULL), FFAI_OK);
            int64_t where = 0;
            const double error = error_of(a, b, count, &where);
            if (!(error <= bar)) {
                char line[256];
                ffai__instruction_print(line, sizeof line, program, i);
                fail_msg("%d rows, error %.3g at %lld of %lld: %g, ref %g: %s", rows, error, (long long)where,
                         (long long)count, (double)a[where], (double)b[where], line);
            }
            free(a);
            free(b);
        }
    }
}

/* A prompt in two chunks, single tokens, and company in another slot; all values against the reference. */
static void compare_with_ref(const tiny_shape *shape, const tiny_options *options, int tokens, double bar)
{
    static tiny_run own;
    static tiny_run ref;
    tiny_model m;
    tiny_create(&m, shape);
    fill_prompt(shape->vocab);
    tiny_open(&own, tested, m.program, options);
    tiny_open(&ref, &ffai__backend_ref, m.program, options);
    const int chunks[] = {tokens - tokens / 3, tokens / 3, 1, 1};
    int done = 0;
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        tiny_run *const sides[] = {&own, &ref};
        for (int side = 0; side < 2 && chunks[i]; side++) {
            tiny_begin(sides[side]);
            if (i == 1)
                tiny_rows(sides[side], 2, prompt, 5, 1);
            tiny_rows(sides[side], 1, prompt + done, chunks[i], i == 1 ? 2 : 1);
            tiny_step(sides[side]);
        }
        if (chunks[i])
            compare_values(&own, &ref, bar);
        done += chunks[i];
    }
    tiny_close(&own);
    tiny_close(&ref);
    tiny_free(&m);
}

static const tiny_shape plain = {.layers = 2,
                                 .hidden = 64,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_dim = 32,
                                 .rope_dims = 32,
                                 .wide = 96,
                                 .vocab = 200,
                                 .bits = 32};

static const tiny_options exact = {
    .threads = 2, .f32 = true, .format = FFAI__STORE_F32, .keep_values = true, .page_stride = 77};

static void every_value_equals_the_reference(void **state)
{
    (void)state;
    tiny_shape shape = plain;
    compare_with_ref(&shape, &exact, 100, 1e-4);
    shape.unfused = true;
    compare_with_ref(&shape, &exact, 40, 1e-4);
    shape.qk_norm = shape.bias = shape.tied = true;
    compare_with_ref(&shape, &exact, 40, 1e-4);
    shape.unfused = false;
    shape.rope_dims = 12;
    compare_with_ref(&shape, &exact, 40, 1e-4);
}

static void every_weight_format_equals_the_reference(void **state)
{
    (void)state;
    static const int bits[] = {4, 8, 16};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        tiny_shape shape = plain;
        shape.bits = bits[i];
        compare_with_ref(&shape, &exact, 50, 1e-3);
        tiny_options rounded = exact;
        rounded.f32 = false;
        compare_with_ref(&shape, &rounded, 50, 1e-1);
    }
}

static void attention_of_every_shape_equals_the_reference(void **state)
{
    (void)state;
    static const struct {
        int heads, kv_heads, head_dim, tokens;
    } shapes[] = {{9, 3, 64, 300}, {32, 8, 128, 140}, {4, 4, 32, 1000}, {2, 1, 16, 1090}, {8, 2, 80, 200},
                  {70, 2, 6, 70},  {3, 1, 2, 1},      {2, 1, 256, 135}, {5, 5, 18, 129}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        tiny_shape shape = plain;
        shape.heads = shapes[i].heads;
        shape.kv_heads = shapes[i].kv_heads;
        shape.head_dim = shape.rope_dims = shapes[i].head_dim;
        shape.layers = 1;
        compare_with_ref(&shape, &exact, shapes[i].tokens, 1e-4);
    }
}

static void windows_hide_what_is_behind_them(void **state)
{
    (void)state;
    static const int windows[] = {1, 31, 32, 33, 100, 128, 129, 500};
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        tiny_shape shape = plain;
        shape.window = windows[i];
        compare_with_ref(&shape, &exact, 330, 1e-4);
    }
}

static void rounded_stores_equal_the_reference(void **state)
{
    (void)state;
    for (int format = FFAI__STORE_F16; format <= FFAI__STORE_BF16; format++) {
        tiny_options options = exact;
        options.format = (ffai__store_format)format;
        /* a value that lies between two stored ones may be rounded either way */
        compare_with_ref(&plain, &options, 150, 2e-2);
    }
}

/* A value of a million is kept as 65,504 by both backends, and nothing becomes infinite. */
static void f16_stores_cut_what_is_beyond_their_range(void **state)
{
    (void)state;
    tiny_options options = exact;
    options.format = FFAI__STORE_F16;
    tiny_shape shape = plain;
    shape.bias = true;
    shape.value_bias = 1e6F;
    compare_with_ref(&shape, &options, 40, 2e-2);
}

/* The logits of the first `total` tokens, which go in by chunks, perhaps with company. */
static void logits_in_chunks(float *logits, const tiny_model *m, const tiny_options *options, int total, int chunk,
                             bool company)
{
    static tiny_run run;
    tiny_open(&run, tested, m->program, options);
    for (int done = 0; done < total;) {
        const int count = chunk < total - done ? chunk : total - done;
        tiny_begin(&run);
        int before = 0;
        if (company) {
            before = done % 3 + 1;
            tiny_rows(&run, 3, prompt + done, before, before);
        }
        tiny_rows(&run, 0, prompt + done, count, count);
        const float *out = tiny_step(&run);
        memcpy(logits + (int64_t)done * m->shape.vocab, out + (int64_t)before * m->shape.vocab,
               (size_t)(count * m->shape.vocab) * sizeof *logits);
        done += count;
    }
    tiny_close(&run);
}

/* Twelve tokens drawn one after another, each fed back on the device. */
static void draw_tokens(int32_t *ids, const ffai__backend *backend, const tiny_model *m, const ffai__draw *draw)
{
    static tiny_run run;
    const tiny_options options = {.threads = 2, .f32 = true, .format = FFAI__STORE_F32};
    static const int32_t sampled = FFAI__TOKEN_SAMPLED;
    tiny_open(&run, backend, m->program, &options);
    for (int i = 0; i < 12; i++) {
        tiny_begin(&run);
        tiny_rows(&run, 0, i ? &sampled : prompt, i ? 1 : 20, 1);
        run.step.draws = draw;
        tiny_step(&run);
        assert_int_equal(backend->collect(run.run, 0, ids + i, NULL, NULL, NULL), FFAI_OK);
    }
    tiny_close(&run);
}

static void drawn_tokens_equal_the_reference(void **state)
{
    (void)state;
    static const ffai__draw draws[] = {
        {.temperature = 0, .top_p = 1, .repetition_penalty = 1},
        {.temperature = 0, .top_p = 1, .repetition_penalty = 1.3f, .presence_penalty = 0.5f},
        {.temperature = 0.8f, .top_k = 20, .top_p = 0.9f, .min_p = 0.02f, .repetition_penalty = 1.1f, .seed = 11},
    };
    tiny_model m;
    tiny_create(&m, &plain);
    fill_prompt(plain.vocab);
    for (size_t i = 0; i < sizeof draws / sizeof draws[0]; i++) {
        int32_t expected[12];
        int32_t ids[12];
        draw_tokens(expected, &ffai__backend_ref, &m, &draws[i]);
        draw_tokens(ids, tested, &m, &draws[i]);
        assert_memory_equal(ids, expected, sizeof ids);
    }
    tiny_free(&m);
}

static void check_results(const ffai__backend *backend, const tiny_model *m)
{
    static tiny_run run;
    static const ffai__draw draws[2] = {{.top_p = 1, .repetition_penalty = 1.5f},
                                        {.top_p = 1, .repetition_penalty = 1}};
    const tiny_options options = {.threads = 1};
    const float *logits = NULL;
    int32_t ids[2];
    float chosen[2];
    tiny_open(&run, backend, m->program, &options);
    assert_int_equal(backend->collect(run.run, 0, NULL, NULL, &logits, NULL), FFAI_E_ARGUMENT); /* no step yet */
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, 20, 2);
    run.step.draws = draws;
    tiny_step(&run);
    assert_int_equal(backend->collect(run.run, 0, ids, chosen, &logits, NULL), FFAI_OK);
    for (int64_t r = 0; r < 2; r++)
        assert_memory_equal(&chosen[r], &logits[r * m->shape.vocab + ids[r]], sizeof *chosen);
    assert_int_equal(backend->collect(run.run, -1, ids, NULL, NULL, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(backend->collect(run.run, backend->ahead + 1, ids, NULL, NULL, NULL), FFAI_E_ARGUMENT);
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt + 20, 1, 1);
    tiny_step(&run);
    assert_int_equal(backend->collect(run.run, 0, NULL, chosen, NULL, NULL), FFAI_E_ARGUMENT); /* nothing was drawn */
    assert_int_equal(backend->collect(run.run, 0, NULL, NULL, NULL, NULL), FFAI_OK);
    tiny_close(&run);
}

static void what_was_drawn_comes_with_its_logits(void **state)
{
    (void)state;
    tiny_model m;
    tiny_create(&m, &plain);
    fill_prompt(plain.vocab);
    check_results(&ffai__backend_ref, &m);
    check_results(tested, &m);
    tiny_free(&m);
}

/* Each step is submitted before the one before it is collected, and the arrays of that one are used again: of a backend
 * that can run ahead. */
static void results_stay_while_the_next_step_is_there(void **state)
{
    (void)state;
    enum { STEPS = 12 };
    static const ffai__draw draw = {.temperature = 0.8f, .top_p = 1, .repetition_penalty = 1.1f, .seed = 11};
    static const int32_t sampled = FFAI__TOKEN_SAMPLED;
    static tiny_run run;
    const tiny_options options = {.threads = 2, .f32 = true, .format = FFAI__STORE_F32};
    int32_t expected[STEPS], ids[STEPS];
    float chosen[STEPS];
    tiny_model m;
    if (!tested->ahead)
        return;
    tiny_create(&m, &plain);
    fill_prompt(plain.vocab);
    draw_tokens(expected, tested, &m, &draw);
    tiny_open(&run, tested, m.program, &options);
    for (int i = 0; i <= STEPS; i++) {
        tiny_begin(&run);
        tiny_rows(&run, 0, i ? &sampled : prompt, i ? 1 : 20, 1);
        run.step.draws = &draw;
        assert_int_equal(tested->step(run.run, &run.step, NULL), FFAI_OK);
        if (i)
            assert_int_equal(tested->collect(run.run, 1, ids + i - 1, chosen + i - 1, NULL, NULL), FFAI_OK);
    }
    assert_memory_equal(ids, expected, sizeof ids);
    for (int i = 0; i < STEPS; i++)
        assert_true(isfinite(chosen[i]));
    tiny_close(&run);
    tiny_free(&m);
}

static void penalties_leave_the_collected_logits_alone(void **state)
{
    (void)state;
    static tiny_run run;
    static const ffai__draw draw = {.temperature = 0, .top_p = 1, .repetition_penalty = 1.5f};
    tiny_model m;
    tiny_create(&m, &plain);
    fill_prompt(plain.vocab);
    float *expected = malloc((size_t)plain.vocab * sizeof *expected);
    const tiny_options options = {.threads = 1};
    tiny_open(&run, tested, m.program, &options);
    for (int pass = 0; pass < 2; pass++) {
        run.lengths[0] = 0;
        tiny_begin(&run);
        tiny_rows(&run, 0, prompt, 8, 1);
        run.step.draws = pass ? &draw : NULL;
        const float *logits = tiny_step(&run);
        if (pass)
            assert_memory_equal(logits, expected, (size_t)plain.vocab * sizeof *expected);
        memcpy(expected, logits, (size_t)plain.vocab * sizeof *expected);
    }
    free(expected);
    tiny_close(&run);
    tiny_free(&m);
}

/* A copy of slot 0's page and tokens in slot 1 goes on as slot 0 does. */
static void a_copied_page_continues_like_its_origin(void **state)
{
    (void)state;
    static tiny_run run;
    tiny_model m;
    tiny_create(&m, &plain);
    fill_prompt(plain.vocab);
    const tiny_options options = {.threads = 2};
    tiny_open(&run, tested, m.program, &options);
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, 20, 1);
    tiny_step(&run);
    const uint32_t from = run.tables[0][0][0].page;
    const uint32_t to = run.tables[1][0][0].page;
    assert_int_equal(run.backend->copy_page(run.run, 0, to, from, NULL), FFAI_OK);
    assert_int_equal(run.backend->copy_tokens(run.run, 1, 0, 20, NULL), FFAI_OK);
    run.lengths[1] = 20;
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt + 20, 3, 1);
    tiny_rows(&run, 1, prompt + 20, 3, 1);
    const float *logits = tiny_step(&run);
    assert_memory_equal(logits, logits + plain.vocab, (size_t)plain.vocab * sizeof *logits);
    tiny_close(&run);
    tiny_free(&m);
}

/* One row whose embedding is not finite; the other sequence's logits must not notice. */
static void a_row_that_is_not_finite_stays_alone(void **state)
{
    (void)state;
    static tiny_run run;
    tiny_model m;
    tiny_create(&m, &plain);
    fill_prompt(plain.vocab);
    const tiny_options options = {.threads = 2};
    const size_t bytes = (size_t)plain.vocab * sizeof(float);
    float *clean = malloc(bytes);
    for (int pass = 0; pass < 2; pass++) {
        /* before the plan, which may have a copy */
        ((float *)m.parts[0][0])[prompt[19] * plain.hidden + 3] = pass ? NAN : 0.5f;
        tiny_open(&run, tested, m.program, &options);
        tiny_begin(&run);
        tiny_rows(&run, 0, prompt, 20, 2); /* the last row has the bad token, the one before must not see it */
        const float *logits = tiny_step(&run);
        if (pass) {
            assert_memory_equal(logits, clean, bytes);
            assert_true(isnan(logits[plain.vocab]));
        }
        memcpy(clean, logits, bytes);
        tiny_close(&run);
    }
    free(clean);
    tiny_free(&m);
}

static bool stop_at_once(void *context, double done)
{
    double *last = context;
    assert_true(done >= *last && done <= 1);
    *last = done;
    return false;
}

static void loading_can_be_cancelled(void **state)
{
    (void)state;
    tiny_model m;
    double done = 0;
    ffai__plan *plan = NULL;
    tiny_create(&m, &plain);
    const ffai__plan_options options = {.threads = 2, .progress = stop_at_once, .progress_context = &done};
    assert_int_equal(tiny_load(&plan, tested, m.program, &options, NULL), FFAI_E_CANCELLED);
    assert_null(plan);
    tiny_free(&m);
}

/* For an array of CMUnitTest. */
#define BACKEND_TESTS                                                                                                  \
    cmocka_unit_test(every_value_equals_the_reference), cmocka_unit_test(every_weight_format_equals_the_reference),    \
        cmocka_unit_test(attention_of_every_shape_equals_the_reference),                                               \
        cmocka_unit_test(windows_hide_what_is_behind_them), cmocka_unit_test(rounded_stores_equal_the_reference),      \
        cmocka_unit_test(f16_stores_cut_what_is_beyond_their_range),                                                   \
        cmocka_unit_test(drawn_tokens_equal_the_reference), cmocka_unit_test(what_was_drawn_comes_with_its_logits),    \
        cmocka_unit_test(results_stay_while_the_next_step_is_there),                                                   \
        cmocka_unit_test(penalties_leave_the_collected_logits_alone),                                                  \
        cmocka_unit_test(a_copied_page_continues_like_its_origin),                                                     \
        cmocka_unit_test(a_row_that_is_not_finite_stays_alone), cmocka_unit_test(loading_can_be_cancelled)

#endif
