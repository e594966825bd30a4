/* The check that every backend makes before it touches a step's arrays. */
#ifndef FFAI_BACKENDS_STEP_CHECK_H
#define FFAI_BACKENDS_STEP_CHECK_H

#include "backend.h"

/* FFAI_E_ARGUMENT names the row or sequence at fault; FFAI_E_CONTEXT_FULL a position beyond max_context. */
ffai_status ffai__step_check(const ffai__step *step, const ffai__program *program, const ffai__run_options *options,
                             ffai_error *err);

#endif
