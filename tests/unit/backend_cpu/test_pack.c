/* Tiles, byte by byte: every format on every tier against the layout as linear_kernels.h defines it. */
#include "k_block.h"
#include "kernels/linear_kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t *bytes_of(size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    return bytes;
}

static void *random_bytes(size_t size)
{
    static uint32_t state = 1;
    uint8_t *bytes = bytes_of(size);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(state >> 24);
    }
    return bytes;
}

static ffai__weight make_weight(ffai__packing packing, ffai__dtype dtype, int bits, int group, int64_t rows,
                                int64_t columns, int rope_heads)
{
    ffai__weight weight = {.name = "test.weight",
                           .rank = 2,
                           .rows = rows,
                           .columns = columns,
                           .packing = packing,
                           .dtype = dtype,
                           .bits = bits,
                           .group_size = group,
                           .scale_dtype =
                               packing == FFAI__MLX_AFFINE || ffai__packing_is_k(packing) ? dtype : FFAI__F16,
                           .rope_heads = rope_heads};
    weight.data = random_bytes((size_t)(ffai__weight_row_bytes(&weight) * (uint64_t)rows));
    if (packing == FFAI__MLX_AFFINE) {
        const size_t size = (size_t)(rows * columns / group) * ffai__dtype_size(dtype);
        weight.scales = random_bytes(size);
        weight.biases = random_bytes(size);
    }
    return weight;
}

static void free_weight(ffai__weight *weight)
{
    free((void *)(uintptr_t)weight->data);
    free((void *)(uintptr_t)weight->scales);
    free((void *)(uintptr_t)weight->biases);
}

/* --- the definition, a bit and a byte at a time --- */

static void put_bit(uint8_t *byte, int at, int bit)
{
    *byte = (uint8_t)((*byte & ~(1 << at)) | bit << at);
}

/* Planes: the first has the low bits, the second, if any, the rest. */
static void define_code(uint8_t *span, int column, int row, int code, int bits)
{
    const int quad = column / 4;
    const int byte = 4 * row + column % 4;
    int width = bits == 8 ? 8 : bits & 4 ? 4 : 2;
    for (int from = 0; from < bits; from += width, width = bits - width) {
        const int per_block = 8 / width;
        uint8_t *block = span + (from + quad / per_block) * FFAI__BLOCK_BYTES;
        for (int i = 0; i < width; i++)
            put_bit(block + byte, (from + width * quad) % 8 + i, code >> (from + i) & 1);
    }
}

/* Scales and biases as the file has them, a GGUF block's from its first bytes. */
static void define_scales(uint8_t *header, const ffai__weight *weight, const ffai__affine_layout *layout, int64_t row,
                          int64_t group)
{
    const bool mlx = weight->packing == FFAI__MLX_AFFINE;
    const size_t size = mlx ? ffai__dtype_size(weight->scale_dtype) : 2;
    const uint64_t stored = (uint64_t)ffai__weight_stored_row(weight, row);
    const uint64_t row_bytes = ffai__weight_row_bytes(weight);
    const uint8_t *block =
        (const uint8_t *)weight->data + stored * row_bytes + (uint64_t)group * (row_bytes / (uint64_t)layout->groups);
    const size_t at = (size_t)(stored * (uint64_t)layout->groups + (uint64_t)group) * size;
    memcpy(header + (size_t)(row % 16) * size, mlx ? (const uint8_t *)weight->scales + at : block, size);
    if (layout->mode != FFAI__SCALE_F16_ZERO)
        memcpy(header + (size_t)(16 + row % 16) * size, mlx ? (const uint8_t *)weight->biases + at : block + 2, size);
}

