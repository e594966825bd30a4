#include "bpe.h"

#include <string.h>

#include "alloc.h"
#include "hash.h"
#include "utf8.h"

enum { REMOVED = -2, NONE = -1, SHORT_WORD = 24 };

/* SentencePiece's space. */
#define MARK "\xE2\x96\x81"
enum { MARK_SIZE = 3 };

/* One token of a word while it is merged; its neighbours are found by index. */
struct ffai__symbol {
    uint32_t id;
    int32_t prev, next; /* NONE at the ends; next is REMOVED for a symbol merged into its left neighbour */
};
typedef struct ffai__symbol symbol;

ffai_status ffai__ids_reserve(ffai__ids *ids, size_t more, ffai_error *err)
{
    if (ids->capacity - ids->count >= more)
        return FFAI_OK;
    const size_t capacity = ids->capacity * 2 + more + 64;
    int32_t *data = ffai__realloc(ids->data, capacity, sizeof *data);
    if (!data)
        return ffai__fail_memory(err, "token ids", capacity * sizeof *data);
    ids->data = data;
    ids->capacity = capacity;
    return FFAI_OK;
}

ffai_status ffai__ids_append(ffai__ids *ids, int32_t id, ffai_error *err)
{
    FFAI__TRY(ffai__ids_reserve(ids, 1, err));
    ids->data[ids->count++] = id;
    return FFAI_OK;
}

void ffai__ids_free(ffai__ids *ids)
{
    ffai__free(ids->data);
    *ids = (ffai__ids){0};
}

/* Seeded by the table's address, so that a file cannot be made to collide. */
static size_t slot_of(const ffai__bpe *bpe, uint64_t key)
{
    return (size_t)ffai__hash_fold(key ^ bpe->seed, 0x9E3779B97F4A7C15u) & bpe->merges_mask;
}

static uint64_t key_of(uint32_t left, uint32_t right)
{
    return ((uint64_t)left << 32 | right) + 1;
}

/* The key's entry, or the gap where it belongs. */
static ffai__merge *find_slot(const ffai__bpe *bpe, uint64_t key)
{
    size_t i = slot_of(bpe, key);
    while (bpe->merges[i].key != key && bpe->merges[i].key != 0)
        i = (i + 1) & bpe->merges_mask;
    return &bpe->merges[i];
}

static uint32_t rank_of(const ffai__bpe *bpe, uint32_t id)
{
    return id < bpe->num_ranks ? bpe->ranks[id] : FFAI__NO_RANK;
}

/* The token that both together spell. */
static bool find_joined_token(ffai__merge *merge, const ffai__bpe *bpe, ffai__bpe_scratch *scratch, uint32_t left,
                              uint32_t right)
{
    const ffai__vocabulary *v = bpe->vocabulary;
    if (rank_of(bpe, left) == FFAI__NO_RANK || rank_of(bpe, right) == FFAI__NO_RANK)
        return false;
    const size_t first = v->starts[left + 1] - v->starts[left] - 1;
    const size_t second = v->starts[right + 1] - v->starts[right] - 1;
    if (first + second > bpe->longest)
        return false;
    memcpy(scratch->joined, v->texts + v->starts[left], first);
    memcpy(scratch->joined + first, v->texts + v->starts[right], second);
    merge->id = ffai__vocabulary_find(v, scratch->joined, first + second);
    merge->rank = rank_of(bpe, merge->id);
    return merge->rank != FFAI__NO_RANK;
}

static bool find_merge(ffai__merge *merge, const ffai__bpe *bpe, ffai__bpe_scratch *scratch, uint32_t left,
                       uint32_t right)
{
    if (bpe->ranks)
        return find_joined_token(merge, bpe, scratch, left, right);
    const uint64_t key = key_of(left, right);
    *merge = *find_slot(bpe, key);
    return merge->key == key;
}

