#include "tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "byte_level.h"
#include "component.h"
#include "tokenizer_parts.h"
#include "utf8.h"

enum { FILE_SIZE_MAX = 256 << 20, TEXT_SIZE_MAX = 1 << 30 };

static ffai_status read_vocabulary(ffai__vocabulary *v, const json_t *model, const ffai__tokenizer_lists *lists,
                                   const char *place, ffai_error *err)
{
    if (lists)
        return ffai__vocabulary_build(v, lists->tokens, lists->num_tokens, place, err);
    return ffai__vocabulary_parse(v, ffai__json_field(model, "vocab"), place, err);
}

/* What a tokenizer is made of. */
typedef struct {
    const json_t *root;
    const ffai__tokenizer_lists *lists; /* or NULL */
    const ffai__compiled *compiled;     /* or NULL */
    const char *what;                   /* names it in errors */
} sources;

static ffai_status parse_model(ffai_tokenizer *t, const sources *from, ffai_error *err)
{
    char place[FFAI__PLACE_SIZE];
    snprintf(place, sizeof place, "%s: model", from->what);
    const json_t *model = ffai__json_field(from->root, "model");
    const ffai__compiled *compiled = from->compiled;
    if (!json_is_object(model))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: must be an object", place);
    const char *type = NULL;
    FFAI__TRY(ffai__json_get_string(&type, model, "type", place, err));
    if (compiled) {
        FFAI__TRY(ffai__vocabulary_restore(&t->vocabulary, &compiled->vocabulary, compiled->texts_size, err));
        return ffai__bpe_restore(&t->bpe, model, &compiled->bpe, &t->vocabulary, place, err);
    }
    /* Old files of BPE models have no type; the merges give them away. */
    if (type ? strcmp(type, "BPE") != 0 : !ffai__json_field(model, "merges"))
        return ffai__component_unsupported(type ? type : "", place, err);
    FFAI__TRY(read_vocabulary(&t->vocabulary, model, from->lists, place, err));
    return ffai__bpe_parse(&t->bpe, model, from->lists, &t->vocabulary, place, err);
}

static ffai_status read_added_tokens(ffai_tokenizer *t, const sources *from, const char *place, ffai_error *err)
{
    if (from->compiled)
        return ffai__added_tokens_restore(&t->added, &from->compiled->added_tokens, &t->vocabulary, t->normalizer,
                                          place, err);
    return ffai__added_tokens_parse(&t->added, ffai__json_field(from->root, "added_tokens"), &t->vocabulary,
                                    t->normalizer, place, err);
}

static ffai_status parse_parts(ffai_tokenizer *t, const sources *from, ffai_error *err)
{
    const json_t *root = from->root;
    const char *what = from->what;
    char place[FFAI__PLACE_SIZE];
    snprintf(place, sizeof place, "%s: normalizer", what);
    FFAI__TRY(ffai__normalizer_parse(&t->normalizer, ffai__json_field(root, "normalizer"), place, err));
    snprintf(place, sizeof place, "%s: pre_tokenizer", what);
    FFAI__TRY(ffai__pre_tokenizer_parse(&t->pre_tokenizer, ffai__json_field(root, "pre_tokenizer"), place, err));
    snprintf(place, sizeof place, "%s: decoder", what);
    FFAI__TRY(ffai__decoder_parse(&t->decoder, ffai__json_field(root, "decoder"), place, err));
    FFAI__TRY(parse_model(t, from, err));
    snprintf(place, sizeof place, "%s: added_tokens", what);
    FFAI__TRY(read_added_tokens(t, from, place, err));
    snprintf(place, sizeof place, "%s: post_processor", what);
    return ffai__post_processor_parse(&t->post_processor, ffai__json_field(root, "post_processor"), &t->vocabulary,
                                      place, err);
}

static ffai_status parse_root(ffai_tokenizer **out, const sources *from, ffai_error *err)
{
    const json_t *root = from->root;
    const char *what = from->what;
    if (!json_is_object(root))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: must be an object", what);
    const char *version = "1.0";
    FFAI__TRY(ffai__json_get_string(&version, root, "version", what, err));
    if (strcmp(version, "1.0") != 0)
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: field \"version\": \"%.100s\" is not 1.0", what, version);
    ffai_tokenizer *t = ffai__calloc(1, sizeof *t);
    if (!t)
        return ffai__fail_memory(err, "a tokenizer", sizeof *t);
    ffai_status status = ffai__word_caches_create(&t->caches, err);
    if (status == FFAI_OK)
        status = parse_parts(t, from, err);
    if (status != FFAI_OK) {
        ffai_tokenizer_free(t);
        return status;
    }
    *out = t;
    return FFAI_OK;
}

