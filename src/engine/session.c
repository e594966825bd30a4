#include <math.h>
#include <string.h>

#include "alloc.h"
#include "engine.h"
#include "memory_info.h"
#include "pages.h"

typedef struct {
    bool open;
    int64_t length;          /* tokens whose keys and values are stored */
    int64_t drawn_position;  /* where the last drawn token stands, -1 if none */
    uint32_t num_pages;      /* entries in use of each table */
    ffai__page_ref **tables; /* [groups] each [pages a sequence] */
} sequence;

struct ffai_session {
    ffai_model *model;
    ffai__run *run;
    ffai__run_options options;
    size_t num_groups;
    uint32_t pages_per_sequence;
    ffai__pages *pages; /* [groups] */
    sequence *sequences;

    /* The step being built, sized once. */
    int32_t *tokens, *positions, *sequence_of_row, *output_rows;
    ffai__step_sequence *step_sequences;
    ffai__draw *draws;
    bool *row_draws; /* [outputs] whether the caller asked for a draw */
    ffai__step step;
    bool drew;
    bool submitted;
    bool keep_values;
};

/* --- opening --- */

static uint32_t pages_for(int64_t context)
{
    return (uint32_t)((context + FFAI__PAGE_TOKENS - 1) / FFAI__PAGE_TOKENS);
}

uint64_t ffai__position_bytes(const ffai__program *program, ffai__store_format format)
{
    const uint64_t element = format == FFAI__STORE_F32 ? 4 : 2;
    uint64_t bytes = 0;
    for (size_t i = 0; i < program->num_stores; i++)
        bytes += 2 * element * (uint64_t)program->stores[i].num_key_value_heads * (uint64_t)program->stores[i].head_dim;
    return bytes;
}

/* The context to open: what was asked, or what the model was made for as far as memory holds it. */
static ffai_status choose_context(int64_t *context, const ffai_model *model, const ffai_session_options *options,
                                  int32_t max_sequences, ffai_error *err)
{
    const int64_t wanted = options->context ? options->context : model->config.max_position_embeddings;
    const uint64_t each = ffai__position_bytes(model->program, (ffai__store_format)options->kv_format) *
                          (uint64_t)max_sequences * FFAI__PAGE_TOKENS;
    const uint64_t available = ffai__memory_available();
    const int64_t fits = each ? (int64_t)fmin((double)(available / each), 1e9) * FFAI__PAGE_TOKENS : INT32_MAX;
    *context = wanted < fits || options->context ? wanted : fits;
    if (*context <= fits && *context > 0)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_MEMORY,
                      "session: a context of %lld for %d sequences needs %.2f GB for keys and values but %.2f GB are "
                      "available; the largest that fits is %lld",
                      (long long)wanted, max_sequences, (double)pages_for(wanted) * (double)each / 1e9,
                      (double)available / 1e9, (long long)fits);
}

static ffai_status check_range(const char *what, int64_t value, int64_t most, ffai_error *err)
{
    if (value >= 0 && value <= most)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_ARGUMENT, "session: %s: must be from 0 to %lld, not %lld", what, (long long)most,
                      (long long)value);
}

static ffai_status choose_options(ffai_session *s, const ffai_session_options *options, ffai_error *err)
{
    FFAI__TRY(check_range("context", options->context, INT32_MAX / 2, err));
    FFAI__TRY(check_range("max_sequences", options->max_sequences, 4096, err));
    FFAI__TRY(check_range("max_rows", options->max_rows, 65536, err));
    FFAI__TRY(check_range("max_outputs", options->max_outputs, 65536, err));
    FFAI__TRY(check_range("kv_format", options->kv_format, FFAI_KV_F32, err));
    const int32_t max_sequences = options->max_sequences ? options->max_sequences : 4;
    const int32_t step_size = (int32_t)s->model->parameters.prefill_step_size.value;
    int64_t context = 0;
    FFAI__TRY(choose_context(&context, s->model, options, max_sequences, err));
    s->pages_per_sequence = pages_for(context);
    s->options = (ffai__run_options){
        .max_rows = options->max_rows ? options->max_rows : step_size,
        .max_outputs = options->max_outputs ? options->max_outputs : max_sequences,
        .max_sequences = max_sequences,
        .max_context = context,
        .num_pages = s->pages_per_sequence * (uint32_t)max_sequences,
        .store_format = (ffai__store_format)options->kv_format,
        .keep_values = s->keep_values,
    };
    return FFAI_OK;
}

