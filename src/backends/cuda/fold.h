/* Which instructions another kernel does on the way: found in any program, whatever its family. */
#ifndef FFAI_CUDA_FOLD_H
#define FFAI_CUDA_FOLD_H

#include "program.h"

/* The norm whose result this is, if it norms whole rows and only products read it; NULL otherwise. A product of one row
 * norms its input itself. */
const ffai__instruction *ffai__fold_norm(const ffai__program *program, ffai__value value);

/* The swiglu that alone reads two outputs of this linear_shared, which has no more; NULL otherwise. */
const ffai__instruction *ffai__fold_swiglu(const ffai__program *program, const ffai__instruction *shared);

#endif
