// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdbool.h>

#include "repeated_map.h"

enum { CONTENT = 64 << 10 };

static void fill_indices(void *content, size_t bytes, const void *context)
{
    const uint32_t first = *(const uint32_t *)context;
    for (size_t i = 0; i < bytes / sizeof(uint32_t); i++)
        ((uint32_t *)content)[i] = first + (uint32_t)i;
}

static void the_content_lies_there_again_and_again(void **state)
{
    (void)state;
    const uint32_t first = 7;
    ffai__repeated_map map;
    assert_int_equal(ffai__repeated_map_make(&map, 3 * CONTENT + 1, CONTENT, fill_indices, &first, NULL), FFAI_OK);
    assert_int_equal(map.bytes, 4 * CONTENT);
    const uint32_t *words = (const uint32_t *)(const void *)map.data;
    for (size_t i = 0; i < map.bytes / sizeof *words; i++)
        assert_int_equal(words[i], first + i % (CONTENT / sizeof *words));
    ffai__repeated_map_release(&map);
    assert_null(map.data);
    ffai__repeated_map_release(&map);
}

/* Far more than there is memory, because the content is there once. */
static void it_may_be_longer_than_memory(void **state)
{
    (void)state;
    const uint32_t first = 0;
    const uint64_t bytes = (uint64_t)1 << 36;
    ffai__repeated_map map;
    assert_int_equal(ffai__repeated_map_make(&map, bytes, 64 << 20, fill_indices, &first, NULL), FFAI_OK);
    assert_int_equal(*(const uint32_t *)(const void *)(map.data + bytes - 4), (64 << 20) / 4 - 1);
    ffai__repeated_map_release(&map);
}

static void a_length_beyond_the_addresses_is_an_error(void **state)
{
    (void)state;
    const uint32_t first = 0;
    ffai_error err = FFAI_ERROR_INIT;
    ffai__repeated_map map;
    assert_int_equal(ffai__repeated_map_make(&map, UINT64_MAX, CONTENT, fill_indices, &first, &err), FFAI_E_MEMORY);
    assert_null(map.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_content_lies_there_again_and_again),
        cmocka_unit_test(it_may_be_longer_than_memory),
        cmocka_unit_test(a_length_beyond_the_addresses_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
