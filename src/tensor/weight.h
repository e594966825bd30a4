/* A weight as it lies in its file, and the one place that knows how its bytes are numbers.
 *
 * A format is an unpacking rule (`packing`) and a scale rule. Affine formats mean
 *     w[r, c] = scale[r, c / group_size] * q[r, c] + bias[r, c / group_size]
 * with unsigned integers q of `bits` bits. Readers give rows in the order that the model means; where a file
 * stores them otherwise (row_order), the readers undo it. */
#ifndef FFAI_TENSOR_WEIGHT_H
#define FFAI_TENSOR_WEIGHT_H

#include "dtype.h"

typedef enum ffai__packing {
    FFAI__DENSE,      /* elements of `dtype`, row-major */
    FFAI__MLX_AFFINE, /* little-endian uint32 words of `bits`-bit codes, first code in the low bits, a row
                       * after another; scales and biases [rows, columns / group_size] of scale_dtype */
    FFAI__GGUF_Q4_0,  /* blocks of 32: f16 d; w = d * (q - 8) */
    FFAI__GGUF_Q4_1,  /* blocks of 32: f16 d, m; w = d * q + m */
    FFAI__GGUF_Q5_0,  /* w = d * (q - 16) */
    FFAI__GGUF_Q5_1,  /* w = d * q + m */
    FFAI__GGUF_Q8_0,  /* w = d * q with int8 q, read as unsigned q + 128 */
    FFAI__GGUF_Q2_K,  /* super-blocks of 256, see k_block.h; their scale_dtype is F32 */
    FFAI__GGUF_Q3_K,
    FFAI__GGUF_Q4_K,
    FFAI__GGUF_Q5_K,
    FFAI__GGUF_Q6_K,
} ffai__packing;

typedef struct ffai__weight {
    const char *name; /* as a Hugging Face checkpoint spells it, ".weight" or ".bias" included */
    int rank;         /* 1: a vector, rows is 1; 2: a matrix [rows, columns] */
    int64_t rows;     /* output features */
    int64_t columns;  /* input features; what a group runs along */
    ffai__packing packing;
    ffai__dtype dtype;       /* of dense elements */
    int bits;                /* of affine codes, 0 for dense */
    int group_size;          /* columns that share a scale, 0 for dense; divides columns */
    ffai__dtype scale_dtype; /* F16, BF16 or F32 */
    const void *data;        /* rows of ffai__weight_row_bytes each; may be unaligned */
    const void *scales;      /* MLX_AFFINE only */
    const void *biases;
    int rope_heads; /* > 0: each of this many heads' rows are stored with the two rotary halves interleaved, as
                     * GGUF does for Llama's q and k: stored row 2i is row i of the head, 2i + 1 is row
                     * i + head_dim / 2 */
} ffai__weight;

static inline bool ffai__weight_is_affine(const ffai__weight *weight)
{
    return weight->packing != FFAI__DENSE;
}

/* Bytes of one row of data (codes and, for GGUF blocks, scales). */
uint64_t ffai__weight_row_bytes(const ffai__weight *weight);
/* Bytes of all parts together, as stored. */
uint64_t ffai__weight_bytes(const ffai__weight *weight);
/* "bf16", "4b g64", "q4_k" and the like; a static or the given buffer's string. */
const char *ffai__weight_format_text(const ffai__weight *weight, char buffer[32]);

/* Where the file keeps the model's row: another number only with rope_heads. */
int64_t ffai__weight_stored_row(const ffai__weight *weight, int64_t row);

/* One row in float32 [columns]: the stored value, or scale * q + bias evaluated in float32. */
void ffai__weight_read(float *out, const ffai__weight *weight, int64_t row);

/* One row of an affine weight: codes [columns], scales and biases [columns / group_size] exactly in float32. */
void ffai__weight_read_codes(uint8_t *codes, float *scales, float *biases, const ffai__weight *weight, int64_t row);

#endif
