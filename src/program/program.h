/* A forward pass as data: a flat list of instructions over values.
 *
 * A family records it once (recorder.h), it is verified, rewritten (fusions.h), printed, and given to a backend,
 * which plans it once and then replays it for every step. Sizes known only at a step are symbols: T rows in the
 * step, R rows of which output is wanted. */
#ifndef FFAI_PROGRAM_PROGRAM_H
#define FFAI_PROGRAM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "failure.h"
#include "rope.h"
#include "weight.h"

typedef enum ffai__op {
#define OP(name, inputs, outputs, attributes, definition) FFAI__OP_##name,
#include "ops.def"
#undef OP
    FFAI__OP_COUNT
} ffai__op;

typedef struct ffai__op_info {
    const char *name;
    const char *inputs; /* signatures, see ops.def */
    const char *outputs;
    const char *definition;
} ffai__op_info;

extern const ffai__op_info ffai__ops[FFAI__OP_COUNT];

/* A value is an index into the program's values; absent operands are FFAI__NONE. */
typedef int32_t ffai__value;
#define FFAI__NONE ((ffai__value)-1)

typedef enum ffai__value_kind {
    FFAI__ACTIVATION, /* [rows, columns] float32, lives within a step */
    FFAI__IDS,        /* [rows] token ids, lives within a step */
    FFAI__WEIGHT,     /* immutable */
    FFAI__STORE,      /* keys and values of one layer, of every sequence */
    FFAI__TOKENS,     /* token ids by position, of every sequence */
} ffai__value_kind;

typedef enum ffai__rows { FFAI__ROWS_NONE, FFAI__ROWS_T, FFAI__ROWS_R } ffai__rows;

typedef struct ffai__value_info {
    ffai__value_kind kind;
    ffai__rows rows;            /* ACTIVATION, IDS */
    int64_t columns;            /* ACTIVATION */
    const ffai__weight *weight; /* WEIGHT */
    int store;                  /* STORE: index into the program's stores */
    int32_t producer;           /* instruction that writes an activation, -1 for others */
} ffai__value_info;

/* One layer's keys and values. Layers with the same window share a group: one block table a sequence. */
typedef struct ffai__store {
    int layer;
    int group;
    int num_key_value_heads;
    int head_dim;
} ffai__store;

typedef struct ffai__store_group {
    int64_t window; /* a row sees the last `window` positions up to its own; 0: all of them */
} ffai__store_group;

typedef union ffai__attributes {
    struct {
        float eps;
    } rms_norm;
    ffai__rope rope; /* the tables belong to the program */
    struct {
        int num_attention_heads;
        int num_key_value_heads;
        int head_dim;
        float scale;
        int64_t window; /* as in ffai__store_group */
    } attention;
} ffai__attributes;

enum { FFAI__MAX_INPUTS = 7, FFAI__MAX_OUTPUTS = 3 };

typedef struct ffai__instruction {
    ffai__op op;
    ffai__value in[FFAI__MAX_INPUTS]; /* in the signature's order, FFAI__NONE where absent */
    ffai__value out[FFAI__MAX_OUTPUTS];
    ffai__attributes attributes;
    const char *scope; /* "model.layers.3", for people; belongs to the program */
} ffai__instruction;

typedef struct ffai__program {
    ffai__instruction *instructions;
    size_t num_instructions;
    ffai__value_info *values;
    size_t num_values;
    ffai__store *stores;
    size_t num_stores;
    ffai__store_group *groups;
    size_t num_groups;
    ffai__value logits;  /* [R, vocab_size] activation */
    ffai__value sampled; /* [R] ids */
    int64_t hidden_size;
    int64_t vocab_size;
    int num_layers;
    void **owned; /* memory that lives as long as the program: tables, scopes */
    size_t num_owned;
} ffai__program;

void ffai__program_free(ffai__program *program);

/* Check everything a backend relies on: operand kinds, one definition before use, shapes by each op's rule,
 * formats, attributes, stores written before they are read. FFAI_E_INTERNAL names the instruction; weights of the
 * wrong shape are FFAI_E_FORMAT and name the weight. */
ffai_status ffai__program_verify(const ffai__program *program, ffai_error *err);

/* The listing: a header, then a line an instruction with shapes, format, bytes and FLOPs a row. */
void ffai__program_print(FILE *out, const ffai__program *program, const char *title);
/* One instruction as a line without its line end, into text of size bytes. */
void ffai__instruction_print(char *text, size_t size, const ffai__program *program, size_t index);

static inline bool ffai__op_multiplies(ffai__op op)
{
    return op == FFAI__OP_linear || op == FFAI__OP_linear_shared || op == FFAI__OP_linear_add;
}

/* Bytes of the weights that the program reads, each once, as stored. */
uint64_t ffai__program_weight_bytes(const ffai__program *program);

/* Bytes of weights that one row reads, and floating-point operations a row, attention over no context. */
uint64_t ffai__instruction_bytes(const ffai__program *program, size_t index);
uint64_t ffai__instruction_flops(const ffai__program *program, size_t index);

/* Operands as the signature has them. */
static inline const ffai__value_info *ffai__value_of(const ffai__program *program, ffai__value value)
{
    return &program->values[value];
}
static inline const ffai__weight *ffai__weight_of(const ffai__program *program, ffai__value value)
{
    return value == FFAI__NONE ? NULL : program->values[value].weight;
}

#endif
