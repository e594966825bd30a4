#define _GNU_SOURCE
#include "safetensors_writer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "file_map.h"
#include "json.h"
#include "output_file.h"
#include "string_map.h"

typedef struct {
    char *name;
    ffai__dtype dtype;
    ffai__shape shape;
    uint64_t bytes;
    uint64_t begin; /* within its shard */
    size_t shard;
} declared;

struct ffai__safetensors_writer {
    char *folder;
    uint64_t shard_bytes;
    declared *tensors;
    size_t count;
    size_t capacity;
    ffai__string_map *names;
    size_t shard_count; /* 0 until the first append */
    size_t current;     /* the tensor that the next byte belongs to */
    uint64_t written;   /* bytes of it */
    ffai__output_file *file;
    size_t finished_shards;
    bool finished;
};

ffai_status ffai__safetensors_writer_open(ffai__safetensors_writer **out, const char *folder, uint64_t shard_bytes,
                                          ffai_error *err)
{
    ffai__safetensors_writer *writer = ffai__calloc(1, sizeof *writer);
    if (!writer)
        return ffai__fail_memory(err, folder, sizeof *writer);
    writer->folder = ffai__strdup(folder);
    writer->names = ffai__string_map_new(256);
    writer->shard_bytes = shard_bytes;
    if (!writer->folder || !writer->names) {
        ffai__safetensors_writer_free(writer);
        return ffai__fail_memory(err, folder, sizeof *writer);
    }
    *out = writer;
    return FFAI_OK;
}

static bool grow(ffai__safetensors_writer *writer)
{
    if (writer->count < writer->capacity)
        return true;
    const size_t capacity = writer->capacity ? writer->capacity * 2 : 64;
    declared *tensors = ffai__realloc(writer->tensors, capacity, sizeof *tensors);
    if (!tensors)
        return false;
    writer->tensors = tensors;
    writer->capacity = capacity;
    return true;
}

ffai_status ffai__safetensors_writer_declare(ffai__safetensors_writer *writer, const char *name, ffai__dtype dtype,
                                             const ffai__shape *shape, ffai_error *err)
{
    uint64_t bytes = 0;
    if (writer->shard_count)
        return ffai__fail(err, FFAI_E_ARGUMENT, "tensor \"%s\" is declared after data was written", name);
    if (!ffai__shape_elements(&bytes, shape) || !ffai__mul(&bytes, bytes, ffai__dtype_size(dtype)))
        return ffai__fail(err, FFAI_E_ARGUMENT, "tensor \"%s\" is too large", name);
    char *copy = grow(writer) ? ffai__strdup(name) : NULL;
    if (!copy)
        return ffai__fail_memory(err, name, strlen(name));
    const ffai__map_result added = ffai__string_map_add(writer->names, copy, strlen(copy), writer->count);
    if (added != FFAI__MAP_NEW) {
        ffai__free(copy);
        if (added == FFAI__MAP_EXISTS)
            return ffai__fail(err, FFAI_E_ARGUMENT, "tensor \"%s\" is declared twice", name);
        return ffai__fail_memory(err, name, writer->count);
    }
    writer->tensors[writer->count++] = (declared){copy, dtype, *shape, bytes, 0, 0};
    return FFAI_OK;
}

/* ---- the plan ---- */

static void assign_shards(ffai__safetensors_writer *writer)
{
    uint64_t used = 0;
    size_t shard = 0;
    for (size_t i = 0; i < writer->count; i++) {
        declared *tensor = &writer->tensors[i];
        if (used && tensor->bytes && (used > writer->shard_bytes || tensor->bytes > writer->shard_bytes - used)) {
            shard++;
            used = 0;
        }
        tensor->shard = shard;
        tensor->begin = used;
        used += tensor->bytes;
    }
    writer->shard_count = shard + 1;
}

static char *shard_name(const ffai__safetensors_writer *writer, size_t shard)
{
    if (writer->shard_count == 1)
        return ffai__format("model.safetensors");
    return ffai__format("model-%05zu-of-%05zu.safetensors", shard + 1, writer->shard_count);
}

static char *shard_path(const ffai__safetensors_writer *writer, size_t shard)
{
    char *name = shard_name(writer, shard);
    char *path = name ? ffai__path_join(writer->folder, name) : NULL;
    ffai__free(name);
    return path;
}

/* ---- one shard ---- */

