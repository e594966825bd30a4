/* Which values of the free parameters are best here: each is tried beside the best so far, in turn.
 *
 * A machine that others share is twice as fast in one minute as in the next, so a candidate is only ever compared with
 * the samples right before and right behind it. It is kept if it wins nearly every round by more than such neighbours
 * differ; one that cannot reach that any more is not measured further, so what makes no difference costs two rounds.
 *
 * Rounds in which other processes took time from our threads do not count: fewer threads would win them for as long as
 * those processes run, and lose for good. */
#include <stdlib.h>
#include <string.h>

#include <ffai/tune.h>

#include "alloc.h"
#include "session.h"
#include "tuning_file.h"

/* A round is won by so much at least; chance then keeps one useless candidate in a thousand where neighbours differ by
 * 3%. */
#define MARGIN 1.02
/* A sample is disturbed if other processes took so much of its time. A quiet machine's background work takes 1 to 3%, a
 * process that computes takes half of a core. */
#define MOST_LOST 0.05
enum { ROUNDS = 7, ROUNDS_TO_WIN = 6, DISTURBED_TO_GIVE_UP = 4, MOST_CANDIDATES = 4 };

/* What a sample is: it takes about so long, if the number of its rows or tokens may be chosen so. */
typedef struct effort {
    double prefill_seconds, decode_seconds;
    size_t row_step, least_rows, most_rows; /* of a prompt */
    int least_tokens, most_tokens;
    size_t most_chunk; /* rows of a step at most */
    int64_t depth;     /* tokens before those that show what a long context costs */
    bool makes_ready;  /* the first step with other values costs more than those behind it */
} effort;

static const effort on_processor = {.prefill_seconds = 0.5,
                                    .decode_seconds = 0.25,
                                    .row_step = 64,
                                    .least_rows = 128,
                                    .most_rows = 512,
                                    .least_tokens = 4,
                                    .most_tokens = 64,
                                    .most_chunk = 512};
/* A prompt is whole steps of any size that is tried. A device's clock is its own, so samples may be short. */
static const effort on_device = {.prefill_seconds = 0.2,
                                 .decode_seconds = 0.1,
                                 .row_step = 4096,
                                 .least_rows = 4096,
                                 .most_rows = 8192,
                                 .least_tokens = 8,
                                 .most_tokens = 128,
                                 .most_chunk = 4096,
                                 .depth = 16384,
                                 .makes_ready = true};

typedef enum work { PREFILL, DECODE, WORKS } work;

/* What one value gave. */
typedef struct candidate {
    int32_t value;
    int rounds, wins;
    int disturbed;                /* rounds that do not count */
    double ratios[WORKS][ROUNDS]; /* time of the neighbours by its own */
} candidate;

typedef struct sample {
    double seconds[WORKS];
    bool disturbed;
} sample;

typedef struct tuner {
    ffai_session *session;
    ffai_sequence sequence;
    const effort *effort;
    ffai_row *rows; /* [effort->most_chunk] */
    size_t num_rows;
    int num_tokens;
    int64_t depth;  /* that memory has room for */
    int64_t filled; /* tokens that stay in the sequence */
    const ffai_tune_options *options;
    ffai__tuning best;
    int done, total; /* candidates */
} tuner;

/* --- samples --- */

static ffai_status retune(tuner *t, const ffai__tuning *tuning, ffai_error *err)
{
    return t->session->model->backend->retune(t->session->run, tuning, err);
}

/* The same tokens every time: what they are does not change what has to be done. */
static ffai_status submit_rows(tuner *t, size_t rows, size_t chunk, ffai_error *err)
{
    const int64_t vocab_size = t->session->model->program->vocab_size;
    for (size_t done = 0; done < rows; done += chunk) {
        const size_t count = rows - done < chunk ? rows - done : chunk;
        for (size_t i = 0; i < count; i++)
            t->rows[i] =
                (ffai_row){(int32_t)((int64_t)(done + i) * 7919 % vocab_size), t->sequence, done + i + 1 == rows, NULL};
        FFAI__TRY(ffai_step_submit(t->session, t->rows, count, err));
    }
    return ffai_step_collect(NULL, NULL, t->session, err);
}

