/* A GGUF file as a checkpoint: its tensors under Hugging Face's names, its metadata as documents. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "contents.h"
#include "gguf_documents.h"
#include "gguf_names.h"
#include "gguf_parts.h"
#include "k_block.h"

enum { NAME_ROOM = 320 };

typedef struct {
    ffai__checkpoint *checkpoint;
    const ffai__gguf *file;
    const ffai__gguf_family *family;
    int64_t heads;
    int64_t kv_heads;
    ffai_error *err;
} source;

/* A vector is one row, so row_order cannot be said of it: copy it into natural order. */
static ffai_status permute_vector(ffai__weight *weight, const source *in, int64_t heads)
{
    const size_t element = ffai__dtype_size(weight->dtype);
    uint8_t *copy = ffai__checkpoint_own(in->checkpoint, (size_t)weight->columns * element);
    if (!copy)
        return ffai__fail_memory(in->err, weight->name, (uint64_t)weight->columns * element);
    const int64_t head_dim = weight->columns / heads;
    for (int64_t i = 0; i < weight->columns; i++) {
        const int64_t within = i % head_dim;
        const int64_t half = head_dim / 2;
        const int64_t from = i - within + (within < half ? 2 * within : 2 * (within - half) + 1);
        memcpy(copy + (size_t)i * element, (const uint8_t *)weight->data + (size_t)from * element, element);
    }
    weight->data = copy;
    return FFAI_OK;
}

static ffai_status set_row_order(ffai__weight *weight, const source *in, ffai__gguf_role role)
{
    const int64_t heads = role == FFAI__GGUF_QUERY ? in->heads : in->kv_heads;
    const int64_t outputs = weight->rank == 1 ? weight->columns : weight->rows;
    if (outputs % heads || outputs / heads % 2 || weight->rank > 2)
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\": %lld rows do not split into %lld even heads",
                          in->file->what, weight->name, (long long)outputs, (long long)heads);
    if (weight->rank == 2) {
        weight->rope_heads = (int)heads;
        return FFAI_OK;
    }
    return permute_vector(weight, in, heads);
}

static ffai_status name_weight(ffai__weight *weight, ffai__gguf_role *role, const source *in,
                               const ffai__gguf_tensor *tensor)
{
    char name[NAME_ROOM];
    if (!ffai__gguf_name(name, sizeof name, role, tensor->name))
        return ffai__fail(in->err, FFAI_E_UNSUPPORTED, "%s: tensor \"%s\" has no place in architecture %s",
                          tensor->what, tensor->name, in->family->name);
    char *copy = ffai__checkpoint_own(in->checkpoint, strlen(name) + 1);
    if (!copy)
        return ffai__fail_memory(in->err, name, sizeof name);
    memcpy(copy, name, strlen(name) + 1);
    weight->name = copy;
    return FFAI_OK;
}

static ffai_status build_weight(ffai__entry *entry, const source *in, const ffai__gguf_tensor *tensor)
{
    ffai__gguf_role role = FFAI__GGUF_OTHER;
    ffai__weight *weight = &entry->weight;
    if (!tensor->supported)
        return ffai__fail(in->err, FFAI_E_UNSUPPORTED,
                          "%s: tensor \"%s\": type %s is not supported; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, "
                          "Q8_0 and Q2_K to Q6_K are: use a file quantized so",
                          tensor->what, tensor->name, tensor->type);
    FFAI__TRY(name_weight(weight, &role, in, tensor));
    entry->shape = tensor->shape;
    ffai__shape_apply(weight, &tensor->shape);
    weight->packing = tensor->packing;
    weight->dtype = tensor->dtype;
    weight->data = tensor->data;
    if (ffai__weight_is_affine(weight)) {
        if (weight->rank < 2)
            return ffai__fail(in->err, FFAI_E_UNSUPPORTED, "%s: tensor \"%s\": a vector of %s is not supported",
                              tensor->what, tensor->name, tensor->type);
        weight->bits = tensor->bits;
        weight->group_size = ffai__packing_is_k(weight->packing) ? ffai__k_group_size(weight->packing) : 32;
        weight->scale_dtype = tensor->dtype;
    }
    if (role != FFAI__GGUF_OTHER && in->family->interleaved)
        return set_row_order(weight, in, role);
    return FFAI_OK;
}

static ffai_status build_weights(source *in)
{
    ffai__checkpoint *checkpoint = in->checkpoint;
    FFAI__TRY(ffai__gguf_family_of(&in->family, in->file, in->err));
    FFAI__TRY(ffai__gguf_heads(&in->heads, &in->kv_heads, in->file, in->family, in->err));
    checkpoint->entries = ffai__calloc(in->file->tensor_count, sizeof *checkpoint->entries);
    if (!checkpoint->entries)
        return ffai__fail_memory(in->err, in->file->what, in->file->tensor_count * sizeof *checkpoint->entries);
    for (size_t i = 0; i < in->file->tensor_count; i++) {
        const ffai__gguf_tensor *tensor = &in->file->tensors[i];
        if (strcmp(tensor->name, "rope_freqs.weight") == 0) /* in the config as rope_scaling */
            continue;
        FFAI__TRY(build_weight(&checkpoint->entries[checkpoint->count], in, tensor));
        checkpoint->count++;
    }
    return FFAI_OK;
}

static ffai_status fill(ffai__checkpoint *checkpoint, bool documents_only, ffai_error *err)
{
    FFAI__TRY(ffai__gguf_config(&checkpoint->config, checkpoint->gguf, err));
    FFAI__TRY(ffai__gguf_generation_config(&checkpoint->generation_config, checkpoint->gguf, err));
    if (documents_only)
        return FFAI_OK;
    source in = {.checkpoint = checkpoint, .file = checkpoint->gguf, .err = err};
    return build_weights(&in);
}

ffai_status ffai__gguf_checkpoint_read_bytes(ffai__checkpoint *checkpoint, const uint8_t *bytes, uint64_t size,
                                             bool documents_only, ffai_error *err)
{
    FFAI__TRY(ffai__gguf_parse(&checkpoint->gguf, bytes, size, checkpoint->path, err));
    FFAI__TRY(ffai__gguf_refuse_parts(checkpoint->gguf, err));
    return fill(checkpoint, documents_only, err);
}

ffai_status ffai__gguf_checkpoint_read(ffai__checkpoint *checkpoint, bool documents_only, ffai_error *err)
{
    ffai__shard *shard = NULL;
    FFAI__TRY(ffai__checkpoint_map(&shard, checkpoint, checkpoint->path, err));
    FFAI__TRY(ffai__gguf_parse(&checkpoint->gguf, ffai__file_map_data(shard->map), ffai__file_map_size(shard->map),
                               checkpoint->path, err));
    FFAI__TRY(ffai__gguf_join_parts(checkpoint, err));
    return fill(checkpoint, documents_only, err);
}
