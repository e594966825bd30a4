#include "fit.h"

#include "alloc.h"
#include "session.h"

static ffai_status check_range(const char *what, int64_t value, int64_t most, ffai_error *err)
{
    if (value >= 0 && value <= most)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_ARGUMENT, "session: %s: must be from 0 to %lld, not %lld", what, (long long)most,
                      (long long)value);
}

ffai_status ffai__context_check(int64_t context, ffai_error *err)
{
    return check_range("context", context, INT32_MAX / 2, err);
}

ffai_status ffai__fit_begin(ffai__fit *fit, const ffai_model *model, const ffai_session_options *options, uint64_t room,
                            ffai_error *err)
{
    FFAI__TRY(check_range("max_sequences", options->max_sequences, 4096, err));
    FFAI__TRY(check_range("max_rows", options->max_rows, 65536, err));
    FFAI__TRY(check_range("max_outputs", options->max_outputs, 65536, err));
    FFAI__TRY(check_range("kv_format", options->kv_format, FFAI_KV_F32, err));
    const int32_t max_sequences = options->max_sequences ? options->max_sequences : 4;
    *fit = (ffai__fit){.model = model, .room = room};
    fit->rows = options->max_rows ? options->max_rows : ffai__parameters_step_rows(&model->parameters, false);
    fit->fewest_rows = options->max_rows ? options->max_rows : ffai__parameters_step_rows(&model->parameters, true);
    fit->options = (ffai__run_options){
        .max_outputs = options->max_outputs ? options->max_outputs : max_sequences,
        .max_sequences = max_sequences,
        .store_format = (ffai__store_format)options->kv_format,
    };
    return FFAI_OK;
}

/* --- one context --- */

/* What keys and values take at least, whatever the backend: UINT64_MAX where that is beyond counting. */
static uint64_t least_stores(const ffai__fit *fit, int64_t context)
{
    const uint64_t position = ffai__position_bytes(fit->model->program, fit->options.store_format);
    const uint64_t pages = (uint64_t)ffai__pages_for(context) * (uint64_t)fit->options.max_sequences;
    uint64_t bytes = 0;
    return ffai__mul(&bytes, position, pages * FFAI__PAGE_TOKENS) ? bytes : UINT64_MAX;
}

static bool is_within(const ffai__memory_use *use, uint64_t room)
{
    uint64_t sum = 0;
    return ffai__add(&sum, use->stores, use->workspace) && sum <= room;
}

static ffai_status try_rows(ffai__fit_run *run, const ffai__fit *fit, int64_t context, int32_t rows, ffai_error *err)
{
    const uint64_t pages = (uint64_t)ffai__pages_for(context) * (uint64_t)fit->options.max_sequences;
    const uint64_t least = least_stores(fit, context);
    run->options = fit->options;
    run->options.max_rows = rows;
    run->options.max_context = context;
    run->options.num_pages = (uint32_t)pages;
    run->use = (ffai__memory_use){.stores = least};
    run->fits = false;
    if (pages > INT32_MAX || least > UINT64_MAX / 8) /* no backend need be asked */
        return FFAI_OK;
    FFAI__TRY(fit->model->backend->estimate(&run->use, fit->model->plan, &run->options, err));
    run->fits = is_within(&run->use, fit->room);
    return FFAI_OK;
}

ffai_status ffai__fit_context(ffai__fit_run *run, const ffai__fit *fit, int64_t context, ffai_error *err)
{
    FFAI__TRY(try_rows(run, fit, context, fit->rows, err));
    if (run->fits || fit->fewest_rows == fit->rows)
        return FFAI_OK;
    return try_rows(run, fit, context, fit->fewest_rows, err);
}

/* --- the largest --- */

static int64_t context_of(int64_t pages, int64_t most)
{
    return pages * FFAI__PAGE_TOKENS < most ? pages * FFAI__PAGE_TOKENS : most;
}

