#include "values.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "texts.h"
#include "utf8.h"

jinja_value ffai__jinja_undefined(ffai__jinja *j, const char *format, ...)
{
    char why[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return (jinja_value){.kind = JINJA_UNDEFINED, .why = ffai__jinja_copy(j, why, strlen(why))};
}

jinja_value ffai__jinja_string(ffai__jinja *j, const char *bytes, size_t size, bool from_data)
{
    jinja_string *string = ffai__jinja_alloc(j, 1, sizeof *string);
    string->data = ffai__jinja_copy(j, bytes, size);
    string->size = size;
    string->length = ffai__utf8_count(bytes, size);
    string->all_from_data = from_data;
    return ffai__jinja_of_string(string);
}

jinja_value ffai__jinja_literal(ffai__jinja *j, const char *text)
{
    return ffai__jinja_string(j, text, strlen(text), false);
}

jinja_list *ffai__jinja_new_list(ffai__jinja *j, size_t capacity)
{
    jinja_list *list = ffai__jinja_alloc(j, 1, sizeof *list);
    list->items = ffai__jinja_alloc(j, capacity, sizeof *list->items);
    list->capacity = capacity;
    return list;
}

void ffai__jinja_add(ffai__jinja *j, jinja_list *list, jinja_value value)
{
    if (list->count == list->capacity)
        list->items = ffai__jinja_grow(j, list->items, list->count, &list->capacity, sizeof *list->items);
    list->items[list->count++] = value;
}

jinja_value ffai__jinja_pair(ffai__jinja *j, jinja_value first, jinja_value second)
{
    jinja_list *list = ffai__jinja_new_list(j, 2);
    ffai__jinja_add(j, list, first);
    ffai__jinja_add(j, list, second);
    return ffai__jinja_of_tuple(list);
}

/* --- JSON --- */

static jinja_value list_from_json(ffai__jinja *j, const json_t *json, bool from_data)
{
    jinja_list *list = ffai__jinja_new_list(j, json_array_size(json));
    for (size_t i = 0; i < json_array_size(json); i++)
        ffai__jinja_add(j, list, ffai__jinja_from_json(j, json_array_get(json, i), from_data));
    return ffai__jinja_of_list(list);
}

static jinja_value dict_from_json(ffai__jinja *j, const json_t *json, bool from_data)
{
    jinja_dict *dict = ffai__jinja_new_dict(j);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)json, key, value)
    {
        ffai__jinja_dict_set(j, dict, ffai__jinja_string(j, key, strlen(key), from_data),
                             ffai__jinja_from_json(j, value, from_data));
    }
    return ffai__jinja_of_dict(dict);
}

jinja_value ffai__jinja_from_json(ffai__jinja *j, const json_t *json, bool from_data)
{
    jinja_value value = ffai__jinja_none();
    ffai__jinja_enter(j);
    ffai__jinja_step(j, 0);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        value = dict_from_json(j, json, from_data);
        break;
    case JSON_ARRAY:
        value = list_from_json(j, json, from_data);
        break;
    case JSON_STRING:
        value = ffai__jinja_string(j, json_string_value(json), json_string_length(json), from_data);
        break;
    case JSON_INTEGER:
        value = ffai__jinja_integer(json_integer_value(json));
        break;
    case JSON_REAL:
        value = ffai__jinja_float(json_real_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        value = ffai__jinja_boolean(json_is_true(json));
        break;
    case JSON_NULL:
        break;
    }
    ffai__jinja_leave(j);
    return value;
}

/* --- as Python sees them --- */

const char *ffai__jinja_type_name(jinja_value value)
{
    static const char *const names[JINJA_KINDS] = {
        [JINJA_UNDEFINED] = "Undefined", [JINJA_NONE] = "NoneType", [JINJA_BOOLEAN] = "bool",
        [JINJA_INTEGER] = "int",         [JINJA_FLOAT] = "float",   [JINJA_STRING] = "str",
        [JINJA_LIST] = "list",           [JINJA_TUPLE] = "tuple",   [JINJA_DICT] = "dict",
        [JINJA_NAMESPACE] = "namespace", [JINJA_RANGE] = "range",   [JINJA_FUNCTION] = "function",
        [JINJA_MACRO] = "macro",         [JINJA_LOOP] = "loop",
    };
    return names[value.kind];
}

