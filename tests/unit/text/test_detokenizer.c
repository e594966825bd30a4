/* Text back from ids, in one go and piece by piece, on full-size tokenizers. */
#include "fixtures.h"

#include <dirent.h>

#include "detokenizer.h"

static const char *const names[] = {"smollm2", "qwen3", "llama3_1", "gemma3", "gptoss"};

static void push(ffai__buffer *out, ffai_detokenizer *d, int32_t id)
{
    const char *piece = NULL;
    size_t size = 0;
    assert_int_equal(ffai_detokenizer_push(&piece, &size, d, id, NULL), FFAI_OK);
    ffai__buffer_append(out, piece, size);
}

static void finish(ffai__buffer *out, ffai_detokenizer *d)
{
    const char *piece = NULL;
    size_t size = 0;
    assert_int_equal(ffai_detokenizer_finish(&piece, &size, d, NULL), FFAI_OK);
    ffai__buffer_append(out, piece, size);
}

static int32_t *random_ids(const ffai_tokenizer *t, size_t count, uint64_t seed)
{
    int32_t *ids = ffai__array(count, sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < count;) {
        ids[i] = (int32_t)(next_random(&seed) % (uint32_t)ffai_tokenizer_vocab_size(t));
        i += ffai_tokenizer_token(t, ids[i]) != NULL;
    }
    return ids;
}

static void pieces_equal_the_whole_and_cost_is_linear(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        ffai_tokenizer *t = load_named(names[n]);
        if (!t)
            continue;
        int32_t *ids = random_ids(t, COUNT, n + 1);
        size_t size = 0;
        char *whole = decode(t, ids, COUNT, n % 2, &size);
        ffai_detokenizer *d = NULL;
        ffai__buffer pieces = FFAI__BUFFER_INIT;
        assert_int_equal(ffai_detokenizer_create(&d, t, n % 2, NULL), FFAI_OK);
        size_t input = 0;
        for (size_t i = 0; i < COUNT; i++) {
            input += strlen(ffai_tokenizer_token(t, ids[i]));
            push(&pieces, d, ids[i]);
        }
        finish(&pieces, d);
        assert_int_equal(pieces.size, size);
        assert_memory_equal(pieces.data, whole, size);
        /* Each of at most four steps handles each byte once. */
        assert_true(ffai__detokenizer_work(d) <= 5 * (uint64_t)(input + size));
        ffai_detokenizer_free(d);
        ffai__buffer_free(&pieces);
        ffai_free(whole);
        ffai__free(ids);
        ffai_tokenizer_free(t);
    }
}

static void a_character_is_held_back_until_its_last_byte(void **state)
{
    (void)state;
    ffai_tokenizer *t = load_named("smollm2");
    int32_t *ids = NULL;
    size_t count = 0;
    const ffai_encode_options options = {.parse_special = false};
    assert_int_equal(ffai_tokenizer_encode(&ids, &count, t, "\xF0\x93\x80\x80", 4, &options, NULL), FFAI_OK);
    assert_true(count > 1);
    ffai_detokenizer *d = NULL;
    ffai__buffer out = FFAI__BUFFER_INIT;
    assert_int_equal(ffai_detokenizer_create(&d, t, false, NULL), FFAI_OK);
    for (size_t i = 0; i + 1 < count; i++)
        push(&out, d, ids[i]);
    assert_int_equal(out.size, 0);
    push(&out, d, ids[count - 1]);
    assert_string_equal(out.data, "\xF0\x93\x80\x80");
    out.size = 0;
    push(&out, d, ids[0]); /* and once more, unfinished: a U+FFFD at the end, and afresh from there */
    finish(&out, d);
    assert_string_equal(out.data, "\xEF\xBF\xBD");
    finish(&out, d);
    assert_string_equal(out.data, "\xEF\xBF\xBD");
    ffai_detokenizer_free(d);
    ffai__buffer_free(&out);
    ffai_free(ids);
    ffai_tokenizer_free(t);
}

