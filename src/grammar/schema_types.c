#include "schema_compiler.h"

#include <math.h>
#include <string.h>

#include "regex.h"
#include "regular.h"
#include "schema_numbers.h"
#include "spelling.h"

/* --- numbers --- */

static int64_t common_multiple(int64_t a, int64_t b)
{
    int64_t x = a;
    int64_t y = b;
    while (y != 0) {
        const int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* What "multipleOf" asks of integers. */
static ffai_status add_multiple(ffai__number_range *n, const ffai__schema_compiler *c, const json_t *schema)
{
    const json_t *multiple = json_object_get(schema, "multipleOf");
    const double value = json_number_value(multiple);
    if (!multiple)
        return FFAI_OK;
    if (!(value > 0))
        return ffai__schema_refuse(c, schema, "multipleOf", FFAI_E_FORMAT, "must be above 0");
    if (value != floor(value) || value > FFAI__MULTIPLE_MAX)
        return ffai__schema_refuse(c, schema, "multipleOf", FFAI_E_UNSUPPORTED, "only whole numbers up to 1000");
    const int64_t both = n->multiple_of > 1 ? common_multiple(n->multiple_of, (int64_t)value) : (int64_t)value;
    if (both > FFAI__MULTIPLE_MAX)
        return ffai__schema_refuse(c, schema, "multipleOf", FFAI_E_UNSUPPORTED, "only whole numbers up to 1000");
    n->multiple_of = both;
    n->integer = true; /* multiples of a whole number are whole */
    return FFAI_OK;
}

static void add_bounds(ffai__number_range *n, const json_t *schema)
{
    static const char *const names[] = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"};
    for (int i = 0; i < 4; i++) {
        const json_t *bound = json_object_get(schema, names[i]);
        const double value = json_number_value(bound);
        const bool strict = i % 2;
        if (!bound)
            continue;
        if (i < 2 && (!n->has_min || value > n->min || (value == n->min && strict))) {
            n->min = value;
            n->above_min = strict;
            n->has_min = true;
        }
        if (i >= 2 && (!n->has_max || value < n->max || (value == n->max && strict))) {
            n->max = value;
            n->below_max = strict;
            n->has_max = true;
        }
    }
}

ffai_status ffai__schema_numbers(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set,
                                 unsigned types)
{
    ffai__number_range n = {.integer = !(types & FFAI__JSON_FRACTION), .fraction = !(types & FFAI__JSON_INTEGER)};
    for (uint32_t i = 0; i < set->count; i++) {
        add_bounds(&n, set->schemas[i]);
        FFAI__TRY(add_multiple(&n, c, set->schemas[i]));
    }
    return ffai__schema_number(out, c->rules, &n, c->err);
}

/* --- strings --- */

/* Narrow a string's text to what also matches this. */
static ffai_status narrow(ffai__expression *text, ffai__schema_compiler *c, const json_t *schema, const char *keyword,
                          const char *pattern, bool search)
{
    const ffai__regex_options options = {FFAI__SPELL_JSON, search};
    ffai__expression e = FFAI__NEVER;
    ffai_status status = ffai__regex_parse(&e, c->rules, pattern, strlen(pattern), options, c->err);
    if (status == FFAI_OK && *text != FFAI__NEVER)
        status = ffai__regular_both(&e, c->rules, *text, e, c->err);
    *text = e;
    return status == FFAI_OK ? FFAI_OK : ffai__schema_fail_at(c, schema, keyword, status);
}

static ffai_status narrow_to(ffai__expression *text, ffai__schema_compiler *c, const json_t *schema)
{
    const json_t *pattern = json_object_get(schema, "pattern");
    const json_t *format = json_object_get(schema, "format");
    const char *of_format = format ? ffai__schema_format(json_string_value(format)) : NULL;
    if (pattern && strlen(json_string_value(pattern)) != json_string_length(pattern))
        return ffai__schema_refuse(c, schema, "pattern", FFAI_E_UNSUPPORTED, "a pattern with a 0: write \\0");
    if (pattern)
        FFAI__TRY(narrow(text, c, schema, "pattern", json_string_value(pattern), true));
    if (format && !of_format)
        return ffai__schema_refuse(c, schema, "format", FFAI_E_UNSUPPORTED, "this format is not supported");
    return format ? narrow(text, c, schema, "format", of_format, false) : FFAI_OK;
}

static ffai__expression any_text(ffai__rules *r, uint32_t min, uint32_t max)
{
    ffai__characters all = {0};
    ffai__characters_invert(&all);
    const ffai__expression e = ffai__rules_repeat(r, ffai__spell_characters(r, &all, FFAI__SPELL_JSON), min, max);
    ffai__characters_free(&all);
    return e;
}

static void widen(uint32_t *limit, bool least, bool given, uint32_t value)
{
    if (given && (least ? value > *limit : value < *limit))
        *limit = value;
}

/* The strictest of a set's two counts. */
static ffai_status limits(uint32_t *min, uint32_t *max, const ffai__schema_compiler *c, const ffai__schema_set *set,
                          const char *least, const char *most)
{
    *min = 0;
    *max = FFAI__UNLIMITED;
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t value = 0;
        bool given = false;
        FFAI__TRY(ffai__schema_count(&value, &given, c, set->schemas[i], least));
        widen(min, true, given, value);
        FFAI__TRY(ffai__schema_count(&value, &given, c, set->schemas[i], most));
        widen(max, false, given, value);
    }
    return FFAI_OK;
}

ffai_status ffai__schema_string(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set)
{
    uint32_t min = 0;
    uint32_t max = 0;
    FFAI__TRY(limits(&min, &max, c, set, "minLength", "maxLength"));
    if (min > max)
        return FFAI_OK;
    const bool is_limited = min > 0 || max != FFAI__UNLIMITED;
    ffai__expression text = is_limited ? any_text(c->rules, min, max) : FFAI__NEVER;
    for (uint32_t i = 0; i < set->count; i++)
        FFAI__TRY(narrow_to(&text, c, set->schemas[i]));
    if (text == FFAI__NEVER)
        text = any_text(c->rules, 0, FFAI__UNLIMITED);
    const ffai__expression quote = ffai__rules_literal(c->rules, "\"", 1);
    *out = ffai__rules_sequence(c->rules, (ffai__expression[]){quote, text, quote}, 3);
    return FFAI_OK;
}

/* --- arrays --- */

/* What the item at a place is held to; place: beyond all prefixItems for the rest. */
static ffai_status item_at(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set, size_t place)
{
    ffai__schema_set held = {.count = 0};
    for (uint32_t i = 0; i < set->count; i++) {
        const json_t *prefix = json_object_get(set->schemas[i], "prefixItems");
        const json_t *rest = json_object_get(set->schemas[i], "items");
        const json_t *item = place < json_array_size(prefix) ? json_array_get(prefix, place) : rest;
        if (item)
            FFAI__TRY(ffai__schema_set_add(&held, item, c));
    }
    return ffai__schema_value(out, c, &held);
}

/* The items from the first that has no place of its own on; `before` of them were there. */
static ffai__expression rest_of_items(ffai__rules *r, ffai__expression item, uint32_t before, uint32_t min,
                                      uint32_t max)
{
    const ffai__expression next = ffai__rules_pair(r, ffai__rules_literal(r, ",", 1), item);
    const uint32_t least = min > before ? min - before : 0;
    const uint32_t most = max == FFAI__UNLIMITED ? max : max - before;
    if (before > 0)
        return ffai__rules_repeat(r, next, least, most);
    const uint32_t others = most == FFAI__UNLIMITED ? most : most - 1;
    const ffai__expression some =
        most == 0 ? FFAI__NEVER
                  : ffai__rules_pair(r, item, ffai__rules_repeat(r, next, least > 0 ? least - 1 : 0, others));
    return least == 0 ? ffai__rules_either(r, FFAI__EMPTY, some) : some;
}

static ffai_status check_unique(const ffai__schema_compiler *c, const ffai__schema_set *set, uint32_t max)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (max > 1 && json_is_true(json_object_get(set->schemas[i], "uniqueItems")))
            return ffai__schema_refuse(c, set->schemas[i], "uniqueItems", FFAI_E_UNSUPPORTED,
                                       "items that all differ are not supported");
    }
    return FFAI_OK;
}

