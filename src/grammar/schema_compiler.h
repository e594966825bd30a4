/* What the files that compile JSON schemas share.
 *
 * A value is held to a set of schemas at once, all of which it must follow: a schema, what it refers to and the parts
 * of its allOf are one set. anyOf and oneOf make alternatives of it, each with one more member, until a set has nothing
 * left but keywords that speak of the value itself: then each type's keywords are joined. Every set gets a rule. */
#ifndef FFAI_GRAMMAR_SCHEMA_COMPILER_H
#define FFAI_GRAMMAR_SCHEMA_COMPILER_H

#include "json.h"
#include "rules.h"

enum {
    FFAI__SCHEMAS_MAX = 64,        /* of a set */
    FFAI__ALTERNATIVES_MAX = 2048, /* of all sets together */
};

typedef enum ffai__json_types {
    FFAI__JSON_NULL = 1,
    FFAI__JSON_BOOLEAN = 2,
    FFAI__JSON_INTEGER = 4,
    FFAI__JSON_FRACTION = 8, /* a number that is no integer */
    FFAI__JSON_STRING = 16,
    FFAI__JSON_ARRAY = 32,
    FFAI__JSON_OBJECT = 64,
    FFAI__JSON_ANY = 127,
} ffai__json_types;

typedef struct ffai__schema_set {
    const json_t *schemas[FFAI__SCHEMAS_MAX];
    uint32_t count;
} ffai__schema_set;

typedef struct ffai__schema_rule {
    ffai__schema_set set;
    uint32_t rule;
} ffai__schema_rule;

/* A schema and what breaks it, NULL where that cannot be said. */
typedef struct ffai__schema_negated {
    const json_t *of;
    json_t *negated;
} ffai__schema_negated;

/* In negations: the type of numbers that are no integers. It is no UTF-8, so no schema's text has it. */
#define FFAI__FRACTION "\xFF"

typedef struct ffai__schema_compiler {
    ffai__rules *rules;
    json_t *root;
    ffai__schema_rule *known; /* a rule's body is made when its turn comes */
    uint32_t num_known, max_known;
    ffai__schema_negated *negated;
    uint32_t num_negated, max_negated;
    uint32_t alternatives;
    int depth;
    ffai_error *err;
} ffai__schema_compiler;

/* --- schema.c --- */

/* FFAI_E_UNSUPPORTED names a keyword of the schema that is not supported, FFAI_E_FORMAT one of a wrong form. */
ffai_status ffai__schema_check(const ffai__schema_compiler *c, const json_t *schema);
/* What a value that follows all of the set looks like: a call of its rule. */
ffai_status ffai__schema_value(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set);
ffai_status ffai__schema_set_add(ffai__schema_set *set, const json_t *schema, ffai__schema_compiler *c);
/* The schema that a $ref leads to. */
ffai_status ffai__schema_resolve(const json_t **out, ffai__schema_compiler *c, const json_t *schema);
/* Fails with "#/properties/a/minimum: why"; keyword may be NULL. */
ffai_status ffai__schema_refuse(const ffai__schema_compiler *c, const json_t *schema, const char *keyword,
                                ffai_status status, const char *why);
/* "schema: #/properties/a/pattern: " before what err says. */
ffai_status ffai__schema_fail_at(const ffai__schema_compiler *c, const json_t *schema, const char *keyword,
                                 ffai_status status);

/* A keyword that is a count; false where it is absent. */
ffai_status ffai__schema_count(uint32_t *out, bool *given, const ffai__schema_compiler *c, const json_t *schema,
                               const char *keyword);

/* --- schema_types.c: sets that have nothing but keywords that speak of the value --- */

ffai_status ffai__schema_numbers(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set,
                                 unsigned types);
ffai_status ffai__schema_string(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set);
ffai_status ffai__schema_array(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set);

/* --- schema_objects.c --- */

ffai_status ffai__schema_object(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set);

/* --- schema_check.c: values and pairs of schemas --- */

/* The types that "type" leaves open; 0 and a failure where it is none. */
ffai_status ffai__schema_types(unsigned *types, const ffai__schema_compiler *c, const json_t *schema);
unsigned ffai__schema_type_of(const json_t *value);
/* Whether a value follows a schema. */
ffai_status ffai__schema_holds(bool *holds, ffai__schema_compiler *c, const json_t *schema, const json_t *value);
/* Whether a value follows what speaks of itself in a schema: without $ref, allOf, anyOf, oneOf. */
ffai_status ffai__schema_holds_itself(bool *holds, ffai__schema_compiler *c, const json_t *schema, const json_t *value);
/* Whether no value can follow both schemas, as far as that is easily seen. */
ffai_status ffai__schema_apart(bool *apart, ffai__schema_compiler *c, const json_t *a, const json_t *b);
/* A value as it is spelled. */
ffai_status ffai__schema_literal(ffai__expression *out, ffai__schema_compiler *c, const json_t *value);

/* --- schema_negate.c --- */

/* A schema of all values that do not follow this one; *out is the compiler's, NULL where there is none for it. */
ffai_status ffai__schema_negate(const json_t **out, ffai__schema_compiler *c, const json_t *schema);

/* --- schema_formats.c --- */

/* The regular expression of a "format", or NULL. */
const char *ffai__schema_format(const char *name);

#endif
