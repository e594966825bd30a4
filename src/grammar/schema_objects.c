#include "schema_compiler.h"

#include <string.h>

#include "grow.h"
#include "regular.h"
#include "spelling.h"

/* What is known of a property that the set names. */
typedef struct {
    const char *name;
    bool required;
    ffai__expression spelled; /* the name */
    ffai__expression member;  /* "name":value */
} property;

typedef struct {
    ffai__schema_compiler *c;
    const ffai__schema_set *set;
    property *properties; /* in the schemas' order, then those that are only required */
    uint32_t count, capacity;
    ffai__expression other; /* a member that is not named; FFAI__NEVER where there may be none */
    uint32_t min, max;
    uint32_t counted;       /* members are told apart by their number up to this one */
    ffai__expression *next; /* [count + 1, counted + 1] calls of rules */
} object;

static property *find_property(const object *o, const char *name)
{
    for (uint32_t i = 0; i < o->count; i++) {
        if (strcmp(o->properties[i].name, name) == 0)
            return &o->properties[i];
    }
    return NULL;
}

static ffai_status add_property(object *o, const char *name, bool required)
{
    property *known = find_property(o, name);
    if (known) {
        known->required = known->required || required;
        return FFAI_OK;
    }
    if (!FFAI__GROW(o->properties, o->capacity, o->count + 1))
        return ffai__fail_memory(o->c->err, "properties", o->count * sizeof *o->properties);
    o->properties[o->count++] = (property){name, required, FFAI__NEVER, FFAI__NEVER};
    return FFAI_OK;
}

static ffai_status gather_properties(object *o)
{
    for (uint32_t i = 0; i < o->set->count; i++) {
        json_t *named = json_object_get(o->set->schemas[i], "properties");
        for (void *p = json_object_iter(named); p; p = json_object_iter_next(named, p))
            FFAI__TRY(add_property(o, json_object_iter_key(p), false));
    }
    for (uint32_t i = 0; i < o->set->count; i++) {
        const json_t *required = json_object_get(o->set->schemas[i], "required");
        for (size_t r = 0; r < json_array_size(required); r++) {
            const json_t *name = json_array_get(required, r);
            if (strlen(json_string_value(name)) != json_string_length(name))
                return ffai__schema_refuse(o->c, o->set->schemas[i], "required", FFAI_E_UNSUPPORTED,
                                           "a name with a 0 in it");
            FFAI__TRY(add_property(o, json_string_value(name), true));
        }
    }
    return FFAI_OK;
}

/* What the value of a property is held to; NULL: one that no schema names. */
static ffai_status value_of(ffai__expression *out, const object *o, const char *name)
{
    ffai__schema_set held = {.count = 0};
    for (uint32_t i = 0; i < o->set->count; i++) {
        const json_t *schema = o->set->schemas[i];
        const json_t *own = name ? json_object_get(json_object_get(schema, "properties"), name) : NULL;
        const json_t *value = own ? own : json_object_get(schema, "additionalProperties");
        if (value)
            FFAI__TRY(ffai__schema_set_add(&held, value, o->c));
    }
    for (uint32_t i = 0; i < held.count; i++) {
        if (json_is_false(held.schemas[i])) {
            *out = FFAI__NEVER;
            return FFAI_OK;
        }
    }
    return ffai__schema_value(out, o->c, &held);
}

static ffai__expression quoted(ffai__rules *r, ffai__expression text)
{
    const ffai__expression quote = ffai__rules_literal(r, "\"", 1);
    return ffai__rules_sequence(r, (ffai__expression[]){quote, text, quote}, 3);
}

static ffai__expression member(ffai__rules *r, ffai__expression name, ffai__expression value)
{
    const ffai__expression parts[] = {quoted(r, name), ffai__rules_literal(r, ":", 1), value};
    return ffai__rules_sequence(r, parts, 3);
}

/* Names that no schema has. */
static ffai_status other_name(ffai__expression *out, const object *o)
{
    ffai__rules *r = o->c->rules;
    ffai__characters all = {0};
    ffai__characters_invert(&all);
    *out = ffai__rules_repeat(r, ffai__spell_characters(r, &all, FFAI__SPELL_JSON), 0, FFAI__UNLIMITED);
    ffai__characters_free(&all);
    if (o->count == 0)
        return ffai__rules_check(r, o->c->err);
    ffai__expression *named = ffai__array(o->count, sizeof *named);
    if (!named)
        return ffai__fail_memory(o->c->err, "properties", o->count * sizeof *named);
    for (uint32_t i = 0; i < o->count; i++)
        named[i] = o->properties[i].spelled;
    const ffai__expression all_named = ffai__rules_choice(r, named, o->count);
    ffai__free(named);
    FFAI__TRY(ffai__rules_check(r, o->c->err));
    return ffai__regular_without(out, r, *out, all_named, o->c->err);
}

static ffai_status make_members(object *o)
{
    ffai__rules *r = o->c->rules;
    ffai__expression value = FFAI__NEVER;
    ffai__expression name = FFAI__NEVER;
    for (uint32_t i = 0; i < o->count; i++) {
        property *p = &o->properties[i];
        FFAI__TRY(value_of(&value, o, p->name));
        p->spelled = ffai__spell_text(r, p->name, strlen(p->name), FFAI__SPELL_JSON);
        p->member = member(r, p->spelled, value);
    }
    FFAI__TRY(value_of(&value, o, NULL));
    if (value == FFAI__NEVER)
        return FFAI_OK;
    FFAI__TRY(other_name(&name, o));
    o->other = member(r, name, value);
    return FFAI_OK;
}

