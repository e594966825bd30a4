/* Affine kernels with dot products of signed bytes (SDOT): the input is two signed bytes, 256 h + l, each times the
 * codes. Codes of 8 bits become signed by taking 128 from each, which the group's sum of inputs makes up for. */
#include "linear_neon_bytes.h"

FFAI__ALWAYS_INLINE lanes_u less_128(lanes_u quad)
{
    EACH_PART(p)
    quad.part[p] = veorq_u8(quad.part[p], vdupq_n_u8(128));
    return quad;
}

#define DOT_BYTES(quad) less_128(quad)
#define DOT_BYTES_LESS  128

FFAI__ALWAYS_INLINE dot_sum dot_add(dot_sum sum, dot_codes codes, const uint8_t *span, int quad)
{
    const int8x16_t x = vreinterpretq_s8_u8(vld1q_u8(span + quad / 2 * PAIR_INPUT_BYTES));
    EACH_PART(p)
    {
        const int8x16_t q = vreinterpretq_s8_u8(codes.part[p]);
        sum.high[p] = quad % 2 ? vdotq_laneq_s32(sum.high[p], q, x, 1) : vdotq_laneq_s32(sum.high[p], q, x, 0);
        sum.low[p] = quad % 2 ? vdotq_laneq_s32(sum.low[p], q, x, 3) : vdotq_laneq_s32(sum.low[p], q, x, 2);
    }
    return sum;
}

#include "linear_affine.h"

#include "linear_prepare.h"

static void prepare_fixed_dotprod(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_fixed(prepared, x, input);
}

DEFINE_FIXED(ROWS_8_4_2_1)

const ffai__linear_kernels ffai__linear_neon_dotprod = {"affine fixed-point neon dotprod", FFAI__INPUT_FIXED,
                                                        prepare_fixed_dotprod, fixed};
