#include "schema_compiler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "regex.h"
#include "regular.h"
#include "spelling.h"
#include "utf8.h"

enum { VALUE_DEPTH_MAX = 64, SCHEMA_DEPTH_MAX = 64 };

static const struct {
    const char *name;
    unsigned types;
} type_names[] = {
    {"null", FFAI__JSON_NULL},
    {"boolean", FFAI__JSON_BOOLEAN},
    {"integer", FFAI__JSON_INTEGER},
    {"string", FFAI__JSON_STRING},
    {"array", FFAI__JSON_ARRAY},
    {"object", FFAI__JSON_OBJECT},
    {"number", FFAI__JSON_INTEGER | FFAI__JSON_FRACTION},
    {FFAI__FRACTION, FFAI__JSON_FRACTION},
};

static unsigned types_named(const json_t *name)
{
    const char *text = json_string_value(name);
    for (size_t i = 0; text && i < sizeof type_names / sizeof type_names[0]; i++) {
        if (strcmp(type_names[i].name, text) == 0)
            return type_names[i].types;
    }
    return 0;
}

ffai_status ffai__schema_types(unsigned *types, const ffai__schema_compiler *c, const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    size_t i = 0;
    const json_t *name = NULL;
    *types = FFAI__JSON_ANY;
    if (!type)
        return FFAI_OK;
    *types = types_named(type);
    json_array_foreach(type, i, name)
    {
        const unsigned one = types_named(name);
        *types |= one;
        if (!one)
            break;
    }
    if (*types == 0 || i < json_array_size(type))
        return ffai__schema_refuse(c, schema, "type", FFAI_E_FORMAT, "must be the name of a type, or a list of them");
    return FFAI_OK;
}

unsigned ffai__schema_type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return FFAI__JSON_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return FFAI__JSON_BOOLEAN;
    case JSON_INTEGER:
        return FFAI__JSON_INTEGER;
    case JSON_REAL:
        return floor(json_real_value(value)) == json_real_value(value) ? FFAI__JSON_INTEGER : FFAI__JSON_FRACTION;
    case JSON_STRING:
        return FFAI__JSON_STRING;
    case JSON_ARRAY:
        return FFAI__JSON_ARRAY;
    case JSON_OBJECT:
        return FFAI__JSON_OBJECT;
    }
    return 0;
}

/* --- spelling --- */

static void spell_number(ffai__buffer *out, const json_t *value)
{
    char text[64];
    const double number = json_number_value(value);
    int precision = 1;
    if (json_is_integer(value)) {
        ffai__buffer_format(out, "%lld", (long long)json_integer_value(value));
        return;
    }
    if (floor(number) == number && fabs(number) < 1e15) {
        ffai__buffer_format(out, "%lld", (long long)number);
        return;
    }
    do
        snprintf(text, sizeof text, "%.*g", precision, number);
    while (strtod(text, NULL) != number && ++precision <= 17);
    ffai__buffer_text(out, text);
}

static void spell_string(ffai__buffer *out, const char *text, size_t size)
{
    ffai__buffer_text(out, "\"");
    ffai__spell_json(out, text, size);
    ffai__buffer_text(out, "\"");
}

static bool spell_value(ffai__buffer *out, const json_t *value, int depth);

static bool spell_array(ffai__buffer *out, const json_t *value, int depth)
{
    size_t i = 0;
    const json_t *item = NULL;
    bool ok = true;
    ffai__buffer_text(out, "[");
    json_array_foreach(value, i, item)
    {
        if (i > 0)
            ffai__buffer_text(out, ",");
        ok = ok && spell_value(out, item, depth + 1);
    }
    ffai__buffer_text(out, "]");
    return ok;
}

static bool spell_object(ffai__buffer *out, const json_t *value, int depth)
{
    bool ok = true;
    const char *separator = "";
    ffai__buffer_text(out, "{");
    for (void *i = json_object_iter((json_t *)value); i; i = json_object_iter_next((json_t *)value, i)) {
        const char *key = json_object_iter_key(i);
        ffai__buffer_text(out, separator);
        spell_string(out, key, strlen(key));
        ffai__buffer_text(out, ":");
        ok = ok && spell_value(out, json_object_iter_value(i), depth + 1);
        separator = ",";
    }
    ffai__buffer_text(out, "}");
    return ok;
}

