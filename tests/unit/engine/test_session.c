// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ffai/ffai.h>

#define TINY        FFAI_SOURCE_DIR "/tests/golden/llama/affine-4bit-g32-f32"
#define TINY_WINDOW FFAI_SOURCE_DIR "/tests/golden/mistral/bf16"

enum { N = 75 }; /* tokens of the test text: two pages and a part */

static const char *const backends[] = {"ref", "cpu"};

static int32_t text[N];

static ffai_model *load(const char *path, const char *backend, int threads)
{
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_model_options options = {.backend = backend, .threads = threads, .without_tokenizer = true};
    if (ffai_model_load(&model, path, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return model;
}

static ffai_session *open_session(ffai_model *model, int32_t max_sequences, int32_t max_rows)
{
    ffai_session *session = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_session_options options = {
        .context = 96, .max_sequences = max_sequences, .max_rows = max_rows, .max_outputs = 4};
    if (ffai_session_open(&session, model, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return session;
}

static ffai_sequence open_sequence(ffai_session *session)
{
    ffai_sequence sequence = -1;
    assert_int_equal(ffai_sequence_open(&sequence, session, NULL), FFAI_OK);
    return sequence;
}

/* Append tokens in steps of `chunk` rows; the last row's logits go to logits [vocab], which may be NULL. */
static void append(ffai_session *session, ffai_sequence sequence, const int32_t *tokens, size_t n, size_t chunk,
                   float *logits)
{
    ffai_row rows[N];
    ffai_error err = FFAI_ERROR_INIT;
    for (size_t done = 0; done < n; done += chunk) {
        const size_t count = n - done < chunk ? n - done : chunk;
        const float *out = NULL;
        for (size_t i = 0; i < count; i++)
            rows[i] = (ffai_row){tokens[done + i], sequence, done + i + 1 == n, NULL};
        if (ffai_forward(&out, session, rows, count, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        if (logits && done + count == n) {
            ffai_model_info info;
            ffai_model_get_info(&info, ffai_session_model(session));
            memcpy(logits, out, (size_t)info.vocab_size * sizeof *logits);
        }
    }
}

static int64_t vocab_size(const ffai_model *model)
{
    ffai_model_info info;
    ffai_model_get_info(&info, model);
    return info.vocab_size;
}

/* The logits after the first n tokens in a fresh session. */
static float *logits_after(const char *path, const char *backend, int threads, size_t n, size_t chunk)
{
    ffai_model *model = load(path, backend, threads);
    ffai_session *session = open_session(model, 1, N);
    float *logits = malloc((size_t)vocab_size(model) * sizeof *logits);
    append(session, open_sequence(session), text, n, chunk, logits);
    ffai_session_close(session);
    ffai_model_free(model);
    return logits;
}

static void assert_same_bits(const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("element %lld: %.9g and %.9g", (long long)i, (double)a[i], (double)b[i]);
    }
}

static void chunks_and_threads_change_no_bit_of_the_logits(void **state)
{
    (void)state;
    static const char *const paths[] = {TINY, TINY_WINDOW, FFAI_SOURCE_DIR "/tests/golden/llama/rope-dynamic"};
    static const struct {
        int threads;
        size_t chunk;
    } ways[] = {{1, 1}, {1, 7}, {2, N}, {2, 32}, {3, 1}, {3, 40}};
    for (size_t p = 0; p < sizeof paths / sizeof paths[0]; p++) {
        float *expected = logits_after(paths[p], "cpu", 1, N, N);
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            float *logits = logits_after(paths[p], "cpu", ways[i].threads, N, ways[i].chunk);
            assert_same_bits(logits, expected, 288);
            free(logits);
        }
        free(expected);
    }
}

static void company_in_the_batch_changes_no_bit_of_the_logits(void **state)
{
    (void)state;
    float *expected = logits_after(TINY, "cpu", 2, 40, 40);
    ffai_model *model = load(TINY, "cpu", 2);
    ffai_session *session = open_session(model, 3, N);
    const ffai_sequence a = open_sequence(session);
    const ffai_sequence b = open_sequence(session);
    ffai_row rows[60];
    const float *logits = NULL;
    append(session, b, text + 3, 11, 11, NULL);
    for (size_t i = 0; i < 40; i++)
        rows[i] = (ffai_row){text[i], a, i == 39, NULL};
    for (size_t i = 0; i < 20; i++)
        rows[40 + i] = (ffai_row){text[14 + i], b, i == 19, NULL};
    assert_int_equal(ffai_forward(&logits, session, rows, 60, NULL), FFAI_OK);
    assert_same_bits(logits, expected, 288);
    free(expected);
    ffai_session_close(session);
    ffai_model_free(model);
}

static void a_fork_and_its_origin_go_on_as_if_each_were_alone(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        float *expected = logits_after(TINY, backends[k], 1, N, N);
        ffai_model *model = load(TINY, backends[k], 1);
        ffai_session *session = open_session(model, 3, N);
        float *logits = malloc(288 * sizeof *logits);
        const ffai_sequence origin = open_sequence(session);
        append(session, origin, text, 50, 50, NULL);
        ffai_sequence fork = -1;
        assert_int_equal(ffai_sequence_fork(&fork, session, origin, 45, NULL), FFAI_OK);
        assert_int_equal(ffai_sequence_length(session, fork), 45);
        /* The origin writes into the shared page first; the fork must not see it. */
        append(session, origin, text + 3, 10, 10, NULL);
        append(session, fork, text + 45, N - 45, 7, logits);
        assert_same_bits(logits, expected, 288);
        /* And the other way round. */
        assert_int_equal(ffai_sequence_truncate(session, origin, 50, NULL), FFAI_OK);
        append(session, origin, text + 50, N - 50, N, logits);
        assert_same_bits(logits, expected, 288);
        free(logits);
        free(expected);
        ffai_session_close(session);
        ffai_model_free(model);
    }
}

static void truncating_forgets_what_came_after(void **state)
{
    (void)state;
    float *expected = logits_after(TINY, "cpu", 1, N, N);
    ffai_model *model = load(TINY, "cpu", 1);
    ffai_session *session = open_session(model, 1, N);
    float *logits = malloc(288 * sizeof *logits);
    const ffai_sequence sequence = open_sequence(session);
    append(session, sequence, text + 1, 70, 70, NULL);
    assert_int_equal(ffai_sequence_truncate(session, sequence, 0, NULL), FFAI_OK);
    append(session, sequence, text, 60, 60, NULL);
    assert_int_equal(ffai_sequence_truncate(session, sequence, 33, NULL), FFAI_OK);
    append(session, sequence, text + 33, N - 33, N, logits);
    assert_same_bits(logits, expected, 288);
    free(logits);
    free(expected);
    ffai_session_close(session);
    ffai_model_free(model);
}

static void closed_sequences_give_their_pages_back(void **state)
{
    (void)state;
    ffai_model *model = load(TINY, "cpu", 1);
    ffai_session *session = open_session(model, 2, N);
    for (int round = 0; round < 20; round++) {
        const ffai_sequence a = open_sequence(session);
        ffai_sequence b = -1;
        append(session, a, text, N, N, NULL);
        assert_int_equal(ffai_sequence_fork(&b, session, a, N, NULL), FFAI_OK);
        append(session, b, text, 20, 20, NULL);
        append(session, a, text, 21, 21, NULL);
        ffai_sequence_close(session, a);
        ffai_sequence_close(session, b);
        assert_int_equal(ffai_sequence_length(session, a), -1);
    }
    ffai_session_close(session);
    ffai_model_free(model);
}

static void a_full_context_refuses_the_step_and_changes_nothing(void **state)
{
    (void)state;
    ffai_model *model = load(TINY, "cpu", 1);
    ffai_session *session = open_session(model, 1, N);
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_sequence sequence = open_sequence(session);
    ffai_row rows[40];
    for (size_t i = 0; i < 40; i++)
        rows[i] = (ffai_row){text[i], sequence, false, NULL};
    append(session, sequence, text, 60, 60, NULL);
    assert_int_equal(ffai_step_submit(session, rows, 40, &err), FFAI_E_CONTEXT_FULL);
    assert_non_null(strstr(err.message, "96"));
    assert_int_equal(ffai_sequence_length(session, sequence), 60);
    assert_int_equal(ffai_step_submit(session, rows, 36, &err), FFAI_OK);
    assert_int_equal(ffai_sequence_length(session, sequence), 96);
    ffai_session_close(session);
    ffai_model_free(model);
}

typedef struct {
    int left; /* questions that are answered with yes; -1: all */
    int asked;
} patience;

static bool while_patient(void *context)
{
    patience *p = context;
    p->asked++;
    return p->left < 0 || p->left-- > 0;
}

/* Cancel the text's last step after 0, 1, 2 … parts, until it comes through, and every time go on from there. */
static void check_cancelling(const char *backend, int threads, size_t rows)
{
    ffai_model *model = load(TINY, backend, threads);
    patience p = {-1, 0};
    ffai_session *session = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_session_options options = {.context = 96,
                                          .max_sequences = 1,
                                          .max_rows = N,
                                          .max_outputs = 1,
                                          .keep_going = while_patient,
                                          .keep_going_context = &p};
    float *expected = logits_after(TINY, backend, threads, N, N);
    float *logits = calloc((size_t)vocab_size(model), sizeof *logits);
    assert_int_equal(ffai_session_open(&session, model, &options, &err), FFAI_OK);
    const ffai_sequence sequence = open_sequence(session);
    ffai_row step[N];
    for (size_t i = 0; i < rows; i++)
        step[i] = (ffai_row){text[N - rows + i], sequence, i + 1 == rows, NULL};
    append(session, sequence, text, N - rows, N, NULL);
    int parts = 0;
    for (ffai_status status = FFAI_E_CANCELLED; status != FFAI_OK; parts++) {
        p = (patience){parts, 0};
        status = ffai_step_submit(session, step, rows, &err);
        assert_true(status == FFAI_OK || status == FFAI_E_CANCELLED);
        assert_int_equal(p.asked, parts + (status != FFAI_OK));
        p = (patience){-1, 0};
        assert_int_equal(ffai_sequence_length(session, sequence), status == FFAI_OK ? N : N - (int64_t)rows);
        assert_true(status == FFAI_OK || ffai_step_collect(NULL, NULL, session, &err) == FFAI_E_ARGUMENT);
        if (status == FFAI_OK)
            assert_int_equal(ffai_sequence_truncate(session, sequence, N - (int64_t)rows, &err), FFAI_OK);
        append(session, sequence, text + N - rows, rows, rows, logits);
        assert_same_bits(logits, expected, vocab_size(model));
        assert_int_equal(ffai_sequence_truncate(session, sequence, N - (int64_t)rows, &err), FFAI_OK);
    }
    assert_true(parts > 10);
    free(logits);
    free(expected);
    ffai_session_close(session);
    ffai_model_free(model);
}

static void a_cancelled_step_is_as_if_it_had_not_been_submitted(void **state)
{
    (void)state;
    check_cancelling("ref", 1, 40);
    check_cancelling("cpu", 1, 40);
    check_cancelling("cpu", 2, 40);
    check_cancelling("cpu", 3, 5);
    check_cancelling("cpu", 2, 1);
}

static void a_cancelled_step_forgets_a_draw_in_whose_place_it_had_another_token(void **state)
{
    (void)state;
    ffai_model *model = load(TINY, "cpu", 1);
    patience p = {-1, 0};
    ffai_session *session = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_sampling greedy = FFAI_SAMPLING_INIT;
    const ffai_session_options options = {.context = 96, .keep_going = while_patient, .keep_going_context = &p};
    assert_int_equal(ffai_session_open(&session, model, &options, &err), FFAI_OK);
    const ffai_sequence sequence = open_sequence(session);
    const ffai_row draw = {5, sequence, true, &greedy}, drawn = {FFAI_TOKEN_DRAWN, sequence, false, NULL},
                   other = {7, sequence, false, NULL};
    assert_int_equal(ffai_step_submit(session, &draw, 1, &err), FFAI_OK);
    p.left = 3;
    assert_int_equal(ffai_step_submit(session, &drawn, 1, &err), FFAI_E_CANCELLED);
    p.left = 3;
    assert_int_equal(ffai_step_submit(session, &other, 1, &err), FFAI_E_CANCELLED);
    p.left = -1;
    assert_int_equal(ffai_step_submit(session, &drawn, 1, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "no token was drawn for position 1"));
    ffai_session_close(session);
    ffai_model_free(model);
}

static void rows_that_make_no_sense_are_named(void **state)
{
    (void)state;
    ffai_model *model = load(TINY, "ref", 1);
    ffai_session *session = open_session(model, 2, 8);
    const ffai_sequence a = open_sequence(session);
    const ffai_sequence b = open_sequence(session);
    const ffai_sampling hot = {.temperature = -1, .top_p = 1, .repetition_penalty = 1};
    const struct {
        ffai_row rows[9];
        size_t n;
        const char *message;
    } cases[] = {
        {{{0}}, 0, "0 rows"},
        {{{0}}, 9, "9 rows"},
        {{{288, a, false, NULL}}, 1, "row 0: token 288 is outside the vocabulary of 288"},
        {{{1, a, false, NULL}, {-2, a, false, NULL}}, 2, "row 1: token -2"},
        {{{1, 7, false, NULL}}, 1, "sequence 7 is not open"},
        {{{1, -1, false, NULL}}, 1, "sequence -1 is not open"},
        {{{1, a, false, NULL}, {1, b, false, NULL}, {1, a, false, NULL}}, 3, "do not stand together"},
        {{{FFAI_TOKEN_DRAWN, a, false, NULL}}, 1, "no token was drawn for position 0"},
        {{{1, a, true, &hot}}, 1, "row 0: temperature: must be from 0"},
        {{{1, a, true, NULL}, {1, a, true, NULL}, {1, a, true, NULL}, {1, a, true, NULL}, {1, a, true, NULL}},
         5,
         "more than 4 output rows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ffai_error err = FFAI_ERROR_INIT;
        if (ffai_step_submit(session, cases[i].rows, cases[i].n, &err) != FFAI_E_ARGUMENT)
            fail_msg("accepted: %s", cases[i].message);
        if (!strstr(err.message, cases[i].message))
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].message);
        assert_int_equal(ffai_sequence_length(session, a), 0);
        assert_int_equal(ffai_step_collect(NULL, NULL, session, &err), FFAI_E_ARGUMENT);
    }
    ffai_session_close(session);
    ffai_model_free(model);
}

static void a_drawn_token_can_be_fed_without_the_host_seeing_it(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        ffai_model *model = load(TINY, backends[k], 1);
        ffai_session *session = open_session(model, 2, N);
        const ffai_sampling sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 5};
        int32_t seen[12], unseen[12];
        const ffai_sequence a = open_sequence(session);
        const ffai_sequence b = open_sequence(session);
        append(session, a, text, 9, 9, NULL);
        append(session, b, text, 9, 9, NULL);
        ffai_row row_a = {text[9], a, true, &sampling};
        ffai_row row_b = {text[9], b, true, &sampling};
        for (int i = 0; i < 12; i++) {
            assert_int_equal(ffai_forward_sample(&seen[i], session, &row_a, 1, NULL), FFAI_OK);
            row_a.token = seen[i];
            assert_int_equal(ffai_forward_sample(&unseen[i], session, &row_b, 1, NULL), FFAI_OK);
            row_b.token = FFAI_TOKEN_DRAWN;
        }
        assert_memory_equal(seen, unseen, sizeof seen);
        ffai_session_close(session);
        ffai_model_free(model);
    }
}

