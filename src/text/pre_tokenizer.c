#include "pre_tokenizer.h"

#include <string.h>

#include "alloc.h"
#include "byte_level.h"
#include "component.h"
#include "pattern.h"
#include "unicode.h"
#include "utf8.h"

typedef enum { BYTE_LEVEL, SPLIT, METASPACE, DIGITS, PUNCTUATION, WHITESPACE, WHITESPACE_SPLIT } step_kind;
typedef enum { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS } behavior;
typedef enum { ALWAYS, FIRST, NEVER } prepend_scheme;

typedef struct {
    step_kind kind;
    behavior behavior;
    bool invert;            /* SPLIT */
    bool add_prefix_space;  /* BYTE_LEVEL */
    ffai__pattern *pattern; /* SPLIT; BYTE_LEVEL with use_regex */
    prepend_scheme prepend; /* METASPACE */
    bool split;             /* METASPACE */
    uint32_t replacement;   /* METASPACE */
} step;

struct ffai__pre_tokenizer {
    step steps[FFAI__STEPS_MAX];
    size_t count;
};

/* What one step keeps while words go through it. */
typedef struct {
    ffai__matches matches;
    ffai__buffer text; /* rewritten before it is cut */
    ffai__buffer word; /* rewritten after it was cut */
} step_state;

struct ffai__pre_tokenizer_run {
    const ffai__pre_tokenizer *pre_tokenizer;
    ffai__budget *budget;
    ffai__word_sink *sink;
    void *context;
    step_state states[]; /* one a step */
};

static ffai_status choose(unsigned *choice, const json_t *json, const char *key, const char *const *names, size_t count,
                          const char *place, ffai_error *err)
{
    const char *name = NULL;
    FFAI__TRY(ffai__json_get_string(&name, json, key, place, err));
    if (!name)
        return FFAI_OK;
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            *choice = i;
            return FFAI_OK;
        }
    }
    return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: field \"%s\": unknown value \"%.100s\"", place, key, name);
}

static ffai_status parse_behavior(step *s, const json_t *json, const char *place, ffai_error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    unsigned choice = ISOLATED;
    FFAI__TRY(choose(&choice, json, "behavior", names, 5, place, err));
    s->behavior = (behavior)choice;
    return FFAI_OK;
}

static ffai_status parse_byte_level(step *s, const json_t *json, const char *place, ffai_error *err)
{
    static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    s->kind = BYTE_LEVEL;
    s->behavior = ISOLATED;
    s->add_prefix_space = true;
    bool use_regex = true;
    FFAI__TRY(ffai__json_get_bool(&s->add_prefix_space, json, "add_prefix_space", place, err));
    FFAI__TRY(ffai__json_get_bool(&use_regex, json, "use_regex", place, err));
    return use_regex ? ffai__pattern_compile(&s->pattern, gpt2, sizeof gpt2 - 1, place, err) : FFAI_OK;
}

static ffai_status parse_split(step *s, const json_t *json, const char *place, ffai_error *err)
{
    s->kind = SPLIT;
    FFAI__TRY(parse_behavior(s, json, place, err));
    FFAI__TRY(ffai__json_get_bool(&s->invert, json, "invert", place, err));
    return ffai__pattern_parse(&s->pattern, json, place, err);
}

static ffai_status parse_metaspace(step *s, const json_t *json, const char *place, ffai_error *err)
{
    static const char *const schemes[] = {"always", "first", "never"};
    s->kind = METASPACE;
    s->behavior = MERGED_WITH_NEXT;
    s->split = true;
    unsigned scheme = ALWAYS;
    bool add_prefix_space = true; /* what older files have instead of the scheme */
    FFAI__TRY(ffai__component_character(&s->replacement, json, "replacement", place, err));
    FFAI__TRY(choose(&scheme, json, "prepend_scheme", schemes, 3, place, err));
    FFAI__TRY(ffai__json_get_bool(&add_prefix_space, json, "add_prefix_space", place, err));
    s->prepend = add_prefix_space ? (prepend_scheme)scheme : NEVER;
    return ffai__json_get_bool(&s->split, json, "split", place, err);
}

static ffai_status parse_digits(step *s, const json_t *json, const char *place, ffai_error *err)
{
    bool individual = false;
    FFAI__TRY(ffai__json_get_bool(&individual, json, "individual_digits", place, err));
    s->kind = DIGITS;
    s->behavior = individual ? ISOLATED : CONTIGUOUS;
    return FFAI_OK;
}

