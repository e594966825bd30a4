/* The growable buffer, the string map and allocation with checked sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "alloc.h"
#include "buffer.h"
#include "string_map.h"

static void appended_bytes_come_out_in_order_and_ended(void **state)
{
    (void)state;
    ffai__buffer buffer = FFAI__BUFFER_INIT;
    for (int i = 0; i < 1000; i++)
        assert_true(ffai__buffer_format(&buffer, "%d,", i));
    assert_true(ffai__buffer_append(&buffer, "\0z", 2));
    size_t size = 0;
    char *bytes = ffai__buffer_take(&buffer, &size);
    assert_int_equal(size, 3890 + 2);
    assert_memory_equal(bytes, "0,1,2,", 6);
    assert_int_equal(bytes[size - 2], 0);
    assert_int_equal(bytes[size], 0);
    ffai__free(bytes);
    assert_null(buffer.data);
}

static void an_empty_buffer_gives_an_empty_string(void **state)
{
    (void)state;
    ffai__buffer buffer = FFAI__BUFFER_INIT;
    size_t size = 1;
    char *bytes = ffai__buffer_take(&buffer, &size);
    assert_string_equal(bytes, "");
    assert_int_equal(size, 0);
    ffai__free(bytes);
}

static void a_growth_that_cannot_be_stays_failed(void **state)
{
    (void)state;
    ffai__buffer buffer = FFAI__BUFFER_INIT;
    assert_true(ffai__buffer_text(&buffer, "abc"));
    assert_false(ffai__buffer_reserve(&buffer, SIZE_MAX / 2));
    assert_false(ffai__buffer_text(&buffer, "d"));
    assert_null(ffai__buffer_take(&buffer, NULL));
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    const volatile size_t half = SIZE_MAX / 2 + 2; /* volatile: the compiler would refuse to compile it */
    assert_null(ffai__array(half, 2));
    assert_null(ffai__realloc(NULL, half, 2));
    assert_null(ffai__malloc_aligned((size_t)(SIZE_MAX + (half - half))));
    void *empty = ffai__malloc(0);
    assert_non_null(empty);
    ffai__free(empty);
}

static void aligned_memory_is_aligned(void **state)
{
    (void)state;
    for (size_t size = 0; size < 200; size += 33) {
        void *memory = ffai__malloc_aligned(size);
        assert_int_equal((uintptr_t)memory % 64, 0);
        ffai__free_aligned(memory);
    }
}

static void a_map_finds_what_was_added_and_nothing_else(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static char keys[COUNT][16];
    ffai__string_map *map = ffai__string_map_new(0);
    for (uint64_t i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "key %d", (int)i);
        assert_int_equal(ffai__string_map_add(map, keys[i], strlen(keys[i]), i), FFAI__MAP_NEW);
    }
    assert_int_equal(ffai__string_map_size(map), COUNT);
    uint64_t value = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_true(ffai__string_map_get(map, keys[i], strlen(keys[i]), &value));
        assert_int_equal(value, i);
    }
    assert_false(ffai__string_map_get(map, "key", 3, &value));
    assert_false(ffai__string_map_get(map, "", 0, &value));
    ffai__string_map_free(map);
}

static void a_key_that_is_there_keeps_its_value(void **state)
{
    (void)state;
    ffai__string_map *map = ffai__string_map_new(4);
    uint64_t value = 0;
    assert_int_equal(ffai__string_map_add(map, "a\0b", 3, 1), FFAI__MAP_NEW);
    assert_int_equal(ffai__string_map_add(map, "a\0b", 3, 2), FFAI__MAP_EXISTS);
    assert_int_equal(ffai__string_map_add(map, "a\0c", 3, 3), FFAI__MAP_NEW);
    assert_int_equal(ffai__string_map_add(map, "", 0, 4), FFAI__MAP_NEW);
    assert_true(ffai__string_map_get(map, "a\0b", 3, &value));
    assert_int_equal(value, 1);
    ffai__string_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_bytes_come_out_in_order_and_ended),
        cmocka_unit_test(an_empty_buffer_gives_an_empty_string),
        cmocka_unit_test(a_growth_that_cannot_be_stays_failed),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(aligned_memory_is_aligned),
        cmocka_unit_test(a_map_finds_what_was_added_and_nothing_else),
        cmocka_unit_test(a_key_that_is_there_keeps_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
