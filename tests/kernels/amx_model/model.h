/* AMX's linear kernels as they are, but for the instructions: those are a model in plain C, so that the kernels are
 * tested on any machine. */
#ifndef FFAI_AMX_MODEL_H
#define FFAI_AMX_MODEL_H

#include "linear.h"

/* Give a matrix that was planned for the scalar tier the kernels, and the kind of input, that the AMX tier would have
 * chosen with these activations. What AMX has no kernels for stays as it was. */
void amx_model_plan(ffai__packed *packed, ffai__activations activations);

#endif
