/* Which instructions another kernel does on the way: found in any program, whatever its family. */
#ifndef FFAI_CUDA_FOLD_H
#define FFAI_CUDA_FOLD_H

#include "program.h"

/* The norm whose result this is, if it norms whole rows and only products read it; NULL otherwise. A product of one row
 * norms its input itself. */
const ffai__instruction *ffai__fold_norm(const ffai__program *program, ffai__value value);

/* The swiglu that alone reads two outputs of this linear_shared, which has no more; NULL otherwise. */
const ffai__instruction *ffai__fold_swiglu(const ffai__program *program, const ffai__instruction *shared);

/* The product of one matrix that alone reads this value, as its input; NULL otherwise. */
const ffai__instruction *ffai__fold_product(const ffai__program *program, ffai__value value);

/* An attention together with what prepares its heads: norms of single heads, the turn by rotary angles, the storing of
 * keys and values. Steps of one row leave all of it to one kernel. */
typedef struct ffai__fold_attention {
    size_t attention, store; /* instructions */
    size_t q_rope, k_rope;   /* SIZE_MAX: not turned */
    size_t q_norm, k_norm;   /* SIZE_MAX: not normed */
    ffai__value q, k, v;     /* as the products leave them */
} ffai__fold_attention;

/* Whether the attention at `index` and what stands before it can be done together; its parts then. */
bool ffai__fold_attention_find(ffai__fold_attention *fold, const ffai__program *program, size_t index);

#endif
