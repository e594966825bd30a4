#include "gbnf.h"

#include <stdio.h>
#include <string.h>

#include "grow.h"
#include "string_map.h"
#include "utf8.h"

typedef struct {
    ffai__rules *rules;
    const char *text;
    size_t size, at;
    int depth;
    ffai__string_map *names; /* the rules by name; keys lie in the text */
    size_t *mentions;        /* [rules] where each was named first */
    uint32_t max_mentions;
    ffai__expression *parts; /* of sequences and alternatives that are being read */
    uint32_t num_parts, max_parts;
    ffai_error *err;
} parser;

/* "line 3, column 7" */
static const char *place(char out[64], const parser *p, size_t at)
{
    size_t line = 1;
    size_t start = 0;
    for (size_t i = 0; i < at && i < p->size; i++) {
        if (p->text[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    snprintf(out, 64, "line %zu, column %zu", line, ffai__utf8_count(p->text + start, at - start) + 1);
    return out;
}

static ffai_status malformed(const parser *p, size_t at, const char *why)
{
    char where[64];
    return ffai__fail(p->err, FFAI_E_FORMAT, "%s: %s", place(where, p, at), why);
}

static bool next_is(const parser *p, const char *text)
{
    const size_t size = strlen(text);
    return p->size - p->at >= size && memcmp(p->text + p->at, text, size) == 0;
}

static bool take(parser *p, const char *text)
{
    if (!next_is(p, text))
        return false;
    p->at += strlen(text);
    return true;
}

/* Spaces and comments, and line ends if they are nothing but that here. */
static void skip_space(parser *p, bool lines)
{
    for (; p->at < p->size; p->at++) {
        const char c = p->text[p->at];
        if (c == '#') {
            while (p->at < p->size && p->text[p->at] != '\n')
                p->at++;
            p->at--;
            continue;
        }
        if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r')))
            return;
    }
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t name_size(const parser *p)
{
    size_t size = 0;
    while (p->at + size < p->size && is_name(p->text[p->at + size]))
        size++;
    return size;
}

/* The rule of the name that stands here, declared by its first mention. */
static ffai_status read_name(uint32_t *rule, parser *p)
{
    const size_t size = name_size(p);
    const char *name = p->text + p->at;
    uint64_t known = 0;
    if (size == 0)
        return malformed(p, p->at, "a rule's name is missing");
    if (ffai__string_map_get(p->names, name, size, &known)) {
        *rule = (uint32_t)known;
    } else {
        *rule = ffai__rules_declare(p->rules, name, size);
        FFAI__TRY(ffai__rules_check(p->rules, p->err));
        if (!FFAI__GROW(p->mentions, p->max_mentions, *rule + 1) || !p->mentions ||
            ffai__string_map_add(p->names, name, size, *rule) != FFAI__MAP_NEW)
            return ffai__fail_memory(p->err, "a grammar's names", size);
        p->mentions[*rule] = p->at;
    }
    p->at += size;
    return FFAI_OK;
}

/* --- characters --- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static ffai_status read_hex(uint32_t *out, parser *p, int digits)
{
    const size_t start = p->at;
    *out = 0;
    for (int i = 0; i < digits; i++) {
        const int value = p->at < p->size ? hex_value(p->text[p->at]) : -1;
        if (value < 0)
            return malformed(p, p->at, "a hexadecimal digit is missing");
        *out = *out << 4 | (uint32_t)value;
        p->at++;
    }
    if (*out > FFAI__CHARACTER_MAX || (*out >= 0xD800 && *out <= 0xDFFF))
        return malformed(p, start, "no character has this number");
    return FFAI_OK;
}

static ffai_status read_character(uint32_t *out, parser *p)
{
    static const char letters[] = "tnr\\\"[]-^";
    static const char values[] = "\t\n\r\\\"[]-^";
    const size_t start = p->at;
    size_t used = 0;
    *out = ffai__utf8_get(p->text + p->at, &used);
    p->at += used;
    if (*out != '\\')
        return FFAI_OK;
    if (take(p, "x"))
        return read_hex(out, p, 2);
    if (take(p, "u"))
        return read_hex(out, p, 4);
    if (take(p, "U"))
        return read_hex(out, p, 8);
    const char *letter = p->at < p->size && p->text[p->at] ? strchr(letters, p->text[p->at]) : NULL;
    if (!letter)
        return malformed(
            p, start, "an unknown escape: there are \\t \\n \\r \\\\ \\\" \\[ \\] \\- \\^ \\x41 \\u0041 \\U00000041");
    *out = (uint32_t)(unsigned char)values[letter - letters];
    p->at++;
    return FFAI_OK;
}

/* Behind the quote at `start`. */
static ffai_status read_literal(ffai__expression *out, parser *p, size_t start)
{
    ffai__buffer text = FFAI__BUFFER_INIT;
    ffai_status status = FFAI_OK;
    while (status == FFAI_OK && !next_is(p, "\"")) {
        uint32_t c = 0;
        status = p->at < p->size && p->text[p->at] != '\n' ? read_character(&c, p)
                                                           : malformed(p, start, "a literal that does not end");
        ffai__utf8_append(&text, c);
    }
    p->at++;
    if (status == FFAI_OK && text.failed)
        status = ffai__fail_memory(p->err, "a literal", text.size);
    if (status == FFAI_OK)
        *out = ffai__rules_literal(p->rules, text.data, text.size);
    ffai__buffer_free(&text);
    return status;
}

static ffai_status read_range(ffai__characters *set, parser *p)
{
    const size_t start = p->at;
    uint32_t first = 0;
    FFAI__TRY(read_character(&first, p));
    uint32_t last = first;
    if (next_is(p, "-") && !next_is(p, "-]") && p->at + 1 < p->size) {
        p->at++;
        FFAI__TRY(read_character(&last, p));
    }
    if (last < first)
        return malformed(p, start, "a range whose end is before its beginning");
    ffai__characters_add(set, first, last);
    return FFAI_OK;
}

/* Behind the bracket at `start`. */
static ffai_status read_class(ffai__expression *out, parser *p, size_t start)
{
    ffai__characters set = {0};
    ffai_status status = FFAI_OK;
    const bool negated = take(p, "^");
    while (status == FFAI_OK && !next_is(p, "]"))
        status = p->at < p->size ? read_range(&set, p) : malformed(p, start, "a class that does not end: ] is missing");
    p->at++;
    if (negated)
        ffai__characters_invert(&set);
    if (status == FFAI_OK)
        *out = ffai__rules_characters(p->rules, &set);
    ffai__characters_free(&set);
    return status;
}

/* --- expressions --- */

static ffai_status read_alternatives(ffai__expression *out, parser *p);

/* Behind the parenthesis at `start`. */
static ffai_status read_group(ffai__expression *out, parser *p, size_t start)
{
    if (++p->depth > FFAI__GBNF_DEPTH_MAX) {
        char where[64];
        return ffai__fail(p->err, FFAI_E_LIMIT, "%s: groups more than %d deep", place(where, p, start),
                          FFAI__GBNF_DEPTH_MAX);
    }
    FFAI__TRY(read_alternatives(out, p));
    p->depth--;
    return take(p, ")") ? FFAI_OK : malformed(p, p->at, "a ) is missing");
}

static ffai_status read_item(ffai__expression *out, parser *p)
{
    const size_t start = p->at;
    uint32_t rule = 0;
    if (take(p, "\""))
        return read_literal(out, p, start);
    if (take(p, "["))
        return read_class(out, p, start);
    if (take(p, "("))
        return read_group(out, p, start);
    if (take(p, ".")) {
        *out = ffai__rules_range(p->rules, 0, FFAI__CHARACTER_MAX);
        return FFAI_OK;
    }
    if (next_is(p, "<") || next_is(p, "!"))
        return malformed(p, start, "tokens in a grammar are not supported: write their text");
    FFAI__TRY(read_name(&rule, p));
    *out = ffai__rules_call(p->rules, rule);
    return FFAI_OK;
}

static bool read_number(uint32_t *out, parser *p)
{
    const size_t start = p->at;
    *out = 0;
    for (; p->at < p->size && p->text[p->at] >= '0' && p->text[p->at] <= '9'; p->at++)
        *out = *out < FFAI__EXPRESSIONS_MAX ? *out * 10 + (uint32_t)(p->text[p->at] - '0') : *out;
    return p->at > start;
}

/* Behind the brace at `start`. */
static ffai_status read_counts(uint32_t *min, uint32_t *max, parser *p, size_t start)
{
    skip_space(p, false);
    const bool has_min = read_number(min, p);
    *max = *min;
    skip_space(p, false);
    if (take(p, ",")) {
        skip_space(p, false);
        if (!read_number(max, p))
            *max = FFAI__UNLIMITED;
        skip_space(p, false);
    } else if (!has_min) {
        return malformed(p, start, "a count is missing: {2}, {2,} or {2,4}");
    }
    if (!take(p, "}"))
        return malformed(p, start, "a count that does not end: } is missing");
    return *max < *min ? malformed(p, start, "a repetition whose most is below its least") : FFAI_OK;
}

static ffai_status read_repetitions(ffai__expression *item, parser *p)
{
    for (;;) {
        const size_t start = p->at;
        uint32_t min = next_is(p, "+") ? 1 : 0;
        uint32_t max = next_is(p, "?") ? 1 : FFAI__UNLIMITED;
        if (take(p, "{"))
            FFAI__TRY(read_counts(&min, &max, p, start));
        else if (!take(p, "*") && !take(p, "+") && !take(p, "?"))
            return FFAI_OK;
        *item = ffai__rules_repeat(p->rules, *item, min, max);
        skip_space(p, p->depth > 0);
    }
}

static ffai_status push(parser *p, ffai__expression part)
{
    if (!FFAI__GROW(p->parts, p->max_parts, p->num_parts + 1))
        return ffai__fail_memory(p->err, "a grammar", p->num_parts);
    p->parts[p->num_parts++] = part;
    return FFAI_OK;
}

/* Whether an item begins here; behind a line's end only inside of groups. */
static bool item_follows(const parser *p)
{
    if (p->at >= p->size)
        return false;
    return !strchr("|)\r\n", p->text[p->at]) || p->text[p->at] == 0;
}

static ffai_status read_sequence(ffai__expression *out, parser *p)
{
    const uint32_t first = p->num_parts;
    while (item_follows(p)) {
        ffai__expression item = FFAI__NEVER;
        FFAI__TRY(read_item(&item, p));
        skip_space(p, p->depth > 0);
        FFAI__TRY(read_repetitions(&item, p));
        FFAI__TRY(push(p, item));
    }
    *out = ffai__rules_sequence_of(p->rules, p->parts, first, &p->num_parts);
    return FFAI_OK;
}

/* An alternative may stand in a line of its own. */
static bool take_bar(parser *p)
{
    const size_t before = p->at;
    skip_space(p, true);
    const bool taken = take(p, "|");
    if (!taken)
        p->at = before;
    return taken;
}

static ffai_status read_alternatives(ffai__expression *out, parser *p)
{
    const uint32_t first = p->num_parts;
    do {
        ffai__expression sequence = FFAI__NEVER;
        skip_space(p, true);
        FFAI__TRY(read_sequence(&sequence, p));
        FFAI__TRY(push(p, sequence));
    } while (take_bar(p));
    *out = ffai__rules_choice_of(p->rules, p->parts, first, &p->num_parts);
    return FFAI_OK;
}

/* --- the whole --- */

static ffai_status read_rule(parser *p)
{
    const size_t start = p->at;
    uint32_t rule = 0;
    ffai__expression body = FFAI__NEVER;
    FFAI__TRY(read_name(&rule, p));
    skip_space(p, false);
    if (!take(p, "::="))
        return malformed(p, p->at, "::= is missing");
    if (p->rules->rules[rule].defined)
        return malformed(p, start, "a second rule of this name");
    /* A line's end ends the rule, but not before its body has begun. */
    FFAI__TRY(read_alternatives(&body, p));
    FFAI__TRY(ffai__rules_check(p->rules, p->err));
    ffai__rules_define(p->rules, rule, body);
    if (p->at < p->size && !next_is(p, "\n") && !next_is(p, "\r"))
        return malformed(p, p->at, "a ) without its (");
    skip_space(p, true);
    return FFAI_OK;
}

static ffai_status read_rules(uint32_t *root, parser *p)
{
    skip_space(p, true);
    while (p->at < p->size)
        FFAI__TRY(read_rule(p));
    for (uint32_t rule = 0; p->mentions && rule < p->rules->num_rules; rule++) {
        char where[64];
        if (!p->rules->rules[rule].defined)
            return ffai__fail(p->err, FFAI_E_FORMAT, "%s: there is no rule \"%.100s\"",
                              place(where, p, p->mentions[rule]), p->rules->rules[rule].name);
    }
    uint64_t found = 0;
    if (!ffai__string_map_get(p->names, "root", 4, &found))
        return ffai__fail(p->err, FFAI_E_FORMAT, "there is no rule \"root\"");
    *root = (uint32_t)found;
    return FFAI_OK;
}

ffai_status ffai__gbnf_parse(uint32_t *root, ffai__rules *rules, const char *text, size_t size, ffai_error *err)
{
    if (size > FFAI__GBNF_SIZE_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "a grammar of %zu bytes, more than %d", size, FFAI__GBNF_SIZE_MAX);
    if (!ffai__utf8_valid(text, size))
        return ffai__fail(err, FFAI_E_FORMAT, "a grammar that is not UTF-8");
    parser p = {.rules = rules, .text = text, .size = size, .err = err};
    p.names = ffai__string_map_new(64);
    const ffai_status status = p.names ? read_rules(root, &p) : ffai__fail_memory(err, "a grammar's names", 64);
    ffai__string_map_free(p.names);
    ffai__free(p.mentions);
    ffai__free(p.parts);
    return status;
}
