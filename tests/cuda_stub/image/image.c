/* An image for the stub driver, which takes any: a test that is linked with it has kernels whether or not this build
 * was made with nvcc. It stands for kernels/images.c. */
#include "kernels/images.h"

static const unsigned char image[64] = "an image";

const ffai__cuda_image ffai__cuda_images[] = {{"stub", image, image + sizeof image}, {0}};
const size_t ffai__cuda_num_images = 1;
const char ffai__cuda_architectures[] = "75 80 90a 120-virtual";