/* Two bytes of factors twice, then each group's byte or, of 3 bits, three bytes of four groups. */
static void define_k_scales(uint8_t *header, const ffai__k_scales *scales, int bits, int64_t row)
{
    const size_t r = (size_t)(row % 16);
    uint8_t *const bytes = header + 64 + r;
    memcpy(header + 2 * r, &scales->d, 2);
    memcpy(header + 32 + 2 * r, &scales->dmin, 2);
    for (int g = 0; g < (bits == 4 || bits == 5 ? 8 : 16); g++) {
        const int sc = scales->sc[g];
        const int m = scales->m[g];
        if (bits == 2) {
            bytes[16 * g] = (uint8_t)(sc + 16 * m);
        } else if (bits == 3) {
            for (int i = 0; i < 6; i++) {
                uint8_t *const byte = bytes + 16 * (g / 4 * 3 + (g % 4 < 3 ? g % 4 : i / 2));
                put_bit(byte, g % 4 < 3 ? i : 6 + i % 2, (sc + 32) >> i & 1);
            }
        } else {
            bytes[16 * g] = (uint8_t)sc;
            if (bits < 6)
                bytes[16 * (8 + g)] = (uint8_t)m;
        }
    }
}

static void define_k_row(uint8_t *tile, const ffai__weight *weight, const ffai__affine_layout *layout, int64_t row)
{
    const size_t bytes = ffai__k_block_bytes(weight->packing);
    const uint8_t *block =
        (const uint8_t *)weight->data + (uint64_t)ffai__weight_stored_row(weight, row) * ffai__weight_row_bytes(weight);
    for (int64_t b = 0; b < weight->columns / FFAI__K_COLUMNS; b++) {
        ffai__k_scales scales;
        ffai__k_block_scales(&scales, block + (size_t)b * bytes, weight->packing);
        define_k_scales(tile + (size_t)b * layout->chunk_bytes, &scales, layout->bits, row);
    }
}

static void define_affine_row(uint8_t *tile, const ffai__weight *weight, int64_t row, uint8_t *codes, float *floats)
{
    ffai__affine_layout layout;
    ffai__affine_layout_of(&layout, weight);
    const int64_t chunk_columns = layout.groups_per_chunk * layout.group_size;
    ffai__weight_read_codes(codes, floats, floats + layout.groups, weight, row);
    if (ffai__packing_is_k(weight->packing))
        define_k_row(tile, weight, &layout, row);
    for (int64_t g = 0; g < layout.groups && layout.mode != FFAI__SCALE_K; g++) {
        uint8_t *header = tile + (size_t)(g / layout.groups_per_chunk) * layout.chunk_bytes +
                          (size_t)(g % layout.groups_per_chunk) * layout.scale_bytes;
        define_scales(header, weight, &layout, row, g);
    }
    for (int64_t c = 0; c < weight->columns; c++) {
        uint8_t *chunk = tile + (size_t)(c / chunk_columns) * layout.chunk_bytes + layout.header_bytes;
        uint8_t *span = chunk + c % chunk_columns / FFAI__SPAN_COLUMNS * layout.bits * FFAI__BLOCK_BYTES;
        define_code(span, (int)(c % FFAI__SPAN_COLUMNS), (int)(row % 16), codes[c], layout.bits);
    }
}

static void define_dense_row(uint8_t *tile, const ffai__weight *weight, int64_t row)
{
    const size_t size = ffai__dtype_size(weight->dtype);
    const uint8_t *data =
        (const uint8_t *)weight->data + (size_t)ffai__weight_stored_row(weight, row) * (size_t)weight->columns * size;
    const int64_t r = row % 16;
    for (int64_t c = 0; c < weight->columns; c++) {
        float narrow = 0;
        if (weight->dtype == FFAI__F64) {
            ffai__to_f32(&narrow, data + 8 * c, FFAI__F64, 1);
            memcpy(tile + (c * 16 + r) * 4, &narrow, 4);
        } else if (weight->dtype == FFAI__BF16) {
            memcpy(tile + (c / 2 * 32 + r * 2 + c % 2) * 2, data + 2 * c, 2);
        } else {
            memcpy(tile + (size_t)(c * 16 + r) * size, data + (size_t)c * size, size);
        }
    }
}

