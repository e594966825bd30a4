/* What one call may cost: bytes that steps may write and time that regexes may take. Both are far above what
 * honest tokenizers need; they bound the hostile ones. */
#ifndef FFAI_TEXT_BUDGET_H
#define FFAI_TEXT_BUDGET_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

typedef struct ffai__budget {
    uint64_t bytes_left;
    uint64_t deadline; /* nanoseconds of the monotonic clock */
    unsigned calls;    /* since the clock was last read */
} ffai__budget;

/* For an input of `size` bytes: 16 MiB and 256 bytes for each, 10 s and 10 s for each MiB. */
void ffai__budget_start(ffai__budget *budget, size_t size);

ffai_status ffai__budget_take_bytes(ffai__budget *budget, uint64_t bytes, ffai_error *err);

/* Cheap: reads the clock at every 64th call. */
ffai_status ffai__budget_check_time(ffai__budget *budget, ffai_error *err);
/* Reads the clock. */
ffai_status ffai__budget_check_time_now(const ffai__budget *budget, ffai_error *err);

#endif