bool ffai__jinja_is_true(jinja_value value)
{
    switch (value.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOLEAN:
        return value.boolean;
    case JINJA_INTEGER:
        return value.integer != 0;
    case JINJA_FLOAT:
        return value.number != 0;
    case JINJA_STRING:
        return value.string->size > 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
        return value.list->count > 0;
    case JINJA_DICT:
        return ffai__jinja_dict_count(value.dict) > 0;
    case JINJA_RANGE:
        return value.range->count > 0;
    default:
        return true;
    }
}

bool ffai__jinja_is_integer(jinja_value value)
{
    return value.kind == JINJA_INTEGER || value.kind == JINJA_BOOLEAN;
}

bool ffai__jinja_is_number(jinja_value value)
{
    return ffai__jinja_is_integer(value) || value.kind == JINJA_FLOAT;
}

int64_t ffai__jinja_as_integer(jinja_value value)
{
    return value.kind == JINJA_BOOLEAN ? value.boolean : value.integer;
}

double ffai__jinja_as_float(jinja_value value)
{
    return value.kind == JINJA_FLOAT ? value.number : (double)ffai__jinja_as_integer(value);
}

const jinja_string *ffai__jinja_need_string(ffai__jinja *j, jinja_value value, const char *what)
{
    if (value.kind == JINJA_UNDEFINED)
        ffai__jinja_refuse(j, "%s", value.why);
    if (value.kind != JINJA_STRING)
        ffai__jinja_refuse(j, "%s must be a string, not %s", what, ffai__jinja_type_name(value));
    return value.string;
}

int64_t ffai__jinja_need_integer(ffai__jinja *j, jinja_value value, const char *what)
{
    if (value.kind == JINJA_UNDEFINED)
        ffai__jinja_refuse(j, "%s", value.why);
    if (!ffai__jinja_is_integer(value))
        ffai__jinja_refuse(j, "%s must be an integer, not %s", what, ffai__jinja_type_name(value));
    return ffai__jinja_as_integer(value);
}

/* Integers and floats as numbers, exactly. */
static int compare_numbers(jinja_value a, jinja_value b)
{
    if (ffai__jinja_is_integer(a) && ffai__jinja_is_integer(b)) {
        const int64_t x = ffai__jinja_as_integer(a);
        const int64_t y = ffai__jinja_as_integer(b);
        return (x > y) - (x < y);
    }
    const double x = ffai__jinja_as_float(a);
    const double y = ffai__jinja_as_float(b);
    return (x > y) - (x < y);
}

static bool equal_dicts(ffai__jinja *j, const jinja_dict *a, const jinja_dict *b)
{
    if (ffai__jinja_dict_count(a) != ffai__jinja_dict_count(b))
        return false;
    for (size_t i = 0; i < ffai__jinja_dict_count(a); i++) {
        jinja_value other;
        if (!ffai__jinja_dict_get(j, &other, b, ffai__jinja_dict_key(a, i)) ||
            !ffai__jinja_equal(j, ffai__jinja_dict_value(a, i), other))
            return false;
    }
    return true;
}

static bool equal_lists(ffai__jinja *j, const jinja_list *a, const jinja_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!ffai__jinja_equal(j, a->items[i], b->items[i]))
            return false;
    }
    return true;
}

static bool equal_of_kind(ffai__jinja *j, jinja_value a, jinja_value b)
{
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return true;
    case JINJA_STRING:
        ffai__jinja_step(j, a.string->size);
        return ffai__jinja_same(a.string, b.string);
    case JINJA_LIST:
    case JINJA_TUPLE:
        return equal_lists(j, a.list, b.list);
    case JINJA_DICT:
        return equal_dicts(j, a.dict, b.dict);
    case JINJA_RANGE:
        return a.range->count == b.range->count &&
               (a.range->count == 0 ||
                (a.range->start == b.range->start && (a.range->count == 1 || a.range->step == b.range->step)));
    default:
        return a.function == b.function; /* the same thing */
    }
}

