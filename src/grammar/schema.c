#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "grow.h"
#include "schema_compiler.h"

/* --- places --- */

/* Append the JSON pointer of a part of the document; false if it is not in there. */
static bool find_place(ffai__buffer *out, const json_t *in, const json_t *part)
{
    const size_t before = out->size;
    if (in == part)
        return true;
    for (size_t i = 0; i < json_array_size(in); i++) {
        ffai__buffer_format(out, "/%zu", i);
        if (find_place(out, json_array_get(in, i), part))
            return true;
        out->size = before;
    }
    for (void *i = json_object_iter((json_t *)in); i; i = json_object_iter_next((json_t *)in, i)) {
        ffai__buffer_text(out, "/");
        for (const char *key = json_object_iter_key(i); *key; key++)
            ffai__buffer_append(out, *key == '~' ? "~0" : *key == '/' ? "~1" : key, *key == '~' || *key == '/' ? 2 : 1);
        if (find_place(out, json_object_iter_value(i), part))
            return true;
        out->size = before;
    }
    return false;
}

/* "#/properties/a/minimum", to be freed. */
static char *place_of(const ffai__schema_compiler *c, const json_t *schema, const char *keyword)
{
    ffai__buffer place = FFAI__BUFFER_INIT;
    ffai__buffer_text(&place, "#");
    find_place(&place, c->root, schema);
    if (keyword)
        ffai__buffer_format(&place, "/%s", keyword);
    return ffai__buffer_take(&place, NULL);
}

ffai_status ffai__schema_refuse(const ffai__schema_compiler *c, const json_t *schema, const char *keyword,
                                ffai_status status, const char *why)
{
    char *place = place_of(c, schema, keyword);
    ffai__fail(c->err, status, "schema: %s: %s", place ? place : "#", why);
    ffai__free(place);
    return status;
}

ffai_status ffai__schema_fail_at(const ffai__schema_compiler *c, const json_t *schema, const char *keyword,
                                 ffai_status status)
{
    char *place = place_of(c, schema, keyword);
    ffai__fail_in(c->err, status, "schema: %s", place ? place : "#");
    ffai__free(place);
    return status;
}

/* --- keywords --- */

typedef enum { IGNORED, ANYTHING, SCHEMA, SCHEMAS, SCHEMA_MAP, TEXT, TEXTS, NUMBER, COUNT, LIST, SWITCH } keyword_form;

static const struct {
    const char *name;
    keyword_form form;
} keywords[] = {
    {"$schema", IGNORED},
    {"$comment", IGNORED},
    {"$anchor", IGNORED},
    {"$defs", IGNORED},
    {"definitions", IGNORED},
    {"title", IGNORED},
    {"description", IGNORED},
    {"default", IGNORED},
    {"examples", IGNORED},
    {"deprecated", IGNORED},
    {"readOnly", IGNORED},
    {"writeOnly", IGNORED},
    {"$id", TEXT},
    {"$ref", TEXT},
    {"type", ANYTHING},
    {"const", ANYTHING},
    {"enum", LIST},
    {"allOf", SCHEMAS},
    {"anyOf", SCHEMAS},
    {"oneOf", SCHEMAS},
    {"not", SCHEMA},
    {"properties", SCHEMA_MAP},
    {"additionalProperties", SCHEMA},
    {"required", TEXTS},
    {"minProperties", COUNT},
    {"maxProperties", COUNT},
    {"prefixItems", SCHEMAS},
    {"items", SCHEMA},
    {"minItems", COUNT},
    {"maxItems", COUNT},
    {"uniqueItems", SWITCH},
    {"minLength", COUNT},
    {"maxLength", COUNT},
    {"pattern", TEXT},
    {"format", TEXT},
    {"minimum", NUMBER},
    {"maximum", NUMBER},
    {"exclusiveMinimum", NUMBER},
    {"exclusiveMaximum", NUMBER},
    {"multipleOf", NUMBER},
};

static bool is_schema(const json_t *value)
{
    return json_is_object(value) || json_is_boolean(value);
}

static bool all_are(const json_t *list, bool (*is)(const json_t *value))
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!is(json_array_get(list, i)))
            return false;
    }
    return json_is_array(list);
}

static bool is_text(const json_t *value)
{
    return json_is_string(value);
}

static bool is_count(const json_t *value)
{
    const double number = json_number_value(value);
    return json_is_number(value) && number >= 0 && number <= UINT32_MAX / 2 && number == (double)(uint32_t)number;
}