static ffai_status create_merges(ffai__bpe *bpe, size_t count, ffai_error *err)
{
    size_t capacity = 16;
    while (capacity / 2 < count)
        capacity *= 2;
    bpe->merges = ffai__calloc(capacity, sizeof *bpe->merges);
    if (!bpe->merges)
        return ffai__fail_memory(err, "merges", capacity * sizeof *bpe->merges);
    bpe->merges_mask = capacity - 1;
    bpe->seed = (uint64_t)(uintptr_t)bpe->merges;
    return FFAI_OK;
}

/* The halves of "a b"; *skip: a version line, as merges.txt has it. */
static bool split_text(ffai__text halves[2], bool *skip, const ffai__text *merge)
{
    const char *end = merge->data + merge->size;
    const char *space = memchr(merge->data, ' ', merge->size);
    *skip = merge->size >= 8 && memcmp(merge->data, "#version", 8) == 0;
    if (*skip)
        return true;
    if (!space || memchr(space + 1, ' ', (size_t)(end - space) - 1))
        return false;
    halves[0] = (ffai__text){merge->data, (size_t)(space - merge->data)};
    halves[1] = (ffai__text){space + 1, (size_t)(end - space) - 1};
    return true;
}

static bool text_of(ffai__text *text, const json_t *string)
{
    *text = (ffai__text){json_string_value(string), json_string_length(string)};
    return text->data != NULL;
}

/* The halves of a merge in JSON, a pair ["a", "b"] or a string "a b". */
static bool split_json(ffai__text halves[2], bool *skip, const json_t *merge)
{
    ffai__text text = {NULL, 0};
    *skip = false;
    if (json_is_array(merge))
        return json_array_size(merge) == 2 && text_of(&halves[0], json_array_get(merge, 0)) &&
               text_of(&halves[1], json_array_get(merge, 1));
    return text_of(&text, merge) && split_text(halves, skip, &text);
}

static ffai_status unknown_token(const char *text, size_t size, size_t index, const char *place, ffai_error *err)
{
    return ffai__fail(err, FFAI_E_FORMAT, "%s: merges[%zu]: token \"%.*s\" is not in the vocabulary", place, index,
                      size < 100 ? (int)size : 100, text);
}

/* The id of both halves together, the second without its continuing_subword_prefix. */
static ffai_status find_joined(uint32_t *id, const ffai__bpe *bpe, const ffai__text halves[2], ffai__buffer *joined,
                               size_t index, const char *place, ffai_error *err)
{
    if (halves[1].size < bpe->prefix_size)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: merges[%zu]: the second token lacks the prefix", place, index);
    joined->size = 0;
    ffai__buffer_append(joined, halves[0].data, halves[0].size);
    ffai__buffer_append(joined, halves[1].data + bpe->prefix_size, halves[1].size - bpe->prefix_size);
    if (joined->failed)
        return ffai__fail_memory(err, "merges", joined->size);
    *id = ffai__vocabulary_find(bpe->vocabulary, joined->data, joined->size);
    return *id == FFAI__NO_TOKEN ? unknown_token(joined->data, joined->size, index, place, err) : FFAI_OK;
}

static ffai_status add_merge(ffai__bpe *bpe, uint32_t *rank, ffai__buffer *joined, const ffai__text halves[2],
                             size_t index, const char *place, ffai_error *err)
{
    uint32_t ids[2] = {0, 0};
    for (size_t i = 0; i < 2; i++) {
        ids[i] = ffai__vocabulary_find(bpe->vocabulary, halves[i].data, halves[i].size);
        if (ids[i] == FFAI__NO_TOKEN)
            return unknown_token(halves[i].data, halves[i].size, index, place, err);
    }
    uint32_t id = 0;
    FFAI__TRY(find_joined(&id, bpe, halves, joined, index, place, err));
    const uint64_t key = key_of(ids[0], ids[1]);
    *find_slot(bpe, key) = (ffai__merge){key, (*rank)++, id}; /* of two equal pairs the later counts */
    return FFAI_OK;
}

