#include "checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "contents.h"
#include "gguf_documents.h"
#include "json.h"
#include "utf8.h"

struct ffai__owned {
    ffai__owned *next;
    _Alignas(max_align_t) unsigned char bytes[];
};

void *ffai__checkpoint_own(ffai__checkpoint *checkpoint, size_t size)
{
    if (size > SIZE_MAX - sizeof(ffai__owned))
        return NULL;
    ffai__owned *owned = ffai__calloc(1, sizeof *owned + size);
    if (!owned)
        return NULL;
    owned->next = checkpoint->owned;
    checkpoint->owned = owned;
    return owned->bytes;
}

ffai_status ffai__checkpoint_add_shard(ffai__shard **out, ffai__checkpoint *checkpoint, ffai_error *err)
{
    ffai__shard *shards = ffai__realloc(checkpoint->shards, checkpoint->shard_count + 1, sizeof *shards);
    if (!shards)
        return ffai__fail_memory(err, checkpoint->path, sizeof *shards);
    checkpoint->shards = shards;
    *out = &shards[checkpoint->shard_count++];
    **out = (ffai__shard){NULL, NULL};
    return FFAI_OK;
}

ffai_status ffai__checkpoint_map(ffai__shard **out, ffai__checkpoint *checkpoint, const char *path, ffai_error *err)
{
    FFAI__TRY(ffai__checkpoint_add_shard(out, checkpoint, err));
    return ffai__file_map_open(&(*out)->map, path, err);
}

/* The outcome of reading a file that need not be there. */
static ffai_status absent_is_fine(ffai_status status, const ffai_error *why, ffai_error *err)
{
    if (status == FFAI_OK || status == FFAI_E_NOT_FOUND)
        return FFAI_OK;
    return ffai__fail(err, status, "%s", why->message);
}

ffai_status ffai__folder_json(json_t **out, const char *folder, const char *name, size_t limit, ffai_error *err)
{
    char *path = ffai__path_join(folder, name);
    if (!path)
        return ffai__fail_memory(err, name, strlen(folder));
    json_t *document = NULL;
    ffai_error why = FFAI_ERROR_INIT;
    ffai_status status = absent_is_fine(ffai__json_read(&document, path, limit, &why), &why, err);
    if (document && !json_is_object(document)) {
        status = ffai__fail(err, FFAI_E_FORMAT, "%s: must hold a JSON object", path);
        json_decref(document);
        document = NULL;
    }
    ffai__free(path);
    *out = document;
    return status;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const ffai__entry *)left)->weight.name, ((const ffai__entry *)right)->weight.name);
}

static ffai_status build_index(ffai__checkpoint *checkpoint, ffai_error *err)
{
    if (checkpoint->count)
        qsort(checkpoint->entries, checkpoint->count, sizeof *checkpoint->entries, by_name);
    checkpoint->index = ffai__string_map_new(checkpoint->count);
    if (!checkpoint->index)
        return ffai__fail_memory(err, "the index of tensors", checkpoint->count);
    for (size_t i = 0; i < checkpoint->count; i++) {
        const char *name = checkpoint->entries[i].weight.name;
        const ffai__map_result result = ffai__string_map_add(checkpoint->index, name, strlen(name), i);
        if (result == FFAI__MAP_EXISTS)
            return ffai__fail(err, FFAI_E_FORMAT, "%s: tensor \"%s\" is there twice", checkpoint->path, name);
        if (result == FFAI__MAP_NO_MEMORY)
            return ffai__fail_memory(err, "the index of tensors", checkpoint->count);
    }
    return FFAI_OK;
}

static ffai_status read_source(ffai__checkpoint *checkpoint, bool documents_only, ffai_error *err)
{
    switch (ffai__path_kind_of(checkpoint->path)) {
    case FFAI__PATH_FOLDER:
        FFAI__TRY(ffai__folder_read(checkpoint, documents_only, err));
        break;
    case FFAI__PATH_MISSING:
        return ffai__fail(err, FFAI_E_NOT_FOUND, "%s: there is no such file or folder", checkpoint->path);
    default:
        checkpoint->is_gguf = true;
        FFAI__TRY(ffai__gguf_checkpoint_read(checkpoint, documents_only, err));
        break;
    }
    FFAI__TRY(build_index(checkpoint, err));
    return ffai__checkpoint_check(checkpoint, err);
}

