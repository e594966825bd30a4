/* What breaks a schema, as a schema: at least one of its keywords is broken. */
#include "schema_compiler.h"

#include <math.h>
#include <string.h>

#include "grow.h"

enum { DEPTH_MAX = 32 };

typedef struct {
    ffai__schema_compiler *c;
    const json_t *schema;
    json_t *ways; /* schemas of values that break it */
    bool ok;      /* false: it has a keyword that cannot be turned round, or memory was short */
} negation;

static void add_way(negation *n, json_t *way)
{
    n->ok = way && json_array_append_new(n->ways, way) == 0 && n->ok;
}

static void break_types(negation *n, unsigned types)
{
    static const struct {
        unsigned type;
        const char *name;
    } names[] = {{FFAI__JSON_NULL, "null"},
                 {FFAI__JSON_BOOLEAN, "boolean"},
                 {FFAI__JSON_INTEGER, "integer"},
                 {FFAI__JSON_STRING, "string"},
                 {FFAI__JSON_ARRAY, "array"},
                 {FFAI__JSON_OBJECT, "object"},
                 {FFAI__JSON_FRACTION, FFAI__FRACTION}};
    json_t *others = json_array();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!(types & names[i].type))
            n->ok = json_array_append_new(others, json_string_nocheck(names[i].name)) == 0 && n->ok;
    }
    if (json_array_size(others) > 0)
        add_way(n, json_pack("{s:o}", "type", others));
    else
        json_decref(others);
}

/* A bound is broken by what lies on its other side. */
static void break_bound(negation *n, const char *keyword, const char *other)
{
    const json_t *bound = json_object_get(n->schema, keyword);
    if (bound)
        add_way(n, json_pack("{s:s, s:O}", "type", "number", other, bound));
}

/* A count is broken by one more or one less of the other limit. */
static void break_count(negation *n, const char *type, const char *keyword, const char *other, int step)
{
    const json_t *count = json_object_get(n->schema, keyword);
    const json_int_t value = (json_int_t)json_number_value(count) + step;
    if (count && value >= 0)
        add_way(n, json_pack("{s:s, s:I}", "type", type, other, value));
}

static void break_required(negation *n)
{
    const json_t *required = json_object_get(n->schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++)
        add_way(n, json_pack("{s:s, s:{s:b}}", "type", "object", "properties",
                             json_string_value(json_array_get(required, i)), 0));
}

/* The negation of another schema, as a new reference. */
static json_t *other_negated(negation *n, const json_t *schema)
{
    const json_t *negated = NULL;
    n->ok = ffai__schema_negate(&negated, n->c, schema) == FFAI_OK && negated && n->ok;
    return json_incref((json_t *)negated);
}

static void break_properties(negation *n)
{
    json_t *properties = json_object_get(n->schema, "properties");
    for (void *i = json_object_iter(properties); i; i = json_object_iter_next(properties, i)) {
        const char *name = json_object_iter_key(i);
        json_t *broken = other_negated(n, json_object_iter_value(i));
        if (broken)
            add_way(n,
                    json_pack("{s:s, s:[s], s:{s:o}}", "type", "object", "required", name, "properties", name, broken));
    }
}

/* Other types than the values', and of theirs what is left: of strings, lists and objects that is not said. */
static void break_values(negation *n)
{
    const json_t *constant = json_object_get(n->schema, "const");
    const json_t *list = json_object_get(n->schema, "enum");
    const size_t count = constant ? 1 : json_array_size(list);
    bool truths[2] = {false, false};
    unsigned types = 0;
    if (!constant && !list)
        return;
    for (size_t i = 0; i < count; i++) {
        const json_t *value = constant ? constant : json_array_get(list, i);
        types |= ffai__schema_type_of(value);
        truths[json_is_true(value)] = truths[json_is_true(value)] || json_is_boolean(value);
        if (json_is_number(value) && count == 1) {
            add_way(n, json_pack("{s:s, s:O}", "type", "number", "exclusiveMinimum", value));
            add_way(n, json_pack("{s:s, s:O}", "type", "number", "exclusiveMaximum", value));
            types |= FFAI__JSON_INTEGER | FFAI__JSON_FRACTION;
        } else if (!json_is_null(value) && !json_is_boolean(value)) {
            n->ok = false;
        }
    }
    for (int truth = 0; truth < 2 && (types & FFAI__JSON_BOOLEAN); truth++) {
        if (!truths[truth])
            add_way(n, json_pack("{s:b}", "const", truth));
    }
    break_types(n, types);
}

