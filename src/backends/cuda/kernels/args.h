/* What host and kernels say to each other: a step as it lies in device memory, and the argument of every kernel.
 *
 * Read by C and by CUDA C. Pointers are the device's addresses unless a line says otherwise; sizes in 64 bits. */
#ifndef FFAI_CUDA_ARGS_H
#define FFAI_CUDA_ARGS_H

#include <stdint.h>

/* A step's sizes, which every kernel looks up: one graph serves steps of many sizes. */
typedef struct ffai__cuda_sizes {
    int32_t num_rows;    /* T */
    int32_t num_outputs; /* R */
    int32_t draws;       /* 0: nothing is drawn */
    uint32_t number;     /* of the step, counted from 0 */
    uint32_t num_updates;
} ffai__cuda_sizes;

typedef struct ffai__cuda_row {
    int32_t token; /* or FFAI__TOKEN_SAMPLED */
    int32_t position;
    int32_t slot; /* of its sequence */
} ffai__cuda_row;

/* An entry of the block tables that is new with this step: table[index] = page. */
typedef struct ffai__cuda_update {
    uint32_t index;
    uint32_t page;
} ffai__cuda_update;

/* How an output row's token is drawn, as ffai__cuda_draws_fill (sample.h) makes it of a step: 32-bit words. */
typedef struct ffai__cuda_draw {
    float temperature;
    int32_t top_k;
    float top_p;
    float farthest; /* min_p as a distance: -log(min_p), as the host's library has it; infinite: off */
    float repetition_penalty;
    float presence_penalty;
    uint32_t seed_low, seed_high;
    uint32_t follows; /* 1: hangs on the draw of the output row before it, which is of the same sequence */
} ffai__cuda_draw;

/* What was drawn for an output row. In host memory that the device writes. */
typedef struct ffai__cuda_drawn {
    int32_t id;
    float logit; /* the id's, before penalties */
} ffai__cuda_drawn;

/* The step in device memory. */
typedef struct ffai__cuda_step {
    const ffai__cuda_sizes *sizes;
    const ffai__cuda_row *rows;   /* [T] */
    const int32_t *output_rows;   /* [R] */
    const ffai__cuda_draw *draws; /* [R] */
    const uint32_t *tables;       /* [max_sequences][groups][max_pages] pages */
    int32_t *history;             /* [max_sequences][max_context + 1] tokens by position */
    int64_t history_stride;       /* max_context + 1 */
    int64_t table_stride;         /* entries of a sequence's tables: groups * max_pages */
    int64_t max_pages;
} ffai__cuda_step;

/* Rows are the step's (T) or, where of_outputs is set, its output rows (R). */

/* silu, mul, add, swiglu: y [rows][columns] from a and, where the operation has two, b; y may be one of them.
 * select_rows: y [R][columns] from a [T][columns]; of_outputs is not looked at. Any grid; no shared memory. */
enum { FFAI__CUDA_ELEMENT_THREADS = 256 };

typedef struct ffai__cuda_elements_args {
    ffai__cuda_step step;
    float *y;
    const float *a;
    const float *b;
    int64_t columns; /* where they are a multiple of 4, pointers are on 16-byte boundaries */
    int32_t of_outputs;
} ffai__cuda_elements_args;

/* rms_norm_warps, rms_norm_blocks: y[i] = x[i] * w[i] / sqrt(mean of squares + eps) in each span of `width` columns of
 * x [rows][columns]; y may be x. A warp takes a span, or a block; short spans are the warps'. Which of the two it is,
 * and not the grid, decides on a sum's order. Any grid, blocks of exactly these threads. */
enum {
    FFAI__CUDA_NORM_THREADS = 256,
    FFAI__CUDA_NORM_SHARED_BYTES = FFAI__CUDA_NORM_THREADS / 32 * 4, /* rms_norm_blocks */
    FFAI__CUDA_NORM_LONGEST_OF_WARPS = 512                           /* columns; longer spans are a block's */
};

typedef struct ffai__cuda_rms_norm_args {
    ffai__cuda_step step;
    float *y;
    const float *x;
    const float *w; /* [width] */
    int64_t width;  /* where it is a multiple of 4, pointers are on 16-byte boundaries */
    int64_t columns;
    float eps;
    int32_t of_outputs;
} ffai__cuda_rms_norm_args;

