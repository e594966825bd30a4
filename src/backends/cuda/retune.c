#include "retune.h"

#include <stdio.h>

#include "cuda_devices.h"

ffai_status ffai__cuda_identify(int *threads, char *text, size_t size, int device, ffai_error *err)
{
    ffai_device found;
    *threads = 0;
    FFAI__TRY(ffai__cuda_describe_device(&found, device, err));
    snprintf(text, size, "cuda, %s, compute capability %d.%d, %d multiprocessors", found.name, found.compute_major,
             found.compute_minor, found.multiprocessors);
    return FFAI_OK;
}

/* Heads of more dimensions take more registers: fewer blocks run beside each other. */
static int32_t usual_attend_blocks(const ffai__program *program)
{
    int largest = 0;
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        if (instruction->op == FFAI__OP_attention && instruction->attributes.attention.head_dim > largest)
            largest = instruction->attributes.attention.head_dim;
    }
    return largest > 64 ? 1 : 2;
}

void ffai__cuda_tuning(ffai__tuning *tuning, const ffai__plan *base)
{
    *tuning = ((const ffai__cuda_plan *)base)->tuning;
    if (!tuning->attend_blocks)
        tuning->attend_blocks = usual_attend_blocks(base->program);
}

static ffai_status check_values(const ffai__tuning *tuning, ffai_error *err)
{
    for (size_t i = 0; i < FFAI__NUM_TUNABLES; i++) {
        const ffai__tunable *tunable = &ffai__tunables[i];
        const int32_t value = ffai__tuning_get(tuning, i);
        if (ffai__tunable_is_of(i, ffai__backend_cuda.name) && (value < tunable->least || value > tunable->most))
            return ffai__fail(err, FFAI_E_ARGUMENT, "%s: %d is not from %d to %d", tunable->name, value, tunable->least,
                              tunable->most);
    }
    return FFAI_OK;
}

/* Graphs are made of the values: the next step of each class makes its own anew. */
ffai_status ffai__cuda_retune(ffai__run *base, const ffai__tuning *tuning, ffai_error *err)
{
    ffai__cuda_run *run = (ffai__cuda_run *)base;
    const ffai__cuda_opened *opened = &run->plan->opened;
    FFAI__TRY(check_values(tuning, err));
    if (tuning->row_blocks == run->tuning.row_blocks && tuning->attend_blocks == run->tuning.attend_blocks)
        return FFAI_OK;
    FFAI__TRY(ffai__cuda_enter(opened, err));
    const ffai_status status =
        ffai__cuda_check(opened->driver, opened->driver->stream_wait(run->stream), "waiting for earlier steps", err);
    if (status == FFAI_OK) {
        ffai__cuda_drop_graphs(run);
        run->tuning = *tuning;
        ffai__cuda_choose_splits(run);
    }
    ffai__cuda_leave(opened);
    return status;
}