/* Where merges come from: a JSON array, or a list. */
typedef struct {
    const json_t *json;
    const ffai__text *list;
    size_t count;
} merge_source;

static ffai_status add_merges(ffai__bpe *bpe, ffai__buffer *joined, const merge_source *from, const char *place,
                              ffai_error *err)
{
    uint32_t rank = 0;
    for (size_t i = 0; i < from->count; i++) {
        ffai__text halves[2] = {{NULL, 0}, {NULL, 0}};
        bool skip = false;
        if (!(from->list ? split_text(halves, &skip, &from->list[i])
                         : split_json(halves, &skip, json_array_get(from->json, i))))
            return ffai__fail(err, FFAI_E_FORMAT, "%s: merges[%zu]: must be two tokens", place, i);
        if (!skip)
            FFAI__TRY(add_merge(bpe, &rank, joined, halves, i, place, err));
    }
    return FFAI_OK;
}

static ffai_status read_merges(ffai__bpe *bpe, const merge_source *from, const char *place, ffai_error *err)
{
    if (from->count > INT32_MAX / 4)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: has %zu merges", place, from->count);
    FFAI__TRY(create_merges(bpe, from->count, err));
    ffai__buffer joined = FFAI__BUFFER_INIT;
    const ffai_status status = add_merges(bpe, &joined, from, place, err);
    ffai__buffer_free(&joined);
    return status;
}

/* A copy of an optional string. */
static ffai_status copy_text(char **copy, size_t *size, const json_t *model, const char *key, const char *place,
                             ffai_error *err)
{
    const json_t *field = ffai__json_field(model, key);
    if (!field)
        return FFAI_OK;
    if (!json_is_string(field) || json_string_length(field) > 4096)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be a string of at most 4096 bytes", place, key);
    *size = json_string_length(field);
    *copy = ffai__strndup(json_string_value(field), *size);
    return *copy ? FFAI_OK : ffai__fail_memory(err, key, *size);
}

static ffai_status parse_options(ffai__bpe *bpe, const json_t *model, const char *place, ffai_error *err)
{
    double dropout = 0;
    FFAI__TRY(ffai__json_get_double(&dropout, model, "dropout", 0, 1, place, err));
    if (dropout != 0)
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: field \"dropout\": %g is for training", place, dropout);
    FFAI__TRY(ffai__json_get_bool(&bpe->fuse_unk, model, "fuse_unk", place, err));
    FFAI__TRY(ffai__json_get_bool(&bpe->byte_fallback, model, "byte_fallback", place, err));
    FFAI__TRY(ffai__json_get_bool(&bpe->ignore_merges, model, "ignore_merges", place, err));
    FFAI__TRY(copy_text(&bpe->unk_token, &bpe->unk_size, model, "unk_token", place, err));
    FFAI__TRY(copy_text(&bpe->prefix, &bpe->prefix_size, model, "continuing_subword_prefix", place, err));
    return copy_text(&bpe->suffix, &bpe->suffix_size, model, "end_of_word_suffix", place, err);
}

static ffai_status copy_ranks(ffai__bpe *bpe, const ffai__tokenizer_lists *lists, ffai_error *err)
{
    const size_t bytes = lists->num_tokens * sizeof *bpe->ranks;
    bpe->ranks = ffai__array(lists->num_tokens, sizeof *bpe->ranks);
    if (!bpe->ranks)
        return ffai__fail_memory(err, "ranks of tokens", bytes);
    memcpy(bpe->ranks, lists->ranks, bytes);
    bpe->num_ranks = (uint32_t)lists->num_tokens; /* the vocabulary's reader has held it against the largest id */
    for (size_t id = 0; id < lists->num_tokens; id++) {
        if (bpe->ranks[id] != FFAI__NO_RANK && lists->tokens[id].size > bpe->longest)
            bpe->longest = lists->tokens[id].size;
    }
    return FFAI_OK;
}

