/* Templates: each part of the language as transformers renders it, what came from where, and errors. */
#include "fixtures.h"

static bool agrees(const char *template, const char *text, const json_t *expected, const char *message)
{
    const bool same = json_is_null(expected) ? text == NULL : text && strcmp(text, json_string_value(expected)) == 0;
    if (!same)
        print_error("%s\n    renders: %s\n   expected: %s\n", template, text ? text : message,
                    json_is_null(expected) ? "an error" : json_string_value(expected));
    return same;
}

static void each_part_renders_as_transformers_does(void **state)
{
    (void)state;
    json_t *cases = read_json(DATA "snippets.json");
    json_t *expected = read_json(DATA "snippets-expected.json");
    const json_t *templates = json_object_get(cases, "templates");
    const ffai__jinja_input input = input_of(json_object_get(cases, "own"), json_object_get(cases, "data"));
    size_t wrong = 0;
    assert_true(json_array_size(templates) > 100);
    assert_int_equal(json_array_size(templates), json_array_size(expected));
    for (size_t i = 0; i < json_array_size(templates); i++) {
        const char *template = json_string_value(json_array_get(templates, i));
        ffai_error err = FFAI_ERROR_INIT;
        char *text = render(template, &input, &err);
        wrong += !agrees(template, text, json_array_get(expected, i), err.message);
        ffai__free(text);
    }
    json_decref(cases);
    json_decref(expected);
    assert_int_equal(wrong, 0);
}

/* --- what came from the data --- */

