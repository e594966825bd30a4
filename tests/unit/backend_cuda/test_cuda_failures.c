/* What the CUDA backend does where the driver fails, memory is too small or the device is not there. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "../../kernels/tiny_model.h"
#include "cuda_driver.h"
#include "launch.h"
#include "stub.h"

enum { UNKNOWN = 999, PROMPT = 12, DRAWN = 3 };

static const ffai__backend *const cuda = &ffai__backend_cuda;
static const tiny_shape shape = {.layers = 1,
                                 .hidden = 32,
                                 .heads = 2,
                                 .kv_heads = 1,
                                 .head_dim = 32,
                                 .rope_dims = 32,
                                 .wide = 64,
                                 .vocab = 40,
                                 .bits = 4};
static const ffai__run_options options = {.max_rows = 16,
                                          .max_outputs = 2,
                                          .max_sequences = 2,
                                          .max_context = 64,
                                          .num_pages = 8,
                                          .store_format = FFAI__STORE_F16};

static const ffai__cuda_driver *driver;
static tiny_model model;

/* --- a whole life --- */

/* A plan, a run and its steps, in which one call of the driver may fail. */
typedef struct life {
    tiny_run own;
    bool noticed; /* a function of the backend has failed */
    ffai_status wanted;
    int32_t ids[DRAWN];
} life;

/* Open objects and memory that the stub knows of. */
static size_t open_things(void)
{
    return (size_t)stub_open_objects() + stub_device_bytes() + stub_pinned_bytes() + (size_t)stub_open_contexts() +
           (size_t)stub_pushed_contexts();
}

static void check_failure(life *of, ffai_status status, const ffai_error *err)
{
    const char *const failed = stub_failed();
    assert_false(of->noticed);
    if (status != of->wanted || !failed || strncmp(err->message, "cuda: ", 6) != 0)
        fail_msg("%s fails: %s (%d)", failed ? failed : "nothing", err->message, (int)status);
    of->noticed = true;
}

/* The call, once more where it failed: it must then succeed. */
#define LIVES(of, call)                                                                                                \
    do {                                                                                                               \
        ffai_error err = FFAI_ERROR_INIT;                                                                              \
        const ffai_status status_ = (call);                                                                            \
        if (status_ != FFAI_OK) {                                                                                      \
            check_failure(of, status_, &err);                                                                          \
            if ((call) != FFAI_OK)                                                                                     \
                fail_msg("after %s: %s", stub_failed(), err.message);                                                  \
        }                                                                                                              \
    } while (0)

/* The same of a call that opens something: it leaves nothing behind when it fails. */
#define OPENS(of, call)                                                                                                \
    do {                                                                                                               \
        ffai_error err = FFAI_ERROR_INIT;                                                                              \
        const size_t before_ = open_things();                                                                          \
        const ffai_status status_ = (call);                                                                            \
        if (status_ != FFAI_OK) {                                                                                      \
            check_failure(of, status_, &err);                                                                          \
            assert_int_equal(open_things(), before_);                                                                  \
            assert_int_equal((call), FFAI_OK);                                                                         \
        }                                                                                                              \
    } while (0)

static const ffai__draw warm = {.temperature = 0.9f, .top_p = 0.95f, .repetition_penalty = 1.1f, .seed = 4};
static const int32_t words[PROMPT] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};
static const int32_t sampled = FFAI__TOKEN_SAMPLED;

static void step_once(life *of, int slot, const int32_t *tokens, int count)
{
    tiny_run *t = &of->own;
    tiny_begin(t);
    tiny_rows(t, slot, tokens, count, 1);
    t->step.draws = &warm;
    LIVES(of, cuda->step(t->run, &t->step, &err));
}

static void take_steps(life *of)
{
    tiny_run *t = &of->own;
    const float *logits = NULL;
    step_once(of, 0, words, PROMPT);
    LIVES(of, cuda->collect(t->run, 0, of->ids, NULL, &logits, &err));
    LIVES(of, cuda->copy_page(t->run, 0, t->tables[1][0][0].page, t->tables[0][0][0].page, &err));
    LIVES(of, cuda->copy_tokens(t->run, 1, 0, PROMPT + 1, &err));
    t->lengths[1] = PROMPT;
    step_once(of, 0, &sampled, 1);
    step_once(of, 1, &sampled, 1);
    LIVES(of, cuda->collect(t->run, 1, of->ids + 1, NULL, NULL, &err));
    LIVES(of, cuda->collect(t->run, 0, of->ids + 2, NULL, NULL, &err));
}

