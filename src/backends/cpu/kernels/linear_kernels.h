/* What the linear kernels of all tiers, the packing and the choice among them share: the layout of tiles and of
 * prepared input, and the table of kernels.
 *
 * Affine tile, for 16 rows. Codes lie in spans of 32 columns. A span is eight quads; a quad is 4 columns x 16
 * rows, 64 bytes once unpacked: byte 4 r + i is column i of row r, so lane r of a vector of 32-bit lanes is row r
 * and four products with one broadcast input quad are one dot-product instruction. Packed, a span is `bits` blocks
 * of 64 bytes, planes that share this arrangement byte by byte:
 *     nibble plane   4 blocks, two quads each: quad j in block j / 2, bits 4 (j % 2) up
 *     pair plane     2 blocks, four quads each: quad j in block j / 4
 *     bit plane      1 block, eight quads
 * 2 = pair; 3 = pair, bit; 4 = nibble; 5 = nibble, bit; 6 = nibble, pair; 8 = eight blocks of plain bytes. In a
 * pair or bit plane that holds the code's bits from `at` up, quad j lies at bit (at + w j) mod 8, w its width, so
 * that one shift brings it to its place.
 * Scales go before their codes: a chunk is `groups_per_chunk` groups, first each group's 16 scales and 16 biases,
 * then the codes. Rows that pad are packed from rows of zeros, other padding is zeros.
 * A chunk of a K type is a super-block of each row (tensor/k_block.h). What goes before its codes are its two-level
 * scales: a block of f16, the rows' d and dmin (zeros without), then 16 bytes for the rows of each group:
 *     Q2_K          sc below and m above, four bits each
 *     Q3_K          of four groups in 3 x 16: sc + 32 of the first three in the lower six bits, of the fourth two at a
 *                   time on top of them, lowest first
 *     Q4_K, Q5_K    sc of all groups, then m of all
 *     Q6_K          sc
 * Kernels make float32 scales and biases of them, a chunk at a time (linear_scales.h).
 *
 * Dense tile: [columns][16] for f32 and f16; for bf16 [columns / 2][16][2], so that a shift and a mask of one
 * vector give two columns in float32. Columns are padded with zeros to a multiple of 4. */
#ifndef FFAI_LINEAR_KERNELS_H
#define FFAI_LINEAR_KERNELS_H

#include "linear.h"
#include "sanitized.h"

#define FFAI__ALWAYS_INLINE static inline __attribute__((always_inline))

#if defined(FFAI_SANITIZED)
#define UNROLL
#elif defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { FFAI__SPAN_COLUMNS = 32, FFAI__BLOCK_BYTES = 64 };

/* Blocks before the codes of a K type's chunk: one of factors, then four of scales, or three. */
#define FFAI__K_HEADER_LINES(bits) ((bits) == 3 ? 4 : 5)

/* A byte for each row of a tile. */
typedef uint8_t lanes_b __attribute__((vector_size(FFAI__TILE_ROWS)));

typedef enum ffai__scale_mode {
    FFAI__SCALE_F16,
    FFAI__SCALE_BF16,
    FFAI__SCALE_F32,
    FFAI__SCALE_F16_ZERO, /* no biases stored: bias = -zero * scale */
    FFAI__SCALE_K,        /* two-level */
} ffai__scale_mode;

typedef struct ffai__affine_layout {
    int bits;
    int group_size;
    ffai__scale_mode mode;
    int zero; /* SCALE_F16_ZERO only, else 0 */
    int64_t groups;
    int groups_per_chunk;
    size_t scale_bytes;  /* of one group's scales and biases together; SCALE_K: in float32 */
    size_t header_bytes; /* of all scales of a chunk */
    size_t chunk_bytes;
} ffai__affine_layout;

void ffai__affine_layout_of(ffai__affine_layout *layout, const ffai__weight *weight);

