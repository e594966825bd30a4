#include "liveness.h"

#include <stdlib.h>

#include "alloc.h"

void ffai__lifetimes_find(ffai__lifetime *lifetimes, const ffai__program *program, bool keep)
{
    for (size_t v = 0; v < program->num_values; v++) {
        const ffai__value_info *info = &program->values[v];
        if (info->kind != FFAI__ACTIVATION)
            lifetimes[v].bytes = 0;
        lifetimes[v].birth = info->producer < 0 ? 0 : (size_t)info->producer;
        lifetimes[v].death = keep ? SIZE_MAX : lifetimes[v].birth;
    }
    for (size_t i = 0; i < program->num_instructions && !keep; i++) {
        for (int k = 0; k < FFAI__MAX_INPUTS; k++) {
            if (program->instructions[i].in[k] != FFAI__NONE)
                lifetimes[program->instructions[i].in[k]].death = i;
        }
    }
    lifetimes[program->logits].death = SIZE_MAX;
}

static int by_birth(const void *a, const void *b)
{
    const ffai__lifetime *const *x = a;
    const ffai__lifetime *const *y = b;
    if ((*x)->birth != (*y)->birth)
        return (*x)->birth < (*y)->birth ? -1 : 1;
    return *x < *y ? -1 : *x > *y; /* as they stand in the program */
}

/* The lowest gap between those of placed, in order of their offsets, that are still alive. */
static size_t find_gap(uint64_t *offset, ffai__lifetime *const *placed, size_t count, const ffai__lifetime *value)
{
    size_t at = 0;
    uint64_t gap = 0;
    for (size_t i = 0; i < count; i++) {
        if (placed[i]->death < value->birth)
            continue;
        if (placed[i]->offset >= gap && placed[i]->offset - gap >= value->bytes)
            break;
        const uint64_t end = placed[i]->offset + placed[i]->bytes;
        gap = end > gap ? end : gap;
    }
    while (at < count && placed[at]->offset < gap)
        at++;
    *offset = gap;
    return at;
}

static ffai_status place_all(uint64_t *end, ffai__lifetime *const *order, size_t count, ffai__lifetime **placed,
                             ffai_error *err)
{
    *end = 0;
    for (size_t n = 0; n < count; n++) {
        ffai__lifetime *value = order[n];
        const size_t at = find_gap(&value->offset, placed, n, value);
        for (size_t i = n; i > at; i--)
            placed[i] = placed[i - 1];
        placed[at] = value;
        if (value->bytes > UINT64_MAX / 4 || value->offset > UINT64_MAX / 4 - value->bytes)
            return ffai__fail_memory(err, "activations", UINT64_MAX);
        if (value->offset + value->bytes > *end)
            *end = value->offset + value->bytes;
    }
    return FFAI_OK;
}

ffai_status ffai__lifetimes_place(uint64_t *end, ffai__lifetime *lifetimes, size_t count, ffai_error *err)
{
    ffai__lifetime **order = ffai__calloc(2 * count + 1, sizeof *order);
    if (!order)
        return ffai__fail_memory(err, "places of activations", 2 * count * sizeof *order);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (lifetimes[i].bytes)
            order[used++] = &lifetimes[i];
    }
    qsort(order, used, sizeof *order, by_birth);
    const ffai_status status = place_all(end, order, used, order + count, err);
    ffai__free(order);
    return status;
}
