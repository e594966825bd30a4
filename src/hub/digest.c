#define _GNU_SOURCE
#include "digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "thread_start.h"

enum { QUEUE = 8 };

/* Bytes of the file that are still in memory. */
typedef struct chunk {
    char *bytes; /* [FFAI__DIGEST_BLOCK] */
    int64_t at;
    size_t count; /* 0: nothing */
} chunk;

struct ffai__digest {
    const ffai__hub_libraries *libraries;
    EVP_MD_CTX *context;
    int descriptor;
    int error;   /* errno of a failed read */
    bool broken; /* libcrypto failed */
    char *block; /* [FFAI__DIGEST_BLOCK] what is read from the file */
    /* with the lock held: */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int64_t whole;
    chunk queue[QUEUE]; /* a ring, in the file's order */
    size_t first, queued;
    bool ending;
    bool started; /* false: no thread could be had, and all is taken at the end */
    pthread_t thread;
};

static void take(ffai__digest *d, const char *bytes, size_t count)
{
    d->broken = d->broken || !d->libraries->EVP_DigestUpdate(d->context, bytes, count);
}

/* False after a failure, which is kept. */
static bool read_and_take(ffai__digest *d, int64_t at, size_t count)
{
    while (count > 0) {
        const ssize_t got = pread(d->descriptor, d->block, count, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            d->error = got < 0 ? errno : EIO;
            return false;
        }
        take(d, d->block, (size_t)got);
        at += got;
        count -= (size_t)got;
    }
    return true;
}

/* Bytes to take from a place on, after waiting for some; 0 at the end. *bytes: where they are in memory, or NULL. */
static size_t await(ffai__digest *d, int64_t at, const char **bytes)
{
    pthread_mutex_lock(&d->lock);
    while (d->whole <= at && !d->ending)
        pthread_cond_wait(&d->moved, &d->lock);
    const chunk *next = &d->queue[d->first];
    const int64_t end = d->queued && next->at > at ? next->at : d->whole;
    const bool in_memory = d->queued && next->at == at;
    const int64_t ready = in_memory ? (int64_t)next->count : end - at;
    *bytes = in_memory ? next->bytes : NULL;
    pthread_mutex_unlock(&d->lock);
    return ready > FFAI__DIGEST_BLOCK ? FFAI__DIGEST_BLOCK : (size_t)ready;
}

static void release_first(ffai__digest *d)
{
    pthread_mutex_lock(&d->lock);
    d->first = (d->first + 1) % QUEUE;
    d->queued--;
    pthread_mutex_unlock(&d->lock);
}

static void *run(void *context)
{
    ffai__digest *d = context;
    const char *bytes = NULL;
    int64_t at = 0;
    for (size_t count; (count = await(d, at, &bytes)) > 0; at += (int64_t)count) {
        if (bytes) {
            take(d, bytes, count);
            release_first(d);
        } else if (!read_and_take(d, at, count)) {
            break;
        }
    }
    return NULL;
}

static bool get_blocks(ffai__digest *d)
{
    d->block = ffai__malloc(FFAI__DIGEST_BLOCK);
    bool all = d->block;
    for (int i = 0; i < QUEUE && all; i++) {
        d->queue[i].bytes = ffai__malloc(FFAI__DIGEST_BLOCK);
        all = d->queue[i].bytes;
    }
    return all;
}

static bool begin(ffai__digest *d, const char *wanted, int64_t size)
{
    const ffai__hub_libraries *l = d->libraries;
    char head[40];
    const bool git = strlen(wanted) == 40;
    if (!l->EVP_DigestInit_ex(d->context, git ? l->EVP_sha1() : l->EVP_sha256(), NULL))
        return false;
    const int length = snprintf(head, sizeof head, "blob %lld", (long long)size);
    return !git || l->EVP_DigestUpdate(d->context, head, (size_t)length + 1); /* its 0 belongs to it */
}

ffai_status ffai__digest_new(ffai__digest **out, const ffai__hub_libraries *libraries, const char *wanted,
                             int descriptor, int64_t size, ffai_error *err)
{
    ffai__digest *d = ffai__calloc(1, sizeof *d);
    if (!d)
        return ffai__fail_memory(err, "a digest", sizeof *d);
    d->libraries = libraries;
    d->descriptor = descriptor;
    d->context = libraries->EVP_MD_CTX_new();
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->moved, NULL);
    if (!d->context || !get_blocks(d) || !begin(d, wanted, size)) {
        ffai__digest_free(d);
        return ffai__fail_memory(err, "a digest", FFAI__DIGEST_BLOCK);
    }
    d->started = ffai__thread_start(&d->thread, run, d) == 0;
    *out = d;
    return FFAI_OK;
}

static void end_thread(ffai__digest *d)
{
    pthread_mutex_lock(&d->lock);
    d->ending = true;
    pthread_cond_signal(&d->moved);
    pthread_mutex_unlock(&d->lock);
    if (d->started)
        pthread_join(d->thread, NULL);
    d->started = false;
}

void ffai__digest_free(ffai__digest *d)
{
    if (!d)
        return;
    end_thread(d);
    d->libraries->EVP_MD_CTX_free(d->context);
    pthread_cond_destroy(&d->moved);
    pthread_mutex_destroy(&d->lock);
    for (int i = 0; i < QUEUE; i++)
        ffai__free(d->queue[i].bytes);
    ffai__free(d->block);
    ffai__free(d);
}

void ffai__digest_advance(ffai__digest *d, int64_t whole)
{
    pthread_mutex_lock(&d->lock);
    if (whole > d->whole) {
        d->whole = whole;
        pthread_cond_signal(&d->moved);
    }
    pthread_mutex_unlock(&d->lock);
}

char *ffai__digest_hand(ffai__digest *d, char *block, int64_t at, size_t count)
{
    pthread_mutex_lock(&d->lock);
    if (d->queued < QUEUE) {
        chunk *next = &d->queue[(d->first + d->queued++) % QUEUE];
        char *other = next->bytes;
        *next = (chunk){block, at, count};
        block = other;
        d->whole = at + (int64_t)count;
        pthread_cond_signal(&d->moved);
    }
    pthread_mutex_unlock(&d->lock);
    return block;
}

ffai_status ffai__digest_finish(ffai__digest *d, char found[65], ffai_error *err)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    const bool alone = !d->started;
    end_thread(d);
    if (alone)
        run(d);
    if (d->error)
        return ffai__fail(err, FFAI_E_IO, "cannot be read again: %s: it is downloaded anew next time",
                          strerror(d->error));
    if (d->broken || !d->libraries->EVP_DigestFinal_ex(d->context, bytes, &size) || size > 32)
        return ffai__fail(err, FFAI_E_INTERNAL, "libcrypto gives no digest");
    for (unsigned i = 0; i < size; i++)
        snprintf(found + (size_t)2 * i, 3, "%02x", bytes[i]);
    return FFAI_OK;
}
