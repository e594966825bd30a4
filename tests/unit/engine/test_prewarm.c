/* A session that was warmed up is one that was not: its steps give the same bits, and find the same state. On a device
 * they find everything made. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>
#include <string.h>

#include <ffai/ffai.h>

#include "cpu.h"
#include "cuda.h"
#include "cuda_devices.h"
#include "session.h"
#include "stub.h"

#define TINY FFAI_SOURCE_DIR "/tests/golden/qwen3/affine-4bit-g64-bf16"

enum { PROMPT = 40, DRAWN = 6, MOST_OUTPUTS = 9, VOCAB = 288 };
static const char *const backends[] = {"ref", "cpu", "cuda"};
enum { BACKENDS = sizeof backends / sizeof *backends };
static const ffai_sampling drawn = {.temperature = 1.2f, .top_p = 0.95f, .repetition_penalty = 1.1f, .seed = 7};
static const ffai_sampling greedy = FFAI_SAMPLING_INIT;

static void need(ffai_status status, const ffai_error *err)
{
    if (status != FFAI_OK)
        fail_msg("%s", err->message);
}

static bool is_there(const char *backend)
{
    return strcmp(backend, "cuda") != 0 || ffai__cuda_usable(0, NULL) == FFAI_OK;
}

typedef struct log {
    int warming, ready;
    bool stop;
} log;

static bool note(void *context, const ffai_load_event *event)
{
    log *l = context;
    l->warming += event->stage == FFAI_LOAD_WARMING;
    l->ready += event->stage == FFAI_LOAD_READY;
    return !l->stop || event->stage != FFAI_LOAD_WARMING;
}

static ffai_model *load(const char *backend, log *l)
{
    const ffai_model_options options = {
        .backend = backend, .threads = 2, .without_tokenizer = true, .on_event = note, .context = l};
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    need(ffai_model_load(&model, TINY, &options, &err), &err);
    return model;
}

static ffai_session *open_session(ffai_model *model, bool prewarm)
{
    const ffai_session_options options = {
        .context = 100, .max_sequences = 3, .max_rows = PROMPT, .max_outputs = MOST_OUTPUTS, .prewarm = prewarm};
    ffai_session *session = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    need(ffai_session_open(&session, model, &options, &err), &err);
    return session;
}

/* A prompt of two steps, and then drawn tokens. */
typedef struct text {
    float logits[DRAWN + 1][VOCAB];
    int32_t tokens[DRAWN];
    ffai_sequence sequence;
} text;

static void forward(text *t, int i, ffai_session *session, const ffai_row *rows, size_t count)
{
    const float *logits = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    need(ffai_step_submit(session, rows, count, &err), &err);
    need(ffai_step_collect(i < DRAWN ? &t->tokens[i] : NULL, &logits, session, &err), &err);
    memcpy(t->logits[i], logits, sizeof t->logits[i]);
}

static void go_on(text *t, ffai_session *session, const ffai_sampling *sampling)
{
    ffai_row rows[PROMPT];
    ffai_error err = FFAI_ERROR_INIT;
    memset(t, 0, sizeof *t);
    need(ffai_sequence_open(&t->sequence, session, &err), &err);
    for (int i = 0; i < PROMPT; i++)
        rows[i] = (ffai_row){i * 37 % 256, t->sequence, i == PROMPT - 1, sampling};
    need(ffai_forward(NULL, session, rows, PROMPT / 2, &err), &err);
    forward(t, 0, session, rows + PROMPT / 2, PROMPT - PROMPT / 2);
    for (int i = 1; i < DRAWN; i++) {
        rows[0] = (ffai_row){FFAI_TOKEN_DRAWN, t->sequence, true, sampling};
        forward(t, i, session, rows, 1);
    }
}

static void check_same(const char *backend)
{
    log l = {0};
    ffai_model *model = load(backend, &l);
    ffai_session *sessions[2];
    text texts[2];
    uint64_t memory[2][3];
    for (int i = 0; i < 2; i++) {
        sessions[i] = open_session(model, i == 1);
        ffai_session_memory(&memory[i][0], &memory[i][1], &memory[i][2], sessions[i]);
        assert_int_equal(ffai_step_collect(NULL, NULL, sessions[i], NULL), FFAI_E_ARGUMENT);
        assert_int_equal(ffai_sequence_length(sessions[i], 0), -1);
    }
    assert_memory_equal(memory[0], memory[1], sizeof memory[0]);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 2; i++)
            go_on(&texts[i], sessions[i], k == 1 ? &greedy : &drawn);
        assert_memory_equal(&texts[0], &texts[1], sizeof texts[0]);
        assert_int_equal(texts[1].sequence, k);
    }
    for (int i = 0; i < 2; i++)
        ffai_session_close(sessions[i]);
    ffai_model_free(model);
}

static void a_warmed_session_gives_the_same_bits(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        if (is_there(backends[b]))
            check_same(backends[b]);
    }
}

/* --- what steps change --- */

static void check_bytes(const void *data, uint64_t bytes, uint8_t byte)
{
    const uint8_t *at = data;
    assert_true(bytes > 0);
    for (uint64_t i = 0; i < bytes; i++) {
        if (at[i] != byte)
            fail_msg("byte %llu is %d", (unsigned long long)i, at[i]);
    }
}

