/* Decoder programs of any shape over random weights in memory, and steps over them, for tests of backends. */
#ifndef FFAI_TESTS_TINY_MODEL_H
#define FFAI_TESTS_TINY_MODEL_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "fusions.h"
#include "recorder.h"

enum { TINY_WEIGHTS = 512, TINY_NAME = 48 };

typedef struct tiny_shape {
    int layers;
    int hidden;
    int heads;
    int kv_heads;
    int head_dim;
    int rope_dims;
    int wide;
    int vocab;
    int window;       /* of odd layers; 0: none */
    bool qk_norm;     /* on every head's query and key */
    bool bias;        /* on q, k and v */
    float value_bias; /* added to v.bias */
    bool tied;        /* the head is the embedding */
    bool unfused;     /* run the program as it was recorded */
    int bits;         /* up to 8: affine; 16: bf16; 32: f32 */
    int group_size;   /* of affine weights; 0: 32 */
} tiny_shape;

typedef struct tiny_model {
    tiny_shape shape;
    ffai__weight weights[TINY_WEIGHTS];
    char names[TINY_WEIGHTS][TINY_NAME];
    void *parts[TINY_WEIGHTS][3];
    int count;
    uint32_t state;
    float inv_freq[128];
    ffai__program *program;
} tiny_model;

static inline uint32_t tiny_random(tiny_model *m)
{
    m->state = m->state * 1664525u + 1013904223u;
    return m->state >> 8;
}

/* About normal, of variance 1. */
static inline float tiny_normal(tiny_model *m)
{
    float sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (float)tiny_random(m) / 16777216.0f;
    return sum - 6.0f;
}

/* Numbers are drawn up to here, a prime, and then repeat. */
enum { TINY_PERIOD = 100003 };

static inline void *tiny_part(size_t bytes)
{
    void *part = malloc(bytes);
    if (!part)
        abort();
    return part;
}

static inline void tiny_fill_affine(tiny_model *m, ffai__weight *w, float scale)
{
    w->group_size = m->shape.group_size ? m->shape.group_size : 32;
    const size_t groups = (size_t)(w->rows * w->columns / w->group_size);
    const size_t words = (size_t)(w->rows * w->columns) * (size_t)w->bits / 32;
    uint32_t *codes = tiny_part(words * 4);
    uint16_t *scales = tiny_part(groups * 2);
    uint16_t *biases = tiny_part(groups * 2);
    const float levels = (float)((1 << w->bits) - 1);
    for (size_t i = 0; i < words; i++)
        codes[i] = i < TINY_PERIOD ? tiny_random(m) << 16 ^ tiny_random(m) : codes[i - TINY_PERIOD];
    for (size_t i = 0; i < groups; i++) {
        const float step = scale * 3.4f / levels * (0.5f + (float)(tiny_random(m) % 1000) / 1000.0f);
        scales[i] = ffai__f32_to_f16(step);
        biases[i] = ffai__f32_to_f16(-step * levels / 2);
    }
    void **parts = m->parts[m->count - 1];
    parts[0] = codes;
    parts[1] = scales;
    parts[2] = biases;
    w->packing = FFAI__MLX_AFFINE;
    w->scale_dtype = FFAI__F16;
    w->data = codes;
    w->scales = scales;
    w->biases = biases;
}

static inline void tiny_fill_dense(tiny_model *m, ffai__weight *w, float scale, float offset)
{
    const size_t count = (size_t)(w->rows * w->columns);
    float *values = tiny_part(count * 4);
    for (size_t i = 0; i < count; i++)
        values[i] = i < TINY_PERIOD ? offset + scale * tiny_normal(m) : values[i - TINY_PERIOD];
    w->packing = FFAI__DENSE;
    w->data = m->parts[m->count - 1][0] = values;
    if (w->dtype == FFAI__BF16)
        ffai__from_f32(values, FFAI__BF16, values, count); /* front to back: shrinks in place */
}

static inline float tiny_offset(const tiny_model *m, const char *name, int rows)
{
    if (rows)
        return 0;
    return strstr(name, "norm") ? 1.0f : strstr(name, "v.bias") ? m->shape.value_bias : 0;
}

/* rows 0: a vector of ones and a little more. */
static inline void tiny_add(tiny_model *m, const char *name, int rows, int columns, int bits)
{
    if (m->count == TINY_WEIGHTS)
        abort();
    snprintf(m->names[m->count], TINY_NAME, "%s", name);
    ffai__weight *w = &m->weights[m->count];
    *w = (ffai__weight){.name = m->names[m->count], .rank = rows ? 2 : 1, .rows = rows ? rows : 1, .columns = columns};
    m->count++;
    w->dtype = bits == 16 ? FFAI__BF16 : FFAI__F32;
    const float scale = rows ? 1.0f / sqrtf((float)columns) : 0.1f;
    if (rows && bits < 16) {
        w->bits = bits;
        tiny_fill_affine(m, w, scale);
    } else {
        tiny_fill_dense(m, w, scale, tiny_offset(m, name, rows));
    }
}