/* What pads is zeros, except that a padding row's codes are whatever its zero scale makes nothing of. */
static uint8_t *define_tiles(const ffai__packed *packed)
{
    const ffai__weight *weight = packed->weight;
    const size_t size = (size_t)packed->num_tiles * (size_t)packed->tile_bytes;
    uint8_t *tiles = bytes_of(size);
    memset(tiles, 0, size);
    uint8_t *codes = bytes_of((size_t)weight->columns);
    float *floats = malloc((size_t)weight->columns * sizeof *floats);
    for (int64_t row = 0; row < weight->rows; row++) {
        uint8_t *tile = tiles + (size_t)(row / 16) * (size_t)packed->tile_bytes;
        if (ffai__weight_is_affine(weight))
            define_affine_row(tile, weight, row, codes, floats);
        else
            define_dense_row(tile, weight, row);
    }
    free(codes);
    free(floats);
    return tiles;
}

/* Q8_0's padding rows hold the code of zero, 128. */
static bool same_byte(const ffai__packed *packed, size_t i, const uint8_t *expected, const uint8_t *filled)
{
    if (expected[i] == filled[i])
        return true;
    const size_t tile = i / (size_t)packed->tile_bytes;
    const bool last = tile == (size_t)packed->num_tiles - 1;
    const int64_t row = (int64_t)(tile * 16 + i % FFAI__BLOCK_BYTES / 4);
    return packed->weight->packing == FFAI__GGUF_Q8_0 && last && row >= packed->weight->rows && filled[i] == 128;
}

static void check_tier(const ffai__weight *weight, ffai__isa isa, const ffai__cpu_features *features)
{
    ffai__packed packed;
    char format[32];
    assert_int_equal(ffai__packed_plan(&packed, weight, isa, features, false, NULL), FFAI_OK);
    const size_t size = (size_t)packed.num_tiles * (size_t)packed.tile_bytes;
    packed.tiles = bytes_of(size);
    memset(packed.tiles, 0xA5, size);
    uint8_t *scratch = random_bytes(ffai__pack_scratch_bytes(&packed));
    ffai__packed_fill(&packed, 0, packed.num_tiles / 2, scratch);
    ffai__packed_fill(&packed, packed.num_tiles / 2, packed.num_tiles, scratch);
    uint8_t *expected = define_tiles(&packed);
    for (size_t i = 0; i < size; i++) {
        if (!same_byte(&packed, i, expected, packed.tiles))
            fail_msg("%s, [%lld, %lld], %s: byte %zu of tile %zu is %02x, expected %02x",
                     ffai__weight_format_text(weight, format), (long long)weight->rows, (long long)weight->columns,
                     ffai__isa_name(isa), i % (size_t)packed.tile_bytes, i / (size_t)packed.tile_bytes, packed.tiles[i],
                     expected[i]);
    }
    free(expected);
    free(scratch);
    free(packed.tiles);
}

static void check(ffai__weight weight)
{
    ffai__cpu_features machine;
    ffai__cpu_features_detect(&machine);
    for (ffai__isa isa = FFAI__ISA_SCALAR; isa < FFAI__ISA_COUNT; isa++) {
        if (ffai__isa_runs(&machine, isa))
            check_tier(&weight, isa, &machine);
    }
    free_weight(&weight);
}

static void mlx_codes_and_scales_go_where_the_layout_says(void **state)
{
    (void)state;
    static const int widths[] = {2, 3, 4, 5, 6, 8};
    static const ffai__dtype dtypes[] = {FFAI__F16, FFAI__BF16, FFAI__F32};
    static const int64_t rows[] = {16, 1, 37, 48};
    int which = 0;
    for (int w = 0; w < 6; w++) {
        for (int group = 16; group <= 128; group *= 2) {
            for (int k = 1; k <= 11; k++, which++)
                check(make_weight(FFAI__MLX_AFFINE, dtypes[which % 3], widths[w], group, rows[which % 4],
                                  (int64_t)k * group, 0));
        }
    }
}