static void look_up_characters(ffai__bpe *bpe)
{
    static const char digits[] = "0123456789ABCDEF";
    for (uint32_t c = 0; c < FFAI__DIRECT_CHARACTERS; c++) {
        char text[4];
        const size_t size = ffai__utf8_put(text, c);
        bpe->direct[c] = ffai__vocabulary_find(bpe->vocabulary, text, size);
    }
    for (unsigned b = 0; b < 256; b++) {
        const char text[] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
        bpe->byte_ids[b] = ffai__vocabulary_find(bpe->vocabulary, text, sizeof text);
    }
    bpe->unk_id =
        bpe->unk_token ? ffai__vocabulary_find(bpe->vocabulary, bpe->unk_token, bpe->unk_size) : FFAI__NO_TOKEN;
}

/* What stands for a character in the columns of bpe->joined. */
static unsigned char column(const char *text, size_t size)
{
    return size >= MARK_SIZE && memcmp(text, MARK, MARK_SIZE) == 0 ? 0xFF : (unsigned char)text[0];
}

static bool starts_character(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

/* The neighbours in a token that others are merged into. */
static void note_joined(ffai__bpe *bpe, uint32_t id)
{
    const ffai__vocabulary *v = bpe->vocabulary;
    const char *text = v->texts + v->starts[id];
    const size_t size = v->starts[id + 1] - v->starts[id]; /* and 1 */
    for (size_t at = 1; at + 1 < size; at++) {
        if (starts_character(text[at])) {
            const unsigned char next = column(text + at, size - 1 - at);
            bpe->joined[(unsigned char)text[at - 1]][next / 8] |= (uint8_t)(1 << next % 8);
        }
    }
}

/* byte_ids from the smallest to the largest: most often all that lie between. */
typedef struct {
    uint32_t first, last;
} id_range;

static id_range range_of_bytes(const ffai__bpe *bpe)
{
    id_range range = {UINT32_MAX, 0};
    for (size_t i = 0; i < 256; i++) {
        range.first = bpe->byte_ids[i] < range.first ? bpe->byte_ids[i] : range.first;
        range.last = bpe->byte_ids[i] > range.last ? bpe->byte_ids[i] : range.last;
    }
    return range;
}

static bool is_byte_token(const ffai__bpe *bpe, id_range range, uint32_t id)
{
    bool is = false;
    for (size_t i = 0; id >= range.first && id <= range.last && i < 256; i++)
        is |= bpe->byte_ids[i] == id;
    return is;
}

/* Whether no <0xHH> is merged with anything: what it spells is not what the text has. */
static bool bytes_stay(const ffai__bpe *bpe)
{
    for (size_t i = 0; bpe->ranks && i < 256; i++) {
        if (rank_of(bpe, bpe->byte_ids[i]) != FFAI__NO_RANK)
            return false;
    }
    const id_range range = range_of_bytes(bpe);
    for (size_t i = 0; bpe->merges && i <= bpe->merges_mask; i++) {
        const uint64_t both = bpe->merges[i].key - 1;
        if (bpe->merges[i].key != 0 &&
            (is_byte_token(bpe, range, (uint32_t)(both >> 32)) || is_byte_token(bpe, range, (uint32_t)both)))
            return false;
    }
    return true;
}

/* Nothing but merges may join characters: neither affixes, nor a look at the whole word, nor unknown ones, which fuse,
 * or vanish from between two others. */
static bool only_merges_join(const ffai__bpe *bpe)
{
    bool complete = bpe->byte_fallback && !bpe->ignore_merges && bpe->prefix_size + bpe->suffix_size == 0;
    for (size_t i = 0; i < 256; i++)
        complete &= bpe->byte_ids[i] != FFAI__NO_TOKEN;
    return complete && bytes_stay(bpe);
}

/* A merge makes a token with both characters in it, beside each other. Where no such token has them, a word may be
 * cut: SentencePiece's tokenizers may have a whole text as one word. */
static void find_cuts(ffai__bpe *bpe)
{
    bpe->can_cut = only_merges_join(bpe);
    for (uint32_t id = 0; bpe->can_cut && id < bpe->num_ranks; id++) {
        if (bpe->ranks[id] != FFAI__NO_RANK)
            note_joined(bpe, id);
    }
    for (size_t i = 0; bpe->can_cut && bpe->merges && i <= bpe->merges_mask; i++) {
        if (bpe->merges[i].key != 0)
            note_joined(bpe, bpe->merges[i].id);
    }
}

static ffai_status parse_merges(ffai__bpe *bpe, const json_t *model, const ffai__tokenizer_lists *lists,
                                const char *place, ffai_error *err)
{
    if (lists && lists->ranks)
        return copy_ranks(bpe, lists, err);
    if (lists)
        return read_merges(bpe, &(merge_source){NULL, lists->merges, lists->num_merges}, place, err);
    const json_t *merges = ffai__json_field(model, "merges");
    if (!json_is_array(merges))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"merges\": must be an array", place);
    return read_merges(bpe, &(merge_source){merges, NULL, json_array_size(merges)}, place, err);
}