static ffai_status parse_step(void *context, const json_t *json, const char *type, const char *place, ffai_error *err)
{
    ffai__pre_tokenizer *p = context;
    if (p->count == FFAI__STEPS_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: more than %d steps", place, FFAI__STEPS_MAX);
    step *s = &p->steps[p->count++];
    if (strcmp(type, "ByteLevel") == 0)
        return parse_byte_level(s, json, place, err);
    if (strcmp(type, "Split") == 0)
        return parse_split(s, json, place, err);
    if (strcmp(type, "Metaspace") == 0)
        return parse_metaspace(s, json, place, err);
    if (strcmp(type, "Digits") == 0)
        return parse_digits(s, json, place, err);
    if (strcmp(type, "Punctuation") == 0) {
        s->kind = PUNCTUATION;
        return parse_behavior(s, json, place, err);
    }
    if (strcmp(type, "Whitespace") == 0 || strcmp(type, "WhitespaceSplit") == 0) {
        s->kind = type[10] ? WHITESPACE_SPLIT : WHITESPACE;
        s->behavior = REMOVED;
        return FFAI_OK;
    }
    return ffai__component_unsupported(type, place, err);
}

ffai_status ffai__pre_tokenizer_parse(ffai__pre_tokenizer **out, const json_t *json, const char *place, ffai_error *err)
{
    ffai__pre_tokenizer *p = ffai__calloc(1, sizeof *p);
    if (!p)
        return ffai__fail_memory(err, "a pre-tokenizer", sizeof *p);
    const ffai_status status = ffai__component_each(json, "pretokenizers", place, parse_step, p, err);
    if (status != FFAI_OK) {
        ffai__pre_tokenizer_free(p);
        return status;
    }
    *out = p;
    return FFAI_OK;
}

void ffai__pre_tokenizer_free(ffai__pre_tokenizer *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++)
        ffai__pattern_free(p->steps[i].pattern);
    ffai__free(p);
}

bool ffai__pre_tokenizer_ends_in_bytes(const ffai__pre_tokenizer *p)
{
    return p->count > 0 && p->steps[p->count - 1].kind == BYTE_LEVEL;
}

ffai_status ffai__pre_tokenizer_run_create(ffai__pre_tokenizer_run **out, const ffai__pre_tokenizer *p,
                                           ffai__budget *budget, ffai__word_sink *sink, void *context, ffai_error *err)
{
    ffai__pre_tokenizer_run *run = ffai__calloc(1, sizeof *run + p->count * sizeof run->states[0]);
    if (!run)
        return ffai__fail_memory(err, "a pre-tokenizer's run", sizeof *run);
    run->pre_tokenizer = p;
    run->budget = budget;
    run->sink = sink;
    run->context = context;
    ffai_status status = FFAI_OK;
    for (size_t i = 0; i < p->count && status == FFAI_OK; i++) {
        if (p->steps[i].pattern)
            status = ffai__matches_create(&run->states[i].matches, p->steps[i].pattern, err);
    }
    if (status != FFAI_OK) {
        ffai__pre_tokenizer_run_free(run);
        return status;
    }
    *out = run;
    return FFAI_OK;
}

void ffai__pre_tokenizer_run_free(ffai__pre_tokenizer_run *run)
{
    if (!run)
        return;
    for (size_t i = 0; i < run->pre_tokenizer->count; i++) {
        ffai__matches_free(&run->states[i].matches);
        ffai__buffer_free(&run->states[i].text);
        ffai__buffer_free(&run->states[i].word);
    }
    ffai__free(run);
}

static ffai_status run_step(ffai__pre_tokenizer_run *run, size_t index, const ffai__piece *piece, ffai_error *err);

/* Cuts a text where matches are told in order, as a behaviour wants it. What may still grow is held back. */
typedef struct {
    ffai__pre_tokenizer_run *run;
    size_t index; /* of the step */
    const ffai__piece *text;
    behavior behavior;
    bool holds;          /* [start, end) is held back */
    bool previous_match; /* the last part was a match */
    size_t start, end;
} cutter;

