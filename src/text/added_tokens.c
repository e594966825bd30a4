#include "added_tokens.h"

#include <string.h>

#include "alloc.h"
#include "unicode.h"
#include "utf8.h"

static ffai_status parse_flags(ffai__added_token *token, const json_t *json, const char *place, ffai_error *err)
{
    token->normalized = true;
    FFAI__TRY(ffai__json_get_bool(&token->single_word, json, "single_word", place, err));
    FFAI__TRY(ffai__json_get_bool(&token->lstrip, json, "lstrip", place, err));
    FFAI__TRY(ffai__json_get_bool(&token->rstrip, json, "rstrip", place, err));
    FFAI__TRY(ffai__json_get_bool(&token->special, json, "special", place, err));
    token->normalized = !token->special;
    return ffai__json_get_bool(&token->normalized, json, "normalized", place, err);
}

/* What the token looks like in normalized text. */
static ffai_status normalize_content(ffai__added_token *token, const ffai__normalizer *normalizer, ffai_error *err)
{
    ffai__budget budget;
    ffai__normalizer_scratch scratch = {0};
    ffai__piece piece = {token->content, token->size, 0};
    ffai__budget_start(&budget, token->size);
    ffai_status status = ffai__normalizer_apply(&piece, normalizer, &scratch, &budget, err);
    const bool same = piece.size == token->size && memcmp(piece.data, token->content, piece.size) == 0;
    if (status == FFAI_OK && !same) {
        token->decoded = ffai__strndup(piece.data, piece.size);
        token->decoded_size = piece.size;
        if (!token->decoded)
            status = ffai__fail_memory(err, "an added token", piece.size);
    }
    ffai__normalizer_scratch_free(&scratch);
    return status;
}

/* The first id that no token of the model or before this one has, as Hugging Face counts. */
typedef struct {
    ffai__added_tokens *added;
    ffai__vocabulary *vocabulary;
    const ffai__normalizer *normalizer;
    const char *place;
    uint32_t next_id;
} reader;

static uint32_t choose_id(reader *r, const char *content, size_t size)
{
    const ffai__added_token *old = ffai__added_tokens_find(r->added, content, size);
    if (old)
        return old->id;
    const uint32_t id = ffai__vocabulary_find(r->vocabulary, content, size);
    return id != FFAI__NO_TOKEN ? id : r->next_id++;
}

static ffai_status register_token(reader *r, ffai__added_token *token, ffai_error *err)
{
    const size_t index = r->added->count - 1;
    token->id = choose_id(r, token->content, token->size);
    if (ffai__string_map_add(r->added->by_content, token->content, token->size, index) == FFAI__MAP_NO_MEMORY)
        return ffai__fail_memory(err, "an added token", token->size);
    return ffai__vocabulary_set_added(r->vocabulary, token->id, token->content, (uint32_t)token->size, (uint32_t)index,
                                      err);
}

/* The next token of the list, with its content; its flags are the caller's to set. */
static ffai_status begin_token(ffai__added_token **out, reader *r, const char *content, size_t size, ffai_error *err)
{
    ffai__added_token *token = &r->added->tokens[r->added->count++];
    token->size = size;
    token->content = ffai__strndup(content, size);
    *out = token;
    return token->content ? FFAI_OK : ffai__fail_memory(err, "an added token", size);
}

static ffai_status finish_token(reader *r, ffai__added_token *token, ffai_error *err)
{
    if (token->normalized)
        FFAI__TRY(normalize_content(token, r->normalizer, err));
    return register_token(r, token, err);
}

static ffai_status parse_token(reader *r, const json_t *json, size_t index, ffai_error *err)
{
    const json_t *content = ffai__json_field(json, "content");
    ffai__added_token *token = NULL;
    if (!json_is_string(content))
        return ffai__fail(err, FFAI_E_FORMAT, "%s[%zu]: field \"content\": must be a string", r->place, index);
    if (json_string_length(content) == 0)
        return FFAI_OK; /* Hugging Face passes over it */
    FFAI__TRY(begin_token(&token, r, json_string_value(content), json_string_length(content), err));
    ffai_status status = parse_flags(token, json, r->place, err);
    if (status == FFAI_OK)
        status = finish_token(r, token, err);
    return status == FFAI_OK ? status : ffai__fail_in(err, status, "%s[%zu]", r->place, index);
}

/* Hugging Face skips tokens whose decoded text is some special token's content. */
static void find_skipped(ffai__added_tokens *added, const ffai__string_map *specials)
{
    for (size_t i = 0; i < added->count; i++) {
        ffai__added_token *token = &added->tokens[i];
        uint64_t unused = 0;
        const char *text = token->decoded ? token->decoded : token->content;
        const size_t size = token->decoded ? token->decoded_size : token->size;
        token->skipped = ffai__string_map_get(specials, text, size, &unused);
        token->reserved = ffai__string_map_get(specials, token->content, token->size, &unused);
    }
}

