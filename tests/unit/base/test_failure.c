/* Errors: messages, prefixes, and where an overlong one is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failure.h"

static void a_message_is_formatted_and_the_status_returned(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__fail(&err, FFAI_E_IO, "%s: %d", "file", 7), FFAI_E_IO);
    assert_int_equal(err.status, FFAI_E_IO);
    assert_string_equal(err.message, "file: 7");
}

static void no_error_to_fill_is_fine(void **state)
{
    (void)state;
    assert_int_equal(ffai__fail(NULL, FFAI_E_FORMAT, "x"), FFAI_E_FORMAT);
    assert_int_equal(ffai__fail_in(NULL, FFAI_E_FORMAT, "x"), FFAI_E_FORMAT);
}

/* Every length of ASCII before a character of each size, so that the cut falls on each of its bytes. */
static void an_overlong_message_ends_at_a_whole_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    const size_t limit = sizeof((ffai_error *)NULL)->message - 1;
    for (size_t c = 0; c < 4; c++) {
        const size_t length = strlen(characters[c]);
        for (size_t before = limit - 6; before <= limit + 1; before++) {
            char text[1100];
            ffai_error err = FFAI_ERROR_INIT;
            memset(text, 'x', before);
            strcpy(text + before, characters[c]);
            strcat(text, "tail that never fits");
            ffai__fail(&err, FFAI_E_IO, "%s", text);
            const size_t kept = strlen(err.message);
            assert_true(kept <= limit && kept + 4 >= limit);
            assert_memory_equal(err.message, text, kept);
            assert_true(kept <= before || kept >= before + length);
        }
    }
}

static void a_prefix_goes_before_the_message(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    ffai__fail(&err, FFAI_E_FORMAT, "why");
    assert_int_equal(ffai__fail_in(&err, FFAI_E_FORMAT, "file %d", 3), FFAI_E_FORMAT);
    assert_string_equal(err.message, "file 3: why");
}

static void a_prefix_of_any_length_leaves_a_whole_message(void **state)
{
    (void)state;
    for (size_t length = 0; length < 1100; length += 7) {
        char prefix[1200];
        ffai_error err = FFAI_ERROR_INIT;
        memset(prefix, 'p', length);
        prefix[length] = 0;
        ffai__fail(&err, FFAI_E_IO, "\xE2\x82\xAC\xE2\x82\xAC");
        ffai__fail_in(&err, FFAI_E_IO, "%s", prefix);
        assert_true(strlen(err.message) < sizeof err.message);
    }
}

static void every_status_has_a_text(void **state)
{
    (void)state;
    for (int i = FFAI_OK; i <= FFAI_E_INTERNAL; i++)
        assert_true(strlen(ffai_status_text((ffai_status)i)) > 0);
    assert_string_equal(ffai_status_text((ffai_status)999), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_formatted_and_the_status_returned),
        cmocka_unit_test(no_error_to_fill_is_fine),
        cmocka_unit_test(an_overlong_message_ends_at_a_whole_character),
        cmocka_unit_test(a_prefix_goes_before_the_message),
        cmocka_unit_test(a_prefix_of_any_length_leaves_a_whole_message),
        cmocka_unit_test(every_status_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
