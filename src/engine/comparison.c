/* What one model says of a text beside another. */
#include <math.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"

enum { LOGITS_BYTES = 64 << 20 };

typedef struct {
    ffai_model *model;
    ffai_session *session;
    double nll; /* summed */
} side;

typedef struct {
    side sides[2];
    const int32_t *tokens;
    size_t n;
    size_t window;
    size_t step; /* rows of one step */
    ffai_row *rows;
    double *divergences; /* [n] */
    size_t scored;
    size_t flips;
    bool (*on_progress)(void *context, double fraction);
    void *context;
} comparison;

/* ---- one position ---- */

typedef struct {
    int64_t best;
    double log_sum; /* of exp(logit) */
} distribution;

static distribution look_at(const float *logits, int64_t vocab_size)
{
    distribution d = {0, 0};
    double sum = 0;
    for (int64_t i = 1; i < vocab_size; i++)
        d.best = logits[i] > logits[d.best] ? i : d.best;
    const double largest = (double)logits[d.best];
    for (int64_t i = 0; i < vocab_size; i++)
        sum += exp((double)logits[i] - largest);
    d.log_sum = largest + log(sum);
    return d;
}

/* Sum of p log(p / q). */
static double divergence(const float *p, const float *q, double log_sum_p, double log_sum_q, int64_t vocab_size)
{
    double sum = 0;
    for (int64_t i = 0; i < vocab_size; i++) {
        const double log_p = (double)p[i] - log_sum_p;
        sum += exp(log_p) * (log_p - ((double)q[i] - log_sum_q));
    }
    return sum > 0 ? sum : 0; /* rounding alone takes it below */
}

static void score(comparison *c, const float *p, const float *q, int32_t token)
{
    const int64_t vocab_size = c->sides[0].model->program->vocab_size;
    const distribution of_p = look_at(p, vocab_size);
    const distribution of_q = look_at(q, vocab_size);
    c->sides[0].nll += of_p.log_sum - (double)p[token];
    c->sides[1].nll += of_q.log_sum - (double)q[token];
    c->flips += of_p.best != of_q.best;
    c->divergences[c->scored++] = divergence(p, q, of_p.log_sum, of_q.log_sum, vocab_size);
}

/* ---- the text ---- */

static ffai_status run_step(comparison *c, const ffai_sequence sequences[2], size_t first, size_t count, size_t end,
                            ffai_error *err)
{
    const int64_t vocab_size = c->sides[0].model->program->vocab_size;
    const float *logits[2] = {NULL, NULL};
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; i < count; i++)
            c->rows[i] = (ffai_row){c->tokens[first + i], sequences[s], true, NULL};
        FFAI__TRY(ffai_forward(&logits[s], c->sides[s].session, c->rows, count, err));
    }
    for (size_t i = 0; i < count && first + i + 1 < end; i++)
        score(c, logits[0] + (int64_t)i * vocab_size, logits[1] + (int64_t)i * vocab_size, c->tokens[first + i + 1]);
    if (c->on_progress && !c->on_progress(c->context, (double)(first + count) / (double)c->n))
        return ffai__fail(err, FFAI_E_CANCELLED, "compare: cancelled");
    return FFAI_OK;
}

static ffai_status run_window(comparison *c, size_t begin, size_t end, ffai_error *err)
{
    ffai_sequence sequences[2] = {-1, -1};
    ffai_status status = FFAI_OK;
    for (int s = 0; s < 2 && status == FFAI_OK; s++)
        status = ffai_sequence_open(&sequences[s], c->sides[s].session, err);
    for (size_t first = begin; first < end && status == FFAI_OK; first += c->step)
        status = run_step(c, sequences, first, end - first < c->step ? end - first : c->step, end, err);
    for (int s = 0; s < 2; s++) {
        if (sequences[s] >= 0)
            ffai_sequence_close(c->sides[s].session, sequences[s]);
    }
    return status;
}

