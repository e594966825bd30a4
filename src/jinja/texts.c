#define _GNU_SOURCE /* memmem */
#include "texts.h"

#include <string.h>
#include <utf8proc.h>

#include "utf8.h"

/* --- building --- */

jinja_text ffai__jinja_new_text(ffai__jinja *j)
{
    return (jinja_text){.j = j};
}

static void reserve(jinja_text *text, size_t more)
{
    if (text->data && more <= text->capacity - text->size)
        return;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity - text->size < more && capacity < SIZE_MAX / 4)
        capacity *= 2;
    char *data = ffai__jinja_alloc(text->j, capacity, 1);
    uint8_t *from_data = ffai__jinja_alloc(text->j, capacity, 1);
    if (text->size) {
        memcpy(data, text->data, text->size);
        memcpy(from_data, text->from_data, text->size);
    }
    text->data = data;
    text->from_data = from_data;
    text->capacity = capacity;
}

/* from_data: [size], or NULL where all_from_data holds for each. */
static void append(jinja_text *text, const char *bytes, size_t size, const uint8_t *from_data, bool all_from_data)
{
    if (size == 0)
        return;
    ffai__jinja_step(text->j, size);
    reserve(text, size);
    memcpy(text->data + text->size, bytes, size);
    if (from_data)
        memcpy(text->from_data + text->size, from_data, size);
    else
        memset(text->from_data + text->size, all_from_data, size);
    text->size += size;
}

void ffai__jinja_append_bytes(jinja_text *text, const char *bytes, size_t size, bool from_data)
{
    append(text, bytes, size, NULL, from_data);
}

void ffai__jinja_append_part(jinja_text *text, const jinja_string *string, size_t begin, size_t end)
{
    append(text, string->data + begin, end - begin, string->from_data ? string->from_data + begin : NULL,
           string->all_from_data);
}

void ffai__jinja_append(jinja_text *text, const jinja_string *string)
{
    ffai__jinja_append_part(text, string, 0, string->size);
}

void ffai__jinja_append_times(jinja_text *text, const jinja_string *string, int64_t times)
{
    for (int64_t i = 0; i < times; i++)
        ffai__jinja_append(text, string);
}

void ffai__jinja_append_character(jinja_text *text, uint32_t character, bool from_data)
{
    char bytes[4];
    ffai__jinja_append_bytes(text, bytes, ffai__utf8_put(bytes, character), from_data);
}

jinja_value ffai__jinja_finish(const jinja_text *text)
{
    jinja_string *string = ffai__jinja_alloc(text->j, 1, sizeof *string);
    string->data = ffai__jinja_copy(text->j, text->data, text->size);
    string->size = text->size;
    string->length = ffai__utf8_count(text->data, text->size);
    string->all_from_data = text->size > 0 && text->from_data[0];
    if (text->size > 1 && memcmp(text->from_data, text->from_data + 1, text->size - 1) != 0)
        string->from_data = text->from_data;
    return ffai__jinja_of_string(string);
}

const jinja_string *ffai__jinja_str(ffai__jinja *j, jinja_value value)
{
    if (value.kind == JINJA_STRING)
        return value.string;
    jinja_text text = ffai__jinja_new_text(j);
    ffai__jinja_append_value(&text, value);
    return ffai__jinja_finish(&text).string;
}

/* --- taking apart --- */

size_t ffai__jinja_offset(const jinja_string *string, size_t character)
{
    if (character >= string->length)
        return string->size;
    if (string->length == string->size)
        return character;
    size_t at = 0;
    for (; character > 0; character--) {
        size_t size = 0;
        ffai__utf8_get(string->data + at, &size);
        at += size;
    }
    return at;
}

jinja_value ffai__jinja_substring(ffai__jinja *j, const jinja_string *string, size_t begin, size_t end)
{
    jinja_string *part = ffai__jinja_alloc(j, 1, sizeof *part);
    ffai__jinja_step(j, end - begin);
    part->data = ffai__jinja_copy(j, string->data + begin, end - begin);
    part->size = end - begin;
    part->length = ffai__utf8_count(part->data, part->size);
    part->from_data = string->from_data ? string->from_data + begin : NULL;
    part->all_from_data = string->all_from_data;
    return ffai__jinja_of_string(part);
}

size_t ffai__jinja_find(ffai__jinja *j, const jinja_string *string, const jinja_string *part, size_t from)
{
    if (from > string->size || part->size > string->size - from)
        return SIZE_MAX;
    if (part->size == 0)
        return from;
    ffai__jinja_step(j, string->size - from);
    const char *found = memmem(string->data + from, string->size - from, part->data, part->size);
    return found ? (size_t)(found - string->data) : SIZE_MAX;
}

size_t ffai__jinja_find_last(ffai__jinja *j, const jinja_string *string, const jinja_string *part)
{
    size_t last = SIZE_MAX;
    if (part->size == 0)
        return string->size;
    for (size_t at = ffai__jinja_find(j, string, part, 0); at != SIZE_MAX;
         at = ffai__jinja_find(j, string, part, at + 1))
        last = at;
    return last;
}

bool ffai__jinja_same(const jinja_string *a, const jinja_string *b)
{
    return a == b || (a->size == b->size && memcmp(a->data, b->data, a->size) == 0);
}

bool ffai__jinja_starts_with(const jinja_string *string, const jinja_string *part)
{
    return part->size <= string->size && memcmp(string->data, part->data, part->size) == 0;
}

bool ffai__jinja_ends_with(const jinja_string *string, const jinja_string *part)
{
    return part->size <= string->size &&
           memcmp(string->data + (string->size - part->size), part->data, part->size) == 0;
}

