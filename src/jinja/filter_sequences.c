/* Filters of sequences. */
#include <stdlib.h>
#include <string.h>

#include "builtins.h"
#include "texts.h"

/* --- by attributes --- */

static bool is_number_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    return size > 0 && size < 10;
}

/* value["a"]["b"] for "a.b"; digits are indices. */
static jinja_value reach(ffai__jinja *j, jinja_value value, jinja_value path)
{
    if (path.kind != JINJA_STRING)
        return ffai__jinja_item(j, value, path);
    const jinja_string *text = path.string;
    for (size_t at = 0; at <= text->size;) {
        const char *dot = memchr(text->data + at, '.', text->size - at);
        const size_t end = dot ? (size_t)(dot - text->data) : text->size;
        const bool index = is_number_text(text->data + at, end - at);
        const jinja_value key =
            index ? ffai__jinja_integer(strtol(text->data + at, NULL, 10)) : ffai__jinja_substring(j, text, at, end);
        value = ffai__jinja_item(j, value, key);
        at = end + 1;
    }
    return value;
}

/* What is compared of an item: itself or its attribute, in lower case unless that counts. */
typedef struct key_rule {
    jinja_value attribute; /* none: itself */
    bool case_sensitive;
} key_rule;

static jinja_value key_of(ffai__jinja *j, const key_rule *rule, jinja_value item)
{
    if (rule->attribute.kind != JINJA_NONE)
        item = reach(j, item, rule->attribute);
    return item.kind == JINJA_STRING && !rule->case_sensitive ? ffai__jinja_in_case(j, item.string, JINJA_LOWER) : item;
}

/* --- sorting: by merging, so that equal ones keep their order --- */

typedef struct keyed {
    jinja_value key, item;
} keyed;

static void merge(ffai__jinja *j, keyed *out, const keyed *a, size_t count_a, const keyed *b, size_t count_b,
                  bool reverse)
{
    while (count_a && count_b) {
        const bool second =
            reverse ? ffai__jinja_compare(j, a->key, b->key, "<") < 0 : ffai__jinja_compare(j, b->key, a->key, "<") < 0;
        if (second) {
            *out++ = *b++;
            count_b--;
        } else {
            *out++ = *a++;
            count_a--;
        }
    }
    memcpy(out, a, count_a * sizeof *a);
    memcpy(out + count_a, b, count_b * sizeof *b);
}

static keyed *sort_keyed(ffai__jinja *j, keyed *items, size_t count, bool reverse)
{
    keyed *other = ffai__jinja_alloc(j, count, sizeof *other);
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            const size_t first = count - at < run ? count - at : run;
            const size_t second = count - at - first < run ? count - at - first : run;
            merge(j, other + at, items + at, first, items + at + first, second, reverse);
        }
        keyed *swap = items;
        items = other;
        other = swap;
    }
    return items;
}

static jinja_value sorted(ffai__jinja *j, const jinja_list *list, const key_rule *rule, bool reverse)
{
    keyed *items = ffai__jinja_alloc(j, list->count, sizeof *items);
    for (size_t i = 0; i < list->count; i++)
        items[i] = (keyed){key_of(j, rule, list->items[i]), list->items[i]};
    items = sort_keyed(j, items, list->count, reverse);
    jinja_list *out = ffai__jinja_new_list(j, list->count);
    for (size_t i = 0; i < list->count; i++)
        ffai__jinja_add(j, out, items[i].item);
    return ffai__jinja_of_list(out);
}

static jinja_value sort(ffai__jinja *j, const jinja_call *call)
{
    const key_rule rule = {ffai__jinja_argument(call, 2, ffai__jinja_none()), ffai__jinja_flag(call, 1, false)};
    return sorted(j, ffai__jinja_list_of(j, call->self), &rule, ffai__jinja_flag(call, 0, false));
}

static jinja_list *items_of(ffai__jinja *j, const jinja_dict *dict)
{
    jinja_list *list = ffai__jinja_new_list(j, ffai__jinja_dict_count(dict));
    for (size_t i = 0; i < ffai__jinja_dict_count(dict); i++)
        ffai__jinja_add(j, list, ffai__jinja_pair(j, ffai__jinja_dict_key(dict, i), ffai__jinja_dict_value(dict, i)));
    return list;
}

static const jinja_dict *need_dict(ffai__jinja *j, const jinja_call *call)
{
    if (call->self.kind != JINJA_DICT)
        ffai__jinja_refuse(j, "%s: a dict is needed, not %s", call->name, ffai__jinja_type_name(call->self));
    return call->self.dict;
}

