/* What every backend does alike about the results of the last step. */
#ifndef FFAI_BACKENDS_RESULTS_H
#define FFAI_BACKENDS_RESULTS_H

#include "backend.h"

/* For the two below: this is the last step now. */
void ffai__results_of(ffai__run *run, const ffai__step *step);
/* ids [R] into out, unless that is NULL. FFAI_E_ARGUMENT where the step drew none. */
ffai_status ffai__results_ids(int32_t *out, const ffai__run *run, const int32_t *ids, ffai_error *err);
/* How many floats the value has. FFAI_E_ARGUMENT where it is not an activation. */
ffai_status ffai__results_size(size_t *floats, const ffai__run *run, ffai__value value, ffai_error *err);

#endif
