/* A folder: config.json, its safetensors files, and MLX's triples of weight, scales and biases. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "contents.h"
#include "json.h"
#include "quantization.h"

enum { MAX_SHARDS = 1000 };

typedef struct {
    const ffai__safetensor *tensor;
    const char *file; /* path, for errors */
    bool taken;       /* it is the scales or biases of a weight */
} part;

typedef struct {
    ffai__checkpoint *checkpoint;
    char **files; /* names of the shards, ascending */
    size_t file_count;
    part *parts;
    size_t part_count;
    ffai__string_map *by_name; /* tensor name -> position in parts */
    ffai__quantization quantization;
    char *config_path;
    json_t *shard_index;
    ffai_error *err;
} folder;

/* ---- which files ---- */

static ffai_status add_file(folder *in, const char *name)
{
    if (in->file_count == MAX_SHARDS)
        return ffai__fail(in->err, FFAI_E_LIMIT, "%s: has more than %d safetensors files", in->checkpoint->path,
                          MAX_SHARDS);
    char **files = ffai__realloc(in->files, in->file_count + 1, sizeof *files);
    if (!files)
        return ffai__fail_memory(in->err, name, sizeof *files);
    in->files = files;
    files[in->file_count] = ffai__strdup(name);
    if (!files[in->file_count])
        return ffai__fail_memory(in->err, name, strlen(name));
    in->file_count++;
    return FFAI_OK;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static bool is_plain_name(const char *name)
{
    return name[0] && !strchr(name, '/') && !strchr(name, '\\') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* The shards that the index names, each once. */
static ffai_status files_of_index(folder *in, const json_t *weight_map, const char *path)
{
    json_t *seen = json_object();
    ffai_status status = seen ? FFAI_OK : ffai__fail_memory(in->err, path, 0);
    const char *tensor = NULL;
    json_t *file = NULL;
    json_object_foreach((json_t *)weight_map, tensor, file)
    {
        const char *name = json_is_string(file) ? json_string_value(file) : "";
        if (status != FFAI_OK || json_object_get(seen, name))
            continue;
        if (!is_plain_name(name) || strlen(name) != json_string_length(file))
            status = ffai__fail(in->err, FFAI_E_FORMAT,
                                "%s: weight_map: tensor \"%s\": \"%s\" is not the name of a file in this folder", path,
                                tensor, name);
        else if (json_object_set_new(seen, name, json_true()) != 0)
            status = ffai__fail_memory(in->err, path, strlen(name));
        else
            status = add_file(in, name);
    }
    json_decref(seen);
    return status;
}

static ffai_status list_index(folder *in)
{
    char *path = ffai__path_join(in->checkpoint->path, "model.safetensors.index.json");
    if (!path)
        return ffai__fail_memory(in->err, "model.safetensors.index.json", 0);
    const json_t *weight_map = json_object_get(in->shard_index, "weight_map");
    ffai_status status = FFAI_OK;
    if (!json_is_object(weight_map) || json_object_size(weight_map) == 0)
        status =
            ffai__fail(in->err, FFAI_E_FORMAT, "%s: field \"weight_map\": must be an object of tensor names", path);
    else
        status = files_of_index(in, weight_map, path);
    ffai__free(path);
    return status;
}

static bool is_model_file(const char *name)
{
    const char suffix[] = ".safetensors";
    const size_t length = strlen(name);
    return strncmp(name, "model", 5) == 0 && length >= 5 + sizeof suffix - 1 &&
           strcmp(name + length - (sizeof suffix - 1), suffix) == 0;
}

/* Without an index: model.safetensors, else every model*.safetensors, as mlx-lm does. */
static ffai_status list_folder(folder *in)
{
    char *single = ffai__path_join(in->checkpoint->path, "model.safetensors");
    if (!single)
        return ffai__fail_memory(in->err, "model.safetensors", 0);
    const bool there = ffai__path_kind_of(single) == FFAI__PATH_FILE;
    ffai__free(single);
    if (there)
        return add_file(in, "model.safetensors");
    DIR *directory = opendir(in->checkpoint->path);
    if (!directory)
        return ffai__fail(in->err, FFAI_E_IO, "%s: %s", in->checkpoint->path, strerror(errno));
    ffai_status status = FFAI_OK;
    for (struct dirent *entry = readdir(directory); entry && status == FFAI_OK; entry = readdir(directory)) {
        if (is_model_file(entry->d_name))
            status = add_file(in, entry->d_name);
    }
    closedir(directory);
    return status;
}

static ffai_status list_files(folder *in)
{
    const char *path = in->checkpoint->path;
    FFAI__TRY(ffai__folder_json(&in->shard_index, path, "model.safetensors.index.json", FFAI__INDEX_LIMIT, in->err));
    if (in->shard_index)
        FFAI__TRY(list_index(in));
    else
        FFAI__TRY(list_folder(in));
    if (in->file_count == 0)
        return ffai__fail(in->err, FFAI_E_NOT_FOUND,
                          "%s: has no model.safetensors and no model.safetensors.index.json: is this the model's "
                          "folder, and is its download complete?",
                          path);
    qsort(in->files, in->file_count, sizeof *in->files, by_text);
    return FFAI_OK;
}

/* ---- their tensors ---- */

static ffai_status open_file(folder *in, const char *name)
{
    char *path = ffai__path_join(in->checkpoint->path, name);
    if (!path)
        return ffai__fail_memory(in->err, name, strlen(name));
    ffai__shard *shard = NULL;
    ffai_status status = FFAI_OK;
    if (ffai__path_kind_of(path) == FFAI__PATH_MISSING)
        status = ffai__fail(in->err, FFAI_E_NOT_FOUND,
                            "%s: the file is missing, though model.safetensors.index.json names it: the download "
                            "looks incomplete; fetch it again",
                            path);
    else
        status = ffai__checkpoint_map(&shard, in->checkpoint, path, in->err);
    if (status == FFAI_OK)
        status = ffai__safetensors_parse(&shard->header, ffai__file_map_data(shard->map),
                                         ffai__file_map_size(shard->map), path, in->err);
    ffai__free(path);
    return status;
}

static ffai_status add_parts(folder *in, const ffai__shard *shard)
{
    for (size_t i = 0; i < shard->header->count; i++) {
        const ffai__safetensor *tensor = &shard->header->tensors[i];
        const char *file = shard->map ? ffai__file_map_path(shard->map) : in->checkpoint->path;
        uint64_t other = 0;
        switch (ffai__string_map_add(in->by_name, tensor->name, strlen(tensor->name), in->part_count)) {
        case FFAI__MAP_EXISTS:
            ffai__string_map_get(in->by_name, tensor->name, strlen(tensor->name), &other);
            return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\" is also in %s", file, tensor->name,
                              in->parts[other].file);
        case FFAI__MAP_NO_MEMORY:
            return ffai__fail_memory(in->err, file, in->part_count);
        case FFAI__MAP_NEW:
            in->parts[in->part_count++] = (part){tensor, file, false};
            break;
        }
    }
    return FFAI_OK;
}

static ffai_status collect_parts(folder *in)
{
    size_t total = 0;
    const size_t shard_count = in->checkpoint->shard_count;
    for (size_t i = 0; i < shard_count; i++)
        total += in->checkpoint->shards[i].header->count;
    in->parts = ffai__calloc(total, sizeof *in->parts);
    in->by_name = ffai__string_map_new(total);
    in->checkpoint->entries = ffai__calloc(total, sizeof *in->checkpoint->entries);
    if (!in->parts || !in->by_name || !in->checkpoint->entries)
        return ffai__fail_memory(in->err, in->checkpoint->path, total * sizeof *in->checkpoint->entries);
    for (size_t i = 0; i < shard_count; i++)
        FFAI__TRY(add_parts(in, &in->checkpoint->shards[i]));
    return FFAI_OK;
}

static part *find_part(const folder *in, const char *name, size_t length)
{
    uint64_t index = 0;
    return ffai__string_map_get(in->by_name, name, length, &index) ? &in->parts[index] : NULL;
}

/* Every tensor of the index must be in the shard that it names. */
static ffai_status check_index(const folder *in)
{
    const char *name = NULL;
    json_t *file = NULL;
    json_object_foreach(json_object_get(in->shard_index, "weight_map"), name, file)
    {
        const part *found = find_part(in, name, strlen(name));
        const char *base = found ? strrchr(found->file, '/') + 1 : NULL;
        if (!found || strcmp(base, json_string_value(file)) != 0)
            return ffai__fail(in->err, FFAI_E_FORMAT,
                              "%s/%s: tensor \"%s\" is not in it, though model.safetensors.index.json says so",
                              in->checkpoint->path, json_string_value(file), name);
    }
    return FFAI_OK;
}

/* ---- their weights ---- */

static part *sibling(const folder *in, const char *module, size_t length, const char *suffix)
{
    char name[FFAI__MAX_TENSOR_NAME + 16];
    const int size = snprintf(name, sizeof name, "%.*s%s", (int)length, module, suffix);
    return find_part(in, name, (size_t)size);
}

static bool ends_with(const char *name, const char *suffix, size_t *stem)
{
    const size_t length = strlen(name);
    const size_t tail = strlen(suffix);
    *stem = length - tail;
    return length > tail && strcmp(name + length - tail, suffix) == 0;
}

/* Scales and biases are as the weight, but for their last dimension. */
static bool side_fits(const part *side, const ffai__shape *shape, uint64_t groups)
{
    const ffai__shape *own = &side->tensor->shape;
    if (own->rank != shape->rank || own->dims[own->rank - 1] != groups)
        return false;
    for (int i = 0; i + 1 < shape->rank; i++) {
        if (own->dims[i] != shape->dims[i])
            return false;
    }
    return true;
}

static ffai_status refuse_shapes(const folder *in, const part *weight, const part *scales, const ffai__affine *affine)
{
    char a[128];
    char b[128];
    return ffai__fail(in->err, FFAI_E_FORMAT,
                      "%s: tensor \"%s\" %s and its scales %s do not fit %d bits in groups of %d, which %s gives",
                      weight->file, weight->tensor->name, ffai__shape_text(&weight->tensor->shape, a, sizeof a),
                      ffai__shape_text(&scales->tensor->shape, b, sizeof b), affine->bits, affine->group_size,
                      in->config_path);
}

static ffai_status check_triple(const folder *in, const part *weight, const part *scales, const part *biases,
                                const ffai__affine *affine)
{
    const char *name = weight->tensor->name;
    if (!biases)
        return ffai__fail(in->err, FFAI_E_UNSUPPORTED,
                          "%s: tensor \"%s\" has scales but no biases: only affine quantization is supported",
                          weight->file, name);
    if (weight->tensor->dtype != FFAI__U32 || weight->tensor->shape.rank < 2)
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\" has scales but is not a U32 matrix but %s",
                          weight->file, name, ffai__dtype_name(weight->tensor->dtype));
    if (affine->bits == 0 || affine->group_size == 0)
        return ffai__fail(in->err, FFAI_E_FORMAT,
                          "%s: tensor \"%s\" has scales but %s gives it no bits and group_size under "
                          "\"quantization\"",
                          weight->file, name, in->config_path);
    if (!ffai__dtype_is_float(scales->tensor->dtype) || scales->tensor->dtype != biases->tensor->dtype)
        return ffai__fail(in->err, FFAI_E_FORMAT,
                          "%s: tensor \"%s\": scales of %s and biases of %s: both must be the same of F16, BF16, F32",
                          weight->file, name, ffai__dtype_name(scales->tensor->dtype),
                          ffai__dtype_name(biases->tensor->dtype));
    return FFAI_OK;
}