static bool is_schema_map(const json_t *value)
{
    for (void *i = json_object_iter((json_t *)value); i; i = json_object_iter_next((json_t *)value, i)) {
        if (!is_schema(json_object_iter_value(i)))
            return false;
    }
    return json_is_object(value);
}

/* NULL if the value has the keyword's form, else what it must be. */
static const char *wrong_form(keyword_form form, const json_t *value)
{
    switch (form) {
    case IGNORED:
    case ANYTHING:
        return NULL;
    case SCHEMA:
        return is_schema(value) ? NULL : "must be a schema";
    case SCHEMAS:
        return all_are(value, is_schema) && json_array_size(value) > 0 ? NULL : "must be a list of schemas";
    case SCHEMA_MAP:
        return is_schema_map(value) ? NULL : "must be an object of schemas";
    case TEXT:
        return json_is_string(value) ? NULL : "must be a string";
    case TEXTS:
        return all_are(value, is_text) ? NULL : "must be a list of strings";
    case NUMBER:
        return json_is_number(value) ? NULL : "must be a number";
    case COUNT:
        return is_count(value) ? NULL : "must be a whole number from 0 to 2147483647";
    case LIST:
        return json_is_array(value) ? NULL : "must be a list";
    case SWITCH:
        return json_is_boolean(value) ? NULL : "must be true or false";
    }
    return NULL;
}

static ffai_status check_keyword(const ffai__schema_compiler *c, const json_t *schema, const char *name,
                                 const json_t *value)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (strcmp(keywords[i].name, name) != 0)
            continue;
        const char *fault = wrong_form(keywords[i].form, value);
        return fault ? ffai__schema_refuse(c, schema, name, FFAI_E_FORMAT, fault) : FFAI_OK;
    }
    return ffai__schema_refuse(c, schema, name, FFAI_E_UNSUPPORTED, "this keyword is not supported");
}

ffai_status ffai__schema_check(const ffai__schema_compiler *c, const json_t *schema)
{
    if (!is_schema(schema))
        return ffai__schema_refuse(c, schema, NULL, FFAI_E_FORMAT, "must be a schema: an object, true or false");
    for (void *i = json_object_iter((json_t *)schema); i; i = json_object_iter_next((json_t *)schema, i))
        FFAI__TRY(check_keyword(c, schema, json_object_iter_key(i), json_object_iter_value(i)));
    return FFAI_OK;
}

ffai_status ffai__schema_count(uint32_t *out, bool *given, const ffai__schema_compiler *c, const json_t *schema,
                               const char *keyword)
{
    (void)c; /* its form was checked */
    const json_t *value = json_object_get(schema, keyword);
    *given = value != NULL;
    if (value)
        *out = (uint32_t)json_number_value(value);
    return FFAI_OK;
}

/* --- references --- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The next part of a JSON pointer in a URI: %41, ~0 and ~1 decoded. `at` moves behind it. */
static void take_part(ffai__buffer *part, const char **at)
{
    const char *p = *at;
    part->size = 0;
    ffai__buffer_append(part, "", 0);
    for (; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '%' && hex_value(p[1]) >= 0 && hex_value(p[2]) >= 0) {
            c = (char)(hex_value(p[1]) * 16 + hex_value(p[2]));
            p += 2;
        }
        if (c == '~' && (p[1] == '0' || p[1] == '1'))
            c = *++p == '0' ? '~' : '/';
        ffai__buffer_append(part, &c, 1);
    }
    *at = p;
}

static const json_t *follow_pointer(const json_t *in, const char *pointer)
{
    ffai__buffer part = FFAI__BUFFER_INIT;
    while (in && *pointer == '/') {
        pointer++;
        take_part(&part, &pointer);
        const bool is_number = part.size > 0 && strspn(part.data, "0123456789") == part.size;
        if (part.failed)
            in = NULL;
        else if (json_is_array(in))
            in = is_number ? json_array_get(in, strtoul(part.data, NULL, 10)) : NULL;
        else
            in = json_object_get(in, part.data);
    }
    ffai__buffer_free(&part);
    return in;
}

/* The schema with this "$anchor". */
static const json_t *find_anchor(const json_t *in, const char *name)
{
    const char *anchor = json_string_value(json_object_get(in, "$anchor"));
    const json_t *found = anchor && strcmp(anchor, name) == 0 ? in : NULL;
    for (size_t i = 0; i < json_array_size(in) && !found; i++)
        found = find_anchor(json_array_get(in, i), name);
    for (void *i = json_object_iter((json_t *)in); i && !found; i = json_object_iter_next((json_t *)in, i))
        found = find_anchor(json_object_iter_value(i), name);
    return found;
}