bool ffai__jinja_equal(ffai__jinja *j, jinja_value a, jinja_value b)
{
    if (ffai__jinja_is_number(a) && ffai__jinja_is_number(b)) {
        const bool nan = (a.kind == JINJA_FLOAT && isnan(a.number)) || (b.kind == JINJA_FLOAT && isnan(b.number));
        return !nan && compare_numbers(a, b) == 0;
    }
    if (a.kind != b.kind)
        return false;
    ffai__jinja_enter(j);
    ffai__jinja_step(j, 0);
    const bool equal = equal_of_kind(j, a, b);
    ffai__jinja_leave(j);
    return equal;
}

static int compare_lists(ffai__jinja *j, const jinja_list *a, const jinja_list *b, const char *operator)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        if (!ffai__jinja_equal(j, a->items[i], b->items[i]))
            return ffai__jinja_compare(j, a->items[i], b->items[i], operator);
    }
    return (a->count > b->count) - (a->count < b->count);
}

static int compare_strings(const jinja_string *a, const jinja_string *b)
{
    const int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

int ffai__jinja_compare(ffai__jinja *j, jinja_value a, jinja_value b, const char *operator)
{
    int order = 0;
    ffai__jinja_enter(j);
    ffai__jinja_step(j, a.kind == JINJA_STRING ? a.string->size : 0);
    if (ffai__jinja_is_number(a) && ffai__jinja_is_number(b))
        order = compare_numbers(a, b);
    else if (a.kind == JINJA_STRING && b.kind == JINJA_STRING)
        order = compare_strings(a.string, b.string);
    else if (a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE))
        order = compare_lists(j, a.list, b.list, operator);
    else if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        ffai__jinja_refuse(j, "%s", a.kind == JINJA_UNDEFINED ? a.why : b.why);
    else
        ffai__jinja_refuse(j, "'%s' is not supported between %s and %s", operator, ffai__jinja_type_name(a),
                           ffai__jinja_type_name(b));
    ffai__jinja_leave(j);
    return order;
}

static bool range_contains(const jinja_range *range, jinja_value item)
{
    if (!ffai__jinja_is_integer(item) || range->count == 0)
        return false;
    int64_t distance = 0;
    if (__builtin_sub_overflow(ffai__jinja_as_integer(item), range->start, &distance) || distance % range->step != 0)
        return false;
    const int64_t index = distance / range->step;
    return index >= 0 && (uint64_t)index < range->count;
}

bool ffai__jinja_contains(ffai__jinja *j, jinja_value container, jinja_value item)
{
    jinja_value found;
    switch (container.kind) {
    case JINJA_UNDEFINED:
        return false;
    case JINJA_STRING:
        return ffai__jinja_find(j, container.string, ffai__jinja_need_string(j, item, "what is looked for in a string"),
                                0) != SIZE_MAX;
    case JINJA_DICT:
        return ffai__jinja_dict_get(j, &found, container.dict, item);
    case JINJA_RANGE:
        return range_contains(container.range, item);
    case JINJA_LIST:
    case JINJA_TUPLE:
        for (size_t i = 0; i < container.list->count; i++) {
            if (ffai__jinja_equal(j, container.list->items[i], item))
                return true;
        }
        return false;
    default:
        ffai__jinja_refuse(j, "%s holds nothing that 'in' could look for", ffai__jinja_type_name(container));
    }
}

/* --- sequences --- */

bool ffai__jinja_is_iterable(jinja_value value)
{
    switch (value.kind) {
    case JINJA_UNDEFINED:
    case JINJA_STRING:
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_RANGE:
        return true;
    default:
        return false;
    }
}

static const jinja_list *characters(ffai__jinja *j, const jinja_string *string)
{
    jinja_list *list = ffai__jinja_new_list(j, string->length);
    size_t size = 0;
    for (size_t at = 0; at < string->size; at += size) {
        ffai__utf8_get(string->data + at, &size);
        ffai__jinja_step(j, 0);
        ffai__jinja_add(j, list, ffai__jinja_substring(j, string, at, at + size));
    }
    return list;
}

static const jinja_list *keys(ffai__jinja *j, const jinja_dict *dict)
{
    jinja_list *list = ffai__jinja_new_list(j, ffai__jinja_dict_count(dict));
    ffai__jinja_step(j, ffai__jinja_dict_count(dict));
    for (size_t i = 0; i < ffai__jinja_dict_count(dict); i++)
        ffai__jinja_add(j, list, ffai__jinja_dict_key(dict, i));
    return list;
}

