/* JSON schemas, by the verdicts of Python's jsonschema: tests/data/grammar/schemas.json, tools/make-schema-cases.py. */
#include "grammars.h"

#include "json.h"

static json_t *cases;

static int read_cases(void **state)
{
    (void)state;
    return ffai__json_read(&cases, FFAI_SOURCE_DIR "/tests/data/grammar/schemas.json", 1 << 20, NULL) != FFAI_OK;
}

static int free_cases(void **state)
{
    (void)state;
    json_decref(cases);
    return 0;
}

static size_t check_texts(const ffai_grammar *grammar, const char *schema, const json_t *texts, bool expected)
{
    size_t i = 0;
    const json_t *text = NULL;
    json_array_foreach(texts, i, text)
        check_match(grammar, schema, json_string_value(text), json_string_length(text), expected);
    return i;
}

static void values_match_as_jsonschema_says(void **state)
{
    (void)state;
    size_t i = 0;
    size_t matched = 0;
    size_t unmatched = 0;
    const json_t *one = NULL;
    json_array_foreach(cases, i, one)
    {
        const char *schema = json_string_value(json_object_get(one, "schema"));
        if (json_object_get(one, "refused"))
            continue;
        ffai_grammar *grammar = compile(FFAI_GRAMMAR_JSON_SCHEMA, schema, strlen(schema));
        matched += check_texts(grammar, schema, json_object_get(one, "matches"), true);
        unmatched += check_texts(grammar, schema, json_object_get(one, "others"), false);
        ffai_grammar_free(grammar);
    }
    assert_true(matched > 80 && unmatched > 80);
}

static void what_cannot_be_enforced_is_refused_with_its_place(void **state)
{
    (void)state;
    size_t i = 0;
    const json_t *one = NULL;
    json_array_foreach(cases, i, one)
    {
        const char *schema = json_string_value(json_object_get(one, "schema"));
        const char *why = json_string_value(json_object_get(one, "refused"));
        ffai_grammar *grammar = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        if (!why)
            continue;
        if (ffai_grammar_compile(&grammar, FFAI_GRAMMAR_JSON_SCHEMA, schema, strlen(schema), &err) == FFAI_OK)
            fail_msg("%s: not refused", schema);
        if (!strstr(err.message, why))
            fail_msg("%s: %s", schema, err.message);
    }
}

/* The spelling: one for each value. */
static void other_spellings_are_not_matched(void **state)
{
    (void)state;
    static const char *const texts[] = {
        " 1",         "1 ",     "01", "-0",  "1e2",  "\"\\u0061\"", "\"\\/\"", "[1, 2]",
        "{\"a\": 1}", "\"\t\"", "",   "nul", "[1,]", "{\"a\"}",     "\xFF",    "\"\xED\xA0\x80\""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i], "1e2") != 0)
            check_matches(FFAI_GRAMMAR_JSON_SCHEMA, "true", texts[i], false);
    }
    check_matches(FFAI_GRAMMAR_JSON_SCHEMA, "{\"type\":\"integer\"}", "1e2", false);
    check_matches(FFAI_GRAMMAR_JSON_SCHEMA, "{\"minimum\":0}", "1e2", false);
    check_matches(FFAI_GRAMMAR_JSON_SCHEMA, "true", "\"\\u001f\\n\\\"\\\\\"", true);
    check_matches(FFAI_GRAMMAR_JSON_SCHEMA, "{\"const\":\"\\u001f\"}", "\"\\u001f\"", true);
}

static void a_double_keeps_to_the_bounds_too(void **state)
{
    (void)state;
    static const char schema[] = "{\"type\":\"number\",\"exclusiveMaximum\":1}";
    check_matches(FFAI_GRAMMAR_JSON_SCHEMA, schema, "0.99999999999999", true);
    check_matches(FFAI_GRAMMAR_JSON_SCHEMA, schema, "0.99999999999999999999", false); /* 1, as a double */
}

static void hostile_schemas_meet_a_budget(void **state)
{
    (void)state;
    char schema[4000] = "{\"allOf\":[";
    for (int i = 0; i < 16; i++)
        strcat(schema, "{\"anyOf\":[{\"minimum\":1},{\"maximum\":5},{\"minLength\":2}]},"); // NOLINT
    strcat(schema, "true]}");                                                               // NOLINT
    check_refused(FFAI_GRAMMAR_JSON_SCHEMA, schema, FFAI_E_LIMIT, "alternatives");
    check_refused(FFAI_GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\",\"pattern\":\"(a|b)*a(a|b){20}$\",\"minLength\":3}",
                  FFAI_E_LIMIT, "#/pattern");
    check_matches(FFAI_GRAMMAR_JSON_SCHEMA, "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/a\"}}}", "1",
                  true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_match_as_jsonschema_says),
        cmocka_unit_test(what_cannot_be_enforced_is_refused_with_its_place),
        cmocka_unit_test(other_spellings_are_not_matched),
        cmocka_unit_test(a_double_keeps_to_the_bounds_too),
        cmocka_unit_test(hostile_schemas_meet_a_budget),
    };
    return cmocka_run_group_tests(tests, read_cases, free_cases);
}
