#include "linear.h"

#include "k_block.h"
#include "linear_kernels.h"

static ffai__scale_mode scale_mode(const ffai__weight *weight)
{
    switch (weight->packing) {
    case FFAI__GGUF_Q4_0:
    case FFAI__GGUF_Q5_0:
    case FFAI__GGUF_Q8_0:
        return FFAI__SCALE_F16_ZERO;
    case FFAI__GGUF_Q4_1:
    case FFAI__GGUF_Q5_1:
        return FFAI__SCALE_F16;
    case FFAI__GGUF_Q2_K:
    case FFAI__GGUF_Q3_K:
    case FFAI__GGUF_Q4_K:
    case FFAI__GGUF_Q5_K:
    case FFAI__GGUF_Q6_K:
        return FFAI__SCALE_K;
    case FFAI__DENSE:
    case FFAI__MLX_AFFINE:
        break;
    }
    if (weight->scale_dtype == FFAI__F32)
        return FFAI__SCALE_F32;
    return weight->scale_dtype == FFAI__BF16 ? FFAI__SCALE_BF16 : FFAI__SCALE_F16;
}

static int groups_of_chunk(const ffai__weight *weight, ffai__scale_mode mode)
{
    if (mode == FFAI__SCALE_K)
        return FFAI__K_COLUMNS / weight->group_size;
    /* Two where one would end amid a span or amid a cache line. */
    return weight->group_size == 16 || mode == FFAI__SCALE_F16_ZERO ? 2 : 1;
}

void ffai__affine_layout_of(ffai__affine_layout *layout, const ffai__weight *weight)
{
    enum { LANES = FFAI__TILE_ROWS };
    static const size_t scale_bytes[] = {
        [FFAI__SCALE_F16] = 4 * LANES,      [FFAI__SCALE_BF16] = 4 * LANES, [FFAI__SCALE_F32] = 8 * LANES,
        [FFAI__SCALE_F16_ZERO] = 2 * LANES, [FFAI__SCALE_K] = 8 * LANES,
    };
    layout->bits = weight->bits;
    layout->group_size = weight->group_size;
    layout->mode = scale_mode(weight);
    layout->zero = layout->mode == FFAI__SCALE_F16_ZERO ? 1 << (weight->bits - 1) : 0;
    layout->groups = weight->columns / weight->group_size;
    layout->groups_per_chunk = groups_of_chunk(weight, layout->mode);
    layout->scale_bytes = scale_bytes[layout->mode];
    layout->header_bytes = layout->mode == FFAI__SCALE_K
                               ? FFAI__K_HEADER_LINES(weight->bits) * (size_t)FFAI__BLOCK_BYTES
                               : layout->scale_bytes * (size_t)layout->groups_per_chunk;
    const size_t spans = (size_t)(layout->groups_per_chunk * weight->group_size / FFAI__SPAN_COLUMNS);
    layout->chunk_bytes = layout->header_bytes + spans * (size_t)weight->bits * FFAI__BLOCK_BYTES;
}

static bool affine_supported(const ffai__weight *weight)
{
    const int group = weight->group_size;
    if (group != 16 && group != 32 && group != 64 && group != 128)
        return false;
    if (weight->columns % group || !ffai__dtype_is_float(weight->scale_dtype))
        return false;
    return (weight->bits >= 2 && weight->bits <= 6) || weight->bits == 8;
}

static bool dense_supported(const ffai__weight *weight)
{
    return ffai__dtype_is_float(weight->dtype) || weight->dtype == FFAI__F64;
}

static const ffai__linear_tier *tier_of(ffai__isa isa)
{
    static const ffai__linear_tier *const tiers[FFAI__ISA_COUNT] = {
        [FFAI__ISA_SCALAR] = &ffai__linear_scalar,
#if defined(__x86_64__)
        [FFAI__ISA_AVX2] = &ffai__linear_avx2,
        [FFAI__ISA_AVX512] = &ffai__linear_avx512,
        [FFAI__ISA_AMX] = &ffai__linear_avx512,
#elif defined(__aarch64__)
        [FFAI__ISA_NEON] = &ffai__linear_neon,
#endif
    };
    return tiers[isa] ? tiers[isa] : &ffai__linear_scalar;
}

static const ffai__linear_kernels *affine_kernels(ffai__isa isa, const ffai__cpu_features *features,
                                                  ffai__activations activations)
{
    if (activations == FFAI__ACTIVATIONS_F32)
        return &tier_of(isa)->affine_f32;
#if defined(__x86_64__)
    if (isa == FFAI__ISA_AMX)
        return &ffai__linear_amx_fixed;
    if (isa == FFAI__ISA_AVX512 && features->avx512_vnni)
        return &ffai__linear_avx512_vnni;
#elif defined(__aarch64__)
    if (isa == FFAI__ISA_NEON && features->neon_dotprod)
        return features->neon_i8mm ? &ffai__linear_neon_i8mm : &ffai__linear_neon_dotprod;
#else
    (void)features;
#endif
    return &tier_of(isa)->fixed;
}

