/* How long masks take: bench/bench_masks TOKENIZER LANGUAGE FILE [TEXTS]. Random texts along the grammar, each token
 * drawn evenly from a mask's; all states new at first, then what was kept. Processor time: other work counts for
 * nothing. */
#define _GNU_SOURCE
#include <ffai/grammar.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tokenizer.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One of the mask's tokens, -1 if it has none. */
static int32_t draw(const uint32_t *mask, int32_t count, uint64_t *seed)
{
    const int32_t start = (int32_t)(next_random(seed) % (uint64_t)count);
    for (int32_t i = 0; i < count; i++) {
        const int32_t id = (start + i) % count;
        if (mask[id / 32] >> id % 32 & 1)
            return id;
    }
    return -1;
}

static void check(ffai_status status, const ffai_error *err)
{
    if (status == FFAI_OK)
        return;
    fprintf(stderr, "bench_masks: %s\n", err->message);
    exit(1);
}

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(1 << 20);
    if (!file || !text) {
        fprintf(stderr, "bench_masks: %s: cannot be read\n", path);
        exit(1);
    }
    *size = fread(text, 1, 1 << 20, file);
    fclose(file);
    return text;
}

/* Times [n] of the masks of some texts; returns how many. */
static size_t run(double *times, size_t room, ffai_matcher *matcher, int texts, uint64_t seed)
{
    size_t count = 0;
    for (int i = 0; i < texts; i++) {
        ffai_error err = FFAI_ERROR_INIT;
        check(ffai_matcher_reset(matcher, &err), &err);
        for (int step = 0; step < 500 && count < room && !ffai_matcher_must_end(matcher); step++) {
            const uint32_t *mask = NULL;
            int32_t num_tokens = 0;
            const double start = now();
            check(ffai_matcher_mask(&mask, &num_tokens, matcher, &err), &err);
            times[count++] = now() - start;
            const int32_t id = draw(mask, num_tokens, &seed);
            if (id < 0)
                break;
            check(ffai_matcher_accept(matcher, id, &err), &err);
        }
    }
    return count;
}

static void report(const char *what, double *times, size_t count)
{
    qsort(times, count, sizeof *times, by_value);
    printf("%-8s %6zu masks: median %.1f us, 99%% %.1f us, worst %.1f us\n", what, count, times[count / 2],
           times[count * 99 / 100], times[count - 1]);
}

int main(int argc, char **argv)
{
    enum { ROOM = 1 << 20 };
    static double times[ROOM];
    ffai_error err = FFAI_ERROR_INIT;
    ffai_tokenizer *tokenizer = NULL;
    ffai_grammar *grammar = NULL;
    ffai_token_trie *trie = NULL;
    ffai_matcher *matcher = NULL;
    if (argc < 4) {
        fprintf(stderr, "usage: bench_masks TOKENIZER regex|gbnf|json-schema FILE [TEXTS]\n");
        return 2;
    }
    size_t size = 0;
    char *text = read_file(argv[3], &size);
    const ffai_grammar_language language = !strcmp(argv[2], "regex")  ? FFAI_GRAMMAR_REGEX
                                           : !strcmp(argv[2], "gbnf") ? FFAI_GRAMMAR_GBNF
                                                                      : FFAI_GRAMMAR_JSON_SCHEMA;
    check(ffai__tokenizer_read(&tokenizer, argv[1], &err), &err);
    const double start = now();
    check(ffai_token_trie_create(&trie, tokenizer, NULL, 0, &err), &err);
    const double built = now();
    check(ffai_grammar_compile(&grammar, language, text, size, &err), &err);
    const double compiled = now();
    check(ffai_matcher_create(&matcher, grammar, trie, &err), &err);
    printf("%d tokens: trie %.1f ms, grammar %.2f ms, matcher %.1f ms\n", (int)ffai_tokenizer_vocab_size(tokenizer),
           (built - start) / 1e3, (compiled - built) / 1e3, (now() - compiled) / 1e3);
    const int texts = argc > 4 ? atoi(argv[4]) : 50;
    report("new", times, run(times, ROOM, matcher, texts, 1));
    report("again", times, run(times, ROOM, matcher, texts, 1));
    ffai_matcher_free(matcher);
    ffai_grammar_free(grammar);
    ffai_token_trie_free(trie);
    ffai_tokenizer_free(tokenizer);
    free(text);
    return 0;
}
