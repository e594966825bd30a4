/* A checkpoint of random weights: the third source beside a folder and a GGUF file, for measuring speed.
 *
 * Weights are about normal with a deviation of 0.02, norm weights about 1. What they hold repeats after some MiB and
 * lies in memory once, so a model of any size takes no more. There is no tokenizer. */
#ifndef FFAI_FORMATS_SYNTHETIC_H
#define FFAI_FORMATS_SYNTHETIC_H

#include "checkpoint.h"

typedef struct ffai__synthetic_tensor {
    char name[96];
    int64_t rows; /* 0: a vector, of norm weights */
    int64_t columns;
} ffai__synthetic_tensor;

typedef struct ffai__synthetic_weights {
    const ffai__synthetic_tensor *tensors;
    size_t count;
    int bits;       /* 16: bf16; else of MLX affine codes with bf16 scales */
    int group_size; /* of affine codes */
} ffai__synthetic_weights;

/* name stands for the path. config is taken over, even on failure. FFAI_E_ARGUMENT for bits or groups that the
 * format does not have, or that do not divide a tensor's columns. */
ffai_status ffai__checkpoint_make(ffai__checkpoint **out, const char *name, json_t *config,
                                  const ffai__synthetic_weights *weights, ffai_error *err);

#endif