static bool allocate_tables(ffai_session *s)
{
    const size_t count = (size_t)s->options.max_sequences;
    s->sequences = ffai__calloc(count, sizeof *s->sequences);
    for (size_t i = 0; s->sequences && i < count; i++) {
        s->sequences[i].tables = ffai__calloc(s->num_groups, sizeof *s->sequences[i].tables);
        for (size_t g = 0; g < s->num_groups; g++) {
            if (!s->sequences[i].tables)
                return false;
            s->sequences[i].tables[g] = ffai__calloc(s->pages_per_sequence, sizeof *s->sequences[i].tables[g]);
            if (!s->sequences[i].tables[g])
                return false;
        }
        if (!s->sequences[i].tables)
            return false;
    }
    return s->sequences != NULL;
}

static bool allocate_pages(ffai_session *s)
{
    s->pages = ffai__calloc(s->num_groups, sizeof *s->pages);
    for (size_t g = 0; s->pages && g < s->num_groups; g++) {
        if (!ffai__pages_create(&s->pages[g], s->options.num_pages))
            return false;
    }
    return s->pages != NULL;
}

static bool allocate_step(ffai_session *s)
{
    const size_t rows = (size_t)s->options.max_rows;
    const size_t outputs = (size_t)s->options.max_outputs;
    s->tokens = ffai__calloc(rows, sizeof *s->tokens);
    s->positions = ffai__calloc(rows, sizeof *s->positions);
    s->sequence_of_row = ffai__calloc(rows, sizeof *s->sequence_of_row);
    s->output_rows = ffai__calloc(outputs, sizeof *s->output_rows);
    s->step_sequences = ffai__calloc((size_t)s->options.max_sequences, sizeof *s->step_sequences);
    s->draws = ffai__calloc(outputs, sizeof *s->draws);
    s->row_draws = ffai__calloc(outputs, sizeof *s->row_draws);
    return s->tokens && s->positions && s->sequence_of_row && s->output_rows && s->step_sequences && s->draws &&
           s->row_draws;
}

static ffai_status open_parts(ffai_session *s, const ffai_session_options *options, ffai_error *err)
{
    s->num_groups = s->model->program->num_groups;
    FFAI__TRY(choose_options(s, options, err));
    if (!allocate_tables(s) || !allocate_pages(s) || !allocate_step(s))
        return ffai__fail_memory(err, "a session's tables", s->options.num_pages * sizeof(ffai__page_ref));
    return s->model->backend->open(&s->run, s->model->plan, &s->options, err);
}

static ffai_status open_session(ffai_session **out, ffai_model *model, const ffai_session_options *options,
                                bool keep_values, ffai_error *err)
{
    static const ffai_session_options defaults = FFAI_SESSION_OPTIONS_INIT;
    ffai_session *s = ffai__calloc(1, sizeof *s);
    if (!s)
        return ffai__fail_memory(err, "a session", sizeof *s);
    s->model = model;
    s->keep_values = keep_values;
    const ffai_status status = open_parts(s, options ? options : &defaults, err);
    if (status != FFAI_OK) {
        ffai_session_close(s);
        return status;
    }
    *out = s;
    return FFAI_OK;
}

ffai_status ffai_session_open(ffai_session **out, ffai_model *model, const ffai_session_options *options,
                              ffai_error *err)
{
    return open_session(out, model, options, false, err);
}

ffai_status ffai__session_open_readable(ffai_session **out, ffai_model *model, const ffai_session_options *options,
                                        ffai_error *err)
{
    return open_session(out, model, options, true, err);
}

ffai_status ffai__session_read(float *out, ffai_session *s, ffai__value value, ffai_error *err)
{
    return s->model->backend->read(s->run, value, out, err);
}

static void free_tables(ffai_session *s)
{
    for (int32_t i = 0; s->sequences && i < s->options.max_sequences; i++) {
        for (size_t g = 0; s->sequences[i].tables && g < s->num_groups; g++)
            ffai__free(s->sequences[i].tables[g]);
        ffai__free(s->sequences[i].tables);
    }
    ffai__free(s->sequences);
    for (size_t g = 0; s->pages && g < s->num_groups; g++)
        ffai__pages_free(&s->pages[g]);
    ffai__free(s->pages);
}

void ffai_session_close(ffai_session *s)
{
    if (!s)
        return;
    if (s->run)
        s->model->backend->close(s->run);
    free_tables(s);
    ffai__free(s->tokens);
    ffai__free(s->positions);
    ffai__free(s->sequence_of_row);
    ffai__free(s->output_rows);
    ffai__free(s->step_sequences);
    ffai__free(s->draws);
    ffai__free(s->row_draws);
    ffai__free(s);
}

