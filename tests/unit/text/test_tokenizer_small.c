/* Every component with every option, on small tokenizers: ids and decoded text equal to Hugging Face's. */
#include "fixtures.h"

static ffai_tokenizer *create(const json_t *small, const json_t *entry)
{
    const char *model = json_string_value(json_object_get(entry, "model"));
    json_t *root = json_copy(json_object_get(entry, "tokenizer"));
    json_object_set(root, "model", json_object_get(json_object_get(small, "models"), model));
    char *text = json_dumps(root, JSON_COMPACT);
    assert_non_null(text);
    ffai_tokenizer *t = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__tokenizer_parse(&t, text, strlen(text), NULL, json_string_value(json_object_get(entry, "name")), &err) !=
        FFAI_OK)
        fail_msg("%s", err.message);
    free(text);
    json_decref(root);
    return t;
}

typedef void check_tokenizer(const json_t *small, const json_t *entry, const ffai_tokenizer *t, size_t *wrong);

static void for_each(check_tokenizer *check)
{
    json_t *small = read_json(DATA "small.json");
    const json_t *entries = json_object_get(small, "tokenizers");
    size_t wrong = 0;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        ffai_tokenizer *t = create(small, entry);
        check(small, entry, t, &wrong);
        ffai_tokenizer_free(t);
    }
    assert_true(json_array_size(entries) > 60);
    json_decref(small);
    assert_int_equal(wrong, 0);
}

static void check_ids(const json_t *small, const json_t *entry, const ffai_tokenizer *t, size_t *wrong)
{
    const json_t *texts = json_object_get(small, "texts");
    const json_t *expected = json_object_get(entry, "expected");
    const char *name = json_string_value(json_object_get(entry, "name"));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        *wrong += !agrees(t, name, json_string_value(text), json_string_length(text), json_array_get(expected, i));
    }
}

static void every_component_gives_hugging_faces_ids(void **state)
{
    (void)state;
    for_each(check_ids);
}

static int32_t *ids_of(const json_t *list, size_t *count)
{
    *count = json_array_size(list);
    int32_t *ids = ffai__array(*count, sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < *count; i++)
        ids[i] = (int32_t)json_number_value(json_array_get(list, i));
    return ids;
}

static bool decodes_to(const ffai_tokenizer *t, const char *name, const json_t *list, bool skip, const json_t *expected)
{
    size_t count = 0;
    size_t size = 0;
    int32_t *ids = ids_of(list, &count);
    char *text = decode(t, ids, count, skip, &size);
    const bool same = size == json_string_length(expected) && memcmp(text, json_string_value(expected), size) == 0;
    if (!same)
        print_error("%s: decoded \"%s\"\n  expected \"%s\"\n", name, text, json_string_value(expected));
    ffai_free(text);
    ffai__free(ids);
    return same;
}

static void check_text(const json_t *small, const json_t *entry, const ffai_tokenizer *t, size_t *wrong)
{
    (void)small;
    const json_t *decoded = json_object_get(entry, "decoded");
    const char *name = json_string_value(json_object_get(entry, "name"));
    for (size_t i = 0; i < json_array_size(decoded); i++) {
        const json_t *one = json_array_get(decoded, i);
        *wrong += !decodes_to(t, name, json_array_get(one, 0), false, json_array_get(one, 1));
        *wrong += !decodes_to(t, name, json_array_get(one, 0), true, json_array_get(one, 2));
    }
}

static void every_component_gives_hugging_faces_text(void **state)
{
    (void)state;
    for_each(check_text);
}

/* The pieces of a stream, put together, against decoding all ids; each piece must be UTF-8 by itself. */
static bool streams_like_it_decodes(const ffai_tokenizer *t, const int32_t *ids, size_t count, bool skip)
{
    size_t size = 0;
    char *whole = decode(t, ids, count, skip, &size);
    ffai_detokenizer *d = NULL;
    assert_int_equal(ffai_detokenizer_create(&d, t, skip, NULL), FFAI_OK);
    ffai__buffer pieces = FFAI__BUFFER_INIT;
    for (size_t i = 0; i <= count; i++) {
        const char *piece = NULL;
        size_t piece_size = 0;
        const ffai_status status = i < count ? ffai_detokenizer_push(&piece, &piece_size, d, ids[i], NULL)
                                             : ffai_detokenizer_finish(&piece, &piece_size, d, NULL);
        assert_int_equal(status, FFAI_OK);
        json_t *valid = json_stringn(piece, piece_size); /* jansson refuses what is no UTF-8 */
        assert_non_null(valid);
        json_decref(valid);
        ffai__buffer_append(&pieces, piece, piece_size);
    }
    const bool same = pieces.size == size && memcmp(pieces.data, whole, size) == 0;
    ffai_detokenizer_free(d);
    ffai__buffer_free(&pieces);
    ffai_free(whole);
    return same;
}

static void check_streams(const json_t *small, const json_t *entry, const ffai_tokenizer *t, size_t *wrong)
{
    (void)small;
    uint64_t random = 42;
    for (int round = 0; round < 40; round++) {
        int32_t ids[64];
        size_t count = 0;
        const size_t wanted = next_random(&random) % 64;
        while (count < wanted) {
            const int32_t id = (int32_t)(next_random(&random) % (uint32_t)ffai_tokenizer_vocab_size(t));
            if (ffai_tokenizer_token(t, id))
                ids[count++] = id;
        }
        if (!streams_like_it_decodes(t, ids, count, round % 2)) {
            print_error("%s: round %d\n", json_string_value(json_object_get(entry, "name")), round);
            *wrong += 1;
        }
    }
}

static void pieces_of_random_ids_equal_the_whole_and_are_utf8(void **state)
{
    (void)state;
    for_each(check_streams);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_component_gives_hugging_faces_ids),
        cmocka_unit_test(every_component_gives_hugging_faces_text),
        cmocka_unit_test(pieces_of_random_ids_equal_the_whole_and_are_utf8),
    };
    return cmocka_run_group_tests_name("small tokenizers", tests, NULL, NULL);
}