static const ffai__linear_kernels *bf16_kernels(ffai__isa isa, const ffai__cpu_features *features,
                                                ffai__activations activations)
{
#if defined(__x86_64__)
    if (isa == FFAI__ISA_AMX && activations != FFAI__ACTIVATIONS_F32)
        return activations == FFAI__ACTIVATIONS_BF16 ? &ffai__linear_amx_bf16 : &ffai__linear_amx_bf16_split;
    if (isa == FFAI__ISA_AVX512 && features->avx512_bf16 && activations == FFAI__ACTIVATIONS_BF16)
        return &ffai__linear_avx512_bf16;
#elif defined(__aarch64__)
    if (isa == FFAI__ISA_NEON && features->neon_bf16 && activations == FFAI__ACTIVATIONS_BF16)
        return &ffai__linear_neon_bf16;
#else
    (void)features;
    (void)activations;
#endif
    return &tier_of(isa)->dense_bf16;
}

static const ffai__linear_kernels *kernels_of(const ffai__weight *weight, ffai__isa isa,
                                              const ffai__cpu_features *features, ffai__activations activations)
{
    if (ffai__weight_is_affine(weight))
        return affine_kernels(isa, features, activations);
    if (weight->dtype == FFAI__BF16)
        return bf16_kernels(isa, features, activations);
    return weight->dtype == FFAI__F16 ? &tier_of(isa)->dense_f16 : &tier_of(isa)->dense_f32;
}

static ffai__fill_tile *fill_of(ffai__isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case FFAI__ISA_AMX:
    case FFAI__ISA_AVX512:
        return ffai__fill_tile_avx512;
    case FFAI__ISA_AVX2:
        return ffai__fill_tile_avx2;
#endif
    default:
        return ffai__fill_tile_scalar;
    }
}

static uint64_t affine_tile_bytes(const ffai__weight *weight)
{
    ffai__affine_layout layout;
    ffai__affine_layout_of(&layout, weight);
    const int64_t chunks = (layout.groups + layout.groups_per_chunk - 1) / layout.groups_per_chunk;
    return (uint64_t)chunks * layout.chunk_bytes;
}

static uint64_t dense_tile_bytes(const ffai__weight *weight)
{
    const uint64_t columns = ((uint64_t)weight->columns + 3) / 4 * 4;
    const uint64_t size = weight->dtype == FFAI__F16 || weight->dtype == FFAI__BF16 ? 2 : 4;
    return columns * FFAI__TILE_ROWS * size;
}

ffai_status ffai__packed_plan(ffai__packed *packed, const ffai__weight *weight, ffai__isa isa,
                              const ffai__cpu_features *features, ffai__activations activations, ffai_error *err)
{
    const bool affine = ffai__weight_is_affine(weight);
    char text[32];
    if (!(affine ? affine_supported(weight) : dense_supported(weight)))
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: no kernel multiplies by %s weights", weight->name,
                          ffai__weight_format_text(weight, text));
    packed->weight = weight;
    packed->num_tiles = (weight->rows + FFAI__TILE_ROWS - 1) / FFAI__TILE_ROWS;
    packed->tile_bytes = affine ? affine_tile_bytes(weight) : dense_tile_bytes(weight);
    packed->tiles = NULL;
    packed->kernels = kernels_of(weight, isa, features, activations);
    packed->wide = isa == FFAI__ISA_AMX && packed->kernels->kind != FFAI__INPUT_F32;
    packed->fill_tile = fill_of(isa);
    packed->input.kind = packed->kernels->kind;
    packed->input.group_size = packed->input.kind == FFAI__INPUT_FIXED ? weight->group_size : 0;
    packed->input.columns = weight->columns;
    return FFAI_OK;
}

/* An odd number of cache lines, so that one column's lines of many rows do not compete for one place. */
static size_t odd_lines(size_t bytes)
{
    return ((bytes + 63) / 64 | 1) * 64;
}

size_t ffai__linear_input_bytes(const ffai__linear_input *input)
{
    const size_t padded = (size_t)ffai__spans(input->columns) * FFAI__SPAN_COLUMNS;
    switch (input->kind) {
    case FFAI__INPUT_FIXED: {
        const size_t groups = (size_t)(input->columns / input->group_size);
        return odd_lines((size_t)ffai__fixed_bytes(input->columns) + groups * sizeof(ffai__fixed_group));
    }
    case FFAI__INPUT_BF16:
        return odd_lines(padded * sizeof(uint16_t));
    case FFAI__INPUT_BF16_SPLIT:
        return odd_lines(padded * 2 * sizeof(uint16_t));
    case FFAI__INPUT_F32:
    default:
        return padded * sizeof(float);
    }
}

void ffai__linear_prepare_f32(void *prepared, const float *x, const ffai__linear_input *input)
{
    const size_t size = (size_t)input->columns * sizeof *x;
    memcpy(prepared, x, size);
    memset((uint8_t *)prepared + size, 0, ffai__linear_input_bytes(input) - size);
}

void ffai__linear_prepare(void *prepared, const float *x, const ffai__packed *packed)
{
    packed->kernels->prepare(prepared, x, &packed->input);
}

void ffai__linear_compute(const ffai__linear_job *job)
{
    job->packed->kernels->compute(job);
}

/* Intel's cores compute or wait, unless they are asked: decode reads 1.4 to 2 times as fast with it. Zen 4 fetches well
 * by itself and loses up to a quarter by being told (bench/results/prefetch.txt). */
int ffai__fetch_ahead_usual(const ffai__cpu_features *features)
{
    return features->intel ? 4096 : 0;
}

const char *ffai__linear_kernel_name(const ffai__packed *packed)
{
    return packed->kernels->name;
}
