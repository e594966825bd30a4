/* Templates that somebody made to do harm end within their budgets, and every budget ends cleanly. */
#include "fixtures.h"

static void expect_status(const char *source, ffai_status status)
{
    const ffai__jinja_input input = input_of(NULL, NULL);
    ffai_error err = FFAI_ERROR_INIT;
    char *text = render(source, &input, &err);
    if (text)
        fail_msg("%.100s renders %zu bytes", source, strlen(text));
    if (err.status != status)
        fail_msg("%.100s: %s", source, err.message);
}

/* `before` and `after` that many times, with `middle` between. */
static char *nested(const char *before, const char *middle, const char *after, int times)
{
    ffai__buffer out = FFAI__BUFFER_INIT;
    for (int i = 0; i < times; i++)
        ffai__buffer_text(&out, before);
    ffai__buffer_text(&out, middle);
    for (int i = 0; i < times; i++)
        ffai__buffer_text(&out, after);
    return ffai__buffer_take(&out, NULL);
}

static void what_never_ends_is_ended(void **state)
{
    (void)state;
    expect_status("{% for i in range(1000000000000) %}x{% endfor %}", FFAI_E_LIMIT);
    expect_status("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", FFAI_E_LIMIT);
    expect_status("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", FFAI_E_LIMIT);
    expect_status("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", FFAI_E_LIMIT);
    expect_status("{% macro a(x) %}{{ caller() }}{% endmacro %}"
                  "{% macro b() %}{% call a(1) %}{{ b() }}{% endcall %}{% endmacro %}{{ b() }}",
                  FFAI_E_LIMIT);
}

static void what_grows_without_end_is_ended(void **state)
{
    (void)state;
    expect_status("{{ 'x' * 1000000000000 }}", FFAI_E_LIMIT);
    expect_status("{{ [1] * 1000000000000 }}", FFAI_E_LIMIT);
    expect_status("{{ 'x'|center(1000000000000) }}", FFAI_E_LIMIT);
    expect_status("{{ 'x'.ljust(1000000000000) }}", FFAI_E_LIMIT);
    expect_status("{{ 'x'|indent(1000000000000, true) }}", FFAI_E_LIMIT);
    expect_status("{{ '%1000000000d' % 1 }}", FFAI_E_LIMIT);
    expect_status("{{ [1]|batch(1000000000000, 0) }}", FFAI_E_LIMIT);
    expect_status("{{ [1]|slice(1000000000000) }}", FFAI_E_LIMIT);
    expect_status("{% set ns = namespace(x='xxxxxxxxxxxxxxxx') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}"
                  "{% endfor %}",
                  FFAI_E_LIMIT);
    expect_status("{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
                  "{{ ns.x }}",
                  FFAI_E_LIMIT);
    expect_status("{% set x = 'ab' * 1000000 %}{% for i in range(99999) %}{{ x.replace('a', 'b')[:0] }}{% endfor %}",
                  FFAI_E_LIMIT);
}