static ffai_status mark_specials(ffai__added_tokens *added, ffai_error *err)
{
    ffai__string_map *specials = ffai__string_map_new(16);
    bool enough = specials != NULL;
    for (size_t i = 0; i < added->count && enough; i++) {
        const ffai__added_token *token = &added->tokens[i];
        enough =
            !token->special || ffai__string_map_add(specials, token->content, token->size, 0) != FFAI__MAP_NO_MEMORY;
    }
    if (enough)
        find_skipped(added, specials);
    ffai__string_map_free(specials);
    return enough ? FFAI_OK : ffai__fail_memory(err, "added tokens", 0);
}

/* A matcher of the tokens that are (not) normalized; only the last of those that share an id counts. */
static ffai_status create_matcher(ffai__token_matcher **out, const ffai__added_tokens *added,
                                  const ffai__vocabulary *vocabulary, bool normalized, ffai_error *err)
{
    ffai__token_text *texts = ffai__array(added->count, sizeof *texts);
    if (!texts)
        return ffai__fail_memory(err, "added tokens", added->count * sizeof *texts);
    size_t count = 0;
    for (size_t i = 0; i < added->count; i++) {
        const ffai__added_token *token = &added->tokens[i];
        const bool hidden = vocabulary->tokens[token->id].added != i + 1;
        const bool other = normalized && token->decoded;
        const ffai__token_text text = {other ? token->decoded : token->content,
                                       other ? token->decoded_size : token->size, (uint32_t)i};
        if (token->normalized == normalized && !hidden && text.size > 0)
            texts[count++] = text;
    }
    const ffai_status status = count ? ffai__token_matcher_create(out, texts, count, err) : FFAI_OK;
    ffai__free(texts);
    return status;
}

static ffai_status allocate(ffai__added_tokens *added, size_t count, ffai_error *err)
{
    added->tokens = ffai__calloc(count, sizeof *added->tokens);
    added->by_content = ffai__string_map_new(count);
    if (!added->tokens || !added->by_content)
        return ffai__fail_memory(err, "added tokens", count * sizeof *added->tokens);
    return FFAI_OK;
}

/* When all tokens are there. */
static ffai_status finish_list(const reader *r, ffai_error *err)
{
    FFAI__TRY(mark_specials(r->added, err));
    FFAI__TRY(create_matcher(&r->added->raw, r->added, r->vocabulary, false, err));
    return create_matcher(&r->added->normalized, r->added, r->vocabulary, true, err);
}

ffai_status ffai__added_tokens_parse(ffai__added_tokens *added, const json_t *json, ffai__vocabulary *vocabulary,
                                     const ffai__normalizer *normalizer, const char *place, ffai_error *err)
{
    if (json && !json_is_array(json))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: must be an array", place);
    const size_t count = json_array_size(json);
    FFAI__TRY(allocate(added, count, err));
    reader r = {added, vocabulary, normalizer, place, vocabulary->model_count};
    for (size_t i = 0; i < count; i++)
        FFAI__TRY(parse_token(&r, json_array_get(json, i), i, err));
    return finish_list(&r, err);
}

/* Before the content of each. */
typedef struct {
    uint32_t size;
    uint8_t single_word, lstrip, rstrip, normalized, special;
    uint8_t unused[3];
} written_token;

void ffai__added_tokens_write(ffai__buffer *out, const ffai__added_tokens *added)
{
    for (size_t i = 0; i < added->count; i++) {
        const ffai__added_token *token = &added->tokens[i];
        const written_token head = {(uint32_t)token->size,
                                    token->single_word,
                                    token->lstrip,
                                    token->rstrip,
                                    token->normalized,
                                    token->special,
                                    {0}};
        ffai__buffer_append(out, (const char *)&head, sizeof head);
        ffai__buffer_append(out, token->content, token->size);
    }
}

/* The token at *at, which goes on behind it; false if there is none. */
static bool next_written(written_token *head, const char **content, const ffai__text *written, size_t *at)
{
    if (written->size - *at < sizeof *head)
        return false;
    memcpy(head, written->data + *at, sizeof *head);
    *at += sizeof *head;
    if (head->size == 0 || head->size > written->size - *at)
        return false;
    *content = written->data + *at;
    *at += head->size;
    return true;
}

