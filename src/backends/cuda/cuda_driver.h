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
typedef uint64_t ffai__cuda_address; /* of device memory */
typedef struct ffai__cuda_stream_of_a_context *ffai__cuda_stream;
typedef struct ffai__cuda_event_of_a_context *ffai__cuda_event;
typedef struct ffai__cuda_graph_of_nodes *ffai__cuda_graph;
typedef struct ffai__cuda_instance_of_a_graph *ffai__cuda_graph_exec;
typedef struct ffai__cuda_module_of_a_context *ffai__cuda_module;
typedef struct ffai__cuda_function_of_a_module *ffai__cuda_function;

/* CUlaunchAttribute: a number that says which it is, and 64 bytes of value. */
typedef struct ffai__cuda_launch_attribute {
    int which;
    int unused;
    union {
        int programmatic; /* PROGRAMMATIC: 1: may begin before the kernel before it in the stream has ended */
        char bytes[64];
    } value;
} ffai__cuda_launch_attribute;

/* CUlaunchConfig */
typedef struct ffai__cuda_launch {
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes; /* dynamic */
    ffai__cuda_stream stream;
    ffai__cuda_launch_attribute *attributes;
    unsigned num_attributes;
} ffai__cuda_launch;

enum {
    FFAI__CUDA_SUCCESS = 0,
    FFAI__CUDA_OUT_OF_MEMORY = 2,
    FFAI__CUDA_NO_DEVICE = 100,
};

/* Flags, modes and attributes by the driver's numbers. */
enum {
    FFAI__CUDA_HOST_PORTABLE = 1, /* pinned for every context */
    FFAI__CUDA_HOST_MAPPED = 2,   /* the device reads and writes it in place */
    FFAI__CUDA_STREAM_ALONE = 1,  /* does not wait for the default stream */
    FFAI__CUDA_EVENT_UNTIMED = 2,
    FFAI__CUDA_CAPTURE_THREAD = 1, /* other threads may go on meanwhile */
    FFAI__CUDA_FUNCTION_SHARED_BYTES = 8,
    FFAI__CUDA_FUNCTION_SHARED_PERCENT = 9, /* of what a multiprocessor has, at least: the rest is first-level cache */
    FFAI__CUDA_LAUNCH_PROGRAMMATIC = 6,
};

/* Attributes of a device, by the driver's numbers. */
enum {
    FFAI__CUDA_SHARED_BYTES = 97, /* that a block may have, where the function's attribute asks for it */
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
