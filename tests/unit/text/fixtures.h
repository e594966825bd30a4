/* What the tokenizer's tests share: reading the committed cases, and the tokenizers beside the repository. */
#ifndef FFAI_TESTS_TEXT_FIXTURES_H
#define FFAI_TESTS_TEXT_FIXTURES_H

#define _POSIX_C_SOURCE 200809L /* popen; so this header comes first */

#include <ffai/tokenizer.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc.h"
#include "buffer.h"
#include "file_map.h"
#include "json.h"
#include "tokenizer.h"

#define DATA FFAI_SOURCE_DIR "/tests/data/tokenizer/"

/* The output of `xz -dc file`; false where the file is missing. */
static inline bool read_xz(ffai__buffer *out, const char *file)
{
    FILE *there = fopen(file, "rb");
    if (!there)
        return false;
    fclose(there);
    char *command = ffai__format("xz -dc '%s'", file);
    assert_non_null(command);
    FILE *pipe = popen(command, "r"); // NOLINT(cert-env33-c): the command is ours
    ffai__free(command);
    assert_non_null(pipe);
    char chunk[65536];
    for (size_t got = 0; (got = fread(chunk, 1, sizeof chunk, pipe)) > 0;)
        assert_true(ffai__buffer_append(out, chunk, got));
    assert_int_equal(pclose(pipe), 0);
    return true;
}

/* The tokenizer that is committed (smollm2) or lies beside the repository; NULL where it is missing. */
static inline ffai_tokenizer *load_named(const char *name)
{
    char path[1024];
    if (strcmp(name, "smollm2") == 0)
        snprintf(path, sizeof path, DATA "smollm2/tokenizer.json.xz");
    else
        snprintf(path, sizeof path, FFAI_SOURCE_DIR "/../shared/tokenizers/%s/tokenizer.json.xz", name);
    ffai__buffer bytes = FFAI__BUFFER_INIT;
    if (!read_xz(&bytes, path))
        return NULL;
    ffai_tokenizer *tokenizer = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__tokenizer_parse(&tokenizer, bytes.data, bytes.size, NULL, name, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    ffai__buffer_free(&bytes);
    return tokenizer;
}

static inline json_t *read_json(const char *file)
{
    json_t *root = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__json_read(&root, file, 64 << 20, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return root;
}

/* A case of cases.json: a string or a recipe. Free *text with ffai__free. */
static inline void case_text(char **text, size_t *size, const json_t *json)
{
    ffai__buffer out = FFAI__BUFFER_INIT;
    if (json_is_string(json)) {
        ffai__buffer_append(&out, json_string_value(json), json_string_length(json));
    } else {
        const json_t *recipe = json_object_get(json, "repeat");
        const json_t *unit = json_array_get(recipe, 0);
        ffai__buffer_text(&out, json_string_value(json_object_get(json, "before")));
        for (int i = 0; i < (int)json_number_value(json_array_get(recipe, 1)); i++)
            ffai__buffer_append(&out, json_string_value(unit), json_string_length(unit));
        ffai__buffer_text(&out, json_string_value(json_object_get(json, "after")));
    }
    *text = ffai__buffer_take(&out, size);
    assert_non_null(*text);
}

static inline uint64_t fnv_of(const int32_t *ids, size_t count)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < count; i++) {
        for (unsigned shift = 0; shift < 32; shift += 8)
            hash = (hash ^ ((uint32_t)ids[i] >> shift & 0xFF)) * 0x100000001B3u;
    }
    return hash;
}

/* Whether ids are the list, or have the count and hash that stand for a long one. */
static inline bool ids_equal(const int32_t *ids, size_t count, const json_t *expected)
{
    if (json_is_object(expected)) {
        char hash[32];
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)fnv_of(ids, count));
        return (size_t)json_number_value(json_object_get(expected, "count")) == count &&
               strcmp(hash, json_string_value(json_object_get(expected, "fnv"))) == 0;
    }
    if (json_array_size(expected) != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if ((int32_t)json_number_value(json_array_get(expected, i)) != ids[i])
            return false;
    }
    return true;
}

static inline void print_difference(const char *what, const char *text, size_t size, const int32_t *ids, size_t count,
                                    const json_t *expected)
{
    print_error("%s: \"%.*s\"\n  here:", what, size < 120 ? (int)size : 120, text);
    for (size_t i = 0; i < count && i < 40; i++)
        print_error(" %d", (int)ids[i]);
    char *dump = json_dumps(expected, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    print_error("\n  expected: %.400s\n", dump);
    free(dump);
}

/* Encode in one way; returns whether it agrees. */
static inline bool encodes_to(const ffai_tokenizer *t, const char *what, const char *text, size_t size,
                              ffai_encode_options options, const json_t *expected)
{
    int32_t *ids = NULL;
    size_t count = 0;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai_tokenizer_encode(&ids, &count, t, text, size, &options, &err) != FFAI_OK) {
        print_error("%s: %s\n", what, err.message);
        return false;
    }
    const bool same = ids_equal(ids, count, expected);
    if (!same)
        print_difference(what, text, size, ids, count, expected);
    ffai_free(ids);
    return same;
}

/* All three ways: with special tokens, without, and with none looked for. */
static inline bool agrees(const ffai_tokenizer *t, const char *what, const char *text, size_t size,
                          const json_t *expectation)
{
    const bool detailed = json_object_get(expectation, "ids") != NULL;
    const json_t *ids = detailed ? json_object_get(expectation, "ids") : expectation;
    const json_t *bare = detailed ? json_object_get(expectation, "bare") : NULL;
    const json_t *plain = detailed ? json_object_get(expectation, "plain") : NULL;
    bare = bare ? bare : ids;
    plain = plain ? plain : bare;
    return encodes_to(t, what, text, size, (ffai_encode_options){.add_special_tokens = true, .parse_special = true},
                      ids) &&
           encodes_to(t, what, text, size, (ffai_encode_options){.parse_special = true}, bare) &&
           encodes_to(t, what, text, size, (ffai_encode_options){.parse_special = false}, plain);
}

static inline char *decode(const ffai_tokenizer *t, const int32_t *ids, size_t count, bool skip, size_t *size)
{
    char *text = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai_tokenizer_decode(&text, size, t, ids, count, skip, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return text;
}

/* A small generator, the same everywhere. */
static inline uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

#endif