static ffai_status group_triple(ffai__entry *entry, const folder *in, const part *weight, part *scales, part *biases,
                                const ffai__affine *affine)
{
    FFAI__TRY(check_triple(in, weight, scales, biases, affine));
    ffai__shape shape = weight->tensor->shape;
    uint64_t *last = &shape.dims[shape.rank - 1];
    const uint64_t words = *last;
    *last = words * 32 / (unsigned)affine->bits; /* words * 4 bytes are in the file, so this fits */
    const uint64_t groups = *last / (unsigned)affine->group_size;
    if (words * 32 % (unsigned)affine->bits || *last % (unsigned)affine->group_size || *last == 0 ||
        !side_fits(scales, &shape, groups) || !side_fits(biases, &shape, groups))
        return refuse_shapes(in, weight, scales, affine);
    ffai__shape_apply(&entry->weight, &shape);
    entry->shape = shape;
    entry->weight.packing = FFAI__MLX_AFFINE;
    entry->weight.bits = affine->bits;
    entry->weight.group_size = affine->group_size;
    entry->weight.scale_dtype = scales->tensor->dtype;
    entry->weight.scales = scales->tensor->data;
    entry->weight.biases = biases->tensor->data;
    scales->taken = true;
    biases->taken = true;
    return FFAI_OK;
}