static void check_cpu_run(const ffai__cpu_run *run)
{
    check_bytes(run->pages[0].data, run->pages[0].bytes, 0);
    check_bytes(run->history, run->history_count * sizeof *run->history, 0);
    assert_int_equal(run->num_steps, 0);
}

/* The stub's device has the host's memory. */
static void check_cuda_run(const ffai__cuda_run *run)
{
    check_bytes(ffai__cuda_pointer(run->stores), run->store_bytes, 0xFF);
    check_bytes(run->step.history, (uint64_t)run->step.history_stride * sizeof *run->step.history, 0xFF);
    assert_int_equal(run->number, 0);
}

static void a_warmed_run_is_as_it_was_opened(void **state)
{
    (void)state;
    for (int b = 1; b < BACKENDS; b++) {
        log l = {0};
        if (!is_there(backends[b]))
            continue;
        ffai_model *model = load(backends[b], &l);
        ffai_session *session = open_session(model, true);
        assert_int_equal(session->run->steps[0].num_rows, 0);
        if (b == 1)
            check_cpu_run((const ffai__cpu_run *)session->run);
        else
            check_cuda_run((const ffai__cuda_run *)session->run);
        ffai_session_close(session);
        ffai_model_free(model);
    }
}

/* --- nothing is left to be made --- */

static void step(ffai_session *session, int count, int outputs, const ffai_sampling *sampling)
{
    ffai_row rows[PROMPT];
    ffai_sequence sequence = 0;
    ffai_error err = FFAI_ERROR_INIT;
    need(ffai_sequence_open(&sequence, session, &err), &err);
    for (int i = 0; i < count; i++)
        rows[i] = (ffai_row){i, sequence, i >= count - outputs, sampling};
    need(ffai_step_submit(session, rows, (size_t)count, &err), &err);
    need(ffai_step_collect(NULL, NULL, session, &err), &err);
    ffai_sequence_close(session, sequence);
}

static void no_step_of_a_warmed_session_makes_a_graph(void **state)
{
    (void)state;
    static const int rows[] = {1, 2, 8, 9, 32, 33, PROMPT};
    static const ffai_sampling *const samplings[] = {NULL, &greedy, &drawn};
    log l = {0};
    if (!is_there("cuda"))
        skip();
    stub_reset();
    ffai_model *model = load("cuda", &l);
    ffai_session *session = open_session(model, true);
    const uint64_t graphs = stub_calls("cuGraphInstantiateWithFlags");
    const size_t objects = (size_t)stub_open_objects();
    assert_true(graphs > 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int outputs = 0; outputs <= rows[i] && outputs <= MOST_OUTPUTS; outputs++)
            step(session, rows[i], outputs, samplings[(i + (size_t)outputs) % 3]);
        step(session, rows[i], 1, &drawn);
    }
    assert_int_equal(stub_calls("cuGraphInstantiateWithFlags"), graphs);
    assert_int_equal(stub_open_objects(), objects);
    ffai_session_close(session);
    ffai_model_free(model);
    assert_int_equal(stub_device_bytes() + stub_pinned_bytes(), 0);
}

/* --- events --- */

static void warming_up_is_told_and_can_be_ended(void **state)
{
    (void)state;
    const ffai_session_options options = {.context = 64, .max_rows = 16, .prewarm = true};
    for (int b = 1; b < BACKENDS; b++) {
        log l = {0};
        ffai_session *session = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        if (!is_there(backends[b]))
            continue;
        ffai_model *model = load(backends[b], &l);
        assert_int_equal(l.warming, 0);
        assert_int_equal(l.ready, 1);
        ffai_session_close(open_session(model, true));
        assert_true(l.warming > 1);
        assert_int_equal(l.ready, 2);
        l.stop = true;
        assert_int_equal(ffai_session_open(&session, model, &options, &err), FFAI_E_CANCELLED);
        assert_null(session);
        ffai_model_free(model);
    }
}

static void a_device_that_fails_while_it_is_warmed_up_leaves_nothing_open(void **state)
{
    (void)state;
    static const char *const calls[] = {"cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuMemsetD8Async",
                                        "cuEventSynchronize"};
    const ffai_session_options options = {.context = 64, .max_rows = 16, .prewarm = true};
    log l = {0};
    if (!is_there("cuda"))
        skip();
    ffai_model *model = load("cuda", &l);
    const size_t before = stub_device_bytes() + stub_pinned_bytes() + (size_t)stub_open_objects();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        ffai_session *session = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        stub_fail(calls[i], 999);
        assert_int_equal(ffai_session_open(&session, model, &options, &err), FFAI_E_BACKEND);
        assert_string_equal(stub_failed(), calls[i]);
        stub_fail(NULL, 0);
        assert_int_equal(stub_device_bytes() + stub_pinned_bytes() + (size_t)stub_open_objects(), before);
    }
    ffai_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_warmed_session_gives_the_same_bits),
        cmocka_unit_test(a_warmed_run_is_as_it_was_opened),
        cmocka_unit_test(no_step_of_a_warmed_session_makes_a_graph),
        cmocka_unit_test(warming_up_is_told_and_can_be_ended),
        cmocka_unit_test(a_device_that_fails_while_it_is_warmed_up_leaves_nothing_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