/* --- weights ---
 *
 * A matrix lies in units of 8 rows, a unit in tiles of 128 columns, as many bytes as its codes and no more, so that a
 * product reads them as they stand. Of a tile lane (g = lane / 4, t = lane % 4) of a warp has row g: 16 columns of the
 * first 64 (the lower half) and 16 of the other, in the order in which mma.sync m16n8k16 takes them as its A: pair p
 * (0 to 15) is a[p % 4] of step p / 4, rows 0 to 7 of A being the lower half and rows 8 to 15 the same rows' upper
 * half. tiles.cuh says which columns these are and how codes stand in words.
 *
 * Four tiles make a span of 512 columns. Words of a span: [words / 4][lane][4]; of an incomplete one at the end of a
 * row, [words][lane], unless a tile's words are a multiple of 4. Scales and biases: [unit][span][lane][2][subgroups],
 * those of the blocks of 64 columns 2t and 2t
 * + 1, as pairs of 16 bits (scale below) or of float32. */
enum {
    FFAI__CUDA_UNIT_ROWS = 8,
    FFAI__CUDA_TILE_COLUMNS = 128,
    FFAI__CUDA_BLOCK_COLUMNS = 64, /* half a tile: what one accumulator sums, or a subgroup of it */
    FFAI__CUDA_SPAN_TILES = 4,
    FFAI__CUDA_SPAN_COLUMNS = 512,
};

/* How an element of a matrix is stored in tiles; the affine ones by their bits. */
enum { FFAI__CUDA_BF16 = 16, FFAI__CUDA_F16 = 17, FFAI__CUDA_F32 = 32 };

enum { FFAI__CUDA_SCALES_BF16, FFAI__CUDA_SCALES_F16, FFAI__CUDA_SCALES_F32 };

typedef struct ffai__cuda_matrix {
    const uint32_t *words;
    const uint32_t *scales; /* affine */
    int64_t rows, columns;
    int32_t units;     /* rows / 8, rounded up */
    int32_t tiles;     /* columns / 128, rounded up */
    int32_t spans;     /* tiles / 4, rounded up */
    int32_t format;    /* 2, 3, 4, 5, 6, 8, or one of the above */
    int32_t subgroups; /* scales for each 64 columns: 1, 2 or 4; dense: 1 */
    int32_t scale_format;
} ffai__cuda_matrix;

/* Words of a tile that a lane has. */
#define FFAI__CUDA_LANE_WORDS(format) ((format) == FFAI__CUDA_F16 ? 16 : (format))

/* pack: rows [first_row, first_row + num_rows) of a matrix from its stored bytes to tiles. Whole units. */
typedef struct ffai__cuda_pack_args {
    ffai__cuda_matrix to; /* words and scales are written */
    const uint8_t *data;  /* stored row first_row and those after it, row_bytes each */
    const uint8_t *scales;
    const uint8_t *biases;
    int64_t row_bytes;
    int64_t first_row; /* a multiple of 8, and of the rows of a head where rows are interleaved */
    int64_t num_rows;
    int32_t packing; /* ffai__packing */
    int32_t dtype;   /* of dense elements: 0 f32, 1 f16, 2 bf16, 3 f64 */
    int32_t group_size;
    int32_t head_rows; /* > 0: rows of a head, which are stored with the two rotary halves interleaved */
    uint32_t *beyond;  /* receives 1 if a bias that GGUF's zero makes is beyond what 16 bits hold */
} ffai__cuda_pack_args;

/* --- instructions --- */

/* begin: the step's data from host memory that the device reads to its own. One block. */
typedef struct ffai__cuda_begin_args {
    const uint8_t *messages; /* host memory: [slots] each of message_stride bytes: see ffai__cuda_message */
    int64_t message_stride;
    int32_t slots;
    uint32_t *number; /* of the next step */
    ffai__cuda_sizes *sizes;
    ffai__cuda_row *rows;
    int32_t *output_rows;
    ffai__cuda_draw *draws;
    uint32_t *tables;
    int64_t rows_offset, outputs_offset, draws_offset, updates_offset; /* in a message, behind its sizes */
} ffai__cuda_begin_args;

/* angles: cosines and sines of the rows' positions [T][2][dims / 2]. */
typedef struct ffai__cuda_angles_args {
    ffai__cuda_step step;
    float *angles;
    const float *inv_freq; /* [dims / 2] */
    int32_t dims;
    int32_t dynamic;
    double theta, factor;
    int64_t original_max_position;
    float attention_factor;
} ffai__cuda_angles_args;

typedef struct ffai__cuda_embed_args {
    ffai__cuda_step step;
    ffai__cuda_matrix matrix;
    float *y; /* [T][columns] */
} ffai__cuda_embed_args;

