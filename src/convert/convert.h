/* From any checkpoint to a folder in MLX's format: safetensors, config.json and the tokenizer's documents. */
#ifndef FFAI_CONVERT_CONVERT_H
#define FFAI_CONVERT_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"
#include "recipe.h"

typedef enum ffai__convert_dtype {
    FFAI__CONVERT_KEEP, /* dense tensors as they are, affine ones repacked without loss */
    FFAI__CONVERT_BF16, /* every float tensor in this type; affine ones are dequantized */
    FFAI__CONVERT_F16,
    FFAI__CONVERT_F32,
} ffai__convert_dtype;

typedef enum ffai__convert_method {
    FFAI__CONVERT_MLX,        /* round as mx.quantize does */
    FFAI__CONVERT_CALIBRATED, /* the least squared error of a group, its columns weighted (search.h) */
} ffai__convert_method;

/* What a conversion is going to write. */
typedef struct ffai__convert_estimate {
    uint64_t bytes;        /* of all tensors */
    uint64_t source_bytes; /* of those that they are made of */
    uint64_t parameters;   /* elements of these */
    size_t tensors;        /* as many weights; affine groups with their scales are one */
    size_t rounded;        /* of them */
    size_t rounded_again;  /* of those, how many were affine groups before */
    uint64_t free_bytes;   /* on the destination's disk */
} ffai__convert_estimate;

typedef struct ffai__convert_options {
    ffai__convert_dtype dtype;
    uint64_t shard_bytes; /* data of one safetensors file at most, as far as whole tensors allow */
    bool overwrite;       /* replace an existing checkpoint: a folder with config.json and no folders in it */
    /* Called now and then with the bytes written so far and in all; false cancels. May be NULL. */
    bool (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
    ffai__recipe recipe; /* which weights are rounded to affine groups, of values as dtype has them */
    ffai__convert_method method;
    /* With FFAI__CONVERT_CALIBRATED, both with calibration_context: find out what weights are multiplied with, called
     * once when nothing but the work is left; and the mean square of what each of a weight's columns is multiplied
     * with, [columns], or NULL: all the same. */
    ffai_status (*calibrate)(void *calibration_context, ffai_error *err);
    const float *(*importance)(void *calibration_context, const ffai__weight *weight);
    void *calibration_context;
    bool without_tied_head; /* leave "lm_head.weight" out: the embedding's copy, which nobody reads */
    int threads;            /* 0: one for each core that this process may use */
    /* Called once, with the context above, before anything is written; false cancels. May be NULL. */
    bool (*estimated)(void *context, const ffai__convert_estimate *estimate);
} ffai__convert_options;

#define FFAI__CONVERT_OPTIONS_INIT                                                                                     \
    {                                                                                                                  \
        .dtype = FFAI__CONVERT_KEEP, .shard_bytes = 5000000000u                                                        \
    }

/* destination appears when all of it is on the disk: it is written under a temporary name beside its own. On
 * failure nothing is left and a folder that was there is untouched. FFAI_E_ARGUMENT where destination exists
 * and may not be replaced, FFAI_E_IO where its disk has no room, before anything is written, FFAI_E_CANCELLED where
 * progress said so. Memory: a row of the widest tensor for each thread, and the scales of the largest that is rounded;
 * of the source, which is mapped, one tensor stays in memory. The result does not depend on the number of threads. */
ffai_status ffai__convert(const char *source, const char *destination, const ffai__convert_options *options,
                          ffai_error *err);

#endif
