/* The tile registers of AMX: the vocabulary of linear_tiles.h in instructions.
 *
 * Each thread configures its tiles when a product begins and releases them at its end, so that a context switch in
 * between products saves none. The kernel must have permitted them (cpu_features.h). */
#ifndef FFAI_AMX_TILES_H
#define FFAI_AMX_TILES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* Intel SDM volume 2, LDTILECFG. */
typedef struct tile_config {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* What was stored to memory before is there for the tile loads that follow: gcc does not know that they read it. */
static inline void tiles_read_memory(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void tiles_configure(const uint8_t rows[8], const uint8_t row_bytes[8])
{
    _Alignas(64) tile_config config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int i = 0; i < 8; i++) {
        config.rows[i] = rows[i];
        config.row_bytes[i] = row_bytes[i];
    }
    __asm__ volatile("" ::"r"(&config) : "memory"); /* gcc takes it for 8 bytes */
    _tile_loadconfig(&config);
}

static inline void tiles_release(void)
{
    _tile_release();
}

#define tile_zero(t)             _tile_zero(t)
#define tile_load(t, at, stride) _tile_loadd(t, at, (long)(stride))
#define tile_store(t, at)        _tile_stored(t, at, 64)
/* c += a b: bf16 pairs into float32; signed times unsigned bytes into int32. */
#define tile_dot_bf16(c, a, b) _tile_dpbf16ps(c, a, b)
#define tile_dot_su8(c, a, b)  _tile_dpbsud(c, a, b)

#endif