/* begin_row: all three for a step of one row. One block. */
typedef struct ffai__cuda_begin_row_args {
    ffai__cuda_begin_args begin;
    ffai__cuda_angles_args angles; /* angles.angles: NULL: there are none */
    ffai__cuda_embed_args embed;
} ffai__cuda_begin_row_args;

enum { FFAI__CUDA_BEGIN_ROW_THREADS = 1024 };

enum { FFAI__CUDA_MATRICES = 3 };

/* A product's part: y = W x + bias + residual. */
typedef struct ffai__cuda_part {
    ffai__cuda_matrix matrix;
    float *y;              /* [rows of x][matrix rows] */
    const float *bias;     /* [matrix rows] or NULL */
    const float *residual; /* as y, or NULL */
} ffai__cuda_part;

/* A warp of product_row has a ring of slots in shared memory, into which its part of the weights comes ahead of its
 * use: a span of codes and scales, or a tile of numbers. */
#define FFAI__CUDA_ROW_WARPS         8 /* of a block */
#define FFAI__CUDA_ROW_SLOTS(format) ((format) <= 4 ? 4 : (format) <= 6 ? 3 : (format) == 8 || (format) == 32 ? 2 : 4)
#define FFAI__CUDA_ROW_SLOT_BYTES(format, subgroups)                                                                   \
    ((format) < FFAI__CUDA_BF16 ? (format)*512 + (subgroups)*512 : FFAI__CUDA_LANE_WORDS(format) * 128)
/* Its shared memory: the rings, x laid out, what results are put together with, and a sum for each row and span of a
 * block's units. */
#define FFAI__CUDA_ROW_SHARED_BYTES(format, subgroups, pieces, spans, units)                                           \
    (FFAI__CUDA_ROW_SLOT_BYTES((int64_t)(format), (int64_t)(subgroups)) * FFAI__CUDA_ROW_SLOTS(format) *               \
         FFAI__CUDA_ROW_WARPS +                                                                                        \
     (int64_t)(spans) * ((int64_t)(pieces)*1024 + 32 * (1 + (int64_t)(subgroups)) + (int64_t)(units)*32))

/* product_row: one row x of the step through up to three matrices of one format. */
typedef struct ffai__cuda_product_row_args {
    ffai__cuda_step step;
    int32_t of_outputs; /* the row is the output row: none is wanted where R is 0 */
    ffai__cuda_part parts[FFAI__CUDA_MATRICES];
    int32_t num_parts;
    int32_t swiglu;    /* 1: y of part 0 = silu(part 0) * part 1; these have as many rows */
    const float *x;    /* [columns] */
    const float *norm; /* [columns] or NULL: x is normed first */
    float eps;
    int32_t pieces;                           /* bf16 numbers whose sum an input becomes: 1, 2 or 3 */
    int32_t units_a_block;                    /* swiglu: of both matrices together, an even number */
    int32_t first_block[FFAI__CUDA_MATRICES]; /* of each part; not of swiglu's, whose blocks have both */
} ffai__cuda_product_row_args;

/* prepare: rows of x as bf16 pieces in the order in which tensor cores take them as their B, 8 rows at a time, and
 * their sums over subgroups. For mma.sync: pieces [row tile][piece][span][block][2][lane][4 words], sums [row
 * tile][span][block][subgroup][8]. For wgmma: pieces [piece][span][block][row tile][8 rows][8 parts, swapped about as
 * multiply_group wants them][4 words]; the sums are such columns too, 64 in a block, as SUM_PIECES bf16 numbers, each
 * of which has its own blocks; their place: lane t of a product has the sums of blocks 2t and 2t + 1 of a span, span
 * after span, four of them in a step of 16. */
#define FFAI__CUDA_SUM_PIECES(pieces)           ((pieces) + 1)
#define FFAI__CUDA_SUM_BLOCKS(spans, subgroups) (((spans) * (subgroups) + 7) / 8)

/* GROUP, for product_group: as MMA, but that within the 1,024 bytes of a block of eight rows numbers lie as with WGMMA.
 */
typedef enum ffai__cuda_order { FFAI__CUDA_ORDER_MMA, FFAI__CUDA_ORDER_WGMMA, FFAI__CUDA_ORDER_GROUP } ffai__cuda_order;