static ffai_status build_weight(ffai__entry *entry, folder *in, const part *of)
{
    const ffai__safetensor *tensor = of->tensor;
    size_t stem = 0;
    entry->weight.name = tensor->name;
    entry->weight.dtype = tensor->dtype;
    entry->weight.data = tensor->data;
    part *scales = ends_with(tensor->name, ".weight", &stem) ? sibling(in, tensor->name, stem, ".scales") : NULL;
    if (scales) {
        part *biases = sibling(in, tensor->name, stem, ".biases");
        ffai__affine affine = {0, 0};
        FFAI__TRY(ffai__quantization_of(&affine, &in->quantization, tensor->name, stem, in->config_path, in->err));
        return group_triple(entry, in, of, scales, biases, &affine);
    }
    entry->weight.packing = FFAI__DENSE;
    entry->shape = tensor->shape;
    ffai__shape_apply(&entry->weight, &tensor->shape);
    return FFAI_OK;
}

/* Quantized weights first, because they take their scales and biases away. */
static ffai_status build_weights(folder *in)
{
    ffai__checkpoint *checkpoint = in->checkpoint;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < in->part_count; i++) {
            size_t stem = 0;
            const char *name = in->parts[i].tensor->name;
            const bool may_take = ends_with(name, ".weight", &stem);
            if (may_take != (pass == 0) || in->parts[i].taken)
                continue;
            FFAI__TRY(build_weight(&checkpoint->entries[checkpoint->count], in, &in->parts[i]));
            checkpoint->count++;
        }
    }
    return FFAI_OK;
}

