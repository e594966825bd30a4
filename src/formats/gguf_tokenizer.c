/* tokenizer.json, rebuilt from a GGUF file's tokens, merges or scores, token types and the name of its pre-tokenizer.
 */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "gguf_documents.h"
#include "gguf_pre_tokenizer.h"
#include "gguf_scores.h"
#include "utf8.h"

typedef struct {
    ffai__buffer json;
    const ffai__gguf *file;
    const ffai__gguf_pre_tokenizer *pre;
    const ffai__gguf_field *types; /* NULL: all normal */
    ffai__tokenizer_lists lists;   /* tokens, those that are not in the model's vocabulary too, without unused ones */
    size_t added_from;             /* ids from here on are added tokens only, and not in the model's vocabulary */
    bool apart;                    /* the lists are handed out, rather than written */
    ffai_error *err;
} writer;

static bool is_special(int64_t type)
{
    return type == FFAI__GGUF_TOKEN_CONTROL || type == FFAI__GGUF_TOKEN_UNKNOWN;
}

static bool is_added(int64_t type)
{
    return is_special(type) || type == FFAI__GGUF_TOKEN_USER_DEFINED;
}

static int64_t type_of(const writer *w, uint64_t id)
{
    return w->types ? ffai__gguf_element_int(w->types, id) : FFAI__GGUF_TOKEN_NORMAL;
}

/* Bytes from the start that JSON takes as they are. */
static size_t plain_bytes(const unsigned char *bytes, size_t size)
{
    size_t i = 0;
    while (i < size && bytes[i] >= 0x20 && bytes[i] != '"' && bytes[i] != '\\')
        i++;
    return i;
}

/* UTF-8 without a 0, which few JSON readers take in a key. */
static bool is_text(const ffai__text *text)
{
    return ffai__utf8_valid(text->data, text->size) && !memchr(text->data, 0, text->size);
}

/* Append text as a JSON string; false if it is none. */
static bool append_string(ffai__buffer *json, const ffai__text *text)
{
    const unsigned char *bytes = (const unsigned char *)text->data;
    if (!is_text(text))
        return false;
    ffai__buffer_append(json, "\"", 1);
    for (size_t i = 0; i < text->size; i++) {
        const size_t plain = plain_bytes(bytes + i, text->size - i);
        ffai__buffer_append(json, bytes + i, plain);
        i += plain;
        if (i == text->size)
            break;
        if (bytes[i] < 0x20)
            ffai__buffer_format(json, "\\u%04x", bytes[i]);
        else
            ffai__buffer_append(json, (const char[]){'\\', (char)bytes[i]}, 2);
    }
    ffai__buffer_append(json, "\"", 1);
    return true;
}

static ffai_status not_utf8(const writer *w, const char *key, uint64_t index)
{
    return ffai__fail(w->err, FFAI_E_FORMAT, "%s: key \"%s\": entry %llu is not valid UTF-8", w->file->what, key,
                      (unsigned long long)index);
}

static ffai_status put_text(writer *w, const ffai__text *text, const char *key, uint64_t index)
{
    return append_string(&w->json, text) ? FFAI_OK : not_utf8(w, key, index);
}

static void put_separator(writer *w, bool *first)
{
    if (!*first)
        ffai__buffer_text(&w->json, ",");
    *first = false;
}

/* ---- the lists ---- */

static ffai_status read_list(ffai__text **list, const writer *w, const ffai__gguf_field *field, const char *key)
{
    const uint8_t *at = field->data;
    *list = ffai__array((size_t)field->count, sizeof **list);
    if (!*list)
        return ffai__fail_memory(w->err, key, field->count * sizeof **list);
    for (uint64_t i = 0; i < field->count; i++)
        (*list)[i] = ffai__gguf_next_text(&at, field);
    return FFAI_OK;
}

static ffai_status check_texts(const writer *w, const ffai__text *list, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].data && !is_text(&list[i]))
            return not_utf8(w, key, i);
    }
    return FFAI_OK;
}

