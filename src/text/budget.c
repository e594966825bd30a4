#define _POSIX_C_SOURCE 200809L
#include "budget.h"

#include <time.h>

#define SECOND 1000000000u

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void ffai__budget_start(ffai__budget *budget, size_t size)
{
    const uint64_t mebibyte = 1u << 20;
    budget->bytes_left = 16 * mebibyte + 256 * (uint64_t)size;
    budget->deadline = now() + 10ull * SECOND * (1 + (uint64_t)size / mebibyte);
    budget->calls = 0;
}

ffai_status ffai__budget_take_bytes(ffai__budget *budget, uint64_t bytes, ffai_error *err)
{
    if (bytes > budget->bytes_left)
        return ffai__fail(err, FFAI_E_LIMIT, "the tokenizer's steps make the text hundreds of times longer");
    budget->bytes_left -= bytes;
    return FFAI_OK;
}

ffai_status ffai__budget_check_time_now(const ffai__budget *budget, ffai_error *err)
{
    if (now() > budget->deadline)
        return ffai__fail(err, FFAI_E_LIMIT, "the tokenizer's regular expressions take too long on this text");
    return FFAI_OK;
}

ffai_status ffai__budget_check_time(ffai__budget *budget, ffai_error *err)
{
    if (++budget->calls % 64 != 0)
        return FFAI_OK;
    return ffai__budget_check_time_now(budget, err);
}
