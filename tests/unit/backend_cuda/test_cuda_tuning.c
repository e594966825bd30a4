/* The CUDA backend's free parameters: they reach the launches, and what they may not change stays as it is. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "../../kernels/tiny_model.h"
#include "cuda.h"
#include "launch.h"
#include "stub.h"

static const ffai__backend *const cuda = &ffai__backend_cuda;
static const tiny_options options = {.format = FFAI__STORE_F16};

/* 132 multiprocessors have several units of the head each, and attention has more heads than that a context could be
 * cut into as many parts as it has stretches. */
static const tiny_shape shape = {.layers = 1,
                                 .hidden = 96,
                                 .heads = 33,
                                 .kv_heads = 33,
                                 .head_dim = 32,
                                 .rope_dims = 32,
                                 .wide = 64,
                                 .vocab = 8 * 132 * 5,
                                 .bits = 4};

enum { PROMPT = 20 };

static tiny_model model;
static tiny_run t;
static int32_t prompt[PROMPT];

static int enter(void **state)
{
    (void)state;
    stub_reset();
    tiny_open(&t, cuda, model.program, &options);
    return 0;
}

static int leave(void **state)
{
    (void)state;
    tiny_close(&t);
    return stub_open_objects() || stub_device_bytes() || stub_pinned_bytes() || stub_open_contexts() ||
           stub_pushed_contexts();
}

/* Logits of one row behind a short prompt; they hold until the next step. */
static const float *take_steps(void)
{
    t.lengths[0] = 0;
    tiny_begin(&t);
    tiny_rows(&t, 0, prompt, PROMPT, 1);
    tiny_step(&t);
    tiny_begin(&t);
    tiny_rows(&t, 0, prompt, 1, 1);
    return tiny_step(&t);
}

static ffai__tuning in_force(void)
{
    ffai__tuning tuning;
    cuda->tuning(&tuning, t.plan);
    return tuning;
}

/* The operation of this kind in the class of one row that was made. */
static const ffai__cuda_operation *find_operation(ffai__op op, const char *part)
{
    const ffai__cuda_run *run = (const ffai__cuda_run *)t.run;
    const ffai__cuda_operation *found = NULL;
    for (size_t c = 0; c < run->num_classes; c++) {
        const ffai__cuda_class *of = &run->classes[c];
        for (size_t i = 0; of->rows == 1 && i < of->num_operations; i++) {
            const ffai__cuda_operation *operation = &of->operations[i];
            if (operation->instruction && operation->instruction->op == op && strcmp(operation->part, part) == 0)
                found = operation; /* of linear the last one: the head */
        }
    }
    assert_non_null(found);
    return found;
}

static void products_of_one_row_have_as_many_blocks_as_tuned(void **state)
{
    (void)state;
    float *usual = malloc((size_t)shape.vocab * sizeof *usual);
    memcpy(usual, take_steps(), (size_t)shape.vocab * sizeof *usual);
    assert_int_equal(in_force().row_blocks, ffai__tuning_usual.row_blocks);
    for (int32_t blocks = 1; blocks <= 16; blocks = blocks == 5 ? 16 : blocks + 1) {
        ffai__tuning tuning = in_force();
        tuning.row_blocks = blocks;
        assert_int_equal(cuda->retune(t.run, &tuning, NULL), FFAI_OK);
        assert_memory_equal(take_steps(), usual, (size_t)shape.vocab * sizeof *usual);
        const int units = shape.vocab / 8;
        const int each = (units + 132 * blocks - 1) / (132 * blocks);
        assert_int_equal(find_operation(FFAI__OP_linear, "multiply")->blocks, (units + each - 1) / each);
    }
    free(usual);
}

/* max |a - b| / rms(b) */
static double largest_error(const float *a, const float *b)
{
    double squares = 0, largest = 0;
    for (int i = 0; i < shape.vocab; i++) {
        squares += (double)b[i] * (double)b[i];
        const double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= largest)) /* what is no number counts */
            largest = difference;
    }
    return largest / sqrt(squares / shape.vocab);
}

static void contexts_are_cut_into_as_many_parts_as_tuned(void **state)
{
    (void)state;
    static const int parts[] = {0, 4, 8, 8, 8}; /* 132 blocks for 33 heads, and so on; a context has 8 stretches */
    float *usual = malloc((size_t)shape.vocab * sizeof *usual);
    memcpy(usual, take_steps(), (size_t)shape.vocab * sizeof *usual);
    assert_int_equal(in_force().attend_blocks, 2); /* of heads of up to 64 */
    for (int32_t blocks = 1; blocks <= 4; blocks++) {
        ffai__tuning tuning = in_force();
        tuning.attend_blocks = blocks;
        assert_int_equal(cuda->retune(t.run, &tuning, NULL), FFAI_OK);
        assert_true(largest_error(take_steps(), usual) < 1e-3);
        const ffai__cuda_operation *attention = find_operation(FFAI__OP_attention, "attend");
        ffai__cuda_attend_args args;
        memcpy(&args, attention->args, sizeof args);
        assert_int_equal(args.attention.splits, parts[blocks]);
        assert_int_equal(((const ffai__cuda_run *)t.run)->splits, parts[blocks]);
    }
    free(usual);
}

