/* Any image is taken for a module; its functions are the kernels that the model was built with. */
#include "internal.h"
#include "launch.h"

enum { MOST_FUNCTIONS = 1024 };

struct ffai__cuda_module_of_a_context {
    stub_object object;
    ffai__cuda_function functions[MOST_FUNCTIONS];
    int num_functions;
};

ffai__cuda_result cuModuleLoadData(ffai__cuda_module *module, const void *image)
{
    CALLED_ON_DEVICE(cuModuleLoadData);
    if (!image)
        return INVALID_VALUE;
    *module = stub_open(A_MODULE, sizeof **module);
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuModuleUnload(ffai__cuda_module module)
{
    CALLED(cuModuleUnload);
    if (!stub_is_open(module, A_MODULE))
        return INVALID_HANDLE;
    for (int i = 0; i < module->num_functions; i++)
        stub_close(module->functions[i]);
    stub_close(module);
    return stub_device_fault();
}

ffai__cuda_result cuModuleGetFunction(ffai__cuda_function *function, ffai__cuda_module module, const char *name)
{
    CALLED_ON_DEVICE(cuModuleGetFunction);
    const cuda_model_kernel *kernel = cuda_model_find(name);
    if (!stub_is_open(module, A_MODULE))
        return INVALID_HANDLE;
    if (!kernel || module->num_functions == MOST_FUNCTIONS)
        return NO_SUCH_SYMBOL;
    *function = stub_open(A_FUNCTION, sizeof **function);
    **function = (struct ffai__cuda_function_of_a_module){
        .object = (*function)->object, .kernel = kernel, .most_shared_bytes = SHARED_WITHOUT_ASKING};
    module->functions[module->num_functions++] = *function;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuFuncSetAttribute(ffai__cuda_function function, int attribute, int value)
{
    CALLED_ON_DEVICE(cuFuncSetAttribute);
    if (!stub_is_open(function, A_FUNCTION))
        return INVALID_HANDLE;
    if (attribute == FFAI__CUDA_FUNCTION_SHARED_PERCENT && value >= 0 && value <= 100)
        return FFAI__CUDA_SUCCESS;
    if (attribute != FFAI__CUDA_FUNCTION_SHARED_BYTES || value < 0 || value > CUDA_MODEL_MOST_SHARED)
        return INVALID_VALUE;
    function->most_shared_bytes = (unsigned)value;
    return FFAI__CUDA_SUCCESS;
}
