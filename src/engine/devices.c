#include <ffai/device.h>

#include "cuda_devices.h"

ffai_status ffai_devices(ffai_device *devices, size_t room, size_t *count, ffai_error *err)
{
    return ffai__cuda_devices(devices, room, count, err);
}
