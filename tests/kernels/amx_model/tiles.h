/* The tile registers of AMX in plain C: the vocabulary of src/backends/cpu/kernels/amx/tiles.h after the pseudo-code of
 * Intel's manual (SDM volume 2, LDTILECFG, TDPBF16PS, TDPBSUD), bit for bit. What raises an exception there aborts. */
#ifndef FFAI_AMX_MODEL_TILES_H
#define FFAI_AMX_MODEL_TILES_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct tile_register {
    int rows;
    int row_bytes;
    uint8_t data[16][64];
} tile_register;

static _Thread_local tile_register tile_registers[8];

static void tile_expect(int right)
{
    if (!right)
        abort();
}

static void tiles_release(void)
{
    memset(tile_registers, 0, sizeof tile_registers);
}

static void tiles_configure(const uint8_t rows[8], const uint8_t row_bytes[8])
{
    tiles_release();
    for (int i = 0; i < 8; i++) {
        tile_expect(rows[i] >= 1 && rows[i] <= 16 && row_bytes[i] >= 1 && row_bytes[i] <= 64);
        tile_registers[i].rows = rows[i];
        tile_registers[i].row_bytes = row_bytes[i];
    }
}

static void tiles_read_memory(void)
{
}

static void tile_zero(int t)
{
    tile_expect(tile_registers[t].rows > 0);
    memset(tile_registers[t].data, 0, sizeof tile_registers[t].data);
}

static void tile_load(int t, const void *at, size_t stride)
{
    tile_zero(t);
    for (int r = 0; r < tile_registers[t].rows; r++)
        memcpy(tile_registers[t].data[r], (const uint8_t *)at + (size_t)r * stride,
               (size_t)tile_registers[t].row_bytes);
}

static void tile_store(int t, void *at)
{
    tile_expect(tile_registers[t].rows > 0);
    for (int r = 0; r < tile_registers[t].rows; r++)
        memcpy((uint8_t *)at + 64 * (size_t)r, tile_registers[t].data[r], (size_t)tile_registers[t].row_bytes);
}

static void tile_expect_product(int c, int a, int b)
{
    tile_expect(tile_registers[a].rows > 0 && tile_registers[a].rows == tile_registers[c].rows &&
                tile_registers[b].row_bytes == tile_registers[c].row_bytes);
    tile_expect(tile_registers[a].row_bytes == 4 * tile_registers[b].rows && c != a && c != b && a != b);
}

/* Denormals are zero, as input and as output. */
static float tile_flush(float value)
{
    return fpclassify(value) == FP_SUBNORMAL ? copysignf(0.0f, value) : value;
}

static float tile_bf16(const uint8_t *at)
{
    uint16_t high = 0;
    memcpy(&high, at, sizeof high);
    const uint32_t bits = (uint32_t)high << 16;
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return tile_flush(value);
}

static void tile_dot_bf16(int c, int a, int b)
{
    tile_expect_product(c, a, b);
    for (int m = 0; m < tile_registers[c].rows; m++) {
        for (int n = 0; n < tile_registers[c].row_bytes / 4; n++) {
            float sums[2] = {0, 0};
            for (int k = 0; k < tile_registers[b].rows; k++) {
                for (int i = 0; i < 2; i++)
                    sums[i] = tile_flush(fmaf(tile_bf16(&tile_registers[a].data[m][4 * k + 2 * i]),
                                              tile_bf16(&tile_registers[b].data[k][4 * n + 2 * i]), sums[i]));
            }
            float sum = 0;
            memcpy(&sum, &tile_registers[c].data[m][4 * n], sizeof sum);
            sum = tile_flush(tile_flush(sum) + tile_flush(sums[0] + sums[1]));
            memcpy(&tile_registers[c].data[m][4 * n], &sum, sizeof sum);
        }
    }
}

static void tile_dot_su8(int c, int a, int b)
{
    tile_expect_product(c, a, b);
    for (int m = 0; m < tile_registers[c].rows; m++) {
        for (int n = 0; n < tile_registers[c].row_bytes / 4; n++) {
            int32_t sum = 0;
            memcpy(&sum, &tile_registers[c].data[m][4 * n], sizeof sum);
            for (int k = 0; k < tile_registers[a].row_bytes; k++)
                sum += (int8_t)tile_registers[a].data[m][k] * (int32_t)tile_registers[b].data[k / 4][4 * n + k % 4];
            memcpy(&tile_registers[c].data[m][4 * n], &sum, sizeof sum);
        }
    }
}

#endif
