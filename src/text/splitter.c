#include "splitter.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

#include "unicode.h"
#include "utf8.h"

/* What the regexes tell characters apart by; each has one of these. */
enum {
    CAPITAL = 1, /* Lu, Lt */
    SMALL = 2,   /* Ll */
    UNCASED = 4, /* Lm, Lo */
    MARK = 8,    /* M */
    DIGIT = 16,  /* N */
    BREAK = 32,  /* \r, \n */
    SPACE = 64,  /* other whitespace */
    OTHER = 128,
    LETTER = CAPITAL | SMALL | UNCASED,
    FIRST = SPACE | MARK | OTHER, /* [^\r\n\p{L}\p{N}], which a word may begin with */
};

#define O OTHER
#define D DIGIT
#define C CAPITAL
#define S SMALL
static const uint8_t ascii[128] = {
    O,     O, O, O, O, O, O, O, O, SPACE, BREAK, SPACE, SPACE, BREAK, O, O, /* 00 */
    O,     O, O, O, O, O, O, O, O, O,     O,     O,     O,     O,     O, O, /* 10 */
    SPACE, O, O, O, O, O, O, O, O, O,     O,     O,     O,     O,     O, O, /* 20 */
    D,     D, D, D, D, D, D, D, D, D,     O,     O,     O,     O,     O, O, /* 30 */
    O,     C, C, C, C, C, C, C, C, C,     C,     C,     C,     C,     C, C, /* 40 */
    C,     C, C, C, C, C, C, C, C, C,     C,     O,     O,     O,     O, O, /* 50 */
    O,     S, S, S, S, S, S, S, S, S,     S,     S,     S,     S,     S, S, /* 60 */
    S,     S, S, S, S, S, S, S, S, S,     S,     O,     O,     O,     O, O, /* 70 */
};
#undef O
#undef D
#undef C
#undef S

/* A character that utf8proc's Unicode lacks: what the regexes' own additions say. */
static unsigned class_of_new(uint32_t c)
{
    static const struct {
        const char *category;
        unsigned class;
    } categories[] = {{"Lu", CAPITAL}, {"Lt", CAPITAL}, {"Ll", SMALL}, {"Lm", UNCASED},
                      {"Lo", UNCASED}, {"M", MARK},     {"N", DIGIT}};
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++) {
        ffai__range range = {0, 0};
        for (size_t next = 0; ffai__category_addition(&range, &next, categories[i].category);) {
            if (c >= range.first && c <= range.last)
                return categories[i].class;
        }
    }
    return OTHER;
}

static unsigned class_of(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
        return CAPITAL;
    case UTF8PROC_CATEGORY_LL:
        return SMALL;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return UNCASED;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return MARK;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return DIGIT;
    case UTF8PROC_CATEGORY_CN:
        return class_of_new(c);
    default:
        return ffai__is_whitespace(c) ? SPACE : OTHER;
    }
}

/* The class of the character at `at`, 0 at the end; *step receives its bytes. */
static inline unsigned peek(size_t *step, const char *text, size_t size, size_t at)
{
    if (at >= size)
        return 0;
    const unsigned char first = (unsigned char)text[at];
    *step = 1;
    return first < 0x80 ? ascii[first] : class_of(ffai__utf8_get(text + at, step));
}

/* The end of a run of characters of these classes. */
static inline size_t run(const char *text, size_t size, size_t at, unsigned classes)
{
    size_t step = 0;
    while (peek(&step, text, size, at) & classes)
        at += step;
    return at;
}

static inline size_t run_of_breaks(const char *text, size_t size, size_t at, bool slashes)
{
    while (at < size && (text[at] == '\n' || text[at] == '\r' || (slashes && text[at] == '/')))
        at++;
    return at;
}

