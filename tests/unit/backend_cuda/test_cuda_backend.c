/* Whole steps of the CUDA backend over the model of a device. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "../../kernels/backend_tests.h"
#include "launch.h"
#include "stub.h"

/* Every case begins with counts of 0 and leaves nothing open. */
static int enter(void **state)
{
    (void)state;
    stub_reset();
    return 0;
}

static int leave(void **state)
{
    (void)state;
    return stub_open_objects() || stub_device_bytes() || stub_pinned_bytes() || stub_open_contexts() ||
           stub_pushed_contexts();
}

/* --- bits --- */

static float *logits_of(const tiny_model *m, const tiny_options *options, int total, int chunk, bool company)
{
    float *logits = malloc((size_t)total * (size_t)m->shape.vocab * sizeof *logits);
    logits_in_chunks(logits, m, options, total, chunk, company);
    return logits;
}

/* Steps of one class are alike to a row: the way a prompt is cut, company and pages change nothing. Those of another
 * class are computed in other orders, but each time in the same. */
static void the_same_steps_give_the_same_bits(void **state)
{
    (void)state;
    enum { TOTAL = 70 };
    static const struct {
        int first, second; /* rows of a step */
        bool company;      /* in the second run's */
    } chunks[] = {{1, 1, false}, {5, 5, false}, {10, 14, true}, {35, 70, false}, {70, 35, true}};
    tiny_shape shape = plain;
    shape.bits = 4;
    shape.window = 50;
    shape.qk_norm = true;
    shape.layers = 1;
    if (!SANITIZED) {        /* which takes ten minutes for these, and does not look at bits */
        shape.hidden = 1088; /* three spans of columns, and more of them than warps */
        shape.wide = 4224;
    }
    tiny_model m;
    tiny_create(&m, &shape);
    fill_prompt(shape.vocab);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        tiny_options options = {.format = FFAI__STORE_F16};
        float *first = logits_of(&m, &options, TOTAL, chunks[i].first, false);
        options.page_stride = 13;
        float *second = logits_of(&m, &options, TOTAL, chunks[i].second, chunks[i].company);
        assert_memory_equal(first, second, (size_t)(TOTAL * shape.vocab) * sizeof *first);
        free(first);
        free(second);
    }
    tiny_free(&m);
}

/* Matrices whose columns are in parts, results that are put together by what reads them, and attention that lays out
 * the next product's input: in steps of a few rows nothing of this is to be seen. */