/* False for a value that is nested too deep. */
static bool spell_value(ffai__buffer *out, const json_t *value, int depth)
{
    if (depth > VALUE_DEPTH_MAX)
        return false;
    switch (json_typeof(value)) {
    case JSON_STRING:
        spell_string(out, json_string_value(value), json_string_length(value));
        return true;
    case JSON_ARRAY:
        return spell_array(out, value, depth);
    case JSON_OBJECT:
        return spell_object(out, value, depth);
    case JSON_INTEGER:
    case JSON_REAL:
        spell_number(out, value);
        return true;
    case JSON_TRUE:
        return ffai__buffer_text(out, "true");
    case JSON_FALSE:
        return ffai__buffer_text(out, "false");
    case JSON_NULL:
        return ffai__buffer_text(out, "null");
    }
    return false;
}

ffai_status ffai__schema_literal(ffai__expression *out, ffai__schema_compiler *c, const json_t *value)
{
    ffai__buffer text = FFAI__BUFFER_INIT;
    const bool ok = spell_value(&text, value, 0);
    *out = ffai__rules_literal(c->rules, text.data, text.size);
    const bool failed = text.failed;
    ffai__buffer_free(&text);
    if (failed)
        return ffai__fail_memory(c->err, "a value", 0);
    return ok ? FFAI_OK
              : ffai__fail(c->err, FFAI_E_LIMIT, "schema: a value that is nested more than %d deep", VALUE_DEPTH_MAX);
}

/* --- whether a value follows a schema --- */

/* Numbers are equal as numbers. */
static bool equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_is_integer(a) && json_is_integer(b) ? json_integer_value(a) == json_integer_value(b)
                                                        : json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b))
            return false;
        for (size_t i = 0; i < json_array_size(a); i++) {
            if (!equal(json_array_get(a, i), json_array_get(b, i)))
                return false;
        }
        return true;
    }
    if (json_is_object(a)) {
        if (json_object_size(a) != json_object_size(b))
            return false;
        for (void *i = json_object_iter((json_t *)a); i; i = json_object_iter_next((json_t *)a, i)) {
            const json_t *other = json_object_get(b, json_object_iter_key(i));
            if (!other || !equal(json_object_iter_value(i), other))
                return false;
        }
        return true;
    }
    return json_equal(a, b);
}

static bool holds_values(const json_t *schema, const json_t *value)
{
    const json_t *constant = json_object_get(schema, "const");
    const json_t *list = json_object_get(schema, "enum");
    if (constant && !equal(constant, value))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (equal(json_array_get(list, i), value))
            return true;
    }
    return !list;
}

static ffai_status holds_number(bool *holds, const ffai__schema_compiler *c, const json_t *schema, const json_t *value)
{
    static const char *const bounds[] = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"};
    const double number = json_number_value(value);
    if (json_object_get(schema, "multipleOf"))
        return ffai__schema_refuse(c, schema, "multipleOf", FFAI_E_UNSUPPORTED, "beside const or enum: not supported");
    for (int i = 0; i < 4; i++) {
        const json_t *bound = json_object_get(schema, bounds[i]);
        const double limit = json_number_value(bound);
        const bool within = i == 0   ? number >= limit
                            : i == 1 ? number > limit
                            : i == 2 ? number <= limit
                                     : number < limit;
        *holds = *holds && (!bound || within);
    }
    return FFAI_OK;
}

static ffai_status holds_pattern(bool *holds, ffai__schema_compiler *c, const json_t *schema, const char *keyword,
                                 const char *pattern, bool search, const json_t *value)
{
    const ffai__regex_options options = {FFAI__SPELL_PLAIN, search};
    ffai__expression e = FFAI__NEVER;
    bool matches = false;
    ffai_status status = ffai__regex_parse(&e, c->rules, pattern, strlen(pattern), options, c->err);
    if (status == FFAI_OK)
        status =
            ffai__regular_matches(&matches, c->rules, e, json_string_value(value), json_string_length(value), c->err);
    if (status != FFAI_OK)
        return ffai__schema_fail_at(c, schema, keyword, status);
    *holds = *holds && matches;
    return FFAI_OK;
}

