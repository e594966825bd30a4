/* Strings: built piece by piece, so that every byte keeps where it came from, and taken apart. */
#ifndef FFAI_JINJA_TEXTS_H
#define FFAI_JINJA_TEXTS_H

#include "values.h"

/* A string that is being built. */
struct jinja_text {
    ffai__jinja *j;
    char *data;
    uint8_t *from_data; /* [capacity] */
    size_t size, capacity;
};

jinja_text ffai__jinja_new_text(ffai__jinja *j);
void ffai__jinja_append(jinja_text *text, const jinja_string *string);
/* Bytes [begin, end) of a string. */
void ffai__jinja_append_part(jinja_text *text, const jinja_string *string, size_t begin, size_t end);
/* Bytes that are the template's own or from the data. */
void ffai__jinja_append_bytes(jinja_text *text, const char *bytes, size_t size, bool from_data);
/* The string so many times; none below 1. */
void ffai__jinja_append_times(jinja_text *text, const jinja_string *string, int64_t times);
void ffai__jinja_append_character(jinja_text *text, uint32_t character, bool from_data);
void ffai__jinja_append_format(jinja_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What Python's str(), and repr(), make of a value. What is undefined is empty. */
void ffai__jinja_append_value(jinja_text *text, jinja_value value);
void ffai__jinja_append_repr(jinja_text *text, jinja_value value);
/* The shortest text that reads as the same number, as Python's repr(). */
void ffai__jinja_append_float(jinja_text *text, double number);
jinja_value ffai__jinja_finish(const jinja_text *text);

/* The value itself if it is a string, else str() of it. */
const jinja_string *ffai__jinja_str(ffai__jinja *j, jinja_value value);

/* Where a character begins, in bytes; size from length on. */
size_t ffai__jinja_offset(const jinja_string *string, size_t character);
/* Bytes [begin, end), which are at characters' edges. */
jinja_value ffai__jinja_substring(ffai__jinja *j, const jinja_string *string, size_t begin, size_t end);
/* Where `part` is first, from byte `from` on; SIZE_MAX: nowhere. And last. */
size_t ffai__jinja_find(ffai__jinja *j, const jinja_string *string, const jinja_string *part, size_t from);
size_t ffai__jinja_find_last(ffai__jinja *j, const jinja_string *string, const jinja_string *part);
bool ffai__jinja_same(const jinja_string *a, const jinja_string *b);
bool ffai__jinja_starts_with(const jinja_string *string, const jinja_string *part);
bool ffai__jinja_ends_with(const jinja_string *string, const jinja_string *part);
bool ffai__jinja_from_data(const jinja_string *string, size_t byte);

int ffai__jinja_digit(char c);                 /* of bases up to 36; 99: it is none */
bool ffai__jinja_is_space(uint32_t character); /* str.isspace() */
/* Whether a character is one of `set`; of white space where set is NULL. */
bool ffai__jinja_is_of(const jinja_string *set, uint32_t character);
/* Without these at the beginning, at the end. */
enum { JINJA_LEFT = 1, JINJA_RIGHT = 2 };
jinja_value ffai__jinja_strip(ffai__jinja *j, const jinja_string *string, const jinja_string *set, int sides);

typedef enum jinja_case { JINJA_LOWER, JINJA_UPPER, JINJA_SWAPPED, JINJA_CAPITALIZED, JINJA_TITLE } jinja_case;
jinja_value ffai__jinja_in_case(ffai__jinja *j, const jinja_string *string, jinja_case wanted);
/* Characters that it lacks to be `width` long; 0: none. */
static inline int64_t ffai__jinja_missing(const jinja_string *string, int64_t width)
{
    return width > (int64_t)string->length ? width - (int64_t)string->length : 0;
}
/* Between as many of `with` as make it `width` characters long; one more of an odd number is where str.center() has it.
 */
jinja_value ffai__jinja_center(ffai__jinja *j, const jinja_string *string, int64_t width, const jinja_string *with);
/* As it is in that case, lower or upper, and would not be in the other. */
bool ffai__jinja_is_in_case(ffai__jinja *j, const jinja_string *string, jinja_case wanted);
/* At most `most` replacements; below 0: all. */
jinja_value ffai__jinja_replace(ffai__jinja *j, const jinja_string *string, const jinja_string *old,
                                const jinja_string *with, int64_t most);

#endif
