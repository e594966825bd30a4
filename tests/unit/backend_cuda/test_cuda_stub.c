/* The stub driver (tests/cuda_stub) does what the CUDA backend's tests rest on: it refuses what a driver refuses. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>
#include <string.h>

#include "cuda_driver.h"
#include "launch.h"
#include "model_args.h"
#include "stub.h"

enum {
    INVALID_VALUE = 1,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NO_SUCH_SYMBOL = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    NOT_WHILE_CAPTURING = 900,
};

static const ffai__cuda_driver *driver;

#define WORKS(call)         assert_int_equal(driver->call, FFAI__CUDA_SUCCESS)
#define GIVES(result, call) assert_int_equal(driver->call, result)

/* Every case has a context, and leaves nothing open. */
static int enter(void **state)
{
    (void)state;
    ffai__cuda_device device = 0;
    ffai__cuda_context context = NULL;
    if (ffai__cuda_driver_get(&driver, NULL) != FFAI_OK)
        return -1;
    stub_reset();
    return driver->device_get(&device, 0) || driver->context_retain(&context, device) || driver->context_push(context);
}

static int leave(void **state)
{
    (void)state;
    ffai__cuda_context context = NULL;
    unsetenv("FFAI_STUB_MEMORY");
    unsetenv("FFAI_STUB_FAIL_AT");
    unsetenv("FFAI_STUB_FAIL_WAIT");
    stub_reset();
    return driver->context_pop(&context) || driver->context_release(0) || stub_open_objects() || stub_device_bytes() ||
           stub_pinned_bytes() || stub_open_contexts() || stub_pushed_contexts();
}

static void memory_has_bounds(void **state)
{
    (void)state;
    ffai__cuda_address memory = 0;
    ffai__cuda_address other = 0;
    uint8_t bytes[64] = {0};
    WORKS(memory_allocate(&memory, 100));
    WORKS(memory_allocate(&other, 100));
    WORKS(copy_out(bytes, memory + 60, 40, NULL));
    assert_int_equal(bytes[39], 0xFF);
    WORKS(fill_bytes(memory, 7, 100, NULL));
    WORKS(copy_in(memory + 99, bytes, 1, NULL));
    WORKS(copy(other, memory, 100, NULL));
    WORKS(copy_out(bytes, other + 98, 2, NULL));
    assert_int_equal(bytes[0], 7);
    assert_int_equal(bytes[1], 0xFF);
    GIVES(INVALID_VALUE, copy_out(bytes, memory + 60, 41, NULL));
    GIVES(INVALID_VALUE, copy_in(memory + 100, bytes, 1, NULL));
    GIVES(INVALID_VALUE, copy_in(memory, bytes, SIZE_MAX, NULL));
    GIVES(INVALID_VALUE, copy(memory, memory + 1, 100, NULL));
    GIVES(INVALID_VALUE, fill_bytes(memory - 1, 0, 2, NULL));
    GIVES(INVALID_VALUE, memory_free(memory + 1));
    GIVES(INVALID_VALUE, host_free((void *)(uintptr_t)memory));
    WORKS(memory_free(memory));
    GIVES(INVALID_VALUE, memory_free(memory));
    GIVES(INVALID_VALUE, fill_bytes(memory, 0, 1, NULL));
    WORKS(memory_free(other));
}

static void memory_ends_where_it_is_told_to(void **state)
{
    (void)state;
    ffai__cuda_address most = 0;
    ffai__cuda_address more = 0;
    size_t available = 0;
    size_t total = 0;
    setenv("FFAI_STUB_MEMORY", "1000000", 1);
    GIVES(FFAI__CUDA_OUT_OF_MEMORY, memory_allocate(&most, 1000001));
    WORKS(memory_allocate(&most, 999990));
    WORKS(memory_info(&available, &total));
    assert_int_equal(available, 10);
    assert_int_equal(total, 1000000);
    GIVES(FFAI__CUDA_OUT_OF_MEMORY, memory_allocate(&more, 11));
    GIVES(FFAI__CUDA_OUT_OF_MEMORY, memory_allocate(&more, SIZE_MAX));
    GIVES(INVALID_VALUE, memory_allocate(&more, 0));
    WORKS(memory_allocate(&more, 10));
    assert_int_equal(stub_device_bytes(), 1000000);
    WORKS(memory_free(more));
    WORKS(memory_free(most));
}

