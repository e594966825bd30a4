#include "schema_numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "regex.h"
#include "regular.h"

/* Digits that a double tells apart, and what no bound is beyond. */
enum { DIGITS = 15, INTEGER_DIGITS_MAX = 330 };

/* A magnitude: digits before and behind the point, without zeros that are not needed. */
typedef struct {
    char whole[INTEGER_DIGITS_MAX + 1];
    char fraction[400];
} decimal;

static ffai__expression regex(ffai__rules *r, const char *pattern)
{
    static const ffai__regex_options plain = {FFAI__SPELL_PLAIN, false};
    ffai__expression e = FFAI__NEVER;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__regex_parse(&e, r, pattern, strlen(pattern), plain, &err) != FFAI_OK && r->status == FFAI_OK)
        r->status = err.status;
    return e;
}

/* The shortest digits that read back as the number, which is not negative. */
static void to_decimal(decimal *out, double value)
{
    char text[64];
    int precision = 0;
    do
        snprintf(text, sizeof text, "%.*e", precision, value);
    while (strtod(text, NULL) != value && ++precision < 17);
    char digits[32];
    size_t count = 0;
    const char *at = text;
    for (; *at && *at != 'e'; at++) {
        if (*at != '.')
            digits[count++] = *at;
    }
    const long exponent = *at ? strtol(at + 1, NULL, 10) : 0;
    size_t whole = 0;
    size_t fraction = 0;
    for (long place = exponent < 0 ? -1 : exponent; place >= 0 && whole < INTEGER_DIGITS_MAX; place--)
        out->whole[whole++] = (size_t)(exponent - place) < count ? digits[exponent - place] : '0';
    if (whole == 0)
        out->whole[whole++] = '0';
    for (long i = exponent + 1; i < (long)count && fraction + 1 < sizeof out->fraction; i++)
        out->fraction[fraction++] = i < 0 ? '0' : digits[i];
    while (fraction > 0 && out->fraction[fraction - 1] == '0')
        fraction--;
    out->whole[whole] = 0;
    out->fraction[fraction] = 0;
}

/* --- magnitudes above and below a bound --- */

typedef struct {
    ffai__rules *r;
    ffai__expression digits;   /* \d* */
    ffai__expression fraction; /* (\.\d+)? */
    ffai__expression parts[800];
    size_t count;
} sides;

static ffai__expression digit(ffai__rules *r, int first, int last)
{
    return first > last ? FFAI__NEVER : ffai__rules_range(r, (uint32_t)first, (uint32_t)last);
}

static void add(sides *s, ffai__expression e)
{
    if (s->count < sizeof s->parts / sizeof s->parts[0])
        s->parts[s->count++] = e;
}

/* Whole numbers of the bound's length that part from it at a digit, which is larger, or smaller. */
static void add_whole(sides *s, const char *whole, bool larger)
{
    const size_t size = strlen(whole);
    for (size_t i = 0; i < size; i++) {
        const int least = i == 0 && size > 1 ? '1' : '0';
        const ffai__expression other = larger ? digit(s->r, whole[i] + 1, '9') : digit(s->r, least, whole[i] - 1);
        const uint32_t rest = (uint32_t)(size - i - 1);
        const ffai__expression parts[] = {ffai__rules_literal(s->r, whole, i), other,
                                          ffai__rules_repeat(s->r, digit(s->r, '0', '9'), rest, rest), s->fraction};
        add(s, ffai__rules_sequence(s->r, parts, 4));
    }
}

/* Fractions behind the bound's whole number that part from its fraction at a digit. */
static void add_fraction(sides *s, const decimal *d, bool larger)
{
    const size_t whole = strlen(d->whole);
    char prefix[sizeof d->whole + sizeof d->fraction + 2];
    snprintf(prefix, sizeof prefix, "%s.%s", d->whole, d->fraction);
    for (size_t i = 0; d->fraction[i]; i++) {
        const ffai__expression other =
            larger ? digit(s->r, d->fraction[i] + 1, '9') : digit(s->r, '0', d->fraction[i] - 1);
        const ffai__expression parts[] = {ffai__rules_literal(s->r, prefix, whole + 1 + i), other, s->digits};
        add(s, ffai__rules_sequence(s->r, parts, 3));
        /* Cut short it is smaller: whole, then whole.f, … */
        if (!larger)
            add(s, ffai__rules_literal(s->r, prefix, i == 0 ? whole : whole + 1 + i));
    }
}

