#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

struct ffai__cuda_context_of_a_device {
    int retained;
};

enum { MOST_PUSHED = 16 };

static struct ffai__cuda_context_of_a_device contexts[MOST_DEVICES];
static int open_contexts, pushed_contexts;
static ffai__cuda_result device_fault;

/* Contexts are pushed thread by thread. */
static _Thread_local int pushed[MOST_PUSHED];
static _Thread_local int num_pushed;

int stub_open_contexts(void)
{
    LOCKED;
    return open_contexts;
}

int stub_pushed_contexts(void)
{
    LOCKED;
    return pushed_contexts;
}

int stub_current_device(void)
{
    return num_pushed ? pushed[num_pushed - 1] : -1;
}

ffai__cuda_result stub_device_works(void)
{
    return stub_current_device() < 0 ? INVALID_CONTEXT : device_fault;
}

ffai__cuda_result stub_device_fault(void)
{
    return device_fault;
}

void stub_set_fault(ffai__cuda_result fault)
{
    device_fault = fault;
}

static int num_devices(void)
{
    return (int)stub_variable("FFAI_STUB_DEVICES", 2);
}

static bool there_is(int number)
{
    return number >= 0 && number < num_devices() && number < MOST_DEVICES;
}

size_t stub_total_memory(int device)
{
    return stub_variable("FFAI_STUB_MEMORY", (uint64_t)(device + 1) << 30);
}

size_t stub_usable_memory(int device)
{
    (void)device;
    return stub_variable("FFAI_STUB_MEMORY", UINT64_C(3) << 28); /* none: other programs have the rest */
}

ffai__cuda_result cuInit(unsigned flags)
{
    CALLED(cuInit);
    return flags ? INVALID_VALUE : FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuDeviceGetCount(int *count)
{
    CALLED(cuDeviceGetCount);
    *count = num_devices();
    return FFAI__CUDA_SUCCESS;
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
    const int compute = (int)stub_variable("FFAI_STUB_COMPUTE", 90);
    const struct {
        int attribute;
        int value;
    } known[] = {
        {FFAI__CUDA_COMPUTE_MAJOR, compute / 10},
        {FFAI__CUDA_COMPUTE_MINOR, compute % 10},
        {FFAI__CUDA_MULTIPROCESSORS, 132},
        {FFAI__CUDA_SHARED_BYTES, 232448},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].attribute == attribute) {
            *value = known[i].value;
            return there_is(device) ? FFAI__CUDA_SUCCESS : INVALID_VALUE;
        }
    }
    return INVALID_VALUE;
}

ffai__cuda_result cuDeviceTotalMem_v2(size_t *bytes, ffai__cuda_device device)
{
    CALLED(cuDeviceTotalMem_v2);
    *bytes = stub_total_memory(device);
    return there_is(device) ? FFAI__CUDA_SUCCESS : INVALID_VALUE;
}

ffai__cuda_result cuDevicePrimaryCtxRetain(ffai__cuda_context *context, ffai__cuda_device device)
{
    CALLED(cuDevicePrimaryCtxRetain);
    if (!there_is(device))
        return INVALID_VALUE;
    *context = &contexts[device];
    contexts[device].retained++;
    open_contexts++;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuDevicePrimaryCtxRelease_v2(ffai__cuda_device device)
{
    CALLED(cuDevicePrimaryCtxRelease_v2);
    if (!there_is(device) || contexts[device].retained == 0)
        return INVALID_CONTEXT;
    contexts[device].retained--;
    open_contexts--;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuCtxPushCurrent_v2(ffai__cuda_context context)
{
    CALLED(cuCtxPushCurrent_v2);
    if (!context || context->retained == 0 || num_pushed == MOST_PUSHED)
        return INVALID_CONTEXT;
    pushed[num_pushed++] = (int)(context - contexts);
    pushed_contexts++;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuCtxPopCurrent_v2(ffai__cuda_context *context)
{
    CALLED(cuCtxPopCurrent_v2);
    if (num_pushed == 0)
        return INVALID_CONTEXT;
    num_pushed--;
    pushed_contexts--;
    if (context)
        *context = &contexts[pushed[num_pushed]];
    return FFAI__CUDA_SUCCESS;
}