/* More context never takes less. */
ffai_status ffai__fit_largest(int64_t *context, const ffai__fit *fit, int64_t most, ffai_error *err)
{
    int64_t fitting = 0; /* pages */
    int64_t beyond = (int64_t)ffai__pages_for(most) + 1;
    for (int64_t pages = beyond - 1; pages > fitting && pages < beyond; pages = fitting + (beyond - fitting) / 2) {
        ffai__fit_run run;
        FFAI__TRY(ffai__fit_context(&run, fit, context_of(pages, most), err));
        if (run.fits)
            fitting = pages;
        else
            beyond = pages;
    }
    *context = context_of(fitting, most);
    return FFAI_OK;
}

ffai_status ffai__fit_any(ffai__fit_run *run, const ffai__fit *fit, ffai_error *err)
{
    const int64_t most = fit->model->config.max_position_embeddings;
    int64_t largest = 0;
    FFAI__TRY(ffai__fit_context(run, fit, most, err));
    if (run->fits)
        return FFAI_OK;
    FFAI__TRY(ffai__fit_largest(&largest, fit, most, err));
    return ffai__fit_context(run, fit, largest ? largest : context_of(1, most), err);
}

/* --- before there are weights --- */

ffai_status ffai__fit_least(ffai__memory_use *use, const ffai_model *model, ffai_error *err)
{
    const ffai__run_options least = {
        .max_rows = 1, .max_outputs = 1, .max_sequences = 1, .max_context = FFAI__PAGE_TOKENS, .num_pages = 1};
    return model->backend->estimate(use, model->plan, &least, err);
}

static ffai_status estimate_context(ffai_memory_estimate *out, const ffai__fit *fit, int64_t context, ffai_error *err)
{
    ffai__fit_run run;
    FFAI__TRY(context ? ffai__fit_context(&run, fit, context, err) : ffai__fit_any(&run, fit, err));
    out->context = run.options.max_context;
    out->stores = run.use.stores;
    out->workspace = run.use.workspace;
    out->fits = run.fits;
    return FFAI_OK;
}

ffai_status ffai__estimate(ffai_memory_estimate *out, const int64_t *contexts, size_t n, const ffai_model *model,
                           const ffai_session_options *options, ffai_error *err)
{
    static const ffai_session_options defaults = FFAI_SESSION_OPTIONS_INIT;
    ffai__memory_use least;
    ffai__fit fit;
    uint64_t available = 0;
    int64_t largest = 0;
    FFAI__TRY(ffai__model_available(&available, model, err));
    FFAI__TRY(ffai__fit_least(&least, model, err));
    const uint64_t room = least.weights < available ? available - least.weights : 0;
    FFAI__TRY(ffai__fit_begin(&fit, model, options ? options : &defaults, room, err));
    FFAI__TRY(ffai__fit_largest(&largest, &fit, model->config.max_position_embeddings, err));
    for (size_t i = 0; i < n; i++) {
        FFAI__TRY(ffai__context_check(contexts[i], err));
        out[i] = (ffai_memory_estimate){.weights = least.weights, .available = available, .largest_context = largest};
        FFAI__TRY(estimate_context(&out[i], &fit, contexts[i], err));
    }
    return FFAI_OK;
}

ffai_status ffai_model_estimate(ffai_memory_estimate *out, const int64_t *contexts, size_t n, const char *path,
                                const ffai_model_options *options, const ffai_session_options *session, ffai_error *err)
{
    static const ffai_model_options defaults = FFAI_MODEL_OPTIONS_INIT;
    ffai_model *model = ffai__calloc(1, sizeof *model);
    if (!model)
        return ffai__fail_memory(err, "a model", sizeof *model);
    ffai_status status = ffai__model_plan(model, path, options ? options : &defaults, err);
    if (status == FFAI_OK)
        status = ffai__estimate(out, contexts, n, model, session, err);
    ffai_model_free(model);
    return status;
}