ffai_status ffai__tokenizer_parse(ffai_tokenizer **out, const char *json, size_t size,
                                  const ffai__tokenizer_lists *lists, const char *what, ffai_error *err)
{
    json_t *root = NULL;
    FFAI__TRY(ffai__json_parse(&root, json, size, what, err));
    const sources from = {.root = root, .lists = lists && lists->tokens ? lists : NULL, .what = what};
    const ffai_status status = parse_root(out, &from, err);
    json_decref(root);
    return status;
}

ffai_status ffai__tokenizer_read(ffai_tokenizer **out, const char *path, ffai_error *err)
{
    json_t *root = NULL;
    FFAI__TRY(ffai__json_read(&root, path, FILE_SIZE_MAX, err));
    const ffai_status status = parse_root(out, &(sources){.root = root, .what = path}, err);
    json_decref(root);
    return status;
}

ffai_status ffai__tokenizer_compile(ffai_tokenizer **out, ffai__buffer *compiled, const char *path,
                                    const ffai__compiled_source *source, ffai_error *err)
{
    json_t *root = NULL;
    FFAI__TRY(ffai__json_read(&root, path, FILE_SIZE_MAX, err));
    const ffai_status status = parse_root(out, &(sources){.root = root, .what = path}, err);
    if (status == FFAI_OK && ffai__compiled_write(compiled, *out, root, source, NULL) != FFAI_OK)
        compiled->size = 0;
    json_decref(root);
    return status;
}

static ffai_status parse_compiled(ffai_tokenizer **out, const ffai__compiled *compiled, const char *path,
                                  ffai_error *err)
{
    json_t *root = NULL;
    FFAI__TRY(ffai__json_parse(&root, compiled->json, compiled->json_size, path, err));
    const ffai_status status = parse_root(out, &(sources){.root = root, .compiled = compiled, .what = path}, err);
    json_decref(root);
    return status;
}

ffai_status ffai__tokenizer_open_compiled(ffai_tokenizer **out, const char *path, const ffai__compiled_source *source,
                                          ffai_error *err)
{
    ffai__file_map *file = NULL;
    ffai__compiled compiled;
    FFAI__TRY(ffai__file_map_open(&file, path, err));
    ffai_status status = ffai__compiled_read(&compiled, file, source, err);
    if (status == FFAI_OK)
        status = parse_compiled(out, &compiled, path, err);
    if (status == FFAI_OK)
        (*out)->compiled = file;
    else
        ffai__file_map_close(file);
    return status;
}

void ffai_tokenizer_free(ffai_tokenizer *t)
{
    if (!t)
        return;
    ffai__post_processor_free(t->post_processor);
    ffai__added_tokens_free(&t->added);
    ffai__bpe_free(&t->bpe);
    ffai__vocabulary_free(&t->vocabulary);
    ffai__decoder_free(t->decoder);
    ffai__pre_tokenizer_free(t->pre_tokenizer);
    ffai__normalizer_free(t->normalizer);
    ffai__word_caches_free(t->caches);
    ffai__file_map_close(t->compiled);
    ffai__free(t);
}

int32_t ffai_tokenizer_vocab_size(const ffai_tokenizer *t)
{
    return (int32_t)t->vocabulary.count;
}

int32_t ffai_tokenizer_find(const ffai_tokenizer *t, const char *content)
{
    const size_t size = strlen(content);
    const ffai__added_token *added = ffai__added_tokens_find(&t->added, content, size);
    if (added)
        return (int32_t)added->id;
    const uint32_t id = ffai__vocabulary_find(&t->vocabulary, content, size);
    return id == FFAI__NO_TOKEN ? -1 : (int32_t)id;
}

const char *ffai_tokenizer_token(const ffai_tokenizer *t, int32_t id)
{
    const ffai__token *token = ffai__vocabulary_token(&t->vocabulary, id);
    return token ? token->text : NULL;
}

bool ffai_tokenizer_is_special(const ffai_tokenizer *t, int32_t id)
{
    const ffai__token *token = ffai__vocabulary_token(&t->vocabulary, id);
    return token && token->added && t->added.tokens[token->added - 1].special;
}

const char *ffai__tokenizer_decoder_input(size_t *size, bool *skipped, const ffai_tokenizer *t, int32_t id)
{
    const ffai__token *token = ffai__vocabulary_token(&t->vocabulary, id);
    if (!token)
        return NULL;
    *size = token->size;
    *skipped = false;
    if (!token->added)
        return token->text;
    const ffai__added_token *added = &t->added.tokens[token->added - 1];
    *skipped = added->skipped;
    if (!added->decoded)
        return token->text;
    *size = added->decoded_size;
    return added->decoded;
}

