#include "images.h"

/* The list of images comes from the build (cmake/cuda.cmake): IMAGE(name, "path"). The assembler reads the files. */
#define IMAGE(name, path)                                                                                              \
    extern const unsigned char ffai__cuda_image_##name[] __attribute__((visibility("hidden")));                        \
    extern const unsigned char ffai__cuda_image_end_##name[] __attribute__((visibility("hidden")));                    \
    __asm__(".pushsection .rodata\n"                                                                                   \
            ".balign 64\n"                                                                                             \
            "ffai__cuda_image_" #name ":\n"                                                                            \
            ".incbin \"" path "\"\n"                                                                                   \
            "ffai__cuda_image_end_" #name ":\n"                                                                        \
            ".popsection\n");
#include FFAI_CUDA_IMAGES
#undef IMAGE

const ffai__cuda_image ffai__cuda_images[] = {
#define IMAGE(name, path) {#name, ffai__cuda_image_##name, ffai__cuda_image_end_##name},
#include FFAI_CUDA_IMAGES
#undef IMAGE
    {NULL, NULL, NULL}, /* an array has at least one element */
};

const size_t ffai__cuda_num_images = sizeof ffai__cuda_images / sizeof *ffai__cuda_images - 1;

const char ffai__cuda_architectures[] = FFAI_CUDA_ARCHITECTURES;
