/* What a model is said to take of memory before it is loaded is what it then takes, and the context that is said to be
 * the largest is. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ffai/ffai.h>

#include "cuda_devices.h"
#include "fit.h"
#include "stub.h"

#define GOLDEN FFAI_SOURCE_DIR "/tests/golden/"

static const char *const checkpoints[] = {GOLDEN "llama/bf16",      GOLDEN "llama/affine-4bit-g32-f32",
                                          GOLDEN "llama/odd-sizes", GOLDEN "qwen3/affine-4bit-g64-bf16",
                                          GOLDEN "gguf/Q4_0.gguf",  GOLDEN "gguf/Q4_K.gguf"};
enum { CHECKPOINTS = sizeof checkpoints / sizeof *checkpoints };
static const char *const backends[] = {"ref", "cpu", "cuda"};
enum { BACKENDS = sizeof backends / sizeof *backends, CONTEXTS = 3 };
static const int64_t contexts[CONTEXTS] = {0, 100, 512};

static void need(ffai_status status, const ffai_error *err)
{
    if (status != FFAI_OK)
        fail_msg("%s", err->message);
}

static bool is_there(const char *backend)
{
    return strcmp(backend, "cuda") != 0 || ffai__cuda_usable(0, NULL) == FFAI_OK;
}

static ffai_model_options on(const char *backend)
{
    return (ffai_model_options){.backend = backend, .threads = 1, .without_tokenizer = true, .untuned = true};
}

static ffai_model *load(const char *path, const char *backend)
{
    const ffai_model_options options = on(backend);
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    need(ffai_model_load(&model, path, &options, &err), &err);
    return model;
}

static void estimate(ffai_memory_estimate out[CONTEXTS], const char *path, const char *backend,
                     const ffai_session_options *session)
{
    const ffai_model_options options = on(backend);
    ffai_error err = FFAI_ERROR_INIT;
    need(ffai_model_estimate(out, contexts, CONTEXTS, path, &options, session, &err), &err);
}

/* --- the same as is then used --- */

static void check_near(const char *what, const char *path, const char *backend, uint64_t estimated, uint64_t used)
{
    const uint64_t difference = estimated > used ? estimated - used : used - estimated;
    if (difference > used / 20)
        fail_msg("%s on %s: %llu bytes of %s are estimated, %llu used", path, backend, (unsigned long long)estimated,
                 what, (unsigned long long)used);
}

static void check_session(const char *path, ffai_model *model, const ffai_memory_estimate *estimated,
                          ffai_session_options options)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai_session *session = NULL;
    ffai_model_info info;
    uint64_t weights = 0;
    uint64_t stores = 0;
    uint64_t workspace = 0;
    ffai_model_get_info(&info, model);
    need(ffai_session_open(&session, model, &options, &err), &err);
    ffai_session_memory(&weights, &stores, &workspace, session);
    assert_int_equal(ffai_session_context(session), estimated->context);
    check_near("weights", path, info.backend, estimated->weights, weights);
    check_near("stores", path, info.backend, estimated->stores, stores);
    check_near("workspace", path, info.backend, estimated->workspace, workspace);
    if (strcmp(info.backend, "cuda") == 0)
        check_near("everything", path, info.backend, weights + stores + workspace, stub_device_bytes());
    ffai_session_close(session);
}

static void check_checkpoint(const char *path, const char *backend, ffai_session_options options)
{
    ffai_memory_estimate estimated[CONTEXTS];
    estimate(estimated, path, backend, &options);
    ffai_model *model = load(path, backend);
    for (int i = 0; i < CONTEXTS; i++) {
        assert_true(estimated[i].fits);
        options.context = contexts[i];
        check_session(path, model, &estimated[i], options);
    }
    ffai_model_free(model);
}

static void the_estimate_is_what_the_model_and_its_session_then_take(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        for (int i = 0; is_there(backends[b]) && i < CHECKPOINTS; i++) {
            check_checkpoint(checkpoints[i], backends[b], (ffai_session_options){.max_rows = 0});
            check_checkpoint(
                checkpoints[i], backends[b],
                (ffai_session_options){.max_sequences = 9, .max_rows = 33, .max_outputs = 5, .kv_format = FFAI_KV_F32});
        }
    }
}

