/* A weight turned into the tensors of MLX's format: carried over, cast, or rounded to affine groups. */
#ifndef FFAI_CONVERT_REPACK_H
#define FFAI_CONVERT_REPACK_H

#include "convert.h"
#include "rows.h"

typedef struct ffai__repack {
    const ffai__weight *weight;
    const ffai__shape *shape;
    bool affine;                 /* written as codes, scales and biases */
    bool rounded;                /* and its codes are made here, of its values as scale_dtype holds them */
    ffai__convert_method method; /* how they are made */
    const float *importance;     /* [columns] of calibrated codes; NULL: all the same */
    int bits;                    /* of an affine one, as written */
    int group_size;              /* the same */
    ffai__dtype dtype;           /* of a dense tensor, as written */
    ffai__dtype scale_dtype;     /* of an affine one, as written */
    uint64_t bytes;              /* in all */
} ffai__repack;

/* Decide how a weight is written. Reads the scales of GGUF blocks that are carried over: they stay f16 where each of
 * them, and each bias, is exact in f16, else that tensor's are f32. room is for a row of the weight. */
void ffai__repack_plan(ffai__repack *plan, const ffai__weight *weight, const ffai__shape *shape,
                       const ffai__convert_options *options, ffai__row_room *room);
ffai_status ffai__repack_declare(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai_error *err);
/* source names the checkpoint in errors. FFAI_E_FORMAT where a value cannot be rounded, with its row. */
ffai_status ffai__repack_write(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai__rows *rows,
                               const char *source, ffai_error *err);

#endif