ffai_status ffai__bpe_parse(ffai__bpe *bpe, const json_t *model, const ffai__tokenizer_lists *lists,
                            const ffai__vocabulary *vocabulary, const char *place, ffai_error *err)
{
    bpe->vocabulary = vocabulary;
    FFAI__TRY(parse_options(bpe, model, place, err));
    look_up_characters(bpe);
    FFAI__TRY(parse_merges(bpe, model, lists, place, err));
    find_cuts(bpe);
    return FFAI_OK;
}

static bool merges_fit(const ffai__bpe *bpe)
{
    size_t used = 0;
    bool fit = true;
    for (size_t i = 0; i <= bpe->merges_mask; i++) {
        used += bpe->merges[i].key != 0;
        fit &= bpe->merges[i].id < bpe->vocabulary->count;
    }
    return used == 0 || (fit && used <= bpe->merges_mask);
}

ffai_status ffai__bpe_restore(ffai__bpe *bpe, const json_t *model, const ffai__bpe *from,
                              const ffai__vocabulary *vocabulary, const char *place, ffai_error *err)
{
    bpe->vocabulary = vocabulary;
    FFAI__TRY(parse_options(bpe, model, place, err));
    look_up_characters(bpe);
    bpe->merges = from->merges;
    bpe->borrowed = true;
    bpe->merges_mask = from->merges_mask;
    bpe->seed = from->seed;
    bpe->can_cut = from->can_cut;
    memcpy(bpe->joined, from->joined, sizeof bpe->joined);
    return merges_fit(bpe) ? FFAI_OK : ffai__fail(err, FFAI_E_FORMAT, "%s: merges that do not fit together", place);
}

void ffai__bpe_free(ffai__bpe *bpe)
{
    ffai__free(bpe->ranks);
    if (!bpe->borrowed)
        ffai__free(bpe->merges);
    ffai__free(bpe->unk_token);
    ffai__free(bpe->prefix);
    ffai__free(bpe->suffix);
    *bpe = (ffai__bpe){0};
}

void ffai__bpe_scratch_free(ffai__bpe_scratch *scratch)
{
    ffai__free(scratch->symbols);
    ffai__free(scratch->queue);
    ffai__free(scratch->spelling);
    ffai__free(scratch->joined);
    *scratch = (ffai__bpe_scratch){0};
}

/* Room for a word of `count` symbols. Each merge takes one symbol away and queues at most two pairs, so three
 * entries a symbol suffice. */
