/* tokenizer.json, rebuilt from a GGUF file's tokens, merges, token types and the name of its pre-tokenizer. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "gguf_documents.h"
#include "gguf_pre_tokenizer.h"
#include "utf8.h"

/* tokenizer.ggml.token_type */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_UNUSED = 5 };

typedef struct {
    ffai__buffer json;
    const ffai__gguf *file;
    const ffai__gguf_pre_tokenizer *pre;
    const ffai__gguf_field *tokens;
    const ffai__gguf_field *types; /* NULL: all normal */
    const ffai__gguf_field *merges;
    uint64_t added_from; /* ids from here on are added tokens only, and not in the model's vocabulary */
    ffai_error *err;
} writer;

static bool is_special(int64_t type)
{
    return type == TYPE_CONTROL || type == TYPE_UNKNOWN;
}

static bool is_added(int64_t type)
{
    return is_special(type) || type == TYPE_USER_DEFINED;
}

static int64_t type_of(const writer *w, uint64_t id)
{
    return w->types ? ffai__gguf_element_int(w->types, id) : TYPE_NORMAL;
}

/* Bytes from the start that JSON takes as they are. */
static size_t plain_bytes(const unsigned char *bytes, size_t size)
{
    size_t i = 0;
    while (i < size && bytes[i] >= 0x20 && bytes[i] != '"' && bytes[i] != '\\')
        i++;
    return i;
}

/* Append text as a JSON string; false if it is not UTF-8, or holds a 0, which few JSON readers take in a key. */
static bool append_string(ffai__buffer *json, const ffai__gguf_text *text)
{
    const unsigned char *bytes = (const unsigned char *)text->data;
    if (!ffai__utf8_valid(text->data, text->size))
        return false;
    ffai__buffer_append(json, "\"", 1);
    for (size_t i = 0; i < text->size; i++) {
        const size_t plain = plain_bytes(bytes + i, text->size - i);
        ffai__buffer_append(json, bytes + i, plain);
        i += plain;
        if (i == text->size)
            break;
        if (bytes[i] == 0)
            return false;
        if (bytes[i] < 0x20)
            ffai__buffer_format(json, "\\u%04x", bytes[i]);
        else
            ffai__buffer_append(json, (const char[]){'\\', (char)bytes[i]}, 2);
    }
    ffai__buffer_append(json, "\"", 1);
    return true;
}

static ffai_status put_text(writer *w, const ffai__gguf_text *text, const char *key, uint64_t index)
{
    if (append_string(&w->json, text))
        return FFAI_OK;
    return ffai__fail(w->err, FFAI_E_FORMAT, "%s: key \"%s\": entry %llu is not valid UTF-8", w->file->what, key,
                      (unsigned long long)index);
}

static void put_separator(writer *w, bool *first)
{
    if (!*first)
        ffai__buffer_text(&w->json, ",");
    *first = false;
}

/* ---- sections ---- */

static ffai_status put_added_tokens(writer *w)
{
    const uint8_t *at = w->tokens->data;
    bool first = true;
    ffai__buffer_text(&w->json, "\"added_tokens\":[");
    for (uint64_t id = 0; id < w->tokens->count; id++) {
        const ffai__gguf_text token = ffai__gguf_next_text(&at, w->tokens);
        const int64_t type = type_of(w, id);
        if (!is_added(type))
            continue;
        put_separator(w, &first);
        ffai__buffer_format(&w->json, "{\"id\":%llu,\"content\":", (unsigned long long)id);
        FFAI__TRY(put_text(w, &token, "tokenizer.ggml.tokens", id));
        ffai__buffer_format(&w->json,
                            ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
                            "\"special\":%s}",
                            is_special(type) ? "true" : "false");
    }
    ffai__buffer_text(&w->json, "],");
    return FFAI_OK;
}

static ffai_status check_new(ffai__string_map *seen, const writer *w, const ffai__gguf_text *token, uint64_t id)
{
    uint64_t other = 0;
    switch (ffai__string_map_add(seen, token->data, token->size, id)) {
    case FFAI__MAP_EXISTS:
        ffai__string_map_get(seen, token->data, token->size, &other);
        return ffai__fail(w->err, FFAI_E_FORMAT, "%s: key \"tokenizer.ggml.tokens\": entries %llu and %llu are equal",
                          w->file->what, (unsigned long long)other, (unsigned long long)id);
    case FFAI__MAP_NO_MEMORY:
        return ffai__fail_memory(w->err, "the vocabulary", w->tokens->count);
    case FFAI__MAP_NEW:
        break;
    }
    return FFAI_OK;
}

/* ":id"; a formatted number would take longer than all else. */
static void append_id(ffai__buffer *json, uint64_t id)
{
    char text[24];
    char *at = text + sizeof text;
    do
        *--at = (char)('0' + id % 10);
    while (id /= 10);
    *--at = ':';
    ffai__buffer_append(json, at, (size_t)(text + sizeof text - at));
}

