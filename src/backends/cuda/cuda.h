/* The CUDA backend: a program's weights in device memory, and its steps as graphs of kernels. */
#ifndef FFAI_CUDA_CUDA_H
#define FFAI_CUDA_CUDA_H

#include "backend.h"

#endif
