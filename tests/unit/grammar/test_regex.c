/* Regular expressions, by the verdicts of Python's re: tests/data/grammar/regex.json, tools/make-regex-cases.py. */
#include "grammars.h"

#include "json.h"

static json_t *cases;

static int read_cases(void **state)
{
    (void)state;
    return ffai__json_read(&cases, FFAI_SOURCE_DIR "/tests/data/grammar/regex.json", 1 << 20, NULL) != FFAI_OK;
}

static int free_cases(void **state)
{
    (void)state;
    json_decref(cases);
    return 0;
}

static void check_texts(const ffai_grammar *grammar, const char *pattern, const json_t *texts, bool expected)
{
    size_t i = 0;
    const json_t *text = NULL;
    json_array_foreach(texts, i, text)
        check_match(grammar, pattern, json_string_value(text), json_string_length(text), expected);
}

static void texts_match_as_python_says(void **state)
{
    (void)state;
    size_t i = 0;
    size_t matched = 0;
    const json_t *one = NULL;
    json_array_foreach(cases, i, one)
    {
        const json_t *pattern = json_object_get(one, "pattern");
        if (json_object_get(one, "refused"))
            continue;
        ffai_grammar *grammar = compile(FFAI_GRAMMAR_REGEX, json_string_value(pattern), json_string_length(pattern));
        check_texts(grammar, json_string_value(pattern), json_object_get(one, "matches"), true);
        check_texts(grammar, json_string_value(pattern), json_object_get(one, "others"), false);
        matched += json_array_size(json_object_get(one, "matches"));
        ffai_grammar_free(grammar);
    }
    assert_true(matched > 60);
}

static void what_is_malformed_or_not_regular_is_refused(void **state)
{
    (void)state;
    size_t i = 0;
    const json_t *one = NULL;
    json_array_foreach(cases, i, one)
    {
        const char *pattern = json_string_value(json_object_get(one, "pattern"));
        ffai_grammar *grammar = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        if (!json_object_get(one, "refused"))
            continue;
        const ffai_status status = ffai_grammar_compile(&grammar, FFAI_GRAMMAR_REGEX, pattern, strlen(pattern), &err);
        if (status != FFAI_E_FORMAT && status != FFAI_E_UNSUPPORTED)
            fail_msg("%s: status %d", pattern, (int)status);
        if (!strstr(err.message, "regex: offset "))
            fail_msg("%s: %s", pattern, err.message);
    }
}

static void refusals_say_what_and_where(void **state)
{
    (void)state;
    check_refused(FFAI_GRAMMAR_REGEX, "ab(?=c)", FFAI_E_UNSUPPORTED, "offset 2: looking ahead or behind");
    check_refused(FFAI_GRAMMAR_REGEX, "(a)\\1", FFAI_E_UNSUPPORTED, "offset 3: a reference back");
    check_refused(FFAI_GRAMMAR_REGEX, "a\\b", FFAI_E_UNSUPPORTED, "offset 1: a word boundary");
    check_refused(FFAI_GRAMMAR_REGEX, "x[a", FFAI_E_FORMAT, "offset 1: a class that does not end");
}

static void hostile_patterns_meet_a_budget(void **state)
{
    (void)state;
    char deep[200];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    check_refused(FFAI_GRAMMAR_REGEX, deep, FFAI_E_LIMIT, "groups more than");
    check_refused(FFAI_GRAMMAR_REGEX, "((((a{999}){999}){999}){999}){999}", FFAI_E_LIMIT, "states");
    check_refused(FFAI_GRAMMAR_REGEX, "a{99999999999999999999}", FFAI_E_LIMIT, "states");
    check_matches(FFAI_GRAMMAR_REGEX, "(a|a|aa)*(a|b)*c", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_match_as_python_says),
        cmocka_unit_test(what_is_malformed_or_not_regular_is_refused),
        cmocka_unit_test(refusals_say_what_and_where),
        cmocka_unit_test(hostile_patterns_meet_a_budget),
    };
    return cmocka_run_group_tests(tests, read_cases, free_cases);
}
