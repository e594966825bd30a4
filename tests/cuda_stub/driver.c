/* A driver that plays devices which are not there: libcuda.so.1 for tests.
 *
 * FFAI_STUB_DEVICES  how many there are; none: 2
 * FFAI_STUB_FAIL     the name of a function that fails; FFAI_STUB_RESULT: with which result, none: 999
 * Contexts that are retained and pushed are counted, and looked at with stub_open_contexts and stub_pushed_contexts. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_driver.h"

#define EXPORT __attribute__((visibility("default")))

enum { MOST_DEVICES = 4, INVALID_VALUE = 1, INVALID_CONTEXT = 201, UNKNOWN = 999 };

struct ffai__cuda_context_of_a_device {
    int retained;
};

static struct ffai__cuda_context_of_a_device contexts[MOST_DEVICES];
static int open_contexts, pushed_contexts;

static int number_of(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

static ffai__cuda_result called(const char *function)
{
    const char *fails = getenv("FFAI_STUB_FAIL");
    return fails && strcmp(fails, function) == 0 ? number_of("FFAI_STUB_RESULT", UNKNOWN) : FFAI__CUDA_SUCCESS;
}

#define CALLED(function)                                                                                               \
    do {                                                                                                               \
        const ffai__cuda_result result_ = called(#function);                                                           \
        if (result_ != FFAI__CUDA_SUCCESS)                                                                             \
            return result_;                                                                                            \
    } while (0)

/* The declarations, so that a definition below which differs from what the backend calls does not compile. */
#define DRIVER(member, symbol, parameters) EXPORT ffai__cuda_result symbol parameters;
#include "cuda_driver.def"
#undef DRIVER
EXPORT int stub_open_contexts(void);
EXPORT int stub_pushed_contexts(void);

int stub_open_contexts(void)
{
    return open_contexts;
}

int stub_pushed_contexts(void)
{
    return pushed_contexts;
}

ffai__cuda_result cuInit(unsigned flags)
{
    CALLED(cuInit);
    return flags ? INVALID_VALUE : FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuGetErrorName(ffai__cuda_result result, const char **name)
{
    CALLED(cuGetErrorName);
    *name = result == FFAI__CUDA_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_UNKNOWN";
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuGetErrorString(ffai__cuda_result result, const char **text)
{
    CALLED(cuGetErrorString);
    *text = result == FFAI__CUDA_OUT_OF_MEMORY ? "out of memory" : "unknown error";
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuDeviceGetCount(int *count)
{
    CALLED(cuDeviceGetCount);
    *count = number_of("FFAI_STUB_DEVICES", 2);
    return FFAI__CUDA_SUCCESS;
}

static bool there_is(int number)
{
    return number >= 0 && number < number_of("FFAI_STUB_DEVICES", 2) && number < MOST_DEVICES;
}

ffai__cuda_result cuDeviceGet(ffai__cuda_device *device, int number)
{
    CALLED(cuDeviceGet);
    *device = number;
    return there_is(number) ? FFAI__CUDA_SUCCESS : INVALID_VALUE;
}

ffai__cuda_result cuDeviceGetName(char *name, int size, ffai__cuda_device device)
{
    CALLED(cuDeviceGetName);
    snprintf(name, (size_t)size, "Stub %d", device);
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuDeviceGetAttribute(int *value, int attribute, ffai__cuda_device device)
{
    CALLED(cuDeviceGetAttribute);
    *value = attribute == FFAI__CUDA_COMPUTE_MAJOR ? 9 : attribute == FFAI__CUDA_MULTIPROCESSORS ? 132 : 0;
    return there_is(device) ? FFAI__CUDA_SUCCESS : INVALID_VALUE;
}

ffai__cuda_result cuDeviceTotalMem_v2(size_t *bytes, ffai__cuda_device device)
{
    CALLED(cuDeviceTotalMem_v2);
    *bytes = (size_t)(device + 1) << 30;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuDevicePrimaryCtxRetain(ffai__cuda_context *context, ffai__cuda_device device)
{
    CALLED(cuDevicePrimaryCtxRetain);
    *context = &contexts[device];
    contexts[device].retained++;
    open_contexts++;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuDevicePrimaryCtxRelease_v2(ffai__cuda_device device)
{
    CALLED(cuDevicePrimaryCtxRelease_v2);
    if (contexts[device].retained == 0)
        return INVALID_CONTEXT;
    contexts[device].retained--;
    open_contexts--;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuCtxPushCurrent_v2(ffai__cuda_context context)
{
    CALLED(cuCtxPushCurrent_v2);
    if (!context || context->retained == 0)
        return INVALID_CONTEXT;
    pushed_contexts++;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuCtxPopCurrent_v2(ffai__cuda_context *context)
{
    CALLED(cuCtxPopCurrent_v2);
    if (pushed_contexts == 0)
        return INVALID_CONTEXT;
    *context = NULL;
    pushed_contexts--;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuMemGetInfo_v2(size_t *available, size_t *total)
{
    CALLED(cuMemGetInfo_v2);
    if (pushed_contexts == 0)
        return INVALID_CONTEXT;
    *available = (size_t)3 << 28;
    *total = (size_t)1 << 30;
    return FFAI__CUDA_SUCCESS;
}
