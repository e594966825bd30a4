#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json.h"

enum { LENGTH_BYTES = 8 };

#define MAX_HEADER 100000000u /* the specification's own cap */

typedef unsigned long long number; /* for %llu */

typedef struct {
    const char *what;
    const uint8_t *data; /* the section after the header */
    uint64_t data_size;
    uint64_t data_start; /* in the file */
    ffai_error *err;
} context;

static ffai_status refuse(const context *in, const char *name, const char *why)
{
    return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\": %s", in->what, name, why);
}

static ffai_status read_dtype(ffai__safetensor *tensor, const json_t *entry, const context *in)
{
    const json_t *dtype = json_object_get(entry, "dtype");
    if (!json_is_string(dtype))
        return refuse(in, tensor->name, "\"dtype\" must be a string");
    if (!ffai__dtype_find(&tensor->dtype, json_string_value(dtype), json_string_length(dtype)))
        return ffai__fail(in->err, FFAI_E_UNSUPPORTED, "%s: tensor \"%s\": dtype \"%s\" is not supported", in->what,
                          tensor->name, json_string_value(dtype));
    return FFAI_OK;
}

static ffai_status read_shape(ffai__safetensor *tensor, const json_t *entry, const context *in)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return refuse(in, tensor->name, "\"shape\" must be an array");
    if (json_array_size(shape) > FFAI__MAX_RANK)
        return refuse(in, tensor->name, "has more than 8 dimensions");
    tensor->shape.rank = (int)json_array_size(shape);
    for (int i = 0; i < tensor->shape.rank; i++) {
        int64_t dimension = 0;
        if (!ffai__json_integer(&dimension, json_array_get(shape, (size_t)i)) || dimension < 0)
            return refuse(in, tensor->name, "\"shape\" must hold integers that are not negative");
        tensor->shape.dims[i] = (uint64_t)dimension;
    }
    return FFAI_OK;
}

static ffai_status read_offsets(ffai__safetensor *tensor, const json_t *entry, const context *in)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    int64_t begin = 0;
    int64_t end = 0;
    if (json_array_size(offsets) != 2 || !ffai__json_integer(&begin, json_array_get(offsets, 0)) ||
        !ffai__json_integer(&end, json_array_get(offsets, 1)) || begin < 0 || end < begin)
        return refuse(in, tensor->name, "\"data_offsets\" must be two ascending integers");
    tensor->begin = (uint64_t)begin;
    tensor->end = (uint64_t)end;
    if (tensor->end > in->data_size)
        return ffai__fail(in->err, FFAI_E_FORMAT,
                          "%s: tensor \"%s\" ends at byte %llu but the file has %llu: the download looks incomplete; "
                          "fetch it again",
                          in->what, tensor->name, (number)in->data_start + tensor->end,
                          (number)(in->data_start + in->data_size));
    tensor->data = in->data + tensor->begin;
    return FFAI_OK;
}

static ffai_status check_size(const ffai__safetensor *tensor, const context *in)
{
    char text[128];
    uint64_t bytes = 0;
    if (!ffai__shape_elements(&bytes, &tensor->shape) || !ffai__mul(&bytes, bytes, ffai__dtype_size(tensor->dtype)))
        return refuse(in, tensor->name, "the product of its shape is too large");
    if (bytes != tensor->end - tensor->begin)
        return ffai__fail(in->err, FFAI_E_FORMAT,
                          "%s: tensor \"%s\": shape %s of %s takes %llu bytes but \"data_offsets\" give it %llu",
                          in->what, tensor->name, ffai__shape_text(&tensor->shape, text, sizeof text),
                          ffai__dtype_name(tensor->dtype), (number)bytes, (number)tensor->end - tensor->begin);
    return FFAI_OK;
}

static ffai_status read_tensor(ffai__safetensor *tensor, const json_t *entry, const context *in)
{
    if (strlen(tensor->name) > FFAI__MAX_TENSOR_NAME)
        return ffai__fail(in->err, FFAI_E_LIMIT, "%s: a tensor's name is longer than %d bytes", in->what,
                          FFAI__MAX_TENSOR_NAME);
    if (!json_is_object(entry))
        return refuse(in, tensor->name, "must be an object with dtype, shape and data_offsets");
    FFAI__TRY(read_dtype(tensor, entry, in));
    FFAI__TRY(read_shape(tensor, entry, in));
    FFAI__TRY(read_offsets(tensor, entry, in));
    return check_size(tensor, in);
}

