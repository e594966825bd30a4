#include <immintrin.h>

#include "machine_kernels.h"

/* Tiles of 16 rows of 64 bytes (Intel SDM volume 1, 18.2: palette 1). */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

enum { TILES = 8, TILE_ROWS = 16, TILE_ROW_BYTES = 64, CHAINS = 4 };

/* Four sums of two by two operands, as a product is made. */
static void multiply_add(int64_t iterations)
{
    _Alignas(64) tile_config config = {.palette = 1};
    for (int i = 0; i < TILES; i++) {
        config.row_bytes[i] = TILE_ROW_BYTES;
        config.rows[i] = TILE_ROWS;
    }
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int64_t n = 0; n < iterations; n++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
}

/* 16 x 16 sums of 32 products each. */
const ffai__peak ffai__peak_amx_bf16 = {"tdpbf16ps (AMX)", 2.0 * 16 * 16 * 32 * CHAINS, multiply_add};
