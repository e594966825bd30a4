#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <hwloc.h>
#include <limits.h>
#include <sched.h>
#include <string.h>

#include "cores.h"

/* Processors are numbered core by core: 0 and 1 are the first core's. */
#define SERVER "package:2 numanode:2 core:4 pu:2"

static hwloc_topology_t new_topology(const char *description)
{
    hwloc_topology_t topology = NULL;
    assert_int_equal(hwloc_topology_init(&topology), 0);
    assert_int_equal(hwloc_topology_set_synthetic(topology, description), 0);
    assert_int_equal(hwloc_topology_load(topology), 0);
    return topology;
}

static hwloc_bitmap_t new_set(const char *list)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    assert_non_null(set);
    assert_int_equal(hwloc_bitmap_list_sscanf(set, list), 0);
    return set;
}

static ffai__cores *cores_of(hwloc_topology_t topology, const char *allowed, int quota)
{
    ffai__cores *cores = NULL;
    hwloc_bitmap_t set = new_set(allowed);
    assert_int_equal(ffai__cores_of_topology(&cores, topology, set, quota, NULL), FFAI_OK);
    hwloc_bitmap_free(set);
    return cores;
}

typedef struct expected {
    const char *allowed;
    int quota;
    int threads;
    int nodes;
} expected;

static void expect(const char *description, const expected *list, size_t count)
{
    hwloc_topology_t topology = new_topology(description);
    for (size_t i = 0; i < count; i++) {
        ffai__cores *cores = cores_of(topology, list[i].allowed, list[i].quota);
        const int threads = ffai__cores_default_threads(cores);
        if (threads != list[i].threads || ffai__cores_nodes(cores, threads) != list[i].nodes)
            fail_msg("%s, processors %s, quota %d: %d threads on %d nodes, not %d on %d", description, list[i].allowed,
                     list[i].quota, threads, ffai__cores_nodes(cores, threads), list[i].threads, list[i].nodes);
        ffai__cores_free(cores);
    }
    hwloc_topology_destroy(topology);
}

static void each_core_that_may_be_used_has_one_thread(void **state)
{
    (void)state;
    static const expected server[] = {
        {"0-31", INT_MAX, 16, 4}, {"0-7", INT_MAX, 4, 1}, {"8-15", INT_MAX, 4, 1}, {"4-11", INT_MAX, 4, 2},
        {"0,1", INT_MAX, 1, 1},   {"1,3", INT_MAX, 2, 1}, {"31", INT_MAX, 1, 1},   {"0,8,16,24", INT_MAX, 4, 4},
        {"0-31", 2, 2, 2},        {"0-31", 100, 16, 4},   {"0-7", 1, 1, 1},
    };
    static const expected desktop[] = {{"0-15", INT_MAX, 8, 1}, {"0-15", 2, 2, 1}, {"5", INT_MAX, 1, 1}};
    expect(SERVER, server, sizeof server / sizeof server[0]);
    expect("package:1 core:8 pu:2", desktop, sizeof desktop / sizeof desktop[0]);
}

static void no_processor_at_all_still_has_one_thread(void **state)
{
    (void)state;
    const expected none = {"99", INT_MAX, 1, 1};
    expect(SERVER, &none, 1);
}

static void processors_are_counted_where_cores_are_unknown(void **state)
{
    (void)state;
    const expected all = {"0-5", INT_MAX, 6, 1};
    expect("pu:6", &all, 1);
}

static void expect_nodes(const ffai__cores *cores, int threads, const char *nodes)
{
    char found[64] = "";
    for (int i = 0; i < threads; i++)
        found[i] = (char)('0' + ffai__cores_node_of(cores, i, threads));
    assert_string_equal(found, nodes);
}

static void neighbouring_threads_are_neighbours_in_the_machine(void **state)
{
    (void)state;
    hwloc_topology_t topology = new_topology(SERVER);
    ffai__cores *cores = cores_of(topology, "0-31", INT_MAX);
    assert_true(ffai__cores_bind_threads(cores));
    expect_nodes(cores, 16, "0000111122223333");
    expect_nodes(cores, 1, "0");
    expect_nodes(cores, 2, "02");
    expect_nodes(cores, 6, "001223");
    expect_nodes(cores, 32, "00000000111111112222222233333333");
    ffai__cores_free(cores);
    cores = cores_of(topology, "8-11,24-31", INT_MAX);
    expect_nodes(cores, 6, "001111");
    ffai__cores_free(cores);
    hwloc_topology_destroy(topology);
}