static void folded_steps_of_a_few_rows_equal_the_reference(void **state)
{
    (void)state;
    enum { TOTAL = 26 };
    static const struct {
        int bits, head_dim, rope_dims, chunk;
        bool qk_norm, bias, f32;
    } cases[] = {{4, 64, 64, 5, false, false, true},
                 {4, 128, 128, 26, true, true, true},
                 {16, 64, 32, 20, false, true, true},
                 {8, 128, 128, 3, false, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_shape shape = plain;
        shape.layers = 1;
        shape.bits = cases[i].bits;
        shape.head_dim = cases[i].head_dim;
        shape.rope_dims = cases[i].rope_dims;
        shape.qk_norm = cases[i].qk_norm;
        shape.bias = cases[i].bias;
        shape.hidden = 1024;
        shape.wide = 1120;
        tiny_model m;
        tiny_create(&m, &shape);
        fill_prompt(shape.vocab);
        const tiny_options options = {.format = FFAI__STORE_F16, .f32 = cases[i].f32};
        int64_t where = 0;
        tested = &ffai__backend_ref;
        float *expected = logits_of(&m, &options, TOTAL, cases[i].chunk, true);
        tested = &ffai__backend_cuda;
        float *logits = logits_of(&m, &options, TOTAL, cases[i].chunk, true);
        const double error = error_of(logits, expected, TOTAL * shape.vocab, &where);
        if (!(error <= (cases[i].f32 ? 2e-3 : 3e-2)))
            fail_msg("case %zu: error %.3g at %lld", i, error, (long long)where);
        free(expected);
        free(logits);
        tiny_free(&m);
    }
}

/* --- submissions --- */

static const ffai__draw greedy[3] = {{.top_p = 1, .repetition_penalty = 1},
                                     {.top_p = 1, .repetition_penalty = 1},
                                     {.top_p = 1, .repetition_penalty = 1}};

/* The step put together in `run`: one submission; graphs: that it makes as many. */
static void submit_one(tiny_run *run, const ffai__draw *draws, uint64_t graphs)
{
    const uint64_t submissions = stub_submissions();
    const uint64_t launches = stub_calls("cuGraphLaunch");
    const uint64_t made = stub_calls("cuGraphInstantiateWithFlags");
    run->step.draws = draws;
    assert_int_equal(run->backend->step(run->run, &run->step, NULL), FFAI_OK);
    assert_int_equal(stub_submissions() - submissions, 1);
    assert_int_equal(stub_calls("cuGraphLaunch") - launches, 1);
    assert_int_equal(stub_calls("cuGraphInstantiateWithFlags") - made, graphs);
    assert_int_equal(run->backend->collect(run->run, 0, (int32_t[3]){0}, NULL, NULL, NULL), FFAI_OK);
    assert_int_equal(stub_submissions() - submissions, 1); /* ids came without a copy */
}

/* A model of that shape, and a run of it whose stores are f16. */
static void open_plain(tiny_run *run, tiny_model *m)
{
    const tiny_options options = {.format = FFAI__STORE_F16};
    tiny_create(m, &plain);
    fill_prompt(plain.vocab);
    tiny_open(run, tested, m->program, &options);
}

static void a_step_is_one_submission(void **state)
{
    (void)state;
    static tiny_run run;
    static const int32_t sampled = FFAI__TOKEN_SAMPLED;
    static const ffai__draw warm = {.temperature = 0.7f, .top_p = 0.9f, .repetition_penalty = 1.2f, .seed = 3};
    tiny_model m;
    open_plain(&run, &m);
    assert_int_equal(stub_calls("cuGraphInstantiateWithFlags"), 0);
    for (int i = 0; i < 2; i++) { /* two chunks of a prompt: one graph serves both */
        tiny_begin(&run);
        tiny_rows(&run, 0, prompt, 20 + i, 1);
        submit_one(&run, greedy, i == 0);
    }
    for (int i = 0; i < 3; i++) { /* tokens */
        tiny_begin(&run);
        tiny_rows(&run, 0, &sampled, 1, 1);
        submit_one(&run, greedy, i == 0);
    }
    for (int i = 0; i < 2; i++) { /* drawn in earnest */
        tiny_begin(&run);
        tiny_rows(&run, 0, &sampled, 1, 1);
        submit_one(&run, &warm, i == 0);
    }
    for (int i = 0; i < 2; i++) { /* a batch */
        tiny_begin(&run);
        tiny_rows(&run, 0, prompt, 1, 1);
        tiny_rows(&run, 1, prompt, 2 - i, 1);
        tiny_rows(&run, 2, prompt, 3, 1);
        submit_one(&run, greedy, i == 0);
    }
    tiny_close(&run);
    tiny_free(&m);
}

/* Between a step and its results nothing but the event of its slot is waited for, which an earlier step recorded. */
static void running_ahead_waits_for_nothing(void **state)
{
    (void)state;
    static tiny_run run;
    static const int32_t sampled = FFAI__TOKEN_SAMPLED;
    tiny_model m;
    open_plain(&run, &m);
    const uint64_t allocations = stub_calls("cuMemAlloc_v2") + stub_calls("cuMemHostAlloc");
    for (int i = 0; i < 10; i++) {
        const uint64_t waits = stub_calls("cuStreamSynchronize");
        const uint64_t events = stub_calls("cuEventSynchronize");
        tiny_begin(&run);
        tiny_rows(&run, 0, i ? &sampled : prompt, 1, 1);
        run.step.draws = greedy;
        assert_int_equal(tested->step(run.run, &run.step, NULL), FFAI_OK);
        if (i)
            assert_int_equal(tested->collect(run.run, 1, (int32_t[1]){0}, NULL, NULL, NULL), FFAI_OK);
        assert_int_equal(stub_calls("cuStreamSynchronize"), waits);
        assert_true(stub_calls("cuEventSynchronize") - events <= 2);
    }
    assert_int_equal(stub_calls("cuMemAlloc_v2") + stub_calls("cuMemHostAlloc"), allocations);
    tiny_close(&run);
    tiny_free(&m);
}

/* --- block tables --- */

static void extend(tiny_run *run, int slot, const int32_t *tokens, int count)
{
    tiny_begin(run);
    tiny_rows(run, slot, tokens, count, 1);
    tiny_step(run);
}

/* The slot's tables, up to `length` and no further, as those of another: whole pages are shared, the last one copied.
 */
static void fork_slot(tiny_run *run, int to, int from, int length)
{
    const int whole = length / FFAI__PAGE_TOKENS;
    for (size_t g = 0; g < run->program->num_groups; g++) {
        for (int i = 0; i < whole; i++)
            run->tables[to][g][i] = run->tables[from][g][i];
        assert_int_equal(
            tested->copy_page(run->run, (int)g, run->tables[to][g][whole].page, run->tables[from][g][whole].page, NULL),
            FFAI_OK);
    }
    assert_int_equal(tested->copy_tokens(run->run, to, from, length, NULL), FFAI_OK);
    run->lengths[to] = length;
}

/* What the device was told of the slot before is of another sequence, and a longer one. */
static void a_fork_into_a_slot_that_was_used_reads_its_own_pages(void **state)
{
    (void)state;
    static tiny_run run;
    tiny_model m;
    open_plain(&run, &m);
    extend(&run, 0, prompt, 70);
    extend(&run, 1, prompt + 100, 90);
    fork_slot(&run, 1, 0, 50);
    run.lengths[0] = 50;
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt + 60, 3, 1);
    tiny_rows(&run, 1, prompt + 60, 3, 1);
    const float *logits = tiny_step(&run);
    assert_memory_equal(logits, logits + plain.vocab, (size_t)plain.vocab * sizeof *logits);
    tiny_close(&run);
    tiny_free(&m);
}

