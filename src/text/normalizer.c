#include "normalizer.h"

#include <string.h>

#include "alloc.h"
#include "component.h"
#include "normal_form.h"
#include "pattern.h"
#include "unicode.h"
#include "utf8.h"

typedef enum { NORMAL_FORM, LOWERCASE, STRIP, STRIP_ACCENTS, PREPEND, REPLACE } step_kind;

typedef struct {
    step_kind kind;
    bool compose, compatibility; /* NORMAL_FORM */
    bool left, right;            /* STRIP */
    char *content;               /* PREPEND, REPLACE */
    size_t content_size;
    ffai__pattern *pattern; /* REPLACE */
} step;

struct ffai__normalizer {
    step steps[FFAI__STEPS_MAX];
    size_t count;
};

static ffai_status parse_content(step *s, const json_t *json, const char *key, const char *place, ffai_error *err)
{
    const char *text = NULL;
    FFAI__TRY(ffai__component_text(&text, &s->content_size, json, key, place, err));
    s->content = ffai__strndup(text, s->content_size);
    return s->content ? FFAI_OK : ffai__fail_memory(err, "a normalizer", s->content_size);
}

static ffai_status parse_strip(step *s, const json_t *json, const char *place, ffai_error *err)
{
    s->kind = STRIP;
    FFAI__TRY(ffai__json_get_bool(&s->left, json, "strip_left", place, err));
    return ffai__json_get_bool(&s->right, json, "strip_right", place, err);
}

static ffai_status parse_step(void *context, const json_t *json, const char *type, const char *place, ffai_error *err)
{
    static const struct {
        const char *type;
        step step;
    } plain[] = {
        {"NFC", {.kind = NORMAL_FORM, .compose = true}},
        {"NFD", {.kind = NORMAL_FORM}},
        {"NFKC", {.kind = NORMAL_FORM, .compose = true, .compatibility = true}},
        {"NFKD", {.kind = NORMAL_FORM, .compatibility = true}},
        {"Lowercase", {.kind = LOWERCASE}},
        {"StripAccents", {.kind = STRIP_ACCENTS}},
    };
    ffai__normalizer *n = context;
    if (n->count == FFAI__STEPS_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: more than %d steps", place, FFAI__STEPS_MAX);
    step *s = &n->steps[n->count++];
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(type, plain[i].type) == 0) {
            *s = plain[i].step;
            return FFAI_OK;
        }
    }
    if (strcmp(type, "Strip") == 0)
        return parse_strip(s, json, place, err);
    if (strcmp(type, "Prepend") == 0) {
        s->kind = PREPEND;
        return parse_content(s, json, "prepend", place, err);
    }
    if (strcmp(type, "Replace") == 0) {
        s->kind = REPLACE;
        FFAI__TRY(parse_content(s, json, "content", place, err));
        return ffai__pattern_parse(&s->pattern, json, place, err);
    }
    return ffai__component_unsupported(type, place, err);
}

ffai_status ffai__normalizer_parse(ffai__normalizer **out, const json_t *json, const char *place, ffai_error *err)
{
    ffai__normalizer *n = ffai__calloc(1, sizeof *n);
    if (!n)
        return ffai__fail_memory(err, "a normalizer", sizeof *n);
    const ffai_status status = ffai__component_each(json, "normalizers", place, parse_step, n, err);
    if (status != FFAI_OK) {
        ffai__normalizer_free(n);
        return status;
    }
    *out = n;
    return FFAI_OK;
}

void ffai__normalizer_free(ffai__normalizer *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->count; i++) {
        ffai__free(n->steps[i].content);
        ffai__pattern_free(n->steps[i].pattern);
    }
    ffai__free(n);
}

void ffai__normalizer_scratch_free(ffai__normalizer_scratch *scratch)
{
    ffai__buffer_free(&scratch->buffers[0]);
    ffai__buffer_free(&scratch->buffers[1]);
    ffai__free(scratch->characters);
    scratch->characters = NULL;
    scratch->capacity = 0;
}

