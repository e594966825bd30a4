#include "results.h"

#include <string.h>

void ffai__results_of(ffai__run *run, const ffai__step *step)
{
    run->num_rows = step->num_rows;
    run->num_outputs = step->num_outputs;
    run->drew = step->draws != NULL;
}

ffai_status ffai__results_ids(int32_t *out, const ffai__run *run, const int32_t *ids, ffai_error *err)
{
    if (out && !run->drew)
        return ffai__fail(err, FFAI_E_ARGUMENT, "the last step drew no tokens");
    if (out && run->num_outputs)
        memcpy(out, ids, (size_t)run->num_outputs * sizeof *out);
    return FFAI_OK;
}

ffai_status ffai__results_size(size_t *floats, const ffai__run *run, ffai__value value, ffai_error *err)
{
    const ffai__program *program = run->plan->program;
    if (value < 0 || (size_t)value >= program->num_values || program->values[value].kind != FFAI__ACTIVATION)
        return ffai__fail(err, FFAI_E_ARGUMENT, "value %d is not an activation", value);
    const ffai__value_info *info = &program->values[value];
    *floats = (size_t)(info->rows == FFAI__ROWS_R ? run->num_outputs : run->num_rows) * (size_t)info->columns;
    return FFAI_OK;
}
