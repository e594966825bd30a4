/* "is" …: tests. */
#include "builtins.h"
#include "texts.h"

#define TEST(function, condition)                                                                                      \
    static jinja_value function(ffai__jinja *j, const jinja_call *call)                                                \
    {                                                                                                                  \
        const jinja_value self = call->self;                                                                           \
        (void)j;                                                                                                       \
        (void)self;                                                                                                    \
        return ffai__jinja_boolean(condition);                                                                         \
    }

TEST(is_boolean, self.kind == JINJA_BOOLEAN)
TEST(is_callable, self.kind == JINJA_FUNCTION || self.kind == JINJA_MACRO || self.kind == JINJA_LOOP)
TEST(is_defined, self.kind != JINJA_UNDEFINED)
TEST(is_undefined, self.kind == JINJA_UNDEFINED)
TEST(is_none, self.kind == JINJA_NONE)
TEST(is_true, self.kind == JINJA_BOOLEAN && self.boolean)
TEST(is_false, self.kind == JINJA_BOOLEAN && !self.boolean)
TEST(is_integer, self.kind == JINJA_INTEGER)
TEST(is_float, self.kind == JINJA_FLOAT)
TEST(is_number, ffai__jinja_is_number(self))
TEST(is_string, self.kind == JINJA_STRING)
TEST(is_mapping, self.kind == JINJA_DICT)
TEST(is_iterable, ffai__jinja_is_iterable(self))
/* What has a length and elements: Python's undefined has both. */
TEST(is_sequence, ffai__jinja_is_iterable(self))
TEST(is_escaped, false)
TEST(is_equal, ffai__jinja_equal(j, self, call->args[0]))
TEST(is_unequal, !ffai__jinja_equal(j, self, call->args[0]))
TEST(is_greater, ffai__jinja_compare(j, self, call->args[0], ">") > 0)
TEST(is_greater_or_equal, ffai__jinja_compare(j, self, call->args[0], ">=") >= 0)
TEST(is_less, ffai__jinja_compare(j, self, call->args[0], "<") < 0)
TEST(is_less_or_equal, ffai__jinja_compare(j, self, call->args[0], "<=") <= 0)
TEST(is_in, ffai__jinja_contains(j, call->args[0], self))
TEST(is_filter, self.kind == JINJA_STRING && ffai__jinja_find_filter(self.string) != NULL)
TEST(is_test, self.kind == JINJA_STRING && ffai__jinja_find_test(self.string) != NULL)

static bool is_same(jinja_value a, jinja_value b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case JINJA_NONE:
    case JINJA_UNDEFINED:
        return true;
    case JINJA_BOOLEAN:
        return a.boolean == b.boolean;
    case JINJA_INTEGER:
        return a.integer == b.integer;
    case JINJA_FLOAT:
        return a.number == b.number;
    default:
        return a.function == b.function;
    }
}

TEST(is_same_as, is_same(self, call->args[0]))

static bool remainder_is(ffai__jinja *j, const jinja_call *call, int64_t divisor, int64_t wanted)
{
    const int64_t number = ffai__jinja_need_integer(j, call->self, call->name);
    if (divisor == 0)
        ffai__jinja_refuse(j, "%s: division by zero", call->name);
    return divisor == -1 || number % divisor == wanted || number % divisor == -wanted;
}

TEST(is_odd, remainder_is(j, call, 2, 1))
TEST(is_even, remainder_is(j, call, 2, 0))
TEST(is_divisible, self.kind != JINJA_UNDEFINED && remainder_is(j, call, ffai__jinja_count(j, call, 0, 1), 0))

TEST(is_lower, ffai__jinja_is_in_case(j, ffai__jinja_str(j, self), JINJA_LOWER))
TEST(is_upper, ffai__jinja_is_in_case(j, ffai__jinja_str(j, self), JINJA_UPPER))

const jinja_builtin *ffai__jinja_find_test(const jinja_string *name)
{
    static const jinja_builtin tests[] = {
        {"boolean", "", is_boolean},
        {"callable", "", is_callable},
        {"defined", "", is_defined},
        {"undefined", "", is_undefined},
        {"none", "", is_none},
        {"true", "", is_true},
        {"false", "", is_false},
        {"integer", "", is_integer},
        {"float", "", is_float},
        {"number", "", is_number},
        {"string", "", is_string},
        {"mapping", "", is_mapping},
        {"iterable", "", is_iterable},
        {"sequence", "", is_sequence},
        {"escaped", "", is_escaped},
        {"==", "other", is_equal},
        {"eq", "other", is_equal},
        {"equalto", "other", is_equal},
        {"!=", "other", is_unequal},
        {"ne", "other", is_unequal},
        {">", "other", is_greater},
        {"gt", "other", is_greater},
        {"greaterthan", "other", is_greater},
        {">=", "other", is_greater_or_equal},
        {"ge", "other", is_greater_or_equal},
        {"<", "other", is_less},
        {"lt", "other", is_less},
        {"lessthan", "other", is_less},
        {"<=", "other", is_less_or_equal},
        {"le", "other", is_less_or_equal},
        {"in", "seq", is_in},
        {"sameas", "other", is_same_as},
        {"odd", "", is_odd},
        {"even", "", is_even},
        {"divisibleby", "num", is_divisible},
        {"lower", "", is_lower},
        {"upper", "", is_upper},
        {"filter", "", is_filter},
        {"test", "", is_test},
    };
    return ffai__jinja_find_in(tests, sizeof tests / sizeof *tests, name);
}
