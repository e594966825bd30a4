/* What a session takes of memory, and how long a context there is room for. The sizes are the backend's own, of the
 * layout that opening a run uses. */
#ifndef FFAI_ENGINE_FIT_H
#define FFAI_ENGINE_FIT_H

#include <ffai/memory.h>

#include "engine.h"

/* A session that is asked for, without its context. */
typedef struct ffai__fit {
    const ffai_model *model; /* planned */
    ffai__run_options options;
    int32_t rows, fewest_rows; /* of the largest step: as wanted; where memory is scarce */
    uint64_t room;             /* bytes that stores and workspace may take */
} ffai__fit;

/* A run that would be opened. */
typedef struct ffai__fit_run {
    ffai__run_options options;
    ffai__memory_use use;
    bool fits;
} ffai__fit_run;

/* FFAI_E_ARGUMENT names the option that is out of range; the context is none of them here. */
ffai_status ffai__fit_begin(ffai__fit *fit, const ffai_model *model, const ffai_session_options *options, uint64_t room,
                            ffai_error *err);
/* The run for a context, with as many rows as wanted if they fit. */
ffai_status ffai__fit_context(ffai__fit_run *run, const ffai__fit *fit, int64_t context, ffai_error *err);
/* The same for the context that the model was made for, or as much of it as fits. */
ffai_status ffai__fit_any(ffai__fit_run *run, const ffai__fit *fit, ffai_error *err);
/* The longest context that fits, in whole pages or `most`; 0: none. */
ffai_status ffai__fit_largest(int64_t *context, const ffai__fit *fit, int64_t most, ffai_error *err);

/* FFAI_E_ARGUMENT unless it may be a session's, 0 included. */
ffai_status ffai__context_check(int64_t context, ffai_error *err);

/* Weights and the least that a session of a planned model takes. */
ffai_status ffai__fit_least(ffai__memory_use *use, const ffai_model *model, ffai_error *err);

/* Estimates for contexts [n] of a planned model whose weights are not there yet; as ffai_model_estimate. */
ffai_status ffai__estimate(ffai_memory_estimate *out, const int64_t *contexts, size_t n, const ffai_model *model,
                           const ffai_session_options *options, ffai_error *err);

#endif
