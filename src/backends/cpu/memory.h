/* The system's memory: large regions, and pages of mapped files that are no longer needed. */
#ifndef FFAI_CPU_MEMORY_H
#define FFAI_CPU_MEMORY_H

#include "failure.h"

#include <stddef.h>
#include <stdint.h>

typedef enum ffai__region_kind {
    FFAI__REGION_FILLED,  /* written soon and whole: in huge pages where the system has them */
    FFAI__REGION_GROWING, /* reserved and touched from its start on, a part at a time: in huge pages too */
    FFAI__REGION_LAZY     /* reserved; takes memory only where it is touched */
} ffai__region_kind;

typedef struct ffai__region {
    uint8_t *data; /* page-aligned zeros, NULL if bytes is 0 */
    uint64_t bytes;
} ffai__region;

/* what: for the error, "not enough memory for <what>: …". Release a region once; an empty one may be released. */
ffai_status ffai__region_reserve(ffai__region *region, uint64_t bytes, ffai__region_kind kind, const char *what,
                                 ffai_error *err);
void ffai__region_release(ffai__region *region);
/* Its bytes are zeros again and take no memory. */
void ffai__region_forget(const ffai__region *region);

/* The process's read-only mappings of files, at the time they were looked up. */
typedef struct ffai__file_ranges {
    struct {
        uintptr_t begin;
        uintptr_t end;
    } * ranges;
    size_t count;
} ffai__file_ranges;

/* Leaves no ranges where the system does not tell or memory is short. */
void ffai__file_ranges_find(ffai__file_ranges *ranges);
void ffai__file_ranges_free(ffai__file_ranges *ranges);

/* Letting go of mapped pages whose bytes are done with, several megabytes at once, because each time interrupts every
 * thread: of all between the lowest and the highest byte added since the last time. Pages that are still wanted are
 * mapped again when they are touched. Starts as all zeros; one thread's own. */
typedef struct ffai__file_release {
    uintptr_t begin; /* of one mapping alone: what lies beyond it is not ours */
    uintptr_t end;
    size_t range;
    uint64_t bytes; /* added since the last time */
} ffai__file_release;

/* [data, data + bytes) is done with. Memory of none of these mappings is left alone. */
void ffai__file_release_add(ffai__file_release *release, const ffai__file_ranges *ranges, const void *data,
                            uint64_t bytes);
void ffai__file_release_finish(ffai__file_release *release);

#endif
