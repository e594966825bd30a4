/* Broken and hostile files and texts: the right error, no fault, and no endless work. */
#include "fixtures.h"

#include <time.h>

#define VOCAB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<unk>\":3}"
#define MODEL "\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a b\"]}"

static ffai_tokenizer *load(const char *json)
{
    ffai_tokenizer *t = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__tokenizer_parse(&t, json, strlen(json), NULL, "test", &err) != FFAI_OK)
        fail_msg("%s\n%s", json, err.message);
    return t;
}

/* The file must be refused with this status and a message that has these words. */
static void refused(const char *json, ffai_status status, const char *words)
{
    ffai_tokenizer *t = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_status got = ffai__tokenizer_parse(&t, json, strlen(json), NULL, "test", &err);
    if (got != status || !strstr(err.message, words))
        fail_msg("%s\n  gives status %d, \"%s\"; expected %d, \"%s\"", json, (int)got, err.message, (int)status, words);
    assert_null(t);
}

static void a_component_of_an_unknown_type_is_named_with_its_place(void **state)
{
    (void)state;
    refused(
        "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"},{\"type\":\"Foo\"}]}," MODEL
        "}",
        FFAI_E_UNSUPPORTED, "test: pre_tokenizer.pretokenizers[1]: unsupported type \"Foo\"");
    refused("{\"normalizer\":{\"type\":\"Precompiled\"}," MODEL "}", FFAI_E_UNSUPPORTED,
            "normalizer: unsupported type");
    refused("{\"decoder\":{\"type\":\"CTC\"}," MODEL "}", FFAI_E_UNSUPPORTED, "decoder: unsupported type");
    refused("{\"post_processor\":{\"type\":\"X\"}," MODEL "}", FFAI_E_UNSUPPORTED, "post_processor: unsupported type");
    refused("{\"model\":{\"type\":\"Unigram\"}}", FFAI_E_UNSUPPORTED, "model: unsupported type \"Unigram\"");
    refused("{\"decoder\":{}," MODEL "}", FFAI_E_FORMAT, "has no \"type\"");
    refused("{\"version\":\"2.0\"," MODEL "}", FFAI_E_UNSUPPORTED, "version");
}

static void a_file_that_is_no_tokenizer_is_refused(void **state)
{
    (void)state;
    refused("", FFAI_E_FORMAT, "test");
    refused("[]", FFAI_E_FORMAT, "must be an object");
    refused("{}", FFAI_E_FORMAT, "model");
    refused("{\"model\":{\"type\":\"BPE\"}}", FFAI_E_FORMAT, "vocab");
    refused("{\"model\":{\"type\":\"BPE\"," VOCAB "}}", FFAI_E_FORMAT, "merges");
    refused("{\"added_tokens\":{}," MODEL "}", FFAI_E_FORMAT, "added_tokens");
    refused("{\"added_tokens\":[{\"id\":4}]," MODEL "}", FFAI_E_FORMAT, "content");
    refused("{\"added_tokens\":[{\"content\":\"x\",\"lstrip\":3}]," MODEL "}", FFAI_E_FORMAT, "lstrip");
}

static void hostile_ids_are_refused(void **state)
{
    (void)state;
    static const char *const ids[] = {"-1", "1.5", "\"1\"", "null", "1e300", "[0]"};
    char json[256];
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        snprintf(json, sizeof json, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":%s},\"merges\":[]}}", ids[i]);
        refused(json, FFAI_E_FORMAT, "\"a\"");
    }
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":16777216},\"merges\":[]}}", FFAI_E_LIMIT, "too large");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":16777215},\"merges\":[]}}", FFAI_E_LIMIT, "too large");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":4294967296},\"merges\":[]}}", FFAI_E_LIMIT, "too large");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":7,\"b\":7},\"merges\":[]}}", FFAI_E_FORMAT, "same id 7");
}

