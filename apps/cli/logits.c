#include <stdlib.h>

#include <ffai/session.h>

#include "command.h"
#include "interrupt.h"
#include "model_source.h"
#include "npy_file.h"
#include "progress.h"
#include "prompt.h"
#include "report.h"

typedef struct logits_settings {
    model_settings model;
    session_settings session;
    setting tokens, output;
} logits_settings;

#define AT(field) offsetof(logits_settings, field)
static const option options[] = {
    MODEL_OPTION,
    REQUIRED(OPTION_TOKENS, 0, "tokens", "1,2,3", tokens, "the token ids to evaluate"),
    REQUIRED(OPTION_NAME, 'o', "output", "F.npy", output, "the file to write"),
    HEADING("Computing"),
    BACKEND_OPTION,
    COMPUTE_OPTIONS,
    KV_OPTION,
};
#undef AT

typedef struct evaluation {
    timeline times;
    ffai_model *model;
    ffai_session *session;
    ffai_sequence sequence;
    ffai_row *rows;
    size_t step_size;
    npy_file *file;
} evaluation;

static ffai_status open_evaluation(evaluation *e, const logits_settings *s, ffai_error *err)
{
    const size_t n = s->tokens.num_tokens;
    ffai_model_info info;
    ffai_status status = model_open(&e->model, &e->times, &s->model, true, err);
    if (status == FFAI_OK)
        status = tokens_check(&s->tokens, "logits", e->model, err);
    if (status != FFAI_OK)
        return status;
    ffai_model_get_info(&info, e->model);
    e->step_size = (size_t)model_output_rows(e->model, n);
    const ffai_session_options opening = {.context = (int64_t)n,
                                          .max_sequences = 1,
                                          .max_rows = (int32_t)e->step_size,
                                          .max_outputs = (int32_t)e->step_size,
                                          .kv_format = kv_format(&s->session),
                                          .keep_going = keep_going};
    status = ffai_session_open(&e->session, e->model, &opening, err);
    if (status == FFAI_OK)
        status = ffai_sequence_open(&e->sequence, e->session, err);
    if (status == FFAI_OK)
        status = npy_create(&e->file, s->output.text, (int64_t)n, info.vocab_size, err);
    e->rows = calloc(e->step_size, sizeof *e->rows);
    return status == FFAI_OK && !e->rows ? failure_memory(err, "logits") : status;
}

static ffai_status write_step(evaluation *e, const int32_t *tokens, size_t count, ffai_error *err)
{
    ffai_model_info info;
    const float *logits = NULL;
    ffai_model_get_info(&info, e->model);
    for (size_t i = 0; i < count; i++)
        e->rows[i] = (ffai_row){.token = tokens[i], .sequence = e->sequence, .output = true};
    const ffai_status status = ffai_forward(&logits, e->session, e->rows, count, err);
    return status == FFAI_OK ? npy_write(e->file, logits, count * (size_t)info.vocab_size, err) : status;
}

static ffai_status evaluate(evaluation *e, const setting *tokens, ffai_error *err)
{
    progress p;
    progress_begin(&p, "evaluating");
    ffai_status status = FFAI_OK;
    const size_t n = tokens->num_tokens;
    for (size_t done = 0; done < n && status == FFAI_OK; done += e->step_size) {
        const size_t count = n - done < e->step_size ? n - done : e->step_size;
        progress_show(&p, (double)done / (double)n);
        status = write_step(e, tokens->tokens + done, count, err);
        if (status == FFAI_OK && interrupted())
            status = failure(err, FFAI_E_CANCELLED, "logits: cancelled");
    }
    progress_end(&p);
    return status == FFAI_OK ? npy_finish(e->file, err) : status;
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    (void)out;
    const logits_settings *s = settings;
    evaluation e = {0};
    ffai_status status = open_evaluation(&e, s, err);
    if (status == FFAI_OK)
        status = evaluate(&e, &s->tokens, err);
    npy_close(e.file);
    free(e.rows);
    ffai_session_close(e.session);
    ffai_model_free(e.model);
    return status;
}

extern const command command_logits;
const command command_logits = {
    .name = "logits",
    .summary = "Write the logits after each of some tokens to a .npy file, float32 [tokens, vocabulary].",
    .synopsis = "[-m MODEL] --tokens 1,2,3 -o F.npy [options]",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(logits_settings),
    .run = run,
};
