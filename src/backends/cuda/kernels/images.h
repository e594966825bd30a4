/* The kernels as the devices execute them. Each .cu file that nvcc compiled is one image, with machine code for every
 * architecture that the build was made for; the driver takes its device's out of it. */
#ifndef FFAI_CUDA_IMAGES_H
#define FFAI_CUDA_IMAGES_H

#include <stddef.h>

typedef struct ffai__cuda_image {
    const char *name;          /* of the file: "norm" of norm.cu */
    const unsigned char *data; /* what the driver's module_load takes, on a 64-byte boundary */
    const unsigned char *end;
} ffai__cuda_image;

extern const ffai__cuda_image ffai__cuda_images[]; /* [ffai__cuda_num_images] */
extern const size_t ffai__cuda_num_images;         /* 0: built without nvcc */

/* The compute capabilities that they were compiled for, "75 80 90a 120-virtual"; "" for none. Code runs on devices of
 * its own major number, minor numbers from its own up; an a's on its own alone; virtual: on that and all newer ones. */
extern const char ffai__cuda_architectures[];

#endif
