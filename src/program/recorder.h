/* What a family file writes its forward pass with.
 *
 * The recorder keeps the first error and turns every later call into a no-op that gives FFAI__NONE, so a family
 * checks nothing between lines; ffai__recorder_finish reports the error. Weight names are relative to the scope:
 * "self_attn.q_proj" in scope "model.layers.3" is the weight "model.layers.3.self_attn.q_proj.weight". */
#ifndef FFAI_PROGRAM_RECORDER_H
#define FFAI_PROGRAM_RECORDER_H

#include "program.h"

typedef struct ffai__recorder ffai__recorder;

/* How names become weights: NULL if there is none. The pointer stays valid as long as the program. */
typedef const ffai__weight *ffai__find_weight(void *context, const char *name);

/* Another spelling of weight names: a name that begins with `prefix` is also looked for with `replacement` in its
 * place. Lists end with {NULL, NULL}. */
typedef struct ffai__name_alias {
    const char *prefix;
    const char *replacement;
} ffai__name_alias;

/* aliases: tried in order after the name itself. where: whose weights they are, said in front of an error in them.
 * Both must outlive the recorder. */
ffai_status ffai__recorder_create(ffai__recorder **out, ffai__find_weight *find, void *context,
                                  const ffai__name_alias *aliases, const char *where, ffai_error *err);
void ffai__recorder_free(ffai__recorder *r);

/* The program, verified, or the first error. The recorder is spent; free it. */
ffai_status ffai__recorder_finish(ffai__program **out, ffai__recorder *r, ffai_error *err);

/* Record an error of the family's own (a field it cannot honour); the message begins with the place, config->path. */
void ffai__recorder_fail(ffai__recorder *r, ffai_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool ffai__recorder_failed(const ffai__recorder *r);

/* Set the prefix of the weight names that follow; "" for none. */
void ffai__scope(ffai__recorder *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether the checkpoint has `name`.weight, in this scope. */
bool ffai__has_weight(ffai__recorder *r, const char *name);

/* x [T, hidden] from the rows' tokens. */
ffai__value ffai__embed(ffai__recorder *r, const char *name);
ffai__value ffai__rms_norm(ffai__recorder *r, ffai__value x, const char *name, double eps);
/* `name`.weight, and with bias `name`.bias, which must then be there. */
ffai__value ffai__linear(ffai__recorder *r, ffai__value x, const char *name, bool bias);
ffai__value ffai__rope_apply(ffai__recorder *r, ffai__value x, const ffai__rope *rope);
/* Grouped-query attention over the layer's store, which k and v are appended to first. window as in
 * ffai__store_group. q [T, heads * head_dim], k and v [T, kv_heads * head_dim]. */
ffai__value ffai__attention(ffai__recorder *r, ffai__value q, ffai__value k, ffai__value v, int head_dim, float scale,
                            int64_t window);
ffai__value ffai__silu(ffai__recorder *r, ffai__value x);
ffai__value ffai__mul_values(ffai__recorder *r, ffai__value a, ffai__value b);
ffai__value ffai__add_values(ffai__recorder *r, ffai__value a, ffai__value b);

/* The end of every text program: the rows that want output, the head (`name`, or the embedding's matrix where
 * tied), which gives the logits, and the draw of a token. */
ffai__value ffai__select_rows(ffai__recorder *r, ffai__value x);
ffai__value ffai__head(ffai__recorder *r, ffai__value x, const char *name);

/* Columns of an activation, and the weight [rows, columns] of the latest embed or linear before it, which made them
 * so many; 0 and NULL after an error. */
int64_t ffai__columns_of(const ffai__recorder *r, ffai__value x);
const ffai__weight *ffai__weight_behind(const ffai__recorder *r, ffai__value x);

/* A float table [count] that lives as long as the program, for ffai__rope; NULL after an error. */
float *ffai__recorder_table(ffai__recorder *r, size_t count);

#endif
