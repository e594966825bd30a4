#include <math.h>

#include <ffai/generate.h>

#include "command.h"
#include "interrupt.h"
#include "json_output.h"
#include "model_source.h"
#include "progress.h"
#include "prompt.h"
#include "report.h"

typedef struct perplexity_settings {
    prompt_settings prompt;
    model_settings model;
    session_settings session;
    setting json;
} perplexity_settings;

#define AT(field) offsetof(perplexity_settings, field)
static const option options[] = {
    MODEL_OPTION,
    PROMPT_FILE_OPTION("the text (default: standard input)"),
    CONTEXT_OPTION(2, "tokens of one window (default: the model's context, or the text)"),
    SWITCH("json", json, "as one JSON object"),
    HEADING("Computing"),
    BACKEND_OPTION,
    COMPUTE_OPTIONS,
    KV_OPTION,
};
#undef AT

typedef struct measurement {
    ffai_session *session;
    const int32_t *tokens;
    size_t n;
    size_t window;
    size_t done;    /* tokens of the windows before */
    size_t windows; /* evaluated */
    size_t scored;  /* tokens that were foretold */
    double nll;     /* their sum */
    progress progress;
} measurement;

static bool on_progress(void *context, size_t done, size_t total)
{
    measurement *m = context;
    (void)total;
    progress_show(&m->progress, (double)(m->done + done) / (double)m->n);
    return !interrupted();
}

static ffai_status measure_window(measurement *m, size_t count, ffai_error *err)
{
    ffai_sequence sequence = 0;
    double mean = 0;
    ffai_status status = ffai_sequence_open(&sequence, m->session, err);
    if (status != FFAI_OK)
        return status;
    status = ffai_mean_nll(&mean, m->session, sequence, m->tokens + m->done, count, on_progress, m, err);
    ffai_sequence_close(m->session, sequence);
    m->nll += mean * (double)(count - 1);
    m->scored += count - 1;
    m->windows++;
    return status;
}

/* Windows side by side; a last one of a single token foretells nothing. */
static ffai_status measure(measurement *m, ffai_error *err)
{
    ffai_status status = FFAI_OK;
    progress_begin(&m->progress, "evaluating");
    for (; status == FFAI_OK && m->n - m->done >= 2; m->done += m->window) {
        const size_t count = m->n - m->done < m->window ? m->n - m->done : m->window;
        status = measure_window(m, count, err);
        if (count < m->window)
            break;
    }
    progress_end(&m->progress);
    return status;
}

static size_t choose_window(const perplexity_settings *s, const ffai_model *model, size_t n)
{
    ffai_model_info info;
    ffai_model_get_info(&info, model);
    const int64_t most = s->session.context.given ? s->session.context.integer : info.max_context;
    return most > 0 && (size_t)most < n ? (size_t)most : n;
}

static ffai_status open_session(measurement *m, const perplexity_settings *s, ffai_model *model, ffai_error *err)
{
    m->window = choose_window(s, model, m->n);
    if (m->window < 2)
        return failure(err, FFAI_E_ARGUMENT, "perplexity: text: has one token; to foretell any it takes 2");
    const int32_t rows = model_output_rows(model, m->window);
    const ffai_session_options opening = {.context = (int64_t)m->window,
                                          .max_sequences = 1,
                                          .max_rows = rows,
                                          .max_outputs = rows,
                                          .kv_format = kv_format(&s->session),
                                          .keep_going = keep_going};
    return ffai_session_open(&m->session, model, &opening, err);
}

static ffai_status print_result(output *out, const measurement *m, bool json, ffai_error *err)
{
    const double mean = m->nll / (double)m->scored;
    if (json)
        return json_print(out,
                          json_pack("{s:o, s:o, s:I, s:I, s:I}", "perplexity", json_of_measure(exp(mean)), "mean_nll",
                                    json_of_measure(mean), "tokens", (json_int_t)m->n, "context", (json_int_t)m->window,
                                    "windows", (json_int_t)m->windows),
                          err);
    output_format(out, "perplexity  %.4f\nmean nll    %.6f nats a token\ntokens      %zu in %zu window%s of %zu\n",
                  exp(mean), mean, m->n, m->windows, m->windows == 1 ? "" : "s", m->window);
    return FFAI_OK;
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const perplexity_settings *s = settings;
    prompt text;
    ffai_model *model = NULL;
    timeline times = {.since = 0};
    measurement m = {0};
    ffai_status status = prompt_read(&text, &s->prompt, err);
    if (status == FFAI_OK && text.size == 0)
        status = failure(err, FFAI_E_ARGUMENT, "perplexity: text: is empty: give -f FILE or standard input");
    if (status == FFAI_OK)
        status = model_open(&model, &times, &s->model, false, err);
    if (status == FFAI_OK)
        status = prompt_encode(&text, ffai_model_tokenizer(model), err);
    m.tokens = text.tokens;
    m.n = text.num_tokens;
    if (status == FFAI_OK)
        status = open_session(&m, s, model, err);
    if (status == FFAI_OK)
        status = measure(&m, err);
    if (status == FFAI_OK)
        status = print_result(out, &m, s->json.given, err);
    ffai_session_close(m.session);
    ffai_model_free(model);
    prompt_release(&text);
    return status;
}

extern const command command_perplexity;
const command command_perplexity = {
    .name = "perplexity",
    .summary = "Measure how well a model foretells a text.",
    .synopsis = "[-m MODEL] -f FILE [options]",
    .details = "The text is cut into windows of --context tokens, each evaluated by itself; in every window all\n"
               "tokens but the first are scored.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(perplexity_settings),
    .run = run,
};
