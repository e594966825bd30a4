#include "cuda_kernels.h"

#include <stdio.h>
#include <string.h>

#include "kernels/images.h"

static const struct {
    const char *file, *name;
} listed[] = {
#define KERNEL(file, name) {#file, #name},
#include "kernels/kernels.def"
#undef KERNEL
};

/* By the driver's numbers: an image without code for the device, and a function that a module lacks. */
enum { NO_BINARY_FOR_DEVICE = 209, NOT_FOUND = 500 };

bool ffai__cuda_takes_shared(ffai__cuda_kernel kernel)
{
    switch (kernel) {
#define KERNEL(file, name)
#define PRODUCT(file, format, subgroups, name)                                                                         \
    case FFAI__CUDA_KERNEL_product_row_##name:                                                                         \
    case FFAI__CUDA_KERNEL_product_row_fine_##name:                                                                    \
    case FFAI__CUDA_KERNEL_product_row_whole_##name:                                                                   \
    case FFAI__CUDA_KERNEL_product_few_##name:                                                                         \
    case FFAI__CUDA_KERNEL_product_few_fine_##name:                                                                    \
    case FFAI__CUDA_KERNEL_product_group_##name:                                                                       \
    case FFAI__CUDA_KERNEL_product_group_fine_##name:                                                                  \
    case FFAI__CUDA_KERNEL_product_many_##name:                                                                        \
    case FFAI__CUDA_KERNEL_product_wgmma_##name:                                                                       \
    case FFAI__CUDA_KERNEL_product_wgmma_fine_##name:
#include "kernels/kernels.def"
#undef KERNEL
    case FFAI__CUDA_KERNEL_attend_any:
    case FFAI__CUDA_KERNEL_attend_f16_128:
    case FFAI__CUDA_KERNEL_attend_bf16_128:
    case FFAI__CUDA_KERNEL_attend_many_f16_64:
    case FFAI__CUDA_KERNEL_attend_many_f16_96:
    case FFAI__CUDA_KERNEL_attend_many_f16_128:
    case FFAI__CUDA_KERNEL_attend_many_bf16_64:
    case FFAI__CUDA_KERNEL_attend_many_bf16_96:
    case FFAI__CUDA_KERNEL_attend_many_bf16_128:
        return true;
    default:
        return false;
    }
}

static ffai_status load_images(ffai__cuda_kernels *kernels, const ffai__cuda_driver *driver, ffai_error *err)
{
    if (ffai__cuda_num_images > FFAI__CUDA_MOST_IMAGES)
        return ffai__fail(err, FFAI_E_INTERNAL, "cuda: %zu images of kernels", ffai__cuda_num_images);
    for (size_t i = 0; i < ffai__cuda_num_images; i++) {
        const ffai__cuda_result result = driver->module_load(&kernels->modules[i], ffai__cuda_images[i].data);
        if (result == NO_BINARY_FOR_DEVICE)
            return ffai__fail(err, FFAI_E_UNSUPPORTED,
                              "cuda: this build has no kernels for a device of this compute capability");
        FFAI__TRY(ffai__cuda_check(driver, result, "loading the kernels", err));
        kernels->num_modules++;
    }
    return FFAI_OK;
}

static ffai_status find_function(ffai__cuda_kernels *kernels, const ffai__cuda_driver *driver, int i, ffai_error *err)
{
    ffai__cuda_result result = NOT_FOUND;
    for (size_t m = 0; m < kernels->num_modules && result == NOT_FOUND; m++) {
        if (ffai__cuda_num_images == 1 || strcmp(ffai__cuda_images[m].name, listed[i].file) == 0)
            result = driver->module_function(&kernels->functions[i], kernels->modules[m], listed[i].name);
    }
    char what[64];
    snprintf(what, sizeof what, "finding the kernel %s", listed[i].name);
    return ffai__cuda_check(driver, result, what, err);
}

/* Every kernel wants as much shared memory as there is, because a multiprocessor must be empty to share itself out in
 * another way, and blocks of the next kernel could not begin beside the last ones of this. */
static ffai_status ask_for_shared(const ffai__cuda_kernels *kernels, const ffai__cuda_driver *driver, int i,
                                  int shared_bytes, ffai_error *err)
{
    ffai__cuda_function function = kernels->functions[i];
    FFAI__TRY(ffai__cuda_check(driver, driver->function_attribute(function, FFAI__CUDA_FUNCTION_SHARED_PERCENT, 100),
                               "asking for shared memory", err));
    if (!ffai__cuda_takes_shared((ffai__cuda_kernel)i))
        return FFAI_OK;
    /* Static shared memory counts too: 1 KiB more than any kernel has of it. */
    return ffai__cuda_check(driver,
                            driver->function_attribute(function, FFAI__CUDA_FUNCTION_SHARED_BYTES,
                                                       shared_bytes - FFAI__CUDA_STATIC_SHARED_BYTES),
                            "asking for shared memory", err);
}

ffai_status ffai__cuda_kernels_load(ffai__cuda_kernels *kernels, const ffai__cuda_driver *driver, int shared_bytes,
                                    ffai_error *err)
{
    FFAI__TRY(load_images(kernels, driver, err));
    for (int i = 0; i < FFAI__CUDA_KERNEL_COUNT; i++) {
        FFAI__TRY(find_function(kernels, driver, i, err));
        FFAI__TRY(ask_for_shared(kernels, driver, i, shared_bytes, err));
    }
    return FFAI_OK;
}

void ffai__cuda_kernels_unload(ffai__cuda_kernels *kernels, const ffai__cuda_driver *driver)
{
    for (size_t i = 0; i < kernels->num_modules; i++)
        driver->module_unload(kernels->modules[i]);
    kernels->num_modules = 0;
}
