#include "step_check.h"

static ffai_status check_sizes(const ffai__step *step, const ffai__run_options *options, ffai_error *err)
{
    if (step->num_rows < 1 || step->num_rows > options->max_rows)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: %d rows; this run takes 1 to %d", step->num_rows,
                          options->max_rows);
    if (step->num_outputs < 0 || step->num_outputs > options->max_outputs)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: %d output rows; this run gives at most %d", step->num_outputs,
                          options->max_outputs);
    if (step->num_sequences < 1 || step->num_sequences > options->max_sequences)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: %d sequences; this run holds at most %d", step->num_sequences,
                          options->max_sequences);
    return FFAI_OK;
}

static ffai_status check_row(const ffai__step *step, int32_t t, const ffai__program *program,
                             const ffai__run_options *options, ffai_error *err)
{
    const int32_t token = step->tokens[t];
    const int32_t position = step->positions[t];
    const int32_t sequence = step->sequence_of_row[t];
    if (token != FFAI__TOKEN_SAMPLED && (token < 0 || token >= program->vocab_size))
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: row %d: token %d is outside the vocabulary of %lld", t, token,
                          (long long)program->vocab_size);
    if (position < 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: row %d: position %d is negative", t, position);
    if (position >= options->max_context)
        return ffai__fail(err, FFAI_E_CONTEXT_FULL, "step: row %d: position %d is beyond the context of %lld", t,
                          position, (long long)options->max_context);
    if (sequence < 0 || sequence >= step->num_sequences)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: row %d: there is no sequence %d", t, sequence);
    return FFAI_OK;
}

/* The sequence's rows: contiguous, of this sequence, positions rising by one, pages within the run. */
static ffai_status check_sequence(const ffai__step *step, int32_t s, const ffai__program *program,
                                  const ffai__run_options *options, ffai_error *err)
{
    const ffai__step_sequence *sequence = &step->sequences[s];
    const int32_t first = sequence->first_row;
    if (sequence->slot < 0 || sequence->slot >= options->max_sequences)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: sequence %d: there is no slot %d", s, sequence->slot);
    if (first < 0 || sequence->num_rows < 1 || sequence->num_rows > step->num_rows - first)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: sequence %d: its rows lie outside the step", s);
    for (int32_t t = first; t < first + sequence->num_rows; t++) {
        if (step->sequence_of_row[t] != s || step->positions[t] != step->positions[first] + (t - first))
            return ffai__fail(err, FFAI_E_ARGUMENT, "step: row %d: does not continue sequence %d", t, s);
    }
    const int32_t pages = step->positions[first + sequence->num_rows - 1] / FFAI__PAGE_TOKENS + 1;
    for (size_t g = 0; g < program->num_groups; g++) {
        for (int32_t i = 0; i < pages; i++) {
            if (sequence->tables[g][i].page >= options->num_pages)
                return ffai__fail(err, FFAI_E_ARGUMENT, "step: sequence %d: there is no page %u", s,
                                  sequence->tables[g][i].page);
        }
    }
    return FFAI_OK;
}

ffai_status ffai__step_check(const ffai__step *step, const ffai__program *program, const ffai__run_options *options,
                             ffai_error *err)
{
    FFAI__TRY(check_sizes(step, options, err));
    for (int32_t t = 0; t < step->num_rows; t++)
        FFAI__TRY(check_row(step, t, program, options, err));
    int32_t covered = 0;
    for (int32_t s = 0; s < step->num_sequences; s++) {
        FFAI__TRY(check_sequence(step, s, program, options, err));
        covered += step->sequences[s].num_rows;
    }
    if (covered != step->num_rows)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: the sequences have %d rows, the step %d", covered,
                          step->num_rows);
    for (int32_t r = 0; r < step->num_outputs; r++) {
        if (step->output_rows[r] < 0 || step->output_rows[r] >= step->num_rows)
            return ffai__fail(err, FFAI_E_ARGUMENT, "step: output %d: there is no row %d", r, step->output_rows[r]);
    }
    return FFAI_OK;
}

ffai_status ffai__copy_page_check(int group, uint32_t to, uint32_t from, const ffai__program *program,
                                  const ffai__run_options *options, ffai_error *err)
{
    if (group < 0 || (size_t)group >= program->num_groups)
        return ffai__fail(err, FFAI_E_ARGUMENT, "there is no group %d of layers", group);
    if (to >= options->num_pages || from >= options->num_pages)
        return ffai__fail(err, FFAI_E_ARGUMENT, "there is no page %u", to > from ? to : from);
    return FFAI_OK;
}

ffai_status ffai__copy_tokens_check(int32_t to_slot, int32_t from_slot, int64_t length,
                                    const ffai__run_options *options, ffai_error *err)
{
    const int32_t slots = options->max_sequences;
    if (to_slot < 0 || to_slot >= slots || from_slot < 0 || from_slot >= slots || length < 0 ||
        length > options->max_context + 1)
        return ffai__fail(err, FFAI_E_ARGUMENT, "cannot copy %lld tokens from slot %d to slot %d", (long long)length,
                          from_slot, to_slot);
    return FFAI_OK;
}
