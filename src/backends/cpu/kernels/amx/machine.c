#include "machine_kernels.h"
#include "tiles.h"

enum { DOTS = 8 };

/* Four sums that do not wait for each other, of factors that vary: products of zeros would take less power. */
static void load_factors(void)
{
    static const uint8_t rows[8] = {16, 16, 16, 16, 16, 16, 16, 16};
    static const uint8_t row_bytes[8] = {64, 64, 64, 64, 64, 64, 64, 64};
    _Alignas(64) uint16_t factors[4][512];
    uint32_t state = 1;
    for (int i = 0; i < 4 * 512; i++) {
        state = state * 1664525u + 1013904223u;
        factors[i / 512][i % 512] = (uint16_t)(0x3F00u | (state >> 16 & 0x80FFu)); /* 0.5 to 2, either sign */
    }
    tiles_configure(rows, row_bytes);
    tiles_read_memory();
    tile_load(4, factors[0], 64);
    tile_load(5, factors[1], 64);
    tile_load(6, factors[2], 64);
    tile_load(7, factors[3], 64);
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
}

static void multiply_add_bf16(int64_t iterations)
{
    load_factors();
    for (int64_t n = 0; n < iterations; n++) {
        tile_dot_bf16(0, 4, 6);
        tile_dot_bf16(1, 4, 7);
        tile_dot_bf16(2, 5, 6);
        tile_dot_bf16(3, 5, 7);
        tile_dot_bf16(0, 4, 6);
        tile_dot_bf16(1, 4, 7);
        tile_dot_bf16(2, 5, 6);
        tile_dot_bf16(3, 5, 7);
    }
    tiles_release();
}

static void multiply_add_su8(int64_t iterations)
{
    load_factors();
    for (int64_t n = 0; n < iterations; n++) {
        tile_dot_su8(0, 4, 6);
        tile_dot_su8(1, 4, 7);
        tile_dot_su8(2, 5, 6);
        tile_dot_su8(3, 5, 7);
        tile_dot_su8(0, 4, 6);
        tile_dot_su8(1, 4, 7);
        tile_dot_su8(2, 5, 6);
        tile_dot_su8(3, 5, 7);
    }
    tiles_release();
}

const ffai__peak ffai__peak_amx_bf16 = {"tdpbf16ps", 2.0 * 16 * 16 * 32 * DOTS, multiply_add_bf16};
/* Products of bytes; an input of 15 bits has two. */
const ffai__peak ffai__peak_amx_int8 = {"tdpbsud (two for 15-bit input)", 16.0 * 16 * 64 * DOTS, multiply_add_su8};