static void merges_must_name_known_tokens(void **state)
{
    (void)state;
#define MERGES(list) "{\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[" list "]}}"
    refused(MERGES("\"a c\""), FFAI_E_FORMAT, "\"c\" is not in the vocabulary");
    refused(MERGES("\"b a\""), FFAI_E_FORMAT, "\"ba\" is not in the vocabulary");
    refused(MERGES("\"a b\",\"ab\""), FFAI_E_FORMAT, "merges[1]: must be two tokens");
    refused(MERGES("\"a b a\""), FFAI_E_FORMAT, "merges[0]");
    refused(MERGES("[\"a\"]"), FFAI_E_FORMAT, "merges[0]");
    refused(MERGES("[\"a\",1]"), FFAI_E_FORMAT, "merges[0]");
    refused(MERGES("3"), FFAI_E_FORMAT, "merges[0]");
    refused("{\"model\":{\"type\":\"BPE\",\"dropout\":0.1," VOCAB ",\"merges\":[]}}", FFAI_E_UNSUPPORTED, "dropout");
    ffai_tokenizer_free(load(MERGES("\"#version: 0.2\",\"a b\"")));
}

#define APART "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}"

/* The tokenizer of vocabulary a, b, (none), ab, fifth with one merge; the error's message where it is refused. */
static ffai_tokenizer *load_lists(const char *fifth, const char *merge, ffai_error *err)
{
    ffai__text tokens[] = {{"a", 1}, {"b", 1}, {NULL, 0}, {"ab", 2}, {fifth, strlen(fifth)}};
    ffai__text merges[] = {{merge, strlen(merge)}};
    const ffai__tokenizer_lists lists = {tokens, 5, merges, 1, NULL};
    ffai_tokenizer *t = NULL;
    ffai__tokenizer_parse(&t, APART, strlen(APART), &lists, "test", err);
    return t;
}

static void refused_lists(const char *fifth, const char *merge, const char *words)
{
    ffai_error err = FFAI_ERROR_INIT;
    assert_null(load_lists(fifth, merge, &err));
    assert_int_equal(err.status, FFAI_E_FORMAT);
    if (!strstr(err.message, words))
        fail_msg("\"%s\", not \"%s\"", err.message, words);
}

static void lists_beside_the_json_are_checked_as_it_is(void **state)
{
    (void)state;
    refused_lists("a", "a b", "test: model: vocab: tokens 0 and 4 are both \"a\"");
    refused_lists("c", "a d", "merges[0]: token \"d\" is not in the vocabulary");
    refused_lists("c", "b a", "\"ba\" is not in the vocabulary");
    refused_lists("c", "ab", "merges[0]: must be two tokens");
    refused_lists("c", "", "merges[0]: must be two tokens");
    ffai_error err = FFAI_ERROR_INIT;
    ffai_tokenizer *t = load_lists("c", "a b", &err);
    assert_non_null(t);
    int32_t *ids = NULL;
    size_t count = 0;
    assert_int_equal(ffai_tokenizer_encode(&ids, &count, t, "abc", 3, NULL, &err), FFAI_OK);
    assert_int_equal(count, 2);
    assert_int_equal(ids[0], 3);
    assert_int_equal(ids[1], 4);
    assert_null(ffai_tokenizer_token(t, 2));
    ffai_free(ids);
    ffai_tokenizer_free(t);
}

static void endless_nesting_is_refused(void **state)
{
    (void)state;
    ffai__buffer json = FFAI__BUFFER_INIT;
    ffai__buffer_text(&json, "{\"normalizer\":");
    for (int i = 0; i < 100; i++)
        ffai__buffer_text(&json, "{\"type\":\"Sequence\",\"normalizers\":[");
    ffai__buffer_text(&json, "{\"type\":\"NFC\"}");
    for (int i = 0; i < 100; i++)
        ffai__buffer_text(&json, "]}");
    ffai__buffer_text(&json, "," MODEL "}");
    refused(json.data, FFAI_E_LIMIT, "Sequences in each other");
    ffai__buffer_free(&json);
}

static char *with_regex(const char *regex)
{
    char *json = ffai__format("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},\"behavior\":"
                              "\"Isolated\",\"invert\":false}," MODEL "}",
                              regex);
    assert_non_null(json);
    return json;
}