static ffai_status new_checkpoint(ffai__checkpoint **out, const char *path, ffai_error *err)
{
    ffai__checkpoint *checkpoint = ffai__calloc(1, sizeof *checkpoint);
    if (!checkpoint)
        return ffai__fail_memory(err, path, sizeof *checkpoint);
    checkpoint->path = ffai__strdup(path);
    if (!checkpoint->path) {
        ffai__checkpoint_close(checkpoint);
        return ffai__fail_memory(err, path, strlen(path));
    }
    *out = checkpoint;
    return FFAI_OK;
}

/* Hand the checkpoint out, or close it where reading it failed. */
static ffai_status hand_out(ffai__checkpoint **out, ffai__checkpoint *checkpoint, ffai_status status)
{
    if (status == FFAI_OK)
        *out = checkpoint;
    else
        ffai__checkpoint_close(checkpoint);
    return status;
}

static ffai_status open_checkpoint(ffai__checkpoint **out, const char *path, bool documents_only, ffai_error *err)
{
    ffai__checkpoint *checkpoint = NULL;
    FFAI__TRY(new_checkpoint(&checkpoint, path, err));
    return hand_out(out, checkpoint, read_source(checkpoint, documents_only, err));
}

ffai_status ffai__checkpoint_open_bytes(ffai__checkpoint **out, json_t *config, const uint8_t *bytes, uint64_t size,
                                        ffai_error *err)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_status status = new_checkpoint(&checkpoint, "bytes", err);
    if (status != FFAI_OK) {
        json_decref(config);
        return status;
    }
    checkpoint->config = config;
    checkpoint->is_gguf = !config;
    if (config)
        status = ffai__folder_read_bytes(checkpoint, bytes, size, err);
    else
        status = ffai__gguf_checkpoint_read_bytes(checkpoint, bytes, size, false, err);
    if (status == FFAI_OK)
        status = build_index(checkpoint, err);
    return hand_out(out, checkpoint, status);
}

ffai_status ffai__checkpoint_make(ffai__checkpoint **out, const char *name, json_t *config,
                                  const ffai__synthetic_weights *weights, ffai_error *err)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_status status = new_checkpoint(&checkpoint, name, err);
    if (status != FFAI_OK) {
        json_decref(config);
        return status;
    }
    checkpoint->config = config;
    status = ffai__synthetic_read(checkpoint, weights, err);
    if (status == FFAI_OK)
        status = build_index(checkpoint, err);
    return hand_out(out, checkpoint, status);
}

ffai_status ffai__checkpoint_open(ffai__checkpoint **out, const char *path, ffai_error *err)
{
    return open_checkpoint(out, path, false, err);
}

ffai_status ffai__checkpoint_open_documents(ffai__checkpoint **out, const char *path, ffai_error *err)
{
    return open_checkpoint(out, path, true, err);
}

void ffai__checkpoint_close(ffai__checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    for (size_t i = 0; i < checkpoint->shard_count; i++) {
        ffai__safetensors_free(checkpoint->shards[i].header);
        ffai__file_map_close(checkpoint->shards[i].map);
    }
    while (checkpoint->owned) {
        ffai__owned *next = checkpoint->owned->next;
        ffai__free(checkpoint->owned);
        checkpoint->owned = next;
    }
    for (size_t i = 0; i < sizeof checkpoint->repeated / sizeof checkpoint->repeated[0]; i++)
        ffai__repeated_map_release(&checkpoint->repeated[i]);
    ffai__gguf_free(checkpoint->gguf);
    ffai__string_map_free(checkpoint->index);
    ffai__free(checkpoint->entries);
    ffai__free(checkpoint->shards);
    json_decref(checkpoint->config);
    json_decref(checkpoint->generation_config);
    ffai__free(checkpoint->path);
    ffai__free(checkpoint);
}

const char *ffai__checkpoint_path(const ffai__checkpoint *checkpoint)
{
    return checkpoint->path;
}

bool ffai__checkpoint_is_gguf(const ffai__checkpoint *checkpoint)
{
    return checkpoint->is_gguf;
}

const json_t *ffai__checkpoint_config(const ffai__checkpoint *checkpoint)
{
    return checkpoint->config;
}

const json_t *ffai__checkpoint_generation_config(const ffai__checkpoint *checkpoint)
{
    return checkpoint->generation_config;
}

static ffai_status folder_tokenizer_json(char **json, size_t *size, const char *folder, ffai_error *err)
{
    char *path = ffai__path_join(folder, "tokenizer.json");
    if (!path)
        return ffai__fail_memory(err, "tokenizer.json", strlen(folder));
    const ffai_status status = ffai__file_read(json, size, path, FFAI__TOKENIZER_LIMIT, err);
    ffai__free(path);
    return status;
}

