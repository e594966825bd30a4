/* What is compiled from a tokenizer.json gives the ids that the file itself gives, is made anew when that changes, and
 * nothing that happens to it is an error. */
// clang-format off
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ffai/ffai.h>

#include "alloc.h"
#include "buffer.h"
#include "file_map.h"
#include "tokenizer_file.h"

#define ORIGINAL FFAI_SOURCE_DIR "/tests/data/tokenizer/smollm2/tokenizer.json.xz"

static char folder[64], json_path[96], cache_path[96];

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void read_file(char **bytes, size_t *size, const char *path)
{
    assert_int_equal(ffai__file_read(bytes, size, path, 1 << 26, NULL), FFAI_OK);
}

/* The one file below the cache; false if there is none. */
static bool find_compiled(char path[512])
{
    char tokenizers[160];
    size_t found = 0;
    snprintf(tokenizers, sizeof tokenizers, "%s/ffai/tokenizers", cache_path);
    DIR *directory = opendir(tokenizers);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] != '.') {
            snprintf(path, 512, "%s/%s", tokenizers, entry->d_name);
            found++;
        }
    }
    if (directory)
        closedir(directory);
    assert_true(found <= 1);
    return found == 1;
}

static ffai_tokenizer *load(void)
{
    ffai_tokenizer *t = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__tokenizer_file_read(&t, json_path, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return t;
}

static void encode(int32_t **ids, size_t *count, const ffai_tokenizer *t, const char *text)
{
    assert_int_equal(ffai_tokenizer_encode(ids, count, t, text, strlen(text), NULL, NULL), FFAI_OK);
}

static void check_same_ids(const ffai_tokenizer *a, const ffai_tokenizer *b)
{
    static const char *const texts[] = {"",
                                        "Once upon a time",
                                        "<|im_start|>user\nHi<|im_end|>",
                                        "x = 12345;\n\n\ty++",
                                        "naïve 中文 🙂",
                                        "counterrevolutionaries don't"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int32_t *first = NULL, *second = NULL;
        size_t count = 0, count_2 = 0;
        encode(&first, &count, a, texts[i]);
        encode(&second, &count_2, b, texts[i]);
        assert_int_equal(count, count_2);
        assert_memory_equal(first, second, count * sizeof *first);
        ffai_free(first);
        ffai_free(second);
    }
}

static void check_same_tokens(const ffai_tokenizer *a, const ffai_tokenizer *b)
{
    assert_int_equal(ffai_tokenizer_vocab_size(a), ffai_tokenizer_vocab_size(b));
    for (int32_t id = 0; id < ffai_tokenizer_vocab_size(a); id++) {
        assert_string_equal(ffai_tokenizer_token(a, id), ffai_tokenizer_token(b, id));
        assert_int_equal(ffai_tokenizer_is_special(a, id), ffai_tokenizer_is_special(b, id));
    }
}

/* What the JSON itself gives. */
static ffai_tokenizer *load_json(void)
{
    setenv("FFAI_COMPILED_TOKENIZERS", "off", 1);
    ffai_tokenizer *t = load();
    setenv("FFAI_COMPILED_TOKENIZERS", "on", 1);
    return t;
}

static void check_load(void)
{
    ffai_tokenizer *expected = load_json();
    ffai_tokenizer *t = load();
    check_same_ids(expected, t);
    check_same_tokens(expected, t);
    ffai_tokenizer_free(t);
    ffai_tokenizer_free(expected);
}

static ino_t inode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

static void what_is_compiled_gives_the_same_ids_and_tokens(void **state)
{
    (void)state;
    char path[512];
    check_load();
    assert_true(find_compiled(path));
    const ino_t made = inode_of(path);
    check_load();
    assert_true(inode_of(path) == made); /* it was used, not made again */
}

static void a_damaged_one_is_made_anew(void **state)
{
    (void)state;
    char path[512];
    char *bytes = NULL, *made = NULL;
    size_t size = 0, made_size = 0;
    check_load();
    assert_true(find_compiled(path));
    read_file(&bytes, &size, path);
    const size_t places[] = {0, 9, 70, 130, 170, 400, 1000, size / 3, size / 2, size - 100};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        bytes[places[i]] ^= 4;
        write_file(path, bytes, size);
        bytes[places[i]] ^= 4;
        const ino_t damaged = inode_of(path);
        check_load();
        assert_true(inode_of(path) != damaged);
    }
    const size_t sizes[] = {0, 1, 100, 511, 512, size / 2, size - 64};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_file(path, bytes, sizes[i]);
        check_load();
        read_file(&made, &made_size, path);
        assert_int_equal(made_size, size);
        ffai__free(made);
    }
    ffai__free(bytes);
}

