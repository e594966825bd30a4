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
#include "team.h"
#include "thread_start.h"

/* Looks at a gate before a thread parks, a pause between two of them (20 to 40 ns). */
enum { FEW_SPINS = 8, MANY_SPINS = 2048 };
/* Barriers after a long wait at which threads hardly spin: those of some ten steps. */
enum { WARY_BARRIERS = 2000 };
/* How long idle workers give their core away between looks before they park. */
enum { YIELD_NANOSECONDS = 200000 };
/* No share of a product differs so much from the others: a thread that is waited for so long has lost its core. */
enum { LONG_WAIT_NANOSECONDS = 500000 };
enum { RUN = 2048 };
_Static_assert((int)RUN > (int)FFAI__MAX_THREADS, "a run's number of threads");

/* A number that only grows; threads wait for it to leave the value they saw. */
typedef struct gate {
    alignas(64) atomic_uint value;
    atomic_uint parked;
} gate;

/* What a thread measures of a run, in nanoseconds. */
typedef struct account {
    alignas(64) int64_t waited; /* for other threads, off its core */
    int64_t lost;               /* wanting a core that another process had */
} account;

typedef struct worker {
    ffai__thread_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct ffai__thread_pool {
    gate start;   /* a run begins: its number times RUN, and how many threads it has, the first ones */
    gate more;    /* it has more threads than the one before */
    gate barrier; /* the last thread has arrived */
    alignas(64) atomic_uint arrived;
    _Atomic int64_t opened; /* when threads were last let through the barrier, while they are wary */
    ffai__pool_task *task;
    void *context;
    atomic_int wary; /* barriers that are left of those after a long wait */
    bool stop;
    int size;
    int active;               /* threads of the run */
    const ffai__cores *cores; /* NULL: threads go anywhere */
    ffai__team team;
    int64_t lost;      /* nanoseconds of all runs, see ffai__thread_pool_lost */
    account *accounts; /* [size] */
    worker workers[];  /* [size - 1] */
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

/* That this thread has had a core. */
static int64_t processor_nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
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
 * and gate_set changes the value before it looks for parked threads, all in one order: no wake-up is lost. */
static void gate_park(gate *g, unsigned seen)
{
    atomic_fetch_add(&g->parked, 1);
    while (atomic_load(&g->value) == seen)
        syscall(SYS_futex, &g->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&g->parked, 1);
}

static void gate_set(gate *g, unsigned value)
{
    atomic_store(&g->value, value);
    if (atomic_load(&g->parked))
        syscall(SYS_futex, &g->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Give the core away, once and then for good, until the value is no longer `seen`. */
static void gate_leave(gate *g, unsigned seen)
{
    sched_yield();
    if (!has_left(g, seen))
        gate_park(g, seen);
}

/* Waiting off the core: true if it took long. What of it came after the others went on was lost to other processes. */
static bool wait_off_core(ffai__thread_pool *pool, unsigned seen, account *own)
{
    const int64_t begin = now_nanoseconds();
    gate_leave(&pool->barrier, seen);
    const int64_t end = now_nanoseconds();
    const int64_t opened = atomic_load_explicit(&pool->opened, memory_order_relaxed);
    own->waited += (opened > begin && opened < end ? opened : end) - begin;
    return end - begin > LONG_WAIT_NANOSECONDS;
}

/* Spinning pays while the others run. Where one waits for a core that somebody else has, spinning only uses up the
 * time that the kernel grants, and a thread that sleeps is let in sooner when it is woken: so after a long wait
 * threads hardly spin for a while. */
static void barrier_wait(ffai__thread_pool *pool, unsigned seen, account *own)
{
    const int wary = atomic_load_explicit(&pool->wary, memory_order_relaxed);
    if (!gate_spin(&pool->barrier, seen, wary ? FEW_SPINS : MANY_SPINS) && wait_off_core(pool, seen, own))
        atomic_store_explicit(&pool->wary, WARY_BARRIERS, memory_order_relaxed);
    else if (wary)
        atomic_store_explicit(&pool->wary, wary - 1, memory_order_relaxed);
}

void ffai__thread_pool_barrier(ffai__thread_pool *pool, int thread)
{
    const unsigned active = (unsigned)pool->active; /* the next run's, once the last thread has arrived */
    if (active == 1)
        return;
    const unsigned seen = atomic_load_explicit(&pool->barrier.value, memory_order_relaxed);
    const unsigned before = atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel);
    if (before + 1 < active) {
        barrier_wait(pool, seen, &pool->accounts[thread]);
        return;
    }
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    if (atomic_load_explicit(&pool->wary, memory_order_relaxed))
        atomic_store_explicit(&pool->opened, now_nanoseconds(), memory_order_relaxed);
    gate_set(&pool->barrier, seen + 1);
}

/* One thread's part of a run. What it neither worked nor waited for others, it lost. */
static void take_part(ffai__thread_pool *pool, int thread, int active)
{
    account *own = &pool->accounts[thread];
    const int64_t begin = now_nanoseconds();
    const int64_t begin_processor = processor_nanoseconds();
    own->waited = 0;
    pool->task(pool->context, thread, active);
    const int64_t worked = processor_nanoseconds() - begin_processor;
    own->lost = now_nanoseconds() - begin - worked - own->waited;
    ffai__thread_pool_barrier(pool, thread);
}

static void gate_wait(gate *g, unsigned seen)
{
    if (!gate_spin(g, seen, MANY_SPINS) && !gate_yield(g, seen))
        gate_park(g, seen);
}

/* Wait for a run that this thread takes part in, and return its number. A thread that is left out sleeps until runs
 * get more threads. It looks at `more` before it looks at the run, and a run begins before it opens `more`: no thread
 * is missed. */
static unsigned join_run(ffai__thread_pool *pool, int thread, unsigned last)
{
    gate_wait(&pool->start, last);
    for (;;) {
        const unsigned more = atomic_load(&pool->more.value);
        const unsigned run = atomic_load(&pool->start.value);
        if (thread < (int)(run % RUN))
            return run;
        gate_park(&pool->more, more);
    }
}

static void *worker_main(void *argument)
{
    const worker *self = argument;
    ffai__thread_pool *pool = self->pool;
    if (pool->cores)
        ffai__cores_bind(NULL, pool->cores, self->index, pool->size);
    for (unsigned run = 0;;) {
        run = join_run(pool, self->index, run);
        if (pool->stop)
            return NULL;
        take_part(pool, self->index, pool->active);
    }
}

static void begin_run(ffai__thread_pool *pool, int active)
{
    const unsigned before = atomic_load_explicit(&pool->start.value, memory_order_relaxed);
    pool->active = active;
    gate_set(&pool->start, before - before % RUN + RUN + (unsigned)active);
    if (active > (int)(before % RUN))
        gate_set(&pool->more, atomic_load_explicit(&pool->more.value, memory_order_relaxed) + 1);
}

static void run_on(ffai__thread_pool *pool, int active, ffai__pool_task *task, void *context)
{
    ffai__affinity before;
    const bool bind = pool->cores && ffai__cores_bind_threads(pool->cores);
    if (bind)
        ffai__cores_bind(&before, pool->cores, 0, pool->size);
    pool->task = task;
    pool->context = context;
    pool->active = active;
    if (active > 1)
        begin_run(pool, active);
    take_part(pool, 0, active);
    if (bind)
        ffai__cores_unbind(pool->cores, &before);
}

/* By the thread of the last run that lost most. */
static int64_t most_lost(const ffai__thread_pool *pool)
{
    int64_t lost = 0;
    for (int i = 0; i < pool->active; i++)
        lost = pool->accounts[i].lost > lost ? pool->accounts[i].lost : lost;
    return lost;
}

void ffai__thread_pool_run(ffai__thread_pool *pool, ffai__pool_task *task, void *context)
{
    run_on(pool, pool->size, task, context);
    pool->lost += most_lost(pool);
}

void ffai__thread_pool_run_team(ffai__thread_pool *pool, ffai__pool_task *task, void *context)
{
    const int active = pool->team.active;
    const int64_t begin = now_nanoseconds();
    run_on(pool, active, task, context);
    const int64_t time = now_nanoseconds() - begin, lost = most_lost(pool);
    pool->lost += active < pool->size ? time : lost;
    ffai__team_note(&pool->team, time, lost);
}

static void stop_workers(ffai__thread_pool *pool, int started)
{
    pool->stop = true;
    begin_run(pool, pool->size);
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
            return ffai__fail(err, FFAI_E_BACKEND, "threads: number %d of %d cannot be started (%s): ask for fewer",
                              i + 2, pool->size, strerror(error));
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
    pool->accounts = ffai__malloc_aligned((size_t)threads * sizeof *pool->accounts);
    if (!pool->accounts) {
        ffai__free_aligned(pool);
        return ffai__fail_memory(err, "threads", (size_t)threads * sizeof *pool->accounts);
    }
    pool->size = threads;
    pool->cores = cores;
    pool->team = ffai__team_of(threads);
    const ffai_status status = start_workers(pool, err);
    if (status != FFAI_OK) {
        ffai__free_aligned(pool->accounts);
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
    ffai__free_aligned(pool->accounts);
    ffai__free_aligned(pool);
}

int ffai__thread_pool_size(const ffai__thread_pool *pool)
{
    return pool->size;
}

double ffai__thread_pool_lost(const ffai__thread_pool *pool)
{
    return 1e-9 * (double)pool->lost;
}
