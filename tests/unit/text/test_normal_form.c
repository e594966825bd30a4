/* The quick look at a text says only of such that it is composed that composing leaves as they are. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdbool.h>
#include <string.h>

#include "normal_form.h"
#include "utf8.h"

enum { CHARACTERS_MAX = 3 };

static size_t compose(int32_t *out, const uint32_t *characters, size_t count)
{
    int32_t spare[CHARACTERS_MAX * FFAI__DECOMPOSED_MAX];
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        used += ffai__decompose(out + used, (int32_t)characters[i], false);
    ffai__order_marks(out, spare, used);
    return ffai__compose(out, used);
}

/* Whether it is called composed; then it must be. */
static bool check(const uint32_t *characters, size_t count)
{
    char text[4 * CHARACTERS_MAX];
    int32_t composed[CHARACTERS_MAX * FFAI__DECOMPOSED_MAX];
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += ffai__utf8_put(text + size, characters[i]);
    if (!ffai__normal_form_is_trivial(text, size, true, false))
        return false;
    assert_int_equal(compose(composed, characters, count), count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(composed[i], characters[i]);
    return true;
}

/* Behind what composes with most: letters, a jamo, a syllable without a last consonant, Indic vowels, a mark. */
static void what_the_quick_look_lets_pass_is_composed(void **state)
{
    static const uint32_t before[] = {'a',    'e',    0xC6,   0xE9,   0x391,   0x627,   0x9C7,   0xBC6,   0x1025,
                                      0x1100, 0xAC00, 0x1B05, 0x304B, 0x11099, 0x11131, 0x11347, 0x16D63, 0x16D67};
    (void)state;
    size_t passed = 0;
    for (uint32_t c = 1; c <= 0x2FFFF; c++) {
        if ((c >= 0xD800 && c <= 0xDFFF) || (c >= 0x20000 && c % 29 != 0 && c < 0x2F800))
            continue;
        passed += check(&c, 1);
        for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
            check((const uint32_t[]){before[i], c}, 2);
            check((const uint32_t[]){c, before[i]}, 2);
        }
    }
    assert_true(passed > 100000);
}

static void what_people_write_passes(void **state)
{
    (void)state;
    const char *const texts[] = {"plain",  "naïve — “quoted” … €", "Привет, мой дорогой", "Tiếng Việt", "中文かな",
                                 "한국어", "🙂 → ∀x"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_true(ffai__normal_form_is_trivial(texts[i], strlen(texts[i]), true, false));
    assert_false(ffai__normal_form_is_trivial("e\u0301", 3, true, false));
    assert_false(ffai__normal_form_is_trivial("é", 2, true, true));
    assert_false(ffai__normal_form_is_trivial("é", 2, false, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_quick_look_lets_pass_is_composed),
        cmocka_unit_test(what_people_write_passes),
    };
    return cmocka_run_group_tests_name("normal form", tests, NULL, NULL);
}
