/* JSON: what is refused, and getters whose errors name the file and the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"
#include "json_plain.h"

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

/* --- the fast reader of plain documents --- */

static const char plain_document[] =
    "{ \"vocab\": {\"a\": 0, \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\": 1, \"\xC4\xA0the\": "
    "-123456789012345},\n"
    "\t\"merges\": [\"a b\", [\"c\", \"\\u0064\"], [], {}, [[{\"a\": {\"b\": [true, false, null]}}]]],\r\n"
    "\"\": \"\", \"n\": [0, 1, 42, 999999999999999] }";

/* It may leave a document to jansson, never read it otherwise. */
static bool check_plain(const char *text, size_t size, bool as_reals)
{
    const size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    json_t *expected = json_loadb(text, size, flags | (as_reals ? JSON_DECODE_INT_AS_REAL : 0), NULL);
    json_t *plain = ffai__json_plain(text, size, as_reals);
    const bool taken = plain != NULL;
    if (taken && !(expected && json_equal(plain, expected)))
        fail_msg("read otherwise than by jansson: %.*s", (int)size, text);
    json_decref(plain);
    json_decref(expected);
    return taken;
}

static void a_plain_document_is_read_as_jansson_reads_it(void **state)
{
    (void)state;
    assert_true(check_plain(plain_document, strlen(plain_document), true));
    assert_true(check_plain(plain_document, strlen(plain_document), false));
    assert_true(check_plain("7", 1, true));
    static const char *const left[] = {"",
                                       "-",
                                       "-0",
                                       "01",
                                       "1.5",
                                       "1e3",
                                       "1234567890123456",
                                       "\"",
                                       "\"\\",
                                       "\"\\u",
                                       "\"\\u00\"",
                                       "\"\x01\"",
                                       "\"\xC0\x80\"",
                                       "\"\\u0000\"",
                                       "\"\\ud83d\\ude00\"",
                                       "{\"a\":1,\"a\":2}",
                                       "{\"a\"}",
                                       "{\"a\":1,}",
                                       "{1:2}",
                                       "[1,]",
                                       "[1 2]",
                                       "[1",
                                       "{\"a\":1",
                                       "truth",
                                       "nul",
                                       "1 2",
                                       "{} x"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        assert_false(check_plain(left[i], strlen(left[i]), true));
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    assert_false(check_plain(deep, sizeof deep, true));
}

static void a_damaged_document_is_never_read_otherwise(void **state)
{
    (void)state;
    static const char bytes[] = "\"\\{}[],: 0159-+.eEutfn\x01\x80\xC4\xFF\n";
    const size_t size = strlen(plain_document);
    char text[sizeof plain_document];
    uint32_t random = 1;
    int taken = 0;
    for (int round = 0; round < 20000; round++) {
        memcpy(text, plain_document, size);
        for (int i = 0; i <= round % 3; i++) {
            random = random * 1664525u + 1013904223u;
            text[(random >> 8) % size] = bytes[(random >> 4) % (sizeof bytes - 1)];
        }
        taken += check_plain(text, round % 5 ? size : (random >> 8) % size, round % 2);
    }
    assert_true(taken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_documents_are_refused_with_the_line),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(an_integer_may_be_written_as_a_real),
        cmocka_unit_test(absent_and_null_fields_leave_the_value_alone),
        cmocka_unit_test(a_field_of_the_wrong_kind_is_named),
        cmocka_unit_test(a_plain_document_is_read_as_jansson_reads_it),
        cmocka_unit_test(a_damaged_document_is_never_read_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