static void a_regex_that_cannot_be_read_is_an_error_and_no_guess(void **state)
{
    (void)state;
    static const char *const regexes[] = {
        "(",          ")",        "[",       "[]",       "a{2}{3}**",  "\\\\G",         "\\\\K",
        "(?~x)",      "\\\\g<1>", "(?x) a",  "a(?i)b",   "\\\\p{Foo}", "\\\\p{",        "[b-a]",
        "\\\\",       "(?<a",     "(?(1)a)", "\\\\xFF",  "\\\\uD800",  "\\\\x{110000}", "(*ACCEPT)",
        "[[:alpha:]", "\\\\X",    "(?#",     "(?P<n>a)", "\\\\C",      "[a&&"};
    for (size_t i = 0; i < sizeof regexes / sizeof regexes[0]; i++) {
        char *json = with_regex(regexes[i]);
        ffai_tokenizer *t = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        const ffai_status status = ffai__tokenizer_parse(&t, json, strlen(json), NULL, "test", &err);
        if (status != FFAI_E_FORMAT && status != FFAI_E_UNSUPPORTED)
            fail_msg("%s gives status %d", regexes[i], (int)status);
        assert_non_null(strstr(err.message, "pre_tokenizer: regular expression"));
        ffai__free(json);
    }
}

static ffai_status encode(const ffai_tokenizer *t, const char *text, size_t size, size_t *count)
{
    int32_t *ids = NULL;
    const ffai_encode_options options = FFAI_ENCODE_OPTIONS_INIT;
    const ffai_status status = ffai_tokenizer_encode(&ids, count, t, text, size, &options, NULL);
    if (status == FFAI_OK)
        ffai_free(ids);
    return status;
}

static char *run_of(const char *unit, size_t size)
{
    char *text = ffai__malloc(size);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++)
        text[i] = unit[i % strlen(unit)];
    return text;
}

static void a_catastrophic_regex_ends_in_a_limit(void **state)
{
    (void)state;
    static const char *const regexes[] = {"(a+)+c", "(a|aa)+c", "(a*)*(a*)*c", "(?:a?){30}a{30}c",
                                          "(.*)(.*)(.*)(.*)[^a]"};
    char *text = run_of("a", 5000);
    for (size_t i = 0; i < sizeof regexes / sizeof regexes[0]; i++) {
        char *json = with_regex(regexes[i]);
        ffai_tokenizer *t = load(json);
        const time_t start = time(NULL);
        size_t count = 0;
        const ffai_status status = encode(t, text, 5000, &count);
        assert_true(status == FFAI_OK || status == FFAI_E_LIMIT);
        assert_true(time(NULL) - start < 60);
        ffai_tokenizer_free(t);
        ffai__free(json);
    }
    ffai__free(text);
}

static void steps_that_blow_the_text_up_end_in_a_limit(void **state)
{
    (void)state;
    ffai__buffer json = FFAI__BUFFER_INIT;
    ffai__buffer_text(&json, "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (int i = 0; i < 60; i++)
        ffai__buffer_format(&json, "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaaaaaa\"}",
                            i ? "," : "");
    ffai__buffer_text(&json, "]}," MODEL "}");
    ffai_tokenizer *t = load(json.data);
    size_t count = 0;
    assert_int_equal(encode(t, "a", 1, &count), FFAI_E_LIMIT);
    ffai_tokenizer_free(t);
    ffai__buffer_free(&json);
}

/* A word without boundaries must not take quadratic time: a million bytes are done at once. */
static void a_word_of_a_million_bytes_takes_no_time_worth_mentioning(void **state)
{
    (void)state;
    static const char *const units[] = {"a", "ab", "aab", "ba"};
    ffai_tokenizer *t = load("{" MODEL "}");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        char *text = run_of(units[i], 1000000);
        const clock_t start = clock();
        size_t count = 0;
        assert_int_equal(encode(t, text, 1000000, &count), FFAI_OK);
        assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 10); /* 0.1 s, but sanitizers are slow */
        ffai__free(text);
    }
    ffai_tokenizer_free(t);
}

