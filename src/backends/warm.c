#include "warm.h"

#include "alloc.h"

/* A step and what it points to. */
typedef struct making {
    const ffai__run_options *options;
    size_t num_groups;
    ffai__step step;
    int32_t *tokens, *positions, *sequence_of_row, *output_rows;
    ffai__draw *draws;
    ffai__step_sequence *sequences;
    ffai__page_ref *pages;         /* [num_pages] each itself */
    const ffai__page_ref **tables; /* [max_sequences][groups] */
} making;

static bool allocate(making *m)
{
    const size_t rows = (size_t)m->options->max_rows;
    const size_t outputs = (size_t)m->options->max_outputs;
    const size_t sequences = (size_t)m->options->max_sequences;
    m->tokens = ffai__calloc(rows, sizeof *m->tokens);
    m->positions = ffai__calloc(rows, sizeof *m->positions);
    m->sequence_of_row = ffai__calloc(rows, sizeof *m->sequence_of_row);
    m->output_rows = ffai__calloc(outputs, sizeof *m->output_rows);
    m->draws = ffai__calloc(outputs, sizeof *m->draws);
    m->sequences = ffai__calloc(sequences, sizeof *m->sequences);
    m->pages = ffai__calloc(m->options->num_pages, sizeof *m->pages);
    m->tables = ffai__calloc(sequences * m->num_groups, sizeof *m->tables);
    return m->tokens && m->positions && m->sequence_of_row && m->output_rows && m->draws && m->sequences && m->pages &&
           m->tables;
}

static void release(making *m)
{
    ffai__free(m->tokens);
    ffai__free(m->positions);
    ffai__free(m->sequence_of_row);
    ffai__free(m->output_rows);
    ffai__free(m->draws);
    ffai__free(m->sequences);
    ffai__free(m->pages);
    ffai__free(m->tables);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The next sequence, from position 0 on in pages of its own; false if it would have no row. */
static bool add_sequence(making *m, int32_t rows, uint32_t *used_pages)
{
    const int32_t number = m->step.num_sequences;
    const int64_t room = (int64_t)(m->options->num_pages - *used_pages) * FFAI__PAGE_TOKENS;
    const int32_t count = (int32_t)least(rows - m->step.num_rows, least(m->options->max_context, room));
    if (count < 1 || number == m->options->max_sequences)
        return false;
    const ffai__page_ref **tables = m->tables + (size_t)number * m->num_groups;
    for (size_t g = 0; g < m->num_groups; g++)
        tables[g] = m->pages + *used_pages;
    m->sequences[number] = (ffai__step_sequence){number, m->step.num_rows, count, tables};
    for (int32_t i = 0; i < count; i++) {
        m->positions[m->step.num_rows + i] = i;
        m->sequence_of_row[m->step.num_rows + i] = number;
    }
    m->step.num_rows += count;
    m->step.num_sequences++;
    *used_pages += (uint32_t)((count + FFAI__PAGE_TOKENS - 1) / FFAI__PAGE_TOKENS);
    return true;
}

static void fill(making *m, const ffai__warm *warm)
{
    static const ffai__draw greedy = {.top_p = 1, .repetition_penalty = 1};
    static const ffai__draw drawn = {
        .temperature = 1, .top_k = 8, .top_p = 0.9f, .min_p = 0.01f, .repetition_penalty = 1};
    uint32_t used_pages = 0;
    for (uint32_t i = 0; i < m->options->num_pages; i++)
        m->pages[i] = (ffai__page_ref){i, (uint32_t)m->options->store_format};
    while (add_sequence(m, warm->rows, &used_pages))
        ;
    m->step.num_outputs = (int32_t)least(warm->outputs, m->step.num_rows);
    for (int32_t r = 0; r < m->step.num_outputs; r++) {
        m->output_rows[r] = m->step.num_rows - m->step.num_outputs + r;
        m->draws[r] = warm->greedy ? greedy : drawn;
    }
    m->step.tokens = m->tokens;
    m->step.positions = m->positions;
    m->step.sequence_of_row = m->sequence_of_row;
    m->step.sequences = m->sequences;
    m->step.output_rows = m->output_rows;
    m->step.draws = m->step.num_outputs ? m->draws : NULL;
}

ffai_status ffai__warm_step(ffai__run *run, const ffai__run_options *options, const ffai__warm *warm, ffai_error *err)
{
    making m = {.options = options, .num_groups = run->plan->program->num_groups};
    const ffai__backend *backend = run->plan->backend;
    ffai_status status = FFAI_OK;
    if (allocate(&m)) {
        fill(&m, warm);
        status = backend->step(run, &m.step, err);
    } else {
        status = ffai__fail_memory(err, "warming up", (uint64_t)options->num_pages * sizeof *m.pages);
    }
    if (status == FFAI_OK)
        status = backend->collect(run, 0, NULL, NULL, NULL, err);
    release(&m);
    return status;
}
