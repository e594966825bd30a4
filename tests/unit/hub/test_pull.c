/* Downloads from a hub on loopback that misbehaves: whatever it does, the cache holds nothing under a name that is not
 * what the hub's digest promises, and a later download completes it. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "download.h"
#include "hub_server.h"
#include "part_file.h"
#include "pull.h"

enum { WEIGHTS = 100000, BIG = 2 * FFAI__PART_PIECE + 12345 };

static hub_server server;
static char folder[64]; /* of the test, removed after it */
static char endpoint[64];
static ffai__hub_settings settings;
static char weights[WEIGHTS];
static char token[] = "secret";

static const char config[] = "{\"architectures\": [\"LlamaForCausalLM\"]}";
static const char tokenizer[] = "{\"version\": \"1.0\"}";
static const char two_shards[] = "{\"weight_map\": {\"a\": \"model-1-of-2.safetensors\", \"b\": "
                                 "\"model-2-of-2.safetensors\", \"c\": \"model-1-of-2.safetensors\"}}";

static void add_text(const char *name, const char *text)
{
    hub_server_add(&server, name, text, strlen(text), false);
}

/* A hub without files, and an empty cache. */
static void begin_empty(void)
{
    server = (hub_server){.times = 0};
    assert_true(hub_server_start(&server));
    snprintf(folder, sizeof folder, "%.40s/ffai-hub-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", server.port);
    settings = (ffai__hub_settings){
        .endpoint = endpoint, .cache = folder, .token = token, .retries = 2, .backoff_ms = 1, .stall_s = 1};
}

