/* What tools/count-instructions counts under valgrind: packing and steps of small models on one thread, each phase a
 * function of its own, called once. The shape is small, the kernels and their proportions are a real model's.
 *
 *   count_steps              run every phase
 *   count_steps --compiler   print which compiler made it, as the committed counts name it
 *
 * Contexts of 1,024 are not filled: keys and values are the zeros that pages begin as, and take as many
 * instructions. */
#include "../kernels/tiny_model.h"

#include "alloc.h"
#include "linear.h"

enum { ROWS = 16, STEPS = 4, LONG_CONTEXT = 1024 };

static const tiny_shape shape = {.layers = 2,
                                 .hidden = 512,
                                 .heads = 8,
                                 .kv_heads = 2,
                                 .head_dim = 64,
                                 .rope_dims = 64,
                                 .wide = 1024,
                                 .vocab = 512,
                                 .group_size = 64};

static tiny_model model;
static tiny_run run;
static ffai__packed packed[TINY_WEIGHTS];
static int num_packed;

static void pack(void)
{
    for (int i = 0; i < num_packed; i++)
        ffai__packed_fill(&packed[i], 0, packed[i].num_tiles, NULL);
}

static void step(int context, int rows)
{
    static const int32_t tokens[ROWS] = {1, 2, 3, 4, 5};
    run.lengths[0] = context;
    tiny_begin(&run);
    tiny_rows(&run, 0, tokens, rows, 1);
    tiny_step(&run);
}

static void decode(int context)
{
    for (int i = 0; i < STEPS; i++)
        step(context + i, 1);
}

/* The counted functions: their names are the counts' names. External, so that no compiler makes copies of them. */
#define PHASES(format)                                                                                                 \
    void format##_pack(void);                                                                                          \
    void format##_prefill(void);                                                                                       \
    void format##_decode(void);                                                                                        \
    void format##_prefill_1024(void);                                                                                  \
    void format##_decode_1024(void);                                                                                   \
    void format##_pack(void)                                                                                           \
    {                                                                                                                  \
        pack();                                                                                                        \
    }                                                                                                                  \
    void format##_prefill(void)                                                                                        \
    {                                                                                                                  \
        step(0, ROWS);                                                                                                 \
    }                                                                                                                  \
    void format##_decode(void)                                                                                         \
    {                                                                                                                  \
        decode(ROWS);                                                                                                  \
    }                                                                                                                  \
    void format##_prefill_1024(void)                                                                                   \
    {                                                                                                                  \
        step(LONG_CONTEXT - ROWS, ROWS);                                                                               \
    }                                                                                                                  \
    void format##_decode_1024(void)                                                                                    \
    {                                                                                                                  \
        decode(LONG_CONTEXT);                                                                                          \
    }

PHASES(bits3)
PHASES(bits4)
PHASES(bf16)

enum { NUM_PHASES = 5 };

typedef struct format {
    int bits;
    void (*phases[NUM_PHASES])(void);
} format;

#define FORMAT(name, bits)                                                                                             \
    {                                                                                                                  \
        bits,                                                                                                          \
        {                                                                                                              \
            name##_pack, name##_prefill, name##_decode, name##_prefill_1024, name##_decode_1024                        \
        }                                                                                                              \
    }

/* Tiles for every matrix, as a plan makes them. */
static void plan_tiles(void)
{
    ffai__cpu_features features;
    ffai__isa isa = FFAI__ISA_SCALAR;
    ffai_error err = FFAI_ERROR_INIT;
    ffai__cpu_features_detect(&features);
    num_packed = 0;
    if (ffai__isa_choose(&isa, &features, &err) != FFAI_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    for (int i = 0; i < model.count; i++) {
        ffai__packed *p = &packed[num_packed];
        if (model.weights[i].rank != 2)
            continue;
        if (ffai__packed_plan(p, &model.weights[i], isa, &features, FFAI__ACTIVATIONS_FINE, &err) != FFAI_OK)
            abort();
        p->tiles = ffai__malloc_aligned((size_t)p->num_tiles * (size_t)p->tile_bytes);
        if (!p->tiles)
            abort();
        num_packed++;
    }
}

static void run_format(const format *f)
{
    const tiny_options options = {.threads = 1};
    tiny_shape formed = shape;
    formed.bits = f->bits;
    tiny_create(&model, &formed);
    plan_tiles();
    tiny_open(&run, &ffai__backend_cpu, model.program, &options);
    step(0, 1); /* what happens once happens here */
    for (int i = 0; i < NUM_PHASES; i++)
        f->phases[i]();
    tiny_close(&run);
    for (int i = 0; i < num_packed; i++)
        ffai__free_aligned(packed[i].tiles);
    tiny_free(&model);
}

int main(int argc, char **argv)
{
    static const format formats[] = {FORMAT(bits3, 3), FORMAT(bits4, 4), FORMAT(bf16, 16)};
    if (argc > 1 && strcmp(argv[1], "--compiler") == 0) {
#if defined(__clang__)
        printf("clang %d\n", __clang_major__);
#else
        printf("gcc %d\n", __GNUC__);
#endif
        return 0;
    }
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        run_format(&formats[i]);
    return 0;
}
