/* Linear kernels for AMX. */
#include "linear_dots_vnni.h"
#include "linear_lanes_bf16_avx512.h"
#include "tiles.h"

FFAI__ALWAYS_INLINE dot_sum dot_load(const int32_t *high, const int32_t *low)
{
    return (dot_sum){_mm512_load_si512(high), _mm512_load_si512(low)};
}

static void few_rows(const ffai__linear_job *job)
{
    ffai__linear_avx512_vnni.compute(job);
}

#include "linear_tiles_affine.h"
#include "linear_tiles_bf16.h"

const ffai__linear_kernels ffai__linear_amx_fixed = {
    .name = "affine fixed-point amx",
    .kind = FFAI__INPUT_FIXED,
    .prepare = ffai__linear_prepare_fixed_vnni,
    .compute = multiply_affine,
};

const ffai__linear_kernels ffai__linear_amx_bf16_split = {
    .name = "bf16 amx",
    .kind = FFAI__INPUT_BF16_SPLIT,
    .prepare = prepare_split,
    .compute = multiply_split,
};

const ffai__linear_kernels ffai__linear_amx_bf16 = {
    .name = "bf16 rounded inputs amx",
    .kind = FFAI__INPUT_BF16,
    .prepare = prepare_rounded,
    .compute = multiply_rounded,
};