static void begin(void)
{
    begin_empty();
    add_text("README.md", "not wanted");
    add_text("config.json", config);
    add_text("tokenizer.json", tokenizer);
    hub_server_add(&server, "model.safetensors", weights, WEIGHTS, true);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static void end(void)
{
    hub_server_stop(&server);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static ffai_status pull_with(const char *name, const ffai_hub_options *options, char **path, ffai_error *err)
{
    ffai__repository repository;
    assert_int_equal(ffai__repository_parse(&repository, name, err), FFAI_OK);
    const ffai_status status = ffai__pull(path, &settings, &repository, options, err);
    ffai__repository_free(&repository);
    return status;
}

static ffai_status pull(ffai_error *err)
{
    char *path = NULL;
    const ffai_status status = pull_with("org/model", NULL, &path, err);
    assert_true((status == FFAI_OK) == (path != NULL));
    ffai__free(path);
    return status;
}

static ffai_status find_offline(const char *name, char **path, ffai_error *err)
{
    ffai__repository repository;
    assert_int_equal(ffai__repository_parse(&repository, name, err), FFAI_OK);
    const ffai_status status = ffai__pull_offline(path, &settings, &repository, err);
    ffai__repository_free(&repository);
    return status;
}

static bool file_is(const char *path, const char *bytes, size_t size)
{
    char *found = malloc(size + 1);
    FILE *file = fopen(path, "rb");
    const bool same = file && fread(found, 1, size + 1, file) == size && memcmp(found, bytes, size) == 0;
    if (file)
        fclose(file);
    free(found);
    return same;
}

static const hub_file *file_of_digest(const char *digest)
{
    for (size_t i = 0; i < server.num_files; i++) {
        if (strcmp(server.files[i].digest, digest) == 0)
            return &server.files[i];
    }
    return NULL;
}

/* Each name in the cache is that of what it says. */
static int check_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    const char *name = path + place->base;
    (void)info;
    if (kind != FTW_F && kind != FTW_SL)
        return kind == FTW_SLN; /* a link into nowhere */
    if (strstr(path, "/blobs/") && !strstr(name, ".ffai-part")) {
        const hub_file *f = file_of_digest(name);
        assert_true(kind == FTW_F && f);
        assert_true(file_is(path, f->bytes, f->size));
    } else if (strstr(path, "/snapshots/")) {
        char target[256] = "";
        assert_true(kind == FTW_SL && readlink(path, target, sizeof target - 1) > 0);
        assert_true(strncmp(target, "../../", 6) == 0);
        const hub_file *f = file_of_digest(strrchr(target, '/') + 1);
        assert_true(f && strcmp(f->name, strstr(path, HUB_COMMIT) + 41) == 0);
    } else {
        assert_true(strstr(path, "/refs/") || strstr(path, "/.locks/") || strstr(path, "/.no_exist/") ||
                    strstr(name, ".ffai-part"));
        assert_null(strstr(name, ".ffai-tmp"));
    }
    return 0;
}

static void check_cache(void)
{
    assert_int_equal(nftw(folder, check_one, 16, FTW_PHYS), 0);
}

static void expect_file(const char *name, const char *bytes, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/models--org--model/snapshots/%s/%s", folder, HUB_COMMIT, name);
    assert_true(file_is(path, bytes, size));
}

static void expect_model(void)
{
    expect_file("config.json", config, strlen(config));
    expect_file("tokenizer.json", tokenizer, strlen(tokenizer));
    expect_file("model.safetensors", weights, WEIGHTS);
}

/* --- one fault each --- */

typedef struct fault_case {
    const char *what;
    hub_fault fault;
    const char *target;
    int times, status;
    const char *extra;
    int64_t amount;
    ffai_status wanted;  /* FFAI_OK: it is got over */
    const char *message; /* what the error says */
} fault_case;

#define API  "GET /api/"
#define HEAD "HEAD /org/model/resolve/" HUB_COMMIT "/"
#define BODY "GET /store/model"

static const char nested[] =
    "{\"sha\": \"" HUB_COMMIT "\", \"siblings\": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[";

#define LISTING(file)                                                                                                  \
    "{\"sha\": \"" HUB_COMMIT "\", \"siblings\": [{\"rfilename\": \"config.json\"}, {\"rfilename\": " file "}]}"

static const fault_case faults[] = {
    {"private or absent", FAULT_STATUS, API, -1, 401, "X-Error-Code: RepoNotFound\r\n", 0, FFAI_E_NOT_FOUND,
     "HF_TOKEN"},
    {"gated", FAULT_STATUS, API, -1, 401, "X-Error-Code: GatedRepo\r\n", 0, FFAI_E_NOT_FOUND, "accept the conditions"},
    {"gated file", FAULT_STATUS, HEAD, -1, 403, "X-Error-Code: GatedRepo\r\n", 0, FFAI_E_NOT_FOUND,
     "accept the conditions"},
    {"no repository", FAULT_STATUS, API, -1, 404, "X-Error-Code: RepoNotFound\r\n", 0, FFAI_E_NOT_FOUND,
     "no such repository"},
    {"no revision", FAULT_STATUS, API, -1, 404, "X-Error-Code: RevisionNotFound\r\n", 0, FFAI_E_NOT_FOUND,
     "no such revision"},
    {"no file", FAULT_STATUS, HEAD "tok", -1, 404, "X-Error-Code: EntryNotFound\r\n", 0, FFAI_E_NOT_FOUND,
     "no such file"},
    {"too many requests, twice", FAULT_STATUS, API, 2, 429, "Retry-After: 0\r\n", 0, FFAI_OK, NULL},
    {"too many requests", FAULT_STATUS, API, -1, 429, "Retry-After: 0\r\n", 0, FFAI_E_IO, "429: too many requests"},
    {"a pause of a day", FAULT_STATUS, API, -1, 429, "Retry-After: 86400\r\n", 0, FFAI_E_IO, "429"},
    {"500 once", FAULT_STATUS, API, 1, 500, NULL, 0, FFAI_OK, NULL},
    {"502 for a file's head", FAULT_STATUS, HEAD, 2, 502, NULL, 0, FFAI_OK, NULL},
    {"503 for bytes", FAULT_STATUS, BODY, 2, 503, NULL, 0, FFAI_OK, NULL},
    {"503 always", FAULT_STATUS, API, -1, 503, NULL, 0, FFAI_E_IO, "HTTP 503"},
    {"a status of the future", FAULT_STATUS, API, -1, 299, NULL, 0, FFAI_E_IO, "HTTP 299"},
    {"a listing that is no JSON", FAULT_BODY, API, -1, 0, "<html>Sign in</html>", 0, FFAI_E_FORMAT, "/api/models/"},
    {"an empty listing", FAULT_BODY, API, -1, 0, "", 0, FFAI_E_FORMAT, "/api/models/"},
    {"a listing nested without end", FAULT_BODY, API, -1, 0, nested, 0, FFAI_E_FORMAT, "/api/models/"},
    {"a listing without a commit", FAULT_BODY, API, -1, 0, "{\"siblings\": []}", 0, FFAI_E_FORMAT, "\"sha\""},
    {"a commit that climbs", FAULT_BODY, API, -1, 0, "{\"sha\": \"../../../../etc\", \"siblings\": []}", 0,
     FFAI_E_FORMAT, "\"sha\""},
    {"files that are no list", FAULT_BODY, API, -1, 0, "{\"sha\": \"" HUB_COMMIT "\", \"siblings\": {}}", 0,
     FFAI_E_FORMAT, "\"siblings\""},
    {"a name that climbs", FAULT_BODY, API, -1, 0, LISTING("\"../../evil\""), 0, FFAI_E_FORMAT, "../../evil"},
    {"a name from the root", FAULT_BODY, API, -1, 0, LISTING("\"/etc/evil\""), 0, FFAI_E_FORMAT, "/etc/evil"},
    {"a name with a 0", FAULT_BODY, API, -1, 0, LISTING("\"a\\u0000b\""), 0, FFAI_E_FORMAT, "/api/models/"},
    {"a name that is a number", FAULT_BODY, API, -1, 0, LISTING("7"), 0, FFAI_E_FORMAT, "must be a string"},
    {"no weights", FAULT_BODY, API, -1, 0, LISTING("\"pytorch_model.bin\""), 0, FFAI_E_NOT_FOUND, "safetensors"},
    {"GGUF files alone", FAULT_BODY, API, -1, 0, LISTING("\"m-Q4.gguf\""), 0, FFAI_E_NOT_FOUND, "m-Q4.gguf"},
    {"a listing without end", FAULT_ENDLESS_BODY, API, -1, 0, NULL, 0, FFAI_E_LIMIT, "longer than"},
    {"a head without end", FAULT_ENDLESS_HEAD, API, -1, 0, NULL, 0, FFAI_E_LIMIT, "longer than"},
    {"no reply, once", FAULT_CLOSE, API, 1, 0, NULL, 0, FFAI_OK, NULL},
    {"no reply ever", FAULT_CLOSE, API, -1, 0, NULL, 0, FFAI_E_IO, "/api/models/"},
    {"a reset", FAULT_RESET, API, 1, 0, NULL, 0, FFAI_OK, NULL},
    {"a stall", FAULT_STALL, API, 1, 0, NULL, 0, FFAI_OK, NULL},
    {"no HTTP", FAULT_REPLY, API, -1, 0, "220 mail.example ESMTP\r\n", 0, FFAI_E_IO, "/api/models/"},
    {"a redirect to itself", FAULT_STATUS, API, -1, 302, "Location: /api/models/org/model/revision/main\r\n", 0,
     FFAI_E_FORMAT, "redirects more than"},
    {"a redirect to nowhere", FAULT_STATUS, API, -1, 302, NULL, 0, FFAI_E_FORMAT, "without saying where"},
    {"a redirect to a file", FAULT_STATUS, API, -1, 302, "Location: file:///etc/passwd\r\n", 0, FFAI_E_FORMAT,
     "file:///etc/passwd"},
    {"a redirect to plain http", FAULT_STATUS, API, -1, 302, "Location: http://localhost:1/x\r\n", 0, FFAI_E_FORMAT,
     "is not https"},
    {"a redirect that names a user", FAULT_STATUS, API, -1, 302, "Location: https://me:pw@127.0.0.1/\r\n", 0,
     FFAI_E_FORMAT, "user"},
    {"a head without a digest", FAULT_NO_ETAG, HEAD "config", -1, 0, NULL, 0, FFAI_E_FORMAT, "names no digest"},
    {"a digest that climbs", FAULT_ETAG, HEAD "config", -1, 0, "../../evil", 0, FFAI_E_FORMAT, "names no digest"},
    {"a digest in capitals", FAULT_ETAG, HEAD "config", -1, 0, "0123456789ABCDEF0123456789ABCDEF01234567", 0,
     FFAI_E_FORMAT, "names no digest"},
    {"no size", FAULT_NO_SIZE, HEAD "model", -1, 0, NULL, 0, FFAI_E_FORMAT, "names no size"},
    {"a size that no disk has", FAULT_SIZE, HEAD "model", -1, 0, "900000000000000", 0, FFAI_E_LIMIT, "on the disk"},
    {"a size beyond numbers", FAULT_SIZE, HEAD "model", -1, 0, "9223372036854775807", 0, FFAI_E_FORMAT, "1 PiB"},
    {"a larger size than the file's", FAULT_SIZE, HEAD "model", -1, 0, "100007", 0, FFAI_E_FORMAT, "another size"},
    {"another commit", FAULT_COMMIT, HEAD, -1, 0, "ffffffffffffffffffffffffffffffffffffffff", 0, FFAI_E_FORMAT,
     "another commit"},
    {"another digest", FAULT_ETAG, HEAD "model", -1, 0,
     "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", 0, FFAI_E_FORMAT, "sha256"},
    {"a cut", FAULT_CUT, BODY, 2, 0, NULL, 30000, FFAI_OK, NULL},
    {"a cut before the first byte", FAULT_CUT, BODY, 2, 0, NULL, 0, FFAI_OK, NULL},
    {"cuts without a byte, always", FAULT_CUT, BODY, -1, 0, NULL, 0, FFAI_E_IO, "/store/"},
    {"a stall within the bytes", FAULT_CUT_STALL, BODY, 1, 0, NULL, 50000, FFAI_OK, NULL},
    {"another byte, once", FAULT_BYTES, BODY, 1, 0, NULL, 777, FFAI_OK, NULL},
    {"another byte", FAULT_BYTES, BODY, -1, 0, NULL, 99999, FFAI_E_FORMAT, "is not the file that the hub names"},
    {"another byte of a small file", FAULT_BYTES, "GET /org/model/resolve/" HUB_COMMIT "/config", -1, 0, NULL, 3,
     FFAI_E_FORMAT, "git sha1"},
    {"fewer bytes", FAULT_SHORT, BODY, -1, 0, NULL, 10, FFAI_E_FORMAT, "another size"},
    {"more bytes", FAULT_LONG, BODY, -1, 0, NULL, 10, FFAI_E_FORMAT, "another size"},
    {"an address that has expired", FAULT_STATUS, BODY, 2, 403, NULL, 0, FFAI_OK, NULL},
    {"addresses that never hold", FAULT_STATUS, BODY, -1, 410, NULL, 0, FFAI_E_IO, "HTTP 410"},
};

static void check_fault(const fault_case *f)
{
    ffai_error err = FFAI_ERROR_INIT;
    begin();
    server.target = f->target;
    server.times = f->times;
    server.status = f->status;
    server.extra = f->extra;
    server.amount = f->amount;
    server.fault = f->fault;
    const ffai_status status = pull(&err);
    if (status != f->wanted || (f->message && !strstr(err.message, f->message)))
        print_message("%s: status %d, \"%s\"\n", f->what, (int)status, err.message);
    assert_int_equal(status, f->wanted);
    assert_true(!f->message || strstr(err.message, f->message));
    check_cache();
    server.fault = FAULT_NONE;
    assert_int_equal(pull(&err), FFAI_OK); /* what went wrong is over */
    check_cache();
    expect_model();
    assert_false(server.token_at_store);
    end();
}

static void each_fault_is_named_or_got_over_and_leaves_nothing_wrong_behind(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        check_fault(&faults[i]);
}

/* --- cuts --- */

static void a_download_cut_at_any_byte_goes_on_from_there(void **state)
{
    (void)state;
    enum { SIZE = 60 };
    for (int64_t cut = 0; cut < SIZE; cut++) {
        ffai_error err = FFAI_ERROR_INIT;
        begin_empty();
        add_text("config.json", config);
        add_text("tokenizer.json", tokenizer);
        hub_server_add(&server, "model.safetensors", weights, SIZE, true);
        settings.retries = 0;
        server.target = BODY;
        server.amount = cut;
        server.times = 1;
        server.fault = FAULT_CUT;
        assert_int_equal(pull(&err), FFAI_E_IO);
        check_cache();
        server.bytes_sent = 0;
        assert_int_equal(pull(&err), FFAI_OK);
        assert_int_equal(server.bytes_sent, SIZE - cut);
        expect_file("model.safetensors", weights, SIZE);
        end();
    }
}

static char *make_big(void)
{
    char *big = malloc(BIG);
    uint32_t x = 1;
    for (size_t i = 0; i < BIG; i++)
        big[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
    return big;
}

static void begin_big(const char *big)
{
    begin_empty();
    add_text("config.json", config);
    add_text("tokenizer.json", tokenizer);
    hub_server_add(&server, "model.safetensors", big, BIG, true);
}

/* What a pull of it gives, with a fault in the first `times` bodies, or in all (-1). */
static ffai_status pull_big(const char *big, hub_fault fault, int times, ffai_error *err)
{
    begin_big(big);
    server.target = BODY;
    server.times = times;
    server.fault = fault;
    server.amount = 5 << 20; /* where a cut is */
    const ffai_status status = pull(err);
    check_cache();
    return status;
}

static void several_connections_bring_one_file(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *big = make_big();
    (void)state;
    assert_int_equal(pull_big(big, FAULT_CUT, 7, &err), FFAI_OK); /* cut again and again on the way */
    expect_file("model.safetensors", big, BIG);
    assert_true(server.bodies >= 3);
    end();
    free(big);
}

static void a_server_without_ranges_gives_the_file_in_one(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *big = make_big();
    (void)state;
    assert_int_equal(pull_big(big, FAULT_WITHOUT_RANGES, -1, &err), FFAI_OK);
    expect_file("model.safetensors", big, BIG);
    end();
    free(big);
}

static void a_range_of_another_place_is_refused(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *big = make_big();
    (void)state;
    assert_int_equal(pull_big(big, FAULT_RANGE, -1, &err), FFAI_E_FORMAT);
    assert_non_null(strstr(err.message, "another part"));
    end();
    free(big);
}

/* A hub whose large file comes to a stop in the middle, each time. */
static char *begin_cut(void)
{
    char *big = make_big();
    begin_big(big);
    server.target = BODY;
    server.amount = 3 << 20;
    server.times = -1;
    server.fault = FAULT_CUT_STALL;
    return big;
}

/* The next download takes what came from there. */
static void expect_to_go_on(char *big)
{
    ffai_error err = FFAI_ERROR_INIT;
    check_cache();
    server.fault = FAULT_NONE;
    const int64_t sent = server.bytes_sent;
    assert_int_equal(pull(&err), FFAI_OK);
    assert_true(server.bytes_sent - sent < BIG);
    expect_file("model.safetensors", big, BIG);
    end();
    free(big);
}

static bool stop_in_the_middle(void *context, const ffai_hub_event *event)
{
    (void)context;
    return strcmp(event->file, "model.safetensors") != 0 || event->file_done < 1;
}

static void cancelling_keeps_what_came(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    char *big = begin_cut();
    (void)state;
    const ffai_hub_options options = {.on_event = stop_in_the_middle};
    assert_int_equal(pull_with("org/model", &options, &path, &err), FFAI_E_CANCELLED);
    expect_to_go_on(big);
}

static bool die_in_the_middle(void *context, const ffai_hub_event *event)
{
    (void)context;
    if (strcmp(event->file, "model.safetensors") == 0 && event->file_done > 0)
        raise(SIGKILL);
    return true;
}

static void a_killed_process_leaves_what_another_goes_on_with(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    char *big = begin_cut();
    (void)state;
    const ffai_hub_options options = {.on_event = die_in_the_middle};
    const pid_t child = fork();
    if (child == 0)
        _exit(pull_with("org/model", &options, &path, &err) == FFAI_OK ? 0 : 1);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    expect_to_go_on(big);
}

/* --- the disk --- */

/* As on a disk that fills while it is written: no file may grow from here on. */
static bool fill_the_disk(void *context, const ffai_hub_event *event)
{
    (void)context;
    const struct rlimit none = {4096, RLIM_INFINITY};
    if (strcmp(event->file, "model.safetensors") == 0 && event->file_done > 0)
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    return true;
}

static void a_disk_that_fills_keeps_what_came(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    struct rlimit before;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    char *big = begin_cut();
    const ffai_hub_options options = {.on_event = fill_the_disk};
    const ffai_status status = pull_with("org/model", &options, &path, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, FFAI_E_IO);
    assert_non_null(strstr(err.message, ".ffai-part: cannot be written: "));
    assert_non_null(strstr(err.message, ": free some space there, or set HF_HUB_CACHE to a folder on another disk"));
    expect_to_go_on(big);
}

/* A blob of the model, and its name while it was not whole. */
static void name_blob(char blob[512], char part[512])
{
    snprintf(blob, 512, "%s/models--org--model/blobs/%s", folder, server.files[server.num_files - 1].digest);
    snprintf(part, 512, "%.490s" FFAI__PART_SUFFIX, blob);
}

/* As where a process was killed between the last byte and the name. */
static void what_lacked_its_name_alone_is_not_fetched_again(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char blob[512], part[512];
    (void)state;
    begin();
    assert_int_equal(pull(&err), FFAI_OK);
    name_blob(blob, part);
    assert_int_equal(rename(blob, part), 0);
    const int bodies = server.bodies;
    assert_int_equal(pull(&err), FFAI_OK);
    assert_int_equal(server.bodies, bodies);
    expect_model();
    assert_int_equal(rename(blob, part), 0);
    FILE *file = fopen(part, "r+b");
    assert_true(file && fputc('!', file) == '!' && fclose(file) == 0);
    assert_int_equal(pull(&err), FFAI_OK); /* its digest shows that it is another */
    assert_int_equal(server.bodies, bodies + 1);
    expect_model();
    end();
}

static void a_cache_that_cannot_be_made_is_named(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char cache[128];
    (void)state;
    begin();
    snprintf(cache, sizeof cache, "%s/file", folder);
    FILE *file = fopen(cache, "w");
    assert_true(file && fclose(file) == 0);
    snprintf(cache, sizeof cache, "%s/file/hub", folder);
    settings.cache = cache;
    assert_int_equal(pull(&err), FFAI_E_IO);
    assert_non_null(strstr(err.message, cache));
    assert_non_null(strstr(err.message, ": set HF_HUB_CACHE to a folder you can write"));
    end();
}

static int make_read_only(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)place;
    return kind == FTW_SL ? 0 : chmod(path, kind == FTW_D || kind == FTW_DP ? 0555 : 0444);
}

static int make_writable(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)place;
    return kind == FTW_SL ? 0 : chmod(path, 0755);
}