static void make_tables(tiny_run *t)
{
    for (uint32_t s = 0; s < 2; s++) {
        for (uint32_t i = 0; i < 2; i++)
            t->tables[s][0][i] = (ffai__page_ref){s * 2 + i, FFAI__STORE_F16};
        t->table_pointers[s][0] = t->tables[s][0];
    }
}

static void live(life *of)
{
    tiny_run *t = &of->own;
    const ffai__plan_options plan = {.device = 0};
    *t = (tiny_run){.backend = cuda, .program = model.program};
    make_tables(t);
    OPENS(of, tiny_load(&t->plan, cuda, model.program, &plan, &err));
    OPENS(of, cuda->open(&t->run, t->plan, &options, &err));
    take_steps(of);
    cuda->close(t->run);
    cuda->unload(t->plan);
}

/* What gives back, waits before it does, or is entered to do it: nobody can do anything about its failure. */
static bool is_farewell(const char *function)
{
    static const char *const names[] = {
        "cuMemFree_v2",       "cuMemFreeHost",       "cuStreamDestroy_v2", "cuEventDestroy_v2",
        "cuModuleUnload",     "cuGraphDestroy",      "cuGraphExecDestroy", "cuDevicePrimaryCtxRelease_v2",
        "cuCtxPopCurrent_v2", "cuCtxPushCurrent_v2", "cuStreamSynchronize"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(function, names[i]) == 0)
            return true;
    }
    return false;
}

/* A failure that was told left nothing open; one in giving back may have. */
static void check_rest(const life *of, size_t before)
{
    ffai__cuda_context ignored = NULL;
    if (stub_failed() && !of->noticed) {
        if (!is_farewell(stub_failed()))
            fail_msg("%s failed and nobody noticed", stub_failed());
    } else if (open_things() != before) {
        fail_msg("%s: %zu things are open that were not before", stub_failed(), open_things() - before);
    }
    while (stub_pushed_contexts())
        driver->context_pop(&ignored);
}

static void each_call_can_fail(void **state)
{
    (void)state;
    static life undisturbed;
    static life disturbed;
    uint64_t n = 0;
    live(&undisturbed);
    do {
        const size_t before = open_things();
        disturbed = (life){.wanted = FFAI_E_BACKEND};
        stub_reset();
        stub_fail_at(++n, UNKNOWN);
        live(&disturbed);
        check_rest(&disturbed, before);
        assert_memory_equal(disturbed.ids, undisturbed.ids, sizeof undisturbed.ids);
    } while (stub_failed());
    print_message("%llu calls of the driver\n", (unsigned long long)n - 1);
    assert_true(n > 200);
}

static void a_device_without_memory_says_so(void **state)
{
    (void)state;
    static life of;
    static const char *const functions[] = {"cuMemAlloc_v2", "cuMemHostAlloc", "cuGraphInstantiateWithFlags"};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        ffai_error err = FFAI_ERROR_INIT;
        tiny_run *t = &of.own;
        *t = (tiny_run){.backend = cuda, .program = model.program};
        make_tables(t);
        stub_reset();
        if (i < 2) {
            stub_fail(functions[i], FFAI__CUDA_OUT_OF_MEMORY);
            assert_int_equal(tiny_load(&t->plan, cuda, model.program, &(ffai__plan_options){0}, &err), FFAI_E_MEMORY);
            assert_memory_equal(err.message, "cuda: ", 6);
            stub_fail(NULL, 0);
        }
        assert_int_equal(tiny_load(&t->plan, cuda, model.program, &(ffai__plan_options){0}, NULL), FFAI_OK);
        stub_fail(functions[i], FFAI__CUDA_OUT_OF_MEMORY);
        if (i < 2) {
            assert_int_equal(cuda->open(&t->run, t->plan, &options, &err), FFAI_E_MEMORY);
        } else {
            assert_int_equal(cuda->open(&t->run, t->plan, &options, &err), FFAI_OK);
            tiny_begin(t);
            tiny_rows(t, 0, words, 2, 1);
            assert_int_equal(cuda->step(t->run, &t->step, &err), FFAI_E_MEMORY);
            cuda->close(t->run);
        }
        assert_memory_equal(err.message, "cuda: ", 6);
        stub_fail(NULL, 0);
        cuda->unload(t->plan);
    }
}