static ffai_status restore_token(reader *r, const written_token *head, const char *content, ffai_error *err)
{
    ffai__added_token *token = NULL;
    FFAI__TRY(begin_token(&token, r, content, head->size, err));
    token->single_word = head->single_word != 0;
    token->lstrip = head->lstrip != 0;
    token->rstrip = head->rstrip != 0;
    token->normalized = head->normalized != 0;
    token->special = head->special != 0;
    return finish_token(r, token, err);
}

ffai_status ffai__added_tokens_restore(ffai__added_tokens *added, const ffai__text *written,
                                       ffai__vocabulary *vocabulary, const ffai__normalizer *normalizer,
                                       const char *place, ffai_error *err)
{
    written_token head;
    const char *content = NULL;
    size_t count = 0;
    size_t at = 0;
    while (next_written(&head, &content, written, &at))
        count++;
    if (at != written->size)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: is cut off", place);
    FFAI__TRY(allocate(added, count, err));
    reader r = {added, vocabulary, normalizer, place, vocabulary->model_count};
    for (at = 0; next_written(&head, &content, written, &at);)
        FFAI__TRY(restore_token(&r, &head, content, err));
    return finish_list(&r, err);
}

void ffai__added_tokens_free(ffai__added_tokens *added)
{
    for (size_t i = 0; i < added->count; i++) {
        ffai__free(added->tokens[i].content);
        ffai__free(added->tokens[i].decoded);
    }
    ffai__free(added->tokens);
    ffai__string_map_free(added->by_content);
    ffai__token_matcher_free(added->raw);
    ffai__token_matcher_free(added->normalized);
    *added = (ffai__added_tokens){0};
}

const ffai__added_token *ffai__added_tokens_find(const ffai__added_tokens *added, const char *content, size_t size)
{
    uint64_t index = 0;
    return ffai__string_map_get(added->by_content, content, size, &index) ? &added->tokens[index] : NULL;
}

/* Whether the match stands alone: no word character on either side. */
static bool is_single_word(const char *text, size_t size, size_t start, size_t end)
{
    size_t unused = 0;
    if (start > 0) {
        const size_t last = ffai__utf8_last(text, start);
        if (ffai__is_word(ffai__utf8_get(text + start - last, &unused)))
            return false;
    }
    return end == size || !ffai__is_word(ffai__utf8_get(text + end, &unused));
}

/* Where the whitespace before `start` begins, but not before `least`. */
static size_t strip_left(const char *text, size_t start, size_t least)
{
    while (start > least) {
        size_t unused = 0;
        const size_t last = ffai__utf8_last(text, start);
        if (!ffai__is_whitespace(ffai__utf8_get(text + start - last, &unused)))
            break;
        start -= last;
    }
    return start > least ? start : least;
}

static size_t strip_right(const char *text, size_t size, size_t end)
{
    size_t step = 0;
    while (end < size && ffai__is_whitespace(ffai__utf8_get(text + end, &step)))
        end += step;
    return end;
}

bool ffai__is_typed(const ffai__typed *typed, size_t start, size_t end)
{
    size_t low = 0; /* spans that end at start or before */
    size_t high = typed->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (typed->spans[middle].end <= start)
            low = middle + 1;
        else
            high = middle;
    }
    return typed->everywhere || (low < typed->count && typed->spans[low].begin < end);
}

ffai_status ffai__added_tokens_split(const ffai__added_tokens *added, const ffai__token_matcher *matcher,
                                     ffai__token_hits *hits, const char *text, size_t size, const ffai__typed *typed,
                                     ffai__stretch_sink *sink, void *context, ffai_error *err)
{
    hits->count = 0;
    if (matcher)
        FFAI__TRY(ffai__token_matcher_find(hits, matcher, text, size, err));
    size_t done = 0;
    for (size_t i = 0; i < hits->count; i++) {
        const ffai__added_token *token = &added->tokens[hits->data[i].value];
        size_t start = hits->data[i].start;
        size_t end = start + hits->data[i].size;
        if (token->reserved && ffai__is_typed(typed, start, end))
            continue;
        if (token->single_word && !is_single_word(text, size, start, end))
            continue;
        if (token->lstrip)
            start = strip_left(text, start, done);
        if (token->rstrip)
            end = strip_right(text, size, end);
        if (done < start)
            FFAI__TRY(sink(context, (ffai__stretch){done, start, -1}, err));
        FFAI__TRY(sink(context, (ffai__stretch){start, end, (int32_t)token->id}, err));
        /* A match may lie in the whitespace that the last one's rstrip took: Hugging Face goes back, then. */
        done = end;
    }
    return done < size ? sink(context, (ffai__stretch){done, size, -1}, err) : FFAI_OK;
}