/* All that one call of encode works with. */
typedef struct {
    const ffai_tokenizer *tokenizer;
    ffai__typed typed;
    ffai__budget budget;
    ffai__ids ids;
    ffai__piece text;       /* all of it */
    ffai__piece normalized; /* what lies between two added tokens, normalized */
    ffai__token_hits raw_hits, normalized_hits;
    ffai__normalizer_scratch normalizer;
    ffai__pre_tokenizer_run *pre_tokenizer;
    ffai__word_cache *cache;
    bool words_are_bytes;  /* to be spelled before the model takes them */
    ffai__buffer spelling; /* of such a word */
    ffai__bpe_scratch bpe;
} encoder;

/* A word that is not in the cache. */
static ffai_status encode_word(encoder *e, const char *word, size_t size, ffai_error *err)
{
    const char *text = word;
    size_t text_size = size;
    if (e->words_are_bytes) {
        e->spelling.size = 0;
        ffai__byte_level_spell(&e->spelling, word, size);
        if (e->spelling.failed)
            return ffai__fail_memory(err, "a word", size);
        text = e->spelling.data;
        text_size = e->spelling.size;
    }
    const size_t before = e->ids.count;
    FFAI__TRY(ffai__bpe_encode(&e->ids, &e->tokenizer->bpe, &e->bpe, text, text_size, &e->budget, err));
    const size_t count = e->ids.count - before;
    ffai__word_cache_put(e->cache, word, size, count ? e->ids.data + before : NULL, count);
    return FFAI_OK;
}

static ffai_status take_part(encoder *e, const char *word, size_t size, ffai_error *err)
{
    const ffai__cached_word *known = ffai__word_cache_find(e->cache, word, size);
    if (!known)
        return encode_word(e, word, size, err);
    FFAI__TRY(ffai__ids_reserve(&e->ids, FFAI__CACHED_IDS, err));
    memcpy(e->ids.data + e->ids.count, known->ids,
           sizeof known->ids); /* all of them: the count is seldom known before */
    e->ids.count += known->count;
    return FFAI_OK;
}

static ffai_status take_word(void *context, const char *word, size_t size, ffai_error *err)
{
    encoder *e = context;
    for (size_t at = 0; at < size;) {
        const size_t end = ffai__bpe_part(&e->tokenizer->bpe, word, size, at);
        FFAI__TRY(take_part(e, word + at, end - at, err));
        at = end;
    }
    return FFAI_OK;
}

static ffai__piece slice(const ffai__piece *text, size_t start, size_t end)
{
    return (ffai__piece){text->data + start, end - start, text->at_start > start ? text->at_start - start : 0};
}

static ffai_status take_normalized(void *context, ffai__stretch stretch, ffai_error *err)
{
    encoder *e = context;
    if (stretch.id >= 0)
        return ffai__ids_append(&e->ids, stretch.id, err);
    const ffai__piece piece = slice(&e->normalized, stretch.start, stretch.end);
    return ffai__pre_tokenizer_run_text(e->pre_tokenizer, &piece, err);
}

static ffai_status take_raw(void *context, ffai__stretch stretch, ffai_error *err)
{
    encoder *e = context;
    if (stretch.id >= 0)
        return ffai__ids_append(&e->ids, stretch.id, err);
    e->normalized = slice(&e->text, stretch.start, stretch.end);
    FFAI__TRY(ffai__normalizer_apply(&e->normalized, e->tokenizer->normalizer, &e->normalizer, &e->budget, err));
    const ffai__added_tokens *added = &e->tokenizer->added;
    const ffai__typed typed = {.everywhere = ffai__is_typed(&e->typed, stretch.start, stretch.end)};
    return ffai__added_tokens_split(added, added->normalized, &e->normalized_hits, e->normalized.data,
                                    e->normalized.size, &typed, take_normalized, e, err);
}

static ffai_status run_encoder(ffai__ids *out, encoder *e, bool add_special_tokens, ffai_error *err)
{
    const ffai_tokenizer *t = e->tokenizer;
    FFAI__TRY(ffai__word_caches_take(&e->cache, t->caches, err));
    e->words_are_bytes = ffai__pre_tokenizer_ends_in_bytes(t->pre_tokenizer);
    FFAI__TRY(ffai__pre_tokenizer_run_create(&e->pre_tokenizer, t->pre_tokenizer, &e->budget, take_word, e, err));
    FFAI__TRY(ffai__added_tokens_split(&t->added, t->added.raw, &e->raw_hits, e->text.data, e->text.size, &e->typed,
                                       take_raw, e, err));
    return ffai__post_processor_apply(out, t->post_processor, &e->ids, add_special_tokens, err);
}

