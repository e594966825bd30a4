/* Pages of keys and values (ffai__cuda_store in args.h). */
#ifndef FFAI_CUDA_PAGES_CUH
#define FFAI_CUDA_PAGES_CUH

#include "step.cuh"

enum { PAGE_TOKENS = 32 };
enum { STORE_F16, STORE_BF16, STORE_F32 }; /* ffai__store_format */

DEVICE uint32_t page_of(const ffai__cuda_step &step, const ffai__cuda_store &store, int slot, int64_t position)
{
    return step.tables[slot * step.table_stride + store.group * step.max_pages + position / PAGE_TOKENS];
}

/* Where a head's key of a position begins, in numbers from the page's first. */
DEVICE int64_t key_index(const ffai__cuda_store &store, int head, int64_t position)
{
    return (head * PAGE_TOKENS + position % PAGE_TOKENS) * (int64_t)store.head_dim;
}

DEVICE int64_t value_index(const ffai__cuda_store &store, int head, int d, int64_t position)
{
    return ((store.heads + head) * (int64_t)store.head_dim + d) * PAGE_TOKENS + position % PAGE_TOKENS;
}

/* As 16 bits: what is beyond the range of f16 becomes its largest number. */
DEVICE uint16_t stored_bits(float value, int format)
{
    const float most = 65504.0f;
    const float near = value > most ? most : value < -most ? -most : value;
    return format == STORE_F16 ? f32_to_f16(near) : f32_to_bf16(value);
}

DEVICE void store_number(uint8_t *page, int64_t index, float value, int format)
{
    if (format == STORE_F32)
        reinterpret_cast<float *>(page)[index] = value;
    else
        reinterpret_cast<uint16_t *>(page)[index] = stored_bits(value, format);
}

DEVICE float stored_number(const uint8_t *page, int64_t index, int format)
{
    if (format == STORE_F32)
        return reinterpret_cast<const float *>(page)[index];
    const uint16_t bits = reinterpret_cast<const uint16_t *>(page)[index];
    return format == STORE_F16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

#endif