ffai_model *ffai_session_model(const ffai_session *s)
{
    return s->model;
}

int64_t ffai_session_context(const ffai_session *s)
{
    return s->options.max_context;
}

size_t ffai__session_max_rows(const ffai_session *s)
{
    return (size_t)s->options.max_rows;
}

size_t ffai__session_max_outputs(const ffai_session *s)
{
    return (size_t)(s->options.max_outputs < s->options.max_rows ? s->options.max_outputs : s->options.max_rows);
}

void ffai_session_memory(uint64_t *weights, uint64_t *stores, uint64_t *workspace, const ffai_session *s)
{
    ffai__memory_use use;
    s->model->backend->memory(s->run, &use);
    *weights = use.weights;
    *stores = use.stores;
    *workspace = use.workspace;
}

/* --- sequences --- */

static bool is_open(const ffai_session *s, ffai_sequence number)
{
    return number >= 0 && number < s->options.max_sequences && s->sequences[number].open;
}

static ffai_status require_open(const ffai_session *s, ffai_sequence number, ffai_error *err)
{
    return is_open(s, number) ? FFAI_OK : ffai__fail(err, FFAI_E_ARGUMENT, "sequence %d is not open", number);
}

/* Give back the pages that hold no position below length. */
static void keep_pages(ffai_session *s, sequence *q, int64_t length)
{
    const uint32_t keep = pages_for(length);
    for (; q->num_pages > keep; q->num_pages--) {
        for (size_t g = 0; g < s->num_groups; g++)
            ffai__pages_drop(&s->pages[g], q->tables[g][q->num_pages - 1].page);
    }
}

ffai_status ffai_sequence_open(ffai_sequence *out, ffai_session *s, ffai_error *err)
{
    for (int32_t i = 0; i < s->options.max_sequences; i++) {
        if (s->sequences[i].open)
            continue;
        s->sequences[i].open = true;
        s->sequences[i].length = 0;
        s->sequences[i].drawn_position = -1;
        *out = i;
        return FFAI_OK;
    }
    return ffai__fail(err, FFAI_E_LIMIT, "all %d sequences of the session are open", s->options.max_sequences);
}

void ffai_sequence_close(ffai_session *s, ffai_sequence number)
{
    if (!is_open(s, number))
        return;
    keep_pages(s, &s->sequences[number], 0);
    s->sequences[number].open = false;
}

int64_t ffai_sequence_length(const ffai_session *s, ffai_sequence number)
{
    return is_open(s, number) ? s->sequences[number].length : -1;
}

static ffai_status check_length(const ffai_session *s, ffai_sequence number, int64_t length, ffai_error *err)
{
    FFAI__TRY(require_open(s, number, err));
    if (length >= 0 && length <= s->sequences[number].length)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_ARGUMENT, "sequence %d has %lld tokens, not %lld", number,
                      (long long)s->sequences[number].length, (long long)length);
}

ffai_status ffai_sequence_truncate(ffai_session *s, ffai_sequence number, int64_t length, ffai_error *err)
{
    FFAI__TRY(check_length(s, number, length, err));
    sequence *q = &s->sequences[number];
    keep_pages(s, q, length);
    q->length = length;
    q->drawn_position = -1;
    return FFAI_OK;
}

ffai_status ffai_sequence_fork(ffai_sequence *out, ffai_session *s, ffai_sequence from, int64_t length, ffai_error *err)
{
    ffai_sequence number = 0;
    FFAI__TRY(check_length(s, from, length, err));
    FFAI__TRY(ffai_sequence_open(&number, s, err));
    const ffai_status status = s->model->backend->copy_tokens(s->run, number, from, length, err);
    if (status != FFAI_OK) {
        ffai_sequence_close(s, number);
        return status;
    }
    sequence *q = &s->sequences[number];
    const sequence *source = &s->sequences[from];
    q->length = length;
    q->num_pages = pages_for(length);
    for (size_t g = 0; g < s->num_groups; g++) {
        for (uint32_t i = 0; i < q->num_pages; i++) {
            q->tables[g][i] = source->tables[g][i];
            ffai__pages_share(&s->pages[g], q->tables[g][i].page);
        }
    }
    *out = number;
    return FFAI_OK;
}

/* --- steps --- */

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
    return (ffai__draw){p->temperature,      p->top_k, p->top_p, p->min_p, p->repetition_penalty,
                        p->presence_penalty, p->seed};
}

