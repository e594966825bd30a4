/* The checks that every backend makes before it touches anything. */
#ifndef FFAI_BACKENDS_STEP_CHECK_H
#define FFAI_BACKENDS_STEP_CHECK_H

#include "backend.h"

/* FFAI_E_ARGUMENT names the row or sequence at fault; FFAI_E_CONTEXT_FULL a position beyond max_context. */
ffai_status ffai__step_check(const ffai__step *step, const ffai__program *program, const ffai__run_options *options,
                             ffai_error *err);

/* FFAI_E_ARGUMENT where a copy's group, pages, slots or tokens are not there. */
ffai_status ffai__copy_page_check(int group, uint32_t to, uint32_t from, const ffai__program *program,
                                  const ffai__run_options *options, ffai_error *err);
ffai_status ffai__copy_tokens_check(int32_t to_slot, int32_t from_slot, int64_t length,
                                    const ffai__run_options *options, ffai_error *err);

#endif
