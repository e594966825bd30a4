/* How much processor time a control group grants this process. */
#ifndef FFAI_BASE_CPU_QUOTA_H
#define FFAI_BASE_CPU_QUOTA_H

/* Processors' worth of time, rounded up, that the process's control group and those above it grant, in version 1
 * or 2 of control groups; INT_MAX where nothing limits it or the system does not tell. root: "", or a folder in
 * which proc/self/cgroup and sys/fs/cgroup lie instead. */
int ffai__cpu_quota(const char *root);

#endif
