#include "session.h"

#include <string.h>

ffai_status ffai_sampling_check(const ffai_sampling *p, ffai_error *err)
{
    const struct {
        const char *name;
        double value, least, most;
    } ranges[] = {
        {"temperature", (double)p->temperature, 0, 100},
        {"top_k", (double)p->top_k, 0, INT32_MAX},
        {"top_p", (double)p->top_p, 0, 1},
        {"min_p", (double)p->min_p, 0, 1},
        {"repetition_penalty", (double)p->repetition_penalty, 0.01, 100},
        {"presence_penalty", (double)p->presence_penalty, -100, 100},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (!(ranges[i].value >= ranges[i].least && ranges[i].value <= ranges[i].most))
            return ffai__fail(err, FFAI_E_ARGUMENT, "%s: must be from %g to %g, not %g", ranges[i].name,
                              ranges[i].least, ranges[i].most, ranges[i].value);
    }
    return FFAI_OK;
}

static ffai__draw draw_of(const ffai_sampling *p)
{
    static const ffai_sampling greedy = FFAI_SAMPLING_INIT;
    if (!p)
        p = &greedy;
    return (ffai__draw){p->temperature,      p->top_k, p->top_p,   p->min_p,      p->repetition_penalty,
                        p->presence_penalty, p->seed,  p->allowed, p->num_allowed};
}

static ffai_status check_row(const ffai_session *s, const ffai_row *rows, size_t t, int64_t position, ffai_error *err)
{
    const ffai_row *row = &rows[t];
    const ffai__sequence *q = &s->sequences[row->sequence];
    const int64_t vocab_size = s->model->program->vocab_size;
    if (row->token == FFAI_TOKEN_DRAWN && position != q->drawn_position)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: row %zu: no token was drawn for position %lld of sequence %d", t,
                          (long long)position, row->sequence);
    if (row->token != FFAI_TOKEN_DRAWN && (row->token < 0 || row->token >= vocab_size))
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: row %zu: token %d is outside the vocabulary of %lld", t,
                          row->token, (long long)vocab_size);
    if (row->sampling && ffai_sampling_check(row->sampling, err) != FFAI_OK)
        return ffai__fail_in(err, FFAI_E_ARGUMENT, "step: row %zu", t);
    return FFAI_OK;
}

/* Append a sequence to the step unless its rows began before and were interrupted. */
static ffai_status begin_sequence(ffai_session *s, ffai_sequence number, size_t row, ffai_error *err)
{
    FFAI__TRY(ffai__sequence_require(s, number, err));
    for (int32_t i = 0; i < s->step.num_sequences; i++) {
        if (s->step_sequences[i].slot == number)
            return ffai__fail(err, FFAI_E_ARGUMENT, "step: row %zu: the rows of sequence %d do not stand together", row,
                              number);
    }
    s->step_sequences[s->step.num_sequences++] = (ffai__step_sequence){
        .slot = number,
        .first_row = (int32_t)row,
        .num_rows = 0,
        .tables = (const ffai__page_ref *const *)s->sequences[number].tables,
    };
    return FFAI_OK;
}

/* The results of the step being built take the place of the oldest ones. */
static ffai__step_results *results_being_built(ffai_session *s)
{
    return &s->results[FFAI__MOST_AHEAD];
}

static ffai_status add_output(ffai_session *s, const ffai_row *row, ffai_error *err)
{
    const int32_t output = s->step.num_outputs;
    ffai__step_results *results = results_being_built(s);
    if (output >= s->options.max_outputs)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: more than %d output rows; see max_outputs",
                          s->options.max_outputs);
    s->output_rows[output] = s->step.num_rows;
    s->draws[output] = draw_of(row->sampling);
    results->row_draws[output] = row->sampling != NULL;
    results->drew = results->drew || row->sampling != NULL;
    results->num_outputs = ++s->step.num_outputs;
    return FFAI_OK;
}

static ffai_status add_row(ffai_session *s, const ffai_row *rows, size_t t, ffai_error *err)
{
    const ffai_row *row = &rows[t];
    if (t == 0 || row->sequence != rows[t - 1].sequence)
        FFAI__TRY(begin_sequence(s, row->sequence, t, err));
    ffai__step_sequence *current = &s->step_sequences[s->step.num_sequences - 1];
    const int64_t position = s->sequences[row->sequence].length + current->num_rows;
    if (position >= s->options.max_context)
        return ffai__fail(err, FFAI_E_CONTEXT_FULL, "step: sequence %d: its context of %lld is full", row->sequence,
                          (long long)s->options.max_context);
    FFAI__TRY(check_row(s, rows, t, position, err));
    s->tokens[t] = row->token == FFAI_TOKEN_DRAWN ? FFAI__TOKEN_SAMPLED : row->token;
    s->positions[t] = (int32_t)position;
    s->sequence_of_row[t] = s->step.num_sequences - 1;
    if (row->output)
        FFAI__TRY(add_output(s, row, err));
    current->num_rows++;
    s->step.num_rows++;
    return FFAI_OK;
}