/* A kernel that fails is found by the next wait, and so is everything after it: what is open can still be closed. */
static void a_fault_of_a_kernel_is_told_with_its_step(void **state)
{
    (void)state;
    static life of;
    ffai_error err = FFAI_ERROR_INIT;
    tiny_run *t = &of.own;
    *t = (tiny_run){.backend = cuda, .program = model.program};
    make_tables(t);
    assert_int_equal(tiny_load(&t->plan, cuda, model.program, &(ffai__plan_options){0}, NULL), FFAI_OK);
    assert_int_equal(cuda->open(&t->run, t->plan, &options, NULL), FFAI_OK);
    step_once(&of, 0, words, PROMPT);
    stub_fail_wait();
    assert_int_equal(cuda->collect(t->run, 0, of.ids, NULL, NULL, &err), FFAI_E_BACKEND);
    assert_non_null(strstr(err.message, "cuda: running a step: an illegal memory access"));
    tiny_begin(t);
    tiny_rows(t, 0, &sampled, 1, 1);
    assert_int_equal(cuda->step(t->run, &t->step, &err), FFAI_E_BACKEND);
    assert_memory_equal(err.message, "cuda: ", 6);
    cuda->close(t->run);
    cuda->unload(t->plan);
}

/* A step that was submitted and yet failed has no results; those of the one before stay, without its logits. */
static void results_outlive_a_step_that_fails(void **state)
{
    (void)state;
    static life of;
    ffai_error err = FFAI_ERROR_INIT;
    const float *logits = NULL;
    int32_t again = -1;
    tiny_run *t = &of.own;
    of.wanted = FFAI_E_BACKEND;
    *t = (tiny_run){.backend = cuda, .program = model.program};
    make_tables(t);
    assert_int_equal(tiny_load(&t->plan, cuda, model.program, &(ffai__plan_options){0}, NULL), FFAI_OK);
    assert_int_equal(cuda->open(&t->run, t->plan, &options, NULL), FFAI_OK);
    step_once(&of, 0, words, PROMPT);
    assert_int_equal(cuda->collect(t->run, 0, of.ids, NULL, &logits, NULL), FFAI_OK);
    stub_fail("cuEventRecord", UNKNOWN);
    tiny_begin(t);
    tiny_rows(t, 1, words, 5, 1);
    t->step.draws = &warm;
    assert_int_equal(cuda->step(t->run, &t->step, &err), FFAI_E_BACKEND);
    stub_fail(NULL, 0);
    assert_int_equal(cuda->collect(t->run, 0, &again, NULL, NULL, NULL), FFAI_OK);
    assert_int_equal(again, of.ids[0]);
    assert_int_equal(cuda->collect(t->run, 0, &again, NULL, &logits, NULL), FFAI_E_ARGUMENT);
    cuda->close(t->run);
    cuda->unload(t->plan);
}

/* --- what does not fit --- */

static void weights_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    ffai__plan *plan = NULL;
    setenv("FFAI_STUB_MEMORY", "10000", 1);
    assert_int_equal(tiny_load(&plan, cuda, model.program, &(ffai__plan_options){0}, &err), FFAI_E_MEMORY);
    assert_null(plan);
    assert_string_equal(err.message, "cuda: device 0, Stub 0: not enough memory for weights: 0.00 GB are needed and "
                                     "0.00 of its 0.00 GB are available");
    assert_int_equal(stub_calls("cuMemAlloc_v2"), 0);
    assert_int_equal(open_things(), 0);
}

/* The message names what is wanted and says how much: `gigabytes` of it. */
static void check_refusal(const ffai__run_options *wanted, const char *memory, const char *what)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__plan *plan = NULL;
    ffai__run *run = NULL;
    setenv("FFAI_STUB_MEMORY", memory, 1);
    assert_int_equal(tiny_load(&plan, cuda, model.program, &(ffai__plan_options){0}, NULL), FFAI_OK);
    const size_t before = open_things();
    assert_int_equal(cuda->open(&run, plan, wanted, &err), FFAI_E_MEMORY);
    assert_null(run);
    if (strncmp(err.message, "cuda: device 0, Stub 0: not enough memory for ", 46) != 0 || !strstr(err.message, what))
        fail_msg("%s", err.message);
    assert_int_equal(open_things(), before);
    cuda->unload(plan);
}

