/* Arithmetic, as Python has it. */
#include <math.h>

#include "render.h"
#include "texts.h"

static _Noreturn void refuse_operands(ffai__jinja *j, const char *operator, jinja_value a, jinja_value b)
{
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        ffai__jinja_refuse(j, "%s", a.kind == JINJA_UNDEFINED ? a.why : b.why);
    ffai__jinja_refuse(j, "'%s' is not supported between %s and %s", operator, ffai__jinja_type_name(a),
                       ffai__jinja_type_name(b));
}

static _Noreturn void refuse_overflow(ffai__jinja *j)
{
    ffai__jinja_refuse(j, "an integer beyond 64 bits");
}

/* --- texts and lists --- */

static jinja_value add_strings(ffai__jinja *j, const jinja_string *a, const jinja_string *b)
{
    jinja_text text = ffai__jinja_new_text(j);
    ffai__jinja_append(&text, a);
    ffai__jinja_append(&text, b);
    return ffai__jinja_finish(&text);
}

static void add_items(ffai__jinja *j, jinja_list *to, const jinja_list *from)
{
    ffai__jinja_step(j, from->count);
    for (size_t i = 0; i < from->count; i++)
        ffai__jinja_add(j, to, from->items[i]);
}

static jinja_value add_lists(ffai__jinja *j, jinja_value a, jinja_value b)
{
    jinja_list *list = ffai__jinja_new_list(j, a.list->count + b.list->count);
    add_items(j, list, a.list);
    add_items(j, list, b.list);
    return (jinja_value){.kind = a.kind, .list = list};
}

static jinja_value repeat(ffai__jinja *j, jinja_value what, int64_t times)
{
    jinja_text text = ffai__jinja_new_text(j);
    jinja_list *list = ffai__jinja_new_list(j, 0);
    for (int64_t i = 0; i < times && ffai__jinja_length(j, what) > 0; i++) {
        ffai__jinja_step(j, 0);
        if (what.kind == JINJA_STRING)
            ffai__jinja_append(&text, what.string);
        else
            add_items(j, list, what.list);
    }
    return what.kind == JINJA_STRING ? ffai__jinja_finish(&text) : (jinja_value){.kind = what.kind, .list = list};
}

static bool is_repeatable(jinja_value value)
{
    return value.kind == JINJA_STRING || value.kind == JINJA_LIST || value.kind == JINJA_TUPLE;
}

/* --- numbers --- */

static bool both_integers(jinja_value a, jinja_value b)
{
    return ffai__jinja_is_integer(a) && ffai__jinja_is_integer(b);
}

static int64_t floor_quotient(ffai__jinja *j, int64_t a, int64_t b)
{
    if (b == -1 && a == INT64_MIN)
        refuse_overflow(j);
    const int64_t quotient = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

static int64_t power(ffai__jinja *j, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    for (; exponent > 0; exponent /= 2) {
        if (exponent % 2 && __builtin_mul_overflow(result, base, &result))
            refuse_overflow(j);
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
            refuse_overflow(j);
    }
    return result;
}

static jinja_value of_integers(ffai__jinja *j, jinja_operator operator, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool overflow = false;
    switch (operator) {
    case JINJA_OP_ADD:
        overflow = __builtin_add_overflow(a, b, &result);
        break;
    case JINJA_OP_SUBTRACT:
        overflow = __builtin_sub_overflow(a, b, &result);
        break;
    case JINJA_OP_MULTIPLY:
        overflow = __builtin_mul_overflow(a, b, &result);
        break;
    case JINJA_OP_FLOOR_DIVIDE:
        result = floor_quotient(j, a, b);
        break;
    case JINJA_OP_REMAINDER:
        result = b == -1 ? 0 : a - floor_quotient(j, a, b) * b;
        break;
    default:
        result = power(j, a, b);
        break;
    }
    if (overflow)
        refuse_overflow(j);
    return ffai__jinja_integer(result);
}

static double of_floats(jinja_operator operator, double a, double b)
{
    switch (operator) {
    case JINJA_OP_ADD:
        return a + b;
    case JINJA_OP_SUBTRACT:
        return a - b;
    case JINJA_OP_MULTIPLY:
        return a * b;
    case JINJA_OP_DIVIDE:
        return a / b;
    case JINJA_OP_FLOOR_DIVIDE:
        return floor(a / b);
    case JINJA_OP_REMAINDER: {
        const double rest = fmod(a, b);
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }
    default:
        return pow(a, b);
    }
}

static jinja_value of_numbers(ffai__jinja *j, jinja_operator operator, jinja_value a, jinja_value b)
{
    const bool divides = operator== JINJA_OP_DIVIDE || operator== JINJA_OP_FLOOR_DIVIDE || operator==
        JINJA_OP_REMAINDER;
    if (divides && ffai__jinja_as_float(b) == 0)
        ffai__jinja_refuse(j, "division by zero");
    const bool negative_power = operator== JINJA_OP_POWER && ffai__jinja_as_float(b) < 0;
    if (both_integers(a, b) && operator!= JINJA_OP_DIVIDE && !negative_power)
        return of_integers(j, operator, ffai__jinja_as_integer(a), ffai__jinja_as_integer(b));
    return ffai__jinja_float(of_floats(operator, ffai__jinja_as_float(a), ffai__jinja_as_float(b)));
}

jinja_value ffai__jinja_operate(ffai__jinja *j, jinja_operator operator, jinja_value a, jinja_value b)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (ffai__jinja_is_number(a) && ffai__jinja_is_number(b))
        return of_numbers(j, operator, a, b);
    if (operator== JINJA_OP_ADD && a.kind == JINJA_STRING && b.kind == JINJA_STRING)
        return add_strings(j, a.string, b.string);
    if (operator== JINJA_OP_ADD && a.kind == b.kind &&(a.kind == JINJA_LIST || a.kind == JINJA_TUPLE))
        return add_lists(j, a, b);
    if (operator== JINJA_OP_MULTIPLY && is_repeatable(a) && ffai__jinja_is_integer(b))
        return repeat(j, a, ffai__jinja_as_integer(b));
    if (operator== JINJA_OP_MULTIPLY && is_repeatable(b) && ffai__jinja_is_integer(a))
        return repeat(j, b, ffai__jinja_as_integer(a));
    if (operator== JINJA_OP_REMAINDER && a.kind == JINJA_STRING)
        return ffai__jinja_format(j, a.string, b);
    refuse_operands(j, names[operator], a, b);
}

jinja_value ffai__jinja_negate(ffai__jinja *j, jinja_value a)
{
    if (a.kind == JINJA_FLOAT)
        return ffai__jinja_float(-a.number);
    if (!ffai__jinja_is_integer(a))
        refuse_operands(j, "-", ffai__jinja_integer(0), a);
    if (ffai__jinja_as_integer(a) == INT64_MIN)
        refuse_overflow(j);
    return ffai__jinja_integer(-ffai__jinja_as_integer(a));
}
