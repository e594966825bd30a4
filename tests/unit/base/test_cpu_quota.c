#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu_quota.h"

static char root[128];

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static int make_root(void **state)
{
    (void)state;
    const char *folder = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/ffai-quota-XXXXXX", folder ? folder : "/tmp");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A file under the root, and the folders on the way to it. */
static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0700);
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void nothing_known_limits_nothing(void **state)
{
    (void)state;
    assert_int_equal(ffai__cpu_quota(root), INT_MAX);
    put("proc/self/cgroup", "");
    assert_int_equal(ffai__cpu_quota(root), INT_MAX);
    put("proc/self/cgroup", "0::/\n");
    assert_int_equal(ffai__cpu_quota(root), INT_MAX);
}

static void a_container_has_its_own_quota(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(ffai__cpu_quota(root), 2);
    put("sys/fs/cgroup/cpu.max", "150000 100000\n");
    assert_int_equal(ffai__cpu_quota(root), 2);
    put("sys/fs/cgroup/cpu.max", "5000 100000\n");
    assert_int_equal(ffai__cpu_quota(root), 1);
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    assert_int_equal(ffai__cpu_quota(root), INT_MAX);
}

static void the_least_of_a_group_and_those_above_it_counts(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/user.slice/job.scope\n");
    put("sys/fs/cgroup/user.slice/cpu.max", "300000 100000\n");
    put("sys/fs/cgroup/user.slice/job.scope/cpu.max", "max 100000\n");
    assert_int_equal(ffai__cpu_quota(root), 3);
    put("sys/fs/cgroup/user.slice/job.scope/cpu.max", "100000 100000\n");
    assert_int_equal(ffai__cpu_quota(root), 1);
    put("sys/fs/cgroup/user.slice/job.scope/cpu.max", "800000 100000\n");
    assert_int_equal(ffai__cpu_quota(root), 3);
}

static void version_1_has_a_file_for_each(void **state)
{
    (void)state;
    put("proc/self/cgroup", "5:cpuset:/docker/a\n4:cpuacct,cpu:/docker/a\n1:name=systemd:/docker/a\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(ffai__cpu_quota(root), 4);
    put("sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "50000\n");
    put("sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us", "50000\n");
    assert_int_equal(ffai__cpu_quota(root), 1);
    put("sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(ffai__cpu_quota(root), 4);
}

static void odd_lines_limit_nothing(void **state)
{
    (void)state;
    put("proc/self/cgroup", "\n:\nno colons\n1:cpuset\n2:cpux,xcpu:/\n0::\n");
    put("sys/fs/cgroup/cpu.max", "many of them\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(ffai__cpu_quota(root), INT_MAX);
    put("sys/fs/cgroup/cpu.max", "100000 0\n");
    assert_int_equal(ffai__cpu_quota(root), INT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_known_limits_nothing, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_container_has_its_own_quota, make_root, remove_root),
        cmocka_unit_test_setup_teardown(the_least_of_a_group_and_those_above_it_counts, make_root, remove_root),
        cmocka_unit_test_setup_teardown(version_1_has_a_file_for_each, make_root, remove_root),
        cmocka_unit_test_setup_teardown(odd_lines_limit_nothing, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
