/* devices: over a driver that plays some. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"

/* The variable goes back to what it was when the test ends. */
static char *use_stub(void)
{
    char *before = getenv("LD_LIBRARY_PATH") ? strdup(getenv("LD_LIBRARY_PATH")) : NULL;
    setenv("LD_LIBRARY_PATH", FFAI_CUDA_STUB, 1);
    return before;
}

static void leave_stub(char *before)
{
    if (before)
        setenv("LD_LIBRARY_PATH", before, 1);
    else
        unsetenv("LD_LIBRARY_PATH");
    unsetenv("FFAI_STUB_DEVICES");
    unsetenv("FFAI_STUB_FAIL");
    unsetenv("FFAI_STUB_RESULT");
    free(before);
}

static void check_text(const char *expected)
{
    outcome o;
    RUN(o, NULL, "devices");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.out && strcmp(o.out, expected) == 0);
    outcome_release(&o);
}

static void devices_have_a_line_each(void)
{
    char *before = use_stub();
    check_text("cuda:0  Stub 0, compute 9.0, 132 multiprocessors, 1.0 GiB, 0.8 GiB free\n"
               "cuda:1  Stub 1, compute 9.0, 132 multiprocessors, 2.0 GiB, 0.8 GiB free\n");
    leave_stub(before);
}

static void the_object_has_them_too(void)
{
    outcome o;
    char *before = use_stub();
    RUN(o, NULL, "devices", "--json");
    CHECK_OUTCOME(o, 0, NULL);
    json_t *object = json_of_text(o.out);
    const json_t *second = json_array_get(json_object_get(object, "devices"), 1);
    CHECK(json_array_size(json_object_get(object, "devices")) == 2 && !json_object_get(object, "none"));
    CHECK(json_integer_value(json_object_get(second, "memory_bytes")) == (json_int_t)2 << 30);
    CHECK(json_integer_value(json_object_get(second, "number")) == 1);
    json_decref(object);
    outcome_release(&o);
    leave_stub(before);
}

static void no_device_is_no_error(void)
{
    char *before = use_stub();
    setenv("FFAI_STUB_DEVICES", "0", 1);
    check_text("none beside the processor\n");
    setenv("FFAI_STUB_FAIL", "cuInit", 1);
    setenv("FFAI_STUB_RESULT", "100", 1);
    check_text("none beside the processor: cuda: NVIDIA's driver finds no device\n");
    leave_stub(before);
}

static void a_driver_that_fails_is_one(void)
{
    outcome o;
    char *before = use_stub();
    setenv("FFAI_STUB_FAIL", "cuInit", 1);
    RUN(o, NULL, "devices");
    CHECK_OUTCOME(o, 1, "cuda: starting the driver: unknown error (999, CUDA_ERROR_UNKNOWN)");
    outcome_release(&o);
    leave_stub(before);
}

static void without_a_driver_it_says_so(void)
{
    outcome o;
    RUN(o, NULL, "devices");
    if (o.out && strstr(o.out, "cuda:0"))
        skip("this machine has a driver");
    else
        CHECK(o.status == 0 && o.out && strstr(o.out, "none beside the processor: cuda: no NVIDIA driver"));
    outcome_release(&o);
}

static const test tests[] = {
    TEST(devices_have_a_line_each),   TEST(the_object_has_them_too),     TEST(no_device_is_no_error),
    TEST(a_driver_that_fails_is_one), TEST(without_a_driver_it_says_so),
};
extern const suite suite_devices;
const suite suite_devices = SUITE(tests);
