#define _GNU_SOURCE
#include "thread_pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "thread_start.h"

/* Looks at a gate before a thread parks, a pause between two of them (20 to 40 ns). */
enum { FEW_SPINS = 8, MANY_SPINS = 2048 };
/* Barriers after a long wait at which threads hardly spin: those of some ten steps. */
enum { WARY_BARRIERS = 2000 };
/* How long idle workers give their core away between looks before they park. */
enum { YIELD_NANOSECONDS = 200000 };
/* No share of a product differs so much from the others: a thread that is waited for so long has lost its core. */
enum { LONG_WAIT_NANOSECONDS = 500000 };

/* A number that only grows; threads wait for it to leave the value they saw. */
typedef struct gate {
    alignas(64) atomic_uint value;
    atomic_uint parked;
} gate;

typedef struct worker {
    ffai__thread_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct ffai__thread_pool {
    gate start;   /* a run begins */
    gate barrier; /* the last thread has arrived */
    alignas(64) atomic_uint arrived;
    ffai__pool_task *task;
    void *context;
    atomic_int wary; /* barriers that are left of those after a long wait */
    bool stop;
    int size;
    const ffai__cores *cores; /* NULL: threads go anywhere */
    worker workers[];         /* [size - 1] */
};

static void pause_core(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool has_left(gate *g, unsigned seen)
{
    return atomic_load_explicit(&g->value, memory_order_acquire) != seen;
}

static bool gate_spin(gate *g, unsigned seen, int spins)
{
    for (int i = 0; i < spins; i++) {
        if (has_left(g, seen))
            return true;
        pause_core();
    }
    return false;
}

static bool gate_yield(gate *g, unsigned seen)
{
    const int64_t end = now_nanoseconds() + YIELD_NANOSECONDS;
    do {
        sched_yield();
        if (has_left(g, seen))
            return true;
    } while (now_nanoseconds() < end);
    return false;
}

/* Sleep until the value is no longer `seen`. A thread announces itself as parked before the kernel compares the value,
 * and gate_open changes the value before it looks for parked threads, all in one order: no wake-up is lost. */
static void gate_park(gate *g, unsigned seen)
{
    atomic_fetch_add(&g->parked, 1);
    while (atomic_load(&g->value) == seen)
        syscall(SYS_futex, &g->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&g->parked, 1);
}

static void gate_open(gate *g)
{
    atomic_fetch_add(&g->value, 1);
    if (atomic_load(&g->parked))
        syscall(SYS_futex, &g->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Give the core away, once and then for good, until the value is no longer `seen`. True if that took long. */
static bool gate_leave(gate *g, unsigned seen)
{
    const int64_t begin = now_nanoseconds();
    sched_yield();
    if (!has_left(g, seen))
        gate_park(g, seen);
    return now_nanoseconds() - begin > LONG_WAIT_NANOSECONDS;
}

/* Spinning pays while the others run. Where one waits for a core that somebody else has, spinning only uses up the
 * time that the kernel grants, and a thread that sleeps is let in sooner when it is woken: so after a long wait
 * threads hardly spin for a while. */
static void barrier_wait(ffai__thread_pool *pool, unsigned seen)
{
    const int wary = atomic_load_explicit(&pool->wary, memory_order_relaxed);
    if (!gate_spin(&pool->barrier, seen, wary ? FEW_SPINS : MANY_SPINS) && gate_leave(&pool->barrier, seen))
        atomic_store_explicit(&pool->wary, WARY_BARRIERS, memory_order_relaxed);
    else if (wary)
        atomic_store_explicit(&pool->wary, wary - 1, memory_order_relaxed);
}

void ffai__thread_pool_barrier(ffai__thread_pool *pool)
{
    if (pool->size == 1)
        return;
    const unsigned seen = atomic_load_explicit(&pool->barrier.value, memory_order_relaxed);
    const unsigned before = atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel);
    if (before + 1 < (unsigned)pool->size) {
        barrier_wait(pool, seen);
        return;
    }
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    gate_open(&pool->barrier);
}

static void start_wait(ffai__thread_pool *pool, unsigned seen)
{
    if (!gate_spin(&pool->start, seen, MANY_SPINS) && !gate_yield(&pool->start, seen))
        gate_park(&pool->start, seen);
}

static void *worker_main(void *argument)
{
    const worker *self = argument;
    ffai__thread_pool *pool = self->pool;
    if (pool->cores)
        ffai__cores_bind(NULL, pool->cores, self->index, pool->size);
    for (unsigned seen = 0;; seen++) {
        start_wait(pool, seen);
        if (pool->stop)
            return NULL;
        pool->task(pool->context, self->index, pool->size);
        ffai__thread_pool_barrier(pool);
    }
}

static void run_task(ffai__thread_pool *pool, ffai__pool_task *task, void *context)
{
    if (pool->size == 1) {
        task(context, 0, 1);
        return;
    }
    pool->task = task;
    pool->context = context;
    gate_open(&pool->start);
    task(context, 0, pool->size);
    ffai__thread_pool_barrier(pool);
}

void ffai__thread_pool_run(ffai__thread_pool *pool, ffai__pool_task *task, void *context)
{
    if (!pool->cores || !ffai__cores_bind_threads(pool->cores)) {
        run_task(pool, task, context);
        return;
    }
    ffai__affinity before;
    ffai__cores_bind(&before, pool->cores, 0, pool->size);
    run_task(pool, task, context);
    ffai__cores_unbind(pool->cores, &before);
}

static void stop_workers(ffai__thread_pool *pool, int started)
{
    pool->stop = true;
    gate_open(&pool->start);
    for (int i = 0; i < started; i++)
        pthread_join(pool->workers[i].thread, NULL);
}

static ffai_status start_workers(ffai__thread_pool *pool, ffai_error *err)
{
    for (int i = 0; i < pool->size - 1; i++) {
        pool->workers[i] = (worker){.pool = pool, .index = i + 1};
        const int error = ffai__thread_start(&pool->workers[i].thread, worker_main, &pool->workers[i]);
        if (error) {
            stop_workers(pool, i);
            return ffai__fail(err, FFAI_E_BACKEND, "cannot start thread %d of %d: error %d", i + 2, pool->size, error);
        }
    }
    return FFAI_OK;
}

ffai_status ffai__thread_pool_create(ffai__thread_pool **out, int threads, const ffai__cores *cores, ffai_error *err)
{
    if (threads < 1 || threads > FFAI__MAX_THREADS)
        return ffai__fail(err, FFAI_E_ARGUMENT, "threads: %d is not from 1 to %d", threads, FFAI__MAX_THREADS);
    const size_t bytes = sizeof(ffai__thread_pool) + (size_t)(threads - 1) * sizeof(worker);
    ffai__thread_pool *pool = ffai__malloc_aligned(bytes);
    if (!pool)
        return ffai__fail_memory(err, "threads", bytes);
    memset(pool, 0, bytes);
    pool->size = threads;
    pool->cores = cores;
    const ffai_status status = start_workers(pool, err);
    if (status != FFAI_OK) {
        ffai__free_aligned(pool);
        return status;
    }
    *out = pool;
    return FFAI_OK;
}

void ffai__thread_pool_free(ffai__thread_pool *pool)
{
    if (!pool)
        return;
    stop_workers(pool, pool->size - 1);
    ffai__free_aligned(pool);
}

int ffai__thread_pool_size(const ffai__thread_pool *pool)
{
    return pool->size;
}
