#include "json_plain.h"

#include <stdbool.h>
#include <string.h>

#include "buffer.h"
#include "utf8.h"

enum { DEEPEST = 64, MOST_DIGITS = 15 };

typedef struct {
    const char *at;
    const char *end;
    bool integers_as_reals;
    ffai__buffer text;  /* the string being read, where it is not the input's own bytes */
    ffai__buffer names; /* of the members being read, the innermost last, a 0 after each */
} reader;

static json_t *read_value(reader *r, int depth);

static void skip_space(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

/* Past a character, if it comes next. */
static bool take(reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* --- strings --- */

static int hexadecimal(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The character of \uXXXX, XXXX at r->at; 0 for what a string cannot hold by itself. */
static uint32_t read_codepoint(reader *r)
{
    uint32_t codepoint = 0;
    if (r->end - r->at < 4)
        return 0;
    for (int i = 0; i < 4; i++) {
        const int digit = hexadecimal(*r->at++);
        if (digit < 0)
            return 0;
        codepoint = codepoint << 4 | (uint32_t)digit;
    }
    return codepoint >= 0xD800 && codepoint < 0xE000 ? 0 : codepoint;
}

static bool append_escape(ffai__buffer *out, reader *r)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end)
        return false;
    const char c = *r->at++;
    const char *known = c ? strchr(from, c) : NULL;
    if (known)
        return ffai__buffer_append(out, to + (known - from), 1);
    const uint32_t codepoint = c == 'u' ? read_codepoint(r) : 0;
    if (codepoint)
        ffai__utf8_append(out, codepoint);
    return codepoint && !out->failed;
}

/* Up to the next quote or backslash; false at what a string must not hold. */
static bool skip_plain(reader *r)
{
    const char *const start = r->at;
    unsigned char any = 0;
    for (; r->at < r->end && *r->at != '"' && *r->at != '\\'; r->at++) {
        const unsigned char c = (unsigned char)*r->at;
        if (c < 0x20)
            return false;
        any |= c;
    }
    return r->at < r->end && (any < 0x80 || ffai__utf8_valid(start, (size_t)(r->at - start)));
}

/* A string after its opening quote, appended to out. */
static bool append_string(ffai__buffer *out, reader *r)
{
    for (;;) {
        const char *const start = r->at;
        if (!skip_plain(r) || !ffai__buffer_append(out, start, (size_t)(r->at - start)))
            return false;
        if (*r->at++ == '"')
            return true;
        if (!append_escape(out, r))
            return false;
    }
}

/* --- values --- */

static json_t *read_string(reader *r)
{
    const char *const start = r->at;
    if (!skip_plain(r))
        return NULL;
    if (*r->at == '"')
        return json_stringn_nocheck(start, (size_t)(r->at++ - start));
    r->at = start;
    r->text.size = 0;
    return append_string(&r->text, r) ? json_stringn_nocheck(r->text.data, r->text.size) : NULL;
}

/* Integers that a double holds exactly; others are not plain. */
static json_t *read_integer(reader *r)
{
    const bool negative = *r->at == '-';
    r->at += negative;
    const char *const start = r->at;
    int64_t value = 0;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9' && r->at - start <= MOST_DIGITS)
        value = 10 * value + (*r->at++ - '0');
    const long digits = r->at - start;
    const bool padded = digits > 1 && *start == '0';
    const bool real = r->at < r->end && (*r->at == '.' || *r->at == 'e' || *r->at == 'E');
    if (digits == 0 || digits > MOST_DIGITS || padded || real || (negative && value == 0))
        return NULL;
    value = negative ? -value : value;
    return r->integers_as_reals ? json_real((double)value) : json_integer(value);
}

static bool read_word(reader *r, const char *word)
{
    const size_t size = strlen(word);
    if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size) != 0)
        return false;
    r->at += size;
    return true;
}

/* A member's name waits in r->names while its value is read. */
static bool read_member(json_t *object, reader *r, int depth)
{
    const size_t start = r->names.size;
    if (!take(r, '"') || !append_string(&r->names, r) || !ffai__buffer_append(&r->names, "", 1) || !take(r, ':'))
        return false;
    json_t *value = read_value(r, depth);
    const char *const name = r->names.data + start;
    r->names.size = start;
    if (value && !json_object_get(object, name))
        return json_object_set_new_nocheck(object, name, value) == 0;
    json_decref(value);
    return false;
}

static json_t *read_object(reader *r, int depth)
{
    json_t *object = json_object();
    if (object && take(r, '}'))
        return object;
    bool good = object && read_member(object, r, depth);
    while (good && take(r, ','))
        good = read_member(object, r, depth);
    if (good && take(r, '}'))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *read_array(reader *r, int depth)
{
    json_t *array = json_array();
    if (array && take(r, ']'))
        return array;
    bool good = array && json_array_append_new(array, read_value(r, depth)) == 0;
    while (good && take(r, ','))
        good = json_array_append_new(array, read_value(r, depth)) == 0;
    if (good && take(r, ']'))
        return array;
    json_decref(array);
    return NULL;
}

// NOLINTNEXTLINE(misc-no-recursion): to DEEPEST
static json_t *read_value(reader *r, int depth)
{
    skip_space(r);
    if (depth == DEEPEST || r->at == r->end)
        return NULL;
    switch (*r->at) {
    case '{':
        r->at++;
        return read_object(r, depth + 1);
    case '[':
        r->at++;
        return read_array(r, depth + 1);
    case '"':
        r->at++;
        return read_string(r);
    case 't':
        return read_word(r, "true") ? json_true() : NULL;
    case 'f':
        return read_word(r, "false") ? json_false() : NULL;
    case 'n':
        return read_word(r, "null") ? json_null() : NULL;
    default:
        return read_integer(r);
    }
}

json_t *ffai__json_plain(const char *bytes, size_t size, bool integers_as_reals)
{
    reader r = {.at = bytes,
                .end = bytes + size,
                .integers_as_reals = integers_as_reals,
                .text = FFAI__BUFFER_INIT,
                .names = FFAI__BUFFER_INIT};
    json_t *root = read_value(&r, 0);
    skip_space(&r);
    if (r.at != r.end) {
        json_decref(root);
        root = NULL;
    }
    ffai__buffer_free(&r.text);
    ffai__buffer_free(&r.names);
    return root;
}
