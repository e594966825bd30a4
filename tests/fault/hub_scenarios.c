#define _GNU_SOURCE
#include "hub_scenarios.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "failure.h"
#include "hub_server.h"

enum { SHARD = 20000 };

static const char config[] = "{\"architectures\": [\"LlamaForCausalLM\"]}";
static const char two_shards[] = "{\"weight_map\": {\"a\": \"model-1-of-2.safetensors\", \"b\": "
                                 "\"model-2-of-2.safetensors\"}}";
static char shards[2][SHARD];
static char cache[64];
static hub_server server; /* of which this process knows the files and the port */
static pid_t server_process = -1;

/* --- the hub --- */

static void describe_files(void)
{
    server = (hub_server){.times = 0};
    for (size_t i = 0; i < SHARD; i++) {
        shards[0][i] = (char)(i * i >> 3);
        shards[1][i] = (char)(i * i >> 5);
    }
    hub_server_add(&server, "config.json", config, strlen(config), false);
    hub_server_add(&server, "model.safetensors.index.json", two_shards, strlen(two_shards), false);
    hub_server_add(&server, "model-1-of-2.safetensors", shards[0], SHARD, true);
    hub_server_add(&server, "model-2-of-2.safetensors", shards[1], SHARD, true);
}

/* In a process of its own: its calls are not to fail. It ends with the one that started it. */
static void serve(int tell, int stay)
{
    char byte = 0;
    if (!hub_server_start(&server) || write(tell, &server.port, sizeof server.port) != sizeof server.port)
        _exit(1);
    while (read(stay, &byte, 1) == 1)
        continue;
    _exit(0);
}

static int stay_writer = -1;

static bool start_server(void)
{
    int tell[2] = {-1, -1};
    int stay[2] = {-1, -1};
    if (pipe(tell) != 0 || pipe(stay) != 0)
        return false;
    server_process = fork();
    if (server_process == 0) {
        close(stay[1]);
        serve(tell[1], stay[0]);
    }
    close(tell[1]);
    close(stay[0]);
    stay_writer = stay[1];
    const bool told = read(tell[0], &server.port, sizeof server.port) == sizeof server.port;
    close(tell[0]);
    return server_process > 0 && told;
}

bool hub_begin(ffai_error *err)
{
    char endpoint[64];
    describe_files();
    snprintf(cache, sizeof cache, "/tmp/ffai-fault-hub-XXXXXX");
    if (!mkdtemp(cache) || !start_server()) {
        snprintf(err->message, sizeof err->message, "%s: no hub on loopback", cache);
        return false;
    }
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", server.port);
    setenv("HF_ENDPOINT", endpoint, 1);
    setenv("HF_HUB_CACHE", cache, 1);
    setenv("HF_TOKEN", "secret", 1);
    setenv("HF_HUB_OFFLINE", "0", 1);
    return true;
}

bool hub_begin_pulled(ffai_error *err)
{
    char *path = NULL;
    if (!hub_begin(err) || ffai_hub_pull(&path, "org/model", NULL, err) != FFAI_OK)
        return false;
    ffai_free(path);
    setenv("HF_HUB_OFFLINE", "1", 1);
    return true;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    return place->level ? remove(path) : 0;
}