/* By somebody whom permissions bind. */
static int pull_as_nobody(ffai_status wanted, const char *message)
{
    const pid_t child = fork();
    int status = 1;
    if (child == 0) {
        ffai_error err = FFAI_ERROR_INIT;
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(2);
        const ffai_status got = pull(&err);
        if (got != wanted || !strstr(err.message, message))
            print_message("status %d, \"%s\"\n", (int)got, err.message);
        _exit(got == wanted && strstr(err.message, message) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_cache_that_can_only_be_read_serves_what_it_has(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    (void)state;
    begin();
    assert_int_equal(pull(&err), FFAI_OK);
    assert_int_equal(nftw(folder, make_read_only, 16, FTW_PHYS), 0);
    assert_int_equal(pull_as_nobody(FFAI_OK, ""), 0);
    add_text("generation_config.json", "{}");
    assert_int_equal(pull_as_nobody(FFAI_E_IO, ": set HF_HUB_CACHE to a folder you can write"), 0);
    check_cache();
    assert_int_equal(nftw(folder, make_writable, 16, FTW_PHYS), 0);
    assert_int_equal(pull(&err), FFAI_OK);
    expect_model();
    end();
}

/* --- processes --- */

static void two_processes_download_a_file_once(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    (void)state;
    begin();
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(pull(&err) == FFAI_OK ? 0 : 1);
    }
    for (int i = 0; i < 3; i++) {
        int status = 1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    check_cache();
    expect_model();
    assert_int_equal(server.bytes_sent, WEIGHTS + strlen(config) + strlen(tokenizer));
    end();
}

static bool stop_waiting(void *context, const ffai_hub_event *event)
{
    bool *waited = context;
    *waited = *waited || event->waiting;
    return !event->waiting;
}

static void a_lock_of_another_tool_is_waited_for(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    char lock[512];
    bool waited = false;
    (void)state;
    begin();
    snprintf(lock, sizeof lock, "%s/.locks", folder);
    assert_int_equal(mkdir(lock, 0777), 0);
    snprintf(lock, sizeof lock, "%s/.locks/models--org--model", folder);
    assert_int_equal(mkdir(lock, 0777), 0);
    snprintf(lock, sizeof lock, "%s/.locks/models--org--model/%s.lock", folder, server.files[1].digest);
    const int descriptor = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    assert_int_equal(flock(descriptor, LOCK_EX), 0);
    const ffai_hub_options options = {.on_event = stop_waiting, .context = &waited};
    assert_int_equal(pull_with("org/model", &options, &path, &err), FFAI_E_CANCELLED);
    assert_true(waited);
    close(descriptor);
    assert_int_equal(pull(&err), FFAI_OK);
    end();
}

/* --- what is fetched, and from where --- */

static void the_token_goes_to_the_hub_alone(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    (void)state;
    begin();
    assert_int_equal(pull(&err), FFAI_OK);
    assert_true(server.token_seen);
    assert_false(server.token_at_store);
    end();
}

static void a_port_that_speaks_no_tls_ends_it(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    (void)state;
    begin();
    snprintf(endpoint, sizeof endpoint, "https://127.0.0.1:%d", server.port); /* it speaks no TLS at all */
    settings.retries = 0;
    server.target = "";
    assert_int_equal(pull(&err), FFAI_E_IO);
    assert_false(server.token_seen);
    end();
}

static void an_https_hub_may_not_send_to_plain_http(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    (void)state;
    begin();
    server.target = API;
    server.times = -1;
    server.status = 302;
    server.extra = "Location: http://127.0.0.2:1/\r\n";
    server.fault = FAULT_STATUS;
    assert_int_equal(pull(&err), FFAI_E_FORMAT);
    assert_non_null(strstr(err.message, "not https"));
    end();
}

static void a_hub_that_is_not_there_is_named(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    (void)state;
    begin();
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:1");
    assert_int_equal(pull(&err), FFAI_E_IO);
    assert_non_null(strstr(err.message, "http://127.0.0.1:1/"));
    end();
}

static void expect_link(const char *name, const char *target, const char *digest)
{
    char path[512], wanted[128], found[128] = "";
    snprintf(path, sizeof path, "%s/models--org--model/snapshots/" HUB_COMMIT "/%s", folder, name);
    snprintf(wanted, sizeof wanted, "%s%s", target, digest);
    assert_true(readlink(path, found, sizeof found - 1) > 0);
    assert_string_equal(found, wanted);
}

static void expect_text(const char *below, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/models--org--model/%s", folder, below);
    assert_true(file_is(path, text, strlen(text)));
}

/* As huggingface_hub's documentation of its cache has it; tools/check-hub-cache.py asks huggingface_hub itself. */
static void the_cache_lies_as_hugging_faces_tools_have_it(void **state)
{
    static const char below_a_folder[] = "q/small-Q4_0.gguf";
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    char below[128];
    (void)state;
    begin_empty();
    add_text("config.json", config);
    hub_server_add(&server, "model.safetensors", weights, WEIGHTS, true);
    hub_server_add(&server, below_a_folder, weights, 4000, true);
    assert_int_equal(pull(&err), FFAI_OK);
    assert_int_equal(pull_with("org/model@refs/pr/1:q/small-Q4_0.gguf", NULL, &path, &err), FFAI_OK);
    ffai__free(path);
    assert_int_equal(strlen(server.files[0].digest), 40); /* git's, of a small file; sha256 of a large one */
    assert_int_equal(strlen(server.files[1].digest), 64);
    expect_link("config.json", "../../blobs/", server.files[0].digest);
    expect_link("model.safetensors", "../../blobs/", server.files[1].digest);
    expect_link(below_a_folder, "../../../blobs/", server.files[2].digest);
    expect_text("refs/main", HUB_COMMIT);
    expect_text("refs/refs/pr/1", HUB_COMMIT);
    expect_text(".no_exist/" HUB_COMMIT "/tokenizer.json", "");
    snprintf(below, sizeof below, "blobs/%s", server.files[0].digest);
    expect_text(below, config);
    end();
}

static void what_is_there_is_not_fetched_again(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    (void)state;
    begin();
    assert_int_equal(pull(&err), FFAI_OK);
    const int bodies = server.bodies;
    const int requests = server.requests;
    assert_int_equal(pull(&err), FFAI_OK);
    assert_int_equal(server.bodies, bodies);
    assert_int_equal(server.requests, requests + 1); /* what the revision is now */
    end();
}

static void a_model_in_parts_has_those_that_its_index_names(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    (void)state;
    begin_empty();
    add_text("config.json", config);
    add_text("model.safetensors.index.json", two_shards);
    hub_server_add(&server, "model-1-of-2.safetensors", weights, 5000, true);
    hub_server_add(&server, "model-2-of-2.safetensors", weights, 6000, true);
    hub_server_add(&server, "consolidated.safetensors", weights, 7000, true);
    assert_int_equal(pull(&err), FFAI_OK);
    check_cache();
    expect_file("model-1-of-2.safetensors", weights, 5000);
    expect_file("model-2-of-2.safetensors", weights, 6000);
    char path[512];
    snprintf(path, sizeof path, "%s/models--org--model/snapshots/%s/consolidated.safetensors", folder, HUB_COMMIT);
    assert_int_not_equal(access(path, F_OK), 0);
    char *found = NULL;
    assert_int_equal(find_offline("org/model", &found, &err), FFAI_OK); /* without a tokenizer, which is noted */
    ffai__free(found);
    end();
}

static void refuse_index(const char *index, const char *message)
{
    ffai_error err = FFAI_ERROR_INIT;
    begin_empty();
    add_text("config.json", config);
    add_text("model.safetensors.index.json", index);
    assert_int_equal(pull(&err), FFAI_E_FORMAT);
    assert_non_null(strstr(err.message, message));
    check_cache();
    end();
}

static void an_index_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    refuse_index(two_shards, "names model-");
    refuse_index("{\"weight_map\": {\"a\": \"../../../evil.safetensors\"}}", "../../../evil");
    refuse_index("{\"weight_map\": {\"a\": 3}}", "must be a string");
    refuse_index("{\"weight_map\": {}}", "weight_map");
    refuse_index("{\"weight_map\": ", "index.json");
    refuse_index("[]", "weight_map");
}

static void one_gguf_file_is_fetched_by_its_name(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    (void)state;
    begin_empty();
    hub_server_add(&server, "q/small-Q4_0.gguf", weights, 4000, true);
    hub_server_add(&server, "q/small-Q8_0.gguf", weights, 8000, true);
    assert_int_equal(pull_with("org/model@refs/pr/1:q/small-Q4_0.gguf", NULL, &path, &err), FFAI_OK);
    assert_true(file_is(path, weights, 4000));
    check_cache();
    assert_int_equal(server.bodies, 1);
    ffai__free(path);
    assert_int_equal(find_offline("org/model@refs/pr/1:q/small-Q4_0.gguf", &path, &err), FFAI_OK);
    ffai__free(path);
    assert_int_equal(pull_with("org/model:q/other.gguf", NULL, &path, &err), FFAI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "small-Q8_0.gguf"));
    end();
}

static void parts_of_a_gguf_file_come_together(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    (void)state;
    begin_empty();
    hub_server_add(&server, "q/m-00001-of-00003.gguf", weights, 4000, true);
    hub_server_add(&server, "q/m-00002-of-00003.gguf", weights + 1, 5000, true);
    hub_server_add(&server, "q/n-00001-of-00002.gguf", weights, 100, true);
    assert_int_equal(pull_with("org/model:q/m-00001-of-00003.gguf", NULL, &path, &err), FFAI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "has no file q/m-00003-of-00003.gguf"));
    hub_server_add(&server, "q/m-00003-of-00003.gguf", weights + 2, 6000, true);
    assert_int_equal(pull_with("org/model:q/m-00002-of-00003.gguf", NULL, &path, &err), FFAI_OK);
    assert_true(file_is(path, weights + 1, 5000)); /* the one that was named */
    assert_int_equal(server.bodies, 3);
    check_cache();
    char *last = strstr(path, "00002-of");
    assert_non_null(last);
    last[4] = '3';
    assert_true(file_is(path, weights + 2, 6000));
    assert_int_equal(unlink(path), 0);
    ffai__free(path);
    assert_int_equal(find_offline("org/model:q/m-00001-of-00003.gguf", &path, &err), FFAI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "missing in the cache: q/m-00003-of-00003.gguf"));
    end();
}