static void what_nests_without_end_is_ended(void **state)
{
    (void)state;
    static const struct {
        const char *before, *middle, *after;
    } cases[] = {
        {"(", "1", ")"},    {"[", "1", "]"},           {"-", "1", ""},     {"not ", "1", ""},
        {"", "1", "|abs"},  {"", "1", "+1"},           {"", "x", ".a"},    {"", "x", "[0]"},
        {"", "1", " if 1"}, {"1 if 1 else ", "1", ""}, {"", "1", " or 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *expression = nested(cases[i].before, cases[i].middle, cases[i].after, 5000);
        char *source = ffai__format("{{ %s }}", expression);
        expect_status(source, FFAI_E_LIMIT);
        ffai__free(expression);
        ffai__free(source);
    }
    char *ifs = nested("{% if 1 %}", "x", "{% endif %}", 5000);
    char *fors = nested("{% for i in [1] %}", "x", "{% endfor %}", 5000);
    char *elifs = nested("", "{% if 0 %}", "{% elif 0 %}", 5000);
    expect_status(ifs, FFAI_E_LIMIT);
    expect_status(fors, FFAI_E_LIMIT);
    expect_status(elifs, FFAI_E_LIMIT);
    ffai__free(ifs);
    ffai__free(fors);
    ffai__free(elifs);
}

static void deep_data_is_refused(void **state)
{
    (void)state;
    char *text = nested("[", "1", "]", 1500);
    char *object = ffai__format("{\"x\": %s}", text);
    json_t *data = parse_json(object);
    const ffai__jinja_input input = input_of(NULL, data);
    ffai_error err = FFAI_ERROR_INIT;
    assert_null(render("{{ x }}", &input, &err));
    assert_int_equal(err.status, FFAI_E_LIMIT);
    json_decref(data);
    ffai__free(object);
    ffai__free(text);
}

/* Every step, and every byte up to what the template needs, is once the last. */
static void every_budget_ends_cleanly(void **state)
{
    (void)state;
    static const char source[] = "{% macro m(a, b=[1, 2]) %}{% for x in b %}{{ loop.index ~ a|upper }}{% endfor %}"
                                 "{% endmacro %}{% set ns = namespace(t='') %}{% for k, v in d|dictsort %}"
                                 "{% set ns.t = ns.t + m(k, v)|replace('A', 'bb') %}{% endfor %}"
                                 "{{ ns.t.split('b')|map('length')|sum }}{{ d|tojson(indent=2) }}{{ '%5d' % 3 }}";
    json_t *data = parse_json("{\"d\": {\"a\": [1, 2, 3], \"b\": [], \"c\": [{\"x\": null}]}}");
    ffai__jinja_template *parsed = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__jinja_parse(&parsed, source, strlen(source), "template", &err), FFAI_OK);
    for (int of_bytes = 0; of_bytes < 2; of_bytes++) {
        ffai_status status = FFAI_E_LIMIT;
        for (uint64_t budget = 1; status == FFAI_E_LIMIT; budget += of_bytes ? 16 : 1) {
            ffai__jinja_input input = input_of(NULL, data);
            ffai__jinja_output output = {.text = NULL};
            *(of_bytes ? &input.limits.bytes : &input.limits.steps) = budget;
            status = ffai__jinja_render(&output, parsed, &input, &err);
            assert_true(budget < 1000000);
            assert_true((status == FFAI_OK) == (output.text != NULL));
            ffai__jinja_output_free(&output);
        }
        assert_int_equal(status, FFAI_OK);
    }
    ffai__jinja_free(parsed);
    json_decref(data);
}

static void long_conversations_fit(void **state)
{
    (void)state;
    json_t *messages = json_array();
    for (int i = 0; i < 5000; i++)
        json_array_append_new(messages, json_pack("{ssss}", "role", i % 2 ? "assistant" : "user", "content",
                                                  "a message of some length, as people write them"));
    json_t *data = json_pack("{so}", "messages", messages);
    const ffai__jinja_input input = input_of(NULL, data);
    ffai_error err = FFAI_ERROR_INIT;
    char *text =
        render("{% for m in messages %}<|{{ m.role }}|>{{ m['content']|trim + '\n' }}{% endfor %}", &input, &err);
    if (!text)
        fail_msg("%s", err.message);
    assert_int_equal(strlen(text), 2500 * (size_t)(8 + 13 + 2 * 47));
    ffai__free(text);
    json_decref(data);
}

/* Within a budget that a list of its characters would pass by far. */
static void the_ends_of_a_long_string_take_no_more_than_they_are(void **state)
{
    (void)state;
    enum { LENGTH = 100000 };
    ffai__buffer long_text = FFAI__BUFFER_INIT;
    ffai__buffer_text(&long_text, "\xC3\xA9");
    for (int i = 0; i < LENGTH; i++)
        ffai__buffer_text(&long_text, "x");
    ffai__buffer_text(&long_text, "\xE2\x82\xAC");
    json_t *data = json_pack("{ss}", "s", long_text.data);
    ffai__jinja_input input = input_of(NULL, data);
    ffai_error err = FFAI_ERROR_INIT;
    input.limits.bytes = 10 * LENGTH;
    char *text = render("{{ s|first }}{{ s|last }}{{ ''|first is defined }}", &input, &err);
    if (!text)
        fail_msg("%s", err.message);
    assert_string_equal(text, "\xC3\xA9\xE2\x82\xAC"
                              "False");
    ffai__free(text);
    assert_null(render("{{ s|list|length }}", &input, &err));
    json_decref(data);
    ffai__buffer_free(&long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_never_ends_is_ended),
        cmocka_unit_test(what_grows_without_end_is_ended),
        cmocka_unit_test(what_nests_without_end_is_ended),
        cmocka_unit_test(deep_data_is_refused),
        cmocka_unit_test(every_budget_ends_cleanly),
        cmocka_unit_test(long_conversations_fit),
        cmocka_unit_test(the_ends_of_a_long_string_take_no_more_than_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
