/* The splitters made by hand find what PCRE2 finds with the same regex: characters of every class in company, and
 * random strings of those that the regexes look at. */
#include "fixtures.h"

#include "pattern.h"
#include "unicode.h"
#include "utf8.h"

/* One regex both ways; in a group it is not recognized. */
typedef struct {
    ffai__pattern *pattern;
    ffai__matches matches;
    ffai__splitter *split;
    const char *regex;
} both;

static void open_both(both *b, size_t index)
{
    ffai_error err = FFAI_ERROR_INIT;
    b->regex = ffai__splitter_regex(index);
    b->split = ffai__splitter_find(b->regex, strlen(b->regex));
    assert_non_null(b->split);
    char *grouped = ffai__format("(?:%s)", b->regex);
    assert_int_equal(ffai__pattern_compile(&b->pattern, grouped, strlen(grouped), "test", &err), FFAI_OK);
    assert_null(ffai__pattern_splitter(b->pattern));
    assert_int_equal(ffai__matches_create(&b->matches, b->pattern, &err), FFAI_OK);
    ffai__free(grouped);
}

static void close_both(both *b)
{
    ffai__matches_free(&b->matches);
    ffai__pattern_free(b->pattern);
}

static void fail_at(const both *b, const char *text, size_t size, size_t start, size_t expected, size_t got)
{
    print_error("%s\n  of", b->regex);
    for (size_t at = 0, step = 0; at < size && at < 64; at += step)
        print_error(" %X", (unsigned)ffai__utf8_get(text + at, &step));
    fail_msg("the match at byte %zu ends at %zu, not at %zu", start, expected, got);
}

static void compare(both *b, const char *text, size_t size)
{
    ffai__budget budget;
    ffai_error err = FFAI_ERROR_INIT;
    ffai__budget_start(&budget, size);
    ffai__matches_over(&b->matches, text, size, &budget);
    for (size_t at = 0; at < size;) {
        bool found = false;
        assert_int_equal(ffai__matches_next(&found, &b->matches, &err), FFAI_OK);
        assert_true(found);
        assert_int_equal(b->matches.start, at);
        const size_t end = b->split(text, size, at);
        if (end != b->matches.end)
            fail_at(b, text, size, at, b->matches.end, end);
        at = end;
    }
}

static void for_each_regex(void (*check)(both *b))
{
    for (size_t i = 0; ffai__splitter_regex(i); i++) {
        both b;
        open_both(&b, i);
        check(&b);
        close_both(&b);
    }
}

/* A character between others that show its class. */
static void check_character(both *b, uint32_t c)
{
    char text[64];
    size_t size = 0;
    if (c >= 0xD800 && c <= 0xDFFF)
        return;
    for (const char *shape = "a.b .1A.B!.\n."; *shape; shape++)
        size += *shape == '.' ? ffai__utf8_put(text + size, c) : ffai__utf8_put(text + size, (uint32_t)*shape);
    compare(b, text, size);
}

/* GPT-4o's regex tells all classes apart, so it sees every character of the planes that have most scripts, and some of
 * the others; the other regexes see some of all. */
static void check_characters(both *b)
{
    const bool all = strstr(b->regex, "Lu") && strstr(b->regex, "'s");
    for (uint32_t c = 1; c <= 0x10FFFF; c++) {
        if (c < 0x300 || c % 257 == 0 || (all && (c < 0x20000 || c % 61 == 0)))
            check_character(b, c);
    }
}

static void characters_are_in_the_classes_that_pcre2_has_them_in(void **state)
{
    (void)state;
    for_each_regex(check_characters);
}

/* A character of a kind drawn at random, so that rare ones stand beside each other. */
static uint32_t draw(uint64_t *random)
{
    static const char *const kinds[] = {
        "aAzZ",
        "sStTmMdDrReEvVlL",
        "'''",
        "   \t",
        "\n\r",
        "0123456789",
        "!/.,-_()",
        "\v\f\x1F\x7F",
        "'sS",
        "éßσΑΩǅdž",
        "中のﾊ한",
        "٣Ⅷ½²",
        "\u0301\u0903\u20DD\u0300",
        "\xC2\x85",
        "\u00A0\u2003\u3000\u2028\u180E\u200B",
        "ſ’ʼK",
        "🙂€№\uFFFD",
        "ʰªּא",
    };
    const uint32_t kind = next_random(random) % (sizeof kinds / sizeof kinds[0] + 1);
    if (kind == sizeof kinds / sizeof kinds[0]) {
        const uint32_t c = 1 + next_random(random) % 0x10FFFF;
        return c >= 0xD800 && c <= 0xDFFF ? 'x' : c;
    }
    const char *text = kinds[kind];
    size_t step = 0;
    size_t at = 0;
    for (size_t skip = next_random(random) % ffai__utf8_count(text, strlen(text)); skip > 0; skip--) {
        ffai__utf8_get(text + at, &step);
        at += step;
    }
    return ffai__utf8_get(text + at, &step);
}

static void check_random_strings(both *b)
{
    uint64_t random = 20;
    for (int round = 0; round < 10000; round++) {
        char text[4 * 48];
        size_t size = 0;
        for (size_t count = 1 + next_random(&random) % 24; count > 0; count--) {
            const uint32_t c = draw(&random);
            for (size_t again = next_random(&random) % 8 ? 1 : 2; again > 0; again--)
                size += ffai__utf8_put(text + size, c);
        }
        compare(b, text, size);
    }
}

static void random_strings_are_cut_as_pcre2_cuts_them(void **state)
{
    (void)state;
    for_each_regex(check_random_strings);
}

static void check_long_runs(both *b)
{
    static const char *const units[] = {" ",  "\n", "a",   "A",  "Ab",     "1",       "'s",
                                        "'S", "!",  " \n", "中", "\u0301", "A\u0301", "/\r\n"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        for (int end = 0; end < 3; end++) {
            ffai__buffer text = FFAI__BUFFER_INIT;
            for (int n = 0; n < 5000; n++)
                ffai__buffer_text(&text, units[i]);
            ffai__buffer_text(&text, end == 0 ? "" : end == 1 ? "x" : "\u0301B");
            compare(b, text.data, text.size);
            ffai__buffer_free(&text);
        }
    }
}

static void long_runs_are_cut_as_pcre2_cuts_them(void **state)
{
    (void)state;
    for_each_regex(check_long_runs);
}

static void a_regex_that_differs_by_a_character_is_left_to_pcre2(void **state)
{
    (void)state;
    for (size_t i = 0; ffai__splitter_regex(i); i++) {
        const char *regex = ffai__splitter_regex(i);
        assert_null(ffai__splitter_find(regex, strlen(regex) - 1));
        assert_null(ffai__splitter_find(regex + 1, strlen(regex) - 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_in_the_classes_that_pcre2_has_them_in),
        cmocka_unit_test(random_strings_are_cut_as_pcre2_cuts_them),
        cmocka_unit_test(long_runs_are_cut_as_pcre2_cuts_them),
        cmocka_unit_test(a_regex_that_differs_by_a_character_is_left_to_pcre2),
    };
    return cmocka_run_group_tests_name("splitter", tests, NULL, NULL);
}
