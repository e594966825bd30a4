#include "synthetic.h"

#include <math.h>
#include <string.h>

#include "alloc.h"
#include "contents.h"

/* Content is longer than most caches, so that packing reads memory as it would read cached files. */
enum { CODE_BYTES = 64 << 20, SCALE_BYTES = 4 << 20, ALIGNMENT = 64 };
#define DEVIATION 0.02

/* --- random numbers --- */

typedef struct {
    uint64_t state;
} generator;

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(generator *g)
{
    uint64_t z = g->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* In (0, 1]. */
static double uniform(generator *g)
{
    return ((double)(next(g) >> 11) + 1) * 0x1p-53;
}

static double normal(generator *g)
{
    const double radius = sqrt(-2 * log(uniform(g)));
    return radius * cos(2 * acos(-1) * uniform(g));
}

/* --- content --- */

static void fill_codes(void *content, size_t bytes, const void *context)
{
    generator g = {1};
    (void)context;
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
        ((uint64_t *)content)[i] = next(&g);
}

/* Five draws from a table of normal numbers for each random number: 64 MiB take milliseconds. */
static void fill_normal(void *content, size_t bytes, const void *context)
{
    enum { TABLE_BITS = 12, DRAWS = 5 };
    static const uint64_t mask = (1u << TABLE_BITS) - 1;
    uint16_t table[1 << TABLE_BITS];
    generator g = {2};
    (void)context;
    for (size_t i = 0; i <= mask; i++)
        table[i] = ffai__f32_to_bf16((float)(DEVIATION * normal(&g)));
    uint64_t draws = 0;
    for (size_t i = 0; i < bytes / sizeof(uint16_t); i++, draws >>= TABLE_BITS) {
        draws = i % DRAWS ? draws : next(&g);
        ((uint16_t *)content)[i] = table[draws & mask];
    }
}

/* Uniform codes of n levels have a deviation of sqrt((n^2 - 1) / 12) and a mean of (n - 1) / 2. */
typedef struct {
    int bits;
    bool biases;
} scale_content;

static void fill_scales(void *content, size_t bytes, const void *context)
{
    const scale_content *c = context;
    const double levels = (double)(1 << c->bits);
    const double middle = DEVIATION / sqrt((levels * levels - 1) / 12);
    generator g = {3}; /* a group's scale and bias come from the same number */
    for (size_t i = 0; i < bytes / sizeof(uint16_t); i++) {
        const uint16_t scale = ffai__f32_to_bf16((float)(middle * (0.75 + 0.5 * uniform(&g))));
        const double bias = -(levels - 1) / 2 * (double)ffai__bf16_to_f32(scale);
        ((uint16_t *)content)[i] = c->biases ? ffai__f32_to_bf16((float)bias) : scale;
    }
}

/* --- weights --- */

/* Where the next weight's parts begin. */
typedef struct {
    uint64_t codes, scales;
} cursor;

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t scale_bytes(const ffai__weight *weight)
{
    return (uint64_t)weight->rows * (uint64_t)(weight->columns / weight->group_size) * sizeof(uint16_t);
}

static ffai_status check_weights(const ffai__synthetic_weights *w, ffai_error *err)
{
    const int bits = w->bits;
    const int group = w->group_size;
    if (bits == 16)
        return FFAI_OK;
    if (!(bits >= 2 && bits <= 6) && bits != 8)
        return ffai__fail(err, FFAI_E_ARGUMENT, "random weights: %d bits: there are 2, 3, 4, 5, 6, 8 and 16", bits);
    if (group != 16 && group != 32 && group != 64 && group != 128)
        return ffai__fail(err, FFAI_E_ARGUMENT, "random weights: groups of %d: there are 16, 32, 64 and 128", group);
    for (size_t i = 0; i < w->count; i++) {
        if (w->tensors[i].rows && w->tensors[i].columns % group)
            return ffai__fail(err, FFAI_E_ARGUMENT, "random weights: groups of %d do not divide the %lld columns of %s",
                              group, (long long)w->tensors[i].columns, w->tensors[i].name);
    }
    return FFAI_OK;
}

static void describe(ffai__entry *entry, const ffai__synthetic_tensor *tensor, const ffai__synthetic_weights *w)
{
    ffai__weight *weight = &entry->weight;
    entry->shape = (ffai__shape){2, {(uint64_t)tensor->rows, (uint64_t)tensor->columns}};
    if (tensor->rows == 0)
        entry->shape = (ffai__shape){1, {(uint64_t)tensor->columns}};
    ffai__shape_apply(weight, &entry->shape);
    weight->packing = FFAI__DENSE;
    weight->dtype = FFAI__BF16;
    if (tensor->rows == 0 || w->bits == 16)
        return;
    weight->packing = FFAI__MLX_AFFINE;
    weight->bits = w->bits;
    weight->group_size = w->group_size;
    weight->scale_dtype = FFAI__BF16;
}

static void advance(cursor *at, const ffai__weight *weight)
{
    at->codes += aligned((uint64_t)weight->rows * ffai__weight_row_bytes(weight));
    if (weight->packing == FFAI__MLX_AFFINE)
        at->scales += aligned(scale_bytes(weight));
}

static void place_matrices(ffai__checkpoint *checkpoint)
{
    cursor at = {0, 0};
    for (size_t i = 0; i < checkpoint->count; i++) {
        ffai__weight *weight = &checkpoint->entries[i].weight;
        if (weight->rank == 1)
            continue;
        weight->data = checkpoint->repeated[0].data + at.codes;
        if (weight->packing == FFAI__MLX_AFFINE) {
            weight->scales = checkpoint->repeated[1].data + at.scales;
            weight->biases = checkpoint->repeated[2].data + at.scales;
        }
        advance(&at, weight);
    }
}

static ffai_status make_maps(ffai__checkpoint *checkpoint, const cursor *end, int bits, ffai_error *err)
{
    const scale_content contents[] = {{bits, false}, {bits, true}};
    FFAI__TRY(ffai__repeated_map_make(&checkpoint->repeated[0], end->codes, CODE_BYTES,
                                      bits == 16 ? fill_normal : fill_codes, NULL, err));
    for (size_t i = 0; i < 2 && end->scales; i++)
        FFAI__TRY(ffai__repeated_map_make(&checkpoint->repeated[1 + i], end->scales, SCALE_BYTES, fill_scales,
                                          &contents[i], err));
    return FFAI_OK;
}

/* All vectors are the beginning of one. */
static ffai_status make_vectors(ffai__checkpoint *checkpoint, ffai_error *err)
{
    int64_t longest = 0;
    for (size_t i = 0; i < checkpoint->count; i++) {
        const ffai__weight *weight = &checkpoint->entries[i].weight;
        if (weight->rank == 1 && weight->columns > longest)
            longest = weight->columns;
    }
    uint16_t *norms = ffai__checkpoint_own(checkpoint, (size_t)longest * sizeof *norms);
    if (!norms)
        return ffai__fail_memory(err, "random weights", (uint64_t)longest * sizeof *norms);
    generator g = {4};
    for (int64_t i = 0; i < longest; i++)
        norms[i] = ffai__f32_to_bf16((float)(1 + DEVIATION * normal(&g)));
    for (size_t i = 0; i < checkpoint->count; i++) {
        if (checkpoint->entries[i].weight.rank == 1)
            checkpoint->entries[i].weight.data = norms;
    }
    return FFAI_OK;
}

static ffai_status name_entries(ffai__checkpoint *checkpoint, const ffai__synthetic_weights *w, ffai_error *err)
{
    ffai__synthetic_tensor *names = ffai__checkpoint_own(checkpoint, w->count * sizeof *names);
    if (!names)
        return ffai__fail_memory(err, "random weights", w->count * sizeof *names);
    memcpy(names, w->tensors, w->count * sizeof *names);
    for (size_t i = 0; i < w->count; i++)
        checkpoint->entries[i].weight.name = names[i].name;
    return FFAI_OK;
}

ffai_status ffai__synthetic_read(ffai__checkpoint *checkpoint, const ffai__synthetic_weights *w, ffai_error *err)
{
    FFAI__TRY(check_weights(w, err));
    checkpoint->entries = ffai__calloc(w->count, sizeof *checkpoint->entries);
    if (!checkpoint->entries)
        return ffai__fail_memory(err, "random weights", w->count * sizeof *checkpoint->entries);
    checkpoint->count = w->count;
    FFAI__TRY(name_entries(checkpoint, w, err));
    cursor end = {0, 0};
    for (size_t i = 0; i < w->count; i++) {
        describe(&checkpoint->entries[i], &w->tensors[i], w);
        if (w->tensors[i].rows)
            advance(&end, &checkpoint->entries[i].weight);
    }
    FFAI__TRY(make_maps(checkpoint, &end, w->bits, err));
    place_matrices(checkpoint);
    return make_vectors(checkpoint, err);
}
