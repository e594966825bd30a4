/* The device's ceilings: ffai__backend.measure and read_weights. */
#ifndef FFAI_CUDA_MACHINE_H
#define FFAI_CUDA_MACHINE_H

#include "backend.h"

ffai_status ffai__cuda_measure(ffai__machine *machine, const ffai__plan_options *options, ffai_error *err);
double ffai__cuda_read_weights(ffai__run *base);

#endif
