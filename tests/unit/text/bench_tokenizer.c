/* How fast texts become tokens, for bench/peers/tokenizing.py, which asks for rounds.
 *
 *   bench_tokenizer TOKENIZER.json FILE
 *
 * FILE has texts, each ended by a 0. Prints the seconds that loading takes; then, for each line of the standard input,
 * encodes all texts on one thread and prints the seconds, the number of ids and a hash of them. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "file_map.h"
#include "tokenizer.h"

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* FNV-1a over ids as 32-bit words. */
static uint64_t hash_ids(uint64_t hash, const int32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (uint32_t)ids[i]) * 0x100000001B3u;
    return hash;
}

static ffai_status run_round(const ffai_tokenizer *t, const char *texts, size_t size, ffai_error *err)
{
    double seconds = 0;
    size_t total = 0;
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t at = 0, length = 0; at < size; at += length + 1) {
        int32_t *ids = NULL;
        size_t count = 0;
        length = strlen(texts + at);
        const double begun = now();
        FFAI__TRY(ffai_tokenizer_encode(&ids, &count, t, texts + at, length, NULL, err));
        seconds += now() - begun;
        hash = hash_ids(hash, ids, count);
        total += count;
        ffai__free(ids);
    }
    printf("%.6f %zu %016" PRIx64 "\n", seconds, total, hash);
    fflush(stdout);
    return FFAI_OK;
}

static ffai_status run(const char *file, const char *texts, size_t size, ffai_error *err)
{
    ffai_tokenizer *t = NULL;
    char line[16];
    const double begun = now();
    FFAI__TRY(ffai__tokenizer_read(&t, file, err));
    printf("%.6f\n", now() - begun);
    fflush(stdout);
    ffai_status status = FFAI_OK;
    while (status == FFAI_OK && fgets(line, sizeof line, stdin))
        status = run_round(t, texts, size, err);
    ffai_tokenizer_free(t);
    return status;
}

int main(int argc, char **argv)
{
    char *texts = NULL;
    size_t size = 0;
    ffai_error err = FFAI_ERROR_INIT;
    if (argc != 3) {
        fprintf(stderr, "usage: bench_tokenizer TOKENIZER.json FILE\n");
        return 2;
    }
    ffai_status status = ffai__file_read(&texts, &size, argv[2], 1 << 30, &err);
    if (status == FFAI_OK)
        status = run(argv[1], texts, size, &err);
    ffai__free(texts);
    if (status != FFAI_OK)
        fprintf(stderr, "bench_tokenizer: %s\n", err.message);
    return status == FFAI_OK ? 0 : 1;
}
