/* NVIDIA's driver, loaded when it is first asked for: a binary with this backend runs where there is none.
 *
 * The declarations are this project's own, of the driver's published binary interface, so that building the host's part
 * takes no toolkit. */
#ifndef FFAI_CUDA_DRIVER_H
#define FFAI_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

typedef int ffai__cuda_result; /* 0: success */
typedef int ffai__cuda_device;
typedef struct ffai__cuda_context_of_a_device *ffai__cuda_context;

enum {
    FFAI__CUDA_SUCCESS = 0,
    FFAI__CUDA_OUT_OF_MEMORY = 2,
    FFAI__CUDA_NO_DEVICE = 100,
};

/* Attributes of a device, by the driver's numbers. */
enum {
    FFAI__CUDA_MULTIPROCESSORS = 16,
    FFAI__CUDA_COMPUTE_MAJOR = 75,
    FFAI__CUDA_COMPUTE_MINOR = 76,
};

typedef struct ffai__cuda_driver {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration's parts can't be bracketed */
#define DRIVER(member, symbol, parameters) ffai__cuda_result(*member) parameters;
#include "cuda_driver.def"
#undef DRIVER
} ffai__cuda_driver;

/* The driver, loaded and initialized once for the process; never unloaded. FFAI_E_NOT_FOUND where there is none, none
 * that has all functions, or no device; FFAI_E_BACKEND where it refuses to start. Any thread may call it. */
ffai_status ffai__cuda_driver_get(const ffai__cuda_driver **out, ffai_error *err);

/* FFAI_OK for success; else "cuda: <what>: <the driver's words>", FFAI_E_MEMORY where memory was short and
 * FFAI_E_BACKEND for the rest. */
ffai_status ffai__cuda_check(const ffai__cuda_driver *driver, ffai__cuda_result result, const char *what,
                             ffai_error *err);

#endif
