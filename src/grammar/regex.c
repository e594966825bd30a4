#include "regex.h"

#include <string.h>

#include "grow.h"
#include "utf8.h"

/* Where an alternative's text stands: bits. */
enum { AT_START = 1, AT_END = 2, PLACES = 4 };

/* What an atom or an alternative matches, by the places that it is bound to. */
typedef struct {
    ffai__expression at[PLACES];
} placed;

typedef struct {
    ffai__rules *rules;
    const char *pattern;
    size_t size, at;
    ffai__regex_options options;
    int depth;
    ffai__expression *parts; /* of the sequences that are being read */
    uint32_t num_parts, max_parts;
    ffai_error *err;
} parser;

static const placed nothing = {{FFAI__NEVER, FFAI__NEVER, FFAI__NEVER, FFAI__NEVER}};

static ffai_status malformed(const parser *p, size_t at, const char *why)
{
    return ffai__fail(p->err, FFAI_E_FORMAT, "offset %zu: %s", at, why);
}

static ffai_status unsupported(const parser *p, size_t at, const char *what)
{
    return ffai__fail(p->err, FFAI_E_UNSUPPORTED, "offset %zu: %s: not supported", at, what);
}

static bool at_end(const parser *p)
{
    return p->at >= p->size;
}

static bool next_is(const parser *p, const char *text)
{
    const size_t size = strlen(text);
    return p->size - p->at >= size && memcmp(p->pattern + p->at, text, size) == 0;
}

static bool take(parser *p, const char *text)
{
    if (!next_is(p, text))
        return false;
    p->at += strlen(text);
    return true;
}

static uint32_t take_character(parser *p)
{
    size_t used = 0;
    const uint32_t c = ffai__utf8_get(p->pattern + p->at, &used);
    p->at += used;
    return c;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* --- escapes and classes --- */

static ffai_status read_hex(uint32_t *out, parser *p, int digits)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        const int value = at_end(p) ? -1 : hex_value(p->pattern[p->at]);
        if (value < 0)
            return malformed(p, p->at, "a hexadecimal digit is missing");
        *out = *out * 16 + (uint32_t)value;
        p->at++;
    }
    return FFAI_OK;
}

static ffai_status read_braced_hex(uint32_t *out, parser *p)
{
    const size_t start = p->at;
    *out = 0;
    while (!at_end(p) && hex_value(p->pattern[p->at]) >= 0 && *out <= FFAI__CHARACTER_MAX)
        *out = *out * 16 + (uint32_t)hex_value(p->pattern[p->at++]);
    if (p->at == start || *out > FFAI__CHARACTER_MAX || !take(p, "}"))
        return malformed(p, start, "no code point: \\u{10FFFF} is the largest");
    return FFAI_OK;
}

static bool is_surrogate(uint32_t c)
{
    return c >= 0xD800 && c <= 0xDFFF;
}

/* Behind "\u". Two surrogates, each escaped, are one character. */
static ffai_status read_unicode_escape(uint32_t *out, parser *p)
{
    const size_t start = p->at;
    if (take(p, "{"))
        FFAI__TRY(read_braced_hex(out, p));
    else
        FFAI__TRY(read_hex(out, p, 4));
    if (*out >= 0xD800 && *out <= 0xDBFF && take(p, "\\u")) {
        uint32_t low = 0;
        FFAI__TRY(read_hex(&low, p, 4));
        if (low >= 0xDC00 && low <= 0xDFFF)
            *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
    }
    return is_surrogate(*out) ? malformed(p, start, "half of a surrogate pair is no character") : FFAI_OK;
}