static ffai_status check_metadata(const json_t *metadata, const context *in)
{
    if (json_is_null(metadata)) /* mlx writes that where there is none */
        return FFAI_OK;
    if (!json_is_object(metadata))
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: \"__metadata__\" must be an object", in->what);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (!json_is_string(value))
            return ffai__fail(in->err, FFAI_E_FORMAT, "%s: \"__metadata__\": \"%s\" must be a string", in->what, key);
    }
    return FFAI_OK;
}

static int by_offset(const void *left, const void *right)
{
    const ffai__safetensor *a = left;
    const ffai__safetensor *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* The data must be covered from its first to its last byte, each once. */
static ffai_status check_coverage(const ffai__safetensors *file, const context *in)
{
    uint64_t covered = 0;
    for (size_t i = 0; i < file->count; i++) {
        const ffai__safetensor *tensor = &file->tensors[i];
        if (tensor->begin != covered)
            return ffai__fail(in->err, FFAI_E_FORMAT,
                              "%s: tensor \"%s\" begins at data byte %llu %s byte %llu, where the one before it ends",
                              in->what, tensor->name, (number)tensor->begin,
                              tensor->begin < covered ? "and overlaps" : "and leaves a hole after", (number)covered);
        covered = tensor->end;
    }
    if (covered != in->data_size)
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: its tensors end at byte %llu but the file has %llu", in->what,
                          (number)in->data_start + covered, (number)(in->data_start + in->data_size));
    return FFAI_OK;
}

static ffai_status read_tensors(ffai__safetensors *file, const context *in)
{
    file->tensors = ffai__calloc(json_object_size(file->header), sizeof *file->tensors);
    if (!file->tensors)
        return ffai__fail_memory(in->err, in->what, json_object_size(file->header) * sizeof *file->tensors);
    const char *name = NULL;
    json_t *entry = NULL;
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) {
            FFAI__TRY(check_metadata(entry, in));
            continue;
        }
        ffai__safetensor *tensor = &file->tensors[file->count++];
        tensor->name = name;
        FFAI__TRY(read_tensor(tensor, entry, in));
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
    return check_coverage(file, in);
}

static ffai_status header_length(uint64_t *length, const uint8_t *bytes, uint64_t size, const char *what,
                                 ffai_error *err)
{
    if (size < LENGTH_BYTES)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: has %llu bytes, too few for a safetensors file", what, (number)size);
    *length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        *length |= (uint64_t)bytes[i] << 8 * i;
    if (*length > MAX_HEADER)
        return ffai__fail(err, FFAI_E_FORMAT,
                          "%s: declares a header of %llu bytes, more than the format's %u: not a safetensors file, "
                          "or damaged",
                          what, (number)*length, MAX_HEADER);
    if (*length > size - LENGTH_BYTES)
        return ffai__fail(err, FFAI_E_FORMAT,
                          "%s: the header ends at byte %llu but the file has %llu: the download looks incomplete; "
                          "fetch it again",
                          what, (number)*length + LENGTH_BYTES, (number)size);
    if (*length == 0 || bytes[LENGTH_BYTES] != '{')
        return ffai__fail(err, FFAI_E_FORMAT, "%s: the header must be a JSON object", what);
    return FFAI_OK;
}

ffai_status ffai__safetensors_parse(ffai__safetensors **out, const uint8_t *bytes, uint64_t size, const char *what,
                                    ffai_error *err)
{
    uint64_t length = 0;
    FFAI__TRY(header_length(&length, bytes, size, what, err));
    ffai__safetensors *file = ffai__calloc(1, sizeof *file);
    if (!file)
        return ffai__fail_memory(err, what, sizeof *file);
    const uint64_t start = LENGTH_BYTES + length;
    const context in = {what, bytes + start, size - start, start, err};
    ffai_status status = ffai__json_parse(&file->header, (const char *)bytes + LENGTH_BYTES, (size_t)length, what, err);
    if (status == FFAI_OK)
        status = read_tensors(file, &in);
    if (status != FFAI_OK) {
        ffai__safetensors_free(file);
        return status;
    }
    *out = file;
    return FFAI_OK;
}

void ffai__safetensors_free(ffai__safetensors *file)
{
    if (!file)
        return;
    json_decref(file->header);
    ffai__free(file->tensors);
    ffai__free(file);
}