/* Weights from the shards that are open. */
static ffai_status read_shards(folder *in)
{
    FFAI__TRY(ffai__quantization_read(&in->quantization, in->checkpoint->config, in->config_path, in->err));
    FFAI__TRY(collect_parts(in));
    FFAI__TRY(check_index(in));
    return build_weights(in);
}

static ffai_status read_files(folder *in)
{
    FFAI__TRY(list_files(in));
    for (size_t i = 0; i < in->file_count; i++)
        FFAI__TRY(open_file(in, in->files[i]));
    return read_shards(in);
}

static ffai_status read_weights(ffai__checkpoint *checkpoint, ffai_status (*read)(folder *), ffai_error *err)
{
    folder in = {.checkpoint = checkpoint, .err = err};
    in.config_path = ffai__path_join(checkpoint->path, "config.json");
    const ffai_status status = in.config_path ? read(&in) : ffai__fail_memory(err, checkpoint->path, 0);
    for (size_t i = 0; i < in.file_count; i++)
        ffai__free(in.files[i]);
    ffai__free(in.files);
    ffai__free(in.parts);
    ffai__free(in.config_path);
    ffai__string_map_free(in.by_name);
    json_decref(in.shard_index);
    return status;
}

ffai_status ffai__folder_read_bytes(ffai__checkpoint *checkpoint, const uint8_t *bytes, uint64_t size, ffai_error *err)
{
    ffai__shard *shard = NULL;
    FFAI__TRY(ffai__checkpoint_add_shard(&shard, checkpoint, err));
    FFAI__TRY(ffai__safetensors_parse(&shard->header, bytes, size, checkpoint->path, err));
    return read_weights(checkpoint, read_shards, err);
}

static ffai_status read_documents(ffai__checkpoint *checkpoint, bool documents_only, ffai_error *err)
{
    const char *path = checkpoint->path;
    FFAI__TRY(ffai__folder_json(&checkpoint->config, path, "config.json", FFAI__CONFIG_LIMIT, err));
    if (!checkpoint->config && !documents_only)
        return ffai__fail(err, FFAI_E_NOT_FOUND, "%s: has no config.json: is this a model's folder?", path);
    if (!checkpoint->config)
        checkpoint->config = json_object();
    if (!checkpoint->config)
        return ffai__fail_memory(err, path, 0);
    return ffai__folder_json(&checkpoint->generation_config, path, "generation_config.json", FFAI__CONFIG_LIMIT, err);
}

ffai_status ffai__folder_read(ffai__checkpoint *checkpoint, bool documents_only, ffai_error *err)
{
    FFAI__TRY(read_documents(checkpoint, documents_only, err));
    return documents_only ? FFAI_OK : read_weights(checkpoint, read_files, err);
}