static void threads_of_one_node_are_not_bound(void **state)
{
    (void)state;
    hwloc_topology_t topology = new_topology(SERVER);
    ffai__cores *cores = cores_of(topology, "16-23", INT_MAX);
    ffai__affinity before;
    cpu_set_t own;
    cpu_set_t now;
    assert_false(ffai__cores_bind_threads(cores));
    assert_int_equal(sched_getaffinity(0, sizeof own, &own), 0);
    ffai__cores_bind(&before, cores, 0, 1);
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_true(CPU_EQUAL(&own, &now));
    ffai__cores_free(cores);
    hwloc_topology_destroy(topology);
}

/* On this machine's own processors, as if each were a node. */
static void a_bound_thread_runs_on_its_node_until_it_is_let_go(void **state)
{
    (void)state;
    cpu_set_t own;
    cpu_set_t now;
    assert_int_equal(sched_getaffinity(0, sizeof own, &own), 0);
    if (!CPU_ISSET(0, &own) || !CPU_ISSET(1, &own))
        skip();
    hwloc_topology_t topology = new_topology("numanode:2 core:1 pu:1");
    ffai__cores *cores = cores_of(topology, "0-1", INT_MAX);
    for (int thread = 0; thread < 2; thread++) {
        ffai__affinity before;
        ffai__cores_bind(&before, cores, thread, 2);
        assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
        assert_int_equal(CPU_COUNT(&now), 1);
        assert_true(CPU_ISSET((size_t)thread, &now));
        assert_int_equal(sched_getcpu(), thread);
        ffai__cores_unbind(cores, &before);
        assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
        assert_true(CPU_EQUAL(&own, &now));
    }
    ffai__cores_free(cores);
    hwloc_topology_destroy(topology);
}

/* --- kinds of cores --- */

typedef struct kind {
    const char *processors;
    const char *name; /* of what is known */
    const char *value;
    const char *core_type;
} kind;

/* Kinds from the slowest. */
static int threads_with_kinds(const char *description, const kind *kinds, int count, const char *allowed)
{
    hwloc_topology_t topology = new_topology(description);
    for (int i = 0; i < count; i++) {
        struct hwloc_info_s infos[2] = {{(char *)(uintptr_t)kinds[i].name, (char *)(uintptr_t)kinds[i].value},
                                        {(char *)(uintptr_t) "CoreType", (char *)(uintptr_t)kinds[i].core_type}};
        hwloc_bitmap_t set = new_set(kinds[i].processors);
        assert_int_equal(hwloc_cpukinds_register(topology, set, i, kinds[i].name ? kinds[i].core_type ? 2 : 1 : 0,
                                                 kinds[i].name ? infos : NULL, 0),
                         0);
        hwloc_bitmap_free(set);
    }
    ffai__cores *cores = cores_of(topology, allowed, INT_MAX);
    const int threads = ffai__cores_default_threads(cores);
    assert_int_equal(ffai__cores_node_of(cores, 0, threads), 0);
    ffai__cores_free(cores);
    hwloc_topology_destroy(topology);
    return threads;
}

static void slow_cores_are_left_out_where_equal_shares_would_wait_for_them(void **state)
{
    (void)state;
    static const kind six_and_four[] = {{"12-15", "FrequencyMaxMHz", "3700", "IntelAtom"},
                                        {"0-11", "FrequencyMaxMHz", "4900", "IntelCore"}};
    static const kind big_little[] = {{"0-3", "LinuxCapacity", "400", NULL}, {"4-7", "LinuxCapacity", "1024", NULL}};
    static const kind unknown[] = {{"0-3", NULL, NULL, NULL}, {"4-7", NULL, NULL, NULL}};
    /* Performance cores have two processors, the others one. */
    assert_int_equal(threads_with_kinds("core:10 pu:2", six_and_four, 2, "0-19"), 6);
    assert_int_equal(threads_with_kinds("core:8 pu:1", big_little, 2, "0-7"), 4);
    assert_int_equal(threads_with_kinds("core:8 pu:1", unknown, 2, "0-7"), 4);
}