/* seen has tokens from some id on; token id is none of them, and joins them if it is not before. */
static ffai_status check_new(ffai__string_map *seen, const writer *w, size_t id, bool joins)
{
    const ffai__text *token = &w->lists.tokens[id];
    uint64_t other = 0;
    if (!token->data)
        return FFAI_OK;
    if (ffai__string_map_get(seen, token->data, token->size, &other))
        return ffai__fail(w->err, FFAI_E_FORMAT, "%s: key \"tokenizer.ggml.tokens\": entries %llu and %llu are equal",
                          w->file->what, (unsigned long long)(other < id ? other : id),
                          (unsigned long long)(other < id ? id : other));
    if (joins && ffai__string_map_add(seen, token->data, token->size, id) == FFAI__MAP_NO_MEMORY)
        return ffai__fail_memory(w->err, "the vocabulary", w->lists.num_tokens);
    return FFAI_OK;
}

/* Tokens from id `from` on differ from each other and from all before them. */
static ffai_status check_differ(const writer *w, size_t from)
{
    ffai__string_map *seen = ffai__string_map_new(w->lists.num_tokens - from);
    if (!seen)
        return ffai__fail_memory(w->err, "the vocabulary", w->lists.num_tokens);
    ffai_status status = FFAI_OK;
    for (size_t id = from; id < w->lists.num_tokens && status == FFAI_OK; id++)
        status = check_new(seen, w, id, true);
    for (size_t id = 0; id < from && ffai__string_map_size(seen) && status == FFAI_OK; id++)
        status = check_new(seen, w, id, false);
    ffai__string_map_free(seen);
    return status;
}

/* Hugging Face keeps added tokens behind the model's vocabulary out of it, those within it in both. Their ids follow on
 * from the number of its tokens, so where unused tokens leave a gap in the ids, all are in both. */
static size_t find_added(const writer *w)
{
    size_t end = w->lists.num_tokens;
    while (end > 0 && type_of(w, end - 1) == FFAI__GGUF_TOKEN_UNUSED)
        end--;
    size_t from = end;
    while (from > 0 && is_added(type_of(w, from - 1)))
        from--;
    for (size_t id = 0; id < from; id++) {
        if (type_of(w, id) == FFAI__GGUF_TOKEN_UNUSED)
            return end;
    }
    return w->pre->by_scores ? end : from; /* SentencePiece has no others */
}

static ffai_status read_tokens(writer *w, const ffai__gguf_field *tokens)
{
    const char *key = "tokenizer.ggml.tokens";
    FFAI__TRY(read_list(&w->lists.tokens, w, tokens, key));
    w->lists.num_tokens = (size_t)tokens->count;
    for (size_t id = 0; id < w->lists.num_tokens; id++) {
        if (type_of(w, id) == FFAI__GGUF_TOKEN_UNUSED)
            w->lists.tokens[id] = (ffai__text){NULL, 0};
    }
    w->added_from = find_added(w);
    FFAI__TRY(check_texts(w, w->lists.tokens, w->lists.num_tokens, key));
    /* The reader of a list looks itself whether its tokens differ. */
    return check_differ(w, w->apart ? w->added_from : 0);
}

static ffai_status read_types(writer *w, uint64_t tokens)
{
    const char *key = "tokenizer.ggml.token_type";
    FFAI__TRY(ffai__gguf_get_array(&w->types, w->file, key, FFAI__GGUF_I32, w->err));
    if (!w->types)
        return w->pre->by_scores ? ffai__fail(w->err, FFAI_E_FORMAT,
                                              "%s: key \"%s\" is missing: a tokenizer of the model llama needs it",
                                              w->file->what, key)
                                 : FFAI_OK;
    if (w->types->count != tokens)
        return ffai__fail(w->err, FFAI_E_FORMAT, "%s: key \"%s\": has %llu entries for %llu tokens", w->file->what, key,
                          (unsigned long long)w->types->count, (unsigned long long)tokens);
    for (uint64_t id = 0; id < tokens; id++) {
        const int64_t type = type_of(w, id);
        if (type < FFAI__GGUF_TOKEN_UNDEFINED || type > FFAI__GGUF_TOKEN_BYTE)
            return ffai__fail(w->err, FFAI_E_FORMAT, "%s: key \"%s\": entry %llu is %lld, not from 0 to 6",
                              w->file->what, key, (unsigned long long)id, (long long)type);
    }
    return FFAI_OK;
}