static void output_rows_without_sampling_draw_nothing(void **state)
{
    (void)state;
    ffai_model *model = load(TINY, "cpu", 2);
    ffai_session *session = open_session(model, 1, N);
    const ffai_sampling greedy = FFAI_SAMPLING_INIT;
    const ffai_sequence a = open_sequence(session);
    const ffai_row rows[] = {{1, a, true, NULL}, {2, a, false, NULL}, {3, a, true, &greedy}};
    int32_t tokens[2] = {-7, -7};
    assert_int_equal(ffai_forward_sample(tokens, session, rows, 3, NULL), FFAI_OK);
    assert_int_equal(tokens[0], -1);
    assert_in_range(tokens[1], 0, 287);
    ffai_session_close(session);
    ffai_model_free(model);
}

static void a_context_that_memory_cannot_hold_is_refused_with_the_numbers(void **state)
{
    (void)state;
    ffai_model *model = load(TINY, "cpu", 1);
    ffai_session *session = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_session_options options = {.context = 1000000000, .max_sequences = 4096};
    assert_int_equal(ffai_session_open(&session, model, &options, &err), FFAI_E_MEMORY);
    assert_non_null(strstr(err.message, "1000000000"));
    assert_non_null(strstr(err.message, "the largest that fits is"));
    const ffai_session_options negative = {.context = -1};
    assert_int_equal(ffai_session_open(&session, model, &negative, &err), FFAI_E_ARGUMENT);
    ffai_model_free(model);
}

int main(void)
{
    for (int i = 0; i < N; i++)
        text[i] = (i * 37 + i * i * 11) % 256;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_and_threads_change_no_bit_of_the_logits),
        cmocka_unit_test(company_in_the_batch_changes_no_bit_of_the_logits),
        cmocka_unit_test(a_fork_and_its_origin_go_on_as_if_each_were_alone),
        cmocka_unit_test(truncating_forgets_what_came_after),
        cmocka_unit_test(closed_sequences_give_their_pages_back),
        cmocka_unit_test(a_full_context_refuses_the_step_and_changes_nothing),
        cmocka_unit_test(a_cancelled_step_is_as_if_it_had_not_been_submitted),
        cmocka_unit_test(a_cancelled_step_forgets_a_draw_in_whose_place_it_had_another_token),
        cmocka_unit_test(rows_that_make_no_sense_are_named),
        cmocka_unit_test(a_drawn_token_can_be_fed_without_the_host_seeing_it),
        cmocka_unit_test(output_rows_without_sampling_draw_nothing),
        cmocka_unit_test(a_context_that_memory_cannot_hold_is_refused_with_the_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