static ffai__expression above(ffai__rules *r, const decimal *d, bool strictly)
{
    sides s = {.r = r, .digits = regex(r, "\\d*"), .fraction = regex(r, "(\\.\\d+)?")};
    const uint32_t size = (uint32_t)strlen(d->whole);
    const ffai__expression longer[] = {digit(r, '1', '9'),
                                       ffai__rules_repeat(r, digit(r, '0', '9'), size, FFAI__UNLIMITED), s.fraction};
    add(&s, ffai__rules_sequence(r, longer, 3));
    add_whole(&s, d->whole, true);
    add_fraction(&s, d, true);
    char equal[sizeof d->whole + sizeof d->fraction + 2];
    snprintf(equal, sizeof equal, d->fraction[0] ? "%s.%s" : "%s", d->whole, d->fraction);
    const char *rest = d->fraction[0] ? (strictly ? "\\d*[1-9]\\d*" : "\\d*")
                       : strictly     ? "\\.\\d*[1-9]\\d*"
                                      : "(\\.\\d+)?";
    add(&s, ffai__rules_pair(r, ffai__rules_literal(r, equal, strlen(equal)), regex(r, rest)));
    return ffai__rules_choice(r, s.parts, s.count);
}

static ffai__expression below(ffai__rules *r, const decimal *d, bool strictly)
{
    sides s = {.r = r, .digits = regex(r, "\\d*"), .fraction = regex(r, "(\\.\\d+)?")};
    const uint32_t size = (uint32_t)strlen(d->whole);
    if (size > 1) {
        const ffai__expression shorter[] = {digit(r, '1', '9'), ffai__rules_repeat(r, digit(r, '0', '9'), 0, size - 2),
                                            s.fraction};
        add(&s, ffai__rules_sequence(r, shorter, 3));
        add(&s, ffai__rules_pair(r, digit(r, '0', '0'), s.fraction));
    }
    add_whole(&s, d->whole, false);
    add_fraction(&s, d, false);
    char equal[sizeof d->whole + sizeof d->fraction + 2];
    snprintf(equal, sizeof equal, d->fraction[0] ? "%s.%s" : "%s", d->whole, d->fraction);
    if (!strictly)
        add(&s, ffai__rules_pair(r, ffai__rules_literal(r, equal, strlen(equal)),
                                 regex(r, d->fraction[0] ? "0*" : "(\\.0+)?")));
    return ffai__rules_choice(r, s.parts, s.count);
}

/* --- integers --- */

/* Those whose digits leave a remainder of 0: a state a remainder, and one before the first digit. */
static ffai_status multiples(ffai__expression *out, ffai__rules *r, int64_t m, ffai_error *err)
{
    ffai__table t = {.count = (uint32_t)m + 2};
    t.next = ffai__calloc((size_t)t.count * 256, sizeof *t.next);
    t.ends = ffai__calloc(t.count, sizeof *t.ends);
    if (!t.next || !t.ends) {
        ffai__free(t.next);
        ffai__free(t.ends);
        return ffai__fail_memory(err, "a grammar's states", (size_t)t.count * 256 * sizeof *t.next);
    }
    for (uint32_t state = 1; state < t.count; state++) {
        const int64_t remainder = state == 1 ? 0 : (int64_t)state - 2;
        t.ends[state] = state == 2;
        if (state == 1)
            t.next[256 + '-'] = 1;
        for (int d = 0; d < 10; d++)
            t.next[(size_t)state * 256 + '0' + (size_t)d] = (uint32_t)((remainder * 10 + d) % m) + 2;
    }
    *out = ffai__rules_table(r, &t);
    return ffai__rules_check(r, err);
}

/* --- the whole --- */