ffai_status ffai__schema_resolve(const json_t **out, ffai__schema_compiler *c, const json_t *schema)
{
    const char *reference = json_string_value(json_object_get(schema, "$ref"));
    const char *base = json_string_value(json_object_get(c->root, "$id"));
    *out = NULL;
    if (!reference)
        return FFAI_OK;
    const char *fragment = strchr(reference, '#');
    const size_t before = fragment ? (size_t)(fragment - reference) : strlen(reference);
    const bool here = before == 0 || (base && strlen(base) == before && memcmp(base, reference, before) == 0);
    if (!here)
        return ffai__schema_refuse(c, schema, "$ref", FFAI_E_UNSUPPORTED, "it leads out of the schema");
    fragment = fragment ? fragment + 1 : "";
    *out = *fragment == 0 || *fragment == '/' ? follow_pointer(c->root, fragment) : find_anchor(c->root, fragment);
    if (*out && is_schema(*out))
        return FFAI_OK;
    return ffai__schema_refuse(c, schema, "$ref", FFAI_E_FORMAT, "it leads to no schema");
}

/* A schema with an "$id" of its own has references of its own. */
static const json_t *find_inner_id(const json_t *in, bool is_root)
{
    const json_t *found = !is_root && json_is_string(json_object_get(in, "$id")) ? in : NULL;
    for (size_t i = 0; i < json_array_size(in) && !found; i++)
        found = find_inner_id(json_array_get(in, i), false);
    for (void *i = json_object_iter((json_t *)in); i && !found; i = json_object_iter_next((json_t *)in, i))
        found = find_inner_id(json_object_iter_value(i), false);
    return found;
}

/* --- sets --- */

ffai_status ffai__schema_set_add(ffai__schema_set *set, const json_t *schema, ffai__schema_compiler *c)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->schemas[i] == schema)
            return FFAI_OK;
    }
    if (json_is_true(schema))
        return FFAI_OK;
    if (set->count == FFAI__SCHEMAS_MAX)
        return ffai__schema_refuse(c, schema, NULL, FFAI_E_LIMIT, "a value is held to more than 64 schemas at once");
    set->schemas[set->count++] = schema;
    return FFAI_OK;
}

static bool same_set(const ffai__schema_set *a, const ffai__schema_set *b)
{
    return a->count == b->count && (a->count == 0 || !memcmp(a->schemas, b->schemas, a->count * sizeof *a->schemas));
}

ffai_status ffai__schema_value(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set)
{
    for (uint32_t i = 0; i < c->num_known; i++) {
        if (same_set(&c->known[i].set, set)) {
            *out = ffai__rules_call(c->rules, c->known[i].rule);
            return FFAI_OK;
        }
    }
    if (!FFAI__GROW(c->known, c->max_known, c->num_known + 1))
        return ffai__fail_memory(c->err, "a schema", c->num_known * sizeof *c->known);
    const uint32_t rule = ffai__rules_declare(c->rules, "value", 5);
    FFAI__TRY(ffai__rules_check(c->rules, c->err));
    c->known[c->num_known++] = (ffai__schema_rule){*set, rule};
    *out = ffai__rules_call(c->rules, rule);
    return FFAI_OK;
}

/* A set, and which of its members' anyOf and oneOf have been made alternatives. */
typedef struct {
    ffai__schema_set set;
    bool any_of[FFAI__SCHEMAS_MAX], one_of[FFAI__SCHEMAS_MAX];
} expansion;

/* Hold the value to what breaks a schema, which is part of a keyword of `place`. */
static ffai_status add_negation(ffai__schema_set *set, ffai__schema_compiler *c, const json_t *of, const json_t *place,
                                const char *keyword, const char *why)
{
    const json_t *negated = NULL;
    FFAI__TRY(ffai__schema_negate(&negated, c, of));
    if (!negated)
        return ffai__schema_refuse(c, place, keyword, FFAI_E_UNSUPPORTED, why);
    return ffai__schema_set_add(set, negated, c);
}