static ffai_status build_step(ffai_session *s, const ffai_row *rows, size_t n, ffai_error *err)
{
    if (n < 1 || n > (size_t)s->options.max_rows)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: %zu rows; this session takes 1 to %d at once", n,
                          s->options.max_rows);
    ffai__step_results *results = results_being_built(s);
    results->num_outputs = 0;
    results->drew = false;
    s->step = (ffai__step){.tokens = s->tokens,
                           .positions = s->positions,
                           .sequence_of_row = s->sequence_of_row,
                           .sequences = s->step_sequences,
                           .output_rows = s->output_rows,
                           .keep_going = s->keep_going,
                           .keep_going_context = s->keep_going_context};
    for (size_t t = 0; t < n; t++)
        FFAI__TRY(add_row(s, rows, t, err));
    s->step.draws = results->drew ? s->draws : NULL;
    return FFAI_OK;
}

static ffai_status run_step(ffai_session *s, ffai_error *err)
{
    for (int32_t i = 0; i < s->step.num_sequences; i++) {
        ffai__sequence *q = &s->sequences[s->step_sequences[i].slot];
        FFAI__TRY(ffai__sequence_provide_pages(s, q, q->length + s->step_sequences[i].num_rows, err));
    }
    FFAI__TRY(s->model->backend->step(s->run, &s->step, err));
    return ffai__checkpoint_check(s->model->checkpoint, err);
}

static void note_draws(ffai_session *s)
{
    const ffai__step_results *results = &s->results[0];
    for (int32_t r = 0; results->drew && r < results->num_outputs; r++) {
        const int32_t row = s->output_rows[r];
        ffai__sequence *q = &s->sequences[s->step_sequences[s->sequence_of_row[row]].slot];
        if (results->row_draws[r])
            q->drawn_position = s->positions[row] + 1;
    }
}

/* The step that was built is the last one now. */
static void note_results(ffai_session *s)
{
    const ffai__step_results built = *results_being_built(s);
    memmove(s->results + 1, s->results, FFAI__MOST_AHEAD * sizeof *s->results);
    s->results[0] = built;
    s->num_results++;
    s->submitted = true;
}

/* The sequence is as long as before the step. One that was cancelled may have put its own token where another was
 * drawn. */
static void undo(ffai_session *s, const ffai__step_sequence *part, ffai_status status)
{
    ffai__sequence *q = &s->sequences[part->slot];
    if (status == FFAI_E_CANCELLED && s->tokens[part->first_row] != FFAI__TOKEN_SAMPLED)
        q->drawn_position = -1;
    ffai__sequence_keep_pages(s, q, q->length);
}

ffai_status ffai_step_submit(ffai_session *s, const ffai_row *rows, size_t n, ffai_error *err)
{
    const int ahead = s->model->backend->ahead;
    s->submitted = false;
    s->num_results = s->num_results < ahead ? s->num_results : ahead;
    FFAI__TRY(build_step(s, rows, n, err));
    const ffai_status status = run_step(s, err);
    for (int32_t i = 0; i < s->step.num_sequences; i++) {
        const ffai__step_sequence *part = &s->step_sequences[i];
        if (status == FFAI_OK)
            s->sequences[part->slot].length += part->num_rows;
        else
            undo(s, part, status);
    }
    if (status != FFAI_OK)
        return status;
    note_results(s);
    note_draws(s);
    return FFAI_OK;
}

ffai_status ffai__step_collect(int32_t *tokens, float *chosen, const float **logits, ffai_session *s, int behind,
                               ffai_error *err)
{
    if (behind >= s->num_results)
        return ffai__fail(err, FFAI_E_ARGUMENT, "collect: no step was submitted %d steps ago", behind);
    const ffai__step_results *results = &s->results[behind];
    int32_t *ids = results->drew ? tokens : NULL;
    FFAI__TRY(s->model->backend->collect(s->run, behind, ids, chosen, logits, err));
    for (int32_t r = 0; tokens && r < results->num_outputs; r++) {
        if (!results->row_draws[r])
            tokens[r] = -1;
    }
    return FFAI_OK;
}

ffai_status ffai_step_collect(int32_t *tokens, const float **logits, ffai_session *s, ffai_error *err)
{
    if (!s->submitted)
        return ffai__fail(err, FFAI_E_ARGUMENT, "collect: no step was submitted");
    return ffai__step_collect(tokens, NULL, logits, s, 0, err);
}

ffai_status ffai_forward(const float **logits, ffai_session *s, const ffai_row *rows, size_t n, ffai_error *err)
{
    FFAI__TRY(ffai_step_submit(s, rows, n, err));
    return ffai_step_collect(NULL, logits, s, err);
}

ffai_status ffai_forward_sample(int32_t *tokens, ffai_session *s, const ffai_row *rows, size_t n, ffai_error *err)
{
    FFAI__TRY(ffai_step_submit(s, rows, n, err));
    return ffai_step_collect(tokens, NULL, s, err);
}
