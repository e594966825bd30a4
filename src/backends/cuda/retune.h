/* The backend's free parameters: as ffai__backend in backend.h says. */
#ifndef FFAI_CUDA_RETUNE_H
#define FFAI_CUDA_RETUNE_H

#include "cuda.h"

ffai_status ffai__cuda_identify(int *threads, char *text, size_t size, int device, ffai_error *err);
void ffai__cuda_tuning(ffai__tuning *tuning, const ffai__plan *base);
ffai_status ffai__cuda_retune(ffai__run *base, const ffai__tuning *tuning, ffai_error *err);

#endif