static void pinned_memory_is_the_devices_where_it_is_mapped(void **state)
{
    (void)state;
    void *mapped = NULL;
    void *plain = NULL;
    ffai__cuda_address address = 0;
    WORKS(host_allocate(&mapped, 100, FFAI__CUDA_HOST_PORTABLE | FFAI__CUDA_HOST_MAPPED));
    WORKS(host_allocate(&plain, 100, FFAI__CUDA_HOST_PORTABLE));
    WORKS(host_address(&address, (char *)mapped + 8, 0));
    WORKS(fill_bytes(address, 3, 92, NULL));
    assert_int_equal(((uint8_t *)mapped)[99], 3);
    GIVES(INVALID_VALUE, fill_bytes(address, 3, 93, NULL));
    GIVES(INVALID_VALUE, host_address(&address, plain, 0));
    GIVES(INVALID_VALUE, host_address(&address, &address, 0));
    GIVES(INVALID_VALUE, memory_free((uintptr_t)mapped));
    assert_int_equal(stub_pinned_bytes(), 200);
    WORKS(host_free(mapped));
    WORKS(host_free(plain));
    GIVES(INVALID_VALUE, host_free(plain));
}

/* A module, a function and 256 words to work on. */
typedef struct kernel_case {
    ffai__cuda_module module;
    ffai__cuda_function function;
    ffai__cuda_stream stream;
    ffai__cuda_address words;
    ffai__cuda_launch launch;
} kernel_case;

static kernel_case open_kernel(const char *name, unsigned threads)
{
    kernel_case k = {.launch = {1, 1, 1, threads, 1, 1, 0, NULL, NULL, 0}};
    if (!cuda_model_has_kernels())
        skip();
    WORKS(module_load(&k.module, "an image"));
    WORKS(module_function(&k.function, k.module, name));
    WORKS(stream_create(&k.stream, FFAI__CUDA_STREAM_ALONE));
    WORKS(memory_allocate(&k.words, 1024));
    k.launch.stream = k.stream;
    return k;
}

static void close_kernel(kernel_case *k)
{
    WORKS(memory_free(k->words));
    WORKS(stream_destroy(k->stream));
    WORKS(module_unload(k->module));
    GIVES(INVALID_HANDLE, module_unload(k->module));
}

static uint32_t word_at(const kernel_case *k, size_t i)
{
    uint32_t word = 0;
    WORKS(copy_out(&word, k->words + i * sizeof word, sizeof word, k->stream));
    return word;
}

static model_words words_of(const kernel_case *k)
{
    return (model_words){.out = (uint32_t *)(uintptr_t)k->words}; // NOLINT(performance-no-int-to-ptr)
}

static void a_kernel_runs_when_it_is_launched(void **state)
{
    (void)state;
    kernel_case k = open_kernel("model_places", 70);
    ffai__cuda_function nobody = NULL;
    model_words args = words_of(&k);
    ffai__cuda_launch_attribute overlap = {.which = FFAI__CUDA_LAUNCH_PROGRAMMATIC, .value.programmatic = 1};
    k.launch.grid_x = 2;
    k.launch.attributes = &overlap;
    k.launch.num_attributes = 1;
    WORKS(launch(&k.launch, k.function, (void *[]){&args}, NULL));
    WORKS(stream_wait(k.stream));
    assert_int_equal(word_at(&k, 69), 69);
    assert_int_equal(word_at(&k, 70), 1 << 16);
    assert_int_equal(word_at(&k, 140), UINT32_MAX);
    GIVES(NO_SUCH_SYMBOL, module_function(&nobody, k.module, "nobody"));
    GIVES(INVALID_HANDLE, launch(&k.launch, (ffai__cuda_function)(void *)k.stream, (void *[]){&args}, NULL));
    close_kernel(&k);
}

