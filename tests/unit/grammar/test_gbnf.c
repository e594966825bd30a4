/* Grammars in GBNF: the notation, recursion through the stack, and refusals with line and column. */
#include "grammars.h"

static void check(const char *grammar, const char *text, bool expected)
{
    check_matches(FFAI_GRAMMAR_GBNF, grammar, text, expected);
}

static void refused(const char *grammar, ffai_status status, const char *why)
{
    check_refused(FFAI_GRAMMAR_GBNF, grammar, status, why);
}

static void the_notation_is_read(void **state)
{
    (void)state;
    check("root ::= \"a\" | \"b\"", "b", true);
    check("root ::= \"a\" |\n  \"b\"\n", "b", true);
    check("root ::= (\n \"a\"\n \"b\"\n)+ # two\n# more\n", "abab", true);
    check("root ::= [a-c]{2} [^a-c]{1,} [x-z]{0,1}", "abdz", true);
    check("root ::= [a-c]{2} [^a-c]{1,} [x-z]{0,1}", "adz", false);
    check("root ::= \"\\x41\\u00e9\\n\\\"\\\\\"", "A\xC3\xA9\n\"\\", true);
    check("root ::= [\\]\\-\\\\]*", "]-\\", true);
    check("root ::= . .", "\xF0\x9F\x98\x80\n", true);
    check("root ::= x-1 x-1\r\nx-1 ::= \"q\"?\r\n", "qq", true);
    check("root ::= ", "", true);
    check("root ::= | \"a\"", "", true);
    check("a ::= \"a\"\nroot ::= a\n  | a a a\n", "aaa", true);
}

static void recursion_nests(void **state)
{
    (void)state;
    static const char balanced[] = "root ::= \"(\" root \")\" root | \"\"";
    check(balanced, "(()(()))()", true);
    check(balanced, "(()(())()", false);
    check(balanced, "())", false);
    static const char palindromes[] = "root ::= \"a\" root \"a\" | \"b\" root \"b\" | [ab]?";
    check(palindromes, "abbabba", true);
    check(palindromes, "abbabbb", false);
    char text[400];
    memset(text, '(', 200);
    memset(text + 200, ')', 199);
    text[399] = 0;
    check(balanced, text, false);
    text[0] = '(';
    memmove(text, text + 1, 399);
    check(balanced, text, true);
}

static void recursion_at_the_end_needs_no_stack(void **state)
{
    (void)state;
    static char text[100001];
    memset(text, ' ', 100000);
    check("root ::= [ ] root | \"\"", text, true);
}

static void stacks_that_multiply_are_shared(void **state)
{
    (void)state;
    char text[201];
    memset(text, 'a', 100);
    memset(text + 100, 'b', 100);
    text[200] = 0;
    check("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"", text, true);
    text[150] = 'd';
    check("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"", text, false);
}

static void json_as_llama_cpp_has_it(void **state)
{
    (void)state;
    static const char json[] =
        "root   ::= object\n"
        "value  ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"
        "object ::=\n"
        "  \"{\" ws (\n"
        "            string \":\" ws value\n"
        "    (\",\" ws string \":\" ws value)*\n"
        "  )? \"}\" ws\n"
        "array  ::=\n"
        "  \"[\" ws (\n"
        "            value\n"
        "    (\",\" ws value)*\n"
        "  )? \"]\" ws\n"
        "string ::=\n"
        "  \"\\\"\" (\n"
        "    [^\"\\\\\\x7F\\x00-\\x1F] |\n"
        "    \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4})\n"
        "  )* \"\\\"\" ws\n"
        "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws\n"
        "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";
    check(json, "{\"a\": [1, 2.5e3, {\"b\": \"\\u00e9\\n\"}], \"c\": true}", true);
    check(json, "{\"a\": [1, 2.5e3, {\"b\": \"\\u00e9\\n\"}, \"c\": true}", false);
    check(json, "{\"a\": 01}", false);
}

static void recursion_to_the_left_is_refused_with_the_rule(void **state)
{
    (void)state;
    refused("root ::= root \"a\" | \"b\"", FFAI_E_UNSUPPORTED, "\"root\" calls itself");
    refused("root ::= \"x\" a\na ::= b \"c\"\nb ::= opt a\nopt ::= \"y\"?", FFAI_E_UNSUPPORTED, "left recursion");
    refused("root ::= root", FFAI_E_UNSUPPORTED, "left recursion");
}

static void errors_have_line_and_column(void **state)
{
    (void)state;
    refused("root ::= \"a\"\nb ::= c\n", FFAI_E_FORMAT, "line 2, column 7: there is no rule \"c\"");
    refused("root ::= \"a", FFAI_E_FORMAT, "line 1, column 10: a literal that does not end");
    refused("root ::= (\"a\"", FFAI_E_FORMAT, "line 1, column 14: a ) is missing");
    refused("root ::= \"a\")", FFAI_E_FORMAT, "line 1, column 13: a ) without its (");
    refused("root ::= [z-a]", FFAI_E_FORMAT, "line 1, column 11: a range");
    refused("root ::= \"a\"\nroot ::= \"b\"", FFAI_E_FORMAT, "line 2, column 1: a second rule");
    refused("a ::= \"a\"", FFAI_E_FORMAT, "no rule \"root\"");
    refused("", FFAI_E_FORMAT, "no rule \"root\"");
    refused("root : \"a\"", FFAI_E_FORMAT, "line 1, column 6: ::= is missing");
    refused("root ::= \"\\q\"", FFAI_E_FORMAT, "line 1, column 11: an unknown escape");
    refused("root ::= <[12]>", FFAI_E_FORMAT, "tokens in a grammar");
    refused("root ::= \"a\"{3,1}", FFAI_E_FORMAT, "most is below its least");
    refused("root ::= \xFF", FFAI_E_FORMAT, "not UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_notation_is_read),
        cmocka_unit_test(recursion_nests),
        cmocka_unit_test(recursion_at_the_end_needs_no_stack),
        cmocka_unit_test(stacks_that_multiply_are_shared),
        cmocka_unit_test(json_as_llama_cpp_has_it),
        cmocka_unit_test(recursion_to_the_left_is_refused_with_the_rule),
        cmocka_unit_test(errors_have_line_and_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