static jinja_value dictsort(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *by = call->given[1] ? ffai__jinja_text(j, call, 1) : NULL;
    const bool by_value = by && strcmp(by->data, "value") == 0;
    const key_rule rule = {ffai__jinja_integer(by_value), ffai__jinja_flag(call, 0, false)};
    return sorted(j, items_of(j, need_dict(j, call)), &rule, ffai__jinja_flag(call, 2, false));
}

static jinja_value items(ffai__jinja *j, const jinja_call *call)
{
    if (call->self.kind == JINJA_UNDEFINED)
        return ffai__jinja_of_list(ffai__jinja_new_list(j, 0));
    return ffai__jinja_of_list(items_of(j, need_dict(j, call)));
}

static jinja_value extreme(ffai__jinja *j, const jinja_call *call, int sign)
{
    const key_rule rule = {ffai__jinja_argument(call, 1, ffai__jinja_none()), ffai__jinja_flag(call, 0, false)};
    const jinja_list *list = ffai__jinja_list_of(j, call->self);
    if (list->count == 0)
        return ffai__jinja_undefined(j, "%s of nothing", call->name);
    size_t best = 0;
    for (size_t i = 1; i < list->count; i++) {
        if (sign * ffai__jinja_compare(j, key_of(j, &rule, list->items[i]), key_of(j, &rule, list->items[best]), "<") >
            0)
            best = i;
    }
    return list->items[best];
}

static jinja_value max(ffai__jinja *j, const jinja_call *call)
{
    return extreme(j, call, 1);
}

static jinja_value min(ffai__jinja *j, const jinja_call *call)
{
    return extreme(j, call, -1);
}

static jinja_value unique(ffai__jinja *j, const jinja_call *call)
{
    const key_rule rule = {ffai__jinja_argument(call, 1, ffai__jinja_none()), ffai__jinja_flag(call, 0, false)};
    const jinja_list *list = ffai__jinja_list_of(j, call->self);
    jinja_dict *seen = ffai__jinja_new_dict(j);
    jinja_list *out = ffai__jinja_new_list(j, 0);
    for (size_t i = 0; i < list->count; i++) {
        const size_t before = ffai__jinja_dict_count(seen);
        ffai__jinja_dict_set(j, seen, key_of(j, &rule, list->items[i]), ffai__jinja_none());
        if (ffai__jinja_dict_count(seen) > before)
            ffai__jinja_add(j, out, list->items[i]);
    }
    return ffai__jinja_of_list(out);
}

/* Tuples of (grouper, list), which have these as attributes too in Jinja; here by index. */
static jinja_value groupby(ffai__jinja *j, const jinja_call *call)
{
    const key_rule rule = {call->args[0], ffai__jinja_flag(call, 2, false)};
    const jinja_list *list = sorted(j, ffai__jinja_list_of(j, call->self), &rule, false).list;
    jinja_list *groups = ffai__jinja_new_list(j, 0);
    jinja_list *group = NULL;
    jinja_value last = ffai__jinja_none();
    for (size_t i = 0; i < list->count; i++) {
        const jinja_value key = key_of(j, &rule, list->items[i]);
        if (!group || !ffai__jinja_equal(j, key, last)) {
            group = ffai__jinja_new_list(j, 0);
            ffai__jinja_add(j, groups,
                            ffai__jinja_pair(j, reach(j, list->items[i], call->args[0]), ffai__jinja_of_list(group)));
        }
        ffai__jinja_add(j, group, list->items[i]);
        last = key;
    }
    return ffai__jinja_of_list(groups);
}

/* --- taking, joining --- */

/* One character of a string is taken without making the others. */
static jinja_value first(ffai__jinja *j, const jinja_call *call)
{
    if (call->self.kind == JINJA_STRING && call->self.string->length)
        return ffai__jinja_item(j, call->self, ffai__jinja_integer(0));
    const jinja_sequence all = ffai__jinja_sequence(j, call->self);
    return all.count ? ffai__jinja_at(&all, 0) : ffai__jinja_undefined(j, "the first of nothing");
}

static jinja_value last(ffai__jinja *j, const jinja_call *call)
{
    if (call->self.kind == JINJA_STRING && call->self.string->length)
        return ffai__jinja_item(j, call->self, ffai__jinja_integer(-1));
    const jinja_sequence all = ffai__jinja_sequence(j, call->self);
    return all.count ? ffai__jinja_at(&all, all.count - 1) : ffai__jinja_undefined(j, "the last of nothing");
}

static jinja_value list(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_of_list(ffai__jinja_list_of(j, call->self));
}

static jinja_value reverse(ffai__jinja *j, const jinja_call *call)
{
    if (call->self.kind == JINJA_STRING)
        return ffai__jinja_slice(j, call->self, ffai__jinja_none(), ffai__jinja_none(), ffai__jinja_integer(-1));
    return ffai__jinja_of_list(ffai__jinja_reversed(j, ffai__jinja_list_of(j, call->self)));
}