/* --- offline --- */

static void offline_a_whole_snapshot_is_found_and_an_incomplete_one_says_what_is_missing(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    char file[600];
    (void)state;
    begin();
    assert_int_equal(find_offline("org/model", &path, &err), FFAI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "not in the cache"));
    assert_int_equal(pull(&err), FFAI_OK);
    assert_int_equal(find_offline("org/model", &path, &err), FFAI_OK);
    assert_non_null(strstr(path, HUB_COMMIT));
    ffai__free(path);
    assert_int_equal(find_offline("org/model@" HUB_COMMIT, &path, &err), FFAI_OK);
    snprintf(file, sizeof file, "%s/model.safetensors", path);
    ffai__free(path);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(find_offline("org/model", &path, &err), FFAI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "model.safetensors"));
    assert_int_equal(find_offline("org/model@other", &path, &err), FFAI_E_NOT_FOUND);
    end();
}

static void names_are_read_and_bad_ones_refused(void **state)
{
    static const char *const good[] = {"org/model", "a/b@main", "a.b/c_d-e@refs/pr/1", "a/b:x.gguf", "a/b@v1:q/x.gguf"};
    static const char *const bad[] = {"model",       "a/b/c",     "/a/b",     "../b",        "a/..",
                                      "a/b@",        "a--b/c",    "-a/b",     "a/b@../../x", "a/b@/x",
                                      "a/b:",        "a/b:x.bin", "a b/c",    "a/b@a\nb",    "a/b:../x.gguf",
                                      "https://x/y", "",          "a/b@x//y", "a/b:/x.gguf"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(ffai_hub_is_name(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (ffai_hub_is_name(bad[i]))
            print_message("taken: %s\n", bad[i]);
        assert_false(ffai_hub_is_name(bad[i]));
    }
}

int main(void)
{
    for (size_t i = 0; i < WEIGHTS; i++)
        weights[i] = (char)(i * i >> 3);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_and_bad_ones_refused),
        cmocka_unit_test(each_fault_is_named_or_got_over_and_leaves_nothing_wrong_behind),
        cmocka_unit_test(a_download_cut_at_any_byte_goes_on_from_there),
        cmocka_unit_test(several_connections_bring_one_file),
        cmocka_unit_test(a_server_without_ranges_gives_the_file_in_one),
        cmocka_unit_test(a_range_of_another_place_is_refused),
        cmocka_unit_test(cancelling_keeps_what_came),
        cmocka_unit_test(a_killed_process_leaves_what_another_goes_on_with),
        cmocka_unit_test(a_disk_that_fills_keeps_what_came),
        cmocka_unit_test(what_lacked_its_name_alone_is_not_fetched_again),
        cmocka_unit_test(a_cache_that_cannot_be_made_is_named),
        cmocka_unit_test(a_cache_that_can_only_be_read_serves_what_it_has),
        cmocka_unit_test(two_processes_download_a_file_once),
        cmocka_unit_test(a_lock_of_another_tool_is_waited_for),
        cmocka_unit_test(the_token_goes_to_the_hub_alone),
        cmocka_unit_test(a_port_that_speaks_no_tls_ends_it),
        cmocka_unit_test(an_https_hub_may_not_send_to_plain_http),
        cmocka_unit_test(a_hub_that_is_not_there_is_named),
        cmocka_unit_test(the_cache_lies_as_hugging_faces_tools_have_it),
        cmocka_unit_test(what_is_there_is_not_fetched_again),
        cmocka_unit_test(a_model_in_parts_has_those_that_its_index_names),
        cmocka_unit_test(an_index_that_makes_no_sense_is_refused),
        cmocka_unit_test(one_gguf_file_is_fetched_by_its_name),
        cmocka_unit_test(parts_of_a_gguf_file_come_together),
        cmocka_unit_test(offline_a_whole_snapshot_is_found_and_an_incomplete_one_says_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