typedef struct ffai__cuda_prepare_args {
    ffai__cuda_step step;
    const float *x;
    uint32_t *pieces;
    float *sums;
    int64_t columns;
    int32_t spans;
    int32_t subgroups;
    int32_t num_pieces;
    int32_t of_outputs; /* rows are R, not T */
    int32_t order;      /* ffai__cuda_order */
    int32_t row_tiles;  /* for wgmma: that there is room for */
} ffai__cuda_prepare_args;

/* prepare_norm: the same of x with each row normed. A block of 32 * FFAI__CUDA_ROW_WARPS threads takes a row; any
 * grid. */
typedef struct ffai__cuda_prepare_norm_args {
    ffai__cuda_prepare_args prepare;
    const float *norm; /* [columns] */
    float eps;
} ffai__cuda_prepare_norm_args;

/* A result of product_few whose columns were in several parts, of which each left its sums: y = sum of these + bias +
 * residual or, of a gate, silu(the same of `sums`) * (the same of `up`). */
typedef struct ffai__cuda_parted {
    const float *sums;     /* [splits][split_rows][stride]; NULL: y is there already */
    const float *up;       /* the same, or NULL */
    const float *bias;     /* [columns] or NULL */
    const float *up_bias;  /* the same */
    const float *residual; /* [rows][columns] or NULL; not with `up` */
    float *y;              /* [rows][columns] */
    int64_t columns;
    int64_t stride; /* a multiple of 8 */
    int32_t splits, split_rows;
} ffai__cuda_parted;

/* join: y of results that nothing else puts together. Any grid. */
typedef struct ffai__cuda_join_args {
    ffai__cuda_step step;
    ffai__cuda_parted results[FFAI__CUDA_MATRICES];
    int32_t num_results;
    int32_t of_outputs;
} ffai__cuda_join_args;

/* prepare_few: the same for mma.sync alone, of rows that are there alone, each first put together where it is a result
 * in parts, and normed where there is a norm. Grid: rows, and in the second dimension blocks of a row, of which a norm
 * allows one. A thread takes four columns at a time; whole warps, up to FFAI__CUDA_PREPARE_FEW_THREADS. */
enum { FFAI__CUDA_PREPARE_FEW_THREADS = 1024 };

typedef struct ffai__cuda_prepare_few_args {
    ffai__cuda_prepare_args prepare;
    ffai__cuda_parted result; /* whose y is prepare.x */
    const float *norm;        /* [columns] or NULL */
    float eps;
} ffai__cuda_prepare_few_args;

/* product_few: prepared rows through up to three matrices of one format.
 *
 * A warp takes two units of the matrices, 16 rows, and a block as many of these as it has warps. For such a block of
 * rows and a group of rows of x the matrix's columns, in stages of some tiles, are in `splits` parts. Each of these is
 * an item of work, and the blocks of the grid take every gridDim.x-th item. With several splits each item leaves its
 * sums (ffai__cuda_parted), else it writes y.
 *
 * Shared memory is a ring of stages of weights and x, FFAI__CUDA_FEW_STAGE_BYTES each.
 *
 * product_group: the same by wgmma, x in ORDER_GROUP and one or two pieces. */
enum {
    FFAI__CUDA_FEW_WARPS = 16, /* of a block, at most, and of two blocks on a multiprocessor */
    FFAI__CUDA_FEW_GROUP = 4,  /* product_group: warps that multiply together, of which a block has a multiple */
    FFAI__CUDA_FEW_UNITS = 2,  /* of a warp */
    FFAI__CUDA_FEW_TILES = 4,  /* of eight rows of x in a group: 1, 2 or 4 */
    FFAI__CUDA_FEW_STAGES = 4, /* of a ring: 2 to 4 */
};
#define FFAI__CUDA_FEW_STAGE_TILES(format) ((format) < FFAI__CUDA_BF16 ? 2 : 1)
/* Of 16 bytes for each lane: a unit's words of a stage, and what else stands in the first and last ones. */
#define FFAI__CUDA_FEW_QUADS(format)                                                                                   \
    ((format) < FFAI__CUDA_BF16 ? ((format) + 1) / 2 : FFAI__CUDA_LANE_WORDS(format) / 4)
#define FFAI__CUDA_FEW_SCALE_BYTES(format, subgroups, wide)                                                            \
    ((format) < FFAI__CUDA_BF16 ? 128 * (subgroups) * ((wide) ? 2 : 1) : 0) /* of a unit */
#define FFAI__CUDA_FEW_WARP_BYTES(format, subgroups, wide)                                                             \
    (FFAI__CUDA_FEW_UNITS * (FFAI__CUDA_FEW_QUADS(format) * 512 + FFAI__CUDA_FEW_SCALE_BYTES(format, subgroups, wide)))