static ffai_status check_row(const ffai_session *s, const ffai_row *rows, size_t t, int64_t position, ffai_error *err)
{
    const ffai_row *row = &rows[t];
    const sequence *q = &s->sequences[row->sequence];
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
    FFAI__TRY(require_open(s, number, err));
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

static ffai_status add_output(ffai_session *s, const ffai_row *row, ffai_error *err)
{
    const int32_t output = s->step.num_outputs;
    if (output >= s->options.max_outputs)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: more than %d output rows; see max_outputs",
                          s->options.max_outputs);
    s->output_rows[output] = s->step.num_rows;
    s->draws[output] = draw_of(row->sampling);
    s->row_draws[output] = row->sampling != NULL;
    s->drew = s->drew || row->sampling != NULL;
    s->step.num_outputs++;
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
    s->drew = false;
    s->step = (ffai__step){.tokens = s->tokens,
                           .positions = s->positions,
                           .sequence_of_row = s->sequence_of_row,
                           .sequences = s->step_sequences,
                           .output_rows = s->output_rows};
    for (size_t t = 0; t < n; t++)
        FFAI__TRY(add_row(s, rows, t, err));
    s->step.draws = s->drew ? s->draws : NULL;
    return FFAI_OK;
}

/* The page that the sequence's next token goes into must be its own: copy it where a fork shares it. */
static ffai_status own_last_page(ffai_session *s, sequence *q, ffai_error *err)
{
    const uint32_t last = (uint32_t)(q->length / FFAI__PAGE_TOKENS);
    for (size_t g = 0; q->length % FFAI__PAGE_TOKENS && g < s->num_groups; g++) {
        ffai__page_ref *entry = &q->tables[g][last];
        if (!ffai__pages_is_shared(&s->pages[g], entry->page))
            continue;
        const uint32_t copy = ffai__pages_take(&s->pages[g]);
        const ffai_status status = s->model->backend->copy_page(s->run, (int)g, copy, entry->page, err);
        if (status != FFAI_OK) {
            ffai__pages_drop(&s->pages[g], copy);
            return status;
        }
        ffai__pages_drop(&s->pages[g], entry->page);
        entry->page = copy;
    }
    return FFAI_OK;
}

static ffai_status provide_pages(ffai_session *s, sequence *q, int64_t length, ffai_error *err)
{
    FFAI__TRY(own_last_page(s, q, err));
    for (; q->num_pages < pages_for(length); q->num_pages++) {
        for (size_t g = 0; g < s->num_groups; g++)
            q->tables[g][q->num_pages] =
                (ffai__page_ref){ffai__pages_take(&s->pages[g]), (uint32_t)s->options.store_format};
    }
    return FFAI_OK;
}

static ffai_status run_step(ffai_session *s, ffai_error *err)
{
    for (int32_t i = 0; i < s->step.num_sequences; i++) {
        sequence *q = &s->sequences[s->step_sequences[i].slot];
        FFAI__TRY(provide_pages(s, q, q->length + s->step_sequences[i].num_rows, err));
    }
    FFAI__TRY(s->model->backend->step(s->run, &s->step, err));
    return ffai__checkpoint_check(s->model->checkpoint, err);
}

static void note_draws(ffai_session *s)
{
    for (int32_t r = 0; s->drew && r < s->step.num_outputs; r++) {
        const int32_t row = s->output_rows[r];
        sequence *q = &s->sequences[s->step_sequences[s->sequence_of_row[row]].slot];
        if (s->row_draws[r])
            q->drawn_position = s->positions[row] + 1;
    }
}

ffai_status ffai_step_submit(ffai_session *s, const ffai_row *rows, size_t n, ffai_error *err)
{
    s->submitted = false;
    FFAI__TRY(build_step(s, rows, n, err));
    const ffai_status status = run_step(s, err);
    for (int32_t i = 0; i < s->step.num_sequences; i++) {
        sequence *q = &s->sequences[s->step_sequences[i].slot];
        if (status == FFAI_OK)
            q->length += s->step_sequences[i].num_rows;
        else
            keep_pages(s, q, q->length);
    }
    if (status != FFAI_OK)
        return status;
    note_draws(s);
    s->submitted = true;
    return FFAI_OK;
}

ffai_status ffai_step_collect(int32_t *tokens, const float **logits, ffai_session *s, ffai_error *err)
{
    if (!s->submitted)
        return ffai__fail(err, FFAI_E_ARGUMENT, "collect: no step was submitted");
    FFAI__TRY(s->model->backend->collect(s->run, s->drew ? tokens : NULL, logits, err));
    for (int32_t r = 0; tokens && r < s->step.num_outputs; r++) {
        if (!s->row_draws[r])
            tokens[r] = -1;
    }
    return FFAI_OK;
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
