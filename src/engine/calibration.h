/* How large what each matrix is multiplied with is, column by column, on a text. */
#ifndef FFAI_ENGINE_CALIBRATION_H
#define FFAI_ENGINE_CALIBRATION_H

#include "engine.h"

typedef struct ffai__calibration ffai__calibration;

/* Run the model at `path` over n tokens, in windows of 512, and keep the mean squares of the inputs of every linear
 * layer. on_progress: false cancels; may be NULL. */
ffai_status ffai__calibration_run(ffai__calibration **out, const char *path, const int32_t *tokens, size_t n,
                                  int threads, bool (*on_progress)(void *context, double fraction), void *context,
                                  ffai_error *err);
void ffai__calibration_free(ffai__calibration *calibration); /* NULL is allowed */

/* [columns], their mean 1 and none below a ten-thousandth, as long as the calibration lives. NULL for a matrix that
 * nothing was multiplied with. */
const float *ffai__calibration_of(const ffai__calibration *calibration, const char *name);

#endif