static void add_spaces(ffai__characters *set)
{
    static const ffai__character_range spaces[] = {
        {9, 13},          {32, 32},         {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
        {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
        ffai__characters_add(set, spaces[i].first, spaces[i].last);
}

static void add_words(ffai__characters *set)
{
    ffai__characters_add(set, '0', '9');
    ffai__characters_add(set, 'A', 'Z');
    ffai__characters_add(set, '_', '_');
    ffai__characters_add(set, 'a', 'z');
}

/* \d, \w, \s and what they leave over, into a set; false for another letter. */
static bool add_class_escape(ffai__characters *set, char letter)
{
    ffai__characters class = {0};
    switch (letter) {
    case 'd':
    case 'D':
        ffai__characters_add(&class, '0', '9');
        break;
    case 'w':
    case 'W':
        add_words(&class);
        break;
    case 's':
    case 'S':
        add_spaces(&class);
        break;
    default:
        return false;
    }
    if (letter < 'a')
        ffai__characters_invert(&class);
    ffai__characters_add_all(set, &class);
    ffai__characters_free(&class);
    return true;
}

static ffai_status refuse_escape(const parser *p, size_t at, char letter)
{
    if (letter >= '1' && letter <= '9')
        return unsupported(p, at, "a reference back to a group");
    switch (letter) {
    case 'b':
    case 'B':
        return unsupported(p, at, "a word boundary, \\b or \\B");
    case 'k':
        return unsupported(p, at, "a reference back to a group");
    case 'p':
    case 'P':
        return unsupported(p, at, "a class of Unicode, \\p");
    case 'A':
    case 'Z':
    case 'z':
        return unsupported(p, at, "\\A, \\Z or \\z (use ^ and $)");
    default:
        return unsupported(p, at, "this escape");
    }
}

/* One character, behind the backslash, which stands at `start`. */
static ffai_status read_character_escape(uint32_t *out, parser *p, size_t start)
{
    static const char letters[] = "tnvfr";
    static const char values[] = "\t\n\v\f\r";
    if (at_end(p))
        return malformed(p, start, "a backslash at the end");
    *out = take_character(p);
    if (*out == 'x')
        return read_hex(out, p, 2);
    if (*out == 'u')
        return read_unicode_escape(out, p);
    if (*out == 'c' && !at_end(p) && ((p->pattern[p->at] | 0x20) >= 'a' && (p->pattern[p->at] | 0x20) <= 'z')) {
        *out = (uint32_t)(p->pattern[p->at++] & 0x1F);
        return FFAI_OK;
    }
    if (*out == '0' && (at_end(p) || p->pattern[p->at] < '0' || p->pattern[p->at] > '9')) {
        *out = 0;
        return FFAI_OK;
    }
    const char *letter = *out && *out < 0x80 ? strchr(letters, (int)*out) : NULL;
    if (letter) {
        *out = (uint32_t)values[letter - letters];
        return FFAI_OK;
    }
    const bool alphanumeric = (*out >= '0' && *out <= '9') || ((*out | 0x20) >= 'a' && (*out | 0x20) <= 'z');
    if (alphanumeric || *out >= 0x80)
        return refuse_escape(p, start, *out < 0x80 ? (char)*out : ' ');
    return FFAI_OK;
}

/* A member of a class: one character, or (*is_set) an escape for several, which goes to the set. */
static ffai_status read_class_member(uint32_t *c, bool *is_set, ffai__characters *set, parser *p)
{
    const size_t start = p->at;
    *is_set = false;
    if (!take(p, "\\")) {
        *c = take_character(p);
        return FFAI_OK;
    }
    if (!at_end(p) && add_class_escape(set, p->pattern[p->at])) {
        *is_set = true;
        p->at++;
        return FFAI_OK;
    }
    if (take(p, "b")) {
        *c = '\b';
        return FFAI_OK;
    }
    return read_character_escape(c, p, start);
}

/* One member, or a range. */
static ffai_status read_class_part(ffai__characters *set, parser *p)
{
    const size_t start = p->at;
    uint32_t first = 0;
    uint32_t last = 0;
    bool is_set = false;
    FFAI__TRY(read_class_member(&first, &is_set, set, p));
    const bool is_range = next_is(p, "-") && !next_is(p, "-]") && p->at + 1 < p->size;
    if (is_range && is_set)
        return malformed(p, start, "a range that begins with a class");
    if (!is_range) {
        if (!is_set)
            ffai__characters_add(set, first, first);
        return FFAI_OK;
    }
    p->at++;
    FFAI__TRY(read_class_member(&last, &is_set, set, p));
    if (is_set || last < first)
        return malformed(p, start, "a range whose end is before its beginning");
    ffai__characters_add(set, first, last);
    return FFAI_OK;
}

/* Behind "[". */
static ffai_status read_class(ffai__characters *set, parser *p)
{
    const size_t start = p->at - 1;
    const bool negated = take(p, "^");
    if (next_is(p, "]"))
        return malformed(p, p->at, "an empty class, or a ] in front, which is to be escaped");
    while (!next_is(p, "]")) {
        if (at_end(p))
            return malformed(p, start, "a class that does not end: ] is missing");
        FFAI__TRY(read_class_part(set, p));
    }
    p->at++;
    if (negated)
        ffai__characters_invert(set);
    return FFAI_OK;
}

/* --- atoms --- */

static placed anywhere(ffai__expression expression)
{
    placed result = nothing;
    result.at[0] = expression;
    return result;
}

static placed spell_set(parser *p, ffai__characters *set)
{
    const ffai__expression e = ffai__spell_characters(p->rules, set, p->options.spelling);
    ffai__characters_free(set);
    return anywhere(e);
}

static placed spell_character(parser *p, uint32_t c)
{
    char text[4];
    const size_t size = ffai__utf8_put(text, c);
    return anywhere(ffai__spell_text(p->rules, text, size, p->options.spelling));
}

static ffai_status read_alternatives(placed *out, parser *p);

/* Behind "(". */
static ffai_status open_group(parser *p, size_t start)
{
    if (!take(p, "?"))
        return FFAI_OK;
    if (take(p, ":"))
        return FFAI_OK;
    if (next_is(p, "=") || next_is(p, "!") || next_is(p, "<=") || next_is(p, "<!"))
        return unsupported(p, start, "looking ahead or behind");
    if (next_is(p, "P="))
        return unsupported(p, start, "a reference back to a group");
    take(p, "P");
    if (!take(p, "<"))
        return unsupported(p, start, "this kind of group");
    while (!at_end(p) && p->pattern[p->at] != '>')
        p->at++;
    return take(p, ">") ? FFAI_OK : malformed(p, start, "a group's name that does not end");
}

static ffai_status read_group(placed *out, parser *p, size_t start)
{
    if (++p->depth > FFAI__REGEX_DEPTH_MAX)
        return ffai__fail(p->err, FFAI_E_LIMIT, "offset %zu: groups more than %d deep", start, FFAI__REGEX_DEPTH_MAX);
    FFAI__TRY(open_group(p, start));
    FFAI__TRY(read_alternatives(out, p));
    p->depth--;
    return take(p, ")") ? FFAI_OK : malformed(p, start, "a group that does not end: ) is missing");
}

/* All but the ends of lines. */
static placed any_character(parser *p)
{
    ffai__characters set = {0};
    ffai__characters_add(&set, '\n', '\n');
    ffai__characters_add(&set, '\r', '\r');
    ffai__characters_add(&set, 0x2028, 0x2029);
    ffai__characters_invert(&set);
    return spell_set(p, &set);
}

static ffai_status read_escape(placed *out, parser *p, size_t start)
{
    ffai__characters set = {0};
    uint32_t c = 0;
    if (!at_end(p) && add_class_escape(&set, p->pattern[p->at])) {
        p->at++;
        *out = spell_set(p, &set);
        return FFAI_OK;
    }
    FFAI__TRY(read_character_escape(&c, p, start));
    *out = spell_character(p, c);
    return FFAI_OK;
}

static ffai_status read_atom(placed *out, parser *p)
{
    const size_t start = p->at;
    const uint32_t c = take_character(p);
    *out = nothing;
    switch (c) {
    case '(':
        return read_group(out, p, start);
    case '[': {
        ffai__characters set = {0};
        const ffai_status status = read_class(&set, p);
        *out = spell_set(p, &set);
        return status;
    }
    case '\\':
        return read_escape(out, p, start);
    case '.':
        *out = any_character(p);
        return FFAI_OK;
    case '^':
        out->at[AT_START] = FFAI__EMPTY;
        return FFAI_OK;
    case '$':
        out->at[AT_END] = FFAI__EMPTY;
        return FFAI_OK;
    case '*':
    case '+':
    case '?':
        return malformed(p, start, "there is nothing to repeat");
    default:
        *out = spell_character(p, c);
        return FFAI_OK;
    }
}

/* --- repetitions and sequences --- */

static bool read_number(uint32_t *out, parser *p)
{
    const size_t start = p->at;
    *out = 0;
    for (; !at_end(p) && p->pattern[p->at] >= '0' && p->pattern[p->at] <= '9'; p->at++)
        *out = *out < FFAI__EXPRESSIONS_MAX ? *out * 10 + (uint32_t)(p->pattern[p->at] - '0') : *out;
    return p->at > start;
}

/* {m}, {m,} or {m,n}; false, and nothing taken, where the brace is a character. */
static bool read_counts(uint32_t *min, uint32_t *max, parser *p)
{
    const size_t start = p->at;
    bool ok = take(p, "{") && read_number(min, p);
    *max = *min;
    if (ok && take(p, ",") && !read_number(max, p))
        *max = FFAI__UNLIMITED;
    ok = ok && take(p, "}");
    if (!ok)
        p->at = start;
    return ok;
}

static bool read_quantifier(uint32_t *min, uint32_t *max, parser *p)
{
    *min = next_is(p, "+") ? 1 : 0;
    *max = next_is(p, "?") ? 1 : FFAI__UNLIMITED;
    return take(p, "*") || take(p, "+") || take(p, "?") || read_counts(min, max, p);
}

static ffai_status read_repetition(placed *atom, parser *p)
{
    const size_t start = p->at;
    uint32_t min = 0;
    uint32_t max = 0;
    if (next_is(p, "{,"))
        return unsupported(p, start, "{,n} (write {0,n})");
    if (!read_quantifier(&min, &max, p))
        return FFAI_OK;
    for (int place = 1; place < PLACES; place++) {
        if (atom->at[place] != FFAI__NEVER)
            return unsupported(p, start, "^ or $ inside a repetition");
    }
    if (max < min)
        return malformed(p, start, "a repetition whose most is below its least");
    atom->at[0] = ffai__rules_repeat(p->rules, atom->at[0], min, max);
    if (next_is(p, "+"))
        return unsupported(p, p->at, "a possessive repetition");
    take(p, "?"); /* lazy: the same texts */
    if (next_is(p, "*") || next_is(p, "+") || next_is(p, "?"))
        return malformed(p, p->at, "a repetition of a repetition");
    const size_t behind = p->at;
    if (read_counts(&min, &max, p))
        return malformed(p, behind, "a repetition of a repetition");
    return FFAI_OK;
}

/* What was read of an alternative, up to the parts that wait on the stack. */
typedef struct {
    placed head;
    uint32_t first_part;
} alternative;

static bool is_bound(const placed *e)
{
    return e->at[AT_START] != FFAI__NEVER || e->at[AT_END] != FFAI__NEVER || e->at[AT_START | AT_END] != FFAI__NEVER;
}

/* Put the waiting parts behind each expression of the head. */
static ffai_status flush_parts(alternative *a, parser *p, size_t at)
{
    const uint32_t count = p->num_parts - a->first_part;
    const ffai__expression tail = ffai__rules_sequence_of(p->rules, p->parts, a->first_part, &p->num_parts);
    for (int place = 0; place < PLACES && count > 0; place++) {
        if (a->head.at[place] == FFAI__NEVER)
            continue;
        if (place & AT_END)
            return unsupported(p, at, "$ in front of something");
        a->head.at[place] = ffai__rules_pair(p->rules, a->head.at[place], tail);
    }
    return FFAI_OK;
}

/* Put an atom that is bound to the text's ends, in some way, behind the head. */
static ffai_status append_bound(alternative *a, const placed *atom, parser *p, size_t at)
{
    placed joined = nothing;
    FFAI__TRY(flush_parts(a, p, at));
    for (int i = 0; i < PLACES * PLACES; i++) {
        const int place = i / PLACES;
        const int next = i % PLACES;
        const ffai__expression first = a->head.at[place];
        const ffai__expression second = atom->at[next];
        if (first == FFAI__NEVER || second == FFAI__NEVER)
            continue;
        if ((next & AT_START) && first != FFAI__EMPTY)
            return unsupported(p, at, "^ behind something");
        if ((place & AT_END) && second != FFAI__EMPTY)
            return unsupported(p, at, "$ in front of something");
        ffai__expression *both = &joined.at[place | next];
        *both = ffai__rules_either(p->rules, *both, ffai__rules_pair(p->rules, first, second));
    }
    a->head = joined;
    return FFAI_OK;
}

static ffai_status append(alternative *a, const placed *atom, parser *p, size_t at)
{
    if (is_bound(atom))
        return append_bound(a, atom, p, at);
    if (!FFAI__GROW(p->parts, p->max_parts, p->num_parts + 1))
        return ffai__fail_memory(p->err, "a regular expression", p->num_parts);
    p->parts[p->num_parts++] = atom->at[0];
    return FFAI_OK;
}

static ffai_status read_alternative(placed *out, parser *p)
{
    alternative a = {anywhere(FFAI__EMPTY), p->num_parts};
    while (!at_end(p) && !next_is(p, "|") && !next_is(p, ")")) {
        const size_t start = p->at;
        placed atom;
        FFAI__TRY(read_atom(&atom, p));
        FFAI__TRY(read_repetition(&atom, p));
        FFAI__TRY(append(&a, &atom, p, start));
    }
    FFAI__TRY(flush_parts(&a, p, p->at));
    *out = a.head;
    return FFAI_OK;
}

/* Alternatives by their places: those of one place wait as parts, and are joined at the end. */
static ffai_status read_alternatives(placed *out, parser *p)
{
    placed *all = NULL;
    uint32_t count = 0;
    uint32_t capacity = 0;
    ffai_status status = FFAI_OK;
    do {
        if (!FFAI__GROW(all, capacity, count + 1))
            status = ffai__fail_memory(p->err, "a regular expression", count * sizeof *all);
        else
            status = read_alternative(&all[count++], p);
    } while (status == FFAI_OK && take(p, "|"));
    *out = nothing;
    ffai__expression *of_place = ffai__array(count, sizeof *of_place);
    if (status == FFAI_OK && !of_place)
        status = ffai__fail_memory(p->err, "a regular expression", count * sizeof *of_place);
    for (int place = 0; place < PLACES && status == FFAI_OK; place++) {
        for (uint32_t i = 0; i < count; i++)
            of_place[i] = all[i].at[place];
        out->at[place] = ffai__rules_choice(p->rules, of_place, count);
    }
    ffai__free(of_place);
    ffai__free(all);
    return status;
}

/* --- the whole --- */

/* With any text before and behind, as far as the places leave it open. */
static ffai__expression finish(parser *p, const placed *whole)
{
    ffai__expression alternatives[PLACES];
    ffai__expression any = FFAI__EMPTY;
    if (p->options.search) {
        ffai__characters all = {0};
        ffai__characters_invert(&all);
        any = ffai__rules_repeat(p->rules, ffai__spell_characters(p->rules, &all, p->options.spelling), 0,
                                 FFAI__UNLIMITED);
        ffai__characters_free(&all);
    }
    for (int place = 0; place < PLACES; place++) {
        const ffai__expression parts[] = {place & AT_START ? FFAI__EMPTY : any, whole->at[place],
                                          place & AT_END ? FFAI__EMPTY : any};
        alternatives[place] = ffai__rules_sequence(p->rules, parts, 3);
    }
    return ffai__rules_choice(p->rules, alternatives, PLACES);
}

static ffai_status parse(ffai__expression *out, parser *p)
{
    placed whole;
    FFAI__TRY(read_alternatives(&whole, p));
    if (!at_end(p))
        return malformed(p, p->at, "a ) without its (");
    *out = finish(p, &whole);
    return ffai__rules_check(p->rules, p->err);
}

ffai_status ffai__regex_parse(ffai__expression *out, ffai__rules *rules, const char *pattern, size_t size,
                              ffai__regex_options options, ffai_error *err)
{
    if (size > FFAI__REGEX_SIZE_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "a regular expression of %zu bytes, more than %d", size,
                          FFAI__REGEX_SIZE_MAX);
    if (!ffai__utf8_valid(pattern, size))
        return ffai__fail(err, FFAI_E_FORMAT, "a regular expression that is not UTF-8");
    parser p = {.rules = rules, .pattern = pattern, .size = size, .options = options, .err = err};
    const ffai_status status = parse(out, &p);
    ffai__free(p.parts);
    return status;
}