/* Fixed-point input. Every column is an integer v, |v| <= FFAI__FIXED_MOST, times its group's step. For each two
 * spans there are 128 bytes, then come the groups. Tiers with byte dot products keep v = 256 h + l as signed h and
 * signed l (AVX-512: 64 h, then 64 l; NEON: 8 h and 8 l in turn), others 64 int16 with the quad's columns in order
 * 0, 2, 1, 3 (the order in which a quad's bytes widen). */
#define FFAI__FIXED_MOST 32512 /* 127 * 256: h and l are signed bytes */

typedef struct ffai__fixed_group {
    float step;
    float sum;           /* step * integer_sum */
    int32_t integer_sum; /* of v */
    int32_t unused;
} ffai__fixed_group;

static inline int64_t ffai__spans(int64_t columns)
{
    return (columns + FFAI__SPAN_COLUMNS - 1) / FFAI__SPAN_COLUMNS;
}

/* Bytes of a row's integers. */
static inline int64_t ffai__fixed_bytes(int64_t columns)
{
    return (ffai__spans(columns) + 1) / 2 * 128;
}

typedef struct ffai__linear_kernels {
    const char *name;
    ffai__input_kind kind;
    void (*prepare)(void *prepared, const float *x, const ffai__linear_input *input);
    void (*compute)(const ffai__linear_job *job);
} ffai__linear_kernels;

/* A tier's kernels, as kernels.def lists them. */
typedef struct ffai__linear_tier {
#define LINEAR_KERNEL(name, text) ffai__linear_kernels name;
#include "kernels.def"
} ffai__linear_tier;

extern const ffai__linear_tier ffai__linear_scalar;
extern const ffai__linear_tier ffai__linear_neon;
/* What dot products (SDOT), products of matrices (USMMLA) and, where inputs may be rounded to bf16, BFDOT replace in
 * the NEON tier. */
extern const ffai__linear_kernels ffai__linear_neon_dotprod;
extern const ffai__linear_kernels ffai__linear_neon_i8mm;
extern const ffai__linear_kernels ffai__linear_neon_bf16;
extern const ffai__linear_tier ffai__linear_avx2;
extern const ffai__linear_tier ffai__linear_avx512;
/* What VNNI and BF16 replace in the AVX-512 tier, the latter where inputs may be rounded to bf16. */
extern const ffai__linear_kernels ffai__linear_avx512_vnni;
extern const ffai__linear_kernels ffai__linear_avx512_bf16;
/* What AMX replaces in the AVX-512 tier: affine weights, and bf16 weights times inputs in two bf16 parts or rounded to
 * one. Needs VNNI. */
extern const ffai__linear_kernels ffai__linear_amx_fixed;
extern const ffai__linear_kernels ffai__linear_amx_bf16_split;
extern const ffai__linear_kernels ffai__linear_amx_bf16;

/* Where the 16 rows of a tile being filled lie in the file, and those of the tile after it. Rows that pad are zeros,
 * of all its lengths. */
struct ffai__tile_rows {
    const ffai__weight *weight;
    const uint8_t *data[FFAI__TILE_ROWS];
    const uint8_t *scales[FFAI__TILE_ROWS]; /* MLX only */
    const uint8_t *biases[FFAI__TILE_ROWS];
    const uint8_t *next[FFAI__TILE_ROWS]; /* data of the next tile, to be fetched ahead */
};

/* Fill a tile of ffai__packed.tile_bytes (pack_template.h); the same bytes on every tier. */
ffai__fill_tile ffai__fill_tile_scalar;
ffai__fill_tile ffai__fill_tile_avx2;
ffai__fill_tile ffai__fill_tile_avx512;

/* Preparations that tiers share. */
void ffai__linear_prepare_f32(void *prepared, const float *x, const ffai__linear_input *input);
void ffai__linear_prepare_fixed_avx2(void *prepared, const float *x, const ffai__linear_input *input);
void ffai__linear_prepare_fixed_vnni(void *prepared, const float *x, const ffai__linear_input *input);

#endif
