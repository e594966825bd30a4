/* What every backend does alike about the results of the last steps. */
#ifndef FFAI_BACKENDS_RESULTS_H
#define FFAI_BACKENDS_RESULTS_H

#include "backend.h"

/* For those below: this is the last step now. */
void ffai__results_of(ffai__run *run, const ffai__step *step);
/* The step behind which `behind` others were submitted. FFAI_E_ARGUMENT where there is none, or it drew nothing though
 * what it drew is asked for. */
ffai_status ffai__results_find(const ffai__step_size **size, const ffai__run *run, int behind, bool drawn,
                               ffai_error *err);

/* Where a backend has its last step's results: ids [R], logits [R, vocab_size]. */
typedef struct ffai__results {
    const int32_t *ids;
    const float *logits;
} ffai__results;

/* ffai__backend.collect where they lie in host memory and ahead is 0. */
ffai_status ffai__results_collect(int32_t *ids, float *chosen, const float **logits, const ffai__run *run, int behind,
                                  const ffai__results *results, ffai_error *err);

/* How many floats the value has in the last step. FFAI_E_ARGUMENT where it is not an activation. */
ffai_status ffai__results_size(size_t *floats, const ffai__run *run, ffai__value value, ffai_error *err);

#endif