/* From the last place to the first: after `place` items there may be an end, or one more item and what follows it. */
static ffai_status places(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set, uint32_t count,
                          uint32_t min, uint32_t max)
{
    ffai__rules *r = c->rules;
    ffai__expression rest = FFAI__NEVER;
    FFAI__TRY(item_at(&rest, c, set, count));
    *out = rest_of_items(r, rest, count, min, max);
    for (uint32_t place = count; place-- > 0;) {
        const uint32_t rule = ffai__rules_declare(r, "items", 5);
        ffai__expression item = FFAI__NEVER;
        FFAI__TRY(ffai__rules_check(r, c->err));
        ffai__rules_define(r, rule, *out);
        FFAI__TRY(item_at(&item, c, set, place));
        const ffai__expression comma = place > 0 ? ffai__rules_literal(r, ",", 1) : FFAI__EMPTY;
        const ffai__expression on =
            ffai__rules_sequence(r, (ffai__expression[]){comma, item, ffai__rules_call(r, rule)}, 3);
        *out = place >= min ? ffai__rules_either(r, FFAI__EMPTY, on) : on;
    }
    return FFAI_OK;
}

ffai_status ffai__schema_array(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set)
{
    uint32_t min = 0;
    uint32_t max = 0;
    size_t count = 0;
    FFAI__TRY(limits(&min, &max, c, set, "minItems", "maxItems"));
    FFAI__TRY(check_unique(c, set, max));
    if (min > max)
        return FFAI_OK;
    for (uint32_t i = 0; i < set->count; i++) {
        const size_t own = json_array_size(json_object_get(set->schemas[i], "prefixItems"));
        count = own > count ? own : count;
    }
    count = count < max ? count : max;
    ffai__expression items = FFAI__NEVER;
    FFAI__TRY(places(&items, c, set, (uint32_t)count, min, max));
    const ffai__expression parts[] = {ffai__rules_literal(c->rules, "[", 1), items,
                                      ffai__rules_literal(c->rules, "]", 1)};
    *out = ffai__rules_sequence(c->rules, parts, 3);
    return FFAI_OK;
}
