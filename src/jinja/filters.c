/* "|" …: filters of single values. */
#define _GNU_SOURCE /* memrchr */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtins.h"
#include "texts.h"
#include "utf8.h"

static const jinja_string *self_text(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_str(j, call->self);
}

/* --- text --- */

static jinja_value upper(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_in_case(j, self_text(j, call), JINJA_UPPER);
}

static jinja_value lower(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_in_case(j, self_text(j, call), JINJA_LOWER);
}

static jinja_value capitalize(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_in_case(j, self_text(j, call), JINJA_CAPITALIZED);
}

static bool parts_words(uint32_t character)
{
    return ffai__jinja_is_space(character) || (character < 0x80 && character && strchr("-([{<", (int)character));
}

/* Words begin behind white space, hyphens and opening brackets: not as str.title(). */
static jinja_value title(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *string = self_text(j, call);
    jinja_text text = ffai__jinja_new_text(j);
    size_t begin = 0;
    size_t size = 0;
    for (size_t at = 0; at < string->size; at += size) {
        if (!parts_words(ffai__utf8_get(string->data + at, &size)))
            continue;
        const jinja_value word = ffai__jinja_substring(j, string, begin, at);
        ffai__jinja_append(&text, ffai__jinja_in_case(j, word.string, JINJA_CAPITALIZED).string);
        ffai__jinja_append_part(&text, string, at, at + size);
        begin = at + size;
    }
    const jinja_value word = ffai__jinja_substring(j, string, begin, string->size);
    ffai__jinja_append(&text, ffai__jinja_in_case(j, word.string, JINJA_CAPITALIZED).string);
    return ffai__jinja_finish(&text);
}

static jinja_value trim(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_strip(j, self_text(j, call), ffai__jinja_text(j, call, 0), JINJA_LEFT | JINJA_RIGHT);
}

static jinja_value replace(ffai__jinja *j, const jinja_call *call)
{
    const bool all = !call->given[2] || call->args[2].kind == JINJA_NONE;
    return ffai__jinja_replace(j, self_text(j, call), ffai__jinja_str(j, call->args[0]),
                               ffai__jinja_str(j, call->args[1]), all ? -1 : ffai__jinja_count(j, call, 2, -1));
}

static jinja_value string_of(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_of_string(self_text(j, call));
}

static jinja_value itself(ffai__jinja *j, const jinja_call *call)
{
    (void)j;
    return call->self;
}

static jinja_value escape(ffai__jinja *j, const jinja_call *call)
{
    static const char special[] = "&<>'\"";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const jinja_string *string = self_text(j, call);
    jinja_text text = ffai__jinja_new_text(j);
    for (size_t at = 0; at < string->size; at++) {
        const char *found = string->data[at] ? strchr(special, string->data[at]) : NULL;
        const char *name = found ? names[found - special] : NULL;
        if (name)
            ffai__jinja_append_bytes(&text, name, strlen(name), ffai__jinja_from_data(string, at));
        else
            ffai__jinja_append_part(&text, string, at, at + 1);
    }
    return ffai__jinja_finish(&text);
}

/* The end of the line that begins at `at`, without its newline. */
static size_t line_end(const jinja_string *string, size_t at)
{
    const char *found = memchr(string->data + at, '\n', string->size - at);
    return found ? (size_t)(found - string->data) : string->size;
}

static const jinja_string *spaces(ffai__jinja *j, int64_t count)
{
    jinja_text text = ffai__jinja_new_text(j);
    ffai__jinja_append_times(&text, ffai__jinja_literal(j, " ").string, count);
    return ffai__jinja_finish(&text).string;
}

static jinja_value indent(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *string = ffai__jinja_need_string(j, call->self, "what indent is applied to");
    const jinja_value width = ffai__jinja_argument(call, 0, ffai__jinja_integer(4));
    const jinja_string *by =
        width.kind == JINJA_STRING ? width.string : spaces(j, ffai__jinja_need_integer(j, width, "indent's width"));
    const bool first = ffai__jinja_flag(call, 1, false);
    const bool blank = ffai__jinja_flag(call, 2, false);
    jinja_text text = ffai__jinja_new_text(j);
    for (size_t at = 0;; at++) {
        const size_t end = line_end(string, at);
        if ((at == 0 && first) || (at > 0 && (blank || end > at)))
            ffai__jinja_append(&text, by);
        ffai__jinja_append_part(&text, string, at, end);
        at = end;
        if (at == string->size)
            return ffai__jinja_finish(&text);
        ffai__jinja_append_part(&text, string, at, at + 1);
    }
}

static jinja_value truncate(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *string = self_text(j, call);
    const int64_t length = ffai__jinja_count(j, call, 0, 255);
    const jinja_string *end = call->given[2] ? ffai__jinja_text(j, call, 2) : ffai__jinja_literal(j, "...").string;
    const int64_t leeway = ffai__jinja_count(j, call, 3, 5);
    if (!end || length < (int64_t)end->length)
        ffai__jinja_refuse(j, "truncate: a length of at least that of the end is expected");
    if ((int64_t)string->length <= length + leeway)
        return ffai__jinja_of_string(string);
    size_t cut = ffai__jinja_offset(string, (size_t)length - end->length);
    if (!ffai__jinja_flag(call, 1, false)) { /* not within a word */
        const char *space = memrchr(string->data, ' ', cut);
        cut = space ? (size_t)(space - string->data) : cut;
    }
    jinja_text text = ffai__jinja_new_text(j);
    ffai__jinja_append_part(&text, string, 0, cut);
    ffai__jinja_append(&text, end);
    return ffai__jinja_finish(&text);
}

