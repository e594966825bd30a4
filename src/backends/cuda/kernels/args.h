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
 * half. tiles.cuh says which columns these are and how pairs of codes stand in words.
 *
 * Four tiles make a span of 512 columns. Words of a span: [words / 4][lane][4]; of an incomplete one at the end of a
 * row, [words][lane]. Scales and biases: [unit][span][lane][2][subgroups], those of the blocks of 64 columns 2t and 2t
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

/* prepare: rows of x as bf16 pieces in the order in which mma.sync takes them as its B, 8 rows at a time, and their
 * sums over subgroups: pieces [row tile][piece][span][block][2][lane][4 words], sums [row
 * tile][span][block][subgroup][8]. */
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
} ffai__cuda_prepare_args;

/* product_rows: prepared rows through one matrix; product_many: the same for more rows, in blocks of so many of x and
 * of the matrix, with some shared memory. */
enum {
    FFAI__CUDA_FEW_PRODUCT_ROWS = 32,
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
enum { FFAI__CUDA_ATTEND_WARPS = 8, FFAI__CUDA_ATTEND_QUERIES = 8 };
/* Of shared memory: queries and each warp's sums, then some numbers a head. */
#define FFAI__CUDA_ATTEND_SHARED_BYTES(head_dim)                                                                       \
    ((1 + FFAI__CUDA_ATTEND_WARPS) * FFAI__CUDA_ATTEND_QUERIES * (head_dim)*4 + 4 * (head_dim) +                       \
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
} ffai__cuda_attend_args;

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

enum { FFAI__CUDA_MACHINE_SHARED_BYTES = 32768 };

#endif