#define FFAI__CUDA_FEW_INPUT_BYTES(format, subgroups, pieces) /* of eight rows of x */                                 \
    (FFAI__CUDA_FEW_STAGE_TILES(format) * 2 * ((pieces)*1024 + (subgroups)*32))
#define FFAI__CUDA_FEW_STAGE_BYTES(format, subgroups, wide, pieces, warps, tiles)                                      \
    (((warps)*FFAI__CUDA_FEW_WARP_BYTES(format, subgroups, wide) +                                                     \
      (tiles)*FFAI__CUDA_FEW_INPUT_BYTES(format, subgroups, pieces) + 1023) /                                          \
     1024 * 1024)

typedef struct ffai__cuda_product_few_args {
    ffai__cuda_step step;
    ffai__cuda_part parts[FFAI__CUDA_MATRICES];
    const uint32_t *pieces;
    const float *sums;
    int32_t num_parts;
    int32_t of_outputs;
    int32_t swiglu; /* 1: y of part 0 = silu(part 0) * part 1; a warp has the same unit of both */
    int32_t num_pieces;
    int32_t tiles;                            /* of a group of rows of x */
    int32_t groups;                           /* of them in a step of this class */
    int32_t stages;                           /* of the ring */
    int32_t blocks;                           /* of rows, of all parts */
    int32_t splits;                           /* more than one: y is [splits][split_rows][8 * units], for sums alone */
    int32_t split_rows;                       /* rows of x that there is room for */
    int32_t first_block[FFAI__CUDA_MATRICES]; /* of each part; not of swiglu's */
} ffai__cuda_product_few_args;

/* product_many: more rows through one matrix, in blocks of so many of x and of the matrix, with some shared memory. */
enum {
    FFAI__CUDA_MANY_ROWS = 64,
    FFAI__CUDA_MANY_WARPS = 8,
    FFAI__CUDA_MANY_UNITS = 2 * FFAI__CUDA_MANY_WARPS,
};
#define FFAI__CUDA_MANY_SHARED_BYTES(pieces, subgroups) (2 * FFAI__CUDA_MANY_ROWS * ((pieces)*256 + (subgroups)*8))

typedef struct ffai__cuda_product_rows_args {
    ffai__cuda_step step;
    ffai__cuda_part part;
    const uint32_t *pieces;
    const float *sums;
    int32_t num_pieces;
    int32_t of_outputs;
} ffai__cuda_product_rows_args;

/* product_wgmma: the same rows through up to three matrices of one format by wgmma, `ROWS` rows of x and 16 units in a
 * block of threads. Grid: blocks of rows of x, then blocks of units: of each part, or, for swiglu, of eight units of
 * both. x is prepared with FFAI__CUDA_ORDER_WGMMA. */
enum {
    FFAI__CUDA_WGMMA_THREADS = 384,
    FFAI__CUDA_WGMMA_UNITS = 16,
    FFAI__CUDA_WGMMA_CLUSTER = 2, /* blocks of units that get the same x together: a multiple of them in the grid */
    FFAI__CUDA_X_TILE_BYTES = 1024
};
/* Of x in a block: as many as there are registers for, beside the sums of a subgroup, or what numbers are unpacked
 * to. */
#define FFAI__CUDA_WGMMA_ROWS(format)                                                                                  \
    ((format) == FFAI__CUDA_BF16 ? 256 : (format) == FFAI__CUDA_F16 ? 128 : (format) == FFAI__CUDA_F32 ? 64 : 176)
/* Its shared memory: stages of weights, of one tile each or several, with their span's scales, for which there is room
 * as float32; as many stages of x as there is room for beside them; then barriers; all on a boundary of 1,024 bytes. */
#define FFAI__CUDA_WGMMA_STAGE_TILES(format)                                                                           \
    ((format) >= FFAI__CUDA_BF16 ? 1 : (format) == 8 ? 2 : FFAI__CUDA_SPAN_TILES)
#define FFAI__CUDA_WGMMA_UNIT_BYTES(format, subgroups)                                                                 \
    (FFAI__CUDA_WGMMA_STAGE_TILES(format) * FFAI__CUDA_LANE_WORDS(format) * 128 +                                      \
     ((format) < FFAI__CUDA_BF16 ? 512 * (subgroups) : 0))
