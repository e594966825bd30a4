#include "pattern_syntax.h"

#include <stdint.h>
#include <string.h>

#include "unicode.h"
#include "utf8.h"

enum { GROUPS_MAX = 200, SETS_MAX = 32, TRANSLATED_MAX = 1 << 20 };

/* The contents of bracketed sets. */
static const char space_set[] = "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}"
                                "\\x{202F}\\x{205F}\\x{3000}";
static const char hex_set[] = "0-9a-fA-F";
/* Oniguruma's word characters beyond the categories L, M, Nd, Nl and Pc: the circled letters; and for \w and \b,
 * but not for [[:word:]], the superscript digits and fractions of Latin-1. */
static const char circled_set[] = "\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}";
static const char latin1_word_set[] = "\\xB2\\xB3\\xB9\\xBC-\\xBE";

typedef struct {
    ffai__buffer *out;
    const char *at, *end;
    const char *place;
    ffai_error *err;
    size_t groups[GROUPS_MAX]; /* where each open group starts in out */
    size_t depth;
    size_t atom; /* where the last atom starts in out, which a quantifier belongs to */
} translator;

static ffai_status unsupported(translator *t, const char *what)
{
    return ffai__fail(t->err, FFAI_E_UNSUPPORTED, "%s: regular expression: %s is not supported", t->place, what);
}

static ffai_status malformed(translator *t, const char *what)
{
    return ffai__fail(t->err, FFAI_E_FORMAT, "%s: regular expression: %s", t->place, what);
}

static bool starts_with(const translator *t, const char *text)
{
    const size_t length = strlen(text);
    return (size_t)(t->end - t->at) >= length && memcmp(t->at, text, length) == 0;
}

static uint32_t next_character(translator *t)
{
    size_t size = 0;
    const uint32_t c = ffai__utf8_get(t->at, &size);
    t->at += size;
    return c;
}

/* A character for its own sake, inside and outside of sets. */
static void put_literal(ffai__buffer *out, uint32_t c)
{
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (plain)
        ffai__buffer_format(out, "%c", (char)c);
    else
        ffai__buffer_format(out, "\\x{%X}", (unsigned)c);
}

static void put_additions(ffai__buffer *out, const char *category)
{
    ffai__range range = {0, 0};
    size_t next = 0;
    while (ffai__category_addition(&range, &next, category))
        ffai__buffer_format(out, "\\x{%X}-\\x{%X}", (unsigned)range.first, (unsigned)range.last);
}

static void put_category(ffai__buffer *out, const char *category)
{
    ffai__buffer_format(out, "\\p{%s}", category);
    put_additions(out, category);
}

static void put_word_set(ffai__buffer *out)
{
    static const char *const categories[] = {"L", "M", "Nd", "Nl", "Pc"};
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++)
        put_category(out, categories[i]);
    ffai__buffer_text(out, circled_set);
}

/* The contents of the set that a letter after a backslash (in small) means; false if it means none. */
static bool put_escape_set(ffai__buffer *out, char letter)
{
    switch (letter) {
    case 's':
        ffai__buffer_text(out, space_set);
        return true;
    case 'h':
        ffai__buffer_text(out, hex_set);
        return true;
    case 'd':
        put_category(out, "Nd");
        return true;
    case 'w':
        put_word_set(out);
        ffai__buffer_text(out, latin1_word_set);
        return true;
    default:
        return false;
    }
}