static ffai_status run_windows(comparison *c, ffai_error *err)
{
    /* a last window of one token foretells nothing */
    for (size_t begin = 0; begin + 1 < c->n; begin += c->window)
        FFAI__TRY(run_window(c, begin, c->n - begin < c->window ? c->n : begin + c->window, err));
    return FFAI_OK;
}

/* ---- the whole ---- */

static ffai_status check_tokens(const comparison *c, ffai_error *err)
{
    const int64_t sizes[2] = {c->sides[0].model->program->vocab_size, c->sides[1].model->program->vocab_size};
    if (sizes[0] != sizes[1])
        return ffai__fail(err, FFAI_E_ARGUMENT, "compare: the models have %lld and %lld tokens", (long long)sizes[0],
                          (long long)sizes[1]);
    return ffai__text_check(c->sides[0].model, c->tokens, c->n, "compare", err);
}

static ffai_status open_side(comparison *c, side *s, const char *path, const ffai_model_options *options,
                             ffai_error *err)
{
    ffai_model_options loading = options ? *options : (ffai_model_options)FFAI_MODEL_OPTIONS_INIT;
    loading.without_tokenizer = true;
    FFAI__TRY(ffai_model_load(&s->model, path, &loading, err));
    const size_t row_bytes = (size_t)s->model->program->vocab_size * sizeof(float);
    const size_t most = row_bytes < LOGITS_BYTES ? LOGITS_BYTES / row_bytes : 1;
    c->step = most < c->step ? most : c->step;
    const ffai_session_options opening = {.context = (int64_t)c->window,
                                          .max_sequences = 1,
                                          .max_rows = (int32_t)c->step,
                                          .max_outputs = (int32_t)c->step,
                                          .kv_format = FFAI_KV_F32};
    return ffai_session_open(&s->session, s->model, &opening, err);
}

static ffai_status compare(comparison *c, const char *const paths[2], const ffai_model_options *options,
                           ffai_error *err)
{
    c->step = c->window < 1024 ? c->window : 1024;
    for (int s = 0; s < 2; s++)
        FFAI__TRY(open_side(c, &c->sides[s], paths[s], options, err));
    FFAI__TRY(check_tokens(c, err));
    c->rows = ffai__array(c->step, sizeof *c->rows);
    c->divergences = ffai__array(c->n, sizeof *c->divergences);
    if (!c->rows || !c->divergences)
        return ffai__fail_memory(err, "comparing", c->n * sizeof *c->divergences);
    return run_windows(c, err);
}

static int ascending(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

static void conclude(ffai_comparison *out, comparison *c)
{
    const double count = (double)c->scored;
    double sum = 0;
    qsort(c->divergences, c->scored, sizeof *c->divergences, ascending);
    for (size_t i = 0; i < c->scored; i++)
        sum += c->divergences[i];
    *out = (ffai_comparison){
        .positions = c->scored,
        .perplexity = exp(c->sides[0].nll / count),
        .other_perplexity = exp(c->sides[1].nll / count),
        .mean_divergence = sum / count,
        .high_divergence = c->divergences[(c->scored * 99 + 99) / 100 - 1],
        .flips = c->flips,
    };
}

ffai_status ffai_compare(ffai_comparison *out, const char *path, const char *other, const int32_t *tokens, size_t n,
                         size_t window, const ffai_model_options *options,
                         bool (*on_progress)(void *context, double fraction), void *context, ffai_error *err)
{
    const char *const paths[2] = {path, other};
    comparison c = {.tokens = tokens, .n = n, .window = window, .on_progress = on_progress, .context = context};
    if (n < 2 || window < 2)
        return ffai__fail(err, FFAI_E_ARGUMENT, "compare: %zu tokens in windows of %zu; it takes 2", n, window);
    const ffai_status status = compare(&c, paths, options, err);
    if (status == FFAI_OK)
        conclude(out, &c);
    for (int s = 0; s < 2; s++) {
        ffai_session_close(c.sides[s].session);
        ffai_model_free(c.sides[s].model);
    }
    ffai__free(c.divergences);
    ffai__free(c.rows);
    return status;
}