static ffai_status holds_count(bool *holds, const ffai__schema_compiler *c, const json_t *schema, const char *least,
                               const char *most, size_t count)
{
    uint32_t limit = 0;
    bool given = false;
    FFAI__TRY(ffai__schema_count(&limit, &given, c, schema, least));
    *holds = *holds && (!given || count >= limit);
    FFAI__TRY(ffai__schema_count(&limit, &given, c, schema, most));
    *holds = *holds && (!given || count <= limit);
    return FFAI_OK;
}

static ffai_status holds_string(bool *holds, ffai__schema_compiler *c, const json_t *schema, const json_t *value)
{
    const char *pattern = json_string_value(json_object_get(schema, "pattern"));
    const char *format = json_string_value(json_object_get(schema, "format"));
    const char *format_pattern = format ? ffai__schema_format(format) : NULL;
    const size_t count = ffai__utf8_count(json_string_value(value), json_string_length(value));
    FFAI__TRY(holds_count(holds, c, schema, "minLength", "maxLength", count));
    if (pattern)
        FFAI__TRY(holds_pattern(holds, c, schema, "pattern", pattern, true, value));
    if (format && !format_pattern)
        return ffai__schema_refuse(c, schema, "format", FFAI_E_UNSUPPORTED, "this format is not supported");
    return format ? holds_pattern(holds, c, schema, "format", format_pattern, false, value) : FFAI_OK;
}

static ffai_status holds_array(bool *holds, ffai__schema_compiler *c, const json_t *schema, const json_t *value)
{
    const json_t *prefix = json_object_get(schema, "prefixItems");
    FFAI__TRY(holds_count(holds, c, schema, "minItems", "maxItems", json_array_size(value)));
    for (size_t i = 0; i < json_array_size(value) && *holds; i++) {
        const json_t *item = i < json_array_size(prefix) ? json_array_get(prefix, i) : json_object_get(schema, "items");
        if (item)
            FFAI__TRY(ffai__schema_holds(holds, c, item, json_array_get(value, i)));
    }
    return FFAI_OK;
}

static ffai_status holds_object(bool *holds, ffai__schema_compiler *c, const json_t *schema, const json_t *value)
{
    const json_t *required = json_object_get(schema, "required");
    const json_t *properties = json_object_get(schema, "properties");
    FFAI__TRY(holds_count(holds, c, schema, "minProperties", "maxProperties", json_object_size(value)));
    for (size_t i = 0; i < json_array_size(required); i++)
        *holds = *holds && json_object_get(value, json_string_value(json_array_get(required, i)));
    for (void *i = json_object_iter((json_t *)value); i && *holds; i = json_object_iter_next((json_t *)value, i)) {
        const json_t *declared = json_object_get(properties, json_object_iter_key(i));
        const json_t *property = declared ? declared : json_object_get(schema, "additionalProperties");
        if (property)
            FFAI__TRY(ffai__schema_holds(holds, c, property, json_object_iter_value(i)));
    }
    return FFAI_OK;
}

ffai_status ffai__schema_holds_itself(bool *holds, ffai__schema_compiler *c, const json_t *schema, const json_t *value)
{
    const unsigned type = ffai__schema_type_of(value);
    unsigned types = FFAI__JSON_ANY;
    *holds = true;
    if (json_is_boolean(schema)) {
        *holds = json_is_true(schema);
        return FFAI_OK;
    }
    FFAI__TRY(ffai__schema_types(&types, c, schema));
    *holds = (types & type) && holds_values(schema, value);
    if (!*holds)
        return FFAI_OK;
    if (json_is_number(value))
        return holds_number(holds, c, schema, value);
    if (json_is_string(value))
        return holds_string(holds, c, schema, value);
    if (json_is_array(value))
        return holds_array(holds, c, schema, value);
    return json_is_object(value) ? holds_object(holds, c, schema, value) : FFAI_OK;
}

/* How many of a list of schemas the value follows. */
static ffai_status count_holding(size_t *count, ffai__schema_compiler *c, const json_t *list, const json_t *value)
{
    *count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        bool holds = false;
        FFAI__TRY(ffai__schema_holds(&holds, c, json_array_get(list, i), value));
        *count += holds;
    }
    return FFAI_OK;
}

