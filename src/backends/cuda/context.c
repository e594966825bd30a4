/* A device, opened: its context and what kernels need to know of it. */
#include <string.h>

#include "cuda.h"
#include "cuda_devices.h"
#include "kernels/images.h"

ffai_status ffai__cuda_enter(const ffai__cuda_opened *opened, ffai_error *err)
{
    return ffai__cuda_check(opened->driver, opened->driver->context_push(opened->context),
                            "entering the device's context", err);
}

void ffai__cuda_leave(const ffai__cuda_opened *opened)
{
    ffai__cuda_context ignored = NULL;
    opened->driver->context_pop(&ignored);
}

static ffai_status read_attributes(ffai__cuda_opened *opened, ffai_error *err)
{
    const ffai__cuda_driver *driver = opened->driver;
    int major = 0;
    int minor = 0;
    const struct {
        int *value;
        int attribute;
    } wanted[] = {
        {&major, FFAI__CUDA_COMPUTE_MAJOR},
        {&minor, FFAI__CUDA_COMPUTE_MINOR},
        {&opened->multiprocessors, FFAI__CUDA_MULTIPROCESSORS},
        {&opened->shared_bytes, FFAI__CUDA_SHARED_BYTES},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        FFAI__TRY(ffai__cuda_check(driver,
                                   driver->device_attribute(wanted[i].value, wanted[i].attribute, opened->device),
                                   "asking for an attribute", err));
    opened->compute = major * 10 + minor;
    opened->has_wgmma = opened->compute == 90 && strstr(ffai__cuda_architectures, "90a");
    return ffai__cuda_check(driver, driver->device_name(opened->name, (int)sizeof opened->name, opened->device),
                            "asking for its name", err);
}

static ffai_status find_device(ffai__cuda_opened *opened, int number, ffai_error *err)
{
    FFAI__TRY(ffai__cuda_driver_get(&opened->driver, err));
    FFAI__TRY(ffai__cuda_usable(number, err));
    opened->number = number;
    return ffai__cuda_check(opened->driver, opened->driver->device_get(&opened->device, number), "finding the device",
                            err);
}

ffai_status ffai__cuda_open_device(ffai__cuda_opened *opened, int number, ffai_error *err)
{
    FFAI__TRY(find_device(opened, number, err));
    FFAI__TRY(read_attributes(opened, err));
    ffai__cuda_context context = NULL;
    FFAI__TRY(ffai__cuda_check(opened->driver, opened->driver->context_retain(&context, opened->device),
                               "opening the device", err));
    opened->context = context;
    return FFAI_OK;
}

ffai_status ffai__cuda_open_kernels(ffai__cuda_opened *opened, ffai_error *err)
{
    FFAI__TRY(ffai__cuda_enter(opened, err));
    const ffai_status status = ffai__cuda_kernels_load(&opened->kernels, opened->driver, opened->shared_bytes, err);
    ffai__cuda_leave(opened);
    return status;
}

void ffai__cuda_close_device(ffai__cuda_opened *opened)
{
    if (!opened->context)
        return;
    if (ffai__cuda_enter(opened, NULL) == FFAI_OK) {
        ffai__cuda_kernels_unload(&opened->kernels, opened->driver);
        ffai__cuda_leave(opened);
    }
    opened->driver->context_release(opened->device);
    memset(opened, 0, sizeof *opened);
}

ffai_status ffai__cuda_allocate(ffai__cuda_address *address, uint64_t bytes, const char *what,
                                const ffai__cuda_opened *opened, ffai_error *err)
{
    const ffai__cuda_driver *driver = opened->driver;
    size_t available = 0;
    size_t total = 0;
    FFAI__TRY(ffai__cuda_check(driver, driver->memory_info(&available, &total), "looking at the device's memory", err));
    const ffai__cuda_result result =
        bytes > available ? FFAI__CUDA_OUT_OF_MEMORY : driver->memory_allocate(address, bytes ? bytes : 1);
    if (result != FFAI__CUDA_OUT_OF_MEMORY)
        return ffai__cuda_check(driver, result, "allocating memory", err);
    return ffai__fail(err, FFAI_E_MEMORY,
                      "cuda: device %d, %s: not enough memory for %s: %.2f GB are needed and %.2f of its %.2f GB are "
                      "available",
                      opened->number, opened->name, what, (double)bytes / 1e9, (double)available / 1e9,
                      (double)total / 1e9);
}

/* What a process needs beside weights, stores and workspace: kernels, graphs, the driver's own. */
#define HELD_BACK ((uint64_t)512 << 20)

static ffai_status read_memory(uint64_t *bytes, const ffai__cuda_opened *opened, ffai_error *err)
{
    size_t available = 0;
    size_t total = 0;
    FFAI__TRY(ffai__cuda_enter(opened, err));
    const ffai__cuda_result result = opened->driver->memory_info(&available, &total);
    ffai__cuda_leave(opened);
    *bytes = available > HELD_BACK ? available - HELD_BACK : 0;
    return ffai__cuda_check(opened->driver, result, "looking at the device's memory", err);
}

ffai_status ffai__cuda_memory_available(uint64_t *bytes, int number, ffai_error *err)
{
    ffai__cuda_opened opened = {.number = 0};
    FFAI__TRY(find_device(&opened, number, err));
    FFAI__TRY(ffai__cuda_check(opened.driver, opened.driver->context_retain(&opened.context, opened.device),
                               "opening the device", err));
    const ffai_status status = read_memory(bytes, &opened, err);
    opened.driver->context_release(opened.device);
    return status;
}
