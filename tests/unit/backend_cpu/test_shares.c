/* Work divided into shares of which others take what is left. */
#include "shares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "thread_pool.h"

enum { MOST_THREADS = 20, MOST_THINGS = 500 };

static ffai__taking taking_of(ffai__taken *taken, uint32_t round, int64_t total, int64_t block, int thread, int threads)
{
    return (ffai__taking){
        .taken = taken, .round = round, .total = total, .block = block, .thread = thread, .num_threads = threads};
}

static void count_block(int *times, ffai__share block, const ffai__taking *taking)
{
    assert_true(block.begin >= 0 && block.begin < block.end && block.end <= taking->total);
    assert_true(block.end - block.begin <= taking->block);
    for (int64_t i = block.begin; i < block.end; i++)
        times[i]++;
}

/* Threads by turns, a seeded one at a time. */
static void take_all(int *times, ffai__taken *taken, uint32_t round, int64_t total, int64_t block, int threads)
{
    ffai__taking takings[MOST_THREADS];
    uint32_t state = round;
    bool over[MOST_THREADS] = {false};
    int done = 0;
    for (int t = 0; t < threads; t++)
        takings[t] = taking_of(taken, round, total, block, t, threads);
    while (done < threads) {
        ffai__share share;
        state = state * 1664525u + 1013904223u;
        const int t = (int)(state >> 16) % threads;
        if (over[t])
            continue;
        if (ffai__take(&takings[t], &share)) {
            count_block(times, share, &takings[t]);
            continue;
        }
        over[t] = true;
        done++;
    }
}

static void every_thing_is_taken_once_each_round(void **state)
{
    (void)state;
    static const int64_t totals[] = {0, 1, 2, 7, 16, 63, 128, 499};
    static const int64_t blocks[] = {1, 2, 5, 16, 1000};
    static const int threads[] = {1, 2, 3, 7, 20};
    for (size_t i = 0; i < 8 * 5 * 5; i++) {
        const int64_t total = totals[i % 8], block = blocks[i / 8 % 5];
        ffai__taken taken[MOST_THREADS] = {{0}};
        for (uint32_t round = 1; round <= 3; round++) {
            int times[MOST_THINGS] = {0};
            take_all(times, taken, round, total, block, threads[i / 40]);
            for (int64_t k = 0; k < MOST_THINGS; k++)
                assert_int_equal(times[k], k < total);
        }
    }
}

static void ones_own_share_comes_first_and_in_order(void **state)
{
    (void)state;
    ffai__taken taken[3] = {{0}};
    ffai__taking taking = taking_of(taken, 1, 30, 4, 1, 3);
    static const int64_t begins[] = {10, 14, 18, 20, 24, 28, 0, 4, 8};
    ffai__share share;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        assert_true(ffai__take(&taking, &share));
        assert_int_equal(share.begin, begins[i]);
    }
    assert_false(ffai__take(&taking, &share));
}

typedef struct shared_work {
    ffai__taken taken[4];
    uint32_t round;
    int times[MOST_THINGS];
} shared_work;

static void work_through(void *context, int thread, int num_threads)
{
    shared_work *work = context;
    ffai__taking taking = taking_of(work->taken, work->round, MOST_THINGS, 3, thread, num_threads);
    ffai__share share;
    while (ffai__take(&taking, &share)) {
        for (int64_t i = share.begin; i < share.end; i++)
            work->times[i]++;
    }
}

/* Counting without locks: two threads in one block would show as a wrong number, and as a race. */
static void threads_never_have_the_same_block(void **state)
{
    (void)state;
    ffai__thread_pool *pool = NULL;
    shared_work work = {.round = 0};
    assert_int_equal(ffai__thread_pool_create(&pool, 4, NULL, NULL), FFAI_OK);
    for (int i = 1; i <= 200; i++) {
        work.round = (uint32_t)i;
        ffai__thread_pool_run(pool, work_through, &work);
        for (int k = 0; k < MOST_THINGS; k++)
            assert_int_equal(work.times[k], i);
    }
    ffai__thread_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thing_is_taken_once_each_round),
        cmocka_unit_test(ones_own_share_comes_first_and_in_order),
        cmocka_unit_test(threads_never_have_the_same_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