/* Hand a part on to the next step. */
static ffai_status emit(cutter *c, size_t start, size_t end, ffai_error *err)
{
    if (start == end)
        return FFAI_OK;
    ffai__piece part = {c->text->data + start, end - start, 0};
    if (c->text->at_start > start)
        part.at_start = c->text->at_start - start;
    if (c->index + 1 == c->run->pre_tokenizer->count)
        return c->run->sink(c->run->context, part.data, part.size, err);
    if (c->run->pre_tokenizer->steps[c->index].kind == BYTE_LEVEL) {
        ffai__buffer *word = &c->run->states[c->index].word;
        word->size = 0;
        ffai__byte_level_spell(word, part.data, part.size);
        if (word->failed)
            return ffai__fail_memory(err, "a word", part.size);
        part = (ffai__piece){word->data, word->size, part.at_start};
    }
    return run_step(c->run, c->index + 1, &part, err);
}

static ffai_status flush(cutter *c, ffai_error *err)
{
    if (!c->holds)
        return FFAI_OK;
    c->holds = false;
    return emit(c, c->start, c->end, err);
}

/* The next part of the text, which is a match or lies between two. */
static ffai_status cut(cutter *c, size_t start, size_t end, bool match, ffai_error *err)
{
    bool joins = false;
    if (c->behavior == REMOVED)
        return match ? FFAI_OK : emit(c, start, end, err);
    if (c->behavior == CONTIGUOUS)
        joins = match == c->previous_match;
    else if (c->behavior == MERGED_WITH_PREVIOUS)
        joins = match && !c->previous_match;
    else if (c->behavior == MERGED_WITH_NEXT)
        joins = c->previous_match && !match;
    c->previous_match = match;
    if (joins && c->holds) {
        c->end = end;
        return FFAI_OK;
    }
    FFAI__TRY(flush(c, err));
    c->holds = true;
    c->start = start;
    c->end = end;
    return FFAI_OK;
}

static ffai_status cut_at_matches(cutter *c, ffai__matches *matches, bool invert, ffai_error *err)
{
    size_t done = 0;
    bool found = false;
    ffai__matches_over(matches, c->text->data, c->text->size, c->run->budget);
    for (;;) {
        FFAI__TRY(ffai__matches_next(&found, matches, err));
        if (!found)
            break;
        const size_t start = matches->start;
        const size_t end = matches->end;
        if (done != start)
            FFAI__TRY(cut(c, done, start, invert, err));
        FFAI__TRY(cut(c, start, end, !invert, err));
        done = end;
    }
    return done != c->text->size ? cut(c, done, c->text->size, invert, err) : FFAI_OK;
}

/* A splitter's matches are all of the text: each is a part by itself, there is nothing to hold back. */
static ffai_status cut_into_words(cutter *c, ffai__splitter *split, ffai_error *err)
{
    const char *text = c->text->data;
    const size_t size = c->text->size;
    for (size_t at = 0; at < size;) {
        const size_t end = split(text, size, at);
        FFAI__TRY(emit(c, at, end, err));
        at = end;
    }
    return FFAI_OK;
}

static bool is_delimiter(const step *s, uint32_t c)
{
    switch (s->kind) {
    case DIGITS:
        return ffai__is_numeric(c);
    case PUNCTUATION:
        return ffai__is_punctuation(c);
    case METASPACE:
        return c == s->replacement;
    default:
        return ffai__is_whitespace(c);
    }
}

static ffai_status cut_at_characters(cutter *c, const step *s, ffai_error *err)
{
    size_t done = 0;
    for (size_t at = 0, size = 0; at < c->text->size; at += size) {
        if (!is_delimiter(s, ffai__utf8_get(c->text->data + at, &size)))
            continue;
        if (done != at)
            FFAI__TRY(cut(c, done, at, false, err));
        FFAI__TRY(cut(c, at, at + size, true, err));
        done = at + size;
    }
    return done != c->text->size ? cut(c, done, c->text->size, false, err) : FFAI_OK;
}

/* Whitespace: runs of word characters and runs of other ones, \w+|[^\w\s]+; what lies between goes. */
static ffai_status cut_into_runs(cutter *c, ffai_error *err)
{
    enum { SPACE, WORD, OTHER };
    int kind = SPACE;
    size_t start = 0;
    for (size_t at = 0, size = 0; at < c->text->size; at += size) {
        const uint32_t character = ffai__utf8_get(c->text->data + at, &size);
        const int now = ffai__is_word(character) ? WORD : ffai__is_whitespace(character) ? SPACE : OTHER;
        if (now == kind)
            continue;
        if (kind != SPACE)
            FFAI__TRY(emit(c, start, at, err));
        kind = now;
        start = at;
    }
    return kind != SPACE ? emit(c, start, c->text->size, err) : FFAI_OK;
}

