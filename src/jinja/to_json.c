/* json.dumps, with the arguments that transformers' tojson has. */
#include <math.h>
#include <string.h>

#include "builtins.h"
#include "texts.h"
#include "utf8.h"

enum { MOST_INDENT = 64 };

typedef struct writer {
    ffai__jinja *j;
    jinja_text text;
    const jinja_string *between, *behind_key; /* separators */
    const jinja_string *indent;               /* NULL: all in one line */
    bool ensure_ascii, sort_keys;
    int depth;
} writer;

static void write_value(writer *w, jinja_value value);

static void write_escape(writer *w, uint32_t character, bool from_data)
{
    static const char names[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *known = character < 0x80 && character ? strchr(names, (int)character) : NULL;
    const size_t at = w->text.size;
    if (known)
        ffai__jinja_append_format(&w->text, "\\%c", letters[known - names]);
    else if (character < 0x10000)
        ffai__jinja_append_format(&w->text, "\\u%04x", character);
    else
        ffai__jinja_append_format(&w->text, "\\u%04x\\u%04x", 0xD800 + ((character - 0x10000) >> 10),
                                  0xDC00 + ((character - 0x10000) & 0x3FF));
    memset(w->text.from_data + at, from_data, w->text.size - at);
}

static void write_string(writer *w, const jinja_string *string)
{
    size_t size = 0;
    ffai__jinja_append_bytes(&w->text, "\"", 1, false);
    for (size_t at = 0; at < string->size; at += size) {
        const uint32_t character = ffai__utf8_get(string->data + at, &size);
        if (character < 0x20 || character == '"' || character == '\\' || (w->ensure_ascii && character > 0x7E))
            write_escape(w, character, ffai__jinja_from_data(string, at));
        else
            ffai__jinja_append_part(&w->text, string, at, at + size);
    }
    ffai__jinja_append_bytes(&w->text, "\"", 1, false);
}

static void write_float(writer *w, double number)
{
    if (isfinite(number))
        ffai__jinja_append_float(&w->text, number);
    else
        ffai__jinja_append_format(&w->text, "%s", isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
}

static void write_newline(writer *w)
{
    if (!w->indent)
        return;
    ffai__jinja_append_format(&w->text, "\n");
    for (int i = 0; i < w->depth; i++)
        ffai__jinja_append(&w->text, w->indent);
}

/* Before an item; the closing bracket comes on a line of its own. */
static void begin_item(writer *w, size_t index)
{
    if (index)
        ffai__jinja_append(&w->text, w->between);
    write_newline(w);
}

static void write_list(writer *w, const jinja_list *list)
{
    ffai__jinja_append_format(&w->text, "[");
    w->depth++;
    for (size_t i = 0; i < list->count; i++) {
        begin_item(w, i);
        write_value(w, list->items[i]);
    }
    w->depth--;
    if (list->count)
        write_newline(w);
    ffai__jinja_append_format(&w->text, "]");
}

/* Keys that are no text become one. */
static void write_key(writer *w, jinja_value key)
{
    if (key.kind == JINJA_STRING) {
        write_string(w, key.string);
        return;
    }
    if (!ffai__jinja_is_number(key) && key.kind != JINJA_NONE)
        ffai__jinja_refuse(w->j, "tojson: keys must be text, numbers or none, not %s", ffai__jinja_type_name(key));
    ffai__jinja_append_format(&w->text, "\"");
    write_value(w, key);
    ffai__jinja_append_format(&w->text, "\"");
}

/* The dict's places in the order of its keys. */
static size_t *sort_places(writer *w, const jinja_dict *dict)
{
    const size_t count = ffai__jinja_dict_count(dict);
    size_t *places = ffai__jinja_alloc(w->j, count, sizeof *places);
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && w->sort_keys &&
               ffai__jinja_compare(w->j, ffai__jinja_dict_key(dict, i), ffai__jinja_dict_key(dict, places[at - 1]),
                                   "<") < 0;
             at--)
            places[at] = places[at - 1];
        places[at] = i;
    }
    return places;
}