static void break_parts(negation *n)
{
    const json_t *all = json_object_get(n->schema, "allOf");
    const json_t *any = json_object_get(n->schema, "anyOf");
    const json_t *negative = json_object_get(n->schema, "not");
    const json_t *target = NULL;
    for (size_t i = 0; i < json_array_size(all); i++)
        add_way(n, other_negated(n, json_array_get(all, i)));
    json_t *none = json_array();
    for (size_t i = 0; i < json_array_size(any); i++)
        n->ok = json_array_append_new(none, other_negated(n, json_array_get(any, i))) == 0 && n->ok;
    if (any)
        add_way(n, json_pack("{s:O}", "allOf", none));
    json_decref(none);
    if (negative)
        add_way(n, json_incref((json_t *)negative));
    n->ok = ffai__schema_resolve(&target, n->c, n->schema) == FFAI_OK && n->ok;
    if (target)
        add_way(n, other_negated(n, target));
}

static void break_all(negation *n)
{
    static const char *const kept[] = {"oneOf",   "items",       "prefixItems", "additionalProperties",
                                       "pattern", "uniqueItems", "multipleOf",  "format"};
    unsigned types = FFAI__JSON_ANY;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        n->ok = n->ok && !json_object_get(n->schema, kept[i]);
    n->ok = n->ok && ffai__schema_types(&types, n->c, n->schema) == FFAI_OK;
    if (!n->ok)
        return;
    if (types != FFAI__JSON_ANY)
        break_types(n, types);
    break_bound(n, "minimum", "exclusiveMaximum");
    break_bound(n, "exclusiveMinimum", "maximum");
    break_bound(n, "maximum", "exclusiveMinimum");
    break_bound(n, "exclusiveMaximum", "minimum");
    break_count(n, "string", "minLength", "maxLength", -1);
    break_count(n, "string", "maxLength", "minLength", 1);
    break_count(n, "array", "minItems", "maxItems", -1);
    break_count(n, "array", "maxItems", "minItems", 1);
    break_count(n, "object", "minProperties", "maxProperties", -1);
    break_count(n, "object", "maxProperties", "minProperties", 1);
    break_required(n);
    break_properties(n);
    break_values(n);
    break_parts(n);
}

static json_t *negate(ffai__schema_compiler *c, const json_t *schema)
{
    if (json_is_boolean(schema))
        return json_boolean(!json_is_true(schema));
    negation n = {.c = c, .schema = schema, .ways = json_array(), .ok = true};
    break_all(&n);
    json_t *negated = NULL;
    if (n.ok)
        negated = json_array_size(n.ways) > 0 ? json_pack("{s:O}", "anyOf", n.ways) : json_false();
    json_decref(n.ways);
    return negated;
}

ffai_status ffai__schema_negate(const json_t **out, ffai__schema_compiler *c, const json_t *schema)
{
    *out = NULL;
    for (uint32_t i = 0; i < c->num_negated; i++) {
        if (c->negated[i].of == schema) {
            *out = c->negated[i].negated;
            return FFAI_OK;
        }
    }
    if (++c->depth > DEPTH_MAX)
        return ffai__schema_refuse(c, schema, NULL, FFAI_E_LIMIT, "schemas lead to each other too often");
    FFAI__TRY(ffai__schema_check(c, schema));
    json_t *negated = negate(c, schema);
    c->depth--;
    if (!FFAI__GROW(c->negated, c->max_negated, c->num_negated + 1)) {
        json_decref(negated);
        return ffai__fail_memory(c->err, "a schema", c->num_negated * sizeof *c->negated);
    }
    c->negated[c->num_negated++] = (ffai__schema_negated){schema, negated};
    *out = negated;
    return FFAI_OK;
}
