/* Affine kernels with products of 8-bit matrices: the input is two signed bytes, 256 h + l, each times the unsigned
 * codes. One row takes dot products (USDOT). Several take products of matrices (USMMLA), two output rows of 8 columns
 * times h and l as the two columns of the other matrix: as many products again by one instruction. */
#include "linear_neon_bytes.h"

FFAI__ALWAYS_INLINE dot_sum dot_add(dot_sum sum, dot_codes codes, const uint8_t *span, int quad)
{
    const int8x16_t x = vreinterpretq_s8_u8(vld1q_u8(span + quad / 2 * PAIR_INPUT_BYTES));
    EACH_PART(p)
    {
        const uint8x16_t q = codes.part[p];
        sum.high[p] = quad % 2 ? vusdotq_laneq_s32(sum.high[p], q, x, 1) : vusdotq_laneq_s32(sum.high[p], q, x, 0);
        sum.low[p] = quad % 2 ? vusdotq_laneq_s32(sum.low[p], q, x, 3) : vusdotq_laneq_s32(sum.low[p], q, x, 2);
    }
    return sum;
}

#define DOT_GROUP

/* Two quads as eight matrices of two output rows by 8 columns. */
FFAI__ALWAYS_INLINE void store_quads(uint8_t *out, lanes_u a, lanes_u b)
{
    EACH_PART(p)
    {
        const uint32x4_t left = vreinterpretq_u32_u8(a.part[p]);
        const uint32x4_t right = vreinterpretq_u32_u8(b.part[p]);
        vst1q_u8(out + 32 * p, vreinterpretq_u8_u32(vzip1q_u32(left, right)));
        vst1q_u8(out + 32 * p + 16, vreinterpretq_u8_u32(vzip2q_u32(left, right)));
    }
}

/* h and l of two output rows side by side. */
typedef struct matrix_sum {
    int32x4_t part[2 * PARTS];
} matrix_sum;

FFAI__ALWAYS_INLINE dot_sum separate(matrix_sum both)
{
    dot_sum sum;
    EACH_PART(p)
    {
        sum.high[p] = vuzp1q_s32(both.part[2 * p], both.part[2 * p + 1]);
        sum.low[p] = vuzp2q_s32(both.part[2 * p], both.part[2 * p + 1]);
    }
    return sum;
}

FFAI__ALWAYS_INLINE matrix_sum multiply_pair(matrix_sum sum, const uint8_t *quads, int8x16_t x)
{
    UNROLL
    for (int p = 0; p < 2 * PARTS; p++)
        sum.part[p] = vusmmlaq_s32(sum.part[p], vld1q_u8(quads + 16 * p), x);
    return sum;
}

FFAI__ALWAYS_INLINE void dot_group(dot_sum *sums, const uint8_t *quads, const uint8_t *input, size_t stride,
                                   int64_t group, int group_size, int rows)
{
    matrix_sum products[DOT_ROWS];
    UNROLL
    for (int m = 0; m < rows; m++) {
        UNROLL
        for (int p = 0; p < 2 * PARTS; p++)
            products[m].part[p] = vdupq_n_s32(0);
    }
    input += group * group_size / PAIR_COLUMNS * PAIR_INPUT_BYTES;
    for (int c = 0; c < group_size; c += PAIR_COLUMNS) {
        UNROLL
        for (int m = 0; m < rows; m++) {
            const int8x16_t x = vreinterpretq_s8_u8(vld1q_u8(input + (size_t)m * stride));
            products[m] = multiply_pair(products[m], quads, x);
        }
        quads += 2 * FFAI__BLOCK_BYTES;
        input += PAIR_INPUT_BYTES;
    }
    UNROLL
    for (int m = 0; m < rows; m++)
        sums[m] = separate(products[m]);
}

#include "linear_affine.h"

#include "linear_prepare.h"

static void prepare_fixed_i8mm(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_fixed(prepared, x, input);
}

DEFINE_FIXED(ROWS_8_4_2_1)

const ffai__linear_kernels ffai__linear_neon_i8mm = {"affine fixed-point neon i8mm", FFAI__INPUT_FIXED,
                                                     prepare_fixed_i8mm, fixed};
