#define _GNU_SOURCE /* setenv */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "backend_tests.h"
#include "cpu_features.h"
#include "same_bits_tests.h"

static ffai_status try_step(tiny_run *run, ffai_error *err)
{
    return run->backend->step(run->run, &run->step, err);
}

static void wrong_steps_are_refused(void **state)
{
    (void)state;
    static tiny_run run;
    ffai_error err = FFAI_ERROR_INIT;
    tiny_model m;
    tiny_create(&m, &plain);
    fill_prompt(plain.vocab);
    const tiny_options options = {.threads = 1};
    tiny_open(&run, &ffai__backend_cpu, m.program, &options);

    run.lengths[0] = 64 * FFAI__PAGE_TOKENS;
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, 1, 1);
    assert_int_equal(try_step(&run, &err), FFAI_E_CONTEXT_FULL);

    run.lengths[0] = 0;
    tiny_begin(&run);
    tiny_rows(&run, 0, prompt, 2, 1);
    tiny_rows(&run, 1, prompt, 2, 1);
    run.sequences[1].slot = 0;
    assert_int_equal(try_step(&run, &err), FFAI_E_ARGUMENT);
    assert_string_equal(err.message, "step: sequence 1: slot 0 has another sequence");

    run.sequences[1].slot = 1;
    run.output_rows[0] = run.output_rows[1];
    assert_int_equal(try_step(&run, &err), FFAI_E_ARGUMENT);
    run.output_rows[0] = 1;
    run.tables[1][0][0].format = FFAI__STORE_F32;
    assert_int_equal(try_step(&run, &err), FFAI_E_ARGUMENT);
    run.tables[1][0][0].format = FFAI__STORE_F16;
    assert_int_equal(try_step(&run, &err), FFAI_OK);
    assert_int_equal(run.backend->collect(run.run, 0, (int32_t[2]){0}, NULL, NULL, &err), FFAI_E_ARGUMENT);
    assert_int_equal(run.backend->read(run.run, m.program->logits, NULL, &err), FFAI_E_ARGUMENT);
    tiny_close(&run);
    tiny_free(&m);
}

static void copies_of_what_is_not_there_are_refused(void **state)
{
    (void)state;
    static tiny_run run;
    tiny_model m;
    tiny_create(&m, &plain);
    const tiny_options options = {.threads = 1};
    tiny_open(&run, &ffai__backend_cpu, m.program, &options);
    assert_int_equal(run.backend->copy_page(run.run, 0, 1u << 20, 0, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(run.backend->copy_tokens(run.run, 1, 9, 20, NULL), FFAI_E_ARGUMENT);
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
    const ffai__plan_options options = {.threads = 3};
    assert_int_equal(tiny_load(&plan, &ffai__backend_cpu, m.program, &options, NULL), FFAI_OK);
    ffai__backend_cpu.describe(plan, text, sizeof text);
    print_message("%s\n", text);
    assert_memory_equal(text, "cpu ", 4);
    assert_non_null(strstr(text, ", 3 threads"));
    ffai__backend_cpu.unload(plan);
    tiny_free(&m);
}

/* All tests once on every tier of this machine. */
static int run_tier(const char *isa)
{
    const struct CMUnitTest tests[] = {
        BACKEND_TESTS,
        SAME_BITS_TESTS,
        cmocka_unit_test(wrong_steps_are_refused),
        cmocka_unit_test(copies_of_what_is_not_there_are_refused),
        cmocka_unit_test(a_plan_says_what_it_runs_on),
    };
    setenv("FFAI_ISA", isa, 1);
    return cmocka_run_group_tests_name(isa, tests, NULL, NULL);
}

int main(void)
{
    ffai__cpu_features features;
    ffai__cpu_features_detect(&features);
    tested = &ffai__backend_cpu;
    int failed = 0;
    for (ffai__isa isa = FFAI__ISA_SCALAR; isa < FFAI__ISA_COUNT; isa++) {
        if (ffai__isa_runs(&features, isa))
            failed += run_tier(ffai__isa_name(isa));
    }
    return failed != 0;
}
