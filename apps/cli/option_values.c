#include "option_values.h"

#include <ffai/bench.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "0123456789";

/* A sign and digits, nothing else: strtoll would also take leading blanks. */
static bool read_integer(int64_t *out, const char *text)
{
    const char *first = text + (*text == '-' || *text == '+');
    if (!*first || strspn(first, digits) != strlen(first))
        return false;
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

/* Decimal notation only: strtod would also take blanks, hexadecimal, "inf" and "nan". */
static bool read_number(double *out, const char *text)
{
    if (!*text || strspn(text, "0123456789+-.eE") != strlen(text))
        return false;
    char *end = NULL;
    *out = strtod(text, &end);
    return !*end && isfinite(*out);
}

static void format_number(char *out, size_t size, double number)
{
    const bool whole = number == floor(number) && fabs(number) < 1e18;
    snprintf(out, size, whole ? "%.0f" : "%.9g", number);
}

/* An integer's range may end where no double lies: at the largest one of 64 bits. */
static void format_bound(char *out, size_t size, const option *row, double bound)
{
    if (row->kind == OPTION_INTEGER && bound >= 0x1p63)
        snprintf(out, size, "%lld", (long long)INT64_MAX);
    else
        format_number(out, size, bound);
}

void option_range_format(char *out, size_t size, const option *row)
{
    char least[40], most[40];
    format_bound(least, sizeof least, row, row->least);
    format_bound(most, sizeof most, row, row->most);
    snprintf(out, size, "%s%s to %s", row->above_least ? "above " : "", least, most);
}

static bool in_range(const option *row, const char *text, double number, char *why, size_t why_size)
{
    char range[100];
    const bool low = row->above_least ? number <= row->least : number < row->least;
    if (!low && number <= row->most)
        return true;
    option_range_format(range, sizeof range, row);
    snprintf(why, why_size, "%.40s is out of range: %s", text, range);
    return false;
}

static bool integer_value(setting *out, const option *row, const char *text, char *why, size_t why_size)
{
    if (!read_integer(&out->integer, text)) {
        snprintf(why, why_size, "\"%.40s\" is not an integer of at most 64 bits", text);
        return false;
    }
    out->number = (double)out->integer;
    return in_range(row, text, out->number, why, why_size);
}

static bool number_value(setting *out, const option *row, const char *text, char *why, size_t why_size)
{
    if (!read_number(&out->number, text)) {
        snprintf(why, why_size, "\"%.40s\" is not a finite decimal number", text);
        return false;
    }
    return in_range(row, text, out->number, why, why_size);
}

static bool choice_value(setting *out, const option *row, const char *text, char *why, size_t why_size)
{
    const size_t length = strlen(text);
    const char *word = row->value;
    for (int64_t i = 0; word; i++) {
        const size_t size = strcspn(word, "|");
        if (size == length && memcmp(word, text, size) == 0) {
            out->integer = i;
            return true;
        }
        word = word[size] ? word + size + 1 : NULL;
    }
    snprintf(why, why_size, "\"%.40s\" is none of %s", text, row->value);
    return false;
}

static double unit_of(const char *text)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"B", 1},        {"KB", 1e3},     {"MB", 1e6},     {"GB", 1e9},    {"TB", 1e12},
                 {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(units[i].name, text) == 0)
            return units[i].bytes;
    }
    return 0;
}

static bool bytes_value(setting *out, const option *row, const char *text, char *why, size_t why_size)
{
    const size_t length = strspn(text, digits);
    const double unit = unit_of(text + length);
    if (length == 0 || length > 15 || unit == 0) {
        snprintf(why, why_size, "\"%.40s\" is not a size such as 5GB or 512MiB", text);
        return false;
    }
    out->number = strtod(text, NULL) * unit;
    if (!in_range(row, text, out->number, why, why_size))
        return false;
    out->integer = (int64_t)out->number;
    return true;
}

static bool read_token(int32_t *out, const char **at)
{
    const size_t length = strspn(*at, digits);
    if (length == 0 || length > 10)
        return false;
    const long long id = strtoll(*at, NULL, 10);
    *at += length;
    *out = (int32_t)id;
    return id <= INT32_MAX;
}

static bool tokens_value(setting *out, const char *text, const char *entries, char *why, size_t why_size)
{
    size_t most = 1;
    for (const char *c = text; *c; c++)
        most += *c == ',';
    out->tokens = malloc(most * sizeof *out->tokens);
    if (!out->tokens) {
        snprintf(why, why_size, "not enough memory for %zu entries", most);
        return false;
    }
    const char *at = text;
    for (out->num_tokens = 0; out->num_tokens < most; out->num_tokens++) {
        const bool last = out->num_tokens + 1 == most;
        if (!read_token(&out->tokens[out->num_tokens], &at) || *at++ != (last ? '\0' : ',')) {
            snprintf(why, why_size, "entry %zu is not %s", out->num_tokens + 1, entries);
            return false;
        }
    }
    return true;
}

static bool list_value(setting *out, const option *row, const char *text, char *why, size_t why_size)
{
    if (!tokens_value(out, text, "a whole number: write them as in 0,4096", why, why_size))
        return false;
    for (size_t i = 0; i < out->num_tokens; i++) {
        char entry[16];
        snprintf(entry, sizeof entry, "%d", (int)out->tokens[i]);
        if (!in_range(row, entry, out->tokens[i], why, why_size))
            return false;
    }
    return true;
}

/* The library knows which there are. */
static bool shape_value(const char *text, char *why, size_t why_size)
{
    ffai_shape shape;
    for (size_t i = 0; ffai_shape_get(&shape, i); i++) {
        if (strcmp(shape.name, text) == 0)
            return true;
    }
    int length = snprintf(why, why_size, "\"%.30s\" is none of", text);
    for (size_t i = 0; length > 0 && (size_t)length < why_size && ffai_shape_get(&shape, i); i++)
        length += snprintf(why + length, why_size - (size_t)length, "%s%s", i ? "|" : " ", shape.name);
    return false;
}

/* The library's own words, without their "fusions: ". */
static bool fusions_value(const char *text, char *why, size_t why_size)
{
    ffai_error err = FFAI_ERROR_INIT;
    snprintf(why, why_size, "is empty");
    if (!*text)
        return false;
    if (ffai_fusions_check(text, &err) == FFAI_OK)
        return true;
    const char *reason = strstr(err.message, ": ");
    snprintf(why, why_size, "%s", reason ? reason + 2 : err.message);
    return false;
}

bool option_value_read(setting *out, const option *row, const char *text, char *why, size_t why_size)
{
    out->text = text;
    switch (row->kind) {
    case OPTION_NAME:
    case OPTION_MODEL:
    case OPTION_ARGUMENT:
    case OPTION_SOURCE:
        snprintf(why, why_size, "is empty");
        return *text;
    case OPTION_INTEGER:
        return integer_value(out, row, text, why, why_size);
    case OPTION_NUMBER:
        return number_value(out, row, text, why, why_size);
    case OPTION_CHOICE:
        return choice_value(out, row, text, why, why_size);
    case OPTION_BYTES:
        return bytes_value(out, row, text, why, why_size);
    case OPTION_FUSIONS:
        return fusions_value(text, why, why_size);
    case OPTION_TOKENS:
        return tokens_value(out, text, "a token id: write ids as in 1,2,3", why, why_size);
    case OPTION_LIST:
        return list_value(out, row, text, why, why_size);
    case OPTION_SHAPE:
        return shape_value(text, why, why_size);
    default:
        return true;
    }
}
