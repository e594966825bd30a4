/* Models of a hub: from a cache that is made by hand, and from a hub on loopback. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "hub_server.h"
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

#define GGUF "tests/golden/gguf/Q8_0.gguf"

static hub_server server;
static char *contents[4];

static void serve_file(const char *name, const char *source, bool large)
{
    struct stat info;
    char path[1024];
    char **bytes = &contents[server.num_files];
    *bytes = read_source(source);
    snprintf(path, sizeof path, "%s/%s", FFAI_SOURCE_DIR, source);
    if (CHECK(*bytes && stat(path, &info) == 0))
        hub_server_add(&server, name, *bytes, (size_t)info.st_size, large);
}

/* A hub with the fixture as org/model, a GGUF file beside it, and an empty cache. */
static bool begin_hub(const char *name)
{
    char endpoint[64];
    server = (hub_server){.times = 0};
    if (!CHECK(hub_server_start(&server)))
        return false;
    serve_file("config.json", MODEL "/config.json", false);
    serve_file("tokenizer.json", MODEL "/tokenizer.json", false);
    serve_file("model.safetensors", MODEL "/model.safetensors", true);
    serve_file("q/small.gguf", GGUF, true);
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", server.port);
    setenv("HF_ENDPOINT", endpoint, 1);
    setenv("HF_HUB_CACHE", scratch(name), 1);
    setenv("HF_HUB_OFFLINE", "0", 1);
    return true;
}

static void end_hub(void)
{
    hub_server_stop(&server);
    for (size_t i = 0; i < server.num_files; i++)
        free(contents[i]);
    setenv("HF_HUB_OFFLINE", "1", 1);
    unsetenv("HF_ENDPOINT");
}

static void check_converted(const char *source, const char *direct)
{
    char folder[512];
    outcome o, a, b;
    snprintf(folder, sizeof folder, "%s", scratch("hub-served"));
    RUN(o, NULL, "convert", "--force", source, folder);
    CHECK_OUTCOME(o, 0, NULL);
    RUN(a, NULL, "generate", "-m", folder, "--tokens", "1,2,3", "-n", "3", "--temp", "0");
    RUN(b, NULL, "generate", "-m", direct, "--tokens", "1,2,3", "-n", "3", "--temp", "0");
    CHECK_OUTCOME(a, 0, NULL);
    CHECK(a.out_size > 0 && strcmp(a.out, b.out) == 0);
    outcome_release(&o);
    outcome_release(&a);
    outcome_release(&b);
}

static double stage_of(const char *model, const char *stage)
{
    outcome o;
    RUN(o, NULL, "generate", "-m", model, "--tokens", "1,2,3", "-n", "1", "--json");
    json_t *object = json_of_text(o.out);
    const double seconds = json_number_value(json_at(object, stage));
    json_decref(object);
    outcome_release(&o);
    return seconds;
}

static void a_download_is_a_stage_of_loading(void)
{
    if (!begin_hub("hub-stages"))
        return;
    CHECK(stage_of("org/model", "timings.stages.downloading_s") > 0);
    CHECK(stage_of("org/model", "timings.stages.downloading_s") == 0); /* it is there */
    CHECK(stage_of("org/model", "timings.stages.resolving_s") > 0);
    end_hub();
}

static void a_revision_or_a_file_of_a_repository_is_converted(void)
{
    if (!begin_hub("hub-revisions"))
        return;
    check_converted("org/model@refs/pr/1", MODEL);
    check_converted("org/model@" HUB_COMMIT ":q/small.gguf", GGUF);
    check_converted("org/model:q/small.gguf", GGUF);
    CHECK(server.bodies == 4); /* each file once */
    end_hub();
}

static void a_destination_that_exists_is_refused_before_the_download(void)
{
    char file[600];
    outcome o;
    if (!begin_hub("hub-refused"))
        return;
    const char *folder = scratch("hub-taken");
    snprintf(file, sizeof file, "%s/notes", folder);
    CHECK(mkdir(folder, 0777) == 0 && mkdir(file, 0777) == 0);
    RUN(o, NULL, "convert", "org/model", folder);
    CHECK_OUTCOME(o, 1, "exists and is not empty");
    outcome_release(&o);
    RUN(o, NULL, "convert", "--force", "org/model", folder);
    CHECK_OUTCOME(o, 1, "will not be overwritten");
    outcome_release(&o);
    CHECK(server.requests == 0);
    end_hub();
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
    RUN(o, NULL, "models");
    CHECK_OUTCOME(o, 0, "holds no models");
    CHECK(o.out_size == 0 && strstr(o.err, cache));
    outcome_release(&o);
}

static void a_removal_that_was_cut_short_is_no_model_and_is_pruned(void)
{
    outcome o;
    make_cache("hub-half-removed");
    make("models--org--half.4711.removed");
    make("models--org--half.4711.removed/blobs");
    write_file("models--org--half.4711.removed/blobs/0001", "left");
    make("models--org--was.removed");
    RUN(o, NULL, "models");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strstr(o.out, "org/tiny") && strstr(o.out, "org/was.removed") && !strstr(o.out, "org/half"));
    outcome_release(&o);
    RUN(o, NULL, "models", "prune");
    CHECK_OUTCOME(o, 0, NULL);
    outcome_release(&o);
    char path[1024];
    snprintf(path, sizeof path, "%s/models--org--half.4711.removed", cache);
    CHECK(access(path, F_OK) != 0);
    snprintf(path, sizeof path, "%s/models--org--was.removed", cache);
    CHECK(access(path, F_OK) == 0);
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
    TEST(a_download_is_a_stage_of_loading),
    TEST(a_revision_or_a_file_of_a_repository_is_converted),
    TEST(a_destination_that_exists_is_refused_before_the_download),
    TEST(offline_what_is_missing_is_named),
    TEST(the_cache_is_listed_pruned_and_emptied),
    TEST(a_removal_that_was_cut_short_is_no_model_and_is_pruned),
    TEST(bad_names_are_refused),
};
extern const suite suite_hub;
const suite suite_hub = SUITE(tests);