/* The host's work for a token does not grow with the context: of pages in front of it, it would see that these are not
 * of the run's format. A step that fails has the device told everything again. */
static void pages_that_the_device_knows_are_not_looked_at(void **state)
{
    (void)state;
    static tiny_run run;
    ffai_error err = FFAI_ERROR_INIT;
    tiny_model m;
    open_plain(&run, &m);
    extend(&run, 0, prompt, 40);
    run.tables[0][0][0].format = FFAI__STORE_F32;
    extend(&run, 0, prompt, 1);
    stub_fail("cuGraphLaunch", 999);
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, 1, 1);
    assert_int_equal(tested->step(run.run, &run.step, &err), FFAI_E_BACKEND);
    stub_fail(NULL, 0);
    assert_int_equal(tested->step(run.run, &run.step, &err), FFAI_E_UNSUPPORTED);
    tiny_close(&run);
    tiny_free(&m);
}

/* --- what is refused --- */

static void wrong_steps_are_refused(void **state)
{
    (void)state;
    static tiny_run run;
    ffai_error err = FFAI_ERROR_INIT;
    tiny_model m;
    open_plain(&run, &m);
    run.lengths[0] = 64 * FFAI__PAGE_TOKENS;
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, 1, 1);
    assert_int_equal(tested->step(run.run, &run.step, &err), FFAI_E_CONTEXT_FULL);
    run.lengths[0] = 0;
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, 2, 1);
    run.tables[0][0][0].format = FFAI__STORE_F32;
    assert_int_equal(tested->step(run.run, &run.step, &err), FFAI_E_UNSUPPORTED);
    assert_memory_equal(err.message, "cuda:", 5);
    run.tables[0][0][0].format = FFAI__STORE_F16;
    assert_int_equal(tested->step(run.run, &run.step, &err), FFAI_OK);
    assert_int_equal(tested->collect(run.run, 0, (int32_t[2]){0}, NULL, NULL, &err), FFAI_E_ARGUMENT);
    assert_int_equal(tested->read(run.run, m.program->logits, NULL, &err), FFAI_E_ARGUMENT);
    tiny_close(&run);
    tiny_free(&m);
}

