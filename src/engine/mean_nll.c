#include <math.h>

#include "alloc.h"
#include "engine.h"

ffai_status ffai__text_check(const ffai_model *model, const int32_t *tokens, size_t n, const char *what,
                             ffai_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || tokens[i] >= model->program->vocab_size)
            return ffai__fail(err, FFAI_E_ARGUMENT, "%s: token %zu is outside the vocabulary", what, i);
    }
    return FFAI_OK;
}

/* -log softmax(logits)[token], summed in double. */
static double negative_log_likelihood(const float *logits, int64_t vocab_size, int32_t token)
{
    float largest = -INFINITY;
    for (int64_t i = 0; i < vocab_size; i++)
        largest = fmaxf(largest, logits[i]);
    double sum = 0;
    for (int64_t i = 0; i < vocab_size; i++)
        sum += exp((double)logits[i] - (double)largest);
    return log(sum) - ((double)logits[token] - (double)largest);
}

/* Rows [done, done + count) of the text; adds to *total what each says of the token after it. */
static ffai_status evaluate(double *total, ffai_session *session, ffai_sequence sequence, const int32_t *tokens,
                            size_t n, size_t done, size_t count, ffai_row *rows, ffai_error *err)
{
    const int64_t vocab_size = ffai_session_model(session)->program->vocab_size;
    const float *logits = NULL;
    for (size_t i = 0; i < count; i++)
        rows[i] = (ffai_row){tokens[done + i], sequence, true, NULL};
    FFAI__TRY(ffai_forward(&logits, session, rows, count, err));
    for (size_t i = 0; i < count && done + i + 1 < n; i++)
        *total += negative_log_likelihood(logits + (int64_t)i * vocab_size, vocab_size, tokens[done + i + 1]);
    return FFAI_OK;
}

ffai_status ffai_mean_nll(double *nll, ffai_session *session, ffai_sequence sequence, const int32_t *tokens, size_t n,
                          bool (*on_progress)(void *context, size_t done, size_t total), void *context, ffai_error *err)
{
    const size_t step = ffai__session_max_outputs(session);
    if (n < 2)
        return ffai__fail(err, FFAI_E_ARGUMENT, "perplexity: the text has %zu tokens; it takes 2", n);
    if (ffai_sequence_length(session, sequence) != 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "perplexity: the sequence must be open and empty");
    FFAI__TRY(ffai__text_check(ffai_session_model(session), tokens, n, "perplexity", err));
    ffai_row *rows = ffai__array(step, sizeof *rows);
    if (!rows)
        return ffai__fail_memory(err, "a step's rows", step * sizeof *rows);
    double total = 0;
    ffai_status status = FFAI_OK;
    for (size_t done = 0; done < n && status == FFAI_OK; done += step) {
        const size_t count = n - done < step ? n - done : step;
        status = evaluate(&total, session, sequence, tokens, n, done, count, rows, err);
        if (status == FFAI_OK && on_progress && !on_progress(context, done + count, n))
            status = ffai__fail(err, FFAI_E_CANCELLED, "perplexity: cancelled");
    }
    ffai__free(rows);
    if (status == FFAI_OK)
        *nll = total / (double)(n - 1);
    return status;
}