static void stores_and_activations_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    ffai__run_options many = options;
    many.num_pages = 1u << 20; /* of 32 positions, 32 keys and 32 values of 2 bytes each */
    check_refusal(&many, "100000000", "keys and values: 4.29 GB are needed and 0.10 of its 0.10 GB are available");
    many.num_pages = UINT32_MAX;
    check_refusal(&many, "100000000", "keys and values: 17592.19 GB");
    many = options;
    many.max_rows = 1 << 20;
    check_refusal(&many, "100000000", "activations: ");
}

/* --- devices --- */

static void devices_that_are_not_there_are_refused(void **state)
{
    (void)state;
    static const int numbers[] = {-1, 2, INT32_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ffai_error err = FFAI_ERROR_INIT;
        ffai__plan *plan = NULL;
        uint64_t bytes = 0;
        const ffai__plan_options on = {.device = numbers[i]};
        assert_int_equal(tiny_load(&plan, cuda, model.program, &on, &err), FFAI_E_ARGUMENT);
        assert_non_null(strstr(err.message, "cuda: there is no device"));
        assert_null(plan);
        assert_int_equal(cuda->available(&bytes, numbers[i], NULL), FFAI_E_ARGUMENT);
    }
    assert_int_equal(open_things(), 0);
}

static void a_device_without_kernels_for_it_is_refused(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    ffai__plan *plan = NULL;
    setenv("FFAI_STUB_COMPUTE", "35", 1);
    assert_int_equal(tiny_load(&plan, cuda, model.program, &(ffai__plan_options){0}, &err), FFAI_E_UNSUPPORTED);
    assert_string_equal(err.message, "cuda: this build has no kernels for device 0, of compute 3.5");
    unsetenv("FFAI_STUB_COMPUTE");
    stub_fail("cuModuleLoadData", 209); /* the driver's word for it */
    assert_int_equal(tiny_load(&plan, cuda, model.program, &(ffai__plan_options){0}, &err), FFAI_E_UNSUPPORTED);
    assert_memory_equal(err.message, "cuda: ", 6);
    stub_fail(NULL, 0);
    assert_int_equal(open_things(), 0);
}

/* --- cancelling --- */

static bool go_on(void *context, double done)
{
    int *left = context;
    assert_true(done > 0 && done <= 1);
    return (*left)-- > 0;
}

static void loading_can_be_cancelled_anywhere(void **state)
{
    (void)state;
    ffai_status status = FFAI_E_CANCELLED;
    int reports = 0;
    for (; status == FFAI_E_CANCELLED; reports++) {
        ffai__plan *plan = NULL;
        int left = reports;
        const ffai__plan_options cancelled = {.progress = go_on, .progress_context = &left};
        status = tiny_load(&plan, cuda, model.program, &cancelled, NULL);
        if (status == FFAI_OK)
            cuda->unload(plan);
        else
            assert_null(plan);
        assert_int_equal(open_things(), 0);
    }
    assert_int_equal(status, FFAI_OK);
    assert_true(reports > 5);
}

static int enter(void **state)
{
    (void)state;
    stub_reset();
    return 0;
}

static int leave(void **state)
{
    (void)state;
    unsetenv("FFAI_STUB_MEMORY");
    unsetenv("FFAI_STUB_COMPUTE");
    stub_reset();
    return open_things() != 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_device_without_memory_says_so),
        CASE(a_fault_of_a_kernel_is_told_with_its_step),
        CASE(results_outlive_a_step_that_fails),
        CASE(weights_that_do_not_fit_are_refused),
        CASE(stores_and_activations_that_do_not_fit_are_refused),
        CASE(devices_that_are_not_there_are_refused),
        CASE(a_device_without_kernels_for_it_is_refused),
        CASE(loading_can_be_cancelled_anywhere),
        cmocka_unit_test(each_call_can_fail), /* leaves open what it kept the backend from closing */
    };
    if (!cuda_model_has_kernels() || ffai__cuda_driver_get(&driver, NULL) != FFAI_OK)
        return 77;
    tiny_create(&model, &shape);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tiny_free(&model);
    return failed;
}
