/* Mapped files, also when they are cut short under us. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "file_map.h"

static char path[] = P_tmpdir "/ffai-test-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    const int descriptor = mkstemp(path);
    char page[4096];
    memset(page, 7, sizeof page);
    for (int i = 0; i < 4; i++) {
        if (write(descriptor, page, sizeof page) != sizeof page)
            return -1;
    }
    return close(descriptor);
}

static int remove_file(void **state)
{
    (void)state;
    unlink(path);
    strcpy(path, P_tmpdir "/ffai-test-XXXXXX");
    return 0;
}

static void a_mapping_holds_the_file(void **state)
{
    (void)state;
    ffai__file_map *map = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__file_map_open(&map, path, &err), FFAI_OK);
    assert_int_equal(ffai__file_map_size(map), 16384);
    assert_int_equal(ffai__file_map_data(map)[16383], 7);
    assert_string_equal(ffai__file_map_path(map), path);
    assert_int_equal(ffai__file_map_check(map, &err), FFAI_OK);
    ffai__file_map_close(map);
}

static void a_file_truncated_after_mapping_is_an_error_and_not_a_signal(void **state)
{
    (void)state;
    ffai__file_map *map = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__file_map_open(&map, path, &err), FFAI_OK);
    assert_int_equal(truncate(path, 4096), 0);
    const volatile uint8_t *data = ffai__file_map_data(map);
    unsigned sum = 0;
    for (size_t i = 0; i < 16384; i++)
        sum += data[i];
    assert_int_equal(sum, 4096 * 7);
    assert_int_equal(ffai__file_map_check(map, &err), FFAI_E_IO);
    assert_non_null(strstr(err.message, path));
    ffai__file_map_close(map);
}

static void a_new_mapping_of_a_lost_file_is_whole_again(void **state)
{
    (void)state;
    ffai__file_map *map = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ffai__file_map_open(&map, path, &err), FFAI_OK);
        assert_int_equal(ffai__file_map_check(map, &err), FFAI_OK);
        ffai__file_map_close(map);
    }
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    ffai__file_map *map = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__file_map_open(&map, "/nowhere/at/all", &err), FFAI_E_NOT_FOUND);
    assert_int_equal(ffai__file_map_open(&map, "/", &err), FFAI_E_IO);
    assert_int_equal(ffai__file_map_open(&map, "/dev/null", &err), FFAI_E_IO);
    assert_null(map);
}

static void an_empty_file_maps_to_nothing(void **state)
{
    (void)state;
    ffai__file_map *map = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(ffai__file_map_open(&map, path, &err), FFAI_OK);
    assert_int_equal(ffai__file_map_size(map), 0);
    assert_int_equal(ffai__file_map_check(map, &err), FFAI_OK);
    ffai__file_map_close(map);
}

static void a_file_is_read_up_to_its_limit(void **state)
{
    (void)state;
    char *data = NULL;
    size_t size = 0;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__file_read(&data, &size, path, 16384, &err), FFAI_OK);
    assert_int_equal(size, 16384);
    assert_int_equal(data[size], 0);
    ffai__free(data);
    assert_int_equal(ffai__file_read(&data, &size, path, 16383, &err), FFAI_E_LIMIT);
}

static void paths_have_kinds_and_are_joined_with_one_slash(void **state)
{
    (void)state;
    assert_int_equal(ffai__path_kind_of(path), FFAI__PATH_FILE);
    assert_int_equal(ffai__path_kind_of("/"), FFAI__PATH_FOLDER);
    assert_int_equal(ffai__path_kind_of("/dev/null"), FFAI__PATH_OTHER);
    assert_int_equal(ffai__path_kind_of("/nowhere"), FFAI__PATH_MISSING);
    char *one = ffai__path_join("a", "b");
    char *two = ffai__path_join("a/", "b");
    assert_string_equal(one, "a/b");
    assert_string_equal(two, "a/b");
    ffai__free(one);
    ffai__free(two);
}

/* In a child without the sanitizers' own handlers in the way: the default action must still end it. */
static void a_bus_error_elsewhere_is_not_swallowed(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        ffai__file_map *map = NULL;
        signal(SIGBUS, SIG_DFL);
        if (ffai__file_map_open(&map, path, NULL) != FFAI_OK)
            _exit(1);
        raise(SIGBUS);
        raise(SIGBUS); /* the first resets the handler to the default */
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, make_file, remove_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: cmocka puts its own handlers in before every test, ours goes in with the first mapping */
        WITH_FILE(a_file_truncated_after_mapping_is_an_error_and_not_a_signal),
        WITH_FILE(a_bus_error_elsewhere_is_not_swallowed),
        WITH_FILE(a_mapping_holds_the_file),
        WITH_FILE(a_new_mapping_of_a_lost_file_is_whole_again),
        WITH_FILE(what_is_no_file_is_refused),
        WITH_FILE(an_empty_file_maps_to_nothing),
        WITH_FILE(a_file_is_read_up_to_its_limit),
        WITH_FILE(paths_have_kinds_and_are_joined_with_one_slash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