bool ffai__jinja_from_data(const jinja_string *string, size_t byte)
{
    return string->from_data ? string->from_data[byte] != 0 : string->all_from_data;
}

int ffai__jinja_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 99;
}

bool ffai__jinja_is_space(uint32_t character)
{
    if (character < 0x80)
        return (character >= 9 && character <= 13) || (character >= 0x1C && character <= 0x20);
    if (character == 0x85)
        return true;
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)character);
    return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

bool ffai__jinja_is_of(const jinja_string *set, uint32_t character)
{
    if (!set)
        return ffai__jinja_is_space(character);
    size_t size = 0;
    for (size_t at = 0; at < set->size; at += size) {
        if (ffai__utf8_get(set->data + at, &size) == character)
            return true;
    }
    return false;
}

jinja_value ffai__jinja_strip(ffai__jinja *j, const jinja_string *string, const jinja_string *set, int sides)
{
    size_t begin = 0;
    size_t end = string->size;
    size_t size = 0;
    ffai__jinja_step(j, string->size * (set ? set->size : 1));
    while (sides & JINJA_LEFT && begin < end && ffai__jinja_is_of(set, ffai__utf8_get(string->data + begin, &size)))
        begin += size;
    while (sides & JINJA_RIGHT && end > begin) {
        size = ffai__utf8_last(string->data, end);
        size_t same = 0;
        if (!ffai__jinja_is_of(set, ffai__utf8_get(string->data + end - size, &same)))
            break;
        end -= size;
    }
    return ffai__jinja_substring(j, string, begin, end);
}

/* --- changing --- */

static bool is_cased(uint32_t character)
{
    return utf8proc_tolower((utf8proc_int32_t)character) != (utf8proc_int32_t)character ||
           utf8proc_toupper((utf8proc_int32_t)character) != (utf8proc_int32_t)character;
}

static void append_upper(jinja_text *text, uint32_t character, bool from_data)
{
    if (character == 0xDF) /* the one sharp s, which has no capital of its own */
        ffai__jinja_append_bytes(text, "SS", 2, from_data);
    else
        ffai__jinja_append_character(text, (uint32_t)utf8proc_toupper((utf8proc_int32_t)character), from_data);
}

static bool becomes_upper(jinja_case wanted, uint32_t character, bool first, bool after_cased)
{
    switch (wanted) {
    case JINJA_LOWER:
        return false;
    case JINJA_UPPER:
        return true;
    case JINJA_SWAPPED:
        return utf8proc_toupper((utf8proc_int32_t)character) != (utf8proc_int32_t)character;
    case JINJA_CAPITALIZED:
        return first;
    case JINJA_TITLE:
        return !after_cased;
    }
    return false;
}

jinja_value ffai__jinja_in_case(ffai__jinja *j, const jinja_string *string, jinja_case wanted)
{
    jinja_text text = ffai__jinja_new_text(j);
    bool after_cased = false;
    size_t size = 0;
    for (size_t at = 0; at < string->size; at += size) {
        const uint32_t character = ffai__utf8_get(string->data + at, &size);
        const bool from_data = ffai__jinja_from_data(string, at);
        if (becomes_upper(wanted, character, at == 0, after_cased))
            append_upper(&text, character, from_data);
        else
            ffai__jinja_append_character(&text, (uint32_t)utf8proc_tolower((utf8proc_int32_t)character), from_data);
        after_cased = is_cased(character);
    }
    return ffai__jinja_finish(&text);
}

jinja_value ffai__jinja_center(ffai__jinja *j, const jinja_string *string, int64_t width, const jinja_string *with)
{
    const int64_t all = ffai__jinja_missing(string, width);
    const int64_t left = all / 2 + (all & width & 1);
    jinja_text text = ffai__jinja_new_text(j);
    ffai__jinja_append_times(&text, with, left);
    ffai__jinja_append(&text, string);
    ffai__jinja_append_times(&text, with, all - left);
    return ffai__jinja_finish(&text);
}

bool ffai__jinja_is_in_case(ffai__jinja *j, const jinja_string *string, jinja_case wanted)
{
    const jinja_value same = ffai__jinja_in_case(j, string, wanted);
    const jinja_value other = ffai__jinja_in_case(j, string, wanted == JINJA_LOWER ? JINJA_UPPER : JINJA_LOWER);
    return ffai__jinja_same(same.string, string) && !ffai__jinja_same(other.string, string);
}

/* "abc" with "-" for "": "-a-b-c-". */
static jinja_value put_between(ffai__jinja *j, const jinja_string *string, const jinja_string *with, int64_t most)
{
    jinja_text text = ffai__jinja_new_text(j);
    size_t size = 0;
    for (size_t at = 0; at <= string->size; at += size) {
        if (most < 0 || most-- > 0)
            ffai__jinja_append(&text, with);
        if (at == string->size)
            break;
        ffai__utf8_get(string->data + at, &size);
        ffai__jinja_append_part(&text, string, at, at + size);
    }
    return ffai__jinja_finish(&text);
}

jinja_value ffai__jinja_replace(ffai__jinja *j, const jinja_string *string, const jinja_string *old,
                                const jinja_string *with, int64_t most)
{
    if (old->size == 0)
        return put_between(j, string, with, most);
    jinja_text text = ffai__jinja_new_text(j);
    size_t from = 0;
    for (size_t at = ffai__jinja_find(j, string, old, 0); at != SIZE_MAX && most != 0;
         at = ffai__jinja_find(j, string, old, from)) {
        ffai__jinja_append_part(&text, string, from, at);
        ffai__jinja_append(&text, with);
        from = at + old->size;
        most -= most > 0;
    }
    ffai__jinja_append_part(&text, string, from, string->size);
    return ffai__jinja_finish(&text);
}