static inline size_t few_digits(const char *text, size_t size, size_t at, int most)
{
    size_t step = 0;
    for (; most > 0 && peek(&step, text, size, at) == DIGIT; most--)
        at += step;
    return at;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+, the first of them with `breaks` alone: at a whitespace. */
static size_t whitespace(const char *text, size_t size, size_t at, bool breaks)
{
    size_t end = at, last = at, behind_break = at;
    size_t step = 0;
    for (unsigned class; (class = peek(&step, text, size, end)) & (SPACE | BREAK);) {
        last = end;
        end += step;
        if (class == BREAK)
            behind_break = end;
    }
    if (breaks && behind_break > at)
        return behind_break;
    return end == size || last == at ? end : last;
}

/* The bytes of 's|'t|'re|'ve|'m|'ll|'d at `at`, or 0. Where case counts for nothing, U+017F is an s. */
static inline size_t suffix(const char *text, size_t size, size_t at, bool any_case)
{
    if (text[at] != '\'' || size - at < 2)
        return 0;
    const int fold = any_case ? 0x20 : 0; /* what it makes of no letter is none of these either */
    const int first = (unsigned char)text[at + 1] | fold;
    if (first == 's' || first == 't' || first == 'm' || first == 'd')
        return 2;
    if (size - at < 3)
        return 0;
    if (any_case && memcmp(text + at + 1, "\xC5\xBF", 2) == 0)
        return 3;
    const int second = (unsigned char)text[at + 2] | fold;
    return ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l') ? 3 : 0;
}

/* GPT-2's. */
static size_t split_gpt2(const char *text, size_t size, size_t at)
{
    const size_t contraction = suffix(text, size, at, false);
    if (contraction)
        return at + contraction;
    const size_t from = at + (text[at] == ' ');
    size_t step = 0;
    const unsigned class = peek(&step, text, size, from);
    if (class & LETTER)
        return run(text, size, from + step, LETTER);
    if (class & DIGIT)
        return run(text, size, from + step, DIGIT);
    if (class & (MARK | OTHER))
        return run(text, size, from + step, MARK | OTHER);
    return whitespace(text, size, at, false);
}

/* What follows the words in all younger ones: ` ?[others]+[\r\n]*` and whitespace. */
static inline size_t split_rest(const char *text, size_t size, size_t at, unsigned others, bool slashes)
{
    const size_t from = at + (text[at] == ' ');
    const size_t end = run(text, size, from, others);
    return end > from ? run_of_breaks(text, size, end, slashes) : whitespace(text, size, at, true);
}

/* Llama 3's and Qwen's: words of letters, of any case. */
static inline size_t split_words(const char *text, size_t size, size_t at, unsigned letters, int digits)
{
    const size_t contraction = suffix(text, size, at, true);
    if (contraction)
        return at + contraction;
    size_t step = 0, second = 0;
    const unsigned class = peek(&step, text, size, at);
    if (class & letters)
        return run(text, size, at + step, letters);
    if (class & DIGIT)
        return few_digits(text, size, at, digits);
    if ((class & FIRST) && (peek(&second, text, size, at + step) & letters))
        return run(text, size, at + step + second, letters);
    return split_rest(text, size, at, (MARK | OTHER) & ~letters, false);
}

static size_t split_llama3(const char *text, size_t size, size_t at)
{
    return split_words(text, size, at, LETTER, 3);
}

static size_t split_qwen2(const char *text, size_t size, size_t at)
{
    return split_words(text, size, at, LETTER, 1);
}

static size_t split_qwen35(const char *text, size_t size, size_t at)
{
    return split_words(text, size, at, LETTER | MARK, 1);
}

/* [U]*[L]+|[U]+[L]*, where U are letters and marks but small letters, L but capitals; `at` if neither matches. */
static size_t cased_word(const char *text, size_t size, size_t at)
{
    size_t end = at, behind_small = at;
    size_t step = 0;
    unsigned class = 0;
    while ((class = peek(&step, text, size, end)) & (CAPITAL | UNCASED | MARK)) {
        end += step;
        if (class != CAPITAL)
            behind_small = end;
    }
    if (class == SMALL)
        return run(text, size, end, SMALL | UNCASED | MARK);
    /* The first goes back to the last character that is an L as well; the second takes capitals alone. */
    return behind_small > at ? behind_small : end;
}

/* GPT-4o's and Mistral's Tekken: words begin anew where a capital follows a small letter. */
static inline size_t split_cased(const char *text, size_t size, size_t at, int digits, bool contractions)
{
    size_t step = 0;
    const unsigned class = peek(&step, text, size, at);
    if (class & DIGIT)
        return few_digits(text, size, at, digits);
    /* A mark may be what comes before a word, or in it: that is the same. */
    const size_t from = class & (SPACE | OTHER) ? at + step : at;
    const size_t end = cased_word(text, size, from);
    if (end == from)
        return split_rest(text, size, at, MARK | OTHER, true);
    return contractions && end < size ? end + suffix(text, size, end, true) : end;
}

static size_t split_gpt4o(const char *text, size_t size, size_t at)
{
    return split_cased(text, size, at, 3, true);
}

static size_t split_tekken(const char *text, size_t size, size_t at)
{
    return split_cased(text, size, at, 1, false);
}

#define SUFFIXES "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BEFORE   "[^\\r\\n\\p{L}\\p{N}]?"
#define CAPITALS "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SMALLS   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define OTHERS   " ?[^\\s\\p{L}\\p{N}]+"
#define ENDS     "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORDS(n) SUFFIXES "|" BEFORE "\\p{L}+|" n "|" OTHERS "[\\r\\n]*|" ENDS
#define CASED(n, s)                                                                                                    \
    BEFORE CAPITALS "*" SMALLS "+" s "|" BEFORE CAPITALS "+" SMALLS "*" s "|" n "|" OTHERS "[\\r\\n/]*|" ENDS

static const struct {
    const char *regex;
    ffai__splitter *split;
} splitters[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" OTHERS "|\\s+(?!\\S)|\\s+", split_gpt2},
    {WORDS("\\p{N}{1,3}"), split_llama3},
    {WORDS("\\p{N}"), split_qwen2},
    {SUFFIXES "|" BEFORE "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" ENDS, split_qwen35},
    {CASED("\\p{N}{1,3}", SUFFIXES "?"), split_gpt4o},
    {CASED("\\p{N}", ""), split_tekken},
};

enum { COUNT = sizeof splitters / sizeof splitters[0] };

ffai__splitter *ffai__splitter_find(const char *regex, size_t size)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strlen(splitters[i].regex) == size && memcmp(splitters[i].regex, regex, size) == 0)
            return splitters[i].split;
    }
    return NULL;
}

const char *ffai__splitter_regex(size_t index)
{
    return index < COUNT ? splitters[index].regex : NULL;
}