static void special_tokens_are_left_out_where_asked(void **state)
{
    (void)state;
    ffai_tokenizer *t = load_named("smollm2");
    int32_t *ids = NULL;
    size_t count = 0;
    size_t size = 0;
    static const char text[] = "<|im_start|>user\nhi<|im_end|>";
    assert_int_equal(ffai_tokenizer_encode(&ids, &count, t, text, strlen(text), NULL, NULL), FFAI_OK);
    char *all = decode(t, ids, count, false, &size);
    char *some = decode(t, ids, count, true, &size);
    assert_string_equal(all, text);
    assert_string_equal(some, "user\nhi");
    ffai_free(all);
    ffai_free(some);
    ffai_free(ids);
    ffai_tokenizer_free(t);
}

static void round_trip(const ffai_tokenizer *t, const char *file)
{
    char *bytes = NULL;
    size_t size = 0;
    size_t count = 0;
    size_t back_size = 0;
    assert_int_equal(ffai__file_read(&bytes, &size, file, 16 << 20, NULL), FFAI_OK);
    int32_t *ids = NULL;
    const ffai_encode_options options = {.parse_special = false};
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai_tokenizer_encode(&ids, &count, t, bytes, size, &options, &err) != FFAI_OK)
        fail_msg("%s: %s", file, err.message);
    char *back = decode(t, ids, count, false, &back_size);
    if (back_size != size || memcmp(back, bytes, size) != 0)
        fail_msg("%s: other bytes come back", file);
    ffai_free(back);
    ffai_free(ids);
    ffai__free(bytes);
}

/* Every text of a folder and the folders in it; returns how many. */
static size_t round_trip_folder(const ffai_tokenizer *t, const char *folder)
{
    static const char *const endings[] = {".c", ".h", ".md", ".txt", ".py", ".cmake", ".def", ".cu", ".jinja"};
    DIR *open = opendir(folder);
    if (!open)
        return 0;
    size_t files = 0;
    for (struct dirent *entry = readdir(open); entry; entry = readdir(open)) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = ffai__path_join(folder, entry->d_name);
        assert_non_null(path);
        const char *dot = strrchr(entry->d_name, '.');
        if (ffai__path_kind_of(path) == FFAI__PATH_FOLDER) {
            files += round_trip_folder(t, path);
        } else {
            for (size_t i = 0; dot && i < sizeof endings / sizeof endings[0]; i++) {
                if (strcmp(dot, endings[i]) == 0) {
                    round_trip(t, path);
                    files++;
                }
            }
        }
        ffai__free(path);
    }
    closedir(open);
    return files;
}

static void the_repositorys_text_comes_back_byte_for_byte(void **state)
{
    (void)state;
    static const char *const folders[] = {"src", "include", "docs", "apps", "examples", "tools", "tests/unit", "cmake"};
    ffai_tokenizer *t = load_named("smollm2");
    size_t files = 0;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char *path = ffai__path_join(FFAI_SOURCE_DIR, folders[i]);
        files += round_trip_folder(t, path);
        ffai__free(path);
    }
    assert_true(files > 50);
    ffai_tokenizer_free(t);
}

static void what_is_no_utf8_comes_back_as_replacement_characters(void **state)
{
    (void)state;
    ffai_tokenizer *t = load_named("smollm2");
    int32_t *ids = NULL;
    size_t count = 0;
    size_t size = 0;
    assert_int_equal(ffai_tokenizer_encode(&ids, &count, t, "a\xFF\0b\xE2\x82", 6, NULL, NULL), FFAI_OK);
    char *text = decode(t, ids, count, false, &size);
    assert_int_equal(size, 9);
    assert_memory_equal(text, "a\xEF\xBF\xBD\0b\xEF\xBF\xBD", 9);
    ffai_free(text);
    ffai_free(ids);
    ffai_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_equal_the_whole_and_cost_is_linear),
        cmocka_unit_test(a_character_is_held_back_until_its_last_byte),
        cmocka_unit_test(special_tokens_are_left_out_where_asked),
        cmocka_unit_test(the_repositorys_text_comes_back_byte_for_byte),
        cmocka_unit_test(what_is_no_utf8_comes_back_as_replacement_characters),
    };
    return cmocka_run_group_tests_name("detokenizer", tests, NULL, NULL);
}
