#include "cuda_devices.h"

#include <stdlib.h>
#include <string.h>

#include "cuda_driver.h"
#include "kernels/images.h"

/* What is free is known inside a context alone. */
static ffai_status read_available(ffai_device *device, const ffai__cuda_driver *driver, ffai__cuda_device handle,
                                  ffai_error *err)
{
    ffai__cuda_context context = NULL;
    size_t available = 0;
    size_t total = 0;
    FFAI__TRY(ffai__cuda_check(driver, driver->context_retain(&context, handle), "opening the device", err));
    ffai__cuda_result result = driver->context_push(context);
    if (result == FFAI__CUDA_SUCCESS) {
        result = driver->memory_info(&available, &total);
        driver->context_pop(&context);
    }
    driver->context_release(handle);
    device->available_bytes = available;
    return ffai__cuda_check(driver, result, "looking at the device's memory", err);
}

static ffai_status read_attributes(ffai_device *device, const ffai__cuda_driver *driver, ffai__cuda_device handle,
                                   ffai_error *err)
{
    const struct {
        int *value;
        int attribute;
    } wanted[] = {
        {&device->compute_major, FFAI__CUDA_COMPUTE_MAJOR},
        {&device->compute_minor, FFAI__CUDA_COMPUTE_MINOR},
        {&device->multiprocessors, FFAI__CUDA_MULTIPROCESSORS},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        FFAI__TRY(ffai__cuda_check(driver, driver->device_attribute(wanted[i].value, wanted[i].attribute, handle),
                                   "asking for an attribute", err));
    return FFAI_OK;
}

static ffai_status describe(ffai_device *device, ffai__cuda_device *handle, const ffai__cuda_driver *driver, int number,
                            ffai_error *err)
{
    size_t bytes = 0;
    *device = (ffai_device){.backend = "cuda", .number = number};
    FFAI__TRY(ffai__cuda_check(driver, driver->device_get(handle, number), "finding the device", err));
    FFAI__TRY(ffai__cuda_check(driver, driver->device_name(device->name, (int)sizeof device->name, *handle),
                               "asking for its name", err));
    FFAI__TRY(ffai__cuda_check(driver, driver->device_memory(&bytes, *handle), "asking for its memory", err));
    device->memory_bytes = bytes;
    return read_attributes(device, driver, *handle, err);
}

ffai_status ffai__cuda_describe_device(ffai_device *device, int number, ffai_error *err)
{
    const ffai__cuda_driver *driver = NULL;
    ffai__cuda_device handle = 0;
    FFAI__TRY(ffai__cuda_driver_get(&driver, err));
    return describe(device, &handle, driver, number, err);
}

static ffai_status read_device(ffai_device *device, const ffai__cuda_driver *driver, int number, ffai_error *err)
{
    ffai__cuda_device handle = 0;
    FFAI__TRY(describe(device, &handle, driver, number, err));
    return read_available(device, driver, handle, err);
}

ffai_status ffai__cuda_devices(ffai_device *devices, size_t room, size_t *count, ffai_error *err)
{
    const ffai__cuda_driver *driver = NULL;
    int number = 0;
    FFAI__TRY(ffai__cuda_driver_get(&driver, err));
    FFAI__TRY(ffai__cuda_check(driver, driver->device_count(&number), "counting the devices", err));
    *count = (size_t)number;
    for (int i = 0; i < number && (size_t)i < room; i++) {
        const ffai_status status = read_device(&devices[i], driver, i, err);
        if (status != FFAI_OK)
            return ffai__fail_in(err, status, "device %d", i);
    }
    return FFAI_OK;
}

/* One word of the list: the code runs on what has its major number, and its minor one at least; with an "a" on that
 * alone; with "-virtual" on everything newer too. */
static bool runs(const char *word, size_t length, int compute)
{
    char *end = NULL;
    const int made_for = (int)strtol(word, &end, 10);
    if (*end == 'a')
        return compute == made_for;
    const bool is_virtual = length > 8 && memcmp(word + length - 8, "-virtual", 8) == 0;
    return compute >= made_for && (is_virtual || compute / 10 == made_for / 10);
}

bool ffai__cuda_covers(const char *architectures, int compute_major, int compute_minor)
{
    for (const char *word = architectures; *word;) {
        const size_t length = strcspn(word, " ");
        if (runs(word, length, compute_major * 10 + compute_minor))
            return true;
        word += length + strspn(word + length, " ");
    }
    return false;
}

static ffai_status check_kernels(const ffai__cuda_driver *driver, int number, ffai_error *err)
{
    ffai__cuda_device handle = 0;
    ffai_device device = {.number = number};
    FFAI__TRY(ffai__cuda_check(driver, driver->device_get(&handle, number), "finding the device", err));
    FFAI__TRY(read_attributes(&device, driver, handle, err));
    if (ffai__cuda_covers(ffai__cuda_architectures, device.compute_major, device.compute_minor))
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_UNSUPPORTED, "cuda: this build has no kernels for device %d, of compute %d.%d",
                      number, device.compute_major, device.compute_minor);
}

ffai_status ffai__cuda_usable(int number, ffai_error *err)
{
    const ffai__cuda_driver *driver = NULL;
    int count = 0;
    FFAI__TRY(ffai__cuda_driver_get(&driver, err));
    FFAI__TRY(ffai__cuda_check(driver, driver->device_count(&count), "counting the devices", err));
    if (count < 1)
        return ffai__fail(err, FFAI_E_NOT_FOUND, "cuda: NVIDIA's driver finds no device");
    if (number < 0 || number >= count)
        return ffai__fail(err, FFAI_E_ARGUMENT, "cuda: there is no device %d: there %s %d, counted from 0", number,
                          count == 1 ? "is" : "are", count);
    return check_kernels(driver, number, err);
}
