/* What the stub's files share. Everything here is called with the lock held that CALLED takes. */
#ifndef CUDA_STUB_INTERNAL_H
#define CUDA_STUB_INTERNAL_H

#include "cuda_driver.h"
#include "stub.h"

enum {
    MOST_DEVICES = 4,
    SHARED_WITHOUT_ASKING = 48 << 10, /* dynamic bytes of a block, unless the function's attribute says more */
};

/* Results that the backend has no name for. */
enum {
    INVALID_VALUE = 1,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NO_SUCH_SYMBOL = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    NOT_WHILE_CAPTURING = 900,
    UNKNOWN = 999,
};

/* The declarations, so that a definition which differs from what the backend calls does not compile. */
#define DRIVER(member, symbol, parameters) STUB_EXPORT ffai__cuda_result symbol parameters;
#include "cuda_driver.def"
#undef DRIVER

typedef enum stub_function {
#define DRIVER(member, symbol, parameters) CALL_##symbol,
#include "cuda_driver.def"
#undef DRIVER
    NUM_FUNCTIONS
} stub_function;

/* Counts the call and takes the lock until the function returns. What the call is to fail with, or success. */
ffai__cuda_result stub_call(stub_function function);
bool stub_lock(void);
void stub_unlock(const bool *locked);

#define LOCKED __attribute__((cleanup(stub_unlock), unused)) const bool locked_ = stub_lock()

#define TRY(expression)                                                                                                \
    do {                                                                                                               \
        const ffai__cuda_result result_ = (expression);                                                                \
        if (result_ != FFAI__CUDA_SUCCESS)                                                                             \
            return result_;                                                                                            \
    } while (0)

/* The first line of every function; of those that want a current context on a device that works, CALLED_ON_DEVICE. */
#define CALLED(function)                                                                                               \
    LOCKED;                                                                                                            \
    TRY(stub_call(CALL_##function))

#define CALLED_ON_DEVICE(function)                                                                                     \
    CALLED(function);                                                                                                  \
    TRY(stub_device_works())

/* A variable of the environment as a number. */
uint64_t stub_variable(const char *name, uint64_t otherwise);

/* The current context's device; -1: there is none. */
int stub_current_device(void);

/* 201 without a context, the result of a kernel that failed, or success. */
ffai__cuda_result stub_device_works(void);
ffai__cuda_result stub_device_fault(void);
void stub_set_fault(ffai__cuda_result fault);

/* Whether a wait is to find a fault; asking takes it back. */
bool stub_wait_fails(void);
void stub_count_submission(void);

/* Bytes of a device, and what of them may be allocated at most. */
size_t stub_total_memory(int device);
size_t stub_usable_memory(int device);

/* Whether all of it lies in one allocation, of the device's or of pinned memory that the device sees. */
bool stub_is_allocated(ffai__cuda_address at, size_t bytes);

/* Handles: a list of what is open, so that one which is not is refused. Each struct begins with one of these. */
typedef enum stub_kind { A_STREAM, AN_EVENT, A_GRAPH, AN_INSTANCE, A_MODULE, A_FUNCTION } stub_kind;

typedef struct stub_object {
    struct stub_object *next;
    stub_kind kind;
} stub_object;

void *stub_open(stub_kind kind, size_t bytes); /* zeros; ends the program where there is no memory */
bool stub_is_open(const void *object, stub_kind kind);
void stub_close(void *object);

/* Memory that ends the program where there is none: this is a test. */
void *stub_memory(size_t bytes);

/* Whether a stream of this thread captures: calls that a device then refuses. */
bool stub_thread_captures(void);

struct ffai__cuda_function_of_a_module {
    stub_object object;
    const struct cuda_model_kernel *kernel;
    unsigned most_shared_bytes;
};

#endif
