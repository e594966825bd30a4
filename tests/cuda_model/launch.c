#define _GNU_SOURCE
#include "launch.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block.h"

enum { ALIGNMENT = 128, CANARY = 0xA5, POISON = 0xFF };

static cuda_model_kernel *kernels;
static pthread_mutex_t one_launch = PTHREAD_MUTEX_INITIALIZER;
static bool run_backwards;

/* Dynamic shared memory ends at a page that may not be touched; before it and in what is left up to that page lie
 * canaries. */
static uint8_t *shared_end; /* of a cluster's first block; those of the others follow */
static size_t member_bytes; /* from one's end to the next one's */
static size_t shared_bytes;

/* __shared__ variables: they lie in a section of their own (cuda_model.h), which the linker finds the ends of. */
extern char __start_cuda_shared[] __attribute__((weak, visibility("hidden"))); // NOLINT(*-reserved-identifier,cert-*)
extern char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));  // NOLINT(*-reserved-identifier,cert-*)

void cuda_model_register(cuda_model_kernel *kernel)
{
    kernel->next = kernels;
    kernels = kernel;
}

const cuda_model_kernel *cuda_model_find(const char *name)
{
    for (const cuda_model_kernel *kernel = kernels; kernel; kernel = kernel->next) {
        if (strcmp(kernel->name, name) == 0)
            return kernel;
    }
    return NULL;
}

bool cuda_model_has_kernels(void)
{
    return kernels;
}

