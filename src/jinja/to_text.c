/* What Python's str() and repr() make of values. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "texts.h"
#include "utf8.h"

void ffai__jinja_append_format(jinja_text *text, const char *format, ...)
{
    char bytes[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(bytes, sizeof bytes, format, arguments);
    va_end(arguments);
    ffai__jinja_append_bytes(text, bytes, strlen(bytes), false);
}

/* The digits of the shortest decimal that is this number, and its exponent: 0.d1d2d3... * 10^exponent. */
static int shortest_digits(char digits[24], double number)
{
    char bytes[40];
    int precision = 0;
    do {
        snprintf(bytes, sizeof bytes, "%.*e", precision, number);
        precision++;
    } while (precision < 17 && strtod(bytes, NULL) != number);
    const char *exponent = strchr(bytes, 'e');
    size_t count = 0;
    for (const char *at = bytes; at < exponent; at++) {
        if (*at >= '0' && *at <= '9')
            digits[count++] = *at;
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    digits[count] = 0;
    return (int)strtol(exponent + 1, NULL, 10) + 1;
}

static void append_digits(jinja_text *text, const char *digits, int point)
{
    const int count = (int)strlen(digits);
    if (point > 16 || point < -3) {
        const int exponent = point - 1;
        ffai__jinja_append_format(text, "%c%s%se%c%02d", digits[0], count > 1 ? "." : "", digits + 1,
                                  exponent < 0 ? '-' : '+', abs(exponent));
    } else if (point <= 0) {
        ffai__jinja_append_format(text, "0.%.*s%s", -point, "0000", digits);
    } else if (point >= count) {
        ffai__jinja_append_format(text, "%s%.*s.0", digits, point - count, "0000000000000000");
    } else {
        ffai__jinja_append_format(text, "%.*s.%s", point, digits, digits + point);
    }
}

void ffai__jinja_append_float(jinja_text *text, double number)
{
    char digits[24];
    if (!isfinite(number)) {
        ffai__jinja_append_format(text, "%s", isnan(number) ? "nan" : number > 0 ? "inf" : "-inf");
        return;
    }
    if (signbit(number))
        ffai__jinja_append_format(text, "-");
    if (number == 0)
        ffai__jinja_append_format(text, "0.0");
    else
        append_digits(text, digits, shortest_digits(digits, fabs(number)));
}

static bool is_printable(uint32_t character)
{
    switch (utf8proc_category((utf8proc_int32_t)character)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    case UTF8PROC_CATEGORY_ZS:
        return character == ' ';
    default:
        return true;
    }
}

static void append_escape(jinja_text *text, uint32_t character, bool from_data)
{
    char bytes[16];
    const char *escape = character == '\n' ? "\\n" : character == '\r' ? "\\r" : character == '\t' ? "\\t" : NULL;
    if (escape)
        snprintf(bytes, sizeof bytes, "%s", escape);
    else
        snprintf(bytes, sizeof bytes,
                 character < 0x100     ? "\\x%02x"
                 : character < 0x10000 ? "\\u%04x"
                                       : "\\U%08x",
                 character);
    ffai__jinja_append_bytes(text, bytes, strlen(bytes), from_data);
}

static void append_quoted(jinja_text *text, const jinja_string *string)
{
    const bool single = memchr(string->data, '\'', string->size) != NULL;
    const bool twofold = memchr(string->data, '"', string->size) != NULL;
    const char quote = single && !twofold ? '"' : '\'';
    size_t size = 0;
    ffai__jinja_append_bytes(text, &quote, 1, false);
    for (size_t at = 0; at < string->size; at += size) {
        const uint32_t character = ffai__utf8_get(string->data + at, &size);
        const bool from_data = ffai__jinja_from_data(string, at);
        if (character == (uint32_t)quote || character == '\\')
            ffai__jinja_append_bytes(text, "\\", 1, from_data);
        if (is_printable(character))
            ffai__jinja_append_part(text, string, at, at + size);
        else
            append_escape(text, character, from_data);
    }
    ffai__jinja_append_bytes(text, &quote, 1, false);
}

static void append_list(jinja_text *text, const jinja_list *list, const char *open, const char *close)
{
    ffai__jinja_append_format(text, "%s", open);
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            ffai__jinja_append_format(text, ", ");
        ffai__jinja_append_repr(text, list->items[i]);
    }
    ffai__jinja_append_format(text, "%s", close);
}

static void append_dict(jinja_text *text, const jinja_dict *dict)
{
    ffai__jinja_append_format(text, "{");
    for (size_t i = 0; i < ffai__jinja_dict_count(dict); i++) {
        if (i)
            ffai__jinja_append_format(text, ", ");
        ffai__jinja_append_repr(text, ffai__jinja_dict_key(dict, i));
        ffai__jinja_append_format(text, ": ");
        ffai__jinja_append_repr(text, ffai__jinja_dict_value(dict, i));
    }
    ffai__jinja_append_format(text, "}");
}

static void append_range(jinja_text *text, const jinja_range *range)
{
    const long long stop = range->start + (int64_t)range->count * range->step;
    ffai__jinja_append_format(text, "range(%lld, %lld", (long long)range->start, stop);
    if (range->step != 1)
        ffai__jinja_append_format(text, ", %lld", (long long)range->step);
    ffai__jinja_append_format(text, ")");
}

static void append_other(jinja_text *text, jinja_value value)
{
    switch (value.kind) {
    case JINJA_UNDEFINED:
        ffai__jinja_append_format(text, "Undefined");
        break;
    case JINJA_NONE:
        ffai__jinja_append_format(text, "None");
        break;
    case JINJA_BOOLEAN:
        ffai__jinja_append_format(text, value.boolean ? "True" : "False");
        break;
    case JINJA_INTEGER:
        ffai__jinja_append_format(text, "%lld", (long long)value.integer);
        break;
    case JINJA_FLOAT:
        ffai__jinja_append_float(text, value.number);
        break;
    case JINJA_RANGE:
        append_range(text, value.range);
        break;
    default:
        ffai__jinja_append_format(text, "<%s>", ffai__jinja_type_name(value));
        break;
    }
}

void ffai__jinja_append_repr(jinja_text *text, jinja_value value)
{
    ffai__jinja_enter(text->j);
    ffai__jinja_step(text->j, 0);
    switch (value.kind) {
    case JINJA_STRING:
        append_quoted(text, value.string);
        break;
    case JINJA_LIST:
        append_list(text, value.list, "[", "]");
        break;
    case JINJA_TUPLE:
        append_list(text, value.list, "(", value.list->count == 1 ? ",)" : ")");
        break;
    case JINJA_DICT:
        append_dict(text, value.dict);
        break;
    default:
        append_other(text, value);
        break;
    }
    ffai__jinja_leave(text->j);
}

void ffai__jinja_append_value(jinja_text *text, jinja_value value)
{
    if (value.kind == JINJA_STRING)
        ffai__jinja_append(text, value.string);
    else if (value.kind != JINJA_UNDEFINED)
        ffai__jinja_append_repr(text, value);
}