static jinja_value center(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_center(j, self_text(j, call), ffai__jinja_count(j, call, 0, 80),
                              ffai__jinja_literal(j, " ").string);
}

static bool is_word(uint32_t character)
{
    return character >= 0x80 || (character >= '0' && character <= '9') || (character >= 'a' && character <= 'z') ||
           (character >= 'A' && character <= 'Z') || character == '_';
}

static jinja_value wordcount(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *string = self_text(j, call);
    int64_t words = 0;
    bool within = false;
    ffai__jinja_step(j, string->size);
    for (size_t at = 0; at < string->size; at++) {
        const bool word = is_word((unsigned char)string->data[at]);
        words += word && !within;
        within = word;
    }
    return ffai__jinja_integer(words);
}

static jinja_value urlencode_text(ffai__jinja *j, const jinja_string *string)
{
    jinja_text text = ffai__jinja_new_text(j);
    for (size_t at = 0; at < string->size; at++) {
        const unsigned char c = (unsigned char)string->data[at];
        char bytes[8];
        const bool plain = c < 0x80 && (is_word(c) || strchr("-.~/", c)) && c;
        snprintf(bytes, sizeof bytes, plain ? "%c" : "%%%02X", c);
        ffai__jinja_append_bytes(&text, bytes, strlen(bytes), ffai__jinja_from_data(string, at));
    }
    return ffai__jinja_finish(&text);
}

static jinja_value urlencode(ffai__jinja *j, const jinja_call *call)
{
    return urlencode_text(j, self_text(j, call));
}

static jinja_value format(ffai__jinja *j, const jinja_call *call)
{
    const jinja_arguments *all = call->all;
    jinja_dict *named = ffai__jinja_new_dict(j);
    for (size_t i = 0; i < all->num_named; i++)
        ffai__jinja_dict_set(j, named, ffai__jinja_of_string(all->named[i].name), all->named[i].value);
    if (all->num_named)
        return ffai__jinja_format(j, self_text(j, call), ffai__jinja_of_dict(named));
    jinja_list *values = ffai__jinja_new_list(j, all->count);
    for (size_t i = 0; i < all->count; i++)
        ffai__jinja_add(j, values, all->values[i]);
    return ffai__jinja_format(j, self_text(j, call), ffai__jinja_of_tuple(values));
}

/* --- numbers --- */

static jinja_value absolute(ffai__jinja *j, const jinja_call *call)
{
    if (call->self.kind == JINJA_FLOAT)
        return ffai__jinja_float(fabs(call->self.number));
    const int64_t number = ffai__jinja_need_integer(j, call->self, "what abs is applied to");
    if (number == INT64_MIN)
        ffai__jinja_refuse(j, "an integer beyond 64 bits");
    return ffai__jinja_integer(number < 0 ? -number : number);
}

/* A text as a number; false: it is none. */
static bool read_float(ffai__jinja *j, double *number, const jinja_string *string)
{
    const jinja_string *text = ffai__jinja_strip(j, string, NULL, JINJA_LEFT | JINJA_RIGHT).string;
    char *end = NULL;
    if (text->size == 0 || strpbrk(text->data, "xXpP"))
        return false;
    *number = strtod(text->data, &end);
    return end == text->data + text->size;
}

/* Behind "0x", "0o" or "0b" of the base, if it is there. */
static const char *after_prefix(const char *at, int base)
{
    const char letter = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
    return letter && at[0] == '0' && (at[1] | 0x20) == letter ? at + 2 : at;
}

