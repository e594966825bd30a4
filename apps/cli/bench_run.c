#include "bench_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <ffai/generate.h>

#include "interrupt.h"
#include "report.h"

/* Without --repeat a measurement ends when it has taken this long. */
#define PATIENCE_SECONDS 20.0

typedef struct runner {
    bench_results *results;
    const bench_plan *plan;
    ffai_session *session;
    ffai_sequence sequence;                       /* that is worked on: the first, or one that is being filled */
    ffai_sequence sequences[BENCH_MAX_SEQUENCES]; /* that are open */
    int32_t num_sequences;
    ffai_row *rows; /* [step_size], and as many as there are sequences */
    int64_t step_size;
    int64_t vocab_size;
    uint32_t random;
    progress progress;
} runner;

static const ffai_sampling greedy = FFAI_SAMPLING_INIT;

/* Numerical Recipes' generator: any tokens will do, and the same ones each time. */
static int32_t random_token(runner *r)
{
    r->random = r->random * 1664525u + 1013904223u;
    return (int32_t)((int64_t)(r->random >> 8) % r->vocab_size);
}

static bool ended(const runner *r)
{
    if (interrupted())
        r->results->cancelled = true;
    return r->results->cancelled;
}

/* --- steps --- */

/* Append n random tokens in steps as generate makes them; the last row draws if `draws`. */
static ffai_status append(runner *r, int64_t n, bool draws, ffai_error *err)
{
    ffai_status status = FFAI_OK;
    for (int64_t done = 0; status == FFAI_OK && done < n && !ended(r);) {
        const int64_t count = n - done < r->step_size ? n - done : r->step_size;
        for (int64_t i = 0; i < count; i++)
            r->rows[i] = (ffai_row){random_token(r), r->sequence, false, NULL};
        done += count;
        if (draws && done == n) {
            r->rows[count - 1].output = true;
            r->rows[count - 1].sampling = &greedy;
        }
        status = ffai_step_submit(r->session, r->rows, (size_t)count, err);
        progress_show(&r->progress, (double)done / (double)n);
    }
    return status;
}

static ffai_status check_logits(runner *r, ffai_error *err)
{
    const float *logits = NULL;
    const ffai_status status = ffai_step_collect(NULL, &logits, r->session, err);
    for (int64_t i = 0; status == FFAI_OK && i < r->vocab_size; i++) {
        if (!isfinite(logits[i]))
            return failure(err, FFAI_E_BACKEND, "bench: position %lld: the logits are not finite",
                           (long long)ffai_sequence_length(r->session, r->sequence));
    }
    return status;
}

/* What is behind the last row is the wait of whoever wants its token. */
static ffai_status wait_for_token(runner *r, ffai_error *err)
{
    int32_t token = 0;
    return r->results->cancelled ? FFAI_OK : ffai_step_collect(&token, NULL, r->session, err);
}

typedef struct decoding {
    runner *runner;
    int64_t done, n;
} decoding;

static bool on_token(void *context, size_t done, size_t total)
{
    decoding *d = context;
    (void)done;
    (void)total;
    progress_show(&d->runner->progress, (double)d->done++ / (double)d->n);
    return !ended(d->runner);
}

static void set(ffai_parameter *parameter, double value)
{
    *parameter = (ffai_parameter){value, FFAI_FROM_CALLER};
}

/* n tokens, greedily, as generate makes them: from a random one on, each is the one that was drawn before. Logits that
 * are not finite are its error. */
static ffai_status decode(runner *r, int64_t n, ffai_error *err)
{
    ffai_generation *text = NULL;
    ffai_parameters parameters;
    decoding d = {.runner = r, .n = n};
    const int32_t first = random_token(r);
    ffai_model_parameters(&parameters, ffai_session_model(r->session));
    set(&parameters.max_tokens, (double)n);
    set(&parameters.temperature, 0);
    set(&parameters.repetition_penalty, 1);
    set(&parameters.presence_penalty, 0);
    const ffai_generate_options options = {
        .parameters = &parameters, .ignore_end_tokens = true, .on_progress = on_token, .context = &d};
    const ffai_status status = ffai_generate(&text, r->session, r->sequence, &first, 1, &options, err);
    ffai_generation_free(text);
    return status;
}

/* A step with a token of each sequence: as many times. */
static ffai_status decode_together(runner *r, int64_t n, ffai_error *err)
{
    int32_t tokens[BENCH_MAX_SEQUENCES];
    ffai_status status = FFAI_OK;
    for (int32_t i = 0; i < r->num_sequences; i++)
        r->rows[i] = (ffai_row){random_token(r), r->sequences[i], true, &greedy};
    for (int64_t done = 0; status == FFAI_OK && done < n && !ended(r); done++) {
        status = ffai_step_submit(r->session, r->rows, (size_t)r->num_sequences, err);
        if (status == FFAI_OK)
            status = ffai_step_collect(tokens, NULL, r->session, err);
        for (int32_t i = 0; i < r->num_sequences; i++)
            r->rows[i].token = FFAI_TOKEN_DRAWN;
        progress_show(&r->progress, (double)done / (double)n);
    }
    return status;
}

