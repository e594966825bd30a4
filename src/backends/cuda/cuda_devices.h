/* The devices that NVIDIA's driver knows. */
#ifndef FFAI_CUDA_DEVICES_H
#define FFAI_CUDA_DEVICES_H

#include <stdbool.h>

#include <ffai/device.h>

/* As ffai_devices in include/ffai/device.h. */
ffai_status ffai__cuda_devices(ffai_device *devices, size_t room, size_t *count, ffai_error *err);

/* One of them by its number, without what of its memory is available. FFAI_E_BACKEND. */
ffai_status ffai__cuda_describe_device(ffai_device *device, int number, ffai_error *err);

/* Whether models can run on the device of this number. FFAI_E_NOT_FOUND where there is no driver or no device,
 * FFAI_E_ARGUMENT where there are devices but none of this number, FFAI_E_UNSUPPORTED where this build has no kernels
 * for it, FFAI_E_BACKEND where the driver fails; the message says which. */
ffai_status ffai__cuda_usable(int number, ffai_error *err);

/* Whether code for these architectures, a list as ffai__cuda_architectures, runs on this compute capability. */
bool ffai__cuda_covers(const char *architectures, int compute_major, int compute_minor);

#endif
