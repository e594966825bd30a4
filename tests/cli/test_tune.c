/* tune: what it refuses, keeps and forgets. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"
#include "refusals.h"

/* The user's own cache is none of these tests'. */
static void use_cache(void)
{
    const char *path = scratch("cache");
    mkdir(path, 0777);
    setenv("XDG_CACHE_HOME", path, 1);
    setenv("FFAI_TUNE", "on", 1);
}

static void leave_cache(const char *before)
{
    if (before)
        setenv("XDG_CACHE_HOME", before, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    setenv("FFAI_TUNE", "off", 1);
}

static void what_contradicts_or_is_missing_is_refused(void)
{
    static const refusal refusals[] = {
        {"tune", "tune: --model: is missing: give it or --shape"},
        {"tune --shape qwen3-4b", "tune: --bits: is missing"},
        {"tune -m /nonexistent --shape qwen3-4b --bits 4", "tune: --shape: contradicts --model"},
        {"tune -m /nonexistent --bits 4", "tune: --bits: goes with --shape"},
        {"tune --forget -m /nonexistent", "tune: --forget: is for every model"},
    };
    CHECK_REFUSALS(refusals);
}

static void check_stats(const char *words)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "-p", "a", "-n", "1", "--stats");
    check_says(o.status == 0 && o.err && strstr(o.err, words), __FILE__, __LINE__, "\"%s\" lacks \"%s\"",
               o.err ? o.err : "", words);
    outcome_release(&o);
}

static void what_is_tuned_is_in_force_until_it_is_forgotten(void)
{
    outcome o;
    char *before = getenv("XDG_CACHE_HOME") ? strdup(getenv("XDG_CACHE_HOME")) : NULL;
    use_cache();
    check_stats("\ntuning      usual values\n");
    RUN(o, NULL, "tune", "-m", MODEL);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.out && strstr(o.out, "   won      disturbed   kept\n") && strstr(o.out, "\ntile_block_bytes ") &&
          strstr(o.out, "\nkept: ") && strstr(o.out, "\nwritten to "));
    outcome_release(&o);
    check_stats("from ");
    setenv("FFAI_TUNE", "off", 1);
    check_stats("\ntuning      usual values\n");
    setenv("FFAI_TUNE", "perhaps", 1);
    RUN(o, NULL, "-m", MODEL, "-p", "a", "-n", "1");
    CHECK_OUTCOME(o, 1, "FFAI_TUNE: \"perhaps\" is neither on nor off");
    outcome_release(&o);
    setenv("FFAI_TUNE", "on", 1);
    RUN(o, NULL, "tune", "--forget");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.out && strcmp(o.out, "1 removed\n") == 0);
    outcome_release(&o);
    RUN(o, NULL, "tune", "--forget", "--json");
    json_t *object = json_of_text(o.out);
    CHECK(json_number_value(json_at(object, "removed")) == 0);
    json_decref(object);
    outcome_release(&o);
    check_stats("\ntuning      usual values\n");
    leave_cache(before);
    free(before);
}

/* Before the model is opened. */
static void a_backend_without_parameters_is_refused(void)
{
    outcome o;
    RUN(o, NULL, "tune", "-m", "/nonexistent", "--backend", "ref");
    CHECK_OUTCOME(o, 1, "tune: the backend ref has nothing to tune");
    outcome_release(&o);
}

static const test tests[] = {
    TEST(what_contradicts_or_is_missing_is_refused),
    TEST(a_backend_without_parameters_is_refused),
    TEST(what_is_tuned_is_in_force_until_it_is_forgotten),
};

extern const suite suite_tune;
const suite suite_tune = SUITE(tests);