/* Added tokens that nearly match everywhere, and endless combining marks, are linear as well. */
static void near_matches_of_added_tokens_and_marks_are_linear(void **state)
{
    (void)state;
    char *long_token = run_of("a", 100001);
    long_token[100000] = 0;
    char *json = ffai__format("{\"added_tokens\":[{\"content\":\"%sb\",\"normalized\":false}],\"normalizer\":{\"type\":"
                              "\"NFC\"}," MODEL "}",
                              long_token);
    ffai_tokenizer *t = load(json);
    char *text = run_of("a", 1000000);
    char *marks = run_of("\xCC\x81\xCC\xA3", 1000000);
    const clock_t start = clock();
    size_t count = 0;
    assert_int_equal(encode(t, text, 1000000, &count), FFAI_OK);
    assert_int_equal(encode(t, marks, 1000000, &count), FFAI_OK);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 20);
    ffai_tokenizer_free(t);
    ffai__free(json);
    ffai__free(long_token);
    ffai__free(text);
    ffai__free(marks);
}

static void an_unknown_id_is_an_error_with_its_index(void **state)
{
    (void)state;
    static const int32_t bad[] = {4, -1, INT32_MIN, INT32_MAX};
    ffai_tokenizer *t = load("{" MODEL "}");
    ffai_detokenizer *d = NULL;
    assert_int_equal(ffai_detokenizer_create(&d, t, false, NULL), FFAI_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const int32_t ids[] = {0, 1, bad[i]};
        char *text = NULL;
        const char *piece = NULL;
        size_t size = 0;
        ffai_error err = FFAI_ERROR_INIT;
        assert_int_equal(ffai_tokenizer_decode(&text, &size, t, ids, 3, false, &err), FFAI_E_ARGUMENT);
        assert_non_null(strstr(err.message, "ids: entry 3: "));
        assert_int_equal(ffai_detokenizer_push(&piece, &size, d, bad[i], &err), FFAI_E_ARGUMENT);
        assert_null(ffai_tokenizer_token(t, bad[i]));
        assert_false(ffai_tokenizer_is_special(t, bad[i]));
    }
    ffai_detokenizer_free(d);
    ffai_tokenizer_free(t);
}

static void a_template_that_adds_unknown_ids_is_refused(void **state)
{
    (void)state;
#define TEMPLATE(ids, single)                                                                                          \
    "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"pair\":[],\"special_tokens\":"     \
    "{\"s\":{\"id\":\"s\",\"ids\":" ids ",\"tokens\":[]}}}," MODEL "}"
    refused(TEMPLATE("[99]", "{\"SpecialToken\":{\"id\":\"s\"}}"), FFAI_E_FORMAT, "99");
    refused(TEMPLATE("[-5]", "{\"SpecialToken\":{\"id\":\"s\"}}"), FFAI_E_FORMAT, "-5");
    refused(TEMPLATE("[1]", "{\"SpecialToken\":{\"id\":\"t\"}}"), FFAI_E_FORMAT, "lacks \"t\"");
    refused(TEMPLATE("[1]", "{\"Sequence\":{\"id\":\"B\"}}"), FFAI_E_FORMAT, "single[0]");
    refused(TEMPLATE("[1]", "{}"), FFAI_E_FORMAT, "single[0]");
}

static void a_missing_unknown_token_fails_only_where_it_is_needed(void **state)
{
    (void)state;
    ffai_tokenizer *t = load("{\"model\":{\"type\":\"BPE\",\"unk_token\":\"[UNK]\"," VOCAB ",\"merges\":[]}}");
    size_t count = 0;
    assert_int_equal(encode(t, "ab", 2, &count), FFAI_OK);
    assert_int_equal(count, 2);
    assert_int_equal(encode(t, "axb", 3, &count), FFAI_E_FORMAT);
    ffai_tokenizer_free(t);
}