static void free_encoder(encoder *e)
{
    ffai__ids_free(&e->ids);
    ffai__token_hits_free(&e->raw_hits);
    ffai__token_hits_free(&e->normalized_hits);
    ffai__normalizer_scratch_free(&e->normalizer);
    ffai__pre_tokenizer_run_free(e->pre_tokenizer);
    ffai__buffer_free(&e->spelling);
    if (e->cache)
        ffai__word_caches_return(e->tokenizer->caches, e->cache);
    ffai__bpe_scratch_free(&e->bpe);
}

static ffai_status encode_valid(int32_t **ids, size_t *count, const ffai_tokenizer *t, const char *text, size_t size,
                                const ffai_encode_options *options, ffai_error *err)
{
    encoder e = {.tokenizer = t, .text = {text, size, 0}, .spelling = FFAI__BUFFER_INIT};
    e.typed = (ffai__typed){!options->parse_special, options->typed, options->num_typed};
    if (size > 0)
        ffai__utf8_get(text, &e.text.at_start);
    ffai__budget_start(&e.budget, size);
    ffai__ids out = {0};
    ffai_status status = run_encoder(&out, &e, options->add_special_tokens, err);
    free_encoder(&e);
    if (status == FFAI_OK && !out.data) {
        out.data = ffai__malloc(0);
        if (!out.data)
            status = ffai__fail_memory(err, "token ids", 0);
    }
    if (status != FFAI_OK) {
        ffai__ids_free(&out);
        return status;
    }
    *ids = out.data;
    *count = out.count;
    return FFAI_OK;
}

static ffai_status check_typed(const ffai_encode_options *options, size_t size, ffai_error *err)
{
    size_t least = 0;
    for (size_t i = 0; i < options->num_typed; i++) {
        const ffai_text_span *span = &options->typed[i];
        if (span->begin < least || span->end <= span->begin || span->end > size)
            return ffai__fail(err, FFAI_E_ARGUMENT, "typed: span %zu: must be in the text and behind the one before",
                              i + 1);
        least = span->end;
    }
    return FFAI_OK;
}

ffai_status ffai_tokenizer_encode(int32_t **ids, size_t *count, const ffai_tokenizer *t, const char *text, size_t size,
                                  const ffai_encode_options *options, ffai_error *err)
{
    const ffai_encode_options standard = FFAI_ENCODE_OPTIONS_INIT;
    if (!options)
        options = &standard;
    if (size > TEXT_SIZE_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "a text of %zu bytes, more than %d", size, TEXT_SIZE_MAX);
    FFAI__TRY(check_typed(options, size, err));
    if (t->compiled)
        FFAI__TRY(ffai__file_map_check(t->compiled, err));
    if (size == 0 || ffai__utf8_valid(text, size))
        return encode_valid(ids, count, t, size ? text : "", size, options, err);
    if (options->num_typed)
        return ffai__fail(err, FFAI_E_ARGUMENT, "typed: spans of a text that is not UTF-8");
    ffai__buffer repaired = FFAI__BUFFER_INIT;
    ffai__utf8_append_repaired(&repaired, text, size);
    const ffai_status status = repaired.failed
                                   ? ffai__fail_memory(err, "a text", size)
                                   : encode_valid(ids, count, t, repaired.data, repaired.size, options, err);
    ffai__buffer_free(&repaired);
    return status;
}

static ffai_status decode_all(ffai__buffer *out, ffai__decoder_run *run, const ffai_tokenizer *t, const int32_t *ids,
                              size_t count, bool skip_special_tokens, ffai_error *err)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        bool skipped = false;
        const char *token = ffai__tokenizer_decoder_input(&size, &skipped, t, ids[i]);
        if (!token)
            return ffai__fail(err, FFAI_E_ARGUMENT, "ids: entry %zu: %ld is not in the vocabulary", i + 1,
                              (long)ids[i]);
        if (!skipped || !skip_special_tokens)
            FFAI__TRY(ffai__decoder_run_token(out, run, token, size, err));
    }
    return ffai__decoder_run_finish(out, run, err);
}

ffai_status ffai_tokenizer_decode(char **text, size_t *size, const ffai_tokenizer *t, const int32_t *ids, size_t count,
                                  bool skip_special_tokens, ffai_error *err)
{
    ffai__decoder_run *run = NULL;
    FFAI__TRY(ffai__decoder_run_create(&run, t->decoder, err));
    ffai__buffer out = FFAI__BUFFER_INIT;
    ffai_status status = decode_all(&out, run, t, ids, count, skip_special_tokens, err);
    ffai__decoder_run_free(run);
    if (status != FFAI_OK) {
        ffai__buffer_free(&out);
        return status;
    }
    char *bytes = ffai__buffer_take(&out, size);
    if (!bytes)
        return ffai__fail_memory(err, "decoded text", 1);
    *text = bytes;
    return FFAI_OK;
}