static bool read_integer(ffai__jinja *j, int64_t *number, const jinja_string *string, int base)
{
    const char *at = ffai__jinja_strip(j, string, NULL, JINJA_LEFT | JINJA_RIGHT).string->data;
    const bool negative = *at == '-';
    int64_t value = 0;
    at = after_prefix(at + (*at == '-' || *at == '+'), base);
    if (ffai__jinja_digit(*at) >= base)
        return false;
    for (; *at; at++) {
        if (*at == '_' && ffai__jinja_digit(at[1]) < base)
            continue;
        const int digit = ffai__jinja_digit(*at);
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    *number = value;
    return negative || !__builtin_mul_overflow(value, -1, number);
}

static jinja_value to_int(ffai__jinja *j, const jinja_call *call)
{
    const jinja_value otherwise = ffai__jinja_argument(call, 0, ffai__jinja_integer(0));
    const int64_t base = ffai__jinja_count(j, call, 1, 10);
    int64_t integer = 0;
    double number = 0;
    if (ffai__jinja_is_integer(call->self))
        return ffai__jinja_integer(ffai__jinja_as_integer(call->self));
    const bool text = call->self.kind == JINJA_STRING;
    if (text && base >= 2 && base <= 36 && read_integer(j, &integer, call->self.string, (int)base))
        return ffai__jinja_integer(integer);
    const bool known = call->self.kind == JINJA_FLOAT || (text && read_float(j, &number, call->self.string));
    if (!text && known)
        number = call->self.number;
    return known && number > -0x1p63 && number < 0x1p63 ? ffai__jinja_integer((int64_t)number) : otherwise;
}

static jinja_value to_float(ffai__jinja *j, const jinja_call *call)
{
    double number = 0;
    if (ffai__jinja_is_number(call->self))
        return ffai__jinja_float(ffai__jinja_as_float(call->self));
    if (call->self.kind == JINJA_STRING && read_float(j, &number, call->self.string))
        return ffai__jinja_float(number);
    return ffai__jinja_argument(call, 0, ffai__jinja_float(0));
}

/* Half to even in the decimal that is printed, as Python rounds. */
static double rounded(double number, int digits)
{
    char bytes[400];
    if (digits < 0) {
        const double scale = pow(10, -digits);
        return nearbyint(number / scale) * scale;
    }
    snprintf(bytes, sizeof bytes, "%.*f", digits, number);
    return strtod(bytes, NULL);
}

static jinja_value round_number(ffai__jinja *j, const jinja_call *call)
{
    const int64_t digits = ffai__jinja_count(j, call, 0, 0);
    const jinja_string *method = call->given[1] ? ffai__jinja_text(j, call, 1) : NULL;
    if (!ffai__jinja_is_number(call->self))
        ffai__jinja_refuse(j, "round: a number is needed, not %s", ffai__jinja_type_name(call->self));
    if (digits < -20 || digits > 20)
        ffai__jinja_refuse(j, "round: at most 20 digits");
    const double number = ffai__jinja_as_float(call->self);
    const double scale = pow(10, (double)digits);
    if (!method || strcmp(method->data, "common") == 0) {
        if (ffai__jinja_is_integer(call->self) && digits >= 0)
            return call->self;
        return ffai__jinja_float(rounded(number, (int)digits));
    }
    if (strcmp(method->data, "ceil") == 0)
        return ffai__jinja_float(ceil(number * scale) / scale);
    if (strcmp(method->data, "floor") == 0)
        return ffai__jinja_float(floor(number * scale) / scale);
    ffai__jinja_refuse(j, "round: the method is common, ceil or floor");
}

/* --- anything --- */

static jinja_value default_value(ffai__jinja *j, const jinja_call *call)
{
    const bool falsy = ffai__jinja_flag(call, 1, false) && !ffai__jinja_is_true(call->self);
    if (call->self.kind != JINJA_UNDEFINED && !falsy)
        return call->self;
    return ffai__jinja_argument(call, 0, ffai__jinja_string(j, "", 0, false));
}

static jinja_value length(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_integer((int64_t)ffai__jinja_length(j, call->self));
}

static jinja_value attr(ffai__jinja *j, const jinja_call *call)
{
    jinja_value found;
    const jinja_string *name = ffai__jinja_str(j, call->args[0]);
    if (ffai__jinja_find_member(j, &found, call->self, name))
        return found;
    return ffai__jinja_undefined(j, "%s has no attribute '%.100s'", ffai__jinja_type_name(call->self), name->data);
}

static jinja_value pprint(ffai__jinja *j, const jinja_call *call)
{
    jinja_text text = ffai__jinja_new_text(j);
    ffai__jinja_append_repr(&text, call->self);
    return ffai__jinja_finish(&text);
}

const jinja_builtin *ffai__jinja_find_filter(const jinja_string *name)
{
    static const jinja_builtin filters[] = {
        {"abs", "", absolute},
        {"attr", "name", attr},
        {"capitalize", "", capitalize},
        {"center", "/ width", center},
        {"count", "", length},
        {"d", "/ default_value boolean", default_value},
        {"default", "/ default_value boolean", default_value},
        {"e", "", escape},
        {"escape", "", escape},
        {"float", "/ default", to_float},
        {"forceescape", "", escape},
        {"format", "*", format},
        {"indent", "/ width first blank", indent},
        {"int", "/ default base", to_int},
        {"length", "", length},
        {"lower", "", lower},
        {"pprint", "", pprint},
        {"replace", "old new / count", replace},
        {"round", "/ precision method", round_number},
        {"safe", "", itself},
        {"string", "", string_of},
        {"title", "", title},
        {"tojson", "/ ensure_ascii indent separators sort_keys", ffai__jinja_to_json},
        {"trim", "/ chars", trim},
        {"truncate", "/ length killwords end leeway", truncate},
        {"upper", "", upper},
        {"urlencode", "", urlencode},
        {"wordcount", "", wordcount},
    };
    const jinja_builtin *found = ffai__jinja_find_in(filters, sizeof filters / sizeof *filters, name);
    return found ? found : ffai__jinja_find_in(ffai__jinja_sequence_filters, ffai__jinja_num_sequence_filters, name);
}
