/* JSON: what is refused, and getters whose errors name the file and the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"

static json_t *parse(const char *text)
{
    ffai_error err = FFAI_ERROR_INIT;
    json_t *root = NULL;
    assert_int_equal(ffai__json_parse(&root, text, strlen(text), "config.json", &err), FFAI_OK);
    return root;
}

static void assert_refused(const char *text, const char *part)
{
    ffai_error err = FFAI_ERROR_INIT;
    json_t *root = NULL;
    assert_int_equal(ffai__json_parse(&root, text, strlen(text), "config.json", &err), FFAI_E_FORMAT);
    assert_null(root);
    assert_non_null(strstr(err.message, "config.json"));
    if (!strstr(err.message, part))
        fail_msg("\"%s\" is not in: %s", part, err.message);
}

static void malformed_documents_are_refused_with_the_line(void **state)
{
    (void)state;
    assert_refused("", "line 1");
    assert_refused("{\n\"a\": }", "line 2");
    assert_refused("{\"a\": 1, \"a\": 2}", "duplicate");
    assert_refused("{} {}", "line 1");
    assert_refused("{\"\xFF\": 1}", "decode");
}

static void nesting_has_an_end(void **state)
{
    (void)state;
    char text[9001];
    memset(text, '[', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_refused(text, "depth");
}

static void an_integer_may_be_written_as_a_real(void **state)
{
    (void)state;
    json_t *root = parse("{\"a\": 12, \"b\": 1e3, \"c\": 1.5, \"d\": 1e30, \"e\": 9007199254740993}");
    int64_t value = 0;
    assert_true(ffai__json_integer(&value, json_object_get(root, "a")) && value == 12);
    assert_true(ffai__json_integer(&value, json_object_get(root, "b")) && value == 1000);
    assert_false(ffai__json_integer(&value, json_object_get(root, "c")));
    assert_false(ffai__json_integer(&value, json_object_get(root, "d")));
    json_decref(root);
}

static void absent_and_null_fields_leave_the_value_alone(void **state)
{
    (void)state;
    json_t *root = parse("{\"n\": null}");
    ffai_error err = FFAI_ERROR_INIT;
    int64_t integer = 7;
    double number = 7;
    bool flag = true;
    const char *text = "seven";
    assert_int_equal(ffai__json_get_int(&integer, root, "n", 0, 1, "f", &err), FFAI_OK);
    assert_int_equal(ffai__json_get_double(&number, root, "x", 0, 1, "f", &err), FFAI_OK);
    assert_int_equal(ffai__json_get_bool(&flag, root, "n", "f", &err), FFAI_OK);
    assert_int_equal(ffai__json_get_string(&text, root, "x", "f", &err), FFAI_OK);
    assert_int_equal(integer, 7);
    assert_true(number == 7 && flag);
    assert_string_equal(text, "seven");
    json_decref(root);
}

static void a_field_of_the_wrong_kind_is_named(void **state)
{
    (void)state;
    json_t *root = parse("{\"a\": \"x\", \"b\": 5, \"c\": 1.5}");
    ffai_error err = FFAI_ERROR_INIT;
    int64_t integer = 0;
    double number = 0;
    bool flag = false;
    const char *text = NULL;
    assert_int_equal(ffai__json_get_int(&integer, root, "a", 0, 9, "f.json", &err), FFAI_E_FORMAT);
    assert_string_equal(err.message, "f.json: field \"a\": must be an integer from 0 to 9");
    assert_int_equal(ffai__json_get_int(&integer, root, "b", 6, 9, "f.json", &err), FFAI_E_FORMAT);
    assert_int_equal(ffai__json_get_int(&integer, root, "c", 0, 9, "f.json", &err), FFAI_E_FORMAT);
    assert_int_equal(ffai__json_get_double(&number, root, "a", 0, 9, "f.json", &err), FFAI_E_FORMAT);
    assert_int_equal(ffai__json_get_double(&number, root, "b", 0, 4, "f.json", &err), FFAI_E_FORMAT);
    assert_int_equal(ffai__json_get_bool(&flag, root, "b", "f.json", &err), FFAI_E_FORMAT);
    assert_int_equal(ffai__json_get_string(&text, root, "b", "f.json", &err), FFAI_E_FORMAT);
    assert_string_equal(err.message, "f.json: field \"b\": must be a string");
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_documents_are_refused_with_the_line),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(an_integer_may_be_written_as_a_real),
        cmocka_unit_test(absent_and_null_fields_leave_the_value_alone),
        cmocka_unit_test(a_field_of_the_wrong_kind_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
