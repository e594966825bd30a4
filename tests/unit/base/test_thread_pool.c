#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <hwloc.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "thread_pool.h"

enum { MOST_THREADS = 8 };

static ffai__thread_pool *new_pool(int threads)
{
    ffai__thread_pool *pool = NULL;
    assert_int_equal(ffai__thread_pool_create(&pool, threads, NULL, NULL), FFAI_OK);
    return pool;
}

static void count_visit(void *context, int thread, int num_threads)
{
    int *visits = context;
    assert_true(thread >= 0 && thread < num_threads);
    visits[thread]++;
}

static void a_run_visits_every_thread_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        int visits[MOST_THREADS] = {0};
        ffai__thread_pool *pool = new_pool(threads);
        for (int run = 0; run < 100; run++)
            ffai__thread_pool_run(pool, count_visit, visits);
        ffai__thread_pool_free(pool);
        for (int i = 0; i < threads; i++)
            assert_int_equal(visits[i], 100);
    }
}

typedef struct relay {
    ffai__thread_pool *pool;
    int rounds;
    int64_t values[MOST_THREADS];
    int64_t sums[MOST_THREADS];
} relay;

/* Each round every thread writes its number and then adds up all of them: unsynchronised, unless barriers are. */
static void relay_rounds(void *context, int thread, int num_threads)
{
    relay *r = context;
    for (int round = 0; round < r->rounds; round++) {
        r->values[thread] = round + thread;
        ffai__thread_pool_barrier(r->pool, thread);
        for (int i = 0; i < num_threads; i++)
            r->sums[thread] += r->values[i];
        ffai__thread_pool_barrier(r->pool, thread);
    }
}

static void a_barrier_makes_every_write_visible(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        relay r = {.pool = new_pool(threads), .rounds = 300};
        ffai__thread_pool_run(r.pool, relay_rounds, &r);
        const int64_t rounds = r.rounds;
        const int64_t expected = threads * (rounds * (rounds - 1) / 2) + rounds * (threads * (threads - 1) / 2);
        for (int i = 0; i < threads; i++)
            assert_int_equal(r.sums[i], expected);
        ffai__thread_pool_free(r.pool);
    }
}

static void sleep_milliseconds(long milliseconds)
{
    const struct timespec time = {.tv_nsec = milliseconds * 1000000};
    nanosleep(&time, NULL);
}

static void sleepy_visit(void *context, int thread, int num_threads)
{
    if (thread == num_threads - 1)
        sleep_milliseconds(3);
    count_visit(context, thread, num_threads);
}

static void parked_threads_wake_up(void **state)
{
    (void)state;
    int visits[MOST_THREADS] = {0};
    ffai__thread_pool *pool = new_pool(3);
    for (int run = 0; run < 20; run++) {
        sleep_milliseconds(2); /* the workers park, then the caller does */
        ffai__thread_pool_run(pool, sleepy_visit, visits);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(visits[i], 20);
    ffai__thread_pool_free(pool);
}

static double processor_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void an_idle_pool_uses_no_processor_time(void **state)
{
    (void)state;
    ffai__thread_pool *pool = new_pool(4);
    sleep_milliseconds(20);
    const double before = processor_seconds();
    sleep_milliseconds(100);
    assert_true(processor_seconds() - before < 0.02);
    ffai__thread_pool_free(pool);
}

/* The last thread sleeps through its time, as if another process had its core. */
static void absent_visit(void *context, int thread, int num_threads)
{
    if (thread == 3)
        sleep_milliseconds(5);
    count_visit(context, thread, num_threads);
}

static void a_team_does_without_a_thread_that_loses_its_core_and_takes_it_back(void **state)
{
    (void)state;
    int visits[MOST_THREADS] = {0};
    ffai__thread_pool *pool = new_pool(4);
    for (int run = 0; run < 30; run++)
        ffai__thread_pool_run_team(pool, absent_visit, visits);
    assert_int_equal(visits[0], 30);
    assert_true(visits[3] < 30);
    ffai__thread_pool_run(pool, count_visit, visits);
    assert_true(visits[3] > 1);
    for (int i = 0; i < 100; i++)
        ffai__thread_pool_run(pool, count_visit, visits);
    assert_int_equal(visits[0], 131);
    assert_true(visits[3] > 100 && visits[3] < 131);
    ffai__thread_pool_free(pool);
}

static void what_other_processes_take_is_added_up(void **state)
{
    (void)state;
    int visits[MOST_THREADS] = {0};
    ffai__thread_pool *pool = new_pool(4);
    for (int run = 0; run < 3; run++)
        ffai__thread_pool_run(pool, absent_visit, visits);
    assert_true(ffai__thread_pool_lost(pool) > 0.0149);
    /* Where a team does without the thread, all of the time counts. */
    for (int run = 0; run < 20; run++)
        ffai__thread_pool_run_team(pool, absent_visit, visits);
    assert_true(visits[3] < 23);
    const double before = ffai__thread_pool_lost(pool);
    ffai__thread_pool_run_team(pool, count_visit, visits);
    assert_true(ffai__thread_pool_lost(pool) > before);
    ffai__thread_pool_free(pool);

    pool = new_pool(1);
    ffai__thread_pool_run(pool, sleepy_visit, visits);
    assert_true(ffai__thread_pool_lost(pool) > 0.0029);
    ffai__thread_pool_free(pool);
}

static void numbers_of_threads_out_of_range_are_refused(void **state)
{
    (void)state;
    ffai__thread_pool *pool = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__thread_pool_create(&pool, 0, NULL, &err), FFAI_E_ARGUMENT);
    assert_int_equal(ffai__thread_pool_create(&pool, FFAI__MAX_THREADS + 1, NULL, &err), FFAI_E_ARGUMENT);
    assert_string_equal(err.message, "threads: 1025 is not from 1 to 1024");
    assert_null(pool);
}