void cuda_model_run_backwards(bool backwards)
{
    run_backwards = backwards;
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static bool make_shared_memory(void)
{
    if (shared_end)
        return true;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = round_up(CUDA_MODEL_MOST_SHARED + ALIGNMENT, page);
    member_bytes = room + page;
    uint8_t *memory =
        mmap(NULL, CUDA_MODEL_MOST_CLUSTER * member_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    for (unsigned i = 0; i < CUDA_MODEL_MOST_CLUSTER; i++)
        mprotect(memory + i * member_bytes + room, page, PROT_NONE);
    shared_end = memory + room;
    return true;
}

static uint8_t *end_of(unsigned rank)
{
    return shared_end + rank * member_bytes;
}

static uint8_t *begin_of(unsigned rank)
{
    return end_of(rank) - round_up(shared_bytes, ALIGNMENT);
}

void *cuda_model_dynamic_shared(void)
{
    return begin_of(cuda_model_cluster_rank());
}

void *cuda_model_in_block(void *shared, unsigned rank)
{
    const size_t offset = (size_t)((uint8_t *)shared - begin_of(cuda_model_cluster_rank()));
    if (rank >= cuda_model_block.kernel->cluster || offset >= shared_bytes)
        cuda_model_fault("byte %zu of block %u of its cluster", offset, rank);
    return begin_of(rank) + offset;
}

static void poison_shared_memory(void)
{
    for (unsigned i = 0; i < cuda_model_block.kernel->cluster; i++) {
        uint8_t *begin = begin_of(i);
        memset(begin - ALIGNMENT, CANARY, ALIGNMENT);
        memset(begin, POISON, shared_bytes);
        memset(begin + shared_bytes, CANARY, (size_t)(end_of(i) - begin) - shared_bytes);
    }
    if (__start_cuda_shared)
        memset(__start_cuda_shared, POISON, (size_t)(__stop_cuda_shared - __start_cuda_shared));
}

static bool untouched(const uint8_t *bytes, const uint8_t *end)
{
    while (bytes < end && *bytes == CANARY)
        bytes++;
    return bytes == end;
}

/* What the message of a fault that no thread can be named for begins with. */
static bool complain(const char *what)
{
    block *b = &cuda_model_block;
    snprintf(b->message, sizeof b->message, "kernel %s, block (%u, %u, %u): %s", b->kernel->name, blockIdx.x,
             blockIdx.y, blockIdx.z, what);
    return false;
}

static bool check_canaries(void)
{
    for (unsigned i = 0; i < cuda_model_block.kernel->cluster; i++) {
        const uint8_t *begin = begin_of(i);
        if (!untouched(begin - ALIGNMENT, begin))
            return complain("something was written in front of its dynamic shared memory");
        if (!untouched(begin + shared_bytes, end_of(i)))
            return complain("something was written behind the end of its dynamic shared memory");
    }
    return true;
}

/* A place that may not be touched ends the launch as it would on a device, and says more. */
static pthread_t launching_thread;

static void explain(const void *address)
{
    const uint8_t *at = address;
    const int thread = cuda_model_thread_of_guard(address);
    for (unsigned i = 0; i < CUDA_MODEL_MOST_CLUSTER; i++) {
        if (at >= end_of(i) && at < end_of(i) + sysconf(_SC_PAGESIZE))
            cuda_model_fault("byte %zu of dynamic shared memory, of which the launch gave it %zu",
                             (size_t)(at - begin_of(i)), shared_bytes);
    }
    if (thread >= 0)
        cuda_model_fault("the stack of thread %d is full", thread);
    cuda_model_fault("address %p is nobody's", address);
}

static void on_fault(int signal_number, siginfo_t *info, void *unused)
{
    (void)unused;
    if (pthread_equal(pthread_self(), launching_thread))
        explain(info->si_addr);
    signal(signal_number, SIG_DFL); /* another thread's: it will meet it again */
}

static bool run_blocks(void)
{
    block *b = &cuda_model_block;
    const unsigned rows = gridDim.y / b->kernel->cluster;
    const uint64_t count = (uint64_t)gridDim.x * rows * gridDim.z;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t number = b->backwards ? count - 1 - i : i;
        b->first.x = (unsigned)(number % gridDim.x);
        b->first.y = (unsigned)(number / gridDim.x % rows) * b->kernel->cluster;
        b->first.z = (unsigned)(number / gridDim.x / rows);
        poison_shared_memory();
        if (!cuda_model_run_block() || !check_canaries())
            return false;
    }
    return true;
}

static bool run_guarded(void)
{
    static char signal_stack[64 << 10]; /* a thread's own may be the one that is full */
    const stack_t mine = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    const struct sigaction handler = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    stack_t before_stack;
    struct sigaction before_segv, before_bus;
    launching_thread = pthread_self();
    sigaltstack(&mine, &before_stack);
    sigaction(SIGSEGV, &handler, &before_segv);
    sigaction(SIGBUS, &handler, &before_bus);
    const bool ran = run_blocks();
    sigaction(SIGSEGV, &before_segv, NULL);
    sigaction(SIGBUS, &before_bus, NULL);
    sigaltstack(&before_stack, NULL);
    return ran;
}

const char *cuda_model_refusal(const cuda_model_kernel *kernel, cuda_model_index grid, unsigned threads, size_t bytes)
{
    if (grid.x == 0 || grid.y == 0 || grid.z == 0)
        return "a grid without blocks";
    if (grid.x > INT32_MAX || grid.y > UINT16_MAX || grid.z > UINT16_MAX)
        return "a grid of more than 2147483647 x 65535 x 65535 blocks";
    if (threads == 0 || threads > CUDA_MODEL_MOST_THREADS)
        return "a block has 1 to 1024 threads";
    if (threads > kernel->most_threads)
        return "more threads in a block than KERNEL says";
    if (grid.y % kernel->cluster != 0)
        return "blocks that make no whole cluster";
    if (kernel->cluster > 1 && (threads % LANES != 0 || threads * kernel->cluster > CUDA_MODEL_MOST_THREADS))
        return "a cluster of blocks that the model has no room for";
    if (bytes > CUDA_MODEL_MOST_SHARED)
        return "more than 227 KiB of shared memory";
    return NULL;
}

static const char *launch(const cuda_model_kernel *kernel, cuda_model_index grid, unsigned threads, size_t bytes,
                          const void *args)
{
    block *b = &cuda_model_block;
    const char *refused = cuda_model_refusal(kernel, grid, threads, bytes);
    if (!refused && (!cuda_model_make_threads(threads * kernel->cluster) || !make_shared_memory()))
        refused = "no memory for its threads";
    if (refused) {
        snprintf(b->message, sizeof b->message,
                 "kernel %s: %s: grid %u x %u x %u, %u threads, %zu bytes of shared memory", kernel->name, refused,
                 grid.x, grid.y, grid.z, threads, bytes);
        return b->message;
    }
    b->kernel = kernel;
    b->args = args;
    b->threads = threads;
    b->backwards = run_backwards;
    gridDim = grid;
    blockDim = (cuda_model_index){threads, 1, 1};
    shared_bytes = bytes;
    return run_guarded() ? NULL : b->message;
}

const char *cuda_model_launch_grid(const cuda_model_kernel *kernel, cuda_model_index grid, unsigned threads,
                                   size_t bytes, const void *args)
{
    pthread_mutex_lock(&one_launch);
    const char *fault = launch(kernel, grid, threads, bytes, args);
    pthread_mutex_unlock(&one_launch);
    return fault;
}

const char *cuda_model_launch(const char *name, unsigned blocks, unsigned threads, size_t bytes, const void *args,
                              size_t args_bytes)
{
    static char message[200];
    const cuda_model_kernel *kernel = cuda_model_find(name);
    if (kernel && kernel->args_bytes == args_bytes)
        return cuda_model_launch_grid(kernel, (cuda_model_index){blocks, 1, 1}, threads, bytes, args);
    if (kernel)
        snprintf(message, sizeof message, "kernel %s: its arguments are %zu bytes, not %zu", name, kernel->args_bytes,
                 args_bytes);
    else
        snprintf(message, sizeof message, "there is no kernel %s", name);
    return message;
}