static jinja_value join(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *between = call->given[0] ? ffai__jinja_str(j, call->args[0]) : NULL;
    const bool by = call->given[1] && call->args[1].kind != JINJA_NONE;
    const jinja_list *all = ffai__jinja_list_of(j, call->self);
    jinja_text text = ffai__jinja_new_text(j);
    for (size_t i = 0; i < all->count; i++) {
        if (i && between)
            ffai__jinja_append(&text, between);
        ffai__jinja_append_value(&text, by ? reach(j, all->items[i], call->args[1]) : all->items[i]);
    }
    return ffai__jinja_finish(&text);
}

static jinja_value add_up(ffai__jinja *j, jinja_value a, jinja_value b)
{
    int64_t sum = 0;
    if (!ffai__jinja_is_number(a) || !ffai__jinja_is_number(b))
        ffai__jinja_refuse(j, "sum: numbers are needed, not %s",
                           ffai__jinja_type_name(ffai__jinja_is_number(a) ? b : a));
    if (a.kind == JINJA_FLOAT || b.kind == JINJA_FLOAT)
        return ffai__jinja_float(ffai__jinja_as_float(a) + ffai__jinja_as_float(b));
    if (__builtin_add_overflow(ffai__jinja_as_integer(a), ffai__jinja_as_integer(b), &sum))
        ffai__jinja_refuse(j, "an integer beyond 64 bits");
    return ffai__jinja_integer(sum);
}

static jinja_value sum(ffai__jinja *j, const jinja_call *call)
{
    const bool by = call->given[0] && call->args[0].kind != JINJA_NONE;
    jinja_value total = ffai__jinja_argument(call, 1, ffai__jinja_integer(0));
    const jinja_list *all = ffai__jinja_list_of(j, call->self);
    for (size_t i = 0; i < all->count; i++)
        total = add_up(j, total, by ? reach(j, all->items[i], call->args[0]) : all->items[i]);
    return total;
}

/* Rows of `size` items, the last one filled up where there is something to fill it with. */
static jinja_value batch(ffai__jinja *j, const jinja_call *call)
{
    const int64_t size = ffai__jinja_need_integer(j, call->args[0], "batch's size");
    const jinja_list *all = ffai__jinja_list_of(j, call->self);
    jinja_list *rows = ffai__jinja_new_list(j, 0);
    jinja_list *row = NULL;
    if (size < 1)
        ffai__jinja_refuse(j, "batch: a size of at least 1 is expected");
    for (size_t i = 0; i < all->count; i++) {
        if (i % (uint64_t)size == 0) {
            row = ffai__jinja_new_list(j, 0);
            ffai__jinja_add(j, rows, ffai__jinja_of_list(row));
        }
        ffai__jinja_add(j, row, all->items[i]);
    }
    while (row && call->given[1] && call->args[1].kind != JINJA_NONE && row->count < (uint64_t)size) {
        ffai__jinja_step(j, 0);
        ffai__jinja_add(j, row, call->args[1]);
    }
    return ffai__jinja_of_list(rows);
}

/* `count` parts, the first ones an item longer. */
static jinja_value slice(ffai__jinja *j, const jinja_call *call)
{
    const int64_t count = ffai__jinja_need_integer(j, call->args[0], "slice's number");
    const jinja_list *all = ffai__jinja_list_of(j, call->self);
    jinja_list *parts = ffai__jinja_new_list(j, 0);
    size_t at = 0;
    if (count < 1)
        ffai__jinja_refuse(j, "slice: a number of at least 1 is expected");
    for (uint64_t i = 0; i < (uint64_t)count; i++) {
        jinja_list *part = ffai__jinja_new_list(j, 0);
        const uint64_t longer = all->count % (uint64_t)count;
        ffai__jinja_step(j, 0);
        for (uint64_t n = all->count / (uint64_t)count + (i < longer); n > 0; n--)
            ffai__jinja_add(j, part, all->items[at++]);
        if (call->given[1] && call->args[1].kind != JINJA_NONE && i >= longer && longer)
            ffai__jinja_add(j, part, call->args[1]);
        ffai__jinja_add(j, parts, ffai__jinja_of_list(part));
    }
    return ffai__jinja_of_list(parts);
}

/* --- map, select, reject --- */

/* The arguments behind the first `count`. */
static jinja_arguments rest_of(const jinja_arguments *all, size_t count)
{
    return (jinja_arguments){all->values + count, all->count - count, all->named, all->num_named};
}

