#include "memory_info.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One number from a file of one line; UINT64_MAX where there is none ("max", a missing file). */
static uint64_t read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    uint64_t number = 0;
    const int read = fscanf(file, "%" SCNu64, &number);
    fclose(file);
    return read == 1 ? number : UINT64_MAX;
}

static uint64_t kernel_available(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file)
        return UINT64_MAX;
    char line[128];
    uint64_t kilobytes = 0;
    uint64_t available = UINT64_MAX;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemAvailable: %" SCNu64, &kilobytes) == 1)
            available = kilobytes * 1024;
    }
    fclose(file);
    return available;
}

/* What a control group leaves: its limit less what it uses. Inside a container the group is mounted at the root. */
static uint64_t group_available(const char *limit_path, const char *usage_path)
{
    const uint64_t limit = read_number(limit_path);
    const uint64_t usage = read_number(usage_path);
    if (limit == UINT64_MAX || usage == UINT64_MAX)
        return UINT64_MAX;
    return limit > usage ? limit - usage : 0;
}

uint64_t ffai__memory_available(void)
{
    const uint64_t limits[] = {
        kernel_available(),
        group_available("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        group_available("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    };
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        least = limits[i] < least ? limits[i] : least;
    return least;
}
