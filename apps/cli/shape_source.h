/* The flags of commands that measure a model: it is named, or has random weights in the shape of a published one. */
#ifndef FFAI_CLI_SHAPE_SOURCE_H
#define FFAI_CLI_SHAPE_SOURCE_H

#include "model_source.h"

typedef struct shape_settings {
    setting name, bits, group_size;
    setting layers; /* of bench alone */
} shape_settings;

/* Rows for a table whose settings have a model_settings called `model` and a shape_settings called `shape`. */
#define SHAPE_OPTIONS                                                                                                  \
    VALUE(OPTION_MODEL, 'm', "model", "MODEL", model.path, "a folder, a .gguf file or org/repo"),                      \
        VALUE(OPTION_SHAPE, 0, "shape", "NAME", shape.name, "or random weights in the shape of a published model"),    \
        VALUE(OPTION_CHOICE, 0, "bits", "16|8|6|5|4|3|2", shape.bits,                                                  \
              "a shape's weights: 16 is bf16, fewer are affine"),                                                      \
        VALUE(OPTION_CHOICE, 0, "group-size", "16|32|64|128", shape.group_size,                                        \
              "weights that share a scale (default: 64)")

/* EXIT_OK, or what contradicts or is missing has been reported. */
int shape_check(const char *command, const model_settings *model, const shape_settings *shape);

/* 0 for a model; group size also for 16 bits. */
int shape_bits(const shape_settings *shape);
int shape_group_size(const shape_settings *shape);
/* The shape that is named; all zero where a model is. */
void shape_find(ffai_shape *out, const shape_settings *shape);

/* Load the model, or make one of random weights; without a tokenizer. times as of model_open. */
ffai_status shape_or_model_open(ffai_model **out, timeline *times, const model_settings *model,
                                const shape_settings *shape, ffai_error *err);

#endif
