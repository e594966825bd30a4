/* How fast the linear kernels are: one row (GB/s of packed weights) from cache and from memory, many rows
 * (GFLOP/s), packing and preparation, for every format and tier, beside a plain read of the same bytes.
 *
 *   linear_bench [memory MB] [name of the format, or part of it]
 *
 * One thread. Every figure is the best of several interleaved rounds. */
#define _DEFAULT_SOURCE
#include "alloc.h"
#include "linear.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct format {
    const char *name;
    ffai__packing packing;
    ffai__dtype dtype;
    int bits, group_size;
} format;

static const format formats[] = {
    {"2b-g64", FFAI__MLX_AFFINE, FFAI__BF16, 2, 64},
    {"3b-g64", FFAI__MLX_AFFINE, FFAI__BF16, 3, 64},
    {"4b-g64", FFAI__MLX_AFFINE, FFAI__BF16, 4, 64},
    {"4b-g32", FFAI__MLX_AFFINE, FFAI__F16, 4, 32},
    {"4b-g128", FFAI__MLX_AFFINE, FFAI__F16, 4, 128},
    {"5b-g64", FFAI__MLX_AFFINE, FFAI__BF16, 5, 64},
    {"6b-g64", FFAI__MLX_AFFINE, FFAI__BF16, 6, 64},
    {"6b-g16", FFAI__MLX_AFFINE, FFAI__F32, 6, 16},
    {"8b-g64", FFAI__MLX_AFFINE, FFAI__BF16, 8, 64},
    {"q4_0", FFAI__GGUF_Q4_0, FFAI__F16, 4, 32},
    {"q4_1", FFAI__GGUF_Q4_1, FFAI__F16, 4, 32},
    {"q5_0", FFAI__GGUF_Q5_0, FFAI__F16, 5, 32},
    {"q8_0", FFAI__GGUF_Q8_0, FFAI__F16, 8, 32},
    {"bf16", FFAI__DENSE, FFAI__BF16, 0, 0},
    {"f16", FFAI__DENSE, FFAI__F16, 0, 0},
    {"f32", FFAI__DENSE, FFAI__F32, 0, 0},
};

enum { COLUMNS = 2048, MANY = 64, ROUNDS = 7, CACHED_ROWS = 128 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile uint64_t sink;

static void read_plainly(const uint8_t *bytes, size_t size)
{
    uint64_t sums[8] = {0};
    for (size_t i = 0; i + 64 <= size; i += 64) {
        uint64_t words[8];
        memcpy(words, bytes + i, sizeof words);
        for (int k = 0; k < 8; k++)
            sums[k] += words[k];
    }
    for (int k = 0; k < 8; k++)
        sink += sums[k];
}

/* Finite f16 patterns, whatever is read as one. */
static void *random_bytes(size_t size)
{
    uint8_t *bytes = ffai__malloc_aligned(size);
    if (!bytes)
        exit(1);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)((state >> 24) & 0xBFu);
    }
    return bytes;
}

/* Ordinary magnitudes: denormals would slow the arithmetic down. */
static void *random_floats(ffai__dtype dtype, size_t count)
{
    uint8_t *bytes = ffai__malloc_aligned(count * ffai__dtype_size(dtype));
    if (!bytes)
        exit(1);
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        const float value = (float)(state >> 8) * 0x1p-24f - 0.5f;
        ffai__from_f32(bytes + i * ffai__dtype_size(dtype), dtype, &value, 1);
    }
    return bytes;
}

typedef struct setup {
    ffai__weight weight;
    ffai__packed packed;
    uint8_t *inputs;
    size_t input_bytes;
    float *y;
    float *x;
} setup;

static void open_setup(setup *s, const format *f, size_t memory, ffai__isa isa, const ffai__cpu_features *features)
{
    s->weight = (ffai__weight){.name = f->name,
                               .rank = 2,
                               .rows = 16,
                               .columns = COLUMNS,
                               .packing = f->packing,
                               .dtype = f->dtype,
                               .bits = f->bits,
                               .group_size = f->group_size,
                               .scale_dtype = f->dtype};
    s->weight.rows = (int64_t)(memory / (ffai__weight_bytes(&s->weight) / 16)) / 128 * 128;
    const size_t rows = (size_t)s->weight.rows;
    if (f->packing == FFAI__DENSE)
        s->weight.data = random_floats(f->dtype, rows * COLUMNS);
    else
        s->weight.data = random_bytes((size_t)ffai__weight_row_bytes(&s->weight) * rows);
    if (f->packing == FFAI__MLX_AFFINE) {
        s->weight.scales = random_floats(f->dtype, rows * COLUMNS / (size_t)f->group_size);
        s->weight.biases = random_floats(f->dtype, rows * COLUMNS / (size_t)f->group_size);
    }
    if (ffai__packed_plan(&s->packed, &s->weight, isa, features, false, NULL) != FFAI_OK)
        exit(1);
    s->packed.tiles = ffai__malloc_aligned((size_t)s->packed.num_tiles * (size_t)s->packed.tile_bytes);
    s->y = ffai__malloc_aligned(MANY * rows * sizeof *s->y);
    s->input_bytes = ffai__linear_input_bytes(&s->packed.input);
    s->inputs = ffai__malloc_aligned(MANY * s->input_bytes);
    s->x = ffai__malloc_aligned(MANY * COLUMNS * sizeof *s->x);
    if (!s->packed.tiles || !s->y || !s->inputs || !s->x)
        exit(1);
    for (int i = 0; i < MANY * COLUMNS; i++)
        s->x[i] = (float)((i * 7919) % 1000 - 500) * 0.001f;
}