static void empty_cache(void)
{
    nftw(cache, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void hub_end(void)
{
    empty_cache();
    rmdir(cache);
    close(stay_writer);
    if (server_process > 0)
        waitpid(server_process, NULL, 0);
    server_process = -1;
    setenv("HF_HUB_OFFLINE", "1", 1);
}

/* --- the cache --- */

static bool file_is(const char *path, const char *bytes, size_t size)
{
    static char found[SHARD + 1];
    FILE *file = fopen(path, "rb");
    const bool same = file && fread(found, 1, sizeof found, file) == size && memcmp(found, bytes, size) == 0;
    if (file)
        fclose(file);
    return same;
}

static const char *wrong; /* what look_at_one found */

static void look_at_blob(const char *path, const char *name)
{
    for (size_t i = 0; i < server.num_files; i++) {
        if (strcmp(server.files[i].digest, name) == 0) {
            if (!file_is(path, server.files[i].bytes, server.files[i].size))
                wrong = "a blob has other bytes than its name promises";
            return;
        }
    }
    wrong = "a blob has a name that the hub never gave";
}

static int look_at_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    const char *name = path + place->base;
    (void)info;
    if (kind == FTW_SLN)
        wrong = "a link leads nowhere";
    else if (strstr(name, ".ffai-tmp"))
        wrong = "something half-named is there";
    else if (kind == FTW_F && strstr(path, "/blobs/") && !strstr(name, ".ffai-part"))
        look_at_blob(path, name);
    else if (kind == FTW_F && strstr(path, "/snapshots/"))
        wrong = "a file lies where a link belongs";
    return 0;
}

static bool all_files_are_there(void)
{
    char path[256];
    for (size_t i = 0; i < server.num_files; i++) {
        const hub_file *f = &server.files[i];
        snprintf(path, sizeof path, "%s/models--org--model/snapshots/" HUB_COMMIT "/%s", cache, f->name);
        if (!file_is(path, f->bytes, f->size))
            return false;
    }
    return true;
}

const char *hub_left(void)
{
    char ref[256];
    wrong = NULL;
    nftw(cache, look_at_one, 16, FTW_PHYS);
    snprintf(ref, sizeof ref, "%s/models--org--model/refs/main", cache);
    if (!wrong && access(ref, F_OK) == 0 && !all_files_are_there())
        wrong = "a revision is named that is not whole";
    return wrong;
}

/* --- what is done --- */

static void add_cache(digest *d)
{
    const char *why = hub_left();
    add_text(d, why ? why : all_files_are_there() ? "whole" : "files are missing");
}

ffai_status hub_pull(digest *d, ffai_error *err)
{
    char *path = NULL;
    FFAI__TRY(ffai_hub_pull(&path, "org/model", NULL, err));
    calls_disarm();
    add_text(d, path + strlen(cache));
    ffai_free(path);
    add_cache(d);
    empty_cache();
    return FFAI_OK;
}

ffai_status hub_find(digest *d, ffai_error *err)
{
    char *path = NULL;
    FFAI__TRY(ffai_hub_find(&path, "org/model", NULL, err));
    add_text(d, path);
    ffai_free(path);
    return FFAI_OK;
}

ffai_status hub_list(digest *d, ffai_error *err)
{
    ffai_hub_model *models = NULL;
    size_t count = 0;
    FFAI__TRY(ffai_hub_models(&models, &count, err));
    for (size_t i = 0; i < count; i++) {
        add_text(d, models[i].name);
        add_text(d, models[i].revisions);
        add_text(d, models[i].format);
        add(d, &models[i].snapshots, sizeof models[i].snapshots);
        add(d, &models[i].bytes, sizeof models[i].bytes);
    }
    ffai_hub_models_free(models, count);
    return FFAI_OK;
}

ffai_status hub_prune(digest *d, ffai_error *err)
{
    static const char *const unneeded[] = {"0123456789", "abcdef.ffai-part", "fedcba.incomplete"};
    char paths[3][256];
    uint64_t freed = 0;
    for (size_t i = 0; i < 3; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/models--org--model/blobs/%s", cache, unneeded[i]);
        mknod(paths[i], S_IFREG | 0644, 0);
    }
    const ffai_status status = ffai_hub_prune(&freed, err);
    calls_disarm();
    for (size_t i = 0; i < 3; i++) {
        if (access(paths[i], F_OK) == 0 && status == FFAI_OK)
            add_text(d, unneeded[i]);
        unlink(paths[i]);
    }
    if (status == FFAI_OK)
        add_cache(d);
    return status;
}