static void slow_cores_are_used_where_they_gain_or_there_are_no_others(void **state)
{
    (void)state;
    static const kind many_slow[] = {{"2-15", "LinuxCapacity", "500", NULL}, {"0-1", "LinuxCapacity", "1024", NULL}};
    static const kind nearly_equal[] = {{"4-7", "LinuxCapacity", "990", NULL}, {"0-3", "LinuxCapacity", "1024", NULL}};
    static const kind three[] = {{"0-1", "LinuxCapacity", "200", NULL},
                                 {"2-4", "LinuxCapacity", "900", NULL},
                                 {"5-7", "LinuxCapacity", "1000", NULL}};
    assert_int_equal(threads_with_kinds("core:16 pu:1", many_slow, 2, "0-15"), 16);
    assert_int_equal(threads_with_kinds("core:16 pu:1", many_slow, 2, "2-5"), 4);
    assert_int_equal(threads_with_kinds("core:8 pu:1", nearly_equal, 2, "0-7"), 8);
    assert_int_equal(threads_with_kinds("core:8 pu:1", three, 3, "0-7"), 6);
}

static void more_threads_than_fast_cores_go_on_all(void **state)
{
    (void)state;
    hwloc_topology_t topology = new_topology("numanode:2 core:4 pu:1");
    hwloc_bitmap_t slow = new_set("4-7");
    hwloc_bitmap_t fast = new_set("0-3");
    assert_int_equal(hwloc_cpukinds_register(topology, slow, 0, 0, NULL, 0), 0);
    assert_int_equal(hwloc_cpukinds_register(topology, fast, 1, 0, NULL, 0), 0);
    hwloc_bitmap_free(slow);
    hwloc_bitmap_free(fast);
    ffai__cores *cores = cores_of(topology, "0-7", INT_MAX);
    assert_int_equal(ffai__cores_default_threads(cores), 4);
    expect_nodes(cores, 4, "0000");
    expect_nodes(cores, 8, "00001111");
    ffai__cores_free(cores);
    hwloc_topology_destroy(topology);
}

static void this_machine_has_cores(void **state)
{
    (void)state;
    ffai__cores *cores = NULL;
    cpu_set_t own;
    assert_int_equal(ffai__cores_find(&cores, NULL), FFAI_OK);
    assert_int_equal(sched_getaffinity(0, sizeof own, &own), 0);
    const int threads = ffai__cores_default_threads(cores);
    assert_true(threads >= 1 && threads <= CPU_COUNT(&own));
    assert_true(ffai__cores_nodes(cores, threads) >= 1);
    ffai__cores_free(cores);
}

static void a_thread_tied_to_one_processor_finds_one_core(void **state)
{
    (void)state;
    ffai__cores *cores = NULL;
    cpu_set_t own;
    cpu_set_t one;
    assert_int_equal(sched_getaffinity(0, sizeof own, &own), 0);
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(ffai__cores_find(&cores, NULL), FFAI_OK);
    assert_int_equal(ffai__cores_default_threads(cores), 1);
    assert_int_equal(sched_setaffinity(0, sizeof own, &own), 0);
    ffai__cores_free(cores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_core_that_may_be_used_has_one_thread),
        cmocka_unit_test(no_processor_at_all_still_has_one_thread),
        cmocka_unit_test(processors_are_counted_where_cores_are_unknown),
        cmocka_unit_test(neighbouring_threads_are_neighbours_in_the_machine),
        cmocka_unit_test(threads_of_one_node_are_not_bound),
        cmocka_unit_test(a_bound_thread_runs_on_its_node_until_it_is_let_go),
        cmocka_unit_test(slow_cores_are_left_out_where_equal_shares_would_wait_for_them),
        cmocka_unit_test(slow_cores_are_used_where_they_gain_or_there_are_no_others),
        cmocka_unit_test(more_threads_than_fast_cores_go_on_all),
        cmocka_unit_test(this_machine_has_cores),
        cmocka_unit_test(a_thread_tied_to_one_processor_finds_one_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