/* What is no UTF-8 counts as U+FFFD for each maximal subpart, as in Python. */
static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size, replaced;
    } cases[] = {{"\xFF", 1, 1},
                 {"\xE2\x82", 2, 1},
                 {"\xE2\x82\xFF", 3, 2},
                 {"\xED\xA0\x80", 3, 3},
                 {"\xF0\x9F\x98", 3, 1},
                 {"\xC0\x80", 2, 2},
                 {"\xF4\x90\x80\x80", 4, 4},
                 {"\x80\x80", 2, 2},
                 {"\xF0\x9F\xE2\x82", 4, 2},
                 {"\xE2", 1, 1}};
    ffai_tokenizer *t = load("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xEF\xBF\xBD\":0},\"merges\":[]}}");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t count = 0;
        assert_int_equal(encode(t, cases[i].bytes, cases[i].size, &count), FFAI_OK);
        assert_int_equal(count, cases[i].replaced);
    }
    ffai_tokenizer_free(t);
}

static void an_empty_text_gives_an_array_of_no_ids(void **state)
{
    (void)state;
    ffai_tokenizer *t = load("{" MODEL "}");
    int32_t *ids = NULL;
    size_t count = 7;
    assert_int_equal(ffai_tokenizer_encode(&ids, &count, t, NULL, 0, NULL, NULL), FFAI_OK);
    assert_non_null(ids);
    assert_int_equal(count, 0);
    ffai_free(ids);
    char *text = NULL;
    assert_int_equal(ffai_tokenizer_decode(&text, &count, t, NULL, 0, false, NULL), FFAI_OK);
    assert_string_equal(text, "");
    ffai_free(text);
    ffai_tokenizer_free(t);
}

static void added_tokens_get_the_ids_that_hugging_face_gives(void **state)
{
    (void)state;
    ffai_tokenizer *t =
        load("{\"added_tokens\":[{\"id\":10,\"content\":\"<x>\"},{\"id\":20,\"content\":\"<y>\",\"special\":"
             "true},{\"id\":9,\"content\":\"b\"},{\"id\":5,\"content\":\"\"}]," MODEL "}");
    assert_int_equal(ffai_tokenizer_find(t, "<x>"), 4);
    assert_int_equal(ffai_tokenizer_find(t, "<y>"), 5);
    assert_int_equal(ffai_tokenizer_find(t, "b"), 1);
    assert_int_equal(ffai_tokenizer_find(t, "ab"), 2);
    assert_int_equal(ffai_tokenizer_find(t, "nothing"), -1);
    assert_int_equal(ffai_tokenizer_vocab_size(t), 6);
    assert_string_equal(ffai_tokenizer_token(t, 5), "<y>");
    assert_true(ffai_tokenizer_is_special(t, 5));
    assert_false(ffai_tokenizer_is_special(t, 4));
    ffai_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_component_of_an_unknown_type_is_named_with_its_place),
        cmocka_unit_test(a_file_that_is_no_tokenizer_is_refused),
        cmocka_unit_test(hostile_ids_are_refused),
        cmocka_unit_test(merges_must_name_known_tokens),
        cmocka_unit_test(lists_beside_the_json_are_checked_as_it_is),
        cmocka_unit_test(endless_nesting_is_refused),
        cmocka_unit_test(a_regex_that_cannot_be_read_is_an_error_and_no_guess),
        cmocka_unit_test(a_catastrophic_regex_ends_in_a_limit),
        cmocka_unit_test(steps_that_blow_the_text_up_end_in_a_limit),
        cmocka_unit_test(a_word_of_a_million_bytes_takes_no_time_worth_mentioning),
        cmocka_unit_test(near_matches_of_added_tokens_and_marks_are_linear),
        cmocka_unit_test(an_unknown_id_is_an_error_with_its_index),
        cmocka_unit_test(a_template_that_adds_unknown_ids_is_refused),
        cmocka_unit_test(a_missing_unknown_token_fails_only_where_it_is_needed),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(an_empty_text_gives_an_array_of_no_ids),
        cmocka_unit_test(added_tokens_get_the_ids_that_hugging_face_gives),
    };
    return cmocka_run_group_tests_name("hostile tokenizers", tests, NULL, NULL);
}