static void more_than_48_kib_of_shared_memory_are_asked_for_first(void **state)
{
    (void)state;
    kernel_case k = open_kernel("model_places", 32);
    model_words args = words_of(&k);
    k.launch.shared_bytes = 49153;
    GIVES(INVALID_VALUE, launch(&k.launch, k.function, (void *[]){&args}, NULL));
    GIVES(INVALID_VALUE, function_attribute(k.function, FFAI__CUDA_FUNCTION_SHARED_BYTES, 232449));
    WORKS(function_attribute(k.function, FFAI__CUDA_FUNCTION_SHARED_BYTES, 232448));
    WORKS(launch(&k.launch, k.function, (void *[]){&args}, NULL));
    k.launch.block_x = 1025;
    GIVES(INVALID_VALUE, launch(&k.launch, k.function, (void *[]){&args}, NULL));
    k.launch.block_x = 32;
    k.launch.block_y = 2;
    GIVES(INVALID_VALUE, launch(&k.launch, k.function, (void *[]){&args}, NULL));
    close_kernel(&k);
}

/* What is captured is done later, with the arguments of then, as often as it is launched. */
static void a_graph_does_what_was_captured(void **state)
{
    (void)state;
    kernel_case k = open_kernel("model_atomics", 1);
    uint32_t input = 5;
    ffai__cuda_graph graph = NULL;
    ffai__cuda_graph_exec exec = NULL;
    ffai__cuda_address more = 0;
    model_words args = words_of(&k);
    args.in = &input;
    WORKS(fill_bytes(k.words, 0, 1024, k.stream));
    const uint64_t before = stub_submissions();
    WORKS(capture_begin(k.stream, FFAI__CUDA_CAPTURE_THREAD));
    WORKS(launch(&k.launch, k.function, (void *[]){&args}, NULL));
    WORKS(copy(k.words + 512, k.words, 4, k.stream));
    args.out = NULL;
    GIVES(NOT_WHILE_CAPTURING, memory_allocate(&more, 1));
    GIVES(NOT_WHILE_CAPTURING, stream_wait(k.stream));
    WORKS(capture_end(k.stream, &graph));
    WORKS(graph_instantiate(&exec, graph, 0));
    WORKS(graph_destroy(graph));
    assert_int_equal(stub_submissions(), before);
    assert_int_equal(word_at(&k, 0), 0);
    for (int i = 0; i < 3; i++)
        WORKS(graph_launch(exec, k.stream));
    assert_int_equal(stub_submissions(), before + 1 + 3);
    assert_int_equal(stub_calls("cuGraphLaunch"), 3);
    assert_int_equal(word_at(&k, 0), 15);
    assert_int_equal(word_at(&k, 128), 15);
    WORKS(graph_exec_destroy(exec));
    GIVES(INVALID_HANDLE, graph_launch(exec, k.stream));
    close_kernel(&k);
}

/* What the device finds is told by the calls that follow, and memory is given back nevertheless. */
static void a_kernels_fault_stays_until_it_is_reset(void **state)
{
    (void)state;
    kernel_case k = open_kernel("model_makes_mistakes", 64);
    model_mistake args = {.out = words_of(&k).out, .kind = MODEL_TRAP};
    ffai__cuda_address more = 0;
    k.launch.grid_x = 3;
    WORKS(launch(&k.launch, k.function, (void *[]){&args}, NULL));
    GIVES(LAUNCH_FAILED, stream_wait(k.stream));
    GIVES(LAUNCH_FAILED, memory_allocate(&more, 1));
    GIVES(LAUNCH_FAILED, memory_free(k.words));
    GIVES(LAUNCH_FAILED, stream_destroy(k.stream));
    GIVES(LAUNCH_FAILED, module_unload(k.module));
    assert_int_equal(stub_open_objects(), 0);
    assert_int_equal(stub_device_bytes(), 0);
    stub_reset();
    WORKS(memory_allocate(&more, 1));
    WORKS(memory_free(more));
}