jinja_sequence ffai__jinja_sequence(ffai__jinja *j, jinja_value value)
{
    const jinja_list *list = NULL;
    switch (value.kind) {
    case JINJA_UNDEFINED:
        return (jinja_sequence){.count = 0};
    case JINJA_RANGE:
        return (jinja_sequence){.count = value.range->count, .range = value.range};
    case JINJA_LIST:
    case JINJA_TUPLE:
        list = value.list;
        break;
    case JINJA_STRING:
        list = characters(j, value.string);
        break;
    case JINJA_DICT:
        list = keys(j, value.dict);
        break;
    default:
        ffai__jinja_refuse(j, "%s is not something to go through", ffai__jinja_type_name(value));
    }
    return (jinja_sequence){.count = list->count, .items = list->items};
}

jinja_value ffai__jinja_at(const jinja_sequence *sequence, uint64_t index)
{
    if (!sequence->range)
        return sequence->items[index];
    return ffai__jinja_integer(sequence->range->start + (int64_t)index * sequence->range->step);
}

jinja_list *ffai__jinja_list_of(ffai__jinja *j, jinja_value value)
{
    const jinja_sequence sequence = ffai__jinja_sequence(j, value);
    jinja_list *list = ffai__jinja_new_list(j, sequence.range ? 0 : sequence.count);
    for (uint64_t i = 0; i < sequence.count; i++) {
        ffai__jinja_step(j, 0);
        ffai__jinja_add(j, list, ffai__jinja_at(&sequence, i));
    }
    return list;
}

jinja_list *ffai__jinja_reversed(ffai__jinja *j, const jinja_list *list)
{
    jinja_list *out = ffai__jinja_new_list(j, list->count);
    ffai__jinja_step(j, list->count);
    for (size_t i = list->count; i-- > 0;)
        ffai__jinja_add(j, out, list->items[i]);
    return out;
}

uint64_t ffai__jinja_length(ffai__jinja *j, jinja_value value)
{
    switch (value.kind) {
    case JINJA_UNDEFINED:
        return 0;
    case JINJA_STRING:
        return value.string->length;
    case JINJA_LIST:
    case JINJA_TUPLE:
        return value.list->count;
    case JINJA_DICT:
        return ffai__jinja_dict_count(value.dict);
    case JINJA_RANGE:
        return value.range->count;
    default:
        ffai__jinja_refuse(j, "%s has no length", ffai__jinja_type_name(value));
    }
}

/* --- reaching into values --- */

static jinja_value no_attribute(ffai__jinja *j, jinja_value value, const jinja_string *name)
{
    if (value.kind == JINJA_UNDEFINED)
        ffai__jinja_refuse(j, "%s", value.why);
    return ffai__jinja_undefined(j, "%s has no attribute '%.100s'", ffai__jinja_type_name(value), name->data);
}

jinja_value ffai__jinja_attribute(ffai__jinja *j, jinja_value value, const jinja_string *name)
{
    jinja_value found;
    if (ffai__jinja_find_member(j, &found, value, name))
        return found;
    if ((value.kind == JINJA_DICT || value.kind == JINJA_NAMESPACE) &&
        ffai__jinja_dict_get(j, &found, value.dict, ffai__jinja_of_string(name)))
        return found;
    return no_attribute(j, value, name);
}

/* Of a list, tuple, range or string; false: out of range. */
static bool index_into(ffai__jinja *j, jinja_value *found, jinja_value value, int64_t index)
{
    const int64_t length = (int64_t)ffai__jinja_length(j, value);
    if (index < 0)
        index += length;
    if (index < 0 || index >= length)
        return false;
    if (value.kind == JINJA_STRING) {
        const size_t at = ffai__jinja_offset(value.string, (size_t)index);
        *found = ffai__jinja_substring(j, value.string, at, ffai__jinja_offset(value.string, (size_t)index + 1));
    } else {
        const jinja_sequence sequence = ffai__jinja_sequence(j, value);
        *found = ffai__jinja_at(&sequence, (uint64_t)index);
    }
    return true;
}

