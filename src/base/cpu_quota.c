#include "cpu_quota.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

/* The first line of a small system file; false if it cannot be read. */
static bool read_line(char *line, int size, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    const bool ok = fgets(line, size, file) != NULL;
    fclose(file);
    return ok;
}

/* Both in microseconds; a quota of -1 or "max" (read as 0) limits nothing. */
static int processors(long quota, long period)
{
    if (quota <= 0 || period <= 0)
        return INT_MAX;
    const long whole = quota / period + (quota % period != 0);
    return whole < INT_MAX ? (int)whole : INT_MAX;
}

/* Version 2: one line, "quota period". */
static int quota_of_version_2(const char *group)
{
    char path[PATH_BYTES + 32];
    char line[64];
    char *rest = line;
    snprintf(path, sizeof path, "%s/cpu.max", group);
    if (!read_line(line, sizeof line, path))
        return INT_MAX;
    const long quota = strtol(line, &rest, 10);
    return processors(quota, strtol(rest, NULL, 10));
}

/* Version 1: a file for each. */
static int quota_of_version_1(const char *group)
{
    char path[PATH_BYTES + 32];
    char quota[64];
    char period[64];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", group);
    if (!read_line(quota, sizeof quota, path))
        return INT_MAX;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", group);
    if (!read_line(period, sizeof period, path))
        return INT_MAX;
    return processors(strtol(quota, NULL, 10), strtol(period, NULL, 10));
}

/* The least of a group and those above it. In a container the group's own path may lie outside what is mounted:
 * then the mount's root is the group. */
static int least_quota(const char *mount, const char *name, int (*quota_of)(const char *group))
{
    char group[PATH_BYTES];
    int least = INT_MAX;
    const int length = snprintf(group, sizeof group, "%s%s", mount, name);
    if (length < 0 || (size_t)length >= sizeof group)
        return INT_MAX;
    for (char *end = group + length; end; end = strrchr(group, '/')) {
        *end = '\0';
        if (strlen(group) < strlen(mount))
            break;
        const int quota = quota_of(group);
        least = quota < least ? quota : least;
    }
    return least;
}

/* Whether the list "cpu,cpuacct" names the processor controller. */
static bool names_cpu(const char *controllers)
{
    const size_t length = strcspn(controllers, ",");
    if (length == 3 && strncmp(controllers, "cpu", 3) == 0)
        return true;
    return controllers[length] && names_cpu(controllers + length + 1);
}

/* A line is "number:controllers:/path"; version 2's has number 0 and no controllers. */
static int quota_of_line(char *line, const char *root)
{
    char mount[PATH_BYTES];
    char *controllers = strchr(line, ':');
    char *name = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!name)
        return INT_MAX;
    *name++ = '\0';
    controllers++;
    name[strcspn(name, "\n")] = '\0';
    const bool unified = !*controllers;
    if (!unified && !names_cpu(controllers))
        return INT_MAX;
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, unified ? "" : "/cpu");
    return least_quota(mount, name, unified ? quota_of_version_2 : quota_of_version_1);
}

int ffai__cpu_quota(const char *root)
{
    char line[PATH_BYTES];
    int least = INT_MAX;
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    while (file && fgets(line, sizeof line, file)) {
        const int quota = quota_of_line(line, root);
        least = quota < least ? quota : least;
    }
    if (file)
        fclose(file);
    return least;
}