static ffai_status put_vocabulary_of(writer *w, ffai__string_map *seen)
{
    const uint8_t *at = w->tokens->data;
    bool first = true;
    ffai__buffer_text(&w->json, "\"vocab\":{");
    for (uint64_t id = 0; id < w->tokens->count; id++) {
        const ffai__gguf_text token = ffai__gguf_next_text(&at, w->tokens);
        const int64_t type = type_of(w, id);
        if (type == TYPE_UNUSED)
            continue;
        FFAI__TRY(check_new(seen, w, &token, id));
        if (id >= w->added_from)
            continue;
        put_separator(w, &first);
        FFAI__TRY(put_text(w, &token, "tokenizer.ggml.tokens", id));
        append_id(&w->json, id);
    }
    ffai__buffer_text(&w->json, "},");
    return FFAI_OK;
}

static ffai_status put_vocabulary(writer *w)
{
    ffai__string_map *seen = ffai__string_map_new((size_t)w->tokens->count);
    if (!seen)
        return ffai__fail_memory(w->err, "the vocabulary", w->tokens->count);
    const ffai_status status = put_vocabulary_of(w, seen);
    ffai__string_map_free(seen);
    return status;
}

static ffai_status put_merges(writer *w)
{
    const uint8_t *at = w->merges ? w->merges->data : NULL;
    const uint64_t count = w->merges ? w->merges->count : 0;
    ffai__buffer_text(&w->json, "\"merges\":[");
    for (uint64_t i = 0; i < count; i++) {
        const ffai__gguf_text merge = ffai__gguf_next_text(&at, w->merges);
        if (i)
            ffai__buffer_text(&w->json, ",");
        FFAI__TRY(put_text(w, &merge, "tokenizer.ggml.merges", i));
    }
    ffai__buffer_text(&w->json, "]");
    return FFAI_OK;
}

static ffai_status put_model(writer *w)
{
    const char *affix = w->pre->affixes;
    ffai__buffer_format(&w->json,
                        "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
                        "\"continuing_subword_prefix\":%s,\"end_of_word_suffix\":%s,\"fuse_unk\":false,"
                        "\"byte_fallback\":false,\"ignore_merges\":%s,",
                        affix, affix, w->pre->ignore_merges ? "true" : "false");
    FFAI__TRY(put_vocabulary(w));
    FFAI__TRY(put_merges(w));
    ffai__buffer_text(&w->json, "}");
    return FFAI_OK;
}

/* ---- the post-processor: what is put around a text ---- */

typedef struct {
    bool present;
    int64_t id;
    ffai__gguf_text text;
} edge_token;

static ffai_status read_edge(edge_token *edge, const writer *w, const char *flag, const char *id_key, bool fallback)
{
    edge->present = fallback;
    edge->id = -1;
    FFAI__TRY(ffai__gguf_get_bool(&edge->present, w->file, flag, w->err));
    if (!edge->present)
        return FFAI_OK;
    FFAI__TRY(ffai__gguf_get_int(&edge->id, w->file, id_key, 0, INT32_MAX, w->err));
    edge->present = edge->id >= 0;
    return edge->present ? ffai__gguf_token(&edge->text, w->file, edge->id, id_key, w->err) : FFAI_OK;
}

static ffai_status put_piece(writer *w, const edge_token *edge, int type_id)
{
    ffai__buffer_text(&w->json, "{\"SpecialToken\":{\"id\":");
    FFAI__TRY(put_text(w, &edge->text, "tokenizer.ggml.tokens", (uint64_t)edge->id));
    ffai__buffer_format(&w->json, ",\"type_id\":%d}}", type_id);
    return FFAI_OK;
}

static ffai_status put_sequence(writer *w, const edge_token *bos, const edge_token *eos, int type_id)
{
    if (bos->present) {
        FFAI__TRY(put_piece(w, bos, type_id));
        ffai__buffer_text(&w->json, ",");
    }
    ffai__buffer_format(&w->json, "{\"Sequence\":{\"id\":\"%c\",\"type_id\":%d}}", 'A' + type_id, type_id);
    if (eos->present) {
        ffai__buffer_text(&w->json, ",");
        FFAI__TRY(put_piece(w, eos, type_id));
    }
    return FFAI_OK;
}

static ffai_status put_special(writer *w, const edge_token *edge)
{
    FFAI__TRY(put_text(w, &edge->text, "tokenizer.ggml.tokens", (uint64_t)edge->id));
    ffai__buffer_text(&w->json, ":{\"id\":");
    FFAI__TRY(put_text(w, &edge->text, "tokenizer.ggml.tokens", (uint64_t)edge->id));
    ffai__buffer_format(&w->json, ",\"ids\":[%lld],\"tokens\":[", (long long)edge->id);
    FFAI__TRY(put_text(w, &edge->text, "tokenizer.ggml.tokens", (uint64_t)edge->id));
    ffai__buffer_text(&w->json, "]}");
    return FFAI_OK;
}