/* --- measuring --- */

typedef ffai_status piece(runner *r, ffai_error *err);

static ffai_status prefill_piece(runner *r, ffai_error *err)
{
    const ffai_status status = append(r, r->plan->prompt_tokens, true, err);
    return status == FFAI_OK ? wait_for_token(r, err) : status;
}

static ffai_status decode_piece(runner *r, ffai_error *err)
{
    return decode(r, r->plan->gen_tokens, err);
}

static ffai_status together_piece(runner *r, ffai_error *err)
{
    return decode_together(r, r->plan->gen_tokens, err);
}

static bool enough(const runner *r, const bench_samples *s)
{
    const size_t usual = 5;
    if (r->plan->repeats)
        return s->count >= (size_t)r->plan->repeats;
    return s->count >= usual || (s->count && s->total >= PATIENCE_SECONDS);
}

/* Insert a sample where its time belongs. */
static void keep(bench_samples *s, double seconds, double read_bytes_s)
{
    size_t i = s->count++;
    for (; i > 0 && s->seconds[i - 1] > seconds; i--) {
        s->seconds[i] = s->seconds[i - 1];
        s->read_bytes_s[i] = s->read_bytes_s[i - 1];
    }
    s->seconds[i] = seconds;
    s->read_bytes_s[i] = read_bytes_s;
    s->total += seconds;
}

/* The machine's rate of reading moves within seconds where others share it: what decode is held against is taken
 * before and after each sample. */
static double read_rate(const runner *r, piece *run)
{
    return run == prefill_piece ? 0 : ffai_session_read_weights(r->session);
}

static ffai_status rewind_all(runner *r, int64_t depth, ffai_error *err)
{
    ffai_status status = FFAI_OK;
    for (int32_t i = 0; status == FFAI_OK && i < r->num_sequences; i++)
        status = ffai_sequence_truncate(r->session, r->sequences[i], depth, err);
    return status;
}

/* Time the piece from the depth again and again; one that Ctrl-C cut short does not count. */
static ffai_status measure(bench_samples *s, runner *r, piece *run, int64_t depth, ffai_error *err)
{
    ffai_status status = FFAI_OK;
    if (r->plan->ops)
        status = ffai_session_profile(r->session, true, err);
    while (status == FFAI_OK && !enough(r, s) && !ended(r)) {
        const double before = read_rate(r, run);
        const double begin = seconds_now();
        status = run(r, err);
        const double seconds = seconds_now() - begin;
        if (status == FFAI_OK && !ended(r)) {
            keep(s, seconds, (before + read_rate(r, run)) / 2);
            status = run == prefill_piece ? check_logits(r, err) : FFAI_OK;
        }
        if (status == FFAI_OK)
            status = rewind_all(r, depth, err);
    }
    if (r->plan->ops && status == FFAI_OK) {
        const size_t kinds = ffai_session_profile_read(s->ops, BENCH_MAX_OPS, r->session);
        s->num_ops = r->results->cancelled ? 0 : kinds < BENCH_MAX_OPS ? kinds : BENCH_MAX_OPS;
        status = ffai_session_profile(r->session, false, err);
    }
    return status;
}

static void note_work(bench_depth *d, const runner *r)
{
    ffai_step_work work;
    ffai_session_work(&work, r->session, d->depth, r->plan->prompt_tokens, 1);
    d->prefill_flops = work.product_flops + work.attention_flops;
    ffai_session_work(&work, r->session, d->depth + (r->plan->gen_tokens - 1) / 2, 1, 1);
    d->decode_bytes = (double)work.weight_bytes + (double)work.store_bytes;
    d->together_bytes = (double)work.weight_bytes + (double)r->plan->sequences * (double)work.store_bytes;
}

/* Make the context that long: more tokens, or fewer. */
static ffai_status fill(runner *r, int64_t depth, ffai_error *err)
{
    const int64_t length = ffai_sequence_length(r->session, r->sequence);
    if (length > depth)
        return ffai_sequence_truncate(r->session, r->sequence, depth, err);
    progress_begin(&r->progress, "filling the context");
    const ffai_status status = append(r, depth - length, false, err);
    progress_end(&r->progress);
    return status;
}

/* All sequences with contexts of their own, of the same length. */
static ffai_status open_sequences(runner *r, int64_t depth, ffai_error *err)
{
    const ffai_sequence first = r->sequence;
    ffai_status status = FFAI_OK;
    while (status == FFAI_OK && r->num_sequences < r->plan->sequences && !ended(r)) {
        status = ffai_sequence_open(&r->sequence, r->session, err);
        if (status == FFAI_OK) {
            r->sequences[r->num_sequences++] = r->sequence;
            status = fill(r, depth, err);
        }
    }
    r->sequence = first;
    return status;
}