static jinja_value map_attribute(ffai__jinja *j, const jinja_call *call, jinja_value attribute)
{
    const jinja_value *otherwise = ffai__jinja_named(call->all, "default");
    const jinja_list *all = ffai__jinja_list_of(j, call->self);
    jinja_list *out = ffai__jinja_new_list(j, all->count);
    for (size_t i = 0; i < all->count; i++) {
        jinja_value value = reach(j, all->items[i], attribute);
        ffai__jinja_add(j, out, value.kind == JINJA_UNDEFINED && otherwise ? *otherwise : value);
    }
    return ffai__jinja_of_list(out);
}

static jinja_value map(ffai__jinja *j, const jinja_call *call)
{
    const jinja_value *attribute = ffai__jinja_named(call->all, "attribute");
    if (call->all->count == 0 && attribute)
        return map_attribute(j, call, *attribute);
    if (call->all->count == 0)
        ffai__jinja_refuse(j, "map: a filter or an attribute is needed");
    const jinja_string *name = ffai__jinja_need_string(j, call->all->values[0], "map's filter");
    const jinja_builtin *filter = ffai__jinja_find_filter(name);
    if (!filter)
        ffai__jinja_fail(j, FFAI_E_UNSUPPORTED, "there is no filter '%.100s'", name->data);
    const jinja_arguments arguments = rest_of(call->all, 1);
    const jinja_list *all = ffai__jinja_list_of(j, call->self);
    jinja_list *out = ffai__jinja_new_list(j, all->count);
    for (size_t i = 0; i < all->count; i++)
        ffai__jinja_add(j, out, ffai__jinja_call_builtin(j, filter, all->items[i], &arguments));
    return ffai__jinja_of_list(out);
}

/* The items, or their attribute, for which the test (or being true) gives `wanted`. */
static jinja_value choose(ffai__jinja *j, const jinja_call *call, bool by_attribute, bool wanted)
{
    const size_t before = by_attribute;
    const jinja_builtin *test = NULL;
    if (call->all->count < before)
        ffai__jinja_refuse(j, "%s: an attribute is needed", call->name);
    if (call->all->count > before) {
        const jinja_string *name = ffai__jinja_need_string(j, call->all->values[before], "a test's name");
        test = ffai__jinja_find_test(name);
        if (!test)
            ffai__jinja_fail(j, FFAI_E_UNSUPPORTED, "there is no test '%.100s'", name->data);
    }
    const jinja_arguments arguments = rest_of(call->all, before + (test != NULL));
    const jinja_list *all = ffai__jinja_list_of(j, call->self);
    jinja_list *out = ffai__jinja_new_list(j, 0);
    for (size_t i = 0; i < all->count; i++) {
        const jinja_value value = by_attribute ? reach(j, all->items[i], call->all->values[0]) : all->items[i];
        const jinja_value holds = test ? ffai__jinja_call_builtin(j, test, value, &arguments) : value;
        ffai__jinja_step(j, 0);
        if (ffai__jinja_is_true(holds) == wanted)
            ffai__jinja_add(j, out, all->items[i]);
    }
    return ffai__jinja_of_list(out);
}

static jinja_value select_items(ffai__jinja *j, const jinja_call *call)
{
    return choose(j, call, false, true);
}

static jinja_value reject(ffai__jinja *j, const jinja_call *call)
{
    return choose(j, call, false, false);
}

static jinja_value selectattr(ffai__jinja *j, const jinja_call *call)
{
    return choose(j, call, true, true);
}

static jinja_value rejectattr(ffai__jinja *j, const jinja_call *call)
{
    return choose(j, call, true, false);
}

const jinja_builtin ffai__jinja_sequence_filters[] = {
    {"batch", "linecount / fill_with", batch},
    {"dictsort", "/ case_sensitive by reverse", dictsort},
    {"first", "", first},
    {"groupby", "attribute / default case_sensitive", groupby},
    {"items", "", items},
    {"join", "/ d attribute", join},
    {"last", "", last},
    {"list", "", list},
    {"map", "*", map},
    {"max", "/ case_sensitive attribute", max},
    {"min", "/ case_sensitive attribute", min},
    {"reject", "*", reject},
    {"rejectattr", "*", rejectattr},
    {"reverse", "", reverse},
    {"select", "*", select_items},
    {"selectattr", "*", selectattr},
    {"slice", "slices / fill_with", slice},
    {"sort", "/ reverse case_sensitive attribute", sort},
    {"sum", "/ attribute start", sum},
    {"unique", "/ case_sensitive attribute", unique},
};
const size_t ffai__jinja_num_sequence_filters =
    sizeof ffai__jinja_sequence_filters / sizeof *ffai__jinja_sequence_filters;
