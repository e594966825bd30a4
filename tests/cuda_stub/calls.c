#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char *const names[] = {
#define DRIVER(member, symbol, parameters) #symbol,
#include "cuda_driver.def"
#undef DRIVER
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t calls[NUM_FUNCTIONS];
static uint64_t all_calls, submissions;

static const char *failing;
static int failing_result;
static uint64_t failing_call; /* by all_calls; 0: none */
static int failing_call_result;
static const char *failed;
static bool wait_fails;

bool stub_lock(void)
{
    pthread_mutex_lock(&lock);
    return true;
}

void stub_unlock(const bool *locked)
{
    (void)locked;
    pthread_mutex_unlock(&lock);
}

uint64_t stub_variable(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static ffai__cuda_result failure(stub_function function)
{
    const char *named = getenv("FFAI_STUB_FAIL");
    if (all_calls == failing_call)
        return failing_call_result;
    if (failing && strcmp(failing, names[function]) == 0)
        return failing_result;
    if ((named && strcmp(named, names[function]) == 0) || all_calls == stub_variable("FFAI_STUB_FAIL_AT", 0))
        return (int)stub_variable("FFAI_STUB_RESULT", UNKNOWN);
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result stub_call(stub_function function)
{
    calls[function]++;
    all_calls++;
    const ffai__cuda_result result = failure(function);
    failed = result == FFAI__CUDA_SUCCESS ? failed : names[function];
    return result;
}

const char *stub_failed(void)
{
    LOCKED;
    return failed;
}

bool stub_wait_fails(void)
{
    const bool fails = wait_fails || getenv("FFAI_STUB_FAIL_WAIT");
    wait_fails = false;
    return fails;
}

void stub_count_submission(void)
{
    submissions++;
}

void stub_reset(void)
{
    LOCKED;
    memset(calls, 0, sizeof calls);
    all_calls = submissions = failing_call = 0;
    failing = failed = NULL;
    wait_fails = false;
    stub_set_fault(FFAI__CUDA_SUCCESS);
}

uint64_t stub_calls(const char *function)
{
    LOCKED;
    for (size_t i = 0; i < NUM_FUNCTIONS; i++) {
        if (strcmp(names[i], function) == 0)
            return calls[i];
    }
    fprintf(stderr, "stub_calls: the driver has no function %s\n", function);
    abort();
}

uint64_t stub_all_calls(void)
{
    LOCKED;
    return all_calls;
}

uint64_t stub_submissions(void)
{
    LOCKED;
    return submissions;
}

void stub_fail(const char *function, int result)
{
    LOCKED;
    failing = function;
    failing_result = result;
}

void stub_fail_at(uint64_t n, int result)
{
    LOCKED;
    failing_call = n ? all_calls + n : 0;
    failing_call_result = result;
}

void stub_fail_wait(void)
{
    LOCKED;
    wait_fails = true;
}

/* Results by name and in words, those that a test can meet. */
static const struct {
    int result;
    const char *name;
    const char *text;
} results[] = {
    {FFAI__CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {FFAI__CUDA_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {FFAI__CUDA_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NO_SUCH_SYMBOL, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {NOT_WHILE_CAPTURING, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static size_t find_result(int result)
{
    size_t i = 0;
    while (i < sizeof results / sizeof *results && results[i].result != result)
        i++;
    return i;
}

ffai__cuda_result cuGetErrorName(ffai__cuda_result result, const char **name)
{
    CALLED(cuGetErrorName);
    const size_t i = find_result(result);
    const bool known = i < sizeof results / sizeof *results;
    *name = known ? results[i].name : NULL;
    return known ? FFAI__CUDA_SUCCESS : INVALID_VALUE;
}

ffai__cuda_result cuGetErrorString(ffai__cuda_result result, const char **text)
{
    CALLED(cuGetErrorString);
    const size_t i = find_result(result);
    const bool known = i < sizeof results / sizeof *results;
    *text = known ? results[i].text : NULL;
    return known ? FFAI__CUDA_SUCCESS : INVALID_VALUE;
}
