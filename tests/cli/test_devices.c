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
    unsetenv("FFAI_STUB_COMPUTE");
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

/* Of a kind that no build has kernels for. */
static void devices_have_a_line_each(void)
{
    char *before = use_stub();
    setenv("FFAI_STUB_COMPUTE", "35", 1);
    check_text("cuda:0  Stub 0, compute 3.5, 132 multiprocessors, 1.0 GiB, 0.8 GiB free\n"
               "cuda:1  Stub 1, compute 3.5, 132 multiprocessors, 2.0 GiB, 0.8 GiB free\n"
               "auto is cpu (cuda: this build has no kernels for device 0, of compute 3.5)\n");
    leave_stub(before);
}

static void the_object_has_them_too(void)
{
    outcome o;
    char *before = use_stub();
    setenv("FFAI_STUB_COMPUTE", "35", 1);
    RUN(o, NULL, "devices", "--json");
    CHECK_OUTCOME(o, 0, NULL);
    json_t *object = json_of_text(o.out);
    const json_t *second = json_array_get(json_object_get(object, "devices"), 1);
    CHECK(json_array_size(json_object_get(object, "devices")) == 2 && !json_object_get(object, "none"));
    CHECK(json_integer_value(json_object_get(second, "memory_bytes")) == (json_int_t)2 << 30);
    CHECK(json_integer_value(json_object_get(second, "number")) == 1);
    CHECK(json_is_text(json_object_get(object, "auto"), "cpu") && json_object_get(object, "auto_reason"));
    json_decref(object);
    outcome_release(&o);
    leave_stub(before);
}

static void no_device_is_no_error(void)
{
    char *before = use_stub();
    setenv("FFAI_STUB_DEVICES", "0", 1);
    check_text("none beside the processor\nauto is cpu (cuda: NVIDIA's driver finds no device)\n");
    setenv("FFAI_STUB_FAIL", "cuInit", 1);
    setenv("FFAI_STUB_RESULT", "100", 1);
    check_text("none beside the processor: cuda: NVIDIA's driver finds no device\n"
               "auto is cpu (cuda: NVIDIA's driver finds no device)\n");
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

/* A driver that is installed finds nothing either: ctest hides devices. */
static void without_a_driver_it_says_so(void)
{
    outcome o;
    RUN(o, NULL, "devices");
    if (o.out && strstr(o.out, "cuda:0"))
        skip("this machine has a device, and it is not hidden");
    else
        CHECK(o.status == 0 && o.out &&
              (strstr(o.out, "none beside the processor: cuda: no NVIDIA driver") ||
               strstr(o.out, "none beside the processor: cuda: NVIDIA's driver finds no device")));
    outcome_release(&o);
}

static void check_error(const char *arguments[2], const char *message)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "-p", "a", "-n", "1", "--device", arguments[0], "--backend", arguments[1]);
    CHECK_OUTCOME(o, 1, message);
    outcome_release(&o);
}

static void a_device_that_is_not_there_is_an_error_with_their_number(void)
{
    char *before = use_stub();
    check_error((const char *[]){"2", "cuda"}, "cuda: there is no device 2: there are 2, counted from 0");
    check_error((const char *[]){"7", "auto"}, "cuda: there is no device 7: there are 2, counted from 0");
    check_error((const char *[]){"1", "cpu"}, "device 1: the backend cpu has one device, 0 (asked for)");
    check_error((const char *[]){"1", "ref"}, "device 1: the backend ref has one device, 0 (asked for)");
    setenv("FFAI_STUB_DEVICES", "1", 1);
    check_error((const char *[]){"1", "cuda"}, "cuda: there is no device 1: there is 1, counted from 0");
    setenv("FFAI_STUB_DEVICES", "0", 1);
    check_error((const char *[]){"0", "cuda"}, "cuda: NVIDIA's driver finds no device");
    check_error((const char *[]){"1", "auto"},
                "device 1: the backend cpu has one device, 0 (auto: cuda: NVIDIA's driver finds no device)");
    leave_stub(before);
}

/* cuda is an error and auto is the processor, with the driver's words. */
static void a_driver_that_fails_leaves_the_processor(void)
{
    outcome o;
    char *before = use_stub();
    setenv("FFAI_STUB_FAIL", "cuInit", 1);
    check_error((const char *[]){"0", "cuda"}, "cuda: starting the driver: unknown error (999, CUDA_ERROR_UNKNOWN)");
    RUN(o, NULL, "-m", MODEL, "-p", "a", "-n", "1", "--stats", "--json");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.err && strstr(o.err, " auto: cuda: starting the driver: unknown error"));
    json_t *object = json_of_text(o.out);
    CHECK(json_is_text(json_at(object, "backend"), "cpu"));
    json_decref(object);
    outcome_release(&o);
    RUN(o, NULL, "inspect", MODEL);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strstr(o.out, "runs with cpu (cuda: starting the driver: unknown error") &&
          strstr(o.out, "cuda        cannot be used: starting the driver: unknown error"));
    outcome_release(&o);
    RUN(o, NULL, "diff", "-m", MODEL, "--backend", "cpu", "--against", "cuda");
    CHECK_OUTCOME(o, 1, "cuda: starting the driver: unknown error");
    CHECK(o.out_size == 0); /* before anything is computed */
    outcome_release(&o);
    leave_stub(before);
}

static const test tests[] = {
    TEST(devices_have_a_line_each),
    TEST(the_object_has_them_too),
    TEST(no_device_is_no_error),
    TEST(a_driver_that_fails_is_one),
    TEST(without_a_driver_it_says_so),
    TEST(a_device_that_is_not_there_is_an_error_with_their_number),
    TEST(a_driver_that_fails_leaves_the_processor),
};
extern const suite suite_devices;
const suite suite_devices = SUITE(tests);