static void gguf_blocks_go_where_the_layout_says(void **state)
{
    (void)state;
    static const struct {
        ffai__packing packing;
        int bits;
    } formats[] = {
        {FFAI__GGUF_Q4_0, 4}, {FFAI__GGUF_Q4_1, 4}, {FFAI__GGUF_Q5_0, 5}, {FFAI__GGUF_Q5_1, 5}, {FFAI__GGUF_Q8_0, 8}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        for (int64_t blocks = 1; blocks <= 9; blocks++) {
            check(make_weight(formats[i].packing, FFAI__U8, formats[i].bits, 32, 11 * blocks, 32 * blocks, 0));
            check(make_weight(formats[i].packing, FFAI__U8, formats[i].bits, 32, 96, 32 * blocks, 3));
        }
    }
}

static const struct {
    ffai__packing packing;
    int bits, group;
} k_types[] = {{FFAI__GGUF_Q2_K, 2, 16},
               {FFAI__GGUF_Q3_K, 3, 16},
               {FFAI__GGUF_Q4_K, 4, 32},
               {FFAI__GGUF_Q5_K, 5, 32},
               {FFAI__GGUF_Q6_K, 6, 16}};
enum { K_TYPES = sizeof k_types / sizeof *k_types };

static void super_blocks_go_where_the_layout_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < K_TYPES; i++) {
        for (int64_t blocks = 1; blocks <= 3; blocks++) {
            check(make_weight(k_types[i].packing, FFAI__F32, k_types[i].bits, k_types[i].group, 11 * blocks,
                              256 * blocks, 0));
            check(make_weight(k_types[i].packing, FFAI__F32, k_types[i].bits, k_types[i].group, 96, 256 * blocks, 3));
        }
    }
}

static void super_blocks_take_at_most_a_twentieth_more_than_in_the_file(void **state)
{
    (void)state;
    const ffai__cpu_features none = {0};
    for (size_t i = 0; i < K_TYPES; i++) {
        for (int64_t blocks = 1; blocks <= 3; blocks++) {
            ffai__weight weight = make_weight(k_types[i].packing, FFAI__F32, k_types[i].bits, k_types[i].group, 32,
                                              FFAI__K_COLUMNS * blocks, 0);
            ffai__packed packed;
            assert_int_equal(ffai__packed_plan(&packed, &weight, FFAI__ISA_SCALAR, &none, FFAI__ACTIVATIONS_FINE, NULL),
                             FFAI_OK);
            const uint64_t bytes = (uint64_t)packed.num_tiles * packed.tile_bytes;
            assert_true(bytes >= ffai__weight_bytes(&weight));
            assert_true(20 * bytes <= 21 * ffai__weight_bytes(&weight));
            free_weight(&weight);
        }
    }
}

static void dense_elements_go_where_the_layout_says(void **state)
{
    (void)state;
    static const ffai__dtype dtypes[] = {FFAI__F32, FFAI__F16, FFAI__BF16, FFAI__F64};
    static const int64_t columns[] = {1, 2, 3, 4, 31, 32, 33, 63, 64, 65, 130, 192};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
            check(make_weight(FFAI__DENSE, dtypes[d], 0, 0, 5 + 9 * (int64_t)c, columns[c], 0));
            check(make_weight(FFAI__DENSE, dtypes[d], 0, 0, 80, columns[c], 2));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mlx_codes_and_scales_go_where_the_layout_says),
        cmocka_unit_test(gguf_blocks_go_where_the_layout_says),
        cmocka_unit_test(super_blocks_go_where_the_layout_says),
        cmocka_unit_test(super_blocks_take_at_most_a_twentieth_more_than_in_the_file),
        cmocka_unit_test(dense_elements_go_where_the_layout_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
