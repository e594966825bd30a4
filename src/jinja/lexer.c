#include "lexer.h"

#include <stdlib.h>
#include <string.h>

#include "texts.h"
#include "utf8.h"

enum { MOST_BRACKETS = 200 };

typedef struct lexer {
    ffai__jinja *j;
    const char *source; /* newlines are "\n" */
    size_t size;
    size_t at;
    bool line_starting; /* the tag before ended with a newline, or there was none */
    char brackets[MOST_BRACKETS];
    int depth;
    jinja_tokens tokens;
} lexer;

static jinja_token *add(lexer *l, jinja_token_kind kind, size_t begin, size_t end)
{
    jinja_tokens *tokens = &l->tokens;
    if (tokens->count == tokens->capacity)
        tokens->items = ffai__jinja_grow(l->j, tokens->items, tokens->count, &tokens->capacity, sizeof *tokens->items);
    jinja_token *token = &tokens->items[tokens->count++];
    *token = (jinja_token){.kind = kind, .line = l->j->line, .text = l->source + begin, .size = end - begin};
    return token;
}

/* On to `end`, counting lines. */
static void advance(lexer *l, size_t end)
{
    for (; l->at < end; l->at++)
        l->j->line += l->source[l->at] == '\n';
}

static bool is_next(const lexer *l, size_t at, const char *text)
{
    const size_t size = strlen(text);
    return size <= l->size - at && memcmp(l->source + at, text, size) == 0;
}

static size_t after_spaces(const lexer *l, size_t at)
{
    size_t size = 0;
    while (at < l->size && ffai__jinja_is_space(ffai__utf8_get(l->source + at, &size)))
        at += size;
    return at;
}

static size_t before_spaces(const lexer *l, size_t begin, size_t end)
{
    while (end > begin) {
        size_t same = 0;
        const size_t size = ffai__utf8_last(l->source + begin, end - begin);
        if (!ffai__jinja_is_space(ffai__utf8_get(l->source + end - size, &same)))
            break;
        end -= size;
    }
    return end;
}

/* Where the text from `begin` on ends that stands before the tag at `tag`, whose third byte may be a sign. */
static size_t text_end(const lexer *l, size_t begin, size_t tag)
{
    const char sign = tag + 2 < l->size ? l->source[tag + 2] : 0;
    if (sign == '-')
        return before_spaces(l, begin, tag);
    if (sign == '+' || l->source[tag + 1] == '{')
        return tag;
    size_t line = tag; /* lstrip_blocks: nothing but spaces before the tag in its line */
    while (line > begin && l->source[line - 1] != '\n')
        line--;
    if (line == begin && !l->line_starting)
        return tag;
    return before_spaces(l, line, tag) == line ? line : tag;
}

/* A tag's end at `at`: "%}", with a sign before it or not. Returns where what follows begins; 0: it is none. */
static size_t after_end(const lexer *l, size_t at, const char *end)
{
    if (is_next(l, at, "-") && is_next(l, at + 1, end))
        return after_spaces(l, at + 3);
    if (end[0] != '}' && is_next(l, at, "+") && is_next(l, at + 1, end))
        return at + 3;
    if (!is_next(l, at, end))
        return 0;
    return end[0] != '}' && is_next(l, at + 2, "\n") ? at + 3 : at + 2;
}

static void close_tag(lexer *l, size_t end)
{
    advance(l, end);
    l->line_starting = l->source[end - 1] == '\n';
}

static void lex_comment(lexer *l)
{
    for (size_t at = l->at + 2; at + 1 < l->size; at++) {
        const size_t end = after_end(l, at, "#}");
        if (end) {
            close_tag(l, end);
            return;
        }
    }
    ffai__jinja_fail(l->j, FFAI_E_FORMAT, "a comment {# has no end");
}

/* --- within a tag --- */

static bool is_name_byte(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80 ||
           (!first && c >= '0' && c <= '9');
}

static void lex_name(lexer *l)
{
    size_t end = l->at;
    while (end < l->size && is_name_byte(l->source[end], false))
        end++;
    add(l, JINJA_NAME, l->at, end);
    advance(l, end);
}

static bool is_digit_at(const lexer *l, size_t at, int base)
{
    return at < l->size && ffai__jinja_digit(l->source[at]) < base;
}

/* Digits with single underscores between them, from `at` on; added to out without these. Returns their end. */
static size_t digits(const lexer *l, size_t at, int base, jinja_text *out)
{
    while (is_digit_at(l, at, base) || (l->source[at] == '_' && is_digit_at(l, at + 1, base))) {
        if (l->source[at] != '_')
            ffai__jinja_append_bytes(out, l->source + at, 1, false);
        at++;
    }
    return at;
}

static int64_t as_integer(lexer *l, const char *text, int base)
{
    int64_t value = 0;
    for (; *text; text++) {
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, ffai__jinja_digit(*text), &value))
            ffai__jinja_fail(l->j, FFAI_E_UNSUPPORTED, "an integer beyond 64 bits");
    }
    return value;
}

