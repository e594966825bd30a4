/**
 * Devices other than the processor that models could run on.
 */
#ifndef FFAI_DEVICE_H
#define FFAI_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include <ffai/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ffai_device {
    const char *backend;      /**< "cuda"; static */
    int number;               /**< among the backend's devices, from 0 */
    char name[128];           /**< as the driver has it: "NVIDIA H200" */
    int compute_major;        /**< compute capability 9.0 has major 9 … */
    int compute_minor;        /**< … and minor 0 */
    int multiprocessors;      /**< each takes blocks of threads by itself */
    uint64_t memory_bytes;    /**< that it has */
    uint64_t available_bytes; /**< of it, that nobody uses now */
} ffai_device;

/**
 * Look for devices. It takes up to a second, because a device is opened to see what memory is free.
 *
 * devices  receives the first `room` of them; may be NULL if room is 0.
 * count    receives how many there are.
 * Errors: FFAI_E_NOT_FOUND where no driver is installed or the driver finds no device, which says so; FFAI_E_BACKEND
 * where it fails, for instance because it does not fit the kernel's module.
 */
FFAI_API ffai_status ffai_devices(ffai_device *devices, size_t room, size_t *count, ffai_error *err);

/**
 * The backend that "auto" is here: "cuda" or "cpu"; static. why [size] receives the reason in a line.
 */
FFAI_API const char *ffai_backend_auto(char *why, size_t size);

#ifdef __cplusplus
}
#endif

#endif
