#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/images.h"

/* What a fat binary begins with: everything of it follows, `bytes` long. */
typedef struct fat_header {
    uint32_t magic;
    uint16_t version;
    uint16_t header_bytes;
    uint64_t bytes;
} fat_header;

static void no_architectures_no_images(void **state)
{
    (void)state;
    if (!*ffai__cuda_architectures)
        assert_int_equal(ffai__cuda_num_images, 0);
    assert_null(ffai__cuda_images[ffai__cuda_num_images].name);
}

static void an_image_is_one_whole_fat_binary(void **state)
{
    (void)state;
    for (size_t i = 0; i < ffai__cuda_num_images; i++) {
        const ffai__cuda_image *image = &ffai__cuda_images[i];
        fat_header header;
        assert_int_equal((uintptr_t)image->data % 64, 0);
        assert_true((size_t)(image->end - image->data) > sizeof header);
        memcpy(&header, image->data, sizeof header);
        assert_int_equal(header.magic, 0xBA55ED50);
        assert_int_equal(header.header_bytes, sizeof header);
        assert_int_equal(image->end - image->data, sizeof header + header.bytes);
    }
}

static bool is_image(const char *file)
{
    for (size_t i = 0; i < ffai__cuda_num_images; i++) {
        char expected[300];
        (void)snprintf(expected, sizeof expected, "%s.cu", ffai__cuda_images[i].name);
        if (strcmp(file, expected) == 0)
            return true;
    }
    return false;
}

static void every_file_of_kernels_has_an_image(void **state)
{
    (void)state;
    if (!*ffai__cuda_architectures)
        skip();
    DIR *folder = opendir("src/backends/cuda/kernels"); /* tests run in the tree, which may be another than was built */
    assert_non_null(folder);
    size_t count = 0;
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot && strcmp(dot, ".cu") == 0) {
            assert_true(is_image(entry->d_name));
            count++;
        }
    }
    closedir(folder);
    assert_int_equal(count, ffai__cuda_num_images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_architectures_no_images),
        cmocka_unit_test(an_image_is_one_whole_fat_binary),
        cmocka_unit_test(every_file_of_kernels_has_an_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