/* Rows of a step, where a prompt is longer. */
static size_t chunk_of(const tuner *t, const ffai__tuning *tuning)
{
    const size_t chunk = (size_t)tuning->step_rows;
    return chunk && chunk < t->effort->most_chunk ? chunk : t->effort->most_chunk;
}

static ffai_status prefill(double *seconds, tuner *t, size_t rows, size_t chunk, ffai_error *err)
{
    const double begun = ffai__now();
    FFAI__TRY(submit_rows(t, rows, chunk, err));
    *seconds = ffai__now() - begun;
    return ffai_sequence_truncate(t->session, t->sequence, t->filled, err);
}

static ffai_status decode(double *seconds, tuner *t, int tokens, ffai_error *err)
{
    const ffai_row row = {1, t->sequence, true, NULL};
    const double begun = ffai__now();
    for (int i = 0; i < tokens; i++)
        FFAI__TRY(ffai_step_submit(t->session, &row, 1, err));
    FFAI__TRY(ffai_step_collect(NULL, NULL, t->session, err));
    *seconds = ffai__now() - begun;
    return ffai_sequence_truncate(t->session, t->sequence, t->filled, err);
}

static double lost_so_far(const tuner *t)
{
    const ffai__backend *backend = t->session->model->backend;
    return backend->lost ? backend->lost(t->session->run) : 0;
}

/* A step of each kind, which has what the values need made. */
static ffai_status make_ready(tuner *t, size_t chunk, const bool bears_on[WORKS], ffai_error *err)
{
    double ignored = 0;
    if (bears_on[PREFILL])
        FFAI__TRY(prefill(&ignored, t, chunk < t->num_rows ? chunk : t->num_rows, chunk, err));
    return bears_on[DECODE] ? decode(&ignored, t, 1, err) : FFAI_OK;
}

/* One of each kind of work that the parameter bears on. */
static ffai_status take_sample(sample *s, tuner *t, const ffai__tuning *tuning, const bool bears_on[WORKS],
                               ffai_error *err)
{
    const size_t chunk = chunk_of(t, tuning);
    *s = (sample){.disturbed = false};
    FFAI__TRY(retune(t, tuning, err));
    if (t->effort->makes_ready)
        FFAI__TRY(make_ready(t, chunk, bears_on, err));
    for (work w = 0; w < WORKS; w++) {
        const double lost_before = lost_so_far(t);
        if (bears_on[w])
            FFAI__TRY(w == PREFILL ? prefill(&s->seconds[w], t, t->num_rows, chunk, err)
                                   : decode(&s->seconds[w], t, t->num_tokens, err));
        s->disturbed = s->disturbed || lost_so_far(t) - lost_before > MOST_LOST * s->seconds[w];
    }
    return FFAI_OK;
}