static void a_wait_can_find_a_fault(void **state)
{
    (void)state;
    ffai__cuda_event event = NULL;
    WORKS(event_create(&event, 0));
    WORKS(event_record(event, NULL));
    WORKS(event_wait(event));
    stub_fail_wait();
    GIVES(ILLEGAL_ADDRESS, event_wait(event));
    GIVES(ILLEGAL_ADDRESS, stream_wait(NULL));
    stub_reset();
    WORKS(stream_wait(NULL));
    setenv("FFAI_STUB_FAIL_WAIT", "1", 1);
    GIVES(ILLEGAL_ADDRESS, stream_wait(NULL));
    unsetenv("FFAI_STUB_FAIL_WAIT");
    stub_reset();
    WORKS(event_destroy(event));
    GIVES(INVALID_HANDLE, event_wait(event));
}

static void events_tell_the_time_between_them(void **state)
{
    (void)state;
    ffai__cuda_event start = NULL;
    ffai__cuda_event end = NULL;
    ffai__cuda_event untimed = NULL;
    float milliseconds = -1.0f;
    WORKS(event_create(&start, 0));
    WORKS(event_create(&end, 0));
    WORKS(event_create(&untimed, FFAI__CUDA_EVENT_UNTIMED));
    WORKS(event_record(start, NULL));
    GIVES(INVALID_HANDLE, event_milliseconds(&milliseconds, start, end));
    WORKS(event_record(end, NULL));
    WORKS(event_record(untimed, NULL));
    WORKS(event_milliseconds(&milliseconds, start, end));
    assert_true(milliseconds >= 0.0f && milliseconds < 60000.0f);
    GIVES(INVALID_HANDLE, event_milliseconds(&milliseconds, start, untimed));
    WORKS(event_destroy(start));
    WORKS(event_destroy(end));
    WORKS(event_destroy(untimed));
}

static void each_call_can_be_made_to_fail(void **state)
{
    (void)state;
    size_t available = 0;
    size_t total = 0;
    stub_reset();
    stub_fail_at(2, 2);
    WORKS(memory_info(&available, &total));
    GIVES(2, memory_info(&available, &total));
    WORKS(memory_info(&available, &total));
    assert_int_equal(stub_all_calls(), 3);
    assert_int_equal(stub_calls("cuMemGetInfo_v2"), 3);
    stub_fail("cuStreamSynchronize", 77);
    WORKS(memory_info(&available, &total));
    GIVES(77, stream_wait(NULL));
    stub_reset();
    WORKS(stream_wait(NULL));
    setenv("FFAI_STUB_FAIL_AT", "3", 1);
    WORKS(memory_info(&available, &total));
    GIVES(999, memory_info(&available, &total));
    WORKS(memory_info(&available, &total));
}

static void without_a_context_nothing_is_done(void **state)
{
    (void)state;
    ffai__cuda_context context = NULL;
    ffai__cuda_address memory = 0;
    ffai__cuda_stream stream = NULL;
    WORKS(context_pop(&context));
    GIVES(INVALID_CONTEXT, memory_allocate(&memory, 1));
    GIVES(INVALID_CONTEXT, memory_free(memory));
    GIVES(INVALID_CONTEXT, stream_create(&stream, 0));
    GIVES(INVALID_CONTEXT, context_pop(&context));
    WORKS(context_push(context));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_has_bounds, enter, leave),
        cmocka_unit_test_setup_teardown(memory_ends_where_it_is_told_to, enter, leave),
        cmocka_unit_test_setup_teardown(pinned_memory_is_the_devices_where_it_is_mapped, enter, leave),
        cmocka_unit_test_setup_teardown(a_kernel_runs_when_it_is_launched, enter, leave),
        cmocka_unit_test_setup_teardown(more_than_48_kib_of_shared_memory_are_asked_for_first, enter, leave),
        cmocka_unit_test_setup_teardown(a_graph_does_what_was_captured, enter, leave),
        cmocka_unit_test_setup_teardown(a_kernels_fault_stays_until_it_is_reset, enter, leave),
        cmocka_unit_test_setup_teardown(a_wait_can_find_a_fault, enter, leave),
        cmocka_unit_test_setup_teardown(events_tell_the_time_between_them, enter, leave),
        cmocka_unit_test_setup_teardown(each_call_can_be_made_to_fail, enter, leave),
        cmocka_unit_test_setup_teardown(without_a_context_nothing_is_done, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
