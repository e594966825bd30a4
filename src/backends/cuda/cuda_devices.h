/* The devices that NVIDIA's driver knows. */
#ifndef FFAI_CUDA_DEVICES_H
#define FFAI_CUDA_DEVICES_H

#include <ffai/device.h>

/* As ffai_devices in include/ffai/device.h. */
ffai_status ffai__cuda_devices(ffai_device *devices, size_t room, size_t *count, ffai_error *err);

#endif