static void close_sequences(runner *r)
{
    while (r->num_sequences > 1)
        ffai_sequence_close(r->session, r->sequences[--r->num_sequences]);
}

static ffai_status measure_together(bench_depth *d, runner *r, ffai_error *err)
{
    if (r->plan->sequences < 2 || !r->plan->gen_tokens || ended(r))
        return FFAI_OK;
    ffai_status status = open_sequences(r, d->depth, err);
    progress_begin(&r->progress, "measuring sequences together");
    if (status == FFAI_OK)
        status = decode_together(r, 1, err); /* what its kind of step takes once */
    if (status == FFAI_OK)
        status = rewind_all(r, d->depth, err);
    if (status == FFAI_OK)
        status = measure(&d->together, r, together_piece, d->depth, err);
    progress_end(&r->progress);
    close_sequences(r);
    return status;
}

static ffai_status measure_depth(bench_depth *d, runner *r, ffai_error *err)
{
    note_work(d, r);
    ffai_status status = fill(r, d->depth, err);
    progress_begin(&r->progress, "measuring prefill");
    if (status == FFAI_OK && r->plan->prompt_tokens)
        status = measure(&d->prefill, r, prefill_piece, d->depth, err);
    progress_end(&r->progress);
    progress_begin(&r->progress, "measuring decode");
    if (status == FFAI_OK && r->plan->gen_tokens)
        status = measure(&d->decode, r, decode_piece, d->depth, err);
    progress_end(&r->progress);
    return status == FFAI_OK ? measure_together(d, r, err) : status;
}

/* The prompt, cold: what a user waits for. */
static ffai_status first_prompt(runner *r, double begun, ffai_error *err)
{
    ffai_status status = append(r, bench_first_tokens(r->plan), true, err);
    if (status == FFAI_OK)
        status = wait_for_token(r, err);
    if (status != FFAI_OK || r->results->cancelled)
        return status;
    r->results->first_token_seconds = seconds_now() - begun;
    return check_logits(r, err);
}

/* And a token behind it: then everything is warm. */
static ffai_status measure_first_token(runner *r, double begun, ffai_error *err)
{
    progress_begin(&r->progress, "first prompt");
    ffai_status status = first_prompt(r, begun, err);
    if (status == FFAI_OK)
        status = decode(r, 1, err);
    progress_end(&r->progress);
    return status;
}

static ffai_status run_all(runner *r, double begun, ffai_error *err)
{
    ffai_status status = ffai_sequence_open(&r->sequence, r->session, err);
    r->sequences[r->num_sequences++] = r->sequence;
    if (status == FFAI_OK)
        status = measure_first_token(r, begun, err);
    if (status == FFAI_OK)
        status = ffai_sequence_truncate(r->session, r->sequence, 0, err);
    for (size_t i = 0; status == FFAI_OK && i < r->plan->num_depths && !ended(r); i++)
        status = measure_depth(&r->results->depths[i], r, err);
    return status;
}

ffai_status bench_run(bench_results *results, ffai_session *session, const bench_plan *plan, double begun,
                      ffai_error *err)
{
    ffai_model_info info;
    ffai_parameters parameters;
    ffai_model_get_info(&info, ffai_session_model(session));
    ffai_model_parameters(&parameters, ffai_session_model(session));
    runner r = {.results = results,
                .plan = plan,
                .session = session,
                .vocab_size = info.vocab_size,
                .step_size = (int64_t)parameters.prefill_step_size.value};
    r.rows = calloc((size_t)r.step_size + (size_t)plan->sequences, sizeof *r.rows);
    if (!r.rows)
        return failure_memory(err, "bench");
    const ffai_status status = run_all(&r, begun, err);
    free(r.rows);
    return status;
}

/* Of numbers in increasing order. */
static double middle_of(const double *values, size_t count)
{
    const size_t middle = count / 2;
    if (count == 0)
        return 0;
    return count % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

static int by_size(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_median(const bench_samples *s)
{
    return middle_of(s->seconds, s->count);
}

double bench_median_read(const bench_samples *s)
{
    double rates[BENCH_MAX_REPEATS];
    memcpy(rates, s->read_bytes_s, s->count * sizeof *rates);
    qsort(rates, s->count, sizeof *rates, by_size);
    return middle_of(rates, s->count);
}

double bench_median_share(const bench_samples *s, double bytes)
{
    double shares[BENCH_MAX_REPEATS];
    for (size_t i = 0; i < s->count; i++)
        shares[i] = s->read_bytes_s[i] > 0 ? bytes / s->seconds[i] / s->read_bytes_s[i] : 0;
    qsort(shares, s->count, sizeof *shares, by_size);
    return middle_of(shares, s->count);
}
