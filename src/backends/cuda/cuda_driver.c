#include "cuda_driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static const char library[] = "libcuda.so.1";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static ffai__cuda_driver functions;
static ffai_status loaded;
static ffai_error reason = FFAI_ERROR_INIT;

/* Functions and objects have pointers of one size where there is dlsym, which C itself does not promise. */
static bool find(void *handle, void *function, const char *symbol)
{
    void *address = dlsym(handle, symbol);
    memcpy(function, &address, sizeof address);
    if (!address)
        loaded = ffai__fail(&reason, FFAI_E_NOT_FOUND, "cuda: %s has no %s: a newer NVIDIA driver is needed", library,
                            symbol);
    return address;
}

static void load(void)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        loaded = ffai__fail(&reason, FFAI_E_NOT_FOUND, "cuda: no NVIDIA driver is installed here (%s)", dlerror());
        return;
    }
#define DRIVER(member, symbol, parameters)                                                                             \
    if (!find(handle, &functions.member, #symbol))                                                                     \
        return;
#include "cuda_driver.def"
#undef DRIVER
    const ffai__cuda_result result = functions.init(0);
    loaded = result == FFAI__CUDA_NO_DEVICE
                 ? ffai__fail(&reason, FFAI_E_NOT_FOUND, "cuda: NVIDIA's driver finds no device")
                 : ffai__cuda_check(&functions, result, "starting the driver", &reason);
}

ffai_status ffai__cuda_driver_get(const ffai__cuda_driver **out, ffai_error *err)
{
    pthread_once(&once, load);
    if (loaded != FFAI_OK) {
        if (err)
            *err = reason;
        return loaded;
    }
    *out = &functions;
    return FFAI_OK;
}

ffai_status ffai__cuda_check(const ffai__cuda_driver *driver, ffai__cuda_result result, const char *what,
                             ffai_error *err)
{
    if (result == FFAI__CUDA_SUCCESS)
        return FFAI_OK;
    const char *name = NULL;
    const char *text = NULL;
    if (driver->error_name(result, &name) != FFAI__CUDA_SUCCESS ||
        driver->error_string(result, &text) != FFAI__CUDA_SUCCESS)
        name = text = "unknown to the driver";
    return ffai__fail(err, result == FFAI__CUDA_OUT_OF_MEMORY ? FFAI_E_MEMORY : FFAI_E_BACKEND, "cuda: %s: %s (%d, %s)",
                      what, text, result, name);
}