static void copies_of_what_is_not_there_are_refused(void **state)
{
    (void)state;
    static tiny_run run;
    tiny_model m;
    open_plain(&run, &m);
    const uint64_t submissions = stub_submissions();
    assert_int_equal(tested->copy_page(run.run, 0, 1u << 20, 0, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(tested->copy_page(run.run, 0, 0, 1u << 20, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(tested->copy_page(run.run, -1, 0, 1, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(tested->copy_page(run.run, 7, 0, 1, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(tested->copy_tokens(run.run, 1, TINY_SLOTS, 20, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(tested->copy_tokens(run.run, -1, 0, 20, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(tested->copy_tokens(run.run, 1, 0, 1 << 20, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(tested->copy_tokens(run.run, 1, 0, -1, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(stub_submissions(), submissions);
    assert_int_equal(tested->copy_tokens(run.run, 1, 0, 0, NULL), FFAI_OK);
    tiny_close(&run);
    tiny_free(&m);
}

static bool stop(void *context)
{
    (void)context;
    return false;
}

static void a_step_can_be_left_before_it_is_submitted(void **state)
{
    (void)state;
    static tiny_run run;
    tiny_model m;
    open_plain(&run, &m);
    const uint64_t submissions = stub_submissions();
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, 5, 1);
    run.step.keep_going = stop;
    assert_int_equal(tested->step(run.run, &run.step, NULL), FFAI_E_CANCELLED);
    assert_int_equal(stub_submissions(), submissions);
    tiny_close(&run);
    tiny_free(&m);
}

static void a_plan_says_what_it_runs_on(void **state)
{
    (void)state;
    tiny_model m;
    ffai__plan *plan = NULL;
    char text[128];
    tiny_create(&m, &plain);
    const ffai__plan_options options = {.device = 1};
    assert_int_equal(tiny_load(&plan, tested, m.program, &options, NULL), FFAI_OK);
    tested->describe(plan, text, sizeof text);
    assert_string_equal(text, "cuda device 1, Stub 1, compute capability 9.0, 132 multiprocessors");
    tested->unload(plan);
    tiny_free(&m);
}

/* Timed steps compute what others do, and each kind of work is there as often as the program has it. */
static void steps_are_timed_by_kind_of_work(void **state)
{
    (void)state;
    enum { TOTAL = 12, KINDS = 64 };
    tiny_model m;
    tiny_run run;
    ffai__op_time kinds[KINDS];
    open_plain(&run, &m);
    assert_int_equal(tested->profile(run.run, true, NULL), FFAI_OK);
    assert_int_equal(tested->profile_read(run.run, kinds, KINDS), 0);
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, TOTAL, 1);
    const float timed = tiny_step(&run)[0];
    const size_t count = tested->profile_read(run.run, kinds, KINDS);
    uint64_t heads = 0;
    uint64_t attentions = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(kinds[i].seconds >= 0 && kinds[i].count > 0);
        heads += strcmp(kinds[i].op, "head") == 0 && strcmp(kinds[i].part, "multiply") == 0 && kinds[i].bytes > 0;
        if (strcmp(kinds[i].part, "attend") == 0) {
            attentions += kinds[i].count;
            /* every row sees those before it and itself; keys and values are read once */
            const double width = 4.0 * m.shape.heads * m.shape.head_dim * m.shape.layers;
            assert_true(kinds[i].flops == width * TOTAL * (TOTAL + 1) / 2);
            assert_true(kinds[i].bytes == 4.0 * m.shape.kv_heads * m.shape.head_dim * m.shape.layers * TOTAL);
        }
    }
    assert_int_equal(heads, 1);
    assert_int_equal(attentions, m.shape.layers);
    assert_int_equal(tested->profile(run.run, false, NULL), FFAI_OK);
    tiny_begin(&run);
    tiny_rows(&run, 1, prompt, TOTAL, 1);
    assert_true(tiny_step(&run)[0] == timed);
    assert_int_equal(tested->profile_read(run.run, NULL, 0), count);
    tiny_close(&run);
    tiny_free(&m);
}

/* Norms, gates and what prepares heads have no kernels of their own in steps of a few rows. */
static void steps_of_a_few_rows_fold_what_they_can(void **state)
{
    (void)state;
    enum { KINDS = 64 };
    static const char *const folded[] = {"norm", "swiglu", "rope", "store"};
    tiny_shape shape = plain;
    tiny_model m;
    tiny_run run;
    ffai__op_time kinds[KINDS];
    shape.qk_norm = true;
    tiny_create(&m, &shape);
    fill_prompt(m.shape.vocab);
    const tiny_options options = {.format = FFAI__STORE_F16};
    tiny_open(&run, tested, m.program, &options);
    assert_int_equal(tested->profile(run.run, true, NULL), FFAI_OK);
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, 3, 1);
    tiny_rows(&run, 1, prompt, 2, 1);
    tiny_step(&run);
    const size_t count = tested->profile_read(run.run, kinds, KINDS);
    uint64_t heads = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof folded / sizeof *folded; k++)
            assert_string_not_equal(kinds[i].part, folded[k]);
        heads += strcmp(kinds[i].part, "heads") == 0 ? kinds[i].count : 0;
    }
    assert_int_equal(heads, m.shape.layers);
    tiny_close(&run);
    tiny_free(&m);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest shared[] = {BACKEND_TESTS};
    const struct CMUnitTest own[] = {
        CASE(the_same_steps_give_the_same_bits),
        CASE(folded_steps_of_a_few_rows_equal_the_reference),
        CASE(a_step_is_one_submission),
        CASE(running_ahead_waits_for_nothing),
        CASE(a_fork_into_a_slot_that_was_used_reads_its_own_pages),
        CASE(pages_that_the_device_knows_are_not_looked_at),
        CASE(wrong_steps_are_refused),
        CASE(copies_of_what_is_not_there_are_refused),
        CASE(a_step_can_be_left_before_it_is_submitted),
        CASE(a_plan_says_what_it_runs_on),
        CASE(steps_are_timed_by_kind_of_work),
        CASE(steps_of_a_few_rows_fold_what_they_can),
    };
    if (!cuda_model_has_kernels())
        return 77;
    setenv("FFAI_STUB_MEMORY", "4294967296", 1);
    tested = &ffai__backend_cuda;
    const int failed = cmocka_run_group_tests_name("every backend's", shared, NULL, leave);
    return cmocka_run_group_tests_name("its own", own, NULL, NULL) || failed;
}