/* ".5" and "e-3" behind digits; returns where they end, `at` if they are not there. */
static size_t fraction(const lexer *l, size_t at, jinja_text *out)
{
    if (is_next(l, at, ".") && is_digit_at(l, at + 1, 10)) {
        ffai__jinja_append_bytes(out, ".", 1, false);
        at = digits(l, at + 1, 10, out);
    }
    if (at < l->size && (l->source[at] == 'e' || l->source[at] == 'E')) {
        const size_t sign = is_next(l, at + 1, "+") || is_next(l, at + 1, "-");
        if (is_digit_at(l, at + 1 + sign, 10)) {
            ffai__jinja_append_bytes(out, l->source + at, 1 + sign, false);
            at = digits(l, at + 1 + sign, 10, out);
        }
    }
    return at;
}

static int base_at(const lexer *l, size_t at)
{
    if (!is_next(l, at, "0") || at + 1 >= l->size)
        return 10;
    switch (l->source[at + 1]) {
    case 'x':
    case 'X':
        return 16;
    case 'o':
    case 'O':
        return 8;
    case 'b':
    case 'B':
        return 2;
    default:
        return 10;
    }
}

static void lex_number(lexer *l)
{
    const int base = base_at(l, l->at);
    jinja_text text = ffai__jinja_new_text(l->j);
    size_t end = digits(l, l->at + (base == 10 ? 0 : 2), base, &text);
    const size_t whole = end;
    if (base == 10)
        end = fraction(l, end, &text);
    const char *number = ffai__jinja_finish(&text).string->data;
    jinja_token *token = add(l, JINJA_CONSTANT, l->at, end);
    token->value =
        end > whole ? ffai__jinja_float(strtod(number, NULL)) : ffai__jinja_integer(as_integer(l, number, base));
    advance(l, end);
}

