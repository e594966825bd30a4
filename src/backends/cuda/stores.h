/* Keys and values in device memory: a page has all layers of its group, one after the other. */
#ifndef FFAI_CUDA_STORES_H
#define FFAI_CUDA_STORES_H

#include "cuda.h"

/* The stores' size; or reserve them. What was made before a failure stays for ffai__cuda_stores_free. */
ffai_status ffai__cuda_stores_measure(ffai__cuda_run *run, ffai_error *err);
ffai_status ffai__cuda_stores_reserve(ffai__cuda_run *run, ffai_error *err);
void ffai__cuda_stores_free(ffai__cuda_run *run);

#endif