static inline void tiny_layer_add(tiny_model *m, int layer, const char *name, int rows, int columns, int bits)
{
    char full[TINY_NAME];
    snprintf(full, sizeof full, "l%d.%s", layer, name);
    tiny_add(m, full, rows, columns, bits);
}

static inline void tiny_add_layer(tiny_model *m, int i)
{
    const tiny_shape *s = &m->shape;
    const int q = s->heads * s->head_dim;
    const int kv = s->kv_heads * s->head_dim;
    tiny_layer_add(m, i, "norm1.weight", 0, s->hidden, 32);
    tiny_layer_add(m, i, "norm2.weight", 0, s->hidden, 32);
    tiny_layer_add(m, i, "q.weight", q, s->hidden, s->bits);
    tiny_layer_add(m, i, "k.weight", kv, s->hidden, s->bits);
    tiny_layer_add(m, i, "v.weight", kv, s->hidden, s->bits);
    tiny_layer_add(m, i, "o.weight", s->hidden, q, s->bits);
    tiny_layer_add(m, i, "gate.weight", s->wide, s->hidden, s->bits);
    tiny_layer_add(m, i, "up.weight", s->wide, s->hidden, s->bits);
    tiny_layer_add(m, i, "down.weight", s->hidden, s->wide, s->bits);
    if (s->qk_norm) {
        tiny_layer_add(m, i, "qnorm.weight", 0, s->head_dim, 32);
        tiny_layer_add(m, i, "knorm.weight", 0, s->head_dim, 32);
    }
    if (s->bias) {
        tiny_layer_add(m, i, "q.bias", 0, q, 32);
        tiny_layer_add(m, i, "k.bias", 0, kv, 16);
        tiny_layer_add(m, i, "v.bias", 0, kv, 32);
    }
}

static inline const ffai__weight *tiny_find(void *context, const char *name)
{
    tiny_model *m = context;
    for (int i = 0; i < m->count; i++) {
        if (strcmp(m->weights[i].name, name) == 0)
            return &m->weights[i];
    }
    return NULL;
}

static inline ffai__value tiny_record_attention(ffai__recorder *r, tiny_model *m, int layer, ffai__value h)
{
    const tiny_shape *s = &m->shape;
    const ffai__rope rope = {
        .head_dim = s->head_dim, .dims = s->rope_dims, .inv_freq = m->inv_freq, .attention_factor = 1};
    ffai__value q = ffai__linear(r, h, "q", s->bias);
    ffai__value k = ffai__linear(r, h, "k", s->bias);
    const ffai__value v = ffai__linear(r, h, "v", s->bias);
    if (s->qk_norm) {
        q = ffai__rms_norm(r, q, "qnorm", 1e-6);
        k = ffai__rms_norm(r, k, "knorm", 1e-6);
    }
    q = ffai__rope_apply(r, q, &rope);
    k = ffai__rope_apply(r, k, &rope);
    return ffai__attention(r, q, k, v, s->head_dim, 1.0f / sqrtf((float)s->head_dim), layer % 2 ? s->window : 0);
}

static inline void tiny_record(ffai__recorder *r, tiny_model *m)
{
    ffai__value x = ffai__embed(r, "embed");
    for (int i = 0; i < m->shape.layers; i++) {
        ffai__scope(r, "l%d", i);
        ffai__value h = ffai__rms_norm(r, x, "norm1", 1e-5);
        const ffai__value a = tiny_record_attention(r, m, i, h);
        x = ffai__add_values(r, x, ffai__linear(r, a, "o", false));
        h = ffai__rms_norm(r, x, "norm2", 1e-5);
        const ffai__value gate = ffai__silu(r, ffai__linear(r, h, "gate", false));
        const ffai__value product = ffai__mul_values(r, gate, ffai__linear(r, h, "up", false));
        x = ffai__add_values(r, x, ffai__linear(r, product, "down", false));
    }
    ffai__scope(r, "%s", "");
    x = ffai__rms_norm(r, ffai__select_rows(r, x), "norm", 1e-5);
    ffai__head(r, x, m->shape.tied ? "embed" : "head");
}

static inline void tiny_create(tiny_model *m, const tiny_shape *shape)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__recorder *r = NULL;
    memset(m, 0, sizeof *m);
    m->shape = *shape;
    m->state = 99;
    for (int i = 0; i < shape->rope_dims / 2; i++)
        m->inv_freq[i] = powf(10000.0f, -2.0f * (float)i / (float)shape->rope_dims);
    tiny_add(m, "embed.weight", shape->vocab, shape->hidden, shape->bits);
    for (int i = 0; i < shape->layers; i++)
        tiny_add_layer(m, i);
    tiny_add(m, "norm.weight", 0, shape->hidden, 32);
    if (!shape->tied)
        tiny_add(m, "head.weight", shape->vocab, shape->hidden, shape->bits);
    if (ffai__recorder_create(&r, tiny_find, m, NULL, "the test", &err) == FFAI_OK) {
        tiny_record(r, m);
        ffai__recorder_finish(&m->program, r, &err);
        ffai__recorder_free(r);
    }
    if (!m->program || ffai__program_fuse(m->program, shape->unfused ? FFAI__FUSE_NONE : FFAI__FUSE_ALL, &err)) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
}