#define FFAI__CUDA_WGMMA_WEIGHT_STAGES 2
#define FFAI__CUDA_WGMMA_WEIGHT_BYTES(format, subgroups)                                                               \
    (FFAI__CUDA_WGMMA_WEIGHT_STAGES * FFAI__CUDA_WGMMA_UNITS * FFAI__CUDA_WGMMA_UNIT_BYTES(format, subgroups))
#define FFAI__CUDA_WGMMA_X_STAGES(format, subgroups)                                                                   \
    ((229376 - FFAI__CUDA_WGMMA_WEIGHT_BYTES(format, subgroups)) / (FFAI__CUDA_WGMMA_ROWS(format) * 128))
#define FFAI__CUDA_WGMMA_SHARED_BYTES(format, subgroups)                                                               \
    (1024 + FFAI__CUDA_WGMMA_WEIGHT_BYTES(format, subgroups) + 16 * FFAI__CUDA_WGMMA_WEIGHT_STAGES +                   \
     FFAI__CUDA_WGMMA_X_STAGES(format, subgroups) * (FFAI__CUDA_WGMMA_ROWS(format) * 128 + 16))

typedef struct ffai__cuda_product_wgmma_args {
    ffai__cuda_step step;
    ffai__cuda_part parts[FFAI__CUDA_MATRICES];
    int32_t num_parts;
    int32_t swiglu; /* 1: y of part 0 = silu(part 0) * part 1; these have as many rows */
    const uint32_t *pieces;
    const float *sums;
    int32_t row_tiles; /* that there is room for in pieces and sums */
    int32_t num_pieces;
    int32_t of_outputs;
    int32_t first_block[FFAI__CUDA_MATRICES]; /* of units, of each part; not of swiglu's */
    /* Where swiglu's results go as the prepared input of the next product; spans 0: to y instead. */
    ffai__cuda_prepare_args next;
} ffai__cuda_product_wgmma_args;

/* rope: y[t] = x[t] with each head's pairs turned. */
typedef struct ffai__cuda_rope_args {
    ffai__cuda_step step;
    const float *x;
    float *y;
    const float *angles; /* [T][2][dims / 2] */
    int64_t columns;
    int32_t head_dim, dims;
} ffai__cuda_rope_args;

/* A layer's keys and values: a page has keys [heads][32][head_dim] and, behind all of them, values
 * [heads][head_dim][32], so that both lie as tensor cores take them: numbers that are summed over side by side. */
typedef struct ffai__cuda_store {
    uint8_t *pages;
    int64_t page_bytes;
    int32_t heads, head_dim;
    int32_t format; /* ffai__store_format */
    int32_t group;
} ffai__cuda_store;

typedef struct ffai__cuda_kv_store_args {
    ffai__cuda_step step;
    ffai__cuda_store store;
    const float *keys, *values; /* [T][heads * head_dim] */
} ffai__cuda_kv_store_args;

/* heads: what `rope`, `kv_store` and norms of heads do, in one; queries, keys and values may be results in parts. A
 * warp takes a head of a row; any grid of blocks of FFAI__CUDA_HEADS_THREADS; each warp has a head in shared memory. */
enum { FFAI__CUDA_HEADS_THREADS = 128 };
#define FFAI__CUDA_HEADS_SHARED_BYTES(head_dim) (FFAI__CUDA_HEADS_THREADS / 32 * (head_dim)*4)

typedef struct ffai__cuda_heads_args {
    ffai__cuda_step step;
    ffai__cuda_store store;
    ffai__cuda_parted q;            /* [T][heads][head_dim] */
    ffai__cuda_parted keys, values; /* [T][kv heads][head_dim] */
    float *turned;                  /* as q, not q itself; NULL: nothing is done to queries */
    const float *q_norm;            /* [head_dim] or NULL */
    const float *k_norm;
    float q_eps, k_eps;
    const float *angles; /* [T][2][dims / 2] or NULL */
    int32_t dims;
    int32_t heads;
} ffai__cuda_heads_args;

/* attend_any: a block takes one row, one key/value head and a part of the context, in stretches of 256 positions. Where
 * the context is in several parts (splits), each leaves a partial result and attend_any_merge puts them together:
 * partials [T][heads][splits][head_dim + 2]: sums, maximum, denominator. */
enum { FFAI__CUDA_STRETCH = 256, FFAI__CUDA_ATTEND_HEADS = 8 };

typedef struct ffai__cuda_attention_args {
    ffai__cuda_step step;
    ffai__cuda_store store;
    const float *q; /* [T][heads][head_dim] */
    float *y;       /* the same */
    float *partials;
    int32_t splits;
    int32_t heads;
    float scale;
    int64_t window; /* 0: all */
} ffai__cuda_attention_args;

