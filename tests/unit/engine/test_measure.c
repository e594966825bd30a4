// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <string.h>

#include <ffai/ffai.h>

#define TINY        FFAI_SOURCE_DIR "/tests/golden/llama/affine-4bit-g32-f32"
#define TINY_WINDOW FFAI_SOURCE_DIR "/tests/golden/mistral/bf16"

/* As their publishers count them. */
static void shapes_have_the_published_number_of_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t parameters;
    } published[] = {
        {"smollm2-135m", 134515008},  {"llama-3.2-1b", 1235814400}, {"llama-3.2-3b", 3212749824},
        {"llama-3.1-8b", 8030261248}, {"qwen3-0.6b", 596049920},    {"qwen3-1.7b", 1720574976},
        {"qwen3-4b", 4022468096},     {"qwen3-8b", 8190735360},     {"qwen3-14b", 14768307200},
    };
    ffai_shape shape;
    size_t i = 0;
    for (; ffai_shape_get(&shape, i); i++) {
        assert_true(i < sizeof published / sizeof *published);
        assert_string_equal(shape.name, published[i].name);
        assert_int_equal(shape.parameters, published[i].parameters);
    }
    assert_int_equal(i, sizeof published / sizeof *published);
    assert_false(ffai_shape_get(NULL, i));
}

