#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_devices.h"
#include "cuda_driver.h"

/* What the stub counts; it is the libcuda.so.1 that is loaded already. */
static int stub_count(const char *name)
{
    void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(handle);
    int (*count)(void) = NULL;
    void *address = dlsym(handle, name);
    assert_non_null(address);
    memcpy(&count, &address, sizeof address);
    const int value = count();
    dlclose(handle);
    return value;
}

static int forget(void **state)
{
    (void)state;
    unsetenv("FFAI_STUB_DEVICES");
    unsetenv("FFAI_STUB_FAIL");
    unsetenv("FFAI_STUB_RESULT");
    unsetenv("FFAI_STUB_COMPUTE");
    return 0;
}

static void devices_are_listed_with_their_memory(void **state)
{
    (void)state;
    ffai_device devices[2];
    size_t count = 0;
    assert_int_equal(ffai__cuda_devices(devices, 2, &count, NULL), FFAI_OK);
    assert_int_equal(count, 2);
    assert_string_equal(devices[1].backend, "cuda");
    assert_string_equal(devices[1].name, "Stub 1");
    assert_int_equal(devices[1].number, 1);
    assert_int_equal(devices[1].compute_major, 9);
    assert_int_equal(devices[1].compute_minor, 0);
    assert_int_equal(devices[1].multiprocessors, 132);
    assert_int_equal(devices[1].memory_bytes, INT64_C(2) << 30);
    assert_int_equal(devices[1].available_bytes, INT64_C(3) << 28);
    assert_int_equal(stub_count("stub_open_contexts"), 0);
    assert_int_equal(stub_count("stub_pushed_contexts"), 0);
}

static void more_devices_than_room_are_counted(void **state)
{
    (void)state;
    ffai_device device = {.number = -1};
    size_t count = 0;
    setenv("FFAI_STUB_DEVICES", "4", 1);
    assert_int_equal(ffai__cuda_devices(&device, 1, &count, NULL), FFAI_OK);
    assert_int_equal(count, 4);
    assert_int_equal(device.number, 0);
    assert_int_equal(ffai__cuda_devices(NULL, 0, &count, NULL), FFAI_OK);
    setenv("FFAI_STUB_DEVICES", "0", 1);
    assert_int_equal(ffai__cuda_devices(&device, 1, &count, NULL), FFAI_OK);
    assert_int_equal(count, 0);
}

/* Every function that is called, failing: an error with its result, and no context left open. */
static void whatever_fails_is_told_and_nothing_stays_open(void **state)
{
    (void)state;
    static const char *const functions[] = {"cuDeviceGetCount",     "cuDeviceGet",         "cuDeviceGetName",
                                            "cuDeviceGetAttribute", "cuDeviceTotalMem_v2", "cuDevicePrimaryCtxRetain",
                                            "cuCtxPushCurrent_v2",  "cuMemGetInfo_v2"};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        ffai_error err = FFAI_ERROR_INIT;
        ffai_device devices[2];
        size_t count = 0;
        setenv("FFAI_STUB_FAIL", functions[i], 1);
        setenv("FFAI_STUB_RESULT", i % 2 ? "2" : "999", 1);
        assert_int_equal(ffai__cuda_devices(devices, 2, &count, &err), i % 2 ? FFAI_E_MEMORY : FFAI_E_BACKEND);
        assert_non_null(strstr(err.message, i % 2 ? "out of memory (2," : "unknown error (999,"));
        assert_int_equal(stub_count("stub_open_contexts"), 0);
        assert_int_equal(stub_count("stub_pushed_contexts"), 0);
    }
}

static void a_result_without_a_name_has_its_number(void **state)
{
    (void)state;
    const ffai__cuda_driver *driver = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__cuda_driver_get(&driver, NULL), FFAI_OK);
    setenv("FFAI_STUB_FAIL", "cuGetErrorString", 1);
    assert_int_equal(ffai__cuda_check(driver, 77, "trying", &err), FFAI_E_BACKEND);
    assert_string_equal(err.message, "cuda: trying: unknown to the driver (77, unknown to the driver)");
}

/* Before anything is asked of a device that is not there. */
static void a_device_is_usable_or_it_is_said_why_not(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__cuda_usable(2, &err), FFAI_E_ARGUMENT);
    assert_string_equal(err.message, "cuda: there is no device 2: there are 2, counted from 0");
    assert_int_equal(ffai__cuda_usable(-1, &err), FFAI_E_ARGUMENT);
    setenv("FFAI_STUB_DEVICES", "1", 1);
    assert_int_equal(ffai__cuda_usable(1, &err), FFAI_E_ARGUMENT);
    assert_string_equal(err.message, "cuda: there is no device 1: there is 1, counted from 0");
    setenv("FFAI_STUB_DEVICES", "0", 1);
    assert_int_equal(ffai__cuda_usable(0, &err), FFAI_E_NOT_FOUND);
    unsetenv("FFAI_STUB_DEVICES");
    setenv("FFAI_STUB_FAIL", "cuDeviceGetAttribute", 1);
    assert_int_equal(ffai__cuda_usable(0, &err), FFAI_E_BACKEND);
    unsetenv("FFAI_STUB_FAIL");
    setenv("FFAI_STUB_COMPUTE", "35", 1);
    assert_int_equal(ffai__cuda_usable(0, &err), FFAI_E_UNSUPPORTED);
    assert_string_equal(err.message, "cuda: this build has no kernels for device 0, of compute 3.5");
}

static void code_runs_on_what_it_was_made_for(void **state)
{
    (void)state;
    static const struct {
        const char *architectures;
        int major, minor;
        bool covered;
    } cases[] = {
        {"", 9, 0, false},
        {"75 80", 7, 5, true},
        {"75 80", 7, 0, false},
        {"75 80", 8, 6, true},
        {"75 80", 9, 0, false},
        {"80 90a", 9, 0, true},
        {"90a", 9, 1, false},
        {"90a 100", 10, 3, true},
        {"90a 100", 12, 0, false},
        {"120-virtual", 12, 1, true},
        {"120-virtual", 13, 0, true},
        {"120-virtual", 10, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(ffai__cuda_covers(cases[i].architectures, cases[i].major, cases[i].minor), cases[i].covered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(devices_are_listed_with_their_memory, forget),
        cmocka_unit_test_teardown(more_devices_than_room_are_counted, forget),
        cmocka_unit_test_teardown(whatever_fails_is_told_and_nothing_stays_open, forget),
        cmocka_unit_test_teardown(a_result_without_a_name_has_its_number, forget),
        cmocka_unit_test_teardown(a_device_is_usable_or_it_is_said_why_not, forget),
        cmocka_unit_test(code_runs_on_what_it_was_made_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
