/* What a model tells of its life: the stages of loading in order, each of which can end it, and its end. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <string.h>

#include <ffai/ffai.h>

#include "cuda_devices.h"
#include "stub.h"

#define TINY FFAI_SOURCE_DIR "/tests/golden/llama/affine-4bit-g32-f32"

enum { MOST = 256 };
static const char *const backends[] = {"ref", "cpu", "cuda"};
enum { BACKENDS = sizeof backends / sizeof *backends };

typedef struct log {
    ffai_load_event events[MOST];
    int count;
    ffai_load_stage stop_at; /* FFAI_LOAD_STAGES: nowhere */
} log;

static bool note(void *context, const ffai_load_event *event)
{
    log *l = context;
    assert_true(l->count < MOST);
    l->events[l->count++] = *event;
    return event->stage != l->stop_at;
}

static bool is_there(const char *backend)
{
    return strcmp(backend, "cuda") != 0 || ffai__cuda_usable(0, NULL) == FFAI_OK;
}

static ffai_model_options options_of(const char *backend, int threads, log *l)
{
    return (ffai_model_options){.backend = backend, .threads = threads, .on_event = note, .context = l};
}

static void check_order(const log *l, const ffai_load_stage *wanted, int count)
{
    int stages = 0;
    for (int i = 0; i < l->count; i++) {
        const ffai_load_event *event = &l->events[i];
        const bool begins = i == 0 || event->stage != event[-1].stage;
        assert_true(event->fraction >= 0 && event->fraction <= 1);
        assert_true(begins || event->fraction >= event[-1].fraction);
        assert_true(i == 0 || event->seconds >= event[-1].seconds);
        if (!begins)
            continue;
        assert_true(stages < count);
        assert_int_equal(event->stage, wanted[stages++]);
    }
    assert_int_equal(stages, count);
}

static void the_stages_of_a_life_come_in_their_order(void **state)
{
    (void)state;
    static const ffai_load_stage life[] = {FFAI_LOAD_MAPPING,   FFAI_LOAD_PLANNING, FFAI_LOAD_UPLOADING,
                                           FFAI_LOAD_TOKENIZER, FFAI_LOAD_READY,    FFAI_LOAD_UNLOADING};
    for (int i = 0; i < 2 * BACKENDS; i++) {
        log l = {.stop_at = FFAI_LOAD_STAGES};
        const ffai_model_options options = options_of(backends[i / 2], i % 2 + 1, &l);
        ffai_model *model = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        if (!is_there(backends[i / 2]))
            continue;
        if (ffai_model_load(&model, TINY, &options, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        assert_int_equal(l.events[l.count - 1].stage, FFAI_LOAD_READY);
        assert_true(l.events[l.count - 1].fraction == 1);
        ffai_model_free(model);
        check_order(&l, life, sizeof life / sizeof *life);
        assert_true(l.events[l.count - 1].fraction == 1);
    }
}

static void check_stopped_at(ffai_load_stage stage, const char *backend, int threads)
{
    log l = {.stop_at = stage};
    const ffai_model_options options = options_of(backend, threads, &l);
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai_model_load(&model, TINY, &options, &err), FFAI_E_CANCELLED);
    assert_null(model);
    assert_int_equal(l.events[l.count - 1].stage, stage); /* it is not unloaded: it never was there */
}

static void every_stage_can_be_the_last_one(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        for (int stage = FFAI_LOAD_MAPPING; is_there(backends[b]) && stage <= FFAI_LOAD_READY; stage++) {
            if (stage == FFAI_LOAD_WARMING) /* is a session's */
                continue;
            check_stopped_at((ffai_load_stage)stage, backends[b], 1);
            check_stopped_at((ffai_load_stage)stage, backends[b], 2);
        }
    }
    if (is_there("cuda")) {
        assert_int_equal(stub_device_bytes() + stub_pinned_bytes(), 0);
        assert_int_equal(stub_open_objects() + stub_open_contexts(), 0);
    }
}

static void every_stage_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < FFAI_LOAD_STAGES; i++) {
        for (int k = 0; k < i; k++)
            assert_string_not_equal(ffai_load_stage_name((ffai_load_stage)i), ffai_load_stage_name((ffai_load_stage)k));
    }
    assert_string_equal(ffai_load_stage_name(FFAI_LOAD_UNLOADING), "unloading");
    assert_string_equal(ffai_load_stage_name(FFAI_LOAD_STAGES), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stages_of_a_life_come_in_their_order),
        cmocka_unit_test(every_stage_can_be_the_last_one),
        cmocka_unit_test(every_stage_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