static void the_same_values_make_no_graph_anew(void **state)
{
    (void)state;
    ffai__tuning tuning = in_force();
    take_steps();
    const uint64_t made = stub_calls("cuGraphInstantiateWithFlags");
    const int open = stub_open_objects();
    tuning.step_rows = 77; /* the engine's */
    assert_int_equal(cuda->retune(t.run, &tuning, NULL), FFAI_OK);
    take_steps();
    assert_int_equal(stub_calls("cuGraphInstantiateWithFlags"), made);
    tuning.row_blocks = 3;
    assert_int_equal(cuda->retune(t.run, &tuning, NULL), FFAI_OK);
    assert_int_equal(stub_open_objects(), open - 2);
    take_steps();
    assert_int_equal(stub_calls("cuGraphInstantiateWithFlags"), made + 2);
    assert_int_equal(stub_open_objects(), open);
}

static void a_retuning_that_fails_changes_nothing(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    ffai__tuning tuning = in_force();
    take_steps();
    const uint64_t made = stub_calls("cuGraphInstantiateWithFlags");
    static const char *const failing[] = {"cuStreamSynchronize", "cuCtxPushCurrent_v2"};
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        tuning.row_blocks = 3;
        stub_fail(failing[i], 999);
        assert_int_equal(cuda->retune(t.run, &tuning, &err), FFAI_E_BACKEND);
        stub_fail(NULL, 0);
    }
    tuning.row_blocks = 17;
    assert_int_equal(cuda->retune(t.run, &tuning, &err), FFAI_E_ARGUMENT);
    assert_string_equal(err.message, "row_blocks: 17 is not from 1 to 16");
    tuning.row_blocks = 0;
    assert_int_equal(cuda->retune(t.run, &tuning, &err), FFAI_E_ARGUMENT);
    tuning.row_blocks = 2;
    tuning.attend_blocks = 5;
    assert_int_equal(cuda->retune(t.run, &tuning, &err), FFAI_E_ARGUMENT);
    take_steps();
    assert_int_equal(stub_calls("cuGraphInstantiateWithFlags"), made);
    assert_int_equal(((const ffai__cuda_run *)t.run)->tuning.row_blocks, ffai__tuning_usual.row_blocks);
}

static void a_plan_runs_with_the_values_it_was_loaded_with(void **state)
{
    (void)state;
    ffai__tuning tuning = ffai__tuning_usual;
    const ffai__run_options opening = {
        .max_rows = 4, .max_outputs = 1, .max_sequences = 1, .max_context = 2048, .num_pages = 64};
    tuning.row_blocks = 4;
    tuning.attend_blocks = 1;
    const ffai__plan_options plan_options = {.tuning = &tuning};
    ffai__plan *plan = NULL;
    ffai__run *run = NULL;
    assert_int_equal(tiny_load(&plan, cuda, model.program, &plan_options, NULL), FFAI_OK);
    assert_int_equal(cuda->open(&run, plan, &opening, NULL), FFAI_OK);
    assert_int_equal(((const ffai__cuda_run *)run)->tuning.row_blocks, 4);
    assert_int_equal(((const ffai__cuda_run *)run)->splits, 4);
    cuda->tuning(&tuning, plan);
    assert_int_equal(tuning.row_blocks, 4);
    assert_int_equal(tuning.attend_blocks, 1);
    cuda->close(run);
    cuda->unload(plan);
}

static void devices_are_told_apart(void **state)
{
    (void)state;
    char first[256], second[256];
    int threads = -1;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(cuda->identify(&threads, first, sizeof first, 0, &err), FFAI_OK);
    assert_int_equal(cuda->identify(&threads, second, sizeof second, 1, &err), FFAI_OK);
    assert_int_equal(threads, 0);
    assert_string_equal(first, "cuda, Stub 0, compute capability 9.0, 132 multiprocessors");
    assert_string_equal(second, "cuda, Stub 1, compute capability 9.0, 132 multiprocessors");
    stub_fail("cuDeviceGetName", 999);
    assert_int_equal(cuda->identify(&threads, first, sizeof first, 0, &err), FFAI_E_BACKEND);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(products_of_one_row_have_as_many_blocks_as_tuned),
        CASE(contexts_are_cut_into_as_many_parts_as_tuned),
        CASE(the_same_values_make_no_graph_anew),
        CASE(a_retuning_that_fails_changes_nothing),
        CASE(a_plan_runs_with_the_values_it_was_loaded_with),
        CASE(devices_are_told_apart),
    };
    if (!cuda_model_has_kernels())
        return 77;
    setenv("FFAI_STUB_MEMORY", "4294967296", 1);
    tiny_create(&model, &shape);
    for (int i = 0; i < PROMPT; i++)
        prompt[i] = i * 7919 % shape.vocab;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tiny_free(&model);
    return failed;
}
