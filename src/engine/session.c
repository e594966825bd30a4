#include "session.h"

#include "alloc.h"
#include "fit.h"

uint64_t ffai__position_bytes(const ffai__program *program, ffai__store_format format)
{
    const uint64_t element = ffai__dtype_size(ffai__store_dtype(format));
    uint64_t bytes = 0;
    for (size_t i = 0; i < program->num_stores; i++)
        bytes += 2 * element * (uint64_t)program->stores[i].num_key_value_heads * (uint64_t)program->stores[i].head_dim;
    return bytes;
}

static ffai_status refuse(const ffai__fit *fit, const ffai__fit_run *run, ffai_error *err)
{
    const int32_t sequences = run->options.max_sequences;
    int64_t largest = 0;
    FFAI__TRY(ffai__fit_largest(&largest, fit, run->options.max_context, err));
    return ffai__fail(err, FFAI_E_MEMORY,
                      "session: a context of %lld for %d sequence%s needs %.2f GB for keys and values and %.2f GB to "
                      "compute with, but %.2f GB are available; the largest that fits is %lld",
                      (long long)run->options.max_context, sequences, sequences == 1 ? "" : "s",
                      (double)run->use.stores / 1e9, (double)run->use.workspace / 1e9, (double)fit->room / 1e9,
                      (long long)largest);
}

/* The context to open: what was asked, or what the model was made for as far as memory holds it. */
static ffai_status choose_run(ffai_session *s, const ffai_session_options *options, ffai_error *err)
{
    uint64_t available = 0;
    ffai__fit fit;
    ffai__fit_run run;
    FFAI__TRY(ffai__context_check(options->context, err));
    FFAI__TRY(ffai__model_available(&available, s->model, err));
    FFAI__TRY(ffai__fit_begin(&fit, s->model, options, available, err));
    fit.options.keep_values = s->keep_values;
    FFAI__TRY(options->context ? ffai__fit_context(&run, &fit, options->context, err) : ffai__fit_any(&run, &fit, err));
    s->options = run.options;
    return run.fits ? FFAI_OK : refuse(&fit, &run, err);
}

static ffai_status choose_options(ffai_session *s, const ffai_session_options *options, ffai_error *err)
{
    FFAI__TRY(choose_run(s, options, err));
    s->pages_per_sequence = ffai__pages_for(s->options.max_context);
    s->keep_going = options->keep_going;
    s->keep_going_context = options->keep_going_context;
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
    for (int i = 0; i <= FFAI__MOST_AHEAD; i++) {
        s->results[i].row_draws = ffai__calloc(outputs, sizeof *s->results[i].row_draws);
        if (!s->results[i].row_draws)
            return false;
    }
    return s->tokens && s->positions && s->sequence_of_row && s->output_rows && s->step_sequences && s->draws;
}

static bool report_warming(void *model, double fraction)
{
    return ffai__report(&((const ffai_model *)model)->reporter, FFAI_LOAD_WARMING, fraction);
}

static ffai_status warm_up(ffai_session *s, ffai_error *err)
{
    const ffai__backend *backend = s->model->backend;
    if (!backend->warm)
        return FFAI_OK;
    FFAI__TRY(backend->warm(s->run, report_warming, s->model, err));
    FFAI__TRY(ffai__checkpoint_check(s->model->checkpoint, err));
    if (ffai__report(&s->model->reporter, FFAI_LOAD_READY, 1))
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_CANCELLED, "session: cancelled");
}

static ffai_status open_parts(ffai_session *s, const ffai_session_options *options, ffai_error *err)
{
    s->num_groups = s->model->program->num_groups;
    FFAI__TRY(choose_options(s, options, err));
    if (!allocate_tables(s) || !allocate_pages(s) || !allocate_step(s))
        return ffai__fail_memory(err, "a session's tables", s->options.num_pages * sizeof(ffai__page_ref));
    FFAI__TRY(s->model->backend->open(&s->run, s->model->plan, &s->options, err));
    return options->prewarm ? warm_up(s, err) : FFAI_OK;
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
    for (int i = 0; i <= FFAI__MOST_AHEAD; i++)
        ffai__free(s->results[i].row_draws);
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