/* Spaces become the replacement, and one comes in front where the scheme wants it. */
static ffai_status rewrite_metaspace(ffai__piece *piece, const step *s, ffai__buffer *text, ffai__budget *budget,
                                     ffai_error *err)
{
    char mark[4];
    const size_t mark_size = ffai__utf8_put(mark, s->replacement);
    const bool starts =
        piece->data[0] == ' ' || (piece->size >= mark_size && memcmp(piece->data, mark, mark_size) == 0);
    const bool prepend = !starts && (s->prepend == ALWAYS || (s->prepend == FIRST && piece->at_start > 0));
    text->size = 0;
    size_t at_start = piece->at_start;
    if (prepend) {
        ffai__buffer_append(text, mark, mark_size);
        at_start += at_start > 0 ? mark_size : 0;
    }
    for (size_t at = 0; at < piece->size;) {
        const char *space = memchr(piece->data + at, ' ', piece->size - at);
        const size_t end = space ? (size_t)(space - piece->data) : piece->size;
        ffai__buffer_append(text, piece->data + at, end - at);
        if (space) {
            ffai__buffer_append(text, mark, mark_size);
            at_start += end < piece->at_start ? mark_size - 1 : 0;
        }
        at = end + (space != NULL);
    }
    if (text->failed)
        return ffai__fail_memory(err, "a text", piece->size);
    *piece = (ffai__piece){text->data, text->size, at_start};
    return ffai__budget_take_bytes(budget, text->size, err);
}

static ffai_status prefix_space(ffai__piece *piece, ffai__buffer *text, ffai__budget *budget, ffai_error *err)
{
    if (piece->data[0] == ' ')
        return FFAI_OK;
    text->size = 0;
    ffai__buffer_append(text, " ", 1);
    ffai__buffer_append(text, piece->data, piece->size);
    if (text->failed)
        return ffai__fail_memory(err, "a text", piece->size);
    *piece = (ffai__piece){text->data, text->size, piece->at_start + (piece->at_start > 0)};
    return ffai__budget_take_bytes(budget, text->size, err);
}

static ffai_status rewrite(ffai__piece *piece, const step *s, ffai__pre_tokenizer_run *run, size_t index,
                           ffai_error *err)
{
    if (s->kind == METASPACE)
        return rewrite_metaspace(piece, s, &run->states[index].text, run->budget, err);
    if (s->kind == BYTE_LEVEL && s->add_prefix_space)
        return prefix_space(piece, &run->states[index].text, run->budget, err);
    return FFAI_OK;
}

static ffai_status run_step(ffai__pre_tokenizer_run *run, size_t index, const ffai__piece *piece, ffai_error *err)
{
    if (index == run->pre_tokenizer->count)
        return run->sink(run->context, piece->data, piece->size, err);
    const step *s = &run->pre_tokenizer->steps[index];
    ffai__piece text = *piece;
    FFAI__TRY(rewrite(&text, s, run, index, err));
    cutter c = {.run = run, .index = index, .text = &text, .behavior = s->behavior};
    ffai_status status = FFAI_OK;
    ffai__splitter *split = s->pattern ? ffai__pattern_splitter(s->pattern) : NULL;
    if (split && s->behavior == (s->invert ? REMOVED : ISOLATED))
        status = cut_into_words(&c, split, err);
    else if (s->pattern)
        status = cut_at_matches(&c, &run->states[index].matches, s->invert, err);
    else if (s->kind == WHITESPACE)
        status = cut_into_runs(&c, err);
    else if (s->kind == BYTE_LEVEL || (s->kind == METASPACE && !s->split))
        status = emit(&c, 0, text.size, err);
    else
        status = cut_at_characters(&c, s, err);
    return status == FFAI_OK ? flush(&c, err) : status;
}

ffai_status ffai__pre_tokenizer_run_text(ffai__pre_tokenizer_run *run, const ffai__piece *text, ffai_error *err)
{
    return text->size > 0 ? run_step(run, 0, text, err) : FFAI_OK;
}