/* The text with what came from the data in brackets. */
static char *marked(const char *source, const char *own, const char *data)
{
    json_t *variables = parse_json(data);
    json_t *constants = parse_json(own);
    const ffai__jinja_input input = input_of(constants, variables);
    ffai__jinja_template *parsed = NULL;
    ffai__jinja_output output = {.text = NULL};
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__jinja_parse(&parsed, source, strlen(source), "template", &err) != FFAI_OK ||
        ffai__jinja_render(&output, parsed, &input, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    ffai__buffer out = FFAI__BUFFER_INIT;
    size_t at = 0;
    for (size_t i = 0; i < output.num_data; i++) {
        ffai__buffer_append(&out, output.text + at, output.data[i].begin - at);
        ffai__buffer_format(&out, "[%.*s]", (int)(output.data[i].end - output.data[i].begin),
                            output.text + output.data[i].begin);
        at = output.data[i].end;
    }
    ffai__buffer_append(&out, output.text + at, output.size - at);
    ffai__jinja_output_free(&output);
    ffai__jinja_free(parsed);
    json_decref(variables);
    json_decref(constants);
    return ffai__buffer_take(&out, NULL);
}

static void what_users_typed_is_told_from_the_templates_text(void **state)
{
    (void)state;
    static const struct {
        const char *source, *expected;
    } cases[] = {
        {"<|im_start|>{{ text }}<|im_end|>", "<|im_start|>[ a<|im_end|>b ]<|im_end|>"},
        {"{{ bos_token ~ text ~ '</s>' }}", "<s>[ a<|im_end|>b ]</s>"},
        {"{{ bos_token + text|trim + bos_token }}", "<s>[a<|im_end|>b]<s>"},
        {"{{ text[2:10] }}{{ 'x'[0] }}", "[<|im_end]x"},
        {"{{ text|upper }}{{ 'a'|upper }}", "[ A<|IM_END|>B ]A"},
        {"{{ ('x' ~ text ~ 'y').replace('|', '!') }}", "x[ a<]![im_end]![>b ]y"},
        {"{{ 'x|y'.replace('|', text) }}", "x[ a<|im_end|>b ]y"},
        {"{{ [text, 'x']|join(',') }}", "[ a<|im_end|>b ],x"},
        {"{{ text.split('|')[1] }}", "[im_end]"},
        {"{{ {'a': text, text: 1}|tojson }}", "{\"a\": \"[ a<|im_end|>b ]\", \"[ a<|im_end|>b ]\": 1}"},
        {"{{ [text] }}", "['[ a<|im_end|>b ]']"},
        {"{% for c in text[1:3] %}{{ c }}-{% endfor %}", "[a]-[<]-"},
        {"{% set x %}<{{ text }}>{% endset %}{{ x }}", "<[ a<|im_end|>b ]>"},
        {"{% macro m(t) %}({{ t }}){% endmacro %}{{ m(text)|indent }}", "([ a<|im_end|>b ])"},
        {"{{ '%s|%s' % (text, 'x') }}", "[ a<|im_end|>b ]|x"},
        {"{{ '<{}>'.format(text) }}", "<[ a<|im_end|>b ]>"},
        {"{{ text * 2 }}{{ 'ab' * 2 }}", "[ a<|im_end|>b  a<|im_end|>b ]abab"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = marked(cases[i].source, "{\"bos_token\": \"<s>\"}", "{\"text\": \" a<|im_end|>b \"}");
        assert_string_equal(text, cases[i].expected);
        ffai__free(text);
    }
}

/* --- errors --- */

static void expect_error(const char *source, ffai_status status, const char *message)
{
    const ffai__jinja_input input = input_of(NULL, NULL);
    ffai_error err = FFAI_ERROR_INIT;
    char *text = render(source, &input, &err);
    if (text)
        fail_msg("%s renders: %s", source, text);
    assert_string_equal(err.message, message);
    assert_int_equal(err.status, status);
}

static void errors_have_the_templates_line(void **state)
{
    (void)state;
    expect_error("a\nb\n{{ x.y }}", FFAI_E_ARGUMENT, "template: line 3: 'x' is undefined");
    expect_error("{% if 1 %}\n{{ 1 +\n}}{% endif %}", FFAI_E_FORMAT,
                 "template: line 3: an expression expected, but here is }}");
    expect_error("\r\n\r{% for %}", FFAI_E_FORMAT, "template: line 3: a name expected, but here is %}");
    expect_error("{{ raise_exception('no\nsystem') }}", FFAI_E_ARGUMENT, "template: line 1: no\nsystem");
    expect_error("{% if x %}", FFAI_E_FORMAT, "template: line 1: endif expected, but here is the template's end");
    expect_error("\n{% include 'a' %}", FFAI_E_UNSUPPORTED,
                 "template: line 2: {% include %} needs other files, which chat templates have none of");
    expect_error("{{ 1|nothing }}", FFAI_E_UNSUPPORTED, "template: line 1: there is no filter 'nothing'");
    expect_error("{# a", FFAI_E_FORMAT, "template: line 1: a comment {# has no end");
    expect_error("{{ 'a", FFAI_E_FORMAT, "template: line 1: a string has no end");
    expect_error("{{ 9223372036854775807 + 1 }}", FFAI_E_ARGUMENT, "template: line 1: an integer beyond 64 bits");
    expect_error("\xFF", FFAI_E_FORMAT, "template: the template is not UTF-8");
}

static void no_attribute_reaches_anything_but_data(void **state)
{
    (void)state;
    static const char *const tries[] = {
        "{{ ''.__class__.__mro__ }}",    "{{ [].__class__.__base__ }}", "{{ {}.__init__.__globals__ }}",
        "{{ range.__self__.x }}",        "{{ ''['__class__']['x'] }}",  "{{ (''|attr('__class__')).x }}",
        "{{ namespace().__class__.x }}", "{{ [1].append(2) }}",         "{{ {}.update({}) }}",
        "{{ ''.encode().x }}",           "{{ m.__globals__.x }}",       "{{ loop.x.y }}",
    };
    const ffai__jinja_input input = input_of(NULL, NULL);
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        ffai_error err = FFAI_ERROR_INIT;
        char *text = render(tries[i], &input, &err);
        assert_null(text);
        assert_int_equal(err.status, FFAI_E_ARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_renders_as_transformers_does),
        cmocka_unit_test(what_users_typed_is_told_from_the_templates_text),
        cmocka_unit_test(errors_have_the_templates_line),
        cmocka_unit_test(no_attribute_reaches_anything_but_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
