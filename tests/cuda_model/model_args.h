/* The arguments of model_kernels.cu. */
#ifndef CUDA_MODEL_MODEL_ARGS_H
#define CUDA_MODEL_MODEL_ARGS_H

#include <stdint.h>

typedef struct model_words {
    uint32_t *out;
    const uint32_t *in;
    uint32_t count;
} model_words;

typedef struct model_floats {
    float *out;
    const float *in;
    uint32_t count;
} model_floats;

typedef struct model_product {
    float *c;          /* [16][8] */
    const uint16_t *a; /* [16][16] */
    const uint16_t *b; /* [16][8] */
    int64_t f16;       /* or bf16 */
} model_product;

/* What a thread is made to do wrong. */
typedef enum model_mistake_kind {
    MODEL_NOTHING,
    MODEL_BARRIER_AND_SHUFFLE,
    MODEL_LANE_MISSES_SHUFFLE,
    MODEL_OTHER_OPERATION,
    MODEL_OUTSIDE_ITS_MASK,
    MODEL_MISALIGNED,
    MODEL_SHARED_READ_BEHIND,
    MODEL_SHARED_WRITE_BEHIND,
    MODEL_SHARED_WRITE_BEFORE,
    MODEL_NULL_POINTER,
    MODEL_ENDLESS_STACK,
    MODEL_TRAP,
} model_mistake_kind;

typedef struct model_mistake {
    uint32_t *out;
    int64_t kind; /* model_mistake_kind */
} model_mistake;

#endif