static inline void tiny_free(tiny_model *m)
{
    ffai__program_free(m->program);
    for (int i = 0; i < m->count; i++) {
        for (int k = 0; k < 3; k++)
            free(m->parts[i][k]);
    }
}

/* A run with a block table for each of its slots; slot s has the pages that `stride` and s pick. */
enum { TINY_SLOTS = 4, TINY_ROWS = 1200, TINY_GROUPS = 2 };

typedef struct tiny_run {
    const ffai__backend *backend;
    ffai__plan *plan;
    ffai__run *run;
    const ffai__program *program;
    ffai__page_ref tables[TINY_SLOTS][TINY_GROUPS][64];
    const ffai__page_ref *table_pointers[TINY_SLOTS][TINY_GROUPS];
    int32_t lengths[TINY_SLOTS];
    /* the step being put together */
    ffai__step step;
    int32_t tokens[TINY_ROWS];
    int32_t positions[TINY_ROWS];
    int32_t sequence_of_row[TINY_ROWS];
    ffai__step_sequence sequences[TINY_SLOTS];
    int32_t output_rows[TINY_ROWS];
    ffai__draw draws[TINY_ROWS];
} tiny_run;

typedef struct tiny_options {
    int threads;
    bool f32;
    ffai__store_format format;
    bool keep_values;
    uint32_t page_stride; /* odd: pages are handed out in this order */
} tiny_options;

static inline void tiny_tables(tiny_run *t, const tiny_options *options)
{
    const uint32_t stride = options->page_stride ? options->page_stride : 1;
    for (uint32_t s = 0; s < TINY_SLOTS; s++) {
        for (uint32_t g = 0; g < TINY_GROUPS; g++) {
            for (uint32_t i = 0; i < 64; i++)
                t->tables[s][g][i] = (ffai__page_ref){((s * 64 + i) * stride + g) % (TINY_SLOTS * 64), options->format};
            t->table_pointers[s][g] = t->tables[s][g];
        }
    }
}

/* Plan a program and bring its weights in; of a failure nothing is left. */
static inline ffai_status tiny_load(ffai__plan **out, const ffai__backend *backend, const ffai__program *program,
                                    const ffai__plan_options *options, ffai_error *err)
{
    ffai__plan *plan = NULL;
    ffai_status status = backend->plan(&plan, program, options, err);
    if (status == FFAI_OK && backend->upload)
        status = backend->upload(plan, options, err);
    if (status == FFAI_OK)
        *out = plan;
    else
        backend->unload(plan);
    return status;
}

static inline void tiny_open(tiny_run *t, const ffai__backend *backend, const ffai__program *program,
                             const tiny_options *options)
{
    ffai_error err = FFAI_ERROR_INIT;
    memset(t, 0, sizeof *t);
    t->backend = backend;
    t->program = program;
    tiny_tables(t, options);
    const ffai__plan_options plan = {.threads = options->threads,
                                     .activations = options->f32 ? FFAI__ACTIVATIONS_F32 : FFAI__ACTIVATIONS_DEFAULT};
    const ffai__run_options run = {.max_rows = TINY_ROWS,
                                   .max_outputs = TINY_ROWS,
                                   .max_sequences = TINY_SLOTS,
                                   .max_context = 64 * FFAI__PAGE_TOKENS,
                                   .num_pages = TINY_SLOTS * 64,
                                   .store_format = options->format,
                                   .keep_values = options->keep_values};
    if (tiny_load(&t->plan, backend, program, &plan, &err) || backend->open(&t->run, t->plan, &run, &err)) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
}

static inline void tiny_close(tiny_run *t)
{
    t->backend->close(t->run);
    t->backend->unload(t->plan);
}

static inline void tiny_begin(tiny_run *t)
{
    t->step = (ffai__step){.tokens = t->tokens,
                           .positions = t->positions,
                           .sequence_of_row = t->sequence_of_row,
                           .sequences = t->sequences,
                           .output_rows = t->output_rows};
}

/* Append the next `count` tokens of a slot's sequence; outputs: the last so many rows want output. */
static inline void tiny_rows(tiny_run *t, int slot, const int32_t *tokens, int count, int outputs)
{
    ffai__step *step = &t->step;
    t->sequences[step->num_sequences] = (ffai__step_sequence){
        .slot = slot, .first_row = step->num_rows, .num_rows = count, .tables = t->table_pointers[slot]};
    for (int i = 0; i < count; i++) {
        t->tokens[step->num_rows] = tokens[i];
        t->positions[step->num_rows] = t->lengths[slot]++;
        t->sequence_of_row[step->num_rows] = step->num_sequences;
        if (i >= count - outputs)
            t->output_rows[step->num_outputs++] = step->num_rows;
        step->num_rows++;
    }
    step->num_sequences++;
}

static inline const float *tiny_step(tiny_run *t)
{
    ffai_error err = FFAI_ERROR_INIT;
    const float *logits = NULL;
    if (t->backend->step(t->run, &t->step, &err) || t->backend->collect(t->run, 0, NULL, NULL, &logits, &err)) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    return logits;
}

#endif