/* attend_<format>_<head_dim>: the same for stores of 16 bits, by tensor cores. A block takes a row, a
 * key/value head (and eight of its query heads), and a part of the context; the last one to come to its end puts the
 * parts together. With `fused` it takes the heads as the products left them, norms and turns them, and stores the row's
 * keys and values, which only a step of one row may leave to it. */
enum { FFAI__CUDA_ATTEND_WARPS = 8 /* of a block, at most */, FFAI__CUDA_ATTEND_QUERIES = 8 };
/* Of shared memory: queries and each warp's sums, then some numbers a head. */
#define FFAI__CUDA_ATTEND_SHARED_BYTES(head_dim, warps)                                                                \
    ((1 + (warps)) * FFAI__CUDA_ATTEND_QUERIES * (head_dim)*4 + 4 * (head_dim) +                                       \
     (1 + 2 * FFAI__CUDA_ATTEND_WARPS) * FFAI__CUDA_ATTEND_QUERIES * 4 + 16)

typedef struct ffai__cuda_attend_args {
    ffai__cuda_attention_args attention;
    const float *keys, *values; /* [T][kv heads][head_dim], fused */
    const float *q_norm;        /* [head_dim] or NULL, fused */
    const float *k_norm;
    float q_eps, k_eps;
    const float *angles; /* [T][2][dims / 2] or NULL, fused */
    int32_t dims;
    int32_t fused;
    uint32_t *arrived; /* [T][kv heads][groups of query heads] blocks at their end; 0 between steps */
    /* Where its `pieces` are not NULL: y is laid out as the next product's input, of a few rows, and not written. Heads
     * of 64 or 128, whole tiles. */
    ffai__cuda_prepare_args next;
} ffai__cuda_attend_args;

/* attend_many_<format>_<head_dim>: the same for steps of many rows. A block takes a tile, rows of one sequence that
 * follow each other, and the query heads of a key/value head, or a set of them: at most so many queries. attend_tiles
 * lists the tiles before. Where the context is in several parts (attention.splits), attend_many_merge puts them
 * together: partials [T][heads][splits][head_dim + 2]: sums, the largest score as a power of two, denominator. */
enum {
    FFAI__CUDA_ATTEND_MANY_THREADS = 128,
    FFAI__CUDA_ATTEND_MANY_QUERIES = 128,
    FFAI__CUDA_ATTEND_MANY_PAGES = 2, /* that are computed with at once */
    FFAI__CUDA_ATTEND_MANY_MOST_SPLITS = 16
};
/* Sets that so many query heads of a key/value head are in. */
#define FFAI__CUDA_ATTEND_MANY_SETS(group)                                                                             \
    (((group) + FFAI__CUDA_ATTEND_MANY_QUERIES - 1) / FFAI__CUDA_ATTEND_MANY_QUERIES)
/* Of shared memory: queries, two times so many pages' keys and values, and what the block works on. */
#define FFAI__CUDA_ATTEND_MANY_SHARED_BYTES(head_dim)                                                                  \
    (FFAI__CUDA_ATTEND_MANY_QUERIES * 2 * (head_dim) + 2 * FFAI__CUDA_ATTEND_MANY_PAGES * 2 * 32 * 2 * (head_dim) + 128)

typedef struct ffai__cuda_tiles {
    int32_t count;
    int32_t first_rows[1]; /* [count + 1], the last one T */
} ffai__cuda_tiles;

typedef struct ffai__cuda_attend_tiles_args {
    ffai__cuda_step step;
    ffai__cuda_tiles *tiles;
    int32_t tile_rows; /* at most, in a tile */
} ffai__cuda_attend_tiles_args;

typedef struct ffai__cuda_attend_many_args {
    ffai__cuda_attention_args attention;
    const ffai__cuda_tiles *tiles;
    int32_t sets; /* of a key/value head's query heads */
} ffai__cuda_attend_many_args;

/* sample_best, sample_weigh, sample_draw, in this order: of each output row's logits an id is drawn, and goes to the
 * sequence's history and to `drawn`; the logits stay as they are. Where ffai__cuda_draws_fill says so, sample_best
 * alone does it. Blocks of exactly these threads; any grid: ffai__cuda_sample_blocks has a good one. */
