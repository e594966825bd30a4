/* Models come and go: what loading took is given back, and several of them in one process know nothing of each other.
 */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ffai/ffai.h>

#include "cuda_devices.h"
#include "stub.h"

#define GOLDEN FFAI_SOURCE_DIR "/tests/golden/"

enum { N = 40, CHUNK = 7, CONTEXT = 4096 }; /* tokens of the text: a page and a part */

static const char *const families[] = {GOLDEN "llama/affine-4bit-g32-f32", GOLDEN "qwen3/bf16"};

static void need(ffai_status status, const ffai_error *err)
{
    if (status != FFAI_OK)
        fail_msg("%s", err->message);
}

static ffai_model *load(const char *path, const char *backend)
{
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_model_options options = {.backend = backend, .threads = 2};
    need(ffai_model_load(&model, path, &options, &err), &err);
    return model;
}

/* --- a text that is read bit by bit --- */

typedef struct {
    ffai_session *session;
    ffai_sequence sequence;
    int done;
    size_t vocab_size;
    float *logits; /* [vocab_size] of the last row */
    ffai_status status;
    ffai_error error;
} reading;

static void begin(reading *r, ffai_model *model)
{
    const ffai_session_options options = {.context = CONTEXT, .max_rows = CHUNK, .prewarm = true};
    ffai_model_info info;
    ffai_model_get_info(&info, model);
    *r = (reading){.error = FFAI_ERROR_INIT, .vocab_size = (size_t)info.vocab_size};
    r->logits = calloc(r->vocab_size, sizeof *r->logits);
    assert_non_null(r->logits);
    need(ffai_session_open(&r->session, model, &options, &r->error), &r->error);
    need(ffai_sequence_open(&r->sequence, r->session, &r->error), &r->error);
}

/* One more step; false at the end of the text or of what works. It asserts nothing, as other threads than the test's
 * may call it. */
static bool go_on(reading *r)
{
    ffai_row rows[CHUNK];
    size_t count = 0;
    for (; count < CHUNK && r->done < N; count++, r->done++)
        rows[count] = (ffai_row){(int32_t)(r->done * 37 % 200), r->sequence, r->done + 1 == N, NULL};
    const float *logits = NULL;
    r->status = ffai_forward(&logits, r->session, rows, count, &r->error);
    if (r->status != FFAI_OK || r->done < N)
        return r->status == FFAI_OK;
    memcpy(r->logits, logits, r->vocab_size * sizeof *r->logits);
    return false;
}

static void *read_on(void *context)
{
    while (go_on(context))
        ;
    return NULL;
}

static void end(reading *r)
{
    need(r->status, &r->error);
    assert_int_equal(r->done, N);
    ffai_session_close(r->session);
}

static float *read_alone(const char *path, const char *backend)
{
    ffai_model *model = load(path, backend);
    reading r;
    begin(&r, model);
    read_on(&r);
    end(&r);
    ffai_model_free(model);
    return r.logits;
}

/* --- what a process has --- */

typedef struct {
    long threads, files;
    long long heap, mapped; /* bytes */
} possessions;

static long count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    long count = 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static long long mapped_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lld", &pages), 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static possessions look(void)
{
    malloc_trim(0);
    const struct mallinfo2 heap = mallinfo2();
    return (possessions){count_entries("/proc/self/task"), count_entries("/proc/self/fd"),
                         (long long)heap.uordblks + (long long)heap.hblkhd, mapped_bytes()};
}

/* A thread that was joined is listed a moment longer. */
static possessions look_when_quiet(long threads)
{
    const struct timespec moment = {0, 1000000};
    for (int i = 0; i < 2000 && count_entries("/proc/self/task") > threads; i++)
        nanosleep(&moment, NULL);
    return look();
}

static bool is_there(const char *backend)
{
    ffai_error err = FFAI_ERROR_INIT;
    return strcmp(backend, "cuda") != 0 || ffai__cuda_usable(0, &err) == FFAI_OK;
}

static void read_and_free(const char *path, const char *backend)
{
    free(read_alone(path, backend));
}

static bool stop_amid_weights(void *context, const ffai_load_event *event)
{
    (void)context;
    return event->stage != FFAI_LOAD_UPLOADING || event->fraction == 0;
}

static void stop_loading(const char *path, const char *backend)
{
    const ffai_model_options options = {.backend = backend, .threads = 2, .on_event = stop_amid_weights};
    ffai_model *model = NULL;
    assert_int_equal(ffai_model_load(&model, path, &options, NULL), FFAI_E_CANCELLED);
}

static void refuse_a_session(const char *path, const char *backend)
{
    const ffai_session_options options = {.context = 1000000000, .max_sequences = 4096};
    ffai_model *model = load(path, backend);
    ffai_session *session = NULL;
    assert_int_equal(ffai_session_open(&session, model, &options, NULL), FFAI_E_MEMORY);
    ffai_model_free(model);
}

