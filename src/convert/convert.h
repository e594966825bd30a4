/* From any checkpoint to a folder in MLX's format: safetensors, config.json and the tokenizer's documents. */
#ifndef FFAI_CONVERT_CONVERT_H
#define FFAI_CONVERT_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

typedef enum ffai__convert_dtype {
    FFAI__CONVERT_KEEP, /* dense tensors as they are, affine ones repacked without loss */
    FFAI__CONVERT_BF16, /* every float tensor in this type; affine ones are dequantized */
    FFAI__CONVERT_F16,
    FFAI__CONVERT_F32,
} ffai__convert_dtype;

typedef struct ffai__convert_options {
    ffai__convert_dtype dtype;
    uint64_t shard_bytes; /* data of one safetensors file at most, as far as whole tensors allow */
    bool overwrite;       /* replace an existing checkpoint: a folder with config.json and no folders in it */
    /* Called after each tensor with the bytes written so far and in all; false cancels. May be NULL. */
    bool (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
} ffai__convert_options;

#define FFAI__CONVERT_OPTIONS_INIT                                                                                     \
    {                                                                                                                  \
        FFAI__CONVERT_KEEP, 5000000000u, false, NULL, NULL                                                             \
    }

/* destination appears when all of it is on the disk: it is written under a temporary name beside its own. On
 * failure nothing is left and a folder that was there is untouched. FFAI_E_ARGUMENT where destination exists
 * and may not be replaced, FFAI_E_CANCELLED where progress said so. Memory: a row of the widest tensor. */
ffai_status ffai__convert(const char *source, const char *destination, const ffai__convert_options *options,
                          ffai_error *err);

#endif