/* Add what the members refer to and join. */
static ffai_status close_set(ffai__schema_set *set, ffai__schema_compiler *c)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const json_t *schema = set->schemas[i];
        const json_t *parts = json_object_get(schema, "allOf");
        const json_t *target = NULL;
        FFAI__TRY(ffai__schema_check(c, schema));
        FFAI__TRY(ffai__schema_resolve(&target, c, schema));
        if (target)
            FFAI__TRY(ffai__schema_set_add(set, target, c));
        for (size_t part = 0; part < json_array_size(parts); part++)
            FFAI__TRY(ffai__schema_set_add(set, json_array_get(parts, part), c));
        if (json_object_get(schema, "not"))
            FFAI__TRY(add_negation(set, c, json_object_get(schema, "not"), schema, "not",
                                   "values that it leaves over cannot be told: say what they are"));
    }
    return FFAI_OK;
}

static ffai_status set_types(unsigned *types, const ffai__schema_compiler *c, const ffai__schema_set *set)
{
    *types = FFAI__JSON_ANY;
    for (uint32_t i = 0; i < set->count; i++) {
        unsigned one = 0;
        if (json_is_object(set->schemas[i]))
            FFAI__TRY(ffai__schema_types(&one, c, set->schemas[i]));
        *types &= one;
    }
    return FFAI_OK;
}

/* The values of a const or an enum that follow the rest of the set; *out is left alone where there is neither. */
static ffai_status listed_values(ffai__expression *out, bool *listed, ffai__schema_compiler *c,
                                 const ffai__schema_set *set)
{
    const json_t *constant = NULL;
    const json_t *list = NULL;
    for (uint32_t i = 0; i < set->count && !constant; i++) {
        constant = json_object_get(set->schemas[i], "const");
        list = list ? list : json_object_get(set->schemas[i], "enum");
    }
    *listed = constant || list;
    const size_t count = constant ? 1 : json_array_size(list);
    ffai__expression *values = ffai__array(count, sizeof *values);
    ffai_status status = values ? FFAI_OK : ffai__fail_memory(c->err, "an enum", count * sizeof *values);
    for (size_t v = 0; v < count && status == FFAI_OK; v++) {
        const json_t *value = constant ? constant : json_array_get(list, v);
        bool holds = true;
        for (uint32_t i = 0; i < set->count && holds && status == FFAI_OK; i++)
            status = ffai__schema_holds_itself(&holds, c, set->schemas[i], value);
        values[v] = FFAI__NEVER;
        if (holds && status == FFAI_OK)
            status = ffai__schema_literal(&values[v], c, value);
    }
    if (status == FFAI_OK)
        *out = ffai__rules_choice(c->rules, values, count);
    ffai__free(values);
    return status;
}

/* A set without alternatives. */
static ffai_status compile_plain(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set)
{
    ffai__expression parts[6] = {FFAI__NEVER, FFAI__NEVER, FFAI__NEVER, FFAI__NEVER, FFAI__NEVER, FFAI__NEVER};
    unsigned types = 0;
    bool listed = false;
    FFAI__TRY(set_types(&types, c, set));
    FFAI__TRY(listed_values(out, &listed, c, set));
    if (listed)
        return FFAI_OK;
    if (types & FFAI__JSON_NULL)
        parts[0] = ffai__rules_literal(c->rules, "null", 4);
    if (types & FFAI__JSON_BOOLEAN)
        parts[1] = ffai__rules_either(c->rules, ffai__rules_literal(c->rules, "true", 4),
                                      ffai__rules_literal(c->rules, "false", 5));
    if (types & (FFAI__JSON_INTEGER | FFAI__JSON_FRACTION))
        FFAI__TRY(ffai__schema_numbers(&parts[2], c, set, types));
    if (types & FFAI__JSON_STRING)
        FFAI__TRY(ffai__schema_string(&parts[3], c, set));
    if (types & FFAI__JSON_ARRAY)
        FFAI__TRY(ffai__schema_array(&parts[4], c, set));
    if (types & FFAI__JSON_OBJECT)
        FFAI__TRY(ffai__schema_object(&parts[5], c, set));
    *out = ffai__rules_choice(c->rules, parts, 6);
    return ffai__rules_check(c->rules, c->err);
}

/* One alternative of oneOf: the value must break the others, those of them that may hold for the same one. */
static ffai_status exclude_others(ffai__schema_set *set, ffai__schema_compiler *c, const json_t *schema, size_t chosen)
{
    const json_t *list = json_object_get(schema, "oneOf");
    for (size_t i = 0; i < json_array_size(list); i++) {
        bool apart = i == chosen;
        if (!apart)
            FFAI__TRY(ffai__schema_apart(&apart, c, json_array_get(list, chosen), json_array_get(list, i)));
        if (!apart)
            FFAI__TRY(add_negation(set, c, json_array_get(list, i), schema, "oneOf",
                                   "two of them may hold for one value: tell them apart by type, const, a range or a "
                                   "required property, or use anyOf"));
    }
    return FFAI_OK;
}