/* Two tokens change places in a file of the same size. */
static void another_tokenizer_in_its_place_is_read(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t size = 0;
    check_load();
    ffai_tokenizer *before = load();
    read_file(&bytes, &size, json_path);
    const int32_t a = ffai_tokenizer_find(before, "a"), b = ffai_tokenizer_find(before, "b");
    char *at_a = strstr(bytes, "\"a\":"), *at_b = strstr(bytes, "\"b\":");
    assert_true(a > 0 && b > 0 && at_a && at_b);
    at_a[1] = 'b';
    at_b[1] = 'a';
    write_file(json_path, bytes, size);
    check_load();
    ffai_tokenizer *after = load();
    assert_int_equal(ffai_tokenizer_find(after, "a"), b);
    assert_int_equal(ffai_tokenizer_find(after, "b"), a);
    at_a[1] = 'a';
    at_b[1] = 'b';
    write_file(json_path, bytes, size);
    check_load();
    ffai_tokenizer_free(before);
    ffai_tokenizer_free(after);
    ffai__free(bytes);
}

static void remove_compiled(void)
{
    char path[512];
    if (find_compiled(path))
        assert_int_equal(unlink(path), 0);
}

static void switched_off_nothing_is_written(void **state)
{
    (void)state;
    char path[512];
    remove_compiled();
    ffai_tokenizer_free(load_json());
    assert_false(find_compiled(path));
}

static void a_word_that_is_neither_on_nor_off_is_an_error(void **state)
{
    (void)state;
    ffai_tokenizer *t = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    setenv("FFAI_COMPILED_TOKENIZERS", "perhaps", 1);
    assert_int_equal(ffai__tokenizer_file_read(&t, json_path, &err), FFAI_E_ARGUMENT);
    assert_string_equal(err.message, "FFAI_COMPILED_TOKENIZERS: \"perhaps\" is neither on nor off");
    setenv("FFAI_COMPILED_TOKENIZERS", "on", 1);
}

static void a_cache_that_cannot_be_written_is_no_error(void **state)
{
    (void)state;
    char path[512];
    remove_compiled();
    setenv("XDG_CACHE_HOME", json_path, 1); /* a file */
    check_load();
    setenv("XDG_CACHE_HOME", cache_path, 1);
    assert_false(find_compiled(path));
}

static int set_up(void **state)
{
    (void)state;
    char command[512];
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/ffai-tokenizer-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    snprintf(json_path, sizeof json_path, "%s/tokenizer.json", folder);
    snprintf(cache_path, sizeof cache_path, "%s/cache", folder);
    snprintf(command, sizeof command, "xz -dc '%s' > '%s'", ORIGINAL, json_path);
    if (system(command) != 0) // NOLINT(cert-env33-c): the command is ours
        return 1;
    return setenv("XDG_CACHE_HOME", cache_path, 1) || setenv("FFAI_COMPILED_TOKENIZERS", "on", 1);
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command); // NOLINT(cert-env33-c): the command is ours
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_compiled_gives_the_same_ids_and_tokens),
        cmocka_unit_test(a_damaged_one_is_made_anew),
        cmocka_unit_test(another_tokenizer_in_its_place_is_read),
        cmocka_unit_test(switched_off_nothing_is_written),
        cmocka_unit_test(a_word_that_is_neither_on_nor_off_is_an_error),
        cmocka_unit_test(a_cache_that_cannot_be_written_is_no_error),
    };
    return cmocka_run_group_tests_name("tokenizer file", tests, set_up, tear_down);
}
