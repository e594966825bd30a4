/* Python's "…" % values. */
#include <stdio.h>
#include <string.h>

#include "builtins.h"
#include "texts.h"
#include "utf8.h"

enum { MOST_WIDTH = 1000 };

typedef struct spec {
    char flags[8];        /* of "-+ 0#" */
    int width, precision; /* -1: none */
    char kind;
} spec;

typedef struct formatter {
    ffai__jinja *j;
    const jinja_string *format;
    size_t at;
    const jinja_list *values;
    const jinja_dict *named; /* NULL: they come in order */
    size_t next;
} formatter;

static int read_number(formatter *f)
{
    int number = 0;
    while (f->at < f->format->size && f->format->data[f->at] >= '0' && f->format->data[f->at] <= '9' &&
           number <= MOST_WIDTH)
        number = 10 * number + (f->format->data[f->at++] - '0');
    if (number > MOST_WIDTH)
        ffai__jinja_fail(f->j, FFAI_E_LIMIT, "a format of more than %d characters", MOST_WIDTH);
    return number;
}

/* "(name)" behind "%"; else the next of the values. */
static jinja_value take_value(formatter *f)
{
    jinja_value value;
    if (f->format->data[f->at] != '(') {
        if (f->next >= f->values->count)
            ffai__jinja_refuse(f->j, "a format has more places than there are values");
        return f->values->items[f->next++];
    }
    const char *name = f->format->data + f->at + 1;
    const char *end = memchr(name, ')', f->format->size - f->at - 1);
    if (!end || !f->named)
        ffai__jinja_refuse(f->j, "a format with names needs a dict, and ')' behind each");
    f->at = (size_t)(end + 1 - f->format->data);
    if (!ffai__jinja_dict_get(f->j, &value, f->named, ffai__jinja_string(f->j, name, (size_t)(end - name), false)))
        ffai__jinja_refuse(f->j, "a format names what the dict has not: '%.*s'", (int)(end - name), name);
    return value;
}

static spec read_spec(formatter *f)
{
    spec s = {.width = -1, .precision = -1};
    size_t count = 0;
    while (f->at < f->format->size && f->format->data[f->at] && strchr("-+ 0#", f->format->data[f->at]) &&
           count < sizeof s.flags - 1)
        s.flags[count++] = f->format->data[f->at++];
    if (f->at < f->format->size && f->format->data[f->at] >= '1' && f->format->data[f->at] <= '9')
        s.width = read_number(f);
    if (f->at < f->format->size && f->format->data[f->at] == '.') {
        f->at++;
        s.precision = read_number(f);
    }
    s.kind = f->at < f->format->size ? f->format->data[f->at++] : 0;
    return s;
}

static void pad(jinja_text *text, int count)
{
    for (int i = 0; i < count; i++)
        ffai__jinja_append_bytes(text, " ", 1, false);
}

static void append_text(formatter *f, jinja_text *text, const spec *s, jinja_value value)
{
    const jinja_string *string = ffai__jinja_str(f->j, value);
    if (s->kind == 'r') {
        jinja_text repr = ffai__jinja_new_text(f->j);
        ffai__jinja_append_repr(&repr, value);
        string = ffai__jinja_finish(&repr).string;
    }
    size_t length = string->length;
    if (s->precision >= 0 && (size_t)s->precision < length)
        length = (size_t)s->precision;
    const int spaces = s->width > (int)length ? s->width - (int)length : 0;
    const bool left = strchr(s->flags, '-') != NULL;
    pad(text, left ? 0 : spaces);
    ffai__jinja_append_part(text, string, 0, ffai__jinja_offset(string, length));
    pad(text, left ? spaces : 0);
}

/* printf's format of the same meaning. */
static void make_format(char out[48], const spec *s, const char *length)
{
    char width[16] = "";
    char precision[16] = "";
    if (s->width >= 0)
        snprintf(width, sizeof width, "%d", s->width);
    if (s->precision >= 0)
        snprintf(precision, sizeof precision, ".%d", s->precision);
    snprintf(out, 48, "%%%s%s%s%s%c", s->flags, width, precision, length, s->kind);
}

static void append_number(formatter *f, jinja_text *text, const spec *s, jinja_value value)
{
    char format[48];
    char bytes[MOST_WIDTH + 400];
    if (!ffai__jinja_is_number(value))
        ffai__jinja_refuse(f->j, "%%%c: a number is needed, not %s", s->kind, ffai__jinja_type_name(value));
    const bool whole = strchr("dixXo", s->kind) != NULL;
    const double number = ffai__jinja_as_float(value);
    if (whole && value.kind == JINJA_FLOAT && !(number > -0x1p63 && number < 0x1p63))
        ffai__jinja_refuse(f->j, "an integer beyond 64 bits");
    make_format(format, s, whole ? "ll" : "");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (whole)
        snprintf(bytes, sizeof bytes, format,
                 value.kind == JINJA_FLOAT ? (long long)number : (long long)ffai__jinja_as_integer(value));
    else
        snprintf(bytes, sizeof bytes, format, number);
#pragma GCC diagnostic pop
    ffai__jinja_append_bytes(text, bytes, strlen(bytes), false);
}

/* Behind "%". */
static void append_place(formatter *f, jinja_text *text)
{
    if (f->format->data[f->at] == '%') {
        f->at++;
        ffai__jinja_append_bytes(text, "%", 1, false);
        return;
    }
    const bool named = f->format->data[f->at] == '(';
    const jinja_value first = named ? take_value(f) : ffai__jinja_none();
    const spec s = read_spec(f);
    const jinja_value value = named ? first : take_value(f);
    if (value.kind == JINJA_UNDEFINED && s.kind != 's' && s.kind != 'r')
        ffai__jinja_refuse(f->j, "%s", value.why);
    if (s.kind == 's' || s.kind == 'r')
        append_text(f, text, &s, value);
    else if (s.kind && strchr("dixXofFeEgG", s.kind))
        append_number(f, text, &s, value);
    else
        ffai__jinja_fail(f->j, FFAI_E_UNSUPPORTED, "a format has %%%c", s.kind ? s.kind : ' ');
}

jinja_value ffai__jinja_format(ffai__jinja *j, const jinja_string *format, jinja_value arguments)
{
    jinja_list *one = ffai__jinja_new_list(j, 1);
    ffai__jinja_add(j, one, arguments);
    formatter f = {.j = j, .format = format, .values = arguments.kind == JINJA_TUPLE ? arguments.list : one};
    f.named = arguments.kind == JINJA_DICT ? arguments.dict : NULL;
    jinja_text text = ffai__jinja_new_text(j);
    while (f.at < format->size) {
        const char *place = memchr(format->data + f.at, '%', format->size - f.at);
        const size_t end = place ? (size_t)(place - format->data) : format->size;
        ffai__jinja_append_part(&text, format, f.at, end);
        f.at = end;
        if (place) {
            f.at++;
            append_place(&f, &text);
        }
    }
    if (!f.named && f.next < f.values->count &&
        !(f.next == 0 && arguments.kind != JINJA_TUPLE && arguments.kind == JINJA_LIST))
        ffai__jinja_refuse(j, "a format has fewer places than there are values");
    return ffai__jinja_finish(&text);
}