static void close_setup(setup *s)
{
    ffai__free_aligned((void *)(uintptr_t)s->weight.data);
    ffai__free_aligned((void *)(uintptr_t)s->weight.scales);
    ffai__free_aligned((void *)(uintptr_t)s->weight.biases);
    ffai__free_aligned(s->packed.tiles);
    ffai__free_aligned(s->y);
    ffai__free_aligned(s->inputs);
    ffai__free_aligned(s->x);
}

static void compute(const setup *s, int64_t num_rows, int64_t tiles)
{
    ffai__linear_compute(s->y, s->weight.rows, &s->packed, s->inputs, num_rows, 0, tiles, NULL, NULL);
}

static void keep_best(double *best, double started)
{
    const double seconds = now() - started;
    *best = *best == 0 || seconds < *best ? seconds : *best;
}

static void measure(const format *f, size_t memory, ffai__isa isa, const ffai__cpu_features *features)
{
    setup s;
    open_setup(&s, f, memory, isa, features);
    const double bytes = (double)s.packed.num_tiles * (double)s.packed.tile_bytes;
    const int64_t cached = CACHED_ROWS / FFAI__TILE_ROWS;
    const double cached_bytes = (double)cached * (double)s.packed.tile_bytes;
    const int repeats = 40;
    double read = 0, fill = 0, prepare = 0, one = 0, one_cached = 0, many = 0, four = 0;
    ffai__packed_fill(&s.packed, 0, s.packed.num_tiles, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        double t = now();
        read_plainly(s.packed.tiles, (size_t)bytes);
        keep_best(&read, t);
        t = now();
        ffai__packed_fill(&s.packed, 0, s.packed.num_tiles, NULL);
        keep_best(&fill, t);
        t = now();
        for (int i = 0; i < MANY; i++)
            ffai__linear_prepare(s.inputs + (size_t)i * s.input_bytes, s.x + (size_t)i * COLUMNS, &s.packed);
        keep_best(&prepare, t);
        t = now();
        compute(&s, 1, s.packed.num_tiles);
        keep_best(&one, t);
        t = now();
        for (int i = 0; i < repeats; i++)
            compute(&s, 1, cached);
        keep_best(&one_cached, t);
        t = now();
        compute(&s, 4, s.packed.num_tiles);
        keep_best(&four, t);
        t = now();
        for (int i = 0; i < 4; i++)
            compute(&s, MANY, cached);
        keep_best(&many, t);
    }
    const double flops = 2.0 * COLUMNS * (double)CACHED_ROWS * MANY * 4;
    printf("%-8s %-26s  read %5.1f  1 row %5.1f GB/s (%3.0f%%)  cached %5.1f GB/s  4 rows %5.1f GB/s  "
           "%d rows %5.0f GFLOP/s  fill %4.2f GB/s  prepare %5.2f us\n",
           f->name, ffai__linear_kernel_name(&s.packed), bytes / read * 1e-9, bytes / one * 1e-9, 100 * read / one,
           cached_bytes * repeats / one_cached * 1e-9, bytes / four * 1e-9, MANY, flops / many * 1e-9,
           bytes / fill * 1e-9, prepare / MANY * 1e6);
    fflush(stdout);
    close_setup(&s);
}

int main(int argc, char **argv)
{
    const size_t memory = (size_t)(argc > 1 ? atoi(argv[1]) : 256) << 20;
    ffai__cpu_features machine;
    ffai__cpu_features_detect(&machine);
    ffai__cpu_features plain = machine;
    plain.avx512_vnni = false;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (argc > 2 && !strstr(formats[i].name, argv[2]))
            continue;
        for (int isa = FFAI__ISA_COUNT - 1; isa > (int)FFAI__ISA_SCALAR; isa--) {
            if (ffai__isa_runs(&machine, (ffai__isa)isa))
                measure(&formats[i], memory, (ffai__isa)isa, &machine);
        }
        if (ffai__isa_runs(&machine, FFAI__ISA_AVX512) && machine.avx512_vnni)
            measure(&formats[i], memory, FFAI__ISA_AVX512, &plain);
    }
    return 0;
}