static bool hex_value(uint32_t *value, char c)
{
    if (c >= '0' && c <= '9')
        *value = (uint32_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *value = (uint32_t)(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
        *value = (uint32_t)(c - 'A') + 10;
    else
        return false;
    return true;
}

/* Up to `most` hex digits at t->at; at least `least`. */
static ffai_status read_hex(uint32_t *c, translator *t, int least, int most)
{
    *c = 0;
    int digits = 0;
    uint32_t digit = 0;
    while (digits < most && t->at < t->end && hex_value(&digit, *t->at)) {
        *c = *c * 16 + digit;
        t->at++;
        digits++;
    }
    if (digits < least || *c > 0x10FFFF || (*c >= 0xD800 && *c < 0xE000))
        return malformed(t, "a hexadecimal escape is malformed");
    return FFAI_OK;
}

static ffai_status read_x_escape(uint32_t *c, translator *t)
{
    if (t->at < t->end && *t->at == '{') {
        t->at++;
        FFAI__TRY(read_hex(c, t, 1, 7));
        if (t->at == t->end || *t->at != '}')
            return malformed(t, "\\x{ has no end");
        t->at++;
        return FFAI_OK;
    }
    FFAI__TRY(read_hex(c, t, 1, 2));
    return *c >= 0x80 ? unsupported(t, "\\xHH above 7F, a single byte,") : FFAI_OK;
}

/* An escape that stands for one character; t->at is behind the backslash. *known is false for other escapes, with
 * t->at where it was. */
static ffai_status read_character_escape(uint32_t *c, bool *known, translator *t)
{
    static const char letters[] = "tnrfvae";
    static const char values[] = "\t\n\r\f\v\a\x1B";
    const char *start = t->at;
    *known = true;
    *c = next_character(t);
    const char *letter = *c && *c < 0x80 ? strchr(letters, (int)*c) : NULL;
    if (letter) {
        *c = (uint32_t)values[letter - letters];
        return FFAI_OK;
    }
    if (*c == 'x')
        return read_x_escape(c, t);
    if (*c == 'u')
        return read_hex(c, t, 4, 4);
    if (*c == '0') {
        *c = 0;
        for (int i = 0; i < 2 && t->at < t->end && *t->at >= '0' && *t->at <= '7'; i++)
            *c = *c * 8 + (uint32_t)(*t->at++ - '0');
        return FFAI_OK;
    }
    const bool alphanumeric = (*c >= '1' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z');
    if (alphanumeric) {
        *known = false;
        t->at = start;
    }
    return FFAI_OK;
}

/* The names that Oniguruma takes for POSIX brackets as well as for properties; in brackets, punct has symbols. */
static bool put_posix_set(ffai__buffer *out, const char *name, bool bracket)
{
    static const struct {
        const char *name, *property, *additions, *more;
    } sets[] = {
        {"alpha", "alphabetic", "L", ""}, {"alnum", "alphabetic", "L", "Nd"}, {"digit", "Nd", "Nd", ""},
        {"upper", "uppercase", "Lu", ""}, {"lower", "lowercase", "Ll", ""},   {"punct", "P", "P", ""},
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if (strcmp(name, sets[i].name) != 0)
            continue;
        ffai__buffer_format(out, "\\p{%s}", sets[i].property);
        put_additions(out, sets[i].additions);
        if (sets[i].more[0])
            put_category(out, sets[i].more);
        if (bracket && strcmp(name, "punct") == 0)
            put_category(out, "S");
        return true;
    }
    if (strcmp(name, "space") == 0)
        ffai__buffer_text(out, space_set);
    else if (strcmp(name, "word") == 0)
        put_word_set(out);
    else if (strcmp(name, "xdigit") == 0)
        ffai__buffer_text(out, hex_set);
    else if (strcmp(name, "ascii") == 0)
        ffai__buffer_text(out, "\\x00-\\x7F");
    else if (strcmp(name, "blank") == 0)
        ffai__buffer_text(out, "\\p{Zs}\\x09");
    else
        return false;
    return true;
}

/* A name up to `end`, in small letters without spaces, underscores and hyphens, as properties are compared. */
static bool read_name(char name[64], translator *t, char end)
{
    size_t length = 0;
    for (; t->at < t->end && *t->at != end; t->at++) {
        const char c = *t->at;
        if (c == ' ' || c == '_' || c == '-')
            continue;
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter || length == 63)
            return false;
        name[length++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    name[length] = 0;
    if (t->at == t->end || length == 0)
        return false;
    t->at++;
    return true;
}

/* PCRE2 wants general categories as "Lu" and "L"; scripts may be spelled in any case. */
static void put_property(ffai__buffer *out, char *name)
{
    static const char *const long_names[][2] = {{"letter", "L"},    {"mark", "M"},        {"number", "N"},
                                                {"separator", "Z"}, {"punctuation", "P"}, {"symbol", "S"},
                                                {"other", "C"}};
    for (size_t i = 0; i < sizeof long_names / sizeof long_names[0]; i++) {
        if (strcmp(name, long_names[i][0]) == 0) {
            put_category(out, long_names[i][1]);
            return;
        }
    }
    if (strlen(name) <= 2) {
        name[0] = (char)(name[0] - 'a' + 'A');
        put_category(out, name);
        return;
    }
    ffai__buffer_format(out, "\\p{%s}", name);
    if (strcmp(name, "han") == 0) /* extensions H and I */
        ffai__buffer_text(out, "\\x{2EBF0}-\\x{2EE5D}\\x{31350}-\\x{323AF}");
}

/* \p{…}, \P{…} or \p{^…}; t->at is behind the letter. set receives the contents of a set. */
static ffai_status read_property(ffai__buffer *set, bool *negated, translator *t, bool capital)
{
    *negated = capital;
    if (t->at == t->end || *t->at != '{')
        return unsupported(t, "\\p without {…}");
    t->at++;
    if (t->at < t->end && *t->at == '^') {
        *negated = !*negated;
        t->at++;
    }
    char name[64];
    if (!read_name(name, t, '}') || name[0] < 'a' || name[0] > 'z')
        return malformed(t, "\\p{…} has no proper name");
    if (!put_posix_set(set, name, false))
        put_property(set, name);
    return FFAI_OK;
}

/* A set after a backslash (\s, \W, \p{…} …), t->at at its letter; *known is false if there is none. */
static ffai_status read_escape_set(ffai__buffer *set, bool *negated, bool *known, translator *t)
{
    const char letter = *t->at;
    *known = true;
    if (letter == 'p' || letter == 'P') {
        t->at++;
        return read_property(set, negated, t, letter == 'P');
    }
    const char small = letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
    if (small < 'a' || small > 'z' || !put_escape_set(set, small)) {
        *known = false;
        return FFAI_OK;
    }
    *negated = small != letter;
    t->at++;
    return FFAI_OK;
}

/* A set while it is read. Complements and sets within it that PCRE2 cannot spell inside brackets are kept as
 * alternatives: [a[^b]] becomes (?:[a]|[^b]). */
typedef struct {
    ffai__buffer members;      /* what stands between the brackets */
    ffai__buffer alternatives; /* each "|[…]" */
} char_set;

static void free_set(char_set *set)
{
    ffai__buffer_free(&set->members);
    ffai__buffer_free(&set->alternatives);
}

static void put_buffer(ffai__buffer *out, const ffai__buffer *text)
{
    out->failed |= text->failed;
    ffai__buffer_append(out, text->data ? text->data : "", text->size);
}

/* Spell the set as something that matches one character. */
static void put_set(ffai__buffer *out, const char_set *set, bool negated)
{
    const bool simple = set->alternatives.size == 0;
    out->failed |= set->members.failed || set->alternatives.failed;
    if (simple && set->members.size > 0) {
        ffai__buffer_text(out, negated ? "[^" : "[");
        put_buffer(out, &set->members);
        ffai__buffer_text(out, "]");
        return;
    }
    ffai__buffer_text(out, negated ? "(?:(?!" : "(?:");
    if (set->members.size > 0) {
        ffai__buffer_text(out, "[");
        put_buffer(out, &set->members);
        ffai__buffer_text(out, "]");
    } else {
        ffai__buffer_text(out, "(?!)"); /* an empty set matches nothing */
    }
    put_buffer(out, &set->alternatives);
    ffai__buffer_text(out, negated ? ")(?s:.))" : ")");
}

static void add_to_set(char_set *set, const ffai__buffer *contents, bool negated)
{
    if (negated)
        ffai__buffer_text(&set->alternatives, "|[^");
    put_buffer(negated ? &set->alternatives : &set->members, contents);
    if (negated)
        ffai__buffer_text(&set->alternatives, "]");
}

static ffai_status read_set(ffai__buffer *out, translator *t, unsigned depth);

/* [:name:] or [:^name:] inside a set; *known is false if it is none. */
static ffai_status read_posix(char_set *set, bool *known, translator *t)
{
    const char *start = t->at;
    t->at += 2;
    const bool negated = t->at < t->end && *t->at == '^';
    if (negated)
        t->at++;
    char name[64];
    ffai__buffer contents = FFAI__BUFFER_INIT;
    *known = read_name(name, t, ':') && t->at < t->end && *t->at == ']' && put_posix_set(&contents, name, true);
    if (*known) {
        t->at++;
        add_to_set(set, &contents, negated);
    } else {
        t->at = start;
    }
    ffai__buffer_free(&contents);
    return FFAI_OK;
}

static ffai_status read_inner_set(char_set *set, translator *t, unsigned depth)
{
    if (depth == SETS_MAX)
        return unsupported(t, "so many sets in each other");
    if (starts_with(t, "[:")) {
        bool known = false;
        FFAI__TRY(read_posix(set, &known, t));
        if (known)
            return FFAI_OK;
    }
    t->at++;
    ffai__buffer_text(&set->alternatives, "|");
    return read_set(&set->alternatives, t, depth + 1);
}

/* One character of a set, by itself or as an escape; *single is false when it was a set such as \s. */
static ffai_status read_member(uint32_t *c, bool *single, char_set *set, translator *t)
{
    *single = true;
    if (*t->at != '\\') {
        *c = next_character(t);
        return FFAI_OK;
    }
    t->at++;
    if (t->at == t->end)
        return malformed(t, "ends in a backslash");
    if (*t->at == 'b') { /* a backspace, in sets */
        t->at++;
        *c = 8;
        return FFAI_OK;
    }
    bool known = false;
    FFAI__TRY(read_character_escape(c, &known, t));
    if (known)
        return FFAI_OK;
    *single = false;
    ffai__buffer contents = FFAI__BUFFER_INIT;
    bool negated = false;
    ffai_status status = read_escape_set(&contents, &negated, &known, t);
    if (status == FFAI_OK && !known)
        status = unsupported(t, "an escape inside a set");
    if (status == FFAI_OK)
        add_to_set(set, &contents, negated);
    ffai__buffer_free(&contents);
    return status;
}

/* A member or a range of them. */
static ffai_status read_members(char_set *set, translator *t)
{
    uint32_t first = 0;
    bool single = false;
    FFAI__TRY(read_member(&first, &single, set, t));
    if (!single)
        return FFAI_OK;
    put_literal(&set->members, first);
    const bool range = t->end - t->at >= 2 && t->at[0] == '-' && t->at[1] != ']' && t->at[1] != '[';
    if (!range)
        return FFAI_OK;
    t->at++;
    uint32_t last = 0;
    FFAI__TRY(read_member(&last, &single, set, t));
    if (!single) {
        ffai__buffer_text(&set->members, "\\-");
        return FFAI_OK;
    }
    if (last < first)
        return malformed(t, "a range in a set runs backwards");
    ffai__buffer_text(&set->members, "-");
    put_literal(&set->members, last);
    return FFAI_OK;
}

/* The members up to "]" or "&&". */
static ffai_status read_operand(char_set *set, translator *t, unsigned depth)
{
    bool first = true;
    while (t->at < t->end && !starts_with(t, "&&")) {
        if (*t->at == ']' && !(first && memchr(t->at + 1, ']', (size_t)(t->end - t->at - 1))))
            return FFAI_OK;
        if (set->members.size + set->alternatives.size > TRANSLATED_MAX)
            return ffai__fail(t->err, FFAI_E_LIMIT, "%s: the regular expression is too long", t->place);
        if (*t->at == '[')
            FFAI__TRY(read_inner_set(set, t, depth));
        else
            FFAI__TRY(read_members(set, t));
        first = false;
    }
    return FFAI_OK;
}

/* The operands behind the first of an intersection, each as a look-ahead; t->at is at "&&". */
static ffai_status put_other_operands(ffai__buffer *out, translator *t, unsigned depth)
{
    while (starts_with(t, "&&")) {
        t->at += 2;
        char_set set = {FFAI__BUFFER_INIT, FFAI__BUFFER_INIT};
        const ffai_status status = read_operand(&set, t, depth);
        ffai__buffer_text(out, "(?=");
        put_set(out, &set, false);
        ffai__buffer_text(out, ")");
        free_set(&set);
        FFAI__TRY(status);
    }
    return FFAI_OK;
}

/* A set, t->at behind its "[". [A&&B] becomes (?:(?=[B])[A]). */
static ffai_status read_set(ffai__buffer *out, translator *t, unsigned depth)
{
    const bool negated = t->at < t->end && *t->at == '^';
    if (negated)
        t->at++;
    char_set set = {FFAI__BUFFER_INIT, FFAI__BUFFER_INIT};
    ffai_status status = read_operand(&set, t, depth);
    if (status == FFAI_OK && starts_with(t, "&&")) {
        ffai__buffer_text(out, negated ? "(?:(?!" : "(?:");
        status = put_other_operands(out, t, depth);
        put_set(out, &set, false);
        ffai__buffer_text(out, negated ? ")(?s:.))" : ")");
    } else if (set.members.failed || set.alternatives.failed) {
        status = ffai__fail_memory(t->err, "a regular expression", 0);
    } else if (status == FFAI_OK && set.members.size + set.alternatives.size == 0) {
        status = malformed(t, "a set is empty");
    } else if (status == FFAI_OK) {
        put_set(out, &set, negated);
    }
    free_set(&set);
    if (status == FFAI_OK && (t->at == t->end || *t->at != ']'))
        return malformed(t, "a set has no end");
    if (status == FFAI_OK)
        t->at++;
    return status;
}

static void put_word_boundary(ffai__buffer *out, bool negated)
{
    ffai__buffer set = FFAI__BUFFER_INIT;
    put_escape_set(&set, 'w');
    const char *w = set.data ? set.data : "";
    out->failed |= set.failed;
    ffai__buffer_format(out,
                        negated ? "(?:(?<=[%s])(?=[%s])|(?<![%s])(?![%s]))" : "(?:(?<=[%s])(?![%s])|(?<![%s])(?=[%s]))",
                        w, w, w, w);
    ffai__buffer_free(&set);
}

/* \k<name>, and \1 to \9, which mean the same in both dialects. */
static ffai_status copy_reference(translator *t)
{
    const char *start = t->at;
    if (*t->at == 'k') {
        const char *end = memchr(t->at, '>', (size_t)(t->end - t->at));
        if (!end || t->end - t->at < 2 || t->at[1] != '<')
            return unsupported(t, "this kind of back-reference");
        t->at = end + 1;
    } else {
        t->at++;
    }
    ffai__buffer_text(t->out, "\\");
    ffai__buffer_append(t->out, start, (size_t)(t->at - start));
    return FFAI_OK;
}

static ffai_status translate_other_escape(translator *t)
{
    const char letter = *t->at;
    if (letter == 'b' || letter == 'B') {
        t->at++;
        put_word_boundary(t->out, letter == 'B');
        return FFAI_OK;
    }
    if (letter == 'A' || letter == 'z' || letter == 'Z' || letter == 'R') {
        t->at++;
        ffai__buffer_format(t->out, "\\%c", letter);
        return FFAI_OK;
    }
    if (letter == 'k' || (letter >= '1' && letter <= '9'))
        return copy_reference(t);
    const char what[] = {'\\', letter, 0};
    return unsupported(t, what);
}

/* An escape outside of sets; t->at is behind the backslash. */
static ffai_status translate_escape(translator *t)
{
    if (t->at == t->end)
        return malformed(t, "ends in a backslash");
    t->atom = t->out->size;
    uint32_t c = 0;
    bool known = false;
    FFAI__TRY(read_character_escape(&c, &known, t));
    if (known) {
        put_literal(t->out, c);
        return FFAI_OK;
    }
    char_set set = {FFAI__BUFFER_INIT, FFAI__BUFFER_INIT};
    bool negated = false;
    const ffai_status status = read_escape_set(&set.members, &negated, &known, t);
    if (status == FFAI_OK && known)
        put_set(t->out, &set, negated);
    free_set(&set);
    return status != FFAI_OK || known ? status : translate_other_escape(t);
}

/* (?imx-imx: or (?imx-imx), t->at behind the "?". */
static ffai_status translate_options(translator *t, size_t start)
{
    ffai__buffer_text(t->out, "(?");
    for (; t->at < t->end && *t->at != ':' && *t->at != ')'; t->at++) {
        if (*t->at != 'i' && *t->at != 'm' && *t->at != '-')
            return unsupported(t, "a group's option other than i and m");
        ffai__buffer_format(t->out, "%c", *t->at == 'm' ? 's' : *t->at);
    }
    if (t->at == t->end)
        return malformed(t, "a group has no end");
    /* Behind an alternative's start the dialects disagree on how far the option reaches. */
    const size_t scope = t->depth > 0 ? t->groups[t->depth - 1] : 0;
    if (*t->at == ')' && (t->depth > 0 || start != scope))
        return unsupported(t, "an option in the middle");
    if (*t->at == ')') {
        t->at++;
        ffai__buffer_text(t->out, ")");
        return FFAI_OK;
    }
    t->at++;
    ffai__buffer_text(t->out, ":");
    t->groups[t->depth++] = start;
    return FFAI_OK;
}

/* What may follow "(?" of a group that is spelled alike in both dialects; NULL if nothing does. */
static const char *group_head(const translator *t)
{
    static const char *const heads[] = {":", "=", "!", ">", "<=", "<!"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        if (starts_with(t, heads[i]))
            return heads[i];
    }
    return NULL;
}

/* (?<name>, t->at at the "<". */
static ffai_status translate_named_group(translator *t)
{
    const char *end = memchr(t->at, '>', (size_t)(t->end - t->at));
    if (!end)
        return malformed(t, "a group's name has no end");
    ffai__buffer_text(t->out, "(?");
    ffai__buffer_append(t->out, t->at, (size_t)(end + 1 - t->at));
    t->at = end + 1;
    return FFAI_OK;
}

/* "(", t->at behind it. */
static ffai_status translate_group(translator *t)
{
    if (t->depth == GROUPS_MAX)
        return ffai__fail(t->err, FFAI_E_LIMIT, "%s: regular expression: more than %d groups in each other", t->place,
                          GROUPS_MAX);
    const size_t start = t->out->size;
    if (t->at == t->end || *t->at != '?') {
        ffai__buffer_text(t->out, "(");
        t->groups[t->depth++] = start;
        return t->at < t->end && *t->at == '*' ? malformed(t, "nothing to repeat") : FFAI_OK;
    }
    t->at++;
    const char *head = group_head(t);
    if (head) {
        ffai__buffer_format(t->out, "(?%s", head);
        t->at += strlen(head);
    } else if (starts_with(t, "#")) {
        const char *end = memchr(t->at, ')', (size_t)(t->end - t->at));
        if (!end)
            return malformed(t, "a comment has no end");
        t->at = end + 1;
        return FFAI_OK;
    } else if (starts_with(t, "<")) {
        FFAI__TRY(translate_named_group(t));
    } else if (t->at < t->end && strchr("im-", *t->at)) {
        return translate_options(t, start);
    } else {
        return unsupported(t, "a group of this kind");
    }
    t->groups[t->depth++] = start;
    return FFAI_OK;
}

/* {n}, {n,}, {,m} or {n,m} at t->at; false if it is none, and the brace stands for itself. */
static bool read_interval(translator *t, unsigned *least, unsigned *most, bool *open, bool *exact)
{
    const char *p = t->at + 1;
    unsigned numbers[2] = {0, 0};
    int digits[2] = {0, 0};
    int which = 0;
    for (; p < t->end && *p != '}'; p++) {
        if (*p == ',' && which == 0) {
            which = 1;
        } else if (*p >= '0' && *p <= '9' && digits[which] < 5) {
            numbers[which] = numbers[which] * 10 + (unsigned)(*p - '0');
            digits[which]++;
        } else {
            return false;
        }
    }
    if (p == t->end || digits[0] + digits[1] == 0)
        return false;
    t->at = p + 1;
    *least = numbers[0];
    *most = which ? numbers[1] : numbers[0];
    *open = which && !digits[1];
    *exact = !which;
    return true;
}

/* Put "(?:" before and ")" behind what was written since the last atom's start. */
static void wrap_atom(translator *t)
{
    ffai__buffer *out = t->out;
    ffai__buffer_text(out, "(?:)");
    if (out->failed)
        return;
    memmove(out->data + t->atom + 3, out->data + t->atom, out->size - 4 - t->atom);
    memcpy(out->data + t->atom, "(?:", 3);
    out->data[out->size - 1] = ')';
}

static void translate_interval(translator *t)
{
    unsigned least = 0;
    unsigned most = 0;
    bool open = false;
    bool exact = false;
    if (!read_interval(t, &least, &most, &open, &exact)) {
        t->at++;
        t->atom = t->out->size;
        put_literal(t->out, '{');
        return;
    }
    if (exact)
        ffai__buffer_format(t->out, "{%u}", least);
    else if (open)
        ffai__buffer_format(t->out, "{%u,}", least);
    else
        ffai__buffer_format(t->out, "{%u,%u}", least, most);
    /* Oniguruma has no possessive and, for {n}, no lazy interval: the sign is another quantifier. */
    const char sign = t->at < t->end ? *t->at : 0;
    if (sign == '+' || sign == '*' || (sign == '?' && exact))
        wrap_atom(t);
    else if (sign == '?') {
        t->at++;
        ffai__buffer_text(t->out, "?");
    }
}

static ffai_status translate_one(translator *t)
{
    const char c = *t->at;
    if (c == '{') {
        translate_interval(t);
        return FFAI_OK;
    }
    if (c == '*' || c == '+' || c == '?' || c == '|' || c == '^' || c == '$') {
        t->at++;
        ffai__buffer_format(t->out, "%c", c);
        return FFAI_OK;
    }
    if (c == ')') {
        if (t->depth == 0)
            return malformed(t, "a ) has no (");
        t->at++;
        t->atom = t->groups[--t->depth];
        ffai__buffer_text(t->out, ")");
        return FFAI_OK;
    }
    if (c == '\\') {
        t->at++;
        return translate_escape(t);
    }
    t->atom = t->out->size;
    if (c == '(') {
        t->at++;
        return translate_group(t);
    }
    if (c == '[') {
        t->at++;
        return read_set(t->out, t, 0);
    }
    if (c == '.') {
        t->at++;
        ffai__buffer_text(t->out, ".");
        return FFAI_OK;
    }
    put_literal(t->out, next_character(t));
    return FFAI_OK;
}

ffai_status ffai__pattern_translate(ffai__buffer *out, const char *regex, size_t size, const char *place,
                                    ffai_error *err)
{
    translator t = {.out = out, .at = regex, .end = regex + size, .place = place, .err = err};
    while (t.at < t.end) {
        FFAI__TRY(translate_one(&t));
        if (out->failed)
            return ffai__fail_memory(err, "a regular expression", size);
        if (out->size > TRANSLATED_MAX)
            return ffai__fail(err, FFAI_E_LIMIT, "%s: the regular expression is too long", place);
    }
    if (t.depth > 0)
        return malformed(&t, "a group has no end");
    ffai__buffer_append(out, "", 0);
    return FFAI_OK;
}