static ffai_status reserve(ffai__bpe_scratch *scratch, size_t count, ffai_error *err)
{
    if (count <= scratch->capacity)
        return FFAI_OK;
    if (count > INT32_MAX / 2)
        return ffai__fail(err, FFAI_E_LIMIT, "a word of more than %d bytes", INT32_MAX / 2);
    const size_t capacity = count + count / 2 + 32;
    symbol *symbols = ffai__realloc(scratch->symbols, capacity, sizeof *symbols);
    if (symbols)
        scratch->symbols = symbols;
    uint64_t *queue = ffai__realloc(scratch->queue, capacity, 3 * sizeof *queue);
    if (queue)
        scratch->queue = queue;
    if (!symbols || !queue)
        return ffai__fail_memory(err, "a word's tokens", capacity * (sizeof *symbols + 3 * sizeof *queue));
    scratch->capacity = capacity;
    return FFAI_OK;
}

static ffai_status add_symbol(ffai__bpe_scratch *scratch, uint32_t id, ffai_error *err)
{
    if (scratch->count == scratch->capacity)
        FFAI__TRY(reserve(scratch, scratch->count + 1, err));
    scratch->symbols[scratch->count++].id = id;
    return FFAI_OK;
}

/* One <0xHH> for each byte; *done is false, and nothing changed, if the vocabulary lacks one of them. */
static ffai_status add_bytes(bool *done, ffai__bpe_scratch *scratch, const ffai__bpe *bpe, const char *text,
                             size_t size, ffai_error *err)
{
    *done = true;
    for (size_t i = 0; i < size; i++)
        *done &= bpe->byte_ids[(unsigned char)text[i]] != FFAI__NO_TOKEN;
    for (size_t i = 0; *done && i < size; i++)
        FFAI__TRY(add_symbol(scratch, bpe->byte_ids[(unsigned char)text[i]], err));
    return FFAI_OK;
}

/* A character that the vocabulary lacks. *pending: an unknown token is owed, which later ones may fuse with. */
static ffai_status add_unknown(bool *pending, ffai__bpe_scratch *scratch, const ffai__bpe *bpe, const char *text,
                               size_t size, ffai_error *err)
{
    if (bpe->byte_fallback) {
        bool done = false;
        FFAI__TRY(add_bytes(&done, scratch, bpe, text, size, err));
        if (done)
            return FFAI_OK;
    }
    if (!bpe->unk_token)
        return FFAI_OK;
    if (bpe->unk_id == FFAI__NO_TOKEN)
        return ffai__fail(err, FFAI_E_FORMAT, "the unknown token \"%.100s\" is not in the tokenizer's vocabulary",
                          bpe->unk_token);
    if (*pending && !bpe->fuse_unk)
        FFAI__TRY(add_symbol(scratch, bpe->unk_id, err));
    *pending = true;
    return FFAI_OK;
}

/* The character as the vocabulary spells it, with the prefix behind the word's start and the suffix at its end. */
static ffai_status spell(const char **text, size_t *size, const ffai__bpe *bpe, ffai__bpe_scratch *scratch, bool first,
                         bool last, ffai__budget *budget, ffai_error *err)
{
    const size_t prefix = first ? 0 : bpe->prefix_size;
    const size_t suffix = last ? bpe->suffix_size : 0;
    if (prefix + suffix == 0)
        return FFAI_OK;
    FFAI__TRY(ffai__budget_take_bytes(budget, prefix + suffix, err));
    if (!scratch->spelling)
        scratch->spelling = ffai__malloc(bpe->prefix_size + bpe->suffix_size + 4);
    if (!scratch->spelling)
        return ffai__fail_memory(err, "a character", 4);
    if (prefix)
        memcpy(scratch->spelling, bpe->prefix, prefix);
    memcpy(scratch->spelling + prefix, *text, *size);
    if (suffix)
        memcpy(scratch->spelling + prefix + *size, bpe->suffix, suffix);
    *text = scratch->spelling;
    *size += prefix + suffix;
    return FFAI_OK;
}

