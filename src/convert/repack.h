/* A weight turned into the tensors of MLX's format, row by row. */
#ifndef FFAI_CONVERT_REPACK_H
#define FFAI_CONVERT_REPACK_H

#include "convert.h"
#include "safetensors_writer.h"

typedef struct ffai__repack {
    const ffai__weight *weight;
    const ffai__shape *shape;
    bool affine;             /* written as codes, scales and biases */
    ffai__dtype dtype;       /* of a dense tensor, as written */
    ffai__dtype scale_dtype; /* of an affine one, as written */
    uint64_t bytes;          /* in all */
} ffai__repack;

/* Room for one row in its several forms. */
typedef struct ffai__repack_room {
    uint8_t *codes; /* [columns] */
    float *values;  /* [columns] */
    float *scales;  /* [columns] */
    float *biases;  /* [columns] */
    uint8_t *bytes; /* [columns * 8] */
} ffai__repack_room;

ffai_status ffai__repack_room_make(ffai__repack_room *room, int64_t columns, ffai_error *err);
void ffai__repack_room_free(ffai__repack_room *room);

/* Decide how a weight is written. Reads the scales of GGUF blocks: they stay f16 where each of them, and each
 * bias, is exact in f16, else that tensor's are f32. */
void ffai__repack_plan(ffai__repack *plan, const ffai__weight *weight, const ffai__shape *shape,
                       ffai__convert_dtype dtype, ffai__repack_room *room);
ffai_status ffai__repack_declare(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai_error *err);
ffai_status ffai__repack_write(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai__repack_room *room,
                               ffai_error *err);

#endif
