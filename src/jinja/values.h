/* What a template computes with. All of it lives in the interpreter's arena and is never changed once made, but for
 * namespaces, the frames of variables and what is still being built. */
#ifndef FFAI_JINJA_VALUES_H
#define FFAI_JINJA_VALUES_H

#include <jansson.h>

#include "interpreter.h"

typedef enum jinja_kind {
    JINJA_UNDEFINED, /* why: what an error says that needs it */
    JINJA_NONE,
    JINJA_BOOLEAN,
    JINJA_INTEGER,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_NAMESPACE,
    JINJA_RANGE,
    JINJA_FUNCTION,
    JINJA_MACRO,
    JINJA_LOOP,
    JINJA_KINDS
} jinja_kind;

/* UTF-8, and for each byte whether it came from the data. */
struct jinja_string {
    const char *data; /* ended by a 0 that size does not count */
    size_t size;
    size_t length;            /* characters */
    const uint8_t *from_data; /* [size]; NULL: all_from_data holds for each */
    bool all_from_data;
};

typedef struct jinja_value jinja_value;

typedef struct jinja_list {
    jinja_value *items;
    size_t count, capacity;
} jinja_list;

typedef struct jinja_dict jinja_dict;

typedef struct jinja_range {
    int64_t start, step;
    uint64_t count;
} jinja_range;

typedef struct jinja_function jinja_function;
typedef struct jinja_macro jinja_macro;
typedef struct jinja_loop jinja_loop;

struct jinja_value {
    jinja_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;
        const char *why;
        const jinja_string *string;
        const jinja_list *list; /* and tuples */
        jinja_dict *dict;       /* and namespaces */
        const jinja_range *range;
        const jinja_function *function;
        const jinja_macro *macro;
        jinja_loop *loop;
    };
};

/* --- made from C --- */

static inline jinja_value ffai__jinja_none(void)
{
    return (jinja_value){.kind = JINJA_NONE};
}
static inline jinja_value ffai__jinja_boolean(bool boolean)
{
    return (jinja_value){.kind = JINJA_BOOLEAN, .boolean = boolean};
}
static inline jinja_value ffai__jinja_integer(int64_t integer)
{
    return (jinja_value){.kind = JINJA_INTEGER, .integer = integer};
}
static inline jinja_value ffai__jinja_float(double number)
{
    return (jinja_value){.kind = JINJA_FLOAT, .number = number};
}
static inline jinja_value ffai__jinja_of_string(const jinja_string *string)
{
    return (jinja_value){.kind = JINJA_STRING, .string = string};
}
static inline jinja_value ffai__jinja_of_list(const jinja_list *list)
{
    return (jinja_value){.kind = JINJA_LIST, .list = list};
}
static inline jinja_value ffai__jinja_of_tuple(const jinja_list *list)
{
    return (jinja_value){.kind = JINJA_TUPLE, .list = list};
}
static inline jinja_value ffai__jinja_of_dict(jinja_dict *dict)
{
    return (jinja_value){.kind = JINJA_DICT, .dict = dict};
}
/* why as printf's. */
jinja_value ffai__jinja_undefined(ffai__jinja *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Valid UTF-8 that is copied, as the template's own text or as data. */
jinja_value ffai__jinja_string(ffai__jinja *j, const char *bytes, size_t size, bool from_data);
jinja_value ffai__jinja_literal(ffai__jinja *j, const char *text);

jinja_list *ffai__jinja_new_list(ffai__jinja *j, size_t capacity);
void ffai__jinja_add(ffai__jinja *j, jinja_list *list, jinja_value value);
jinja_value ffai__jinja_pair(ffai__jinja *j, jinja_value first, jinja_value second); /* a tuple */

/* JSON as a value; its texts are the template's own or data. */
jinja_value ffai__jinja_from_json(ffai__jinja *j, const json_t *json, bool from_data);

/* --- dicts, in the order in which keys were first set --- */

jinja_dict *ffai__jinja_new_dict(ffai__jinja *j);
size_t ffai__jinja_dict_count(const jinja_dict *dict);
jinja_value ffai__jinja_dict_key(const jinja_dict *dict, size_t index);
jinja_value ffai__jinja_dict_value(const jinja_dict *dict, size_t index);
/* false: no such key. Fails where the key cannot be one. */
bool ffai__jinja_dict_get(ffai__jinja *j, jinja_value *value, const jinja_dict *dict, jinja_value key);
void ffai__jinja_dict_set(ffai__jinja *j, jinja_dict *dict, jinja_value key, jinja_value value);

/* --- as Python sees them --- */

const char *ffai__jinja_type_name(jinja_value value); /* "str", "int" … */
bool ffai__jinja_is_true(jinja_value value);
bool ffai__jinja_is_number(jinja_value value);  /* a boolean is one */
bool ffai__jinja_is_integer(jinja_value value); /* the same */
int64_t ffai__jinja_as_integer(jinja_value value);
double ffai__jinja_as_float(jinja_value value);
bool ffai__jinja_equal(ffai__jinja *j, jinja_value a, jinja_value b);
/* Below 0, 0, above 0; fails for what has no order. operator: for the message. */
int ffai__jinja_compare(ffai__jinja *j, jinja_value a, jinja_value b, const char *operator);
bool ffai__jinja_contains(ffai__jinja *j, jinja_value container, jinja_value item);
/* Fails unless it is text, is an integer; what: "the argument of indent". */
const jinja_string *ffai__jinja_need_string(ffai__jinja *j, jinja_value value, const char *what);
int64_t ffai__jinja_need_integer(ffai__jinja *j, jinja_value value, const char *what);

/* --- sequences: what for goes through --- */

typedef struct jinja_sequence {
    uint64_t count;
    const jinja_value *items; /* NULL: those of a range */
    const jinja_range *range;
} jinja_sequence;

/* The items of a list or tuple, a dict's keys, a string's characters, a range's numbers; none of what is undefined.
 * Fails for others. */
jinja_sequence ffai__jinja_sequence(ffai__jinja *j, jinja_value value);
bool ffai__jinja_is_iterable(jinja_value value);
jinja_value ffai__jinja_at(const jinja_sequence *sequence, uint64_t index);
/* All of it as a list; a range of at most what memory allows. */
jinja_list *ffai__jinja_list_of(ffai__jinja *j, jinja_value value);
/* A new list, the last item first. */
jinja_list *ffai__jinja_reversed(ffai__jinja *j, const jinja_list *list);
/* Of a list, string, dict or range; fails for others. */
uint64_t ffai__jinja_length(ffai__jinja *j, jinja_value value);

/* --- reaching into values --- */

/* A method of the value, bound to it, or what a loop knows of itself; false: it has none of this name (methods.c). */
bool ffai__jinja_find_member(ffai__jinja *j, jinja_value *found, jinja_value value, const jinja_string *name);
/* value.name: a method first, as Python has it, then a key. value[key]: a key or index first. Undefined where there is
 * none. */
jinja_value ffai__jinja_attribute(ffai__jinja *j, jinja_value value, const jinja_string *name);
jinja_value ffai__jinja_item(ffai__jinja *j, jinja_value value, jinja_value key);
/* value[start:stop:step], each JINJA_NONE where it is left out. */
jinja_value ffai__jinja_slice(ffai__jinja *j, jinja_value value, jinja_value start, jinja_value stop, jinja_value step);

#endif
