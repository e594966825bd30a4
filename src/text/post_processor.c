#include "post_processor.h"

#include <string.h>

#include "alloc.h"
#include "component.h"

enum { PIECES_MAX = 256, TEXTS_MAX = 4 };

/* The template for one text: special ids, and TEXT where the text goes. */
struct ffai__post_processor {
    int32_t pieces[PIECES_MAX];
    size_t count;
    bool has_template;
    const ffai__vocabulary *vocabulary;
};

#define TEXT (-1)

static ffai_status add_piece(ffai__post_processor *p, int32_t piece, const char *place, ffai_error *err)
{
    if (p->count == PIECES_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: adds more than %d tokens", place, PIECES_MAX);
    p->pieces[p->count++] = piece;
    return FFAI_OK;
}

static ffai_status add_id(ffai__post_processor *p, const json_t *json, const char *place, ffai_error *err)
{
    int64_t id = -1;
    if (!ffai__json_integer(&id, json) || !ffai__vocabulary_token(p->vocabulary, id))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: adds the id %lld, which the vocabulary lacks", place, (long long)id);
    return add_piece(p, (int32_t)id, place, err);
}

/* {"SpecialToken": {"id": name}}, whose ids stand in special_tokens. */
static ffai_status add_special(ffai__post_processor *p, const json_t *special, const json_t *json, const char *place,
                               ffai_error *err)
{
    const char *name = NULL;
    FFAI__TRY(ffai__json_get_string(&name, special, "id", place, err));
    const json_t *known = ffai__json_field(json, "special_tokens");
    const json_t *ids = name ? ffai__json_field(ffai__json_field(known, name), "ids") : NULL;
    if (!json_is_array(ids))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: special_tokens lacks \"%.100s\"", place, name ? name : "");
    for (size_t i = 0; i < json_array_size(ids); i++)
        FFAI__TRY(add_id(p, json_array_get(ids, i), place, err));
    return FFAI_OK;
}

static ffai_status add_template(ffai__post_processor *p, const json_t *json, const char *place, ffai_error *err)
{
    const json_t *single = ffai__json_field(json, "single");
    if (!json_is_array(single))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"single\": must be an array", place);
    size_t texts = 0;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *special = ffai__json_field(piece, "SpecialToken");
        if (special) {
            FFAI__TRY(add_special(p, special, json, place, err));
            continue;
        }
        const char *name = NULL;
        FFAI__TRY(ffai__json_get_string(&name, ffai__json_field(piece, "Sequence"), "id", place, err));
        if (!name || strcmp(name, "A") != 0 || texts++ == TEXTS_MAX)
            return ffai__fail(err, FFAI_E_FORMAT, "%s: single[%zu]: must be a SpecialToken or the Sequence \"A\"",
                              place, i);
        FFAI__TRY(add_piece(p, TEXT, place, err));
    }
    return FFAI_OK;
}

/* RobertaProcessing and BertProcessing: cls, the text, sep; each is [content, id]. */
static ffai_status add_cls_sep(ffai__post_processor *p, const json_t *json, const char *place, ffai_error *err)
{
    FFAI__TRY(add_id(p, json_array_get(ffai__json_field(json, "cls"), 1), place, err));
    FFAI__TRY(add_piece(p, TEXT, place, err));
    return add_id(p, json_array_get(ffai__json_field(json, "sep"), 1), place, err);
}

static ffai_status parse_processor(void *context, const json_t *json, const char *type, const char *place,
                                   ffai_error *err)
{
    ffai__post_processor *p = context;
    if (strcmp(type, "ByteLevel") == 0)
        return FFAI_OK; /* is about offsets, which nobody asks for here */
    const bool template = strcmp(type, "TemplateProcessing") == 0;
    if (!template && strcmp(type, "RobertaProcessing") != 0 && strcmp(type, "BertProcessing") != 0)
        return ffai__component_unsupported(type, place, err);
    if (p->has_template)
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: a second processor that adds tokens", place);
    p->has_template = true;
    return template ? add_template(p, json, place, err) : add_cls_sep(p, json, place, err);
}

ffai_status ffai__post_processor_parse(ffai__post_processor **out, const json_t *json,
                                       const ffai__vocabulary *vocabulary, const char *place, ffai_error *err)
{
    ffai__post_processor *p = ffai__calloc(1, sizeof *p);
    if (!p)
        return ffai__fail_memory(err, "a post-processor", sizeof *p);
    p->vocabulary = vocabulary;
    ffai_status status = ffai__component_each(json, "processors", place, parse_processor, p, err);
    if (status == FFAI_OK && !p->has_template)
        status = add_piece(p, TEXT, place, err);
    if (status != FFAI_OK) {
        ffai__post_processor_free(p);
        return status;
    }
    *out = p;
    return FFAI_OK;
}

void ffai__post_processor_free(ffai__post_processor *p)
{
    ffai__free(p);
}

static ffai_status append_all(ffai__ids *out, const ffai__ids *ids, ffai_error *err)
{
    FFAI__TRY(ffai__ids_reserve(out, ids->count, err));
    if (ids->count > 0)
        memcpy(out->data + out->count, ids->data, ids->count * sizeof *ids->data);
    out->count += ids->count;
    return FFAI_OK;
}

ffai_status ffai__post_processor_apply(ffai__ids *out, const ffai__post_processor *p, const ffai__ids *text,
                                       bool add_special_tokens, ffai_error *err)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->pieces[i] == TEXT)
            FFAI__TRY(append_all(out, text, err));
        else if (add_special_tokens)
            FFAI__TRY(ffai__ids_append(out, p->pieces[i], err));
    }
    return FFAI_OK;
}
