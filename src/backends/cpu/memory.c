#define _GNU_SOURCE
#include "memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc.h"

#define RELEASE_BYTES ((uint64_t)4 << 20)

ffai_status ffai__region_reserve(ffai__region *region, uint64_t bytes, ffai__region_kind kind, const char *what,
                                 ffai_error *err)
{
    *region = (ffai__region){NULL, 0};
    if (bytes == 0)
        return FFAI_OK;
    const int lazy = kind == FFAI__REGION_FILLED ? 0 : MAP_NORESERVE;
    void *data = bytes > SIZE_MAX / 2
                     ? MAP_FAILED
                     : mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | lazy, -1, 0);
    if (data == MAP_FAILED)
        return ffai__fail_memory(err, what, bytes);
    if (kind != FFAI__REGION_LAZY)
        madvise(data, (size_t)bytes, MADV_HUGEPAGE); /* a wish: failing costs speed alone */
    *region = (ffai__region){data, bytes};
    return FFAI_OK;
}

void ffai__region_release(ffai__region *region)
{
    if (region->data)
        munmap(region->data, (size_t)region->bytes);
    *region = (ffai__region){NULL, 0};
}

void ffai__region_forget(const ffai__region *region)
{
    if (region->data && madvise(region->data, (size_t)region->bytes, MADV_DONTNEED) != 0)
        memset(region->data, 0, (size_t)region->bytes);
}

static uintptr_t least(uintptr_t a, uintptr_t b)
{
    return a < b ? a : b;
}

static bool add_range(ffai__file_ranges *ranges, uintptr_t begin, uintptr_t end)
{
    void *grown = ffai__realloc(ranges->ranges, ranges->count + 1, sizeof *ranges->ranges);
    if (!grown)
        return false;
    ranges->ranges = grown;
    ranges->ranges[ranges->count].begin = begin;
    ranges->ranges[ranges->count].end = end;
    ranges->count++;
    return true;
}

/* A line is "begin-end perms offset device inode path"; memory without a file has inode 0. */
void ffai__file_ranges_find(ffai__file_ranges *ranges)
{
    *ranges = (ffai__file_ranges){NULL, 0};
    FILE *file = fopen("/proc/self/maps", "re");
    if (!file)
        return;
    char line[512];
    bool ok = true;
    while (ok && fgets(line, sizeof line, file)) {
        uintptr_t begin = 0;
        uintptr_t end = 0;
        char permissions[5] = "";
        uint64_t inode = 0;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %" SCNu64, &begin, &end, permissions, &inode) == 4 &&
            inode && strncmp(permissions, "r--", 3) == 0)
            ok = add_range(ranges, begin, end);
    }
    fclose(file);
}

void ffai__file_ranges_free(ffai__file_ranges *ranges)
{
    ffai__free(ranges->ranges);
    *ranges = (ffai__file_ranges){NULL, 0};
}

void ffai__file_release_finish(ffai__file_release *release)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    /* Down on both sides: the first page's other bytes belong to what was done with before. */
    const uintptr_t begin = release->begin / page * page;
    const uintptr_t end = release->end / page * page;
    if (end > begin)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
    *release = (ffai__file_release){0, 0, release->range, 0};
}

void ffai__file_release_add(ffai__file_release *release, const ffai__file_ranges *ranges, const void *data,
                            uint64_t bytes)
{
    const uintptr_t begin = (uintptr_t)data;
    size_t range = 0;
    while (range < ranges->count && (begin < ranges->ranges[range].begin || begin >= ranges->ranges[range].end))
        range++;
    if (range == ranges->count)
        return;
    if (release->bytes && (release->bytes >= RELEASE_BYTES || release->range != range))
        ffai__file_release_finish(release);
    const uintptr_t end = least(begin + (uintptr_t)bytes, ranges->ranges[range].end);
    release->begin = release->bytes ? least(release->begin, begin) : begin;
    release->end = release->end > end ? release->end : end;
    release->range = range;
    release->bytes += bytes;
}