static void estimating_takes_nothing_of_the_device_and_leaves_nothing_open(void **state)
{
    (void)state;
    ffai_memory_estimate estimated[CONTEXTS];
    if (!is_there("cuda"))
        skip();
    stub_reset();
    estimate(estimated, checkpoints[0], "cuda", NULL);
    assert_int_equal(stub_calls("cuMemAlloc_v2"), 0);
    assert_int_equal(stub_calls("cuModuleLoadData"), 0);
    assert_int_equal(stub_submissions(), 0);
    assert_int_equal(stub_open_contexts() + stub_open_objects() + stub_pushed_contexts(), 0);
}

/* --- what the system says --- */

static long long taken_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lld", &pages), 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void a_session_maps_as_many_bytes_as_it_says(void **state)
{
    (void)state;
    const ffai_session_options options = {.context = 500, .max_sequences = 200, .max_rows = 2048};
    for (int b = 0; b < 2 && !SANITIZED; b++) {
        ffai_model *model = load(checkpoints[0], backends[b]);
        ffai_error err = FFAI_ERROR_INIT;
        ffai_session *session = NULL;
        uint64_t weights = 0;
        uint64_t stores = 0;
        uint64_t workspace = 0;
        const long long before = taken_bytes();
        need(ffai_session_open(&session, model, &options, &err), &err);
        ffai_session_memory(&weights, &stores, &workspace, session);
        check_near("a session", checkpoints[0], backends[b], stores + workspace, (uint64_t)(taken_bytes() - before));
        ffai_session_close(session);
        ffai_model_free(model);
    }
}

/* --- the largest context --- */

static bool fits(const ffai__fit *fit, int64_t context)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__fit_run run;
    need(ffai__fit_context(&run, fit, context, &err), &err);
    assert_int_equal(run.fits, run.use.stores + run.use.workspace <= fit->room);
    return run.fits;
}

static void check_largest(const ffai_model *model, const ffai_session_options *options, uint64_t room)
{
    enum { MOST = 100000 }; /* not a whole page */
    ffai_error err = FFAI_ERROR_INIT;
    ffai__fit fit;
    int64_t largest = -1;
    need(ffai__fit_begin(&fit, model, options, room, &err), &err);
    need(ffai__fit_largest(&largest, &fit, MOST, &err), &err);
    if (largest > 0)
        assert_true(fits(&fit, largest));
    if (largest < MOST) {
        assert_int_equal(largest % FFAI__PAGE_TOKENS, 0);
        assert_false(fits(&fit, largest + 1));
    }
}

static void one_position_more_than_the_largest_context_does_not_fit(void **state)
{
    (void)state;
    const ffai_session_options options[] = {{0}, {.max_sequences = 1, .max_rows = 16, .kv_format = FFAI_KV_F32}};
    for (int b = 0; b < BACKENDS; b++) {
        if (!is_there(backends[b]))
            continue;
        ffai_model *model = load(checkpoints[2], backends[b]);
        for (uint64_t room = 0; room < UINT64_C(1) << 36; room = room * 3 + 1000) {
            check_largest(model, &options[0], room);
            check_largest(model, &options[1], room);
        }
        ffai_model_free(model);
    }
}

/* The stub's device has as many bytes as it is told. */
static void set_device_memory(uint64_t bytes)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    setenv("FFAI_STUB_MEMORY", text, 1);
}