static ffai_status reserve_characters(ffai__normalizer_scratch *scratch, size_t count, ffai_error *err)
{
    if (count <= scratch->capacity)
        return FFAI_OK;
    const size_t capacity = count + count / 2;
    int32_t *characters = ffai__realloc(scratch->characters, capacity, sizeof *characters);
    if (!characters)
        return ffai__fail_memory(err, "a normalized text", capacity * sizeof *characters);
    scratch->characters = characters;
    scratch->capacity = capacity;
    return FFAI_OK;
}

/* The text's decomposed characters; as many again are free behind them. */
static ffai_status decompose_text(size_t *count, ffai__normalizer_scratch *scratch, const ffai__piece *piece,
                                  bool compatibility, ffai_error *err)
{
    size_t used = 0;
    for (size_t at = 0, size = 0; at < piece->size; at += size) {
        FFAI__TRY(reserve_characters(scratch, used + FFAI__DECOMPOSED_MAX, err));
        const uint32_t c = ffai__utf8_get(piece->data + at, &size);
        used += ffai__decompose(scratch->characters + used, (int32_t)c, compatibility);
    }
    *count = used;
    return reserve_characters(scratch, 2 * used, err);
}

static ffai_status apply_normal_form(ffai__buffer *out, size_t *at_start, const step *s, const ffai__piece *piece,
                                     ffai__normalizer_scratch *scratch, ffai_error *err)
{
    size_t count = 0;
    FFAI__TRY(decompose_text(&count, scratch, piece, s->compatibility, err));
    ffai__order_marks(scratch->characters, scratch->characters + count, count);
    if (s->compose)
        count = ffai__compose(scratch->characters, count);
    for (size_t i = 0; i < count; i++) {
        ffai__utf8_append(out, (uint32_t)scratch->characters[i]);
        if (i == 0 && piece->at_start > 0)
            *at_start = out->size;
    }
    return FFAI_OK;
}

static void apply_lowercase(ffai__buffer *out, size_t *at_start, const ffai__piece *piece)
{
    for (size_t at = 0, size = 0; at < piece->size; at += size) {
        uint32_t small[2];
        const size_t count = ffai__lowercase(small, ffai__utf8_get(piece->data + at, &size));
        for (size_t i = 0; i < count; i++)
            ffai__utf8_append(out, small[i]);
        if (at < piece->at_start)
            *at_start = out->size;
    }
}

static void apply_strip_accents(ffai__buffer *out, size_t *at_start, const ffai__piece *piece)
{
    for (size_t at = 0, size = 0; at < piece->size; at += size) {
        if (ffai__is_mark(ffai__utf8_get(piece->data + at, &size)))
            continue;
        ffai__buffer_append(out, piece->data + at, size);
        if (at < piece->at_start)
            *at_start = out->size;
    }
}

static void apply_strip(ffai__piece *piece, const step *s)
{
    size_t size = 0;
    while (s->left && piece->size > 0 && ffai__is_whitespace(ffai__utf8_get(piece->data, &size))) {
        piece->data += size;
        piece->size -= size;
        piece->at_start -= size < piece->at_start ? size : piece->at_start;
    }
    while (s->right && piece->size > 0) {
        const size_t last = ffai__utf8_last(piece->data, piece->size);
        if (!ffai__is_whitespace(ffai__utf8_get(piece->data + piece->size - last, &size)))
            break;
        piece->size -= last;
    }
    if (piece->at_start > piece->size)
        piece->at_start = piece->size;
}

static void apply_prepend(ffai__buffer *out, size_t *at_start, const step *s, const ffai__piece *piece)
{
    ffai__buffer_append(out, s->content, s->content_size);
    ffai__buffer_append(out, piece->data, piece->size);
    *at_start = piece->at_start > 0 ? piece->at_start + s->content_size : 0;
}