static ffai_status read_merges(writer *w)
{
    const char *key = "tokenizer.ggml.merges";
    const ffai__gguf_field *merges = NULL;
    FFAI__TRY(ffai__gguf_get_array(&merges, w->file, key, FFAI__GGUF_STRING, w->err));
    if (!merges)
        return FFAI_OK;
    FFAI__TRY(read_list(&w->lists.merges, w, merges, key));
    w->lists.num_merges = (size_t)merges->count;
    return check_texts(w, w->lists.merges, w->lists.num_merges, key);
}

static ffai_status read_lists(writer *w)
{
    const ffai__gguf_field *tokens = NULL;
    FFAI__TRY(ffai__gguf_get_array(&tokens, w->file, "tokenizer.ggml.tokens", FFAI__GGUF_STRING, w->err));
    FFAI__TRY(read_types(w, tokens->count));
    FFAI__TRY(read_tokens(w, tokens));
    return w->pre->by_scores ? ffai__gguf_read_ranks(&w->lists, w->file, w->types, w->err) : read_merges(w);
}

/* ---- sections ---- */

static ffai_status put_added_tokens(writer *w)
{
    bool first = true;
    ffai__buffer_text(&w->json, "\"added_tokens\":[");
    for (size_t id = 0; id < w->lists.num_tokens; id++) {
        const int64_t type = type_of(w, id);
        if (!is_added(type))
            continue;
        put_separator(w, &first);
        ffai__buffer_format(&w->json, "{\"id\":%zu,\"content\":", id);
        FFAI__TRY(put_text(w, &w->lists.tokens[id], "tokenizer.ggml.tokens", id));
        ffai__buffer_format(&w->json,
                            ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
                            "\"special\":%s}",
                            is_special(type) ? "true" : "false");
    }
    ffai__buffer_text(&w->json, "],");
    return FFAI_OK;
}

static ffai_status put_vocabulary(writer *w)
{
    bool first = true;
    ffai__buffer_text(&w->json, "\"vocab\":{");
    for (size_t id = 0; id < w->added_from && !w->apart; id++) {
        if (!w->lists.tokens[id].data)
            continue;
        put_separator(w, &first);
        FFAI__TRY(put_text(w, &w->lists.tokens[id], "tokenizer.ggml.tokens", id));
        ffai__buffer_format(&w->json, ":%zu", id);
    }
    ffai__buffer_text(&w->json, "},");
    return FFAI_OK;
}

static ffai_status put_pairs(writer *w, const ffai__gguf_merge *merges, size_t count)
{
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        put_separator(w, &first);
        ffai__buffer_text(&w->json, "[");
        FFAI__TRY(put_text(w, &merges[i].left, "tokenizer.ggml.tokens", merges[i].joined));
        ffai__buffer_text(&w->json, ",");
        FFAI__TRY(put_text(w, &merges[i].right, "tokenizer.ggml.tokens", merges[i].joined));
        ffai__buffer_text(&w->json, "]");
    }
    return FFAI_OK;
}

/* What scores amount to, from the tokens that are in the vocabulary. */
static ffai_status put_derived_merges(writer *w)
{
    ffai__gguf_merge *merges = NULL;
    size_t count = 0;
    ffai__tokenizer_lists lists = w->lists;
    lists.num_tokens = w->added_from;
    FFAI__TRY(ffai__gguf_derive_merges(&merges, &count, &lists, w->file->what, w->err));
    const ffai_status status = put_pairs(w, merges, count);
    ffai__free(merges);
    return status;
}

static ffai_status put_merges(writer *w)
{
    bool first = true;
    ffai__buffer_text(&w->json, "\"merges\":[");
    if (w->pre->by_scores && !w->apart)
        FFAI__TRY(put_derived_merges(w));
    for (size_t i = 0; i < w->lists.num_merges && !w->apart; i++) {
        put_separator(w, &first);
        FFAI__TRY(put_text(w, &w->lists.merges[i], "tokenizer.ggml.merges", i));
    }
    ffai__buffer_text(&w->json, "]");
    return FFAI_OK;
}