/* The character of `count` hexadecimal digits, or of up to three octal ones. */
static uint32_t read_code(lexer *l, size_t *at, size_t count, int base)
{
    uint32_t code = 0;
    size_t read = 0;
    for (; read < count && is_digit_at(l, *at, base); read++, (*at)++)
        code = code * (uint32_t)base + (uint32_t)ffai__jinja_digit(l->source[*at]);
    if ((base == 16 && read < count) || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        ffai__jinja_fail(l->j, FFAI_E_FORMAT, "an escape in a string is no character");
    return code;
}

/* The escape behind a backslash at `at`; one that is not known stays as it is. Returns where it ends. */
static size_t read_escape(lexer *l, size_t at, jinja_text *out)
{
    static const char names[] = "nrtabfv\\'\"";
    static const char meant[] = "\n\r\t\a\b\f\v\\'\"";
    const char c = l->source[at++];
    const char *known = strchr(names, c);
    if (c && known) {
        ffai__jinja_append_bytes(out, &meant[known - names], 1, false);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        ffai__jinja_append_character(out, read_code(l, &at, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16), false);
    } else if (c >= '0' && c <= '7') {
        at--;
        ffai__jinja_append_character(out, read_code(l, &at, 3, 8), false);
    } else if (c != '\n') {
        ffai__jinja_append_bytes(out, l->source + at - 2, 2, false);
    }
    return at;
}

static void lex_string(lexer *l)
{
    const char quote = l->source[l->at];
    jinja_text text = ffai__jinja_new_text(l->j);
    size_t at = l->at + 1;
    while (at < l->size && l->source[at] != quote) {
        if (l->source[at] == '\\' && at + 1 < l->size) {
            at = read_escape(l, at + 1, &text);
        } else {
            ffai__jinja_append_bytes(&text, l->source + at, 1, false);
            at++;
        }
    }
    if (at >= l->size)
        ffai__jinja_fail(l->j, FFAI_E_FORMAT, "a string has no end");
    add(l, JINJA_CONSTANT, l->at, at + 1)->value = ffai__jinja_finish(&text);
    advance(l, at + 1);
}

static void balance(lexer *l, char c)
{
    static const char pairs[] = "()[]{}";
    const char *found = strchr(pairs, c);
    if (!c || !found)
        return;
    if ((found - pairs) % 2 == 0) {
        if (l->depth == MOST_BRACKETS)
            ffai__jinja_fail(l->j, FFAI_E_LIMIT, "more than %d brackets in each other", MOST_BRACKETS);
        l->brackets[l->depth++] = found[1];
    } else if (l->depth == 0 || l->brackets[--l->depth] != c) {
        ffai__jinja_fail(l->j, FFAI_E_FORMAT, "unexpected '%c'", c);
    }
}

static void lex_operator(lexer *l)
{
    static const char *const twofold[] = {"//", "**", "==", "!=", ">=", "<="};
    size_t size = 1;
    for (size_t i = 0; i < sizeof twofold / sizeof *twofold; i++) {
        if (is_next(l, l->at, twofold[i]))
            size = 2;
    }
    const char c = l->source[l->at];
    if (size == 1 && (!c || !strchr("+-*/%~[](){}<>=.:|,;", c)))
        ffai__jinja_fail(l->j, FFAI_E_FORMAT, "unexpected character '%c' in a tag", c);
    if (size == 1)
        balance(l, c);
    add(l, JINJA_OPERATOR, l->at, l->at + size);
    advance(l, l->at + size);
}

static void lex_part(lexer *l)
{
    const char c = l->source[l->at];
    if (is_name_byte(c, true))
        lex_name(l);
    else if (c >= '0' && c <= '9')
        lex_number(l);
    else if (c == '"' || c == '\'')
        lex_string(l);
    else
        lex_operator(l);
}

static void lex_tag(lexer *l, const char *end, jinja_token_kind kind)
{
    for (;;) {
        advance(l, after_spaces(l, l->at));
        if (l->at >= l->size)
            ffai__jinja_fail(l->j, FFAI_E_FORMAT, "a tag has no end: '%s' is missing", end);
        const size_t after = l->depth == 0 ? after_end(l, l->at, end) : 0;
        if (after) {
            add(l, kind, l->at, l->at);
            close_tag(l, after);
            return;
        }
        lex_part(l);
    }
}

/* --- raw --- */

/* Behind "{% raw", or "{% endraw", and its spaces at `tag`; 0: something else is there. */
static size_t after_word(const lexer *l, size_t tag, const char *word)
{
    if (!is_next(l, tag, "{%"))
        return 0;
    size_t at = tag + 2;
    if (is_next(l, at, "-") || is_next(l, at, "+"))
        at++;
    at = after_spaces(l, at);
    return is_next(l, at, word) ? after_spaces(l, at + strlen(word)) : 0;
}

/* Behind "{% raw %}" at the lexer's place; 0: there is none. */
static size_t after_raw(const lexer *l)
{
    const size_t at = after_word(l, l->at, "raw");
    if (at && is_next(l, at, "-%}"))
        return after_spaces(l, at + 3);
    return at && is_next(l, at, "%}") ? at + 2 : 0;
}

static void lex_raw(lexer *l, size_t begin)
{
    close_tag(l, begin);
    for (size_t tag = begin; tag < l->size; tag++) {
        const size_t word = after_word(l, tag, "endraw");
        const size_t end = word ? after_end(l, word, "%}") : 0;
        if (!end)
            continue;
        add(l, JINJA_TEXT, begin, text_end(l, begin, tag));
        close_tag(l, end);
        return;
    }
    ffai__jinja_fail(l->j, FFAI_E_FORMAT, "{%% raw %%} has no end");
}

/* --- the whole --- */

static void open_tag(lexer *l)
{
    const char kind = l->source[l->at + 1];
    const size_t raw = after_raw(l);
    if (raw) {
        lex_raw(l, raw);
        return;
    }
    if (kind == '#') {
        lex_comment(l);
        return;
    }
    const char sign = l->at + 2 < l->size ? l->source[l->at + 2] : 0;
    add(l, kind == '%' ? JINJA_BLOCK_BEGIN : JINJA_VARIABLE_BEGIN, l->at, l->at);
    l->at += sign == '-' || sign == '+' ? 3 : 2;
    if (kind == '%')
        lex_tag(l, "%}", JINJA_BLOCK_END);
    else
        lex_tag(l, "}}", JINJA_VARIABLE_END);
}

static size_t find_tag(const lexer *l)
{
    for (size_t at = l->at; at + 1 < l->size; at++) {
        if (l->source[at] == '{' && strchr("{%#", l->source[at + 1]) && l->source[at + 1])
            return at;
    }
    return l->size;
}

/* Every kind of newline as "\n", without the last one. */
static const char *with_newlines(ffai__jinja *j, const char *source, size_t *size)
{
    char *out = ffai__jinja_alloc(j, *size + 1, 1);
    size_t count = 0;
    for (size_t i = 0; i < *size; i++) {
        if (source[i] == '\n' && i > 0 && source[i - 1] == '\r')
            continue;
        out[count++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (count && out[count - 1] == '\n')
        out[--count] = 0;
    *size = count;
    return out;
}

jinja_tokens ffai__jinja_lex(ffai__jinja *j, const char *source, size_t size)
{
    lexer l = {.j = j, .line_starting = true};
    l.source = with_newlines(j, source, &size);
    l.size = size;
    while (l.at < l.size) {
        const size_t tag = find_tag(&l);
        const size_t end = tag < l.size ? text_end(&l, l.at, tag) : tag;
        if (end > l.at)
            add(&l, JINJA_TEXT, l.at, end);
        advance(&l, tag);
        if (tag < l.size)
            open_tag(&l);
    }
    add(&l, JINJA_END, l.size, l.size);
    return l.tokens;
}
