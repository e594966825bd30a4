#include "results.h"

#include <string.h>

void ffai__results_of(ffai__run *run, const ffai__step *step)
{
    memmove(run->steps + 1, run->steps, FFAI__MOST_AHEAD * sizeof *run->steps);
    run->steps[0] = (ffai__step_size){step->num_rows, step->num_outputs, step->draws != NULL};
}

ffai_status ffai__results_find(const ffai__step_size **size, const ffai__run *run, int behind, bool drawn,
                               ffai_error *err)
{
    if (behind < 0 || behind > run->plan->backend->ahead || !run->steps[behind].num_rows)
        return ffai__fail(err, FFAI_E_ARGUMENT, "there is no step %d behind the last", behind);
    *size = &run->steps[behind];
    return !drawn || (*size)->drew ? FFAI_OK : ffai__fail(err, FFAI_E_ARGUMENT, "the step drew no tokens");
}

ffai_status ffai__results_collect(int32_t *ids, float *chosen, const float **logits, const ffai__run *run, int behind,
                                  const ffai__results *results, ffai_error *err)
{
    const ffai__step_size *size = NULL;
    const size_t vocab_size = (size_t)run->plan->program->vocab_size;
    FFAI__TRY(ffai__results_find(&size, run, behind, ids || chosen, err));
    for (size_t r = 0; ids && r < (size_t)size->num_outputs; r++)
        ids[r] = results->ids[r];
    for (size_t r = 0; chosen && r < (size_t)size->num_outputs; r++)
        chosen[r] = results->logits[r * vocab_size + (size_t)results->ids[r]];
    if (logits)
        *logits = results->logits;
    return FFAI_OK;
}

ffai_status ffai__results_size(size_t *floats, const ffai__run *run, ffai__value value, ffai_error *err)
{
    const ffai__program *program = run->plan->program;
    const ffai__step_size *last = &run->steps[0];
    if (value < 0 || (size_t)value >= program->num_values || program->values[value].kind != FFAI__ACTIVATION)
        return ffai__fail(err, FFAI_E_ARGUMENT, "value %d is not an activation", value);
    const ffai__value_info *info = &program->values[value];
    *floats = (size_t)(info->rows == FFAI__ROWS_R ? last->num_outputs : last->num_rows) * (size_t)info->columns;
    return FFAI_OK;
}