static json_t *tensor_json(const declared *tensor)
{
    json_t *shape = json_array();
    for (int i = 0; i < tensor->shape.rank; i++) {
        if (json_array_append_new(shape, json_integer((json_int_t)tensor->shape.dims[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", ffai__dtype_name(tensor->dtype), "shape", shape, "data_offsets",
                     (json_int_t)tensor->begin, (json_int_t)tensor->begin + (json_int_t)tensor->bytes);
}

/* The header, padded so that data begins at a multiple of 8. */
static char *shard_header(const ffai__safetensors_writer *writer, size_t shard)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "mlx");
    int failed = !header;
    for (size_t i = 0; i < writer->count && !failed; i++) {
        const declared *tensor = &writer->tensors[i];
        if (tensor->shard == shard)
            failed = json_object_set_new(header, tensor->name, tensor_json(tensor));
    }
    char *text = failed ? NULL : ffai__json_dump(header, JSON_COMPACT);
    json_decref(header);
    const size_t length = text ? strlen(text) : 0;
    char *padded = text ? ffai__format("%-*s", (int)((length + 7) / 8 * 8), text) : NULL;
    ffai__free(text);
    return padded;
}

static ffai_status write_header(ffai__safetensors_writer *writer, const char *header, ffai_error *err)
{
    const uint64_t length = strlen(header);
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)(length >> 8 * i);
    FFAI__TRY(ffai__output_write(writer->file, prefix, sizeof prefix, err));
    return ffai__output_write(writer->file, header, (size_t)length, err);
}

static ffai_status begin_shard(ffai__safetensors_writer *writer, size_t shard, ffai_error *err)
{
    char *path = shard_path(writer, shard);
    char *header = shard_header(writer, shard);
    ffai_status status =
        path && header ? ffai__output_open(&writer->file, path, err) : ffai__fail_memory(err, "a header", 0);
    if (status == FFAI_OK)
        status = write_header(writer, header, err);
    ffai__free(header);
    ffai__free(path);
    return status;
}

static ffai_status end_shard(ffai__safetensors_writer *writer, ffai_error *err)
{
    FFAI__TRY(ffai__output_finish(writer->file, err));
    ffai__output_free(writer->file);
    writer->file = NULL;
    writer->finished_shards++;
    return FFAI_OK;
}

/* Leave tensors that are full (those of no bytes are at once), opening and closing files on the way. */
static ffai_status settle(ffai__safetensors_writer *writer, ffai_error *err)
{
    while (writer->current < writer->count) {
        const declared *tensor = &writer->tensors[writer->current];
        if (!writer->file)
            FFAI__TRY(begin_shard(writer, tensor->shard, err));
        if (writer->written < tensor->bytes)
            return FFAI_OK;
        writer->written = 0;
        writer->current++;
        if (writer->current < writer->count && writer->tensors[writer->current].shard != tensor->shard)
            FFAI__TRY(end_shard(writer, err));
    }
    return FFAI_OK;
}

static ffai_status start(ffai__safetensors_writer *writer, ffai_error *err)
{
    if (writer->shard_count)
        return FFAI_OK;
    assign_shards(writer);
    return settle(writer, err);
}

ffai_status ffai__safetensors_writer_append(ffai__safetensors_writer *writer, const void *bytes, size_t size,
                                            ffai_error *err)
{
    FFAI__TRY(start(writer, err));
    if (size == 0)
        return FFAI_OK;
    if (writer->current == writer->count || size > writer->tensors[writer->current].bytes - writer->written)
        return ffai__fail(err, FFAI_E_ARGUMENT, "more data is written than tensor \"%s\" declared",
                          writer->current < writer->count ? writer->tensors[writer->current].name : "");
    FFAI__TRY(ffai__output_write(writer->file, bytes, size, err));
    writer->written += size;
    return settle(writer, err);
}

/* ---- the end ---- */

static json_t *index_json(const ffai__safetensors_writer *writer)
{
    uint64_t total = 0;
    json_t *map = json_object();
    int failed = !map;
    for (size_t i = 0; i < writer->count && !failed; i++) {
        char *name = shard_name(writer, writer->tensors[i].shard);
        failed = !name || json_object_set_new(map, writer->tensors[i].name, json_string(name));
        total += writer->tensors[i].bytes;
        ffai__free(name);
    }
    if (failed) {
        json_decref(map);
        return NULL;
    }
    return json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
}

static ffai_status write_index(const ffai__safetensors_writer *writer, ffai_error *err)
{
    json_t *index = index_json(writer);
    char *text = index ? ffai__json_dump(index, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    char *path = ffai__path_join(writer->folder, "model.safetensors.index.json");
    const ffai_status status =
        text && path ? ffai__output_whole(path, text, strlen(text), err) : ffai__fail_memory(err, "the index", 0);
    ffai__free(path);
    ffai__free(text);
    json_decref(index);
    return status;
}

ffai_status ffai__safetensors_writer_finish(ffai__safetensors_writer *writer, ffai_error *err)
{
    FFAI__TRY(start(writer, err));
    if (writer->current < writer->count)
        return ffai__fail(err, FFAI_E_ARGUMENT, "tensor \"%s\" was not written whole",
                          writer->tensors[writer->current].name);
    if (!writer->file && writer->count == 0)
        FFAI__TRY(begin_shard(writer, 0, err));
    FFAI__TRY(end_shard(writer, err));
    if (writer->shard_count > 1)
        FFAI__TRY(write_index(writer, err));
    writer->finished = true;
    return FFAI_OK;
}

static void remove_shards(const ffai__safetensors_writer *writer)
{
    for (size_t i = 0; i < writer->finished_shards; i++) {
        char *path = shard_path(writer, i);
        if (path)
            unlink(path);
        ffai__free(path);
    }
}

void ffai__safetensors_writer_free(ffai__safetensors_writer *writer)
{
    if (!writer)
        return;
    ffai__output_free(writer->file);
    if (!writer->finished && writer->folder)
        remove_shards(writer);
    for (size_t i = 0; i < writer->count; i++)
        ffai__free(writer->tensors[i].name);
    ffai__free(writer->tensors);
    ffai__string_map_free(writer->names);
    ffai__free(writer->folder);
    ffai__free(writer);
}