static double clamp(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* How many rows and tokens make a sample. The first steps warm everything up. */
static ffai_status size_samples(tuner *t, ffai_error *err)
{
    const effort *e = t->effort;
    double seconds = 0;
    for (int i = 0; i < 2; i++)
        FFAI__TRY(prefill(&seconds, t, e->least_rows, chunk_of(t, &t->best), err));
    const double rows = (double)e->least_rows, tokens = (double)e->least_tokens;
    t->num_rows =
        (size_t)clamp(e->prefill_seconds / seconds * rows, rows, (double)e->most_rows) / e->row_step * e->row_step;
    for (int i = 0; i < 2; i++)
        FFAI__TRY(decode(&seconds, t, e->least_tokens, err));
    t->num_tokens = (int)clamp(e->decode_seconds / seconds * tokens, tokens, e->most_tokens);
    return FFAI_OK;
}

/* Have so many tokens stay in the sequence. */
static ffai_status fill_context(tuner *t, int64_t tokens, ffai_error *err)
{
    if (tokens == t->filled)
        return FFAI_OK;
    FFAI__TRY(ffai_sequence_truncate(t->session, t->sequence, 0, err));
    if (tokens)
        FFAI__TRY(submit_rows(t, (size_t)tokens, chunk_of(t, &t->best), err));
    t->filled = tokens;
    return FFAI_OK;
}

/* --- candidates --- */

/* Values worth trying, in eighths of the one in force, or as they are. Fewer threads: where memory holds them up, or
 * others use the machine. Of blocks, those that were ever found to gain. */
typedef struct candidates {
    int count;
    bool bears_on[WORKS]; /* prefill, decode */
    bool deep;            /* behind a long context */
    bool eighths;
    int32_t values[MOST_CANDIDATES];
} candidates;

static const candidates worth_trying[FFAI__NUM_TUNABLES] = {
    [FFAI__TUNABLE_threads] = {3, {true, true}, false, true, {7, 6, 4}},
    [FFAI__TUNABLE_row_block] = {2, {true, false}, false, true, {2, 16}},
    [FFAI__TUNABLE_tile_block_bytes] = {2, {true, false}, false, true, {4, 16}},
    [FFAI__TUNABLE_fetch_ahead] = {4, {false, true}, false, false, {0, 2048, 4096, 8192}},
    [FFAI__TUNABLE_row_blocks] = {4, {false, true}, false, false, {1, 2, 3, 4}},
    [FFAI__TUNABLE_attend_blocks] = {4, {false, true}, true, false, {1, 2, 3, 4}},
    [FFAI__TUNABLE_step_rows] = {4, {true, false}, false, false, {512, 1024, 2048, 4096}},
};

static int by_size(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(const double *ratios, int count)
{
    double sorted[ROUNDS];
    memcpy(sorted, ratios, (size_t)count * sizeof *ratios);
    qsort(sorted, (size_t)count, sizeof *sorted, by_size);
    return count ? (sorted[count / 2] + sorted[(count - 1) / 2]) / 2 : 0;
}

/* Better at one kind of work and no worse at the other. */
static bool wins_round(const candidate *c, int round)
{
    bool better = false;
    for (work w = 0; w < WORKS; w++) {
        const double ratio = c->ratios[w][round];
        better = better || ratio > MARGIN;
        if (ratio > 0 && ratio < 1 / MARGIN)
            return false;
    }
    return better;
}

static bool can_win(const candidate *c)
{
    return c->rounds - c->wins <= ROUNDS - ROUNDS_TO_WIN && c->disturbed < DISTURBED_TO_GIVE_UP;
}

static ffai_status report_progress(const tuner *t, const candidate *c, ffai_error *err)
{
    const double fraction = (t->done + (double)c->rounds / ROUNDS) / t->total;
    if (!t->options->on_progress || t->options->on_progress(t->options->context, fraction))
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_CANCELLED, "tune: cancelled");
}

static void count_round(candidate *c, const sample *before, const sample *own, const sample *behind)
{
    if (before->disturbed || own->disturbed || behind->disturbed) {
        c->disturbed++;
        return;
    }
    for (work w = 0; w < WORKS; w++) {
        const double neighbours = (before->seconds[w] + behind->seconds[w]) / 2;
        c->ratios[w][c->rounds] = own->seconds[w] > 0 ? neighbours / own->seconds[w] : 0;
    }
    c->wins += wins_round(c, c->rounds);
    c->rounds++;
}

/* The best so far, the candidate, the best so far, and so on: each candidate stands between two neighbours. */
static ffai_status try_candidate(candidate *c, tuner *t, ffai__tunable_index parameter, ffai_error *err)
{
    const bool *bears_on = worth_trying[parameter].bears_on;
    sample before, own, behind;
    ffai__tuning tried = t->best;
    ffai__tuning_set(&tried, parameter, c->value);
    FFAI__TRY(take_sample(&before, t, &t->best, bears_on, err));
    while (c->rounds < ROUNDS && can_win(c)) {
        FFAI__TRY(report_progress(t, c, err));
        FFAI__TRY(take_sample(&own, t, &tried, bears_on, err));
        FFAI__TRY(take_sample(&behind, t, &t->best, bears_on, err));
        count_round(c, &before, &own, &behind);
        before = behind;
    }
    t->done++;
    return FFAI_OK;
}

/* 1 for work that was not tried. */
static double median_gain(const candidate *c, work w)
{
    return c->ratios[w][0] > 0 ? median(c->ratios[w], c->rounds) : 1;
}

/* Of those that won, the one that gained most; NULL: none did. */
static const candidate *find_best(const candidate *all, int count)
{
    const candidate *best = NULL;
    double most = 0;
    for (int i = 0; i < count; i++) {
        const double gain = median_gain(&all[i], PREFILL) * median_gain(&all[i], DECODE);
        if (all[i].wins < ROUNDS_TO_WIN || gain <= most)
            continue;
        best = &all[i];
        most = gain;
    }
    return best;
}

static void report_trials(const tuner *t, ffai__tunable_index parameter, const candidate *all, int count,
                          const candidate *best)
{
    for (int i = 0; i < count && t->options->on_trial; i++) {
        const ffai_tune_trial trial = {
            .parameter = ffai__tunables[parameter].name,
            .value = all[i].value,
            .against = ffai__tuning_get(&t->best, parameter),
            .rounds = all[i].rounds,
            .wins = all[i].wins,
            .disturbed = all[i].disturbed,
            .prefill = median(all[i].ratios[PREFILL], all[i].rounds),
            .decode = median(all[i].ratios[DECODE], all[i].rounds),
            .kept = &all[i] == best,
        };
        t->options->on_trial(t->options->context, &trial);
    }
}

/* --- the search --- */

static int add_value(candidate *all, int count, int32_t value, int32_t usual)
{
    for (int i = 0; i < count; i++) {
        if (all[i].value == value)
            return count;
    }
    if (value == usual)
        return count;
    all[count] = (candidate){.value = value};
    return count + 1;
}

/* Whether the model's backend has the parameter, and nobody else has said what it is. */
static bool is_free(const ffai_model *model, ffai__tunable_index parameter)
{
    return ffai__tunable_is_of(parameter, model->backend->name) &&
           (parameter != FFAI__TUNABLE_step_rows || model->parameters.prefill_step_size.source != FFAI_FROM_CHECKPOINT);
}

static int find_candidates(candidate all[MOST_CANDIDATES], const tuner *t, ffai__tunable_index parameter)
{
    const candidates *c = &worth_trying[parameter];
    const int32_t usual = ffai__tuning_get(&t->best, parameter);
    int count = 0;
    if (!is_free(t->session->model, parameter))
        return 0;
    for (int i = 0; i < c->count; i++) {
        const int32_t value = c->eighths ? usual * c->values[i] / 8 : c->values[i];
        if (value > 0 || !c->eighths)
            count = add_value(all, count, value, usual);
    }
    return count;
}

static ffai_status tune_parameter(tuner *t, ffai__tunable_index parameter, ffai_error *err)
{
    candidate all[MOST_CANDIDATES];
    const int count = find_candidates(all, t, parameter);
    FFAI__TRY(fill_context(t, worth_trying[parameter].deep ? t->depth : 0, err));
    for (int i = 0; i < count; i++)
        FFAI__TRY(try_candidate(&all[i], t, parameter, err));
    const candidate *best = find_best(all, count);
    report_trials(t, parameter, all, count, best);
    if (best)
        ffai__tuning_set(&t->best, parameter, best->value);
    return FFAI_OK;
}

static ffai_status tune_all(tuner *t, ffai_error *err)
{
    candidate all[MOST_CANDIDATES];
    FFAI__TRY(ffai_sequence_open(&t->sequence, t->session, err));
    FFAI__TRY(size_samples(t, err));
    for (ffai__tunable_index i = 0; i < FFAI__NUM_TUNABLES; i++)
        t->total += find_candidates(all, t, i);
    for (ffai__tunable_index i = 0; i < FFAI__NUM_TUNABLES; i++)
        FFAI__TRY(tune_parameter(t, i, err));
    return FFAI_OK;
}

/* As deep as memory allows. */
static ffai_status open_session(tuner *t, ffai_model *model, ffai_error *err)
{
    const effort *e = t->effort;
    ffai_status status = FFAI_E_MEMORY;
    for (t->depth = e->depth; status == FFAI_E_MEMORY; t->depth /= 2) {
        const int64_t deepest = t->depth + e->most_tokens;
        const ffai_session_options opening = {
            .context = deepest > (int64_t)e->most_rows ? deepest : (int64_t)e->most_rows,
            .max_sequences = 1,
            .max_rows = (int32_t)e->most_chunk,
            .max_outputs = 1,
        };
        status = ffai_session_open(&t->session, model, &opening, err);
        if (status == FFAI_OK || t->depth == 0)
            return status;
    }
    return status;
}

/* Values as they are in force, rather than what stands for "as usual". */
static void find_values_in_force(ffai__tuning *tuning, const ffai_model *model)
{
    model->backend->tuning(tuning, model->plan);
    if (ffai__tunable_is_of(FFAI__TUNABLE_step_rows, model->backend->name))
        tuning->step_rows = (int32_t)model->parameters.prefill_step_size.value;
}

/* What was not changed stays as usual, whatever that is at another time. */
static void keep_changes(ffai__tuning *found, const ffai__tuning *in_force, const ffai__tuning *best)
{
    *found = ffai__tuning_usual;
    for (size_t i = 0; i < FFAI__NUM_TUNABLES; i++) {
        const int32_t value = ffai__tuning_get(best, i);
        if (value != ffai__tuning_get(in_force, i))
            ffai__tuning_set(found, i, value);
    }
}

static ffai_status search(ffai__tuning *found, ffai_model *model, const ffai_tune_options *options, ffai_error *err)
{
    const effort *e = model->backend->ahead ? &on_device : &on_processor;
    tuner t = {.options = options, .effort = e, .rows = ffai__calloc(e->most_chunk, sizeof *t.rows)};
    ffai__tuning in_force;
    if (!t.rows)
        return ffai__fail_memory(err, "tuning", e->most_chunk * sizeof *t.rows);
    find_values_in_force(&in_force, model);
    t.best = in_force;
    ffai_status status = open_session(&t, model, err);
    if (status == FFAI_OK)
        status = tune_all(&t, err);
    keep_changes(found, &in_force, &t.best);
    ffai_session_close(t.session);
    ffai__free(t.rows);
    return status;
}

static ffai_status check_backend(const ffai__backend *backend, ffai_error *err)
{
    if (backend->retune)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_UNSUPPORTED, "tune: the backend %s has nothing to tune", backend->name);
}