enum {
    FFAI__CUDA_SAMPLE_THREADS = 256,
    FFAI__CUDA_SAMPLE_WARPS = FFAI__CUDA_SAMPLE_THREADS / 32,
    FFAI__CUDA_SAMPLE_CHUNK = 4096, /* tokens that a block takes at a time */
    FFAI__CUDA_SAMPLE_BUCKETS = 2048,
    FFAI__CUDA_SAMPLE_MEMBERS = 4096 /* of buckets that are looked into */
};

/* The cuts of a draw, in order, and the draw itself: each falls into one bucket of several that are known before. */
enum {
    FFAI__CUDA_SAMPLE_TOP_K,
    FFAI__CUDA_SAMPLE_TOP_P,
    FFAI__CUDA_SAMPLE_MIN_P,
    FFAI__CUDA_SAMPLE_PLACE,
    FFAI__CUDA_SAMPLE_STAGES
};

/* Neighbouring buckets; none where last < first. */
typedef struct ffai__cuda_buckets {
    int32_t first, last;
} ffai__cuda_buckets;

/* An output row's scratch: this, then a chunk's for each chunk of the vocabulary. Zeros at first; a finished step
 * leaves the counters of chunks at zero. Rank: see sample.cu. */
typedef struct ffai__cuda_sample_row {
    uint32_t chunks_searched, chunks_weighed, chunks_gathered;
    int32_t settled; /* by sample_best */
    uint64_t best;   /* rank */
    float largest;   /* its logit, with penalties */
    float range;     /* of distances that have a bucket; all that count are within it */
    uint32_t num_members;
    int32_t listed; /* 0: members has too little room, and the vocabulary is looked through instead */
    ffai__cuda_buckets stages[FFAI__CUDA_SAMPLE_STAGES];
    uint64_t masses[FFAI__CUDA_SAMPLE_BUCKETS]; /* in units of the bucket */
    uint32_t counts[FFAI__CUDA_SAMPLE_BUCKETS];
    double mass_before[FFAI__CUDA_SAMPLE_BUCKETS + 1];
    uint32_t count_before[FFAI__CUDA_SAMPLE_BUCKETS + 1];
    uint64_t members[FFAI__CUDA_SAMPLE_MEMBERS]; /* ranks, in any order */
} ffai__cuda_sample_row;

typedef struct ffai__cuda_sample_chunk {
    uint64_t best;                               /* rank */
    float lowest;                                /* of the logits near enough to the chunk's best */
    uint32_t seen[FFAI__CUDA_SAMPLE_CHUNK / 32]; /* tokens of the history, where there are penalties */
} ffai__cuda_sample_chunk;

/* Shared memory, as many bytes as it has; sample_best goes without the bins, which are the last. */
typedef struct ffai__cuda_sample_shared {
    uint64_t ranks[FFAI__CUDA_SAMPLE_WARPS];
    uint64_t masses[FFAI__CUDA_SAMPLE_WARPS];
    double sums[FFAI__CUDA_SAMPLE_WARPS];
    uint32_t counts[FFAI__CUDA_SAMPLE_WARPS];
    float distances[FFAI__CUDA_SAMPLE_WARPS];
    uint64_t rank;
    uint64_t mass;
    uint32_t count;
    uint32_t count_of_digit;
    uint32_t first, last;
    uint32_t is_last;
    uint32_t seen[FFAI__CUDA_SAMPLE_CHUNK / 32];
    uint32_t bins[4][FFAI__CUDA_SAMPLE_BUCKETS];
} ffai__cuda_sample_shared;

typedef struct ffai__cuda_sample_args {
    ffai__cuda_step step;
    const float *logits; /* [R][vocab_size] */
    int64_t vocab_size;
    uint8_t *scratch;        /* [R] each of scratch_stride bytes, on 256-byte boundaries; zeros at first */
    int64_t scratch_stride;  /* ffai__cuda_sample_scratch_bytes(vocab_size) */
    ffai__cuda_drawn *drawn; /* host memory: [slots][max_outputs]; this step's slot is number % slots */
    int32_t slots;
    int32_t max_outputs;
} ffai__cuda_sample_args;

/* --- measuring --- */

typedef struct ffai__cuda_machine_args {
    const void *data; /* read_memory: count times 16 bytes */
    int64_t count;    /* or how often is multiplied */
    uint32_t *sink;
} ffai__cuda_machine_args;

enum {
    FFAI__CUDA_MACHINE_COLUMN_BYTES = 256 * 128, /* multiply_groups */
    FFAI__CUDA_MACHINE_SHARED_BYTES = FFAI__CUDA_MACHINE_COLUMN_BYTES + 1024
};

#endif
