/* One tokenizer serves several threads at once, and what it keeps from earlier texts does not show in later ones. */
#include "fixtures.h"

#include <pthread.h>

enum { THREADS = 12, ROUNDS = 6 }; /* more threads than caches wait */

/* Byte-level BPE, or SentencePiece's kind, whose texts are one word that is cut where no token joins characters; with
 * "o▁" a token goes on over a space. */
static ffai_tokenizer *create(bool bytes)
{
    ffai__buffer json = FFAI__BUFFER_INIT;
    ffai__buffer_text(&json, bytes ? "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                                   : "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
                                     "\"content\":\"▁\"},");
    ffai__buffer_text(&json, "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"merges\":[\"t h\",\"th e\",\"a b\","
                             "\"o ▁\",\"▁ the\",\"▁ ▁\",\"ab ab\",\"1 2\"],\"vocab\":{");
    static const char *const tokens[] = {"t",   "h",  "e",  "a",    "b",  "o",    "▁",  "1", "2",  "th",
                                         "the", "ab", "o▁", "▁the", "▁▁", "abab", "12", "Ġ", "\\n"};
    size_t id = 0;
    for (; id < sizeof tokens / sizeof tokens[0]; id++)
        ffai__buffer_format(&json, "\"%s\":%zu,", tokens[id], id);
    for (unsigned byte = 0; byte < 256; byte++)
        ffai__buffer_format(&json, "\"<0x%02X>\":%zu%s", byte, id + byte, byte < 255 ? "," : "}}}");
    ffai_tokenizer *t = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__tokenizer_parse(&t, json.data, json.size, NULL, "test", &err) != FFAI_OK)
        fail_msg("%s", err.message);
    ffai__buffer_free(&json);
    return t;
}

static void draw_text(ffai__buffer *text, uint64_t *random)
{
    static const char *const parts[] = {"the", " ", "ab", "o ", "12", "  ", "t", "é", "\n", "abab", "o", "x", "中"};
    text->size = 0;
    for (size_t count = 1 + next_random(random) % 400; count > 0; count--)
        ffai__buffer_text(text, parts[next_random(random) % (sizeof parts / sizeof parts[0])]);
}

static uint64_t encode_some(const ffai_tokenizer *t, uint64_t seed)
{
    uint64_t random = seed;
    uint64_t hash = 0;
    ffai__buffer text = FFAI__BUFFER_INIT;
    for (int round = 0; round < ROUNDS; round++) {
        int32_t *ids = NULL;
        size_t count = 0;
        draw_text(&text, &random);
        if (ffai_tokenizer_encode(&ids, &count, t, text.data, text.size, NULL, NULL) != FFAI_OK)
            return 0;
        hash = hash * 31 + fnv_of(ids, count);
        ffai_free(ids);
    }
    ffai__buffer_free(&text);
    return hash;
}

typedef struct {
    const ffai_tokenizer *tokenizer;
    uint64_t seed, hash;
    pthread_t thread;
} worker;

static void *work(void *context)
{
    worker *w = context;
    w->hash = encode_some(w->tokenizer, w->seed);
    return NULL;
}

static void check_threads(bool bytes)
{
    worker workers[THREADS];
    ffai_tokenizer *shared = create(bytes);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.tokenizer = shared, .seed = i + 1};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        ffai_tokenizer *alone = create(bytes);
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_not_equal(workers[i].hash, 0);
        assert_true(workers[i].hash == encode_some(alone, workers[i].seed));
        ffai_tokenizer_free(alone);
    }
    ffai_tokenizer_free(shared);
}

static void threads_that_share_a_byte_level_tokenizer_get_their_own_ids(void **state)
{
    (void)state;
    check_threads(true);
}

static void threads_that_share_a_sentencepiece_tokenizer_get_their_own_ids(void **state)
{
    (void)state;
    check_threads(false);
}

static void encode(ffai__buffer *ids_text, const ffai_tokenizer *t, const char *text, size_t size)
{
    int32_t *ids = NULL;
    size_t count = 0;
    assert_int_equal(ffai_tokenizer_encode(&ids, &count, t, text, size, NULL, NULL), FFAI_OK);
    ids_text->size = 0;
    for (size_t i = 0; i < count; i++)
        ffai__buffer_format(ids_text, "%d ", (int)ids[i]);
    ffai__buffer_text(ids_text, ".");
    ffai_free(ids);
}

/* More words than the cache has places: what is in each place changes many times. */
static void a_cache_that_overflows_gives_the_same_ids(void **state)
{
    (void)state;
    ffai_tokenizer *t = create(false);
    ffai__buffer text = FFAI__BUFFER_INIT;
    ffai__buffer first = FFAI__BUFFER_INIT;
    ffai__buffer again = FFAI__BUFFER_INIT;
    for (unsigned i = 0; i < 200000; i++)
        ffai__buffer_format(&text, " the%x", i * 2654435761u);
    encode(&first, t, text.data, text.size);
    encode(&again, t, text.data, text.size);
    assert_string_equal(first.data, again.data);
    ffai__buffer_free(&text);
    ffai__buffer_free(&first);
    ffai__buffer_free(&again);
    ffai_tokenizer_free(t);
}

static void check_ids(const ffai_tokenizer *t, const char *text, const char *expected)
{
    ffai__buffer ids = FFAI__BUFFER_INIT;
    encode(&ids, t, text, strlen(text));
    assert_string_equal(ids.data, expected);
    ffai__buffer_free(&ids);
}

/* By hand, from the merges above. */
static void a_word_is_not_cut_where_a_token_joins_characters(void **state)
{
    (void)state;
    ffai_tokenizer *t = create(false);
    check_ids(t, "the the", "10 13 .");
    check_ids(t, "tho the", "9 12 10 .");
    check_ids(t, "o  o", "12 6 5 .");
    check_ids(t, "a   a", "3 14 6 3 .");
    check_ids(t, "ab\nabab", "11 18 15 .");
    ffai_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_share_a_byte_level_tokenizer_get_their_own_ids),
        cmocka_unit_test(threads_that_share_a_sentencepiece_tokenizer_get_their_own_ids),
        cmocka_unit_test(a_cache_that_overflows_gives_the_same_ids),
        cmocka_unit_test(a_word_is_not_cut_where_a_token_joins_characters),
    };
    return cmocka_run_group_tests_name("tokenizer threads", tests, NULL, NULL);
}