static ffai_status narrow(ffai__expression *e, ffai__rules *r, ffai__expression other, ffai_error *err)
{
    FFAI__TRY(ffai__rules_check(r, err));
    return *e == FFAI__NEVER ? FFAI_OK : ffai__regular_both(e, r, *e, other, err);
}

/* Magnitudes from `low` to `high`, each where it is bounded; form: what all of them look like. */
static ffai_status magnitudes(ffai__expression *out, ffai__rules *r, ffai__expression form, const double *low,
                              bool above_low, const double *high, bool below_high, ffai_error *err)
{
    decimal d = {{0}, {0}};
    *out = form;
    if (high && (*high < 0 || (*high == 0 && below_high)))
        *out = FFAI__NEVER;
    if (low && (*low > 0 || (*low == 0 && above_low))) {
        to_decimal(&d, *low);
        FFAI__TRY(narrow(out, r, above(r, &d, above_low), err));
    }
    if (high && *out != FFAI__NEVER) {
        to_decimal(&d, *high);
        FFAI__TRY(narrow(out, r, below(r, &d, below_high), err));
    }
    return FFAI_OK;
}

static int digits_of(double value)
{
    decimal d = {{0}, {0}};
    to_decimal(&d, fabs(value));
    return (int)strlen(d.whole);
}

/* Digits behind the point, so few that no double reaches a bound by rounding. */
static ffai__expression bounded_form(ffai__rules *r, const ffai__number_range *n)
{
    const int low = n->has_min ? digits_of(n->min) : 1;
    const int high = n->has_max ? digits_of(n->max) : 1;
    const int whole = low > high ? low : high;
    char pattern[64];
    snprintf(pattern, sizeof pattern, "(0|[1-9]\\d*)(\\.\\d{1,%d})?", whole < DIGITS ? DIGITS - whole : 1);
    return regex(r, pattern);
}

static ffai_status bounded(ffai__expression *out, ffai__rules *r, const ffai__number_range *n, ffai_error *err)
{
    const ffai__expression form = n->integer ? regex(r, "0|[1-9]\\d*") : bounded_form(r, n);
    const double zero = 0;
    const double low = -n->min;
    const double high = -n->max;
    const bool reaches_down = !n->has_min || n->min < 0;
    ffai__expression positive = FFAI__NEVER;
    ffai__expression negative = FFAI__NEVER;
    FFAI__TRY(magnitudes(&positive, r, form, n->has_min ? &n->min : NULL, n->above_min, n->has_max ? &n->max : NULL,
                         n->below_max, err));
    if (reaches_down) {
        /* Below 0 the bounds change places, and 0 itself has no sign. */
        const bool bounded_above = n->has_max && n->max < 0;
        FFAI__TRY(magnitudes(&negative, r, form, bounded_above ? &high : &zero, bounded_above ? n->below_max : true,
                             n->has_min ? &low : NULL, n->above_min, err));
        negative = ffai__rules_pair(r, ffai__rules_literal(r, "-", 1), negative);
    }
    *out = ffai__rules_either(r, positive, negative);
    return ffai__rules_check(r, err);
}

ffai_status ffai__schema_number(ffai__expression *out, ffai__rules *r, const ffai__number_range *n, ffai_error *err)
{
    if (n->has_min || n->has_max)
        FFAI__TRY(bounded(out, r, n, err));
    else
        *out = regex(r, n->integer ? "0|-?[1-9]\\d*" : "(0|-?[1-9]\\d*|-?(0|[1-9]\\d*)\\.\\d+)([eE][+-]?\\d{1,2})?");
    FFAI__TRY(ffai__rules_check(r, err));
    if (n->fraction && n->integer)
        *out = FFAI__NEVER;
    if (n->fraction)
        FFAI__TRY(narrow(out, r, regex(r, "-?\\d+\\.\\d*[1-9]\\d*"), err));
    if (n->multiple_of > 1 && *out != FFAI__NEVER) {
        ffai__expression of = FFAI__NEVER;
        FFAI__TRY(multiples(&of, r, n->multiple_of, err));
        FFAI__TRY(narrow(out, r, of, err));
    }
    return FFAI_OK;
}