/* Put the text between two matches, and note how much of it belongs to the text's first character. */
static void put_between(ffai__buffer *out, size_t *at_start, const ffai__piece *piece, size_t from, size_t to)
{
    ffai__buffer_append(out, piece->data + from, to - from);
    if (from < piece->at_start)
        *at_start = out->size - (to > piece->at_start ? to - piece->at_start : 0);
}

static ffai_status replace_all(ffai__buffer *out, size_t *at_start, const step *s, const ffai__piece *piece,
                               ffai__matches *matches, ffai__budget *budget, ffai_error *err)
{
    size_t done = 0;
    bool found = false;
    ffai__matches_over(matches, piece->data, piece->size, budget);
    for (;;) {
        FFAI__TRY(ffai__matches_next(&found, matches, err));
        if (!found)
            break;
        put_between(out, at_start, piece, done, matches->start);
        FFAI__TRY(ffai__budget_take_bytes(budget, s->content_size, err));
        ffai__buffer_append(out, s->content, s->content_size);
        /* What is put in belongs where the last character that it replaces does. */
        if (piece->at_start > 0 && (matches->end == 0 || matches->end - 1 < piece->at_start))
            *at_start = out->size;
        done = matches->end;
    }
    put_between(out, at_start, piece, done, piece->size);
    return FFAI_OK;
}

static ffai_status apply_replace(ffai__buffer *out, size_t *at_start, const step *s, const ffai__piece *piece,
                                 ffai__budget *budget, ffai_error *err)
{
    ffai__matches matches;
    ffai_status status = ffai__matches_create(&matches, s->pattern, err);
    if (status == FFAI_OK)
        status = replace_all(out, at_start, s, piece, &matches, budget, err);
    ffai__matches_free(&matches);
    return status;
}

/* Steps that can leave the text where it is. *done tells. */
static void apply_in_place(bool *done, ffai__piece *piece, const step *s)
{
    *done = true;
    if (s->kind == STRIP)
        apply_strip(piece, s);
    else
        *done = s->kind == NORMAL_FORM &&
                ffai__normal_form_is_trivial(piece->data, piece->size, s->compose, s->compatibility);
}

static ffai_status apply_step(ffai__piece *piece, const step *s, ffai__normalizer_scratch *scratch,
                              ffai__budget *budget, ffai_error *err)
{
    bool done = false;
    apply_in_place(&done, piece, s);
    if (done)
        return FFAI_OK;
    scratch->turn ^= 1;
    ffai__buffer *out = &scratch->buffers[scratch->turn];
    out->size = 0;
    size_t at_start = 0;
    ffai_status status = FFAI_OK;
    if (s->kind == NORMAL_FORM)
        status = apply_normal_form(out, &at_start, s, piece, scratch, err);
    else if (s->kind == LOWERCASE)
        apply_lowercase(out, &at_start, piece);
    else if (s->kind == STRIP_ACCENTS)
        apply_strip_accents(out, &at_start, piece);
    else if (s->kind == PREPEND)
        apply_prepend(out, &at_start, s, piece);
    else
        status = apply_replace(out, &at_start, s, piece, budget, err);
    ffai__buffer_append(out, "", 0);
    if (status == FFAI_OK && out->failed)
        status = ffai__fail_memory(err, "a normalized text", piece->size);
    FFAI__TRY(status);
    *piece = (ffai__piece){out->data, out->size, at_start};
    return ffai__budget_take_bytes(budget, out->size, err);
}

ffai_status ffai__normalizer_apply(ffai__piece *piece, const ffai__normalizer *n, ffai__normalizer_scratch *scratch,
                                   ffai__budget *budget, ffai_error *err)
{
    for (size_t i = 0; i < n->count && piece->size > 0; i++)
        FFAI__TRY(apply_step(piece, &n->steps[i], scratch, budget, err));
    return FFAI_OK;
}
