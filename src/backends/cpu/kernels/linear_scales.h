/* Template: scales and biases of affine weights as float32 lanes, over the vocabulary of linear_affine.h. Two-level
 * ones become float32, a chunk at a time: products of an f16 and eight bits, and exact. */
#ifndef FFAI_LINEAR_SCALES_H
#define FFAI_LINEAR_SCALES_H

#include "k_block.h"
#include "linear_kernels.h"

typedef struct group_scales {
    lanes_f scale, bias;
} group_scales;

FFAI__ALWAYS_INLINE group_scales load_scales(const uint8_t *at, const ffai__affine_layout *layout)
{
    switch (layout->mode) {
    case FFAI__SCALE_F16:
        return (group_scales){f_load_f16(at), f_load_f16(at + 32)};
    case FFAI__SCALE_BF16:
        return (group_scales){f_load_bf16(at), f_load_bf16(at + 32)};
    case FFAI__SCALE_F32:
    case FFAI__SCALE_K: /* as expand_scales left them */
        return (group_scales){f_load(at), f_load(at + 64)};
    case FFAI__SCALE_F16_ZERO:
    default:
        return (group_scales){f_load_f16(at), f_zero()};
    }
}

/* Of a chunk's groups, 16 scales and 16 biases each. */
typedef struct chunk_scales {
    _Alignas(64) float groups[FFAI__K_MOST_GROUPS][2 * FFAI__TILE_ROWS];
} chunk_scales;

FFAI__ALWAYS_INLINE lanes_b load_bytes(const uint8_t *at)
{
    lanes_b a;
    memcpy(&a, at, sizeof a);
    return a;
}

FFAI__ALWAYS_INLINE void put_scales(float group[2 * FFAI__TILE_ROWS], lanes_f d, lanes_b sc, lanes_f less, lanes_b m)
{
    f_store(group, f_mul(d, f_signed_bytes(sc)));
    f_store(group + FFAI__TILE_ROWS, f_mul(less, f_signed_bytes(m)));
}

/* w = scale (q - zero) */
FFAI__ALWAYS_INLINE void put_centred(float group[2 * FFAI__TILE_ROWS], lanes_f d, lanes_b sc, float zero)
{
    const lanes_f scale = f_mul(d, f_signed_bytes(sc));
    f_store(group, scale);
    f_store(group + FFAI__TILE_ROWS, f_mul(scale, f_set(-zero)));
}

FFAI__ALWAYS_INLINE void expand_q2(chunk_scales *out, const uint8_t *at, lanes_f d, lanes_f less)
{
    for (int g = 0; g < 16; g++, at += FFAI__TILE_ROWS) {
        const lanes_b both = load_bytes(at);
        put_scales(out->groups[g], d, both & 15, less, both >> 4);
    }
}

FFAI__ALWAYS_INLINE void expand_q3(chunk_scales *out, const uint8_t *at, lanes_f d)
{
    for (int g = 0; g < 16; g += 4) {
        lanes_b last = {0};
        for (int i = 0; i < 3; i++, at += FFAI__TILE_ROWS) {
            const lanes_b a = load_bytes(at);
            last |= a >> 6 << 2 * i;
            put_centred(out->groups[g + i], d, (a & 63) - 32, 4.0f);
        }
        put_centred(out->groups[g + 3], d, last - 32, 4.0f);
    }
}

FFAI__ALWAYS_INLINE void expand_q4(chunk_scales *out, const uint8_t *at, lanes_f d, lanes_f less)
{
    for (int g = 0; g < 8; g++, at += FFAI__TILE_ROWS)
        put_scales(out->groups[g], d, load_bytes(at), less, load_bytes(at + 8 * FFAI__TILE_ROWS));
}

FFAI__ALWAYS_INLINE void expand_q6(chunk_scales *out, const uint8_t *at, lanes_f d)
{
    for (int g = 0; g < 16; g++, at += FFAI__TILE_ROWS)
        put_centred(out->groups[g], d, load_bytes(at), 32.0f);
}

/* What stands before the codes of a K type's chunk. */
FFAI__ALWAYS_INLINE void expand_scales(chunk_scales *out, const uint8_t *chunk, int bits)
{
    const lanes_f d = f_load_f16(chunk);
    const lanes_f less = f_mul(f_load_f16(chunk + 2 * FFAI__TILE_ROWS), f_set(-1.0f));
    const uint8_t *const at = chunk + FFAI__BLOCK_BYTES;
    switch (bits) {
    case 2:
        expand_q2(out, at, d, less);
        break;
    case 3:
        expand_q3(out, at, d);
        break;
    case 6:
        expand_q6(out, at, d);
        break;
    default: /* 4, 5 */
        expand_q4(out, at, d, less);
        break;
    }
}

/* Where the scales of a chunk's groups are, layout->scale_bytes each: in the chunk, or in room. */
FFAI__ALWAYS_INLINE const uint8_t *scales_of_chunk(chunk_scales *room, const uint8_t *chunk,
                                                   const ffai__affine_layout *layout)
{
    if (layout->mode != FFAI__SCALE_K)
        return chunk;
    expand_scales(room, chunk, layout->bits);
    return (const uint8_t *)room->groups;
}

#endif