static void the_largest_context_opens_and_one_page_more_is_refused(void **state)
{
    (void)state;
    const ffai_model_options model_options = on("cuda");
    ffai_session_options options = {.max_sequences = 64};
    ffai_memory_estimate estimated;
    ffai_error err = FFAI_ERROR_INIT;
    ffai_session *session = NULL;
    char largest[64];
    if (!is_there("cuda"))
        skip();
    set_device_memory((UINT64_C(512) << 20) + (UINT64_C(22) << 20)); /* of which 512 MiB are held back */
    need(ffai_model_estimate(&estimated, &(int64_t){0}, 1, checkpoints[0], &model_options, &options, &err), &err);
    assert_in_range(estimated.largest_context, FFAI__PAGE_TOKENS, 511);
    assert_int_equal(estimated.context, estimated.largest_context);
    assert_true(estimated.fits);
    ffai_model *model = load(checkpoints[0], "cuda");
    need(ffai_session_open(&session, model, &options, &err), &err);
    assert_int_equal(ffai_session_context(session), estimated.largest_context);
    ffai_session_close(session);
    options.context = estimated.largest_context + 1;
    assert_int_equal(ffai_session_open(&session, model, &options, &err), FFAI_E_MEMORY);
    snprintf(largest, sizeof largest, "the largest that fits is %lld", (long long)estimated.largest_context);
    if (!strstr(err.message, largest))
        fail_msg("%s", err.message);
    ffai_model_free(model);
    unsetenv("FFAI_STUB_MEMORY");
}

static void weights_that_do_not_fit_are_refused_before_any_is_read(void **state)
{
    (void)state;
    const ffai_model_options options = on("cuda");
    ffai_memory_estimate estimated;
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model *model = NULL;
    if (!is_there("cuda"))
        skip();
    set_device_memory((UINT64_C(512) << 20) + (64 << 10));
    stub_reset();
    assert_int_equal(ffai_model_load(&model, checkpoints[0], &options, &err), FFAI_E_MEMORY);
    assert_non_null(strstr(err.message, "the weights take 0.00 GB for cuda"));
    assert_non_null(strstr(err.message, "ffai convert"));
    assert_int_equal(stub_calls("cuMemAlloc_v2"), 0);
    assert_int_equal(stub_open_contexts(), 0);
    need(ffai_model_estimate(&estimated, &(int64_t){64}, 1, checkpoints[0], &options, NULL, &err), &err);
    assert_false(estimated.fits);
    assert_int_equal(estimated.largest_context, 0);
    assert_int_equal(estimated.available, 64 << 10);
    assert_true(estimated.weights > estimated.available);
    unsetenv("FFAI_STUB_MEMORY");
}

/* --- what cannot be estimated --- */

static void what_loading_refuses_cannot_be_estimated(void **state)
{
    (void)state;
    const ffai_model_options cpu = on("cpu");
    const ffai_model_options none = {.backend = "abacus"};
    const ffai_session_options rows = {.max_rows = -1};
    ffai_memory_estimate out;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai_model_estimate(&out, &(int64_t){0}, 1, GOLDEN "llama/missing", &cpu, NULL, &err),
                     FFAI_E_NOT_FOUND);
    assert_int_equal(ffai_model_estimate(&out, &(int64_t){0}, 1, checkpoints[0], &none, NULL, &err),
                     FFAI_E_UNSUPPORTED);
    assert_int_equal(ffai_model_estimate(&out, &(int64_t){-1}, 1, checkpoints[0], &cpu, NULL, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "context"));
    assert_int_equal(ffai_model_estimate(&out, &(int64_t){0}, 1, checkpoints[0], &cpu, &rows, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "max_rows"));
}

int main(void)
{
    mallopt(M_MMAP_THRESHOLD, 64 << 10); /* what is large is mapped, and seen so */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_estimate_is_what_the_model_and_its_session_then_take),
        cmocka_unit_test(estimating_takes_nothing_of_the_device_and_leaves_nothing_open),
        cmocka_unit_test(a_session_maps_as_many_bytes_as_it_says),
        cmocka_unit_test(one_position_more_than_the_largest_context_does_not_fit),
        cmocka_unit_test(the_largest_context_opens_and_one_page_more_is_refused),
        cmocka_unit_test(weights_that_do_not_fit_are_refused_before_any_is_read),
        cmocka_unit_test(what_loading_refuses_cannot_be_estimated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