/* The word's characters as symbols. */
static ffai_status split_word(ffai__bpe_scratch *scratch, const ffai__bpe *bpe, const char *word, size_t size,
                              ffai__budget *budget, ffai_error *err)
{
    const bool plain = bpe->prefix_size + bpe->suffix_size == 0;
    bool pending = false;
    scratch->count = 0;
    for (size_t at = 0, step = 0; at < size; at += step) {
        const uint32_t c = ffai__utf8_get(word + at, &step);
        const char *text = word + at;
        size_t length = step;
        uint32_t id = FFAI__NO_TOKEN;
        if (plain && c < FFAI__DIRECT_CHARACTERS) {
            id = bpe->direct[c];
        } else {
            FFAI__TRY(spell(&text, &length, bpe, scratch, at == 0, at + step == size, budget, err));
            id = ffai__vocabulary_find(bpe->vocabulary, text, length);
        }
        if (id == FFAI__NO_TOKEN) {
            FFAI__TRY(add_unknown(&pending, scratch, bpe, text, length, err));
            continue;
        }
        if (pending)
            FFAI__TRY(add_symbol(scratch, bpe->unk_id, err));
        pending = false;
        FFAI__TRY(add_symbol(scratch, id, err));
    }
    return pending ? add_symbol(scratch, bpe->unk_id, err) : FFAI_OK;
}

/* The queue is a binary heap of rank << 32 | position: the lowest rank comes first, then the leftmost. */
static void sift_down(uint64_t *queue, size_t count, size_t at)
{
    const uint64_t moving = queue[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && queue[child + 1] < queue[child])
            child++;
        if (queue[child] >= moving)
            break;
        queue[at] = queue[child];
        at = child;
    }
    queue[at] = moving;
}