static void write_dict(writer *w, const jinja_dict *dict)
{
    const size_t count = ffai__jinja_dict_count(dict);
    const size_t *places = sort_places(w, dict);
    ffai__jinja_append_format(&w->text, "{");
    w->depth++;
    for (size_t i = 0; i < count; i++) {
        begin_item(w, i);
        write_key(w, ffai__jinja_dict_key(dict, places[i]));
        ffai__jinja_append(&w->text, w->behind_key);
        write_value(w, ffai__jinja_dict_value(dict, places[i]));
    }
    w->depth--;
    if (count)
        write_newline(w);
    ffai__jinja_append_format(&w->text, "}");
}

static void write_other(writer *w, jinja_value value)
{
    switch (value.kind) {
    case JINJA_NONE:
        ffai__jinja_append_format(&w->text, "null");
        break;
    case JINJA_BOOLEAN:
        ffai__jinja_append_format(&w->text, value.boolean ? "true" : "false");
        break;
    case JINJA_INTEGER:
        ffai__jinja_append_format(&w->text, "%lld", (long long)value.integer);
        break;
    case JINJA_FLOAT:
        write_float(w, value.number);
        break;
    case JINJA_UNDEFINED:
        ffai__jinja_refuse(w->j, "tojson: %s", value.why);
    default:
        ffai__jinja_refuse(w->j, "tojson: %s is nothing that JSON has", ffai__jinja_type_name(value));
    }
}

static void write_value(writer *w, jinja_value value)
{
    ffai__jinja_enter(w->j);
    ffai__jinja_step(w->j, 0);
    switch (value.kind) {
    case JINJA_STRING:
        write_string(w, value.string);
        break;
    case JINJA_LIST:
    case JINJA_TUPLE:
        write_list(w, value.list);
        break;
    case JINJA_DICT:
        write_dict(w, value.dict);
        break;
    default:
        write_other(w, value);
        break;
    }
    ffai__jinja_leave(w->j);
}

/* A number of spaces, or what to indent with; NULL: none. */
static const jinja_string *indent_of(ffai__jinja *j, const jinja_call *call)
{
    static const char spaces[MOST_INDENT + 1] = "                                                                ";
    const jinja_value indent = ffai__jinja_argument(call, 1, ffai__jinja_none());
    if (indent.kind == JINJA_NONE)
        return NULL;
    if (indent.kind == JINJA_STRING)
        return indent.string;
    const int64_t count = ffai__jinja_need_integer(j, indent, "tojson's indent");
    if (count > MOST_INDENT)
        ffai__jinja_fail(j, FFAI_E_LIMIT, "tojson: an indent of more than %d", MOST_INDENT);
    return ffai__jinja_string(j, spaces, count > 0 ? (size_t)count : 0, false).string;
}

static void take_separators(writer *w, jinja_value separators)
{
    w->between = ffai__jinja_literal(w->j, w->indent ? "," : ", ").string;
    w->behind_key = ffai__jinja_literal(w->j, ": ").string;
    if (separators.kind == JINJA_NONE)
        return;
    const jinja_list *two = ffai__jinja_list_of(w->j, separators);
    if (two->count != 2)
        ffai__jinja_refuse(w->j, "tojson: separators are two");
    w->between = ffai__jinja_need_string(w->j, two->items[0], "a separator");
    w->behind_key = ffai__jinja_need_string(w->j, two->items[1], "a separator");
}

jinja_value ffai__jinja_to_json(ffai__jinja *j, const jinja_call *call)
{
    writer w = {.j = j, .text = ffai__jinja_new_text(j), .indent = indent_of(j, call)};
    w.ensure_ascii = ffai__jinja_flag(call, 0, false);
    take_separators(&w, ffai__jinja_argument(call, 2, ffai__jinja_none()));
    w.sort_keys = ffai__jinja_flag(call, 3, false);
    write_value(&w, call->self);
    return ffai__jinja_finish(&w.text);
}