static ffai_status holds_applicators(bool *holds, ffai__schema_compiler *c, const json_t *schema, const json_t *value)
{
    const json_t *target = NULL;
    size_t count = 0;
    FFAI__TRY(ffai__schema_resolve(&target, c, schema));
    if (target)
        FFAI__TRY(ffai__schema_holds(holds, c, target, value));
    FFAI__TRY(count_holding(&count, c, json_object_get(schema, "allOf"), value));
    *holds = *holds && count == json_array_size(json_object_get(schema, "allOf"));
    FFAI__TRY(count_holding(&count, c, json_object_get(schema, "anyOf"), value));
    *holds = *holds && (count > 0 || !json_object_get(schema, "anyOf"));
    FFAI__TRY(count_holding(&count, c, json_object_get(schema, "oneOf"), value));
    *holds = *holds && (count == 1 || !json_object_get(schema, "oneOf"));
    const json_t *negative = json_object_get(schema, "not");
    bool breaks = false;
    if (negative)
        FFAI__TRY(ffai__schema_holds(&breaks, c, negative, value));
    *holds = *holds && !breaks;
    return FFAI_OK;
}

ffai_status ffai__schema_holds(bool *holds, ffai__schema_compiler *c, const json_t *schema, const json_t *value)
{
    if (++c->depth > SCHEMA_DEPTH_MAX)
        return ffai__schema_refuse(c, schema, NULL, FFAI_E_LIMIT, "schemas lead to each other too often");
    FFAI__TRY(ffai__schema_check(c, schema));
    FFAI__TRY(ffai__schema_holds_itself(holds, c, schema, value));
    if (*holds && json_is_object(schema))
        FFAI__TRY(holds_applicators(holds, c, schema, value));
    c->depth--;
    return FFAI_OK;
}

/* --- whether schemas exclude each other --- */

/* A schema and what it refers to and joins, as one set. */
static ffai_status join(ffai__schema_set *set, ffai__schema_compiler *c, const json_t *schema)
{
    set->count = 0;
    FFAI__TRY(ffai__schema_set_add(set, schema, c));
    for (uint32_t i = 0; i < set->count; i++) {
        const json_t *one = set->schemas[i];
        const json_t *all = json_object_get(one, "allOf");
        const json_t *target = NULL;
        FFAI__TRY(ffai__schema_check(c, one));
        FFAI__TRY(ffai__schema_resolve(&target, c, one));
        if (target)
            FFAI__TRY(ffai__schema_set_add(set, target, c));
        for (size_t part = 0; part < json_array_size(all); part++)
            FFAI__TRY(ffai__schema_set_add(set, json_array_get(all, part), c));
    }
    return FFAI_OK;
}

static ffai_status types_of_set(unsigned *types, const ffai__schema_compiler *c, const ffai__schema_set *set)
{
    *types = FFAI__JSON_ANY;
    for (uint32_t i = 0; i < set->count; i++) {
        unsigned one = 0;
        if (json_is_false(set->schemas[i]))
            *types = 0;
        if (!json_is_object(set->schemas[i]))
            continue;
        FFAI__TRY(ffai__schema_types(&one, c, set->schemas[i]));
        *types &= one;
    }
    return FFAI_OK;
}

/* Whether all values that a const or an enum of the set lists break the schema. */
static ffai_status values_break(bool *apart, ffai__schema_compiler *c, const ffai__schema_set *set, const json_t *other)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const json_t *constant = json_object_get(set->schemas[i], "const");
        const json_t *list = json_object_get(set->schemas[i], "enum");
        bool any = false;
        if (!constant && !list)
            continue;
        for (size_t v = 0; v < (constant ? 1 : json_array_size(list)) && !any; v++)
            FFAI__TRY(ffai__schema_holds(&any, c, other, constant ? constant : json_array_get(list, v)));
        if (!any) {
            *apart = true;
            return FFAI_OK;
        }
    }
    return FFAI_OK;
}

static bool requires(const ffai__schema_set *set, const char *name)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const json_t *required = json_object_get(set->schemas[i], "required");
        for (size_t r = 0; r < json_array_size(required); r++) {
            const char *one = json_string_value(json_array_get(required, r));
            if (one && strcmp(one, name) == 0)
                return true;
        }
    }
    return false;
}