ffai_status ffai_tune_check(const ffai_model_options *options, ffai_error *err)
{
    ffai__backend_choice choice;
    FFAI__TRY(ffai__backend_choose(&choice, options ? options->backend : NULL, options ? options->device : 0, err));
    return check_backend(choice.backend, err);
}

ffai_status ffai_tune(char **path, ffai_model *model, const ffai_tune_options *options, ffai_error *err)
{
    static const ffai_tune_options defaults = {0};
    ffai__tuning_file file = {0};
    ffai__tuning found;
    FFAI__TRY(check_backend(model->backend, err));
    if (!model->plain)
        return ffai__fail(err, FFAI_E_ARGUMENT, "tune: the model must be loaded untuned and without threads");
    ffai_status status = ffai__tuning_file_of(&file, model, err);
    if (status == FFAI_OK)
        status = ffai__tuning_file_prepare(&file, err);
    if (status == FFAI_OK)
        status = search(&found, model, options ? options : &defaults, err);
    if (status == FFAI_OK)
        status = ffai__tuning_file_write(&file, &found, err);
    if (status == FFAI_OK)
        *path = file.path;
    else
        ffai__tuning_file_free(&file);
    return status == FFAI_E_NOT_FOUND ? ffai__fail_in(err, status, "tune") : status;
}