/* The token for what has no other, and no bytes either: only a SentencePiece vocabulary has one. */
static ffai_status put_unknown_token(writer *w)
{
    int64_t id = -1;
    ffai__text token = {NULL, 0};
    ffai__buffer_text(&w->json, "\"unk_token\":");
    FFAI__TRY(ffai__gguf_get_int(&id, w->file, "tokenizer.ggml.unknown_token_id", 0, INT32_MAX, w->err));
    for (size_t i = 0; id < 0 && i < w->lists.num_tokens; i++) {
        if (type_of(w, i) == FFAI__GGUF_TOKEN_UNKNOWN)
            id = (int64_t)i;
    }
    if (w->pre->by_scores && id >= 0)
        FFAI__TRY(ffai__gguf_token(&token, w->file, id, "tokenizer.ggml.unknown_token_id", w->err));
    if (token.data)
        FFAI__TRY(put_text(w, &token, "tokenizer.ggml.tokens", (uint64_t)id));
    ffai__buffer_text(&w->json, token.data ? "," : "null,");
    return FFAI_OK;
}

static ffai_status put_model(writer *w)
{
    const char *affix = w->pre->affixes;
    const char *by_scores = w->pre->by_scores ? "true" : "false";
    ffai__buffer_text(&w->json, "\"model\":{\"type\":\"BPE\",\"dropout\":null,");
    FFAI__TRY(put_unknown_token(w));
    ffai__buffer_format(&w->json,
                        "\"continuing_subword_prefix\":%s,\"end_of_word_suffix\":%s,\"fuse_unk\":%s,"
                        "\"byte_fallback\":%s,\"ignore_merges\":%s,",
                        affix, affix, by_scores, by_scores, w->pre->ignore_merges ? "true" : "false");
    FFAI__TRY(put_vocabulary(w));
    FFAI__TRY(put_merges(w));
    ffai__buffer_text(&w->json, "}");
    return FFAI_OK;
}

/* ---- the post-processor: what is put around a text ---- */

typedef struct {
    bool present;
    int64_t id;
    ffai__text text;
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

static ffai_status write_tokenizer(writer *w)
{
    if (!ffai__gguf_find(w->file, "tokenizer.ggml.tokens"))
        return ffai__fail(w->err, FFAI_E_NOT_FOUND, "%s: has no tokenizer: key \"tokenizer.ggml.tokens\" is missing",
                          w->file->what);
    FFAI__TRY(ffai__gguf_pre_tokenizer_of(&w->pre, w->file, w->err));
    FFAI__TRY(read_lists(w));
    ffai__buffer_text(&w->json, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,");
    FFAI__TRY(put_added_tokens(w));
    ffai__buffer_format(&w->json, "\"normalizer\":%s,\"pre_tokenizer\":%s,", w->pre->normalizer, w->pre->pre_tokenizer);
    FFAI__TRY(put_post_processor(w));
    ffai__buffer_format(&w->json, "\"decoder\":%s,", w->pre->decoder);
    FFAI__TRY(put_model(w));
    ffai__buffer_text(&w->json, "}");
    return FFAI_OK;
}

/* The model's own tokens are those before the added ones. */
static void hand_out(ffai__tokenizer_lists *lists, writer *w)
{
    *lists = w->lists;
    lists->num_tokens = w->added_from;
    w->lists = (ffai__tokenizer_lists){NULL, 0, NULL, 0, NULL};
}

ffai_status ffai__gguf_tokenizer_json(char **json, size_t *size, ffai__tokenizer_lists *lists, const ffai__gguf *file,
                                      ffai_error *err)
{
    writer w = {.json = FFAI__BUFFER_INIT, .file = file, .apart = lists != NULL, .err = err};
    ffai_status status = write_tokenizer(&w);
    if (status == FFAI_OK) {
        *json = ffai__buffer_take(&w.json, size);
        if (!*json)
            status = ffai__fail_memory(err, "tokenizer.json", w.json.size);
    }
    if (status == FFAI_OK && lists)
        hand_out(lists, &w);
    ffai__tokenizer_lists_free(&w.lists);
    ffai__buffer_free(&w.json);
    return status;
}

ffai_status ffai__gguf_token(ffai__text *out, const ffai__gguf *file, int64_t id, const char *key, ffai_error *err)
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
