/* Downloaded models, from a cache that is made by hand: no hub is asked. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static char cache[512];

static void make(const char *below)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", cache, below);
    CHECK(mkdir(path, 0777) == 0);
}

static void write_file(const char *below, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", cache, below);
    FILE *file = fopen(path, "w");
    if (CHECK(file != NULL)) {
        fputs(text, file);
        fclose(file);
    }
}

static void link_file(const char *name)
{
    char path[1024], target[1024];
    snprintf(path, sizeof path, "%s/models--org--tiny/snapshots/" COMMIT "/%s", cache, name);
    snprintf(target, sizeof target, FFAI_SOURCE_DIR "/" MODEL "/%s", name);
    CHECK(symlink(target, path) == 0);
}

/* A cache with org/tiny in it, whose files are a fixture's. */
static void make_cache(const char *name)
{
    snprintf(cache, sizeof cache, "%s", scratch(name));
    CHECK(mkdir(cache, 0777) == 0);
    setenv("HF_HUB_CACHE", cache, 1);
    setenv("HF_HUB_OFFLINE", "1", 1);
    make("models--org--tiny");
    make("models--org--tiny/blobs");
    make("models--org--tiny/refs");
    make("models--org--tiny/snapshots");
    make("models--org--tiny/snapshots/" COMMIT);
    write_file("models--org--tiny/refs/main", COMMIT);
    write_file("models--org--tiny/blobs/0000.ffai-part", "unfinished");
    link_file("config.json");
    link_file("model.safetensors");
    link_file("tokenizer.json");
}

static void a_model_in_the_cache_runs_by_its_name(void)
{
    outcome named, direct;
    make_cache("hub-run");
    RUN(named, NULL, "generate", "-m", "org/tiny", "--tokens", "1,2,3", "-n", "3", "--temp", "0");
    RUN(direct, NULL, "generate", "-m", MODEL, "--tokens", "1,2,3", "-n", "3", "--temp", "0");
    CHECK_OUTCOME(named, 0, NULL);
    CHECK(strcmp(named.out, direct.out) == 0);
    outcome_release(&named);
    outcome_release(&direct);
}

static void a_model_in_the_cache_is_converted_by_its_name(void)
{
    char folder[512];
    outcome o, converted, direct;
    make_cache("hub-convert");
    snprintf(folder, sizeof folder, "%s", scratch("hub-converted"));
    RUN(o, NULL, "convert", "org/tiny", folder);
    CHECK_OUTCOME(o, 0, NULL);
    outcome_release(&o);
    RUN(converted, NULL, "generate", "-m", folder, "--tokens", "1,2,3", "-n", "3", "--temp", "0");
    RUN(direct, NULL, "generate", "-m", MODEL, "--tokens", "1,2,3", "-n", "3", "--temp", "0");
    CHECK_OUTCOME(converted, 0, NULL);
    CHECK(strcmp(converted.out, direct.out) == 0);
    outcome_release(&converted);
    outcome_release(&direct);
    RUN(o, NULL, "convert", "org/other", scratch("hub-never"));
    CHECK_OUTCOME(o, 1, "org/other");
    CHECK(access(scratch("hub-never"), F_OK) != 0);
    outcome_release(&o);
}

static void offline_what_is_missing_is_named(void)
{
    outcome o;
    make_cache("hub-missing");
    char path[1024];
    snprintf(path, sizeof path, "%s/models--org--tiny/snapshots/" COMMIT "/model.safetensors", cache);
    CHECK(unlink(path) == 0);
    RUN(o, NULL, "inspect", "org/tiny@main", "--json");
    CHECK_OUTCOME(o, 1, NULL);
    outcome_release(&o);
    RUN(o, NULL, "pull", "org/tiny");
    CHECK_OUTCOME(o, 1, "missing in the cache: model.safetensors");
    outcome_release(&o);
    RUN(o, NULL, "generate", "-m", "org/other", "-p", "x");
    CHECK_OUTCOME(o, 1, "org/other");
    outcome_release(&o);
}

static void the_cache_is_listed_pruned_and_emptied(void)
{
    outcome o;
    make_cache("hub-list");
    RUN(o, NULL, "models", "--json");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strstr(o.out, "\"org/tiny\"") && strstr(o.out, "\"safetensors\"") && strstr(o.out, "\"main\""));
    outcome_release(&o);
    RUN(o, NULL, "models", "prune");
    CHECK_OUTCOME(o, 0, NULL);
    outcome_release(&o);
    char path[1024];
    snprintf(path, sizeof path, "%s/models--org--tiny/blobs/0000.ffai-part", cache);
    CHECK(access(path, F_OK) != 0);
    RUN(o, NULL, "pull", "org/tiny");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strstr(o.out, COMMIT));
    outcome_release(&o);
    RUN(o, NULL, "models", "rm", "org/tiny");
    CHECK_OUTCOME(o, 0, NULL);
    outcome_release(&o);
    RUN(o, NULL, "models", "rm", "org/tiny");
    CHECK_OUTCOME(o, 1, "is not in the cache");
    outcome_release(&o);
}

static void bad_names_are_refused(void)
{
    static const char *const names[] = {"tiny", "a/b/c", "../x", "a--b/c", "a/b:x.bin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        outcome o;
        RUN(o, NULL, "pull", names[i]);
        CHECK_OUTCOME(o, 2, "pull: REPO");
        outcome_release(&o);
    }
    outcome o;
    RUN(o, NULL, "models", "drop");
    CHECK_OUTCOME(o, 2, "must be rm or prune");
    outcome_release(&o);
    RUN(o, NULL, "models", "rm", "org/tiny@main");
    CHECK_OUTCOME(o, 2, "org/repo");
    outcome_release(&o);
}

static const test tests[] = {
    TEST(a_model_in_the_cache_runs_by_its_name),
    TEST(a_model_in_the_cache_is_converted_by_its_name),
    TEST(offline_what_is_missing_is_named),
    TEST(the_cache_is_listed_pruned_and_emptied),
    TEST(bad_names_are_refused),
};
extern const suite suite_hub;
const suite suite_hub = SUITE(tests);