static ffai_status put_template(writer *w, const edge_token *bos, const edge_token *eos)
{
    ffai__buffer_text(&w->json, "{\"type\":\"TemplateProcessing\",\"single\":[");
    FFAI__TRY(put_sequence(w, bos, eos, 0));
    ffai__buffer_text(&w->json, "],\"pair\":[");
    FFAI__TRY(put_sequence(w, bos, eos, 0));
    ffai__buffer_text(&w->json, ",");
    FFAI__TRY(put_sequence(w, bos, eos, 1));
    ffai__buffer_text(&w->json, "],\"special_tokens\":{");
    if (bos->present)
        FFAI__TRY(put_special(w, bos));
    if (eos->present && !(bos->present && bos->id == eos->id)) {
        ffai__buffer_text(&w->json, bos->present ? "," : "");
        FFAI__TRY(put_special(w, eos));
    }
    ffai__buffer_text(&w->json, "}}");
    return FFAI_OK;
}

static ffai_status put_post_processor(writer *w)
{
    edge_token bos = {false, -1, {"", 0}};
    edge_token eos = {false, -1, {"", 0}};
    const char *own = w->pre->post_processor;
    FFAI__TRY(read_edge(&bos, w, "tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", w->pre->adds_bos));
    FFAI__TRY(read_edge(&eos, w, "tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id", false));
    ffai__buffer_text(&w->json, "\"post_processor\":");
    if (!bos.present && !eos.present) {
        ffai__buffer_format(&w->json, "%s,", own ? own : "null");
        return FFAI_OK;
    }
    if (own)
        ffai__buffer_format(&w->json, "{\"type\":\"Sequence\",\"processors\":[%s,", own);
    FFAI__TRY(put_template(w, &bos, &eos));
    ffai__buffer_text(&w->json, own ? "]}," : ",");
    return FFAI_OK;
}

/* ---- the whole ---- */

static ffai_status find_fields(writer *w)
{
    const char *type_key = "tokenizer.ggml.token_type";
    FFAI__TRY(ffai__gguf_get_array(&w->tokens, w->file, "tokenizer.ggml.tokens", FFAI__GGUF_STRING, w->err));
    FFAI__TRY(ffai__gguf_get_array(&w->merges, w->file, "tokenizer.ggml.merges", FFAI__GGUF_STRING, w->err));
    FFAI__TRY(ffai__gguf_get_array(&w->types, w->file, type_key, FFAI__GGUF_I32, w->err));
    if (!w->tokens)
        return ffai__fail(w->err, FFAI_E_NOT_FOUND, "%s: has no tokenizer: key \"tokenizer.ggml.tokens\" is missing",
                          w->file->what);
    if (w->types && w->types->count != w->tokens->count)
        return ffai__fail(w->err, FFAI_E_FORMAT, "%s: key \"%s\": has %llu entries for %llu tokens", w->file->what,
                          type_key, (unsigned long long)w->types->count, (unsigned long long)w->tokens->count);
    return FFAI_OK;
}

/* Hugging Face keeps added tokens behind the model's vocabulary out of it, those within it in both. */
static void find_added(writer *w)
{
    w->added_from = w->tokens->count;
    while (w->added_from > 0) {
        const int64_t type = type_of(w, w->added_from - 1);
        if (!is_added(type) && type != TYPE_UNUSED)
            return;
        w->added_from--;
    }
}

static ffai_status write_tokenizer(writer *w)
{
    FFAI__TRY(find_fields(w));
    FFAI__TRY(ffai__gguf_pre_tokenizer_of(&w->pre, w->file, w->err));
    find_added(w);
    ffai__buffer_text(&w->json, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,");
    FFAI__TRY(put_added_tokens(w));
    ffai__buffer_format(&w->json, "\"normalizer\":%s,\"pre_tokenizer\":%s,", w->pre->normalizer, w->pre->pre_tokenizer);
    FFAI__TRY(put_post_processor(w));
    ffai__buffer_format(&w->json, "\"decoder\":%s,", w->pre->decoder);
    FFAI__TRY(put_model(w));
    ffai__buffer_text(&w->json, "}");
    return FFAI_OK;
}

ffai_status ffai__gguf_tokenizer_json(char **json, size_t *size, const ffai__gguf *file, ffai_error *err)
{
    writer w = {.json = FFAI__BUFFER_INIT, .file = file, .err = err};
    ffai_status status = write_tokenizer(&w);
    if (status == FFAI_OK) {
        *json = ffai__buffer_take(&w.json, size);
        if (!*json)
            status = ffai__fail_memory(err, "tokenizer.json", w.json.size);
    }
    ffai__buffer_free(&w.json);
    return status;
}

ffai_status ffai__gguf_token(ffai__gguf_text *out, const ffai__gguf *file, int64_t id, const char *key, ffai_error *err)
{
    const ffai__gguf_field *tokens = NULL;
    FFAI__TRY(ffai__gguf_get_array(&tokens, file, "tokenizer.ggml.tokens", FFAI__GGUF_STRING, err));
    if (!tokens || id < 0 || (uint64_t)id >= tokens->count)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: key \"%s\": there is no token %lld", file->what, key, (long long)id);
    const uint8_t *at = tokens->data;
    for (int64_t i = 0; i <= id; i++)
        *out = ffai__gguf_next_text(&at, tokens);
    return FFAI_OK;
}