static ffai_session *open_session(ffai_model *model)
{
    ffai_session *session = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_session_options options = {.context = 96, .max_sequences = 1, .max_rows = 64, .max_outputs = 1};
    if (ffai_session_open(&session, model, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return session;
}

/* Append n tokens in one step; the last one has output. */
static const float *append(ffai_session *session, ffai_sequence sequence, int n)
{
    ffai_row rows[64];
    const float *logits = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    for (int i = 0; i < n; i++)
        rows[i] = (ffai_row){(i * 37 + 5) % 250, sequence, i + 1 == n, NULL};
    if (ffai_forward(&logits, session, rows, (size_t)n, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return logits;
}

static void made_models_of_every_width_give_finite_logits(void **state)
{
    (void)state;
    static const int widths[] = {16, 8, 6, 5, 4, 3, 2};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        ffai_model *model = NULL;
        ffai_model_info info;
        ffai_sequence sequence = 0;
        ffai_error err = FFAI_ERROR_INIT;
        const ffai_random_model random = {.shape = "smollm2-135m", .bits = widths[w]};
        if (ffai_model_make(&model, &random, NULL, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        ffai_model_get_info(&info, model);
        assert_string_equal(info.path, "smollm2-135m");
        assert_null(ffai_model_tokenizer(model));
        ffai_session *session = open_session(model);
        assert_int_equal(ffai_sequence_open(&sequence, session, NULL), FFAI_OK);
        const float *logits = append(session, sequence, 9);
        for (int64_t i = 0; i < info.vocab_size; i++)
            assert_true(isfinite(logits[i]) && fabsf(logits[i]) < 1000);
        ffai_session_close(session);
        ffai_model_free(model);
    }
}

static void what_cannot_be_made_is_refused(void **state)
{
    (void)state;
    static const struct {
        ffai_random_model random;
        const char *message;
    } cases[] = {
        {{"llama-4", 4, 0, 0}, "there is no shape \"llama-4\""},
        {{NULL, 4, 0, 0}, "there is no shape \"\""},
        {{"qwen3-0.6b", 7, 0, 0}, "7 bits"},
        {{"qwen3-0.6b", 4, 24, 0}, "groups of 24"},
        {{"smollm2-135m", 4, 64, 1001}, "layers: 1001 is not between"},
        {{"smollm2-135m", 4, 128, 0}, "groups of 128 do not divide the 576 columns"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ffai_model *model = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        assert_int_equal(ffai_model_make(&model, &cases[i].random, NULL, &err), FFAI_E_ARGUMENT);
        assert_non_null(strstr(err.message, cases[i].message));
        assert_null(model);
    }
}

static ffai_session *open_checkpoint(ffai_model **model, const char *path, const char *backend)
{
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_model_options options = {.backend = backend, .threads = 2, .without_tokenizer = true};
    if (ffai_model_load(model, path, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return open_session(*model);
}

/* Twice the parameters of the layers' products for every row, the head's for those with output, and for each
 * position that is attended to 4 times the width of all query heads. */
static void the_work_of_a_step_is_counted_by_its_rows(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    ffai_session *session = open_checkpoint(&model, TINY, "cpu");
    ffai_step_work one, five, head, deep;
    ffai_session_work(&one, session, 0, 1, 0);
    ffai_session_work(&five, session, 0, 5, 0);
    ffai_session_work(&head, session, 0, 1, 1);
    ffai_session_work(&deep, session, 10, 1, 0);
    ffai_model_info info;
    ffai_model_get_info(&info, model);
    assert_true(five.product_flops == 5 * one.product_flops);
    assert_true(head.product_flops - one.product_flops == 2.0 * (double)info.vocab_size * (double)info.hidden_size);
    assert_true(five.attention_flops == (1 + 2 + 3 + 4 + 5) * one.attention_flops);
    assert_true(deep.attention_flops == 11 * one.attention_flops);
    assert_int_equal(deep.store_bytes, 11 * one.store_bytes);
    assert_true(one.weight_bytes > 0 && one.weight_bytes == five.weight_bytes);
    ffai_session_close(session);
    ffai_model_free(model);
}

static void a_window_bounds_what_is_read(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    ffai_session *session = open_checkpoint(&model, TINY_WINDOW, "cpu");
    ffai_step_work one, at, far;
    ffai_session_work(&one, session, 0, 1, 0);
    ffai_session_work(&at, session, 70, 1, 0);
    ffai_session_work(&far, session, 80, 1, 0);
    assert_int_equal(at.store_bytes, far.store_bytes);
    assert_true(at.store_bytes < 71 * one.store_bytes);
    assert_true(at.attention_flops == far.attention_flops);
    ffai_session_close(session);
    ffai_model_free(model);
}

enum { MAX_TIMES = 64 };

static double total_flops(const ffai_op_time *times, size_t count)
{
    double flops = 0;
    for (size_t i = 0; i < count; i++)
        flops += times[i].flops;
    return flops;
}

static const ffai_op_time *find(const ffai_op_time *times, size_t count, const char *op, const char *part)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(times[i].op, op) == 0 && strcmp(times[i].part, part) == 0)
            return &times[i];
    }
    return NULL;
}

static void a_profile_counts_what_steps_do_while_it_is_on(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    ffai_session *session = open_checkpoint(&model, TINY, "cpu");
    ffai_op_time times[MAX_TIMES], later[MAX_TIMES];
    ffai_sequence sequence = 0;
    ffai_step_work prompt, token;
    assert_int_equal(ffai_sequence_open(&sequence, session, NULL), FFAI_OK);
    assert_int_equal(ffai_session_profile_read(NULL, 0, session), 0);
    append(session, sequence, 7);
    assert_int_equal(ffai_session_profile(session, true, NULL), FFAI_OK);
    append(session, sequence, 20);
    append(session, sequence, 1);
    assert_int_equal(ffai_session_profile(session, false, NULL), FFAI_OK);
    append(session, sequence, 3);
    const size_t count = ffai_session_profile_read(times, MAX_TIMES, session);
    assert_in_range(count, 8, MAX_TIMES);
    ffai_session_work(&prompt, session, 7, 20, 1);
    ffai_session_work(&token, session, 27, 1, 1);
    const double expected = prompt.product_flops + prompt.attention_flops + token.product_flops + token.attention_flops;
    assert_true(total_flops(times, count) == expected);
    const ffai_op_time *head = find(times, count, "head", "multiply");
    assert_non_null(head);
    assert_int_equal(head->count, 2);
    assert_true(head->seconds > 0 && head->bytes > 0);
    const ffai_op_time *attend = find(times, count, "attention", "attend");
    assert_non_null(attend);
    assert_true(attend->bytes == (double)(prompt.store_bytes + token.store_bytes));

    assert_int_equal(ffai_session_profile(session, true, NULL), FFAI_OK); /* from zero again */
    assert_int_equal(ffai_session_profile_read(later, MAX_TIMES, session), count);
    assert_true(total_flops(later, count) == 0);
    ffai_session_close(session);
    ffai_model_free(model);
}

static void a_profile_changes_no_result(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    ffai_session *session = open_checkpoint(&model, TINY, "cpu");
    ffai_sequence sequence = 0;
    ffai_model_info info;
    float plain[1024];
    ffai_model_get_info(&info, model);
    assert_in_range(info.vocab_size, 1, 1024);
    assert_int_equal(ffai_sequence_open(&sequence, session, NULL), FFAI_OK);
    memcpy(plain, append(session, sequence, 20), (size_t)info.vocab_size * sizeof *plain);
    assert_int_equal(ffai_sequence_truncate(session, sequence, 0, NULL), FFAI_OK);
    assert_int_equal(ffai_session_profile(session, true, NULL), FFAI_OK);
    assert_memory_equal(plain, append(session, sequence, 20), (size_t)info.vocab_size * sizeof *plain);
    ffai_session_close(session);
    ffai_model_free(model);
}

static void the_reference_backend_cannot_be_timed(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    ffai_session *session = open_checkpoint(&model, TINY, "ref");
    assert_int_equal(ffai_session_profile(session, true, &err), FFAI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "backend ref"));
    assert_int_equal(ffai_session_profile_read(NULL, 0, session), 0);
    ffai_session_close(session);
    ffai_model_free(model);
}

typedef struct {
    double last;
    double stop;
} watcher;

static bool on_progress(void *context, double fraction)
{
    watcher *w = context;
    assert_true(fraction >= w->last && fraction <= 1);
    w->last = fraction;
    return fraction < w->stop;
}

static void a_machine_reads_and_multiplies(void **state)
{
    (void)state;
    ffai_machine machine;
    watcher w = {0, 2};
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model_options options = {.backend = "cpu", .threads = 2};
    if (ffai_machine_measure(&machine, &options, on_progress, &w, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_string_equal(machine.backend, "cpu");
    assert_true(machine.read_bytes_s > 1e8 && machine.read_bytes_s < 1e14);
    assert_true(machine.matmul_flop_s > 1e8 && machine.matmul_flop_s < 1e16);
    assert_int_equal(machine.threads, 2);
    assert_non_null(machine.instruction);
    assert_non_null(machine.isa);
    assert_true(w.last == 1);
    w = (watcher){0, 0.3};
    assert_int_equal(ffai_machine_measure(&machine, &options, on_progress, &w, &err), FFAI_E_CANCELLED);
    options.threads = -1;
    assert_int_equal(ffai_machine_measure(&machine, &options, NULL, NULL, &err), FFAI_E_ARGUMENT);
    options = (ffai_model_options){.backend = "ref"};
    assert_int_equal(ffai_machine_measure(&machine, &options, NULL, NULL, &err), FFAI_E_UNSUPPORTED);
    assert_string_equal(err.message, "measure: the backend ref cannot be measured");
    options = (ffai_model_options){.backend = "cpu", .device = 3};
    assert_int_equal(ffai_machine_measure(&machine, &options, NULL, NULL, &err), FFAI_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_have_the_published_number_of_parameters),
        cmocka_unit_test(made_models_of_every_width_give_finite_logits),
        cmocka_unit_test(what_cannot_be_made_is_refused),
        cmocka_unit_test(the_work_of_a_step_is_counted_by_its_rows),
        cmocka_unit_test(a_window_bounds_what_is_read),
        cmocka_unit_test(a_profile_counts_what_steps_do_while_it_is_on),
        cmocka_unit_test(a_profile_changes_no_result),
        cmocka_unit_test(the_reference_backend_cannot_be_timed),
        cmocka_unit_test(a_machine_reads_and_multiplies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