static ffai_status compile_set(ffai__expression *out, ffai__schema_compiler *c, const expansion *before);

static ffai_status compile_alternatives(ffai__expression *out, ffai__schema_compiler *c, const expansion *e,
                                        const json_t *schema, const char *keyword)
{
    const json_t *list = json_object_get(schema, keyword);
    const bool one_of = strcmp(keyword, "oneOf") == 0;
    const size_t count = json_array_size(list);
    c->alternatives += (uint32_t)count;
    if (c->alternatives > FFAI__ALTERNATIVES_MAX)
        return ffai__fail(c->err, FFAI_E_LIMIT, "schema: anyOf and oneOf multiply to more than %d alternatives",
                          FFAI__ALTERNATIVES_MAX);
    ffai__expression *parts = ffai__array(count, sizeof *parts);
    ffai_status status = parts ? FFAI_OK : ffai__fail_memory(c->err, "alternatives", count * sizeof *parts);
    for (size_t i = 0; i < count && status == FFAI_OK; i++) {
        expansion one = *e;
        status = ffai__schema_set_add(&one.set, json_array_get(list, i), c);
        if (status == FFAI_OK && one_of)
            status = exclude_others(&one.set, c, schema, i);
        if (status == FFAI_OK)
            status = compile_set(&parts[i], c, &one);
    }
    if (status == FFAI_OK)
        *out = ffai__rules_choice(c->rules, parts, count);
    ffai__free(parts);
    return status;
}

static ffai_status compile_set(ffai__expression *out, ffai__schema_compiler *c, const expansion *before)
{
    expansion e = *before;
    FFAI__TRY(close_set(&e.set, c));
    for (uint32_t i = 0; i < e.set.count; i++) {
        if (json_is_false(e.set.schemas[i])) {
            *out = FFAI__NEVER;
            return FFAI_OK;
        }
    }
    for (uint32_t i = 0; i < e.set.count; i++) {
        const json_t *schema = e.set.schemas[i];
        const json_t *any_of = json_object_get(schema, "anyOf");
        const json_t *one_of = json_object_get(schema, "oneOf");
        if (any_of && !e.any_of[i]) {
            e.any_of[i] = true;
            return compile_alternatives(out, c, &e, schema, "anyOf");
        }
        if (one_of && !e.one_of[i]) {
            e.one_of[i] = true;
            return compile_alternatives(out, c, &e, schema, "oneOf");
        }
    }
    return compile_plain(out, c, &e.set);
}

/* --- the whole --- */

static ffai_status compile_rules(ffai__schema_compiler *c)
{
    for (uint32_t i = 0; i < c->num_known; i++) { /* it grows on the way */
        const expansion e = {.set = c->known[i].set};
        ffai__expression body = FFAI__NEVER;
        FFAI__TRY(compile_set(&body, c, &e));
        FFAI__TRY(ffai__rules_check(c->rules, c->err));
        ffai__rules_define(c->rules, c->known[i].rule, body);
    }
    return FFAI_OK;
}

static ffai_status compile(uint32_t *root, ffai__schema_compiler *c)
{
    ffai__schema_set set = {.count = 0};
    ffai__expression call = FFAI__NEVER;
    const json_t *inner = find_inner_id(c->root, true);
    if (inner)
        return ffai__schema_refuse(c, inner, "$id", FFAI_E_UNSUPPORTED, "a schema within another is not supported");
    FFAI__TRY(ffai__schema_check(c, c->root));
    FFAI__TRY(ffai__schema_set_add(&set, c->root, c));
    FFAI__TRY(ffai__schema_value(&call, c, &set));
    *root = c->known[0].rule;
    return compile_rules(c);
}

ffai_status ffai__schema_parse(uint32_t *root, ffai__rules *rules, const char *text, size_t size, ffai_error *err)
{
    ffai__schema_compiler c = {.rules = rules, .err = err};
    if (size > FFAI__SCHEMA_SIZE_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "schema: %zu bytes, more than %d", size, FFAI__SCHEMA_SIZE_MAX);
    FFAI__TRY(ffai__json_parse_as_written(&c.root, text, size, "schema", err));
    const ffai_status status = compile(root, &c);
    for (uint32_t i = 0; i < c.num_negated; i++)
        json_decref(c.negated[i].negated);
    ffai__free(c.negated);
    ffai__free(c.known);
    json_decref(c.root);
    return status;
}
