/* A one-layer model whose weights are made in memory, for tests of programs and backends. */
#ifndef FFAI_TESTS_SMALL_MODEL_H
#define FFAI_TESTS_SMALL_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "recorder.h"

enum { SMALL_HIDDEN = 8, SMALL_VOCAB = 16, SMALL_WIDE = 12, SMALL_WEIGHTS = 16 };

typedef struct {
    ffai__weight weights[SMALL_WEIGHTS];
    float *data[SMALL_WEIGHTS];
    int count;
    float inv_freq[2];
} small_model;

static inline void small_add(small_model *m, const char *name, int64_t rows, int64_t columns)
{
    const size_t size = (size_t)((rows ? rows : 1) * columns);
    float *data = malloc(size * sizeof *data);
    uint32_t state = 12345u + (uint32_t)m->count;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = rows ? (float)(int32_t)state / 4.3e9f : 1.0f;
    }
    m->data[m->count] = data;
    m->weights[m->count++] = (ffai__weight){.name = name,
                                            .rank = rows ? 2 : 1,
                                            .rows = rows ? rows : 1,
                                            .columns = columns,
                                            .packing = FFAI__DENSE,
                                            .dtype = FFAI__F32,
                                            .data = data};
}

static inline void small_create(small_model *m)
{
    memset(m, 0, sizeof *m);
    m->inv_freq[0] = 1.0f;
    m->inv_freq[1] = 0.1f;
    small_add(m, "model.embed.weight", SMALL_VOCAB, SMALL_HIDDEN);
    small_add(m, "layer.norm.weight", 0, SMALL_HIDDEN);
    small_add(m, "layer.q.weight", SMALL_HIDDEN, SMALL_HIDDEN);
    small_add(m, "layer.k.weight", SMALL_HIDDEN / 2, SMALL_HIDDEN);
    small_add(m, "layer.v.weight", SMALL_HIDDEN / 2, SMALL_HIDDEN);
    small_add(m, "layer.v.bias", 0, SMALL_HIDDEN / 2);
    small_add(m, "layer.o.weight", SMALL_HIDDEN, SMALL_HIDDEN);
    small_add(m, "layer.gate.weight", SMALL_WIDE, SMALL_HIDDEN);
    small_add(m, "layer.up.weight", SMALL_WIDE, SMALL_HIDDEN);
    small_add(m, "layer.down.weight", SMALL_HIDDEN, SMALL_WIDE);
    small_add(m, "head.weight", SMALL_VOCAB, SMALL_HIDDEN);
}

static inline void small_free(small_model *m)
{
    for (int i = 0; i < m->count; i++)
        free(m->data[i]);
}

static inline const ffai__weight *small_find(void *context, const char *name)
{
    small_model *m = context;
    for (int i = 0; i < m->count; i++) {
        if (strcmp(m->weights[i].name, name) == 0)
            return &m->weights[i];
    }
    return NULL;
}

static inline void small_record(ffai__recorder *r, small_model *m)
{
    const ffai__rope rope = {.head_dim = 4, .dims = 4, .inv_freq = m->inv_freq, .attention_factor = 1};
    ffai__value x = ffai__embed(r, "model.embed");
    ffai__scope(r, "layer");
    ffai__value h = ffai__rms_norm(r, x, "norm", 1e-5);
    const ffai__value q = ffai__rope_apply(r, ffai__linear(r, h, "q", false), &rope);
    const ffai__value k = ffai__rope_apply(r, ffai__linear(r, h, "k", false), &rope);
    const ffai__value v = ffai__linear(r, h, "v", true);
    const ffai__value a = ffai__attention(r, q, k, v, 4, 0.5f, 0);
    x = ffai__add_values(r, x, ffai__linear(r, a, "o", false));
    h = ffai__rms_norm(r, x, "norm", 1e-5);
    const ffai__value gate = ffai__silu(r, ffai__linear(r, h, "gate", false));
    const ffai__value up = ffai__linear(r, h, "up", false);
    x = ffai__add_values(r, x, ffai__linear(r, ffai__mul_values(r, gate, up), "down", false));
    ffai__scope(r, "%s", "");
    ffai__head(r, ffai__select_rows(r, x), "head");
}

/* The recorded program; free it with ffai__program_free. NULL with err filled on failure. */
static inline ffai__program *small_program(small_model *m, ffai_error *err)
{
    ffai__recorder *r = NULL;
    ffai__program *program = NULL;
    if (ffai__recorder_create(&r, small_find, m, NULL, "the test", err) != FFAI_OK)
        return NULL;
    small_record(r, m);
    ffai__recorder_finish(&program, r, err);
    ffai__recorder_free(r);
    return program;
}

#endif