/* What one schema requires and another closes out, or a property that both require, and that is another in each. */
static ffai_status properties_apart(bool *apart, ffai__schema_compiler *c, const ffai__schema_set *a,
                                    const ffai__schema_set *b)
{
    for (uint32_t i = 0; i < a->count * b->count && !*apart; i++) {
        const json_t *one = json_object_get(a->schemas[i / b->count], "properties");
        const json_t *other = json_object_get(b->schemas[i % b->count], "properties");
        const bool closed = json_is_false(json_object_get(b->schemas[i % b->count], "additionalProperties"));
        for (void *p = json_object_iter((json_t *)one); p && !*apart; p = json_object_iter_next((json_t *)one, p)) {
            const char *name = json_object_iter_key(p);
            const json_t *same = json_object_get(other, name);
            if (!same && closed && requires(a, name))
                *apart = true;
            if (same && requires(a, name) && requires(b, name))
                FFAI__TRY(ffai__schema_apart(apart, c, json_object_iter_value(p), same));
        }
    }
    return FFAI_OK;
}

/* The least and the most that a set's keywords give, where both are of numbers alone. */
static void interval(double *low, double *high, const ffai__schema_set *set, const char *const keywords[4])
{
    *low = -INFINITY;
    *high = INFINITY;
    for (uint32_t i = 0; i < set->count; i++) {
        for (int k = 0; k < 4; k++) {
            const json_t *bound = json_object_get(set->schemas[i], keywords[k]);
            const double value = json_number_value(bound);
            if (!json_is_number(bound))
                continue;
            if (k < 2)
                *low = fmax(*low, k == 1 ? nextafter(value, INFINITY) : value);
            else
                *high = fmin(*high, k == 3 ? nextafter(value, -INFINITY) : value);
        }
    }
}

static bool intervals_apart(const ffai__schema_set *a, const ffai__schema_set *b, const char *const keywords[4])
{
    double low[2];
    double high[2];
    interval(&low[0], &high[0], a, keywords);
    interval(&low[1], &high[1], b, keywords);
    return high[0] < low[1] || high[1] < low[0];
}

static ffai_status kinds_apart(bool *apart, ffai__schema_compiler *c, const ffai__schema_set *a,
                               const ffai__schema_set *b, unsigned types)
{
    static const char *const bounds[] = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"};
    static const char *const lengths[] = {"minLength", "", "maxLength", ""};
    static const char *const counts[] = {"minItems", "", "maxItems", ""};
    *apart = true;
    if (types & (FFAI__JSON_INTEGER | FFAI__JSON_FRACTION))
        *apart = *apart && intervals_apart(a, b, bounds);
    if (types & FFAI__JSON_STRING)
        *apart = *apart && intervals_apart(a, b, lengths);
    if (types & FFAI__JSON_ARRAY)
        *apart = *apart && intervals_apart(a, b, counts);
    if (types & (FFAI__JSON_NULL | FFAI__JSON_BOOLEAN))
        *apart = false;
    if (!*apart || !(types & FFAI__JSON_OBJECT))
        return FFAI_OK;
    *apart = false;
    FFAI__TRY(properties_apart(apart, c, a, b));
    return *apart ? FFAI_OK : properties_apart(apart, c, b, a);
}

static ffai_status sets_apart(bool *apart, ffai__schema_compiler *c, const json_t *a, const json_t *b)
{
    ffai__schema_set first;
    ffai__schema_set second;
    unsigned types = 0;
    unsigned other_types = 0;
    FFAI__TRY(join(&first, c, a));
    FFAI__TRY(join(&second, c, b));
    FFAI__TRY(types_of_set(&types, c, &first));
    FFAI__TRY(types_of_set(&other_types, c, &second));
    types &= other_types;
    *apart = types == 0;
    if (!*apart)
        FFAI__TRY(values_break(apart, c, &first, b));
    if (!*apart)
        FFAI__TRY(values_break(apart, c, &second, a));
    return *apart ? FFAI_OK : kinds_apart(apart, c, &first, &second, types);
}

ffai_status ffai__schema_apart(bool *apart, ffai__schema_compiler *c, const json_t *a, const json_t *b)
{
    if (++c->depth > SCHEMA_DEPTH_MAX)
        return ffai__schema_refuse(c, a, NULL, FFAI_E_LIMIT, "schemas lead to each other too often");
    FFAI__TRY(sets_apart(apart, c, a, b));
    c->depth--;
    return FFAI_OK;
}