static void push(uint64_t *queue, size_t *count, uint64_t entry)
{
    size_t at = (*count)++;
    while (at > 0 && queue[(at - 1) / 2] > entry) {
        queue[at] = queue[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue[at] = entry;
}

static uint64_t pop(uint64_t *queue, size_t *count)
{
    const uint64_t top = queue[0];
    queue[0] = queue[--*count];
    if (*count > 1)
        sift_down(queue, *count, 0);
    return top;
}

static size_t queue_all_pairs(ffai__bpe_scratch *scratch, const ffai__bpe *bpe)
{
    size_t queued = 0;
    for (size_t i = 0; i + 1 < scratch->count; i++) {
        ffai__merge merge = {0};
        if (find_merge(&merge, bpe, scratch, scratch->symbols[i].id, scratch->symbols[i + 1].id))
            scratch->queue[queued++] = (uint64_t)merge.rank << 32 | i;
    }
    for (size_t i = queued / 2; i-- > 0;)
        sift_down(scratch->queue, queued, i);
    return queued;
}

static void queue_pair(ffai__bpe_scratch *scratch, size_t *queued, const ffai__bpe *bpe, int32_t left)
{
    const symbol *s = &scratch->symbols[left];
    ffai__merge merge = {0};
    if (find_merge(&merge, bpe, scratch, s->id, scratch->symbols[s->next].id))
        push(scratch->queue, queued, (uint64_t)merge.rank << 32 | (uint32_t)left);
}

static void merge_pair(symbol *symbols, int32_t left, uint32_t id)
{
    const int32_t right = symbols[left].next;
    symbols[left].id = id;
    symbols[left].next = symbols[right].next;
    if (symbols[right].next != NONE)
        symbols[symbols[right].next].prev = left;
    symbols[right].next = REMOVED;
}

/* Each symbol with what it and the next one would become. */
typedef struct {
    uint32_t id, rank, merged;
} symbol_pair;

static void look_up_pair(symbol_pair *pairs, size_t at, size_t count, const ffai__bpe *bpe, ffai__bpe_scratch *scratch)
{
    ffai__merge merge = {0};
    const bool found = at + 1 < count && find_merge(&merge, bpe, scratch, pairs[at].id, pairs[at + 1].id);
    pairs[at].rank = found ? merge.rank : FFAI__NO_RANK;
    pairs[at].merged = merge.id;
}

static size_t lowest_rank(const symbol_pair *pairs, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        best = pairs[i].rank < pairs[best].rank ? i : best;
    return best;
}

/* Most words are short: to look at all their pairs again for each merge is faster than a queue. */
static void merge_short_word(ffai__bpe_scratch *scratch, const ffai__bpe *bpe)
{
    symbol_pair pairs[SHORT_WORD];
    size_t count = scratch->count;
    for (size_t i = 0; i < count; i++)
        pairs[i].id = scratch->symbols[i].id;
    for (size_t i = 0; i < count; i++)
        look_up_pair(pairs, i, count, bpe, scratch);
    while (count > 1) {
        const size_t best = lowest_rank(pairs, count);
        if (pairs[best].rank == FFAI__NO_RANK)
            break;
        pairs[best].id = pairs[best].merged;
        count--;
        memmove(&pairs[best + 1], &pairs[best + 2], (count - best - 1) * sizeof *pairs);
        look_up_pair(pairs, best, count, bpe, scratch);
        if (best > 0)
            look_up_pair(pairs, best - 1, count, bpe, scratch);
    }
    scratch->count = count;
    for (size_t i = 0; i < count; i++)
        scratch->symbols[i] = (symbol){pairs[i].id, NONE, NONE};
}

static void merge_long_word(ffai__bpe_scratch *scratch, const ffai__bpe *bpe)
{
    symbol *symbols = scratch->symbols;
    for (size_t i = 0; i < scratch->count; i++) {
        symbols[i].prev = (int32_t)i - 1;
        symbols[i].next = i + 1 < scratch->count ? (int32_t)i + 1 : NONE;
    }
    size_t queued = queue_all_pairs(scratch, bpe);
    while (queued > 0) {
        const uint64_t top = pop(scratch->queue, &queued);
        const int32_t left = (int32_t)(top & UINT32_MAX);
        if (symbols[left].next < 0)
            continue; /* merged into another since it was queued, or last now */
        ffai__merge merge = {0};
        if (!find_merge(&merge, bpe, scratch, symbols[left].id, symbols[symbols[left].next].id) ||
            merge.rank != top >> 32)
            continue; /* one of the two has changed */
        merge_pair(symbols, left, merge.id);
        if (symbols[left].prev != NONE)
            queue_pair(scratch, &queued, bpe, symbols[left].prev);
        if (symbols[left].next != NONE)
            queue_pair(scratch, &queued, bpe, left);
    }
}

ffai_status ffai__bpe_encode(ffai__ids *ids, const ffai__bpe *bpe, ffai__bpe_scratch *scratch, const char *word,
                             size_t size, ffai__budget *budget, ffai_error *err)
{
    if (bpe->ignore_merges) {
        const uint32_t id = ffai__vocabulary_find(bpe->vocabulary, word, size);
        if (id != FFAI__NO_TOKEN)
            return ffai__ids_append(ids, (int32_t)id, err);
    }
    FFAI__TRY(split_word(scratch, bpe, word, size, budget, err));
    if (bpe->ranks && !scratch->joined) {
        scratch->joined = ffai__malloc(bpe->longest + 1);
        if (!scratch->joined)
            return ffai__fail_memory(err, "a token", bpe->longest);
    }
    if (scratch->count <= SHORT_WORD)
        merge_short_word(scratch, bpe);
    else
        merge_long_word(scratch, bpe);
    FFAI__TRY(ffai__ids_reserve(ids, scratch->count, err));
    for (size_t i = 0; i < scratch->count; i++) {
        if (scratch->symbols[i].next != REMOVED)
            ids->data[ids->count++] = (int32_t)scratch->symbols[i].id;
    }
    return FFAI_OK;
}

size_t ffai__bpe_part(const ffai__bpe *bpe, const char *word, size_t size, size_t from)
{
    if (!bpe->can_cut)
        return size;
    for (size_t at = from + 1; at < size; at++) {
        const unsigned char next = column(word + at, size - at);
        if (starts_character(word[at]) && !(bpe->joined[(unsigned char)word[at - 1]][next / 8] >> next % 8 & 1))
            return at;
    }
    return size;
}
