#include "compiled.h"

#include <string.h>

#include "alloc.h"
#include "hash.h"

/* To be counted up when anything that is written changes its meaning. */
enum { FORMAT = 1, ALIGNMENT = 64 };

enum { JSON, ADDED_TOKENS, TEXTS, STARTS, SLOTS, MERGES, JOINED, NUM_SECTIONS };

typedef struct {
    char magic[8];
    uint64_t format;
    uint64_t probe; /* a hash of nothing in particular: the tables are of this very hash function */
    char version[32];
    ffai__compiled_source source;
    uint64_t sizes[NUM_SECTIONS]; /* bytes */
    uint64_t vocabulary_seed, merges_seed;
    uint64_t count, model_count, can_cut;
    uint64_t checksum; /* of all the rest */
} header;

static const char magic[8] = "ffaitok";

static uint64_t padded(uint64_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Four sums at once, since each product has to wait for the one before. size is a multiple of 32. */
static uint64_t checksum(uint64_t seed, const void *bytes, size_t size)
{
    uint64_t sums[4] = {seed, seed + 1, seed + 2, seed + 3};
    for (size_t at = 0; at < size; at += sizeof sums) {
        uint64_t words[4];
        memcpy(words, (const char *)bytes + at, sizeof words);
        for (size_t i = 0; i < 4; i++)
            sums[i] = ffai__hash_fold(sums[i] ^ words[i], 0x9E3779B97F4A7C15u) + i;
    }
    return ffai__hash_bytes((const char *)sums, sizeof sums, seed);
}

static header new_header(const ffai__compiled_source *source)
{
    header h;
    memset(&h, 0, sizeof h);
    memcpy(h.magic, magic, sizeof magic);
    h.format = FORMAT;
    h.probe = ffai__hash_bytes(magic, sizeof magic, FORMAT) ^ ffai__hash_bytes(magic, 3, FORMAT);
    strncpy(h.version, FFAI_VERSION, sizeof h.version - 1);
    h.source = *source;
    return h;
}

/* --- writing --- */

static ffai_status dump_rest(char **json, json_t *root, ffai_error *err)
{
    json_t *model = json_object_get(root, "model");
    json_object_del(model, "vocab");
    json_object_del(model, "merges");
    json_object_del(root, "added_tokens");
    *json = ffai__json_dump(root, JSON_COMPACT);
    return *json ? FFAI_OK : ffai__fail_memory(err, "a compiled tokenizer", 0);
}

static void end_section(ffai__buffer *out, uint64_t *written, size_t begin)
{
    static const char zeros[ALIGNMENT];
    *written = out->size - begin;
    ffai__buffer_append(out, zeros, (size_t)(padded(*written) - *written));
}

static void put_section(ffai__buffer *out, uint64_t *written, const void *bytes, size_t size)
{
    const size_t begin = out->size;
    ffai__buffer_append(out, bytes, size);
    end_section(out, written, begin);
}

static void put_added_tokens(ffai__buffer *out, header *h, const ffai_tokenizer *t)
{
    const size_t begin = out->size;
    ffai__added_tokens_write(out, &t->added);
    end_section(out, &h->sizes[ADDED_TOKENS], begin);
}

static void put_sections(ffai__buffer *out, header *h, const ffai_tokenizer *t, const char *json)
{
    const ffai__vocabulary *v = &t->vocabulary;
    const ffai__bpe *bpe = &t->bpe;
    const uint32_t count = v->num_starts - 1;
    put_section(out, &h->sizes[JSON], json, strlen(json));
    put_added_tokens(out, h, t);
    put_section(out, &h->sizes[TEXTS], v->texts, v->starts[count]);
    put_section(out, &h->sizes[STARTS], v->starts, ((size_t)count + 1) * sizeof *v->starts);
    put_section(out, &h->sizes[SLOTS], v->slots, (v->slots_mask + 1) * sizeof *v->slots);
    put_section(out, &h->sizes[MERGES], bpe->merges, (bpe->merges_mask + 1) * sizeof *bpe->merges);
    put_section(out, &h->sizes[JOINED], bpe->joined, sizeof bpe->joined);
    h->vocabulary_seed = v->seed;
    h->merges_seed = bpe->seed;
    h->count = count;
    h->model_count = v->model_count;
    h->can_cut = bpe->can_cut;
}

ffai_status ffai__compiled_write(ffai__buffer *out, const ffai_tokenizer *t, json_t *root,
                                 const ffai__compiled_source *source, ffai_error *err)
{
    char *json = NULL;
    FFAI__TRY(dump_rest(&json, root, err));
    header h = new_header(source);
    char room[(sizeof h + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT] = {0};
    const size_t begin = out->size;
    ffai__buffer_append(out, room, sizeof room);
    put_sections(out, &h, t, json);
    ffai__free(json);
    if (out->failed)
        return ffai__fail_memory(err, "a compiled tokenizer", out->size);
    memcpy(room, &h, sizeof h);
    h.checksum =
        checksum(checksum(FORMAT, room, sizeof room), out->data + begin + sizeof room, out->size - begin - sizeof room);
    memcpy(out->data + begin, &h, sizeof h);
    return FFAI_OK;
}

/* --- reading --- */

static bool is_power_of_two(uint64_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

/* Whether the sizes fit each other and the file's. */
static bool sizes_fit(const header *h, uint64_t file_size)
{
    uint64_t end = padded(sizeof *h);
    for (size_t i = 0; i < NUM_SECTIONS; i++) {
        if (h->sizes[i] > file_size || end > file_size)
            return false;
        end += padded(h->sizes[i]);
    }
    return end == file_size && h->count <= (uint64_t)FFAI__TOKEN_ID_MAX + 1 && h->model_count <= h->count &&
           h->sizes[STARTS] == (h->count + 1) * sizeof(uint32_t) && is_power_of_two(h->sizes[SLOTS]) &&
           h->sizes[SLOTS] >= sizeof(uint32_t) && is_power_of_two(h->sizes[MERGES]) &&
           h->sizes[MERGES] >= sizeof(ffai__merge) && h->sizes[JOINED] == sizeof(((ffai__bpe *)0)->joined);
}

static bool is_whole(const header *h, const uint8_t *data, uint64_t size)
{
    char room[(sizeof *h + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT] = {0};
    header without = *h;
    without.checksum = 0;
    memcpy(room, &without, sizeof without);
    return h->checksum == checksum(checksum(FORMAT, room, sizeof room), data + sizeof room, (size_t)size - sizeof room);
}

/* The tables, which are only read. */
static void point_into(ffai__compiled *c, const header *h, const uint8_t *data)
{
    uint8_t *section[NUM_SECTIONS];
    uint64_t at = padded(sizeof *h);
    for (size_t i = 0; i < NUM_SECTIONS; i++) {
        section[i] = (uint8_t *)(uintptr_t)(data + at);
        at += padded(h->sizes[i]);
    }
    *c = (ffai__compiled){.json = (const char *)section[JSON],
                          .json_size = (size_t)h->sizes[JSON],
                          .added_tokens = {(const char *)section[ADDED_TOKENS], (size_t)h->sizes[ADDED_TOKENS]},
                          .texts_size = (size_t)h->sizes[TEXTS]};
    c->vocabulary.texts = (char *)section[TEXTS];
    c->vocabulary.starts = (uint32_t *)(void *)section[STARTS];
    c->vocabulary.slots = (uint32_t *)(void *)section[SLOTS];
    c->vocabulary.slots_mask = (size_t)h->sizes[SLOTS] / sizeof(uint32_t) - 1;
    c->vocabulary.seed = h->vocabulary_seed;
    c->vocabulary.count = (uint32_t)h->count;
    c->vocabulary.num_starts = (uint32_t)h->count + 1;
    c->vocabulary.model_count = (uint32_t)h->model_count;
    c->bpe.merges = (ffai__merge *)(void *)section[MERGES];
    c->bpe.merges_mask = (size_t)h->sizes[MERGES] / sizeof(ffai__merge) - 1;
    c->bpe.seed = h->merges_seed;
    c->bpe.can_cut = h->can_cut != 0;
    memcpy(c->bpe.joined, section[JOINED], sizeof c->bpe.joined);
}

ffai_status ffai__compiled_read(ffai__compiled *c, const ffai__file_map *file, const ffai__compiled_source *source,
                                ffai_error *err)
{
    const uint8_t *data = ffai__file_map_data(file);
    const uint64_t size = ffai__file_map_size(file);
    const char *path = ffai__file_map_path(file);
    header h;
    const header wanted = new_header(source);
    if (size < padded(sizeof h))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: is no compiled tokenizer", path);
    memcpy(&h, data, sizeof h);
    if (memcmp(&h, &wanted, offsetof(header, sizes)) != 0)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: is of another version or another file", path);
    if (!sizes_fit(&h, size) || !is_whole(&h, data, size))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: is damaged", path);
    point_into(c, &h, data);
    return FFAI_OK;
}