jinja_value ffai__jinja_item(ffai__jinja *j, jinja_value value, jinja_value key)
{
    jinja_value found;
    if (value.kind == JINJA_UNDEFINED)
        ffai__jinja_refuse(j, "%s", value.why);
    if (value.kind == JINJA_DICT && ffai__jinja_dict_get(j, &found, value.dict, key))
        return found;
    const bool ordered = value.kind == JINJA_LIST || value.kind == JINJA_TUPLE || value.kind == JINJA_RANGE ||
                         value.kind == JINJA_STRING;
    if (ordered && ffai__jinja_is_integer(key) && index_into(j, &found, value, ffai__jinja_as_integer(key)))
        return found;
    if (key.kind == JINJA_STRING)
        return ffai__jinja_attribute(j, value, key.string);
    return ffai__jinja_undefined(j, "%s has no such element", ffai__jinja_type_name(value));
}

typedef struct bounds {
    int64_t start, step;
    uint64_t count;
} bounds;

static int64_t clamp(int64_t index, int64_t length, int64_t least, int64_t most)
{
    if (index < 0)
        index = index < -length ? least - 1 : index + length;
    return index < least ? least : index > most ? most : index;
}

/* As Python's slice.indices: which elements of `length` are meant. */
static bounds find_bounds(ffai__jinja *j, int64_t length, jinja_value start, jinja_value stop, jinja_value step)
{
    const int64_t by = step.kind == JINJA_NONE ? 1 : ffai__jinja_need_integer(j, step, "a slice's step");
    if (by == 0)
        ffai__jinja_refuse(j, "a slice's step must not be 0");
    const int64_t least = by > 0 ? 0 : -1;
    const int64_t most = by > 0 ? length : length - 1;
    int64_t from = by > 0 ? least : most;
    int64_t to = by > 0 ? most : least;
    if (start.kind != JINJA_NONE)
        from = clamp(ffai__jinja_need_integer(j, start, "a slice's start"), length, least, most);
    if (stop.kind != JINJA_NONE)
        to = clamp(ffai__jinja_need_integer(j, stop, "a slice's end"), length, least, most);
    uint64_t count = 0;
    if (by > 0 && to > from)
        count = (uint64_t)(to - from - 1) / (uint64_t)by + 1;
    else if (by < 0 && to < from)
        count = (uint64_t)(from - to - 1) / (0 - (uint64_t)by) + 1;
    return (bounds){from, by, count};
}

static jinja_value slice_string(ffai__jinja *j, const jinja_string *string, const bounds *b)
{
    ffai__jinja_step(j, string->size);
    if (b->step == 1)
        return ffai__jinja_substring(j, string, ffai__jinja_offset(string, (size_t)b->start),
                                     ffai__jinja_offset(string, (size_t)b->start + b->count));
    const jinja_list *all = characters(j, string);
    jinja_text text = ffai__jinja_new_text(j);
    for (uint64_t i = 0; i < b->count; i++)
        ffai__jinja_append(&text, all->items[b->start + (int64_t)i * b->step].string);
    return ffai__jinja_finish(&text);
}

jinja_value ffai__jinja_slice(ffai__jinja *j, jinja_value value, jinja_value start, jinja_value stop, jinja_value step)
{
    if (value.kind == JINJA_UNDEFINED)
        ffai__jinja_refuse(j, "%s", value.why);
    if (value.kind != JINJA_STRING && value.kind != JINJA_LIST && value.kind != JINJA_TUPLE &&
        value.kind != JINJA_RANGE)
        return ffai__jinja_undefined(j, "%s has no slices", ffai__jinja_type_name(value));
    const bounds b = find_bounds(j, (int64_t)ffai__jinja_length(j, value), start, stop, step);
    if (value.kind == JINJA_STRING)
        return slice_string(j, value.string, &b);
    const jinja_sequence sequence = ffai__jinja_sequence(j, value);
    jinja_list *list = ffai__jinja_new_list(j, 0);
    for (uint64_t i = 0; i < b.count; i++) {
        ffai__jinja_step(j, 0);
        ffai__jinja_add(j, list, ffai__jinja_at(&sequence, (uint64_t)(b.start + (int64_t)i * b.step)));
    }
    return value.kind == JINJA_TUPLE ? ffai__jinja_of_tuple(list) : ffai__jinja_of_list(list);
}