ffai_status ffai__checkpoint_tokenizer_json(char **json, size_t *size, ffai__tokenizer_lists *lists,
                                            const ffai__checkpoint *checkpoint, ffai_error *err)
{
    if (!checkpoint->is_gguf)
        return folder_tokenizer_json(json, size, checkpoint->path, err);
    return ffai__gguf_tokenizer_json(json, size, lists, checkpoint->gguf, err);
}

static ffai_status set_template(json_t *config, const char *text, size_t size, const char *path, ffai_error *err)
{
    if (!ffai__utf8_valid(text, size))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: is not valid UTF-8", path);
    if (json_object_set_new(config, "chat_template", json_stringn_nocheck(text, size)) != 0)
        return ffai__fail_memory(err, path, size);
    return FFAI_OK;
}

/* chat_template.jinja wins over the key. */
static ffai_status add_template_file(json_t *config, const char *folder, ffai_error *err)
{
    char *path = ffai__path_join(folder, "chat_template.jinja");
    if (!path)
        return ffai__fail_memory(err, "chat_template.jinja", strlen(folder));
    char *text = NULL;
    size_t size = 0;
    ffai_error why = FFAI_ERROR_INIT;
    ffai_status status = absent_is_fine(ffai__file_read(&text, &size, path, FFAI__CONFIG_LIMIT, &why), &why, err);
    if (text)
        status = set_template(config, text, size, path, err);
    ffai__free(text);
    ffai__free(path);
    return status;
}

static ffai_status folder_tokenizer_config(json_t **out, const char *folder, ffai_error *err)
{
    json_t *config = NULL;
    FFAI__TRY(ffai__folder_json(&config, folder, "tokenizer_config.json", FFAI__CONFIG_LIMIT, err));
    if (!config)
        config = json_object();
    if (!config)
        return ffai__fail_memory(err, "tokenizer_config.json", 0);
    ffai_status status = ffai__chat_template_normalize(config, folder, err);
    if (status == FFAI_OK)
        status = add_template_file(config, folder, err);
    if (status != FFAI_OK) {
        json_decref(config);
        return status;
    }
    *out = config;
    return FFAI_OK;
}

ffai_status ffai__checkpoint_tokenizer_config(json_t **out, const ffai__checkpoint *checkpoint, ffai_error *err)
{
    if (checkpoint->is_gguf)
        return ffai__gguf_tokenizer_config(out, checkpoint->gguf, err);
    return folder_tokenizer_config(out, checkpoint->path, err);
}

size_t ffai__checkpoint_count(const ffai__checkpoint *checkpoint)
{
    return checkpoint->count;
}

const ffai__weight *ffai__checkpoint_weight(const ffai__checkpoint *checkpoint, size_t index)
{
    return &checkpoint->entries[index].weight;
}

const ffai__shape *ffai__checkpoint_shape(const ffai__checkpoint *checkpoint, size_t index)
{
    return &checkpoint->entries[index].shape;
}

const ffai__weight *ffai__checkpoint_find(const ffai__checkpoint *checkpoint, const char *name)
{
    uint64_t index = 0;
    if (!ffai__string_map_get(checkpoint->index, name, strlen(name), &index))
        return NULL;
    return &checkpoint->entries[index].weight;
}

uint64_t ffai__checkpoint_bytes(const ffai__checkpoint *checkpoint)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < checkpoint->count; i++)
        bytes += ffai__weight_bytes(&checkpoint->entries[i].weight);
    return bytes;
}

static void forget(const ffai__checkpoint *checkpoint, const void *bytes, uint64_t size)
{
    for (size_t i = 0; i < checkpoint->shard_count && bytes; i++) {
        if (checkpoint->shards[i].map)
            ffai__file_map_forget(checkpoint->shards[i].map, bytes, size);
    }
}

void ffai__checkpoint_forget(const ffai__checkpoint *checkpoint, const ffai__weight *weight)
{
    forget(checkpoint, weight->data, ffai__weight_row_bytes(weight) * (uint64_t)weight->rows);
    if (weight->packing != FFAI__MLX_AFFINE)
        return;
    const uint64_t groups = (uint64_t)(weight->columns / weight->group_size) * (uint64_t)weight->rows;
    forget(checkpoint, weight->scales, groups * ffai__dtype_size(weight->scale_dtype));
    forget(checkpoint, weight->biases, groups * ffai__dtype_size(weight->scale_dtype));
}

ffai_status ffai__checkpoint_check(const ffai__checkpoint *checkpoint, ffai_error *err)
{
    for (size_t i = 0; i < checkpoint->shard_count; i++) {
        if (checkpoint->shards[i].map)
            FFAI__TRY(ffai__file_map_check(checkpoint->shards[i].map, err));
    }
    return FFAI_OK;
}
