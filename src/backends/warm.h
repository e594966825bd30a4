/* Steps that nobody asked for, by which a run makes and touches what steps need. */
#ifndef FFAI_BACKENDS_WARM_H
#define FFAI_BACKENDS_WARM_H

#include "backend.h"

/* Of which size and kind. */
typedef struct ffai__warm {
    int32_t rows;    /* at least 1; fewer are taken where the run's pages hold no more */
    int32_t outputs; /* the last rows; fewer where there are fewer */
    bool greedy;     /* drawn are largest logits, else by all that sampling has */
} ffai__warm;

/* Submit one over the run's first slots and pages, and wait for it. Stores and tokens there are undefined afterwards.
 */
ffai_status ffai__warm_step(ffai__run *run, const ffai__run_options *options, const ffai__warm *warm, ffai_error *err);

#endif