static void check_that_all_is_given_back(const char *backend, void (*live)(const char *path, const char *backend))
{
    enum { ROUNDS = 6, MAPPED = 64 << 10 };
    const long long heap = getenv("GLIBC_TUNABLES") ? 1 << 10 : 256 << 10;
    const long threads = look().threads;
    for (int i = 0; i < 2; i++) /* libraries, arenas and stacks of threads stay */
        live(families[i], backend);
    const possessions before = look_when_quiet(threads);
    for (int i = 0; i < ROUNDS; i++)
        live(families[i % 2], backend);
    const possessions after = look_when_quiet(threads);
    assert_int_equal(before.threads, threads);
    assert_int_equal(after.threads, threads);
    assert_int_equal(after.files, before.files);
    if (!SANITIZED && (after.heap - before.heap > heap || after.mapped - before.mapped > MAPPED))
        fail_msg("%s: %d models later the heap has %lld bytes more, mappings %lld", backend, ROUNDS,
                 after.heap - before.heap, after.mapped - before.mapped);
}

static void loading_and_freeing_gives_everything_back(void **state)
{
    (void)state;
    check_that_all_is_given_back("ref", read_and_free);
    check_that_all_is_given_back("cpu", read_and_free);
}

static void what_was_stopped_or_refused_gives_everything_back(void **state)
{
    (void)state;
    check_that_all_is_given_back("cpu", stop_loading);
    check_that_all_is_given_back("ref", refuse_a_session);
    check_that_all_is_given_back("cpu", refuse_a_session);
}

static void a_device_gets_everything_back(void **state)
{
    (void)state;
    static void (*const lives[])(const char *path, const char *backend) = {read_and_free, stop_loading,
                                                                           refuse_a_session};
    if (!is_there("cuda"))
        skip();
    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        check_that_all_is_given_back("cuda", lives[i]);
        assert_int_equal(stub_device_bytes(), 0);
        assert_int_equal(stub_pinned_bytes(), 0);
        assert_int_equal(stub_open_objects(), 0);
        assert_int_equal(stub_pushed_contexts(), 0);
        assert_int_equal(stub_open_contexts(), 0);
    }
}

/* --- two models --- */

static void read_in_turn(reading readings[2])
{
    for (bool more = true; more;) {
        const bool first = readings[0].done < N && go_on(&readings[0]);
        const bool second = readings[1].done < N && go_on(&readings[1]);
        more = first || second;
    }
}

static void read_at_once(reading readings[2])
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_on, &readings[1]), 0);
    read_on(&readings[0]);
    pthread_join(thread, NULL);
}

/* One of each family, each on a backend of its own or both on one. */
static void check_two_models(const char *const backends[2], void (*read)(reading readings[2]), int freed_first)
{
    ffai_model *models[2];
    reading readings[2];
    for (int i = 0; i < 2; i++)
        models[i] = load(families[i], backends[i]);
    for (int i = 0; i < 2; i++)
        begin(&readings[i], models[i]);
    read(readings);
    for (int i = 0; i < 2; i++)
        end(&readings[i]);
    /* Of those that are freed one after the other, the second still works in between. */
    ffai_model_free(models[freed_first]);
    reading later;
    begin(&later, models[!freed_first]);
    read_on(&later);
    end(&later);
    ffai_model_free(models[!freed_first]);
    for (int i = 0; i < 2; i++) {
        float *alone = read_alone(families[i], backends[i]);
        assert_memory_equal(readings[i].logits, alone, readings[i].vocab_size * sizeof *alone);
        if (i != freed_first)
            assert_memory_equal(later.logits, alone, later.vocab_size * sizeof *alone);
        free(alone);
        free(readings[i].logits);
    }
    free(later.logits);
}

static void two_models_know_nothing_of_each_other(void **state)
{
    (void)state;
    static const char *const backends[][2] = {{"ref", "ref"}, {"cpu", "cpu"},  {"cuda", "cuda"},
                                              {"cpu", "ref"}, {"cpu", "cuda"}, {"cuda", "cpu"}};
    for (size_t b = 0; b < sizeof backends / sizeof *backends; b++) {
        const bool there = is_there(backends[b][0]) && is_there(backends[b][1]);
        for (int freed_first = 0; there && freed_first < 2; freed_first++) {
            check_two_models(backends[b], read_in_turn, freed_first);
            check_two_models(backends[b], read_at_once, freed_first);
        }
    }
}

static void *do_nothing(void *context)
{
    return context;
}

int main(void)
{
    pthread_t thread; /* with the first one a sanitizer may start one of its own */
    if (pthread_create(&thread, NULL, do_nothing, NULL) == 0)
        pthread_join(thread, NULL);
    /* The allocator keeps nothing back that would look as if it were in use (see also GLIBC_TUNABLES of this test). */
    mallopt(M_MXFAST, 0);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_and_freeing_gives_everything_back),
        cmocka_unit_test(what_was_stopped_or_refused_gives_everything_back),
        cmocka_unit_test(a_device_gets_everything_back),
        cmocka_unit_test(two_models_know_nothing_of_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
