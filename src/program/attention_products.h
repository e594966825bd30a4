/* Which products decide where attention looks and what it brings: the inputs of these are worth keeping finer than
 * those of the feed-forward network, because softmax makes much of a small difference. */
#ifndef FFAI_PROGRAM_ATTENTION_PRODUCTS_H
#define FFAI_PROGRAM_ATTENTION_PRODUCTS_H

#include "program.h"

/* (*found)[i], for every instruction: it multiplies by a matrix, and its result reaches an attention or a key/value
 * store, or its input comes from an attention, with no other product between. The same for a program before and after
 * fusions. *found is the caller's, to be freed with ffai__free; FFAI_E_MEMORY leaves it NULL. */
ffai_status ffai__attention_products(bool **found, const ffai__program *program, ffai_error *err);

#endif
