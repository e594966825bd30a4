/* Tokenizers from GGUF metadata, held against what sentencepiece and Hugging Face's tokenizers make of the same
 * vocabularies: tests/data/gguf-tokenizers, made by tools/make-gguf-tokenizers.py. */
#define _GNU_SOURCE
#include "../text/fixtures.h"

#include <math.h>

#include "contents.h"
#include "engine.h"

#define FILES FFAI_SOURCE_DIR "/tests/data/gguf-tokenizers/"

static void read_bytes(char **bytes, size_t *size, const char *name)
{
    char path[512];
    ffai_error err = FFAI_ERROR_INIT;
    snprintf(path, sizeof path, FILES "%s", name);
    if (ffai__file_read(bytes, size, path, 1 << 20, &err) != FFAI_OK)
        fail_msg("%s", err.message);
}

static ffai__checkpoint *open_bytes(const char *bytes, size_t size)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__checkpoint_open_bytes(&checkpoint, NULL, (const uint8_t *)bytes, size, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return checkpoint;
}

static ffai_tokenizer *load_directly(const ffai__checkpoint *checkpoint)
{
    ffai_tokenizer *tokenizer = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__tokenizer_of(&tokenizer, checkpoint, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return tokenizer;
}

/* By way of the tokenizer.json that a converted folder gets. */
static ffai_tokenizer *load_as_json(const ffai__checkpoint *checkpoint)
{
    ffai_tokenizer *tokenizer = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    char *json = NULL;
    size_t size = 0;
    if (ffai__checkpoint_tokenizer_json(&json, &size, NULL, checkpoint, &err) != FFAI_OK ||
        ffai__tokenizer_parse(&tokenizer, json, size, NULL, "tokenizer.json", &err) != FFAI_OK)
        fail_msg("%s", err.message);
    ffai__free(json);
    return tokenizer;
}

static uint64_t hash_number(uint64_t hash, uint32_t number)
{
    for (unsigned shift = 0; shift < 32; shift += 8)
        hash = (hash ^ (number >> shift & 0xFF)) * 0x100000001B3u;
    return hash;
}

static uint64_t digest_of(const ffai_tokenizer *t, const json_t *class, const ffai_encode_options *options)
{
    uint64_t hash = 0xCBF29CE484222325u;
    size_t index = 0;
    json_t *text_case = NULL;
    json_array_foreach(json_object_get(class, "cases"), index, text_case)
    {
        char *text = NULL;
        size_t size = 0;
        int32_t *ids = NULL;
        size_t count = 0;
        ffai_error err = FFAI_ERROR_INIT;
        case_text(&text, &size, text_case);
        if (ffai_tokenizer_encode(&ids, &count, t, text, size, options, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        hash = hash_number(hash, (uint32_t)count);
        for (size_t i = 0; i < count; i++)
            hash = hash_number(hash, (uint32_t)ids[i]);
        ffai_free(ids);
        ffai__free(text);
    }
    return hash;
}

/* All classes of strings against a list of digests; with special tokens, or as plain text. */
static void check_digests(const ffai_tokenizer *t, const char *what, const json_t *digests, bool special)
{
    json_t *classes = read_json(DATA "cases.json");
    const ffai_encode_options options = {.add_special_tokens = special, .parse_special = special};
    size_t wrong = 0;
    assert_int_equal(json_array_size(classes), json_array_size(digests));
    for (size_t i = 0; i < json_array_size(classes); i++) {
        const json_t *class = json_array_get(classes, i);
        char digest[32];
        snprintf(digest, sizeof digest, "%016llx", (unsigned long long)digest_of(t, class, &options));
        if (strcmp(digest, json_string_value(json_array_get(digests, i))) == 0)
            continue;
        print_error("%s: \"%s\" differs\n", what, json_string_value(json_object_get(class, "name")));
        wrong++;
    }
    json_decref(classes);
    assert_int_equal(wrong, 0);
}

static void check_decoded(const ffai_tokenizer *t, const json_t *decoded)
{
    size_t i = 0;
    json_t *pair = NULL;
    json_array_foreach(decoded, i, pair)
    {
        const json_t *list = json_array_get(pair, 0);
        const size_t count = json_array_size(list);
        size_t size = 0;
        int32_t *ids = calloc(count, sizeof *ids);
        assert_non_null(ids);
        for (size_t k = 0; k < count; k++)
            ids[k] = (int32_t)json_number_value(json_array_get(list, k));
        char *text = decode(t, ids, count, false, &size);
        assert_string_equal(text, json_string_value(json_array_get(pair, 1)));
        ffai_free(text);
        free(ids);
    }
}

static void check_sentence_piece(const char *name)
{
    json_t *all = read_json(FILES "expected.json");
    const json_t *expected = json_object_get(all, name);
    char *bytes = NULL;
    size_t size = 0;
    read_bytes(&bytes, &size, name);
    ffai__checkpoint *checkpoint = open_bytes(bytes, size);
    ffai_tokenizer *direct = load_directly(checkpoint);
    ffai_tokenizer *converted = load_as_json(checkpoint);
    check_digests(direct, name, json_object_get(expected, "sentencepiece"), false);
    check_digests(direct, name, json_object_get(expected, "tokenizers"), true);
    check_digests(converted, name, json_object_get(expected, "tokenizers"), true);
    check_decoded(direct, json_object_get(expected, "decoded"));
    check_decoded(converted, json_object_get(expected, "decoded"));
    ffai_tokenizer_free(converted);
    ffai_tokenizer_free(direct);
    ffai__checkpoint_close(checkpoint);
    ffai__free(bytes);
    json_decref(all);
}

static void scores_and_bytes_give_the_ids_of_sentencepiece(void **state)
{
    (void)state;
    check_sentence_piece("sentence-piece.gguf");
}

static void without_bytes_and_prefix_too(void **state)
{
    (void)state;
    check_sentence_piece("sentence-piece-bare.gguf");
}

/* ---- names of pre-tokenizers ---- */

/* The file with one more key, tokenizer.ggml.pre. */
static void add_pre(ffai__buffer *out, const char *bytes, size_t size, const char *pre)
{
    static const char key[] = "tokenizer.ggml.pre";
    const uint64_t key_size = sizeof key - 1;
    const uint64_t pre_size = strlen(pre);
    const uint32_t string = FFAI__GGUF_STRING;
    uint64_t fields = 0;
    ffai__buffer_append(out, bytes, size);
    memcpy(&fields, out->data + 16, sizeof fields);
    fields++;
    memcpy(out->data + 16, &fields, sizeof fields);
    ffai__buffer_append(out, &key_size, sizeof key_size);
    ffai__buffer_append(out, key, key_size);
    ffai__buffer_append(out, &string, sizeof string);
    ffai__buffer_append(out, &pre_size, sizeof pre_size);
    ffai__buffer_append(out, pre, pre_size);
    assert_false(out->failed);
}

static void check_bos(const ffai_tokenizer *t, bool expected)
{
    int32_t *ids = NULL;
    size_t count = 0;
    assert_int_equal(ffai_tokenizer_encode(&ids, &count, t, "a", 1,
                                           &(ffai_encode_options){.add_special_tokens = true, .parse_special = true},
                                           NULL),
                     FFAI_OK);
    assert_int_equal(count, expected ? 2 : 1);
    ffai_free(ids);
}

static void check_name(const char *bytes, size_t size, const char *pre, const json_t *expected)
{
    ffai__buffer file = FFAI__BUFFER_INIT;
    add_pre(&file, bytes, size, pre);
    ffai__checkpoint *checkpoint = open_bytes(file.data, file.size);
    ffai_tokenizer *t = load_directly(checkpoint);
    check_digests(t, pre, json_object_get(expected, "digests"), false);
    check_bos(t, json_is_true(json_object_get(expected, "adds_bos")));
    ffai_tokenizer_free(t);
    ffai__checkpoint_close(checkpoint);
    ffai__buffer_free(&file);
}

/* The file without a pre-tokenizer's name, and what is expected with each. */
typedef struct byte_level {
    char *bytes;
    size_t size;
    json_t *all;
    json_t *names; /* of all: name -> expected */
} byte_level;

static void begin_byte_level(byte_level *file)
{
    read_bytes(&file->bytes, &file->size, "byte-level.gguf");
    file->all = read_json(FILES "expected.json");
    file->names = json_object_get(file->all, "byte-level.gguf");
}

static void end_byte_level(byte_level *file)
{
    ffai__free(file->bytes);
    json_decref(file->all);
}

static void every_known_name_cuts_a_text_as_its_models_do(void **state)
{
    (void)state;
    const char *pre = NULL;
    json_t *expected = NULL;
    byte_level file;
    begin_byte_level(&file);
    json_object_foreach(file.names, pre, expected)
    {
        check_name(file.bytes, file.size, pre, expected);
    }
    end_byte_level(&file);
}

/* The names that the error lists are those that are tested. */
static void an_unknown_name_is_told_the_known_ones(void **state)
{
    (void)state;
    const char *pre = NULL;
    json_t *expected = NULL;
    ffai_tokenizer *t = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    byte_level file;
    begin_byte_level(&file);
    ffai__checkpoint *checkpoint = open_bytes(file.bytes, file.size);
    assert_int_equal(ffai__tokenizer_of(&t, checkpoint, &err), FFAI_E_UNSUPPORTED);
    const char *list = strstr(err.message, "\"\" is not known; ");
    assert_non_null(list);
    size_t commas = 0;
    for (const char *c = list; *c; c++)
        commas += *c == ',';
    json_object_foreach(file.names, pre, expected)
    {
        assert_non_null(strstr(list, pre));
    }
    assert_int_equal(commas + 2, json_object_size(file.names));
    ffai__checkpoint_close(checkpoint);
    end_byte_level(&file);
}

/* ---- damage ---- */

static char *find_key(char *bytes, size_t size, const char *key)
{
    char *at = memmem(bytes, size, key, strlen(key));
    assert_non_null(at);
    return at + strlen(key);
}

static void assert_refused(const char *bytes, size_t size, ffai_status status, const char *part)
{
    ffai__checkpoint *checkpoint = open_bytes(bytes, size);
    ffai_tokenizer *t = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__tokenizer_of(&t, checkpoint, &err), status);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" is not in: %s", part, err.message);
    ffai__checkpoint_close(checkpoint);
}

static void damaged_vocabularies_are_refused_by_key(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t size = 0;
    const float nan = NAN;
    const int32_t seven = 7;
    read_bytes(&bytes, &size, "sentence-piece.gguf");
    char *scores = find_key(bytes, size, "tokenizer.ggml.scores");
    char *types = find_key(bytes, size, "tokenizer.ggml.token_type");
    char *first_score = scores + 4 + 4 + 8;
    char *first_type = types + 4 + 4 + 8;
    char kept[4];
    memcpy(kept, first_score + 4 * 300, 4);
    memcpy(first_score + 4 * 300, &nan, 4);
    assert_refused(bytes, size, FFAI_E_FORMAT, "bytes: key \"tokenizer.ggml.scores\": entry 300 is no finite number");
    memcpy(first_score + 4 * 300, kept, 4);
    memcpy(kept, first_type + 4 * 5, 4);
    memcpy(first_type + 4 * 5, &seven, 4);
    assert_refused(bytes, size, FFAI_E_FORMAT,
                   "bytes: key \"tokenizer.ggml.token_type\": entry 5 is 7, not from 0 to 6");
    memcpy(first_type + 4 * 5, kept, 4);
    scores[-1] = 'x';
    assert_refused(bytes, size, FFAI_E_FORMAT, "bytes: key \"tokenizer.ggml.scores\" is missing");
    scores[-1] = 's';
    types[-1] = 'x';
    assert_refused(bytes, size, FFAI_E_FORMAT, "bytes: key \"tokenizer.ggml.token_type\" is missing");
    types[-1] = 'e';
    memcpy(find_key(bytes, size, "tokenizer.ggml.model") + 4 + 8, "lxama", 5);
    assert_refused(bytes, size, FFAI_E_UNSUPPORTED, "\"lxama\" is not supported; gpt2 and llama are");
    ffai__free(bytes);
}

/* One entry fewer than tokens: the last score is cut out, and the count lowered. */
static void scores_that_are_too_few_are_refused(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t size = 0;
    uint64_t count = 0;
    read_bytes(&bytes, &size, "sentence-piece.gguf");
    char *array = find_key(bytes, size, "tokenizer.ggml.scores") + 4 + 4;
    memcpy(&count, array, sizeof count);
    char *last = array + 8 + 4 * (count - 1);
    memmove(last, last + 4, size - (size_t)(last + 4 - bytes));
    count--;
    memcpy(array, &count, sizeof count);
    assert_refused(bytes, size - 4, FFAI_E_FORMAT, "\"tokenizer.ggml.scores\": has 1399 entries for 1400 tokens");
    ffai__free(bytes);
}

static void a_merge_of_no_token_is_refused(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t size = 0;
    ffai__buffer file = FFAI__BUFFER_INIT;
    read_bytes(&bytes, &size, "byte-level.gguf");
    char *first = find_key(bytes, size, "tokenizer.ggml.merges") + 4 + 4 + 8 + 8;
    memcpy(first, "\xC5\x90", 2); /* no character of the alphabet */
    add_pre(&file, bytes, size, "gpt-2");
    assert_refused(file.data, file.size, FFAI_E_FORMAT, "merges[0]: ");
    ffai__buffer_free(&file);
    ffai__free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_and_bytes_give_the_ids_of_sentencepiece),
        cmocka_unit_test(without_bytes_and_prefix_too),
        cmocka_unit_test(every_known_name_cuts_a_text_as_its_models_do),
        cmocka_unit_test(an_unknown_name_is_told_the_known_ones),
        cmocka_unit_test(damaged_vocabularies_are_refused_by_key),
        cmocka_unit_test(scores_that_are_too_few_are_refused),
        cmocka_unit_test(a_merge_of_no_token_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
