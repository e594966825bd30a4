#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "team.h"

enum { MS = 1000000 };

/* Runs of 4 ms for so long, of which the unluckiest of more threads than `free` loses the share of its core that
 * another process has, in percent; returns the threads of the last. */
static int run(ffai__team *team, int milliseconds, int free, int percent)
{
    for (int i = 0; i < milliseconds; i += 4)
        ffai__team_note(team, 4 * MS, team->active > free ? INT64_C(4) * MS * percent / 100 : 0);
    return team->active;
}

static void all_threads_work_while_nobody_else_does(void **state)
{
    (void)state;
    ffai__team team = ffai__team_of(8);
    assert_int_equal(team.active, 8);
    assert_int_equal(run(&team, 10000, 8, 0), 8);
    assert_int_equal(run(&team, 10000, 0, 3), 8);
}

static void a_thread_that_has_half_a_core_is_given_up(void **state)
{
    (void)state;
    ffai__team two = ffai__team_of(2);
    ffai__team eight = ffai__team_of(8);
    assert_int_equal(run(&two, 32, 1, 50), 1);
    assert_int_equal(run(&eight, 32, 7, 50), 7);
    assert_int_equal(run(&eight, 100, 5, 50), 5);
}

static void one_unlucky_turn_is_no_reason(void **state)
{
    (void)state;
    ffai__team team = ffai__team_of(2);
    run(&team, 12, 2, 0);
    run(&team, 4, 1, 100);
    assert_int_equal(run(&team, 40, 2, 0), 2);
}

static void the_last_thread_is_never_given_up(void **state)
{
    (void)state;
    ffai__team team = ffai__team_of(4);
    assert_int_equal(run(&team, 900, 0, 90), 1);
    ffai__team one = ffai__team_of(1);
    assert_int_equal(run(&one, 5000, 0, 90), 1);
}

/* Runs of 4 ms with one thread more than is free. */
static int tries(ffai__team *team, int milliseconds, int free)
{
    int count = 0;
    for (int i = 0; i < milliseconds; i += 4) {
        count += team->active > free;
        run(team, 4, free, 50);
    }
    return count;
}

static void trying_again_gets_rarer(void **state)
{
    (void)state;
    ffai__team team = ffai__team_of(2);
    run(&team, 32, 1, 50);
    assert_in_range(tries(&team, 4000, 1), 12, 18);
    tries(&team, 60000, 1);
    assert_in_range(tries(&team, 100000, 1), 30, 45);
}

static void all_threads_come_back_when_the_cores_are_free_again(void **state)
{
    (void)state;
    ffai__team team = ffai__team_of(8);
    assert_int_equal(run(&team, 100, 5, 50), 5);
    assert_int_equal(run(&team, 1400, 8, 0), 8);
    assert_int_equal(run(&team, 32, 7, 50), 7);
    assert_int_equal(run(&team, 80, 8, 0), 7);
    assert_int_equal(run(&team, 60, 8, 0), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_threads_work_while_nobody_else_does),
        cmocka_unit_test(a_thread_that_has_half_a_core_is_given_up),
        cmocka_unit_test(one_unlucky_turn_is_no_reason),
        cmocka_unit_test(the_last_thread_is_never_given_up),
        cmocka_unit_test(trying_again_gets_rarer),
        cmocka_unit_test(all_threads_come_back_when_the_cores_are_free_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
