/* Attention's operations. */
#ifndef FFAI_CUDA_ATTENTION_H
#define FFAI_CUDA_ATTENTION_H

#include "maker.h"

/* Mark the norms, turns and stores as done that the kernels of attention, or the one before it, do themselves. */
void ffai__attention_mark_folded(ffai__maker *m);
/* Once before all attention: how the rows of a step lie in tiles, where one needs to know. */
void ffai__attention_emit_tiles(ffai__maker *m);
/* Of the current instruction: a kv_store, and attention. */
void ffai__attention_emit_store(ffai__maker *m);
void ffai__attention_emit(ffai__maker *m);

#endif