static void note_processor(void *context, int thread, int num_threads)
{
    int *processors = context;
    (void)num_threads;
    processors[thread] = sched_getcpu();
}

/* This machine's two first processors, as if each were a NUMA node. */
static ffai__cores *two_nodes(void)
{
    ffai__cores *cores = NULL;
    hwloc_topology_t topology = NULL;
    assert_int_equal(hwloc_topology_init(&topology), 0);
    assert_int_equal(hwloc_topology_set_synthetic(topology, "numanode:2 core:1 pu:1"), 0);
    assert_int_equal(hwloc_topology_load(topology), 0);
    assert_int_equal(ffai__cores_of_topology(&cores, topology, hwloc_topology_get_topology_cpuset(topology), 2, NULL),
                     FFAI_OK);
    hwloc_topology_destroy(topology);
    return cores;
}

static void threads_and_their_caller_run_on_their_nodes(void **state)
{
    (void)state;
    cpu_set_t own;
    cpu_set_t after;
    assert_int_equal(sched_getaffinity(0, sizeof own, &own), 0);
    if (!CPU_ISSET(0, &own) || !CPU_ISSET(1, &own))
        skip();
    ffai__cores *cores = two_nodes();
    for (int threads = 1; threads <= 4; threads++) {
        ffai__thread_pool *pool = NULL;
        int processors[4] = {-1, -1, -1, -1};
        assert_int_equal(ffai__thread_pool_create(&pool, threads, cores, NULL), FFAI_OK);
        ffai__thread_pool_run(pool, note_processor, processors);
        for (int i = 0; i < threads; i++)
            assert_int_equal(processors[i], ffai__cores_node_of(cores, i, threads));
        assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
        assert_true(CPU_EQUAL(&own, &after));
        ffai__thread_pool_free(pool);
    }
    ffai__cores_free(cores);
}

static void many_barriers(void *context, int thread, int num_threads)
{
    (void)num_threads;
    const relay *r = context;
    for (int i = 0; i < r->rounds; i++)
        ffai__thread_pool_barrier(r->pool, thread);
}

/* Printed, not judged: other processes may hold the cores. */
static void the_cost_of_a_barrier_is_reported(void **state)
{
    (void)state;
    relay r = {.pool = new_pool(2), .rounds = 20000};
    struct timespec begin;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    ffai__thread_pool_run(r.pool, many_barriers, &r);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    print_message("a barrier of %d threads: %.0f ns\n", ffai__thread_pool_size(r.pool), 1e9 * seconds / r.rounds);
    ffai__thread_pool_free(r.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_visits_every_thread_once),
        cmocka_unit_test(a_barrier_makes_every_write_visible),
        cmocka_unit_test(parked_threads_wake_up),
        cmocka_unit_test(an_idle_pool_uses_no_processor_time),
        cmocka_unit_test(a_team_does_without_a_thread_that_loses_its_core_and_takes_it_back),
        cmocka_unit_test(what_other_processes_take_is_added_up),
        cmocka_unit_test(numbers_of_threads_out_of_range_are_refused),
        cmocka_unit_test(threads_and_their_caller_run_on_their_nodes),
        cmocka_unit_test(the_cost_of_a_barrier_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
