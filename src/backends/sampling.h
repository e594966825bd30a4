/* Drawing a token from logits, for backends whose logits lie in host memory.
 *
 * The mask of what is allowed, then penalties, then temperature, top-k, top-p, min-p, in the order that transformers
 * applies them; one uniform number from Philox 4x32-10 (Salmon et al. 2011) with the seed as key and the position as
 * counter, so that a draw depends on nothing but the row's logits, parameters and position. */
#ifndef FFAI_BACKENDS_SAMPLING_H
#define FFAI_BACKENDS_SAMPLING_H

#include <stddef.h>

#include "step.h"

/* The generator itself: four random words from a counter and a key. */
void ffai__philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* Uniform in [0, 1) with 53 bits. */
double ffai__philox_uniform(uint64_t seed, uint64_t counter);

/* Bytes of scratch that ffai__sample needs for a vocabulary. */
size_t ffai__sample_scratch_bytes(int64_t vocab_size);

/* One id from logits [vocab_size], which are changed by penalties. tokens [num_tokens] are the sequence's so far,
 * position the row's. scratch is 64-byte aligned. NaN counts as the least logit; so does the logit of a token
 * that the draw does not allow, and there must be one that it does. */
int32_t ffai__sample(float *logits, int64_t vocab_size, const ffai__draw *draw, const int32_t *tokens,
                     int64_t num_tokens, int64_t position, void *scratch);

#endif