/* --- which members follow which --- */

static uint32_t required_count(const object *o)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < o->count; i++)
        count += o->properties[i].required;
    return count;
}

/* Members that are not named may have the same name twice, and then count once. */
static ffai_status read_limits(object *o)
{
    o->max = FFAI__UNLIMITED;
    for (uint32_t i = 0; i < o->set->count; i++) {
        const json_t *schema = o->set->schemas[i];
        uint32_t value = 0;
        bool given = false;
        FFAI__TRY(ffai__schema_count(&value, &given, o->c, schema, "maxProperties"));
        o->max = given && value < o->max ? value : o->max;
        FFAI__TRY(ffai__schema_count(&value, &given, o->c, schema, "minProperties"));
        o->min = given && value > o->min ? value : o->min;
        if (given && value > required_count(o) + 1 && o->other != FFAI__NEVER)
            return ffai__schema_refuse(o->c, schema, "minProperties", FFAI_E_UNSUPPORTED,
                                       "more than the required properties and one, where other properties are allowed: "
                                       "their names cannot be told apart");
    }
    if (o->min <= required_count(o))
        o->min = 0;
    const uint32_t limit = o->max != FFAI__UNLIMITED ? o->max : o->min;
    o->counted = limit > 1 ? limit : 1;
    if ((uint64_t)(o->count + 1) * (o->counted + 1) > FFAI__RULES_MAX)
        return ffai__schema_refuse(o->c, o->set->schemas[0], NULL, FFAI_E_LIMIT, "too many properties to count");
    return FFAI_OK;
}

static ffai__expression *after(const object *o, uint32_t place, uint32_t members)
{
    const uint32_t known = members < o->counted ? members : o->counted;
    return &o->next[place * (o->counted + 1) + known];
}

static ffai__expression with_comma(ffai__rules *r, uint32_t members, ffai__expression e)
{
    return members > 0 ? ffai__rules_pair(r, ffai__rules_literal(r, ",", 1), e) : e;
}

/* Behind the last property, with so many members there. */
static ffai__expression others(const object *o, uint32_t members)
{
    ffai__rules *r = o->c->rules;
    const uint32_t least = o->min > members ? o->min - members : 0;
    const uint32_t most = o->max == FFAI__UNLIMITED ? o->max : o->max - members;
    const ffai__expression none = least == 0 ? FFAI__EMPTY : FFAI__NEVER;
    if (o->other == FFAI__NEVER || most == 0)
        return none;
    const uint32_t left = most == FFAI__UNLIMITED ? most : most - 1;
    const ffai__expression more = ffai__rules_repeat(r, with_comma(r, 1, o->other), least > 0 ? least - 1 : 0, left);
    return ffai__rules_either(r, none, ffai__rules_pair(r, with_comma(r, members, o->other), more));
}

static ffai__expression property_or_not(const object *o, uint32_t place, uint32_t members)
{
    ffai__rules *r = o->c->rules;
    const property *p = &o->properties[place];
    ffai__expression with = FFAI__NEVER;
    if (members < o->max)
        with = ffai__rules_pair(r, with_comma(r, members, p->member), *after(o, place + 1, members + 1));
    return p->required ? with : ffai__rules_either(r, with, *after(o, place + 1, members));
}

/* Rules from the last property to the first. */
static ffai_status chain(object *o)
{
    ffai__rules *r = o->c->rules;
    for (uint32_t place = o->count + 1; place-- > 0;) {
        for (uint32_t members = 0; members <= o->counted; members++) {
            const ffai__expression body = place == o->count ? others(o, members) : property_or_not(o, place, members);
            const uint32_t rule = ffai__rules_declare(r, "members", 7);
            FFAI__TRY(ffai__rules_check(r, o->c->err));
            ffai__rules_define(r, rule, body);
            *after(o, place, members) = ffai__rules_call(r, rule);
        }
    }
    return FFAI_OK;
}

static ffai_status compile(ffai__expression *out, object *o)
{
    ffai__rules *r = o->c->rules;
    FFAI__TRY(gather_properties(o));
    FFAI__TRY(make_members(o));
    FFAI__TRY(read_limits(o));
    o->next = ffai__calloc((size_t)(o->count + 1) * (o->counted + 1), sizeof *o->next);
    if (!o->next)
        return ffai__fail_memory(o->c->err, "properties", o->count * sizeof *o->next);
    FFAI__TRY(chain(o));
    const ffai__expression parts[] = {ffai__rules_literal(r, "{", 1), *after(o, 0, 0), ffai__rules_literal(r, "}", 1)};
    *out = ffai__rules_sequence(r, parts, 3);
    return FFAI_OK;
}

ffai_status ffai__schema_object(ffai__expression *out, ffai__schema_compiler *c, const ffai__schema_set *set)
{
    object o = {.c = c, .set = set, .other = FFAI__NEVER};
    const ffai_status status = compile(out, &o);
    ffai__free(o.properties);
    ffai__free(o.next);
    return status;
}
