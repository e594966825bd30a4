/* Text over a backend that computes late, as a device does, with and without steps that run ahead of the host: nothing
 * but time may tell one from the other. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ffai/ffai.h>

#include "cuda_devices.h"
#include "session.h"

#define TINY FFAI_SOURCE_DIR "/tests/golden/llama/f32"

enum { MOST_ROWS = 8, MOST_OUTPUTS = 4, MOST_PAGES = 4, VOCAB = 288, CONTEXT = 64, NEVER = -1 };

/* --- a backend that computes a step when it must --- */

/* A step whose arrays are its own: those of the engine may change as soon as it was submitted. */
typedef struct {
    ffai__step step;
    int32_t tokens[MOST_ROWS], positions[MOST_ROWS], sequence_of_row[MOST_ROWS], output_rows[MOST_OUTPUTS];
    ffai__draw draws[MOST_OUTPUTS];
    ffai__step_sequence sequences[MOST_OUTPUTS];
    ffai__page_ref tables[MOST_OUTPUTS][MOST_PAGES];
    const ffai__page_ref *groups[MOST_OUTPUTS][1];
    ffai_status status;
    int32_t ids[MOST_OUTPUTS];
    float chosen[MOST_OUTPUTS];
} late_step;

enum { REMEMBERED = FFAI__MOST_AHEAD + 2 };

static struct {
    int ahead;
    int submitted, done;
    int behind;                  /* results that were collected after the next step had been submitted */
    late_step steps[REMEMBERED]; /* in turn */
    int fail_submission, fail_step;
} late;

static void keep_step(late_step *to, const ffai__step *step)
{
    to->step = *step;
    assert_true(step->num_rows <= MOST_ROWS && step->num_outputs <= MOST_OUTPUTS);
    for (int32_t i = 0; i < step->num_rows; i++) {
        to->tokens[i] = step->tokens[i];
        to->positions[i] = step->positions[i];
        to->sequence_of_row[i] = step->sequence_of_row[i];
    }
    for (int32_t i = 0; i < step->num_sequences; i++) {
        const int32_t last = step->sequences[i].first_row + step->sequences[i].num_rows - 1;
        const size_t pages = ffai__pages_for(step->positions[last] + 1);
        to->sequences[i] = step->sequences[i];
        memcpy(to->tables[i], step->sequences[i].tables[0], pages * sizeof(ffai__page_ref));
        to->groups[i][0] = to->tables[i];
        to->sequences[i].tables = to->groups[i];
    }
    for (int32_t i = 0; i < step->num_outputs; i++) {
        to->output_rows[i] = step->output_rows[i];
        if (step->draws)
            to->draws[i] = step->draws[i];
    }
    to->step.tokens = to->tokens;
    to->step.positions = to->positions;
    to->step.sequence_of_row = to->sequence_of_row;
    to->step.sequences = to->sequences;
    to->step.output_rows = to->output_rows;
    to->step.draws = step->draws ? to->draws : NULL;
    to->step.keep_going = NULL;
}

static void compute_until(ffai__run *run, int done)
{
    for (; late.done < done; late.done++) {
        late_step *s = &late.steps[late.done % REMEMBERED];
        ffai_error err = FFAI_ERROR_INIT;
        if (ffai__backend_cpu.step(run, &s->step, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        if (s->step.draws)
            assert_int_equal(ffai__backend_cpu.collect(run, 0, s->ids, s->chosen, NULL, NULL), FFAI_OK);
        s->status = late.done == late.fail_step ? FFAI_E_BACKEND : FFAI_OK;
    }
}

/* One question a step, at its submission. */
static ffai_status late_submit(ffai__run *run, const ffai__step *step, ffai_error *err)
{
    if (step->keep_going && !step->keep_going(step->keep_going_context))
        return ffai__fail(err, FFAI_E_CANCELLED, "step: cancelled");
    if (late.submitted == late.fail_submission)
        return ffai__fail(err, FFAI_E_BACKEND, "step: the device is lost");
    keep_step(&late.steps[late.submitted % REMEMBERED], step);
    late.submitted++;
    compute_until(run, late.submitted - late.ahead - 1);
    return FFAI_OK;
}

static ffai_status late_collect(ffai__run *run, int behind, int32_t *ids, float *chosen, const float **logits,
                                ffai_error *err)
{
    const int number = late.submitted - 1 - behind;
    assert_true(behind >= 0 && behind <= late.ahead && number >= 0);
    compute_until(run, number + 1);
    late.behind += behind > 0;
    const late_step *s = &late.steps[number % REMEMBERED];
    const size_t outputs = (size_t)s->step.num_outputs;
    if (s->status != FFAI_OK)
        return ffai__fail(err, s->status, "step: the device failed");
    assert_true(s->step.draws || (!ids && !chosen));
    if (ids)
        memcpy(ids, s->ids, outputs * sizeof *ids);
    if (chosen)
        memcpy(chosen, s->chosen, outputs * sizeof *chosen);
    return logits ? ffai__backend_cpu.collect(run, behind, NULL, NULL, logits, err) : FFAI_OK;
}

static ffai_status late_copy_page(ffai__run *run, int group, uint32_t to, uint32_t from, ffai_error *err)
{
    compute_until(run, late.submitted);
    return ffai__backend_cpu.copy_page(run, group, to, from, err);
}

static ffai_status late_copy_tokens(ffai__run *run, int32_t to, int32_t from, int64_t length, ffai_error *err)
{
    compute_until(run, late.submitted);
    return ffai__backend_cpu.copy_tokens(run, to, from, length, err);
}

static ffai__backend backend;

static void use_late_backend(ffai_model *model, int ahead)
{
    backend = ffai__backend_cpu;
    backend.name = "late";
    backend.ahead = late.ahead = ahead;
    backend.step = late_submit;
    backend.collect = late_collect;
    backend.copy_page = late_copy_page;
    backend.copy_tokens = late_copy_tokens;
    late.submitted = late.done = 0;
    late.fail_submission = late.fail_step = NEVER;
    model->backend = &backend;
}

/* The model's own, waiting or not; nothing of it is made to fail. */
static void use_backend(ffai_model *model, int ahead)
{
    if (model->plan->backend == &ffai__backend_cpu) {
        use_late_backend(model, ahead);
        return;
    }
    backend = *model->plan->backend;
    backend.ahead = ahead;
    model->backend = &backend;
}

/* --- a text, and all that can be seen of it --- */

typedef struct {
    int max_tokens;
    int prompt_tokens;
    int context;                                      /* 0: CONTEXT */
    int32_t end_token;                                /* NEVER: none */
    int stop_text_at, stop_progress_at, stop_step_at; /* the call that says no; NEVER */
    int fail_submission, fail_step;                   /* by number; NEVER */
    int fork_at;                                      /* the text goes on a fork with so many tokens; 0: none */
    double temperature, repetition_penalty;
} scenario;

static const scenario usual = {
    .max_tokens = 20,
    .prompt_tokens = 12,
    .end_token = NEVER,
    .stop_text_at = NEVER,
    .stop_progress_at = NEVER,
    .stop_step_at = NEVER,
    .fail_submission = NEVER,
    .fail_step = NEVER,
    .repetition_penalty = 1,
};

enum { MOST_TOKENS = 128 };

typedef struct {
    ffai_status status;
    char message[sizeof((ffai_error *)0)->message];
    ffai_finish_reason reason;
    size_t num_tokens, prompt_tokens;
    int32_t tokens[MOST_TOKENS];
    char text[4096];
    char calls[8192]; /* what callbacks were called with */
    int texts, progresses;
    int64_t length, drawn_position;
    uint32_t num_pages, num_free;
    uint32_t pages[MOST_PAGES];
    uint32_t free_pages[64];
    int32_t next_drawn;
    int32_t later[8];
} outcome;

typedef struct {
    const scenario *s;
    outcome *o;
    int steps;
} watcher;

static bool on_text(void *context, const char *text, size_t size)
{
    watcher *w = context;
    const size_t used = strlen(w->o->calls);
    snprintf(w->o->calls + used, sizeof w->o->calls - used, "[%.*s]", (int)size, text);
    return w->o->texts++ != w->s->stop_text_at;
}

static bool on_progress(void *context, size_t done, size_t total)
{
    watcher *w = context;
    const size_t used = strlen(w->o->calls);
    snprintf(w->o->calls + used, sizeof w->o->calls - used, "(%zu/%zu)", done, total);
    return w->o->progresses++ != w->s->stop_progress_at;
}

static bool before_step(void *context)
{
    watcher *w = context;
    return w->steps++ != w->s->stop_step_at;
}

static ffai_status generate_into(outcome *o, ffai_session *session, ffai_sequence sequence, const scenario *s,
                                 watcher *w, ffai_error *err)
{
    static const int32_t prompt[] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120};
    ffai_generation *g = NULL;
    ffai_parameters parameters;
    ffai_model_parameters(&parameters, ffai_session_model(session));
    parameters.max_tokens.value = s->max_tokens;
    parameters.temperature.value = s->temperature;
    parameters.repetition_penalty.value = s->repetition_penalty;
    const ffai_generate_options options = {
        .parameters = &parameters, .seed = 3, .on_text = on_text, .on_progress = on_progress, .context = w};
    const ffai_status status = ffai_generate(&g, session, sequence, prompt, (size_t)s->prompt_tokens, &options, err);
    if (status != FFAI_OK)
        return status;
    o->reason = g->finish_reason;
    o->num_tokens = g->num_tokens;
    o->prompt_tokens = g->prompt_tokens;
    assert_true(g->num_tokens <= MOST_TOKENS && g->text_size < sizeof o->text);
    memcpy(o->tokens, g->tokens, g->num_tokens * sizeof *o->tokens);
    memcpy(o->text, g->text, g->text_size);
    ffai_generation_free(g);
    return FFAI_OK;
}

static void note_state(outcome *o, const ffai_session *session, ffai_sequence sequence)
{
    const ffai__sequence *q = &session->sequences[sequence];
    const ffai__pages *pages = &session->pages[0];
    o->length = q->length;
    o->drawn_position = q->drawn_position;
    o->num_pages = q->num_pages;
    o->num_free = pages->num_free;
    for (uint32_t i = 0; i < q->num_pages; i++)
        o->pages[i] = q->tables[0][i].page;
    memcpy(o->free_pages, pages->free, pages->num_free * sizeof *pages->free);
}

/* The session is fit for more: the drawn token is taken where there is one, and then a text of another prompt. */
static void go_on(outcome *o, ffai_session *session, ffai_sequence sequence)
{
    static const ffai_sampling greedy = FFAI_SAMPLING_INIT;
    const ffai_row row = {FFAI_TOKEN_DRAWN, sequence, true, &greedy};
    const scenario short_text = {.max_tokens = 6, .prompt_tokens = 1, .repetition_penalty = 1};
    outcome *later = calloc(1, sizeof *later);
    watcher quiet = {.s = &usual, .o = later};
    const float *logits = NULL;
    int32_t drawn[1] = {NEVER};
    late.fail_submission = late.fail_step = NEVER;
    assert_int_equal(ffai_step_collect(drawn, &logits, session, NULL), FFAI_E_ARGUMENT);
    if (o->drawn_position == o->length && o->length < ffai_session_context(session))
        assert_int_equal(ffai_forward_sample(drawn, session, &row, 1, NULL), FFAI_OK);
    o->next_drawn = drawn[0];
    assert_int_equal(ffai_sequence_truncate(session, sequence, o->length / 2, NULL), FFAI_OK);
    assert_int_equal(generate_into(later, session, sequence, &short_text, &quiet, NULL), FFAI_OK);
    memcpy(o->later, later->tokens, later->num_tokens * sizeof *o->later);
    free(later);
}

/* A sequence of `length` tokens, of which the text's begins with a fork of all. */
static ffai_sequence fork_of(ffai_session *session, int length)
{
    ffai_sequence origin = 0, fork = 0;
    assert_int_equal(ffai_sequence_open(&origin, session, NULL), FFAI_OK);
    for (int i = 0; i < length; i++) {
        const ffai_row row = {i + 1, origin, false, NULL};
        assert_int_equal(ffai_step_submit(session, &row, 1, NULL), FFAI_OK);
    }
    if (length)
        assert_int_equal(ffai_sequence_fork(&fork, session, origin, length, NULL), FFAI_OK);
    return length ? fork : origin;
}

static outcome *run(ffai_model *model, const scenario *s, int ahead)
{
    outcome *o = calloc(1, sizeof *o);
    watcher w = {.s = s, .o = o};
    ffai_error err = FFAI_ERROR_INIT;
    ffai_session *session = NULL;
    const ffai_session_options opening = {.context = s->context ? s->context : CONTEXT,
                                          .max_sequences = 2,
                                          .max_rows = MOST_ROWS,
                                          .keep_going = before_step,
                                          .keep_going_context = &w};
    use_backend(model, ahead);
    model->num_end_tokens = s->end_token == NEVER ? 0 : 1;
    model->end_tokens[0] = s->end_token;
    assert_int_equal(ffai_session_open(&session, model, &opening, NULL), FFAI_OK);
    const ffai_sequence sequence = fork_of(session, s->fork_at);
    w.steps = late.submitted = late.done = late.behind = 0;
    late.fail_submission = s->fail_submission;
    late.fail_step = s->fail_step;
    o->status = generate_into(o, session, sequence, s, &w, &err);
    snprintf(o->message, sizeof o->message, "%s", err.message);
    assert_true(ahead || !late.behind);
    assert_true(!ahead || backend.step != late_submit || o->status != FFAI_OK || late.behind + 1 >= (int)o->num_tokens);
    note_state(o, session, sequence);
    w.s = &usual; /* nobody says no any more */
    go_on(o, session, sequence);
    ffai_session_close(session);
    return o;
}

/* Both ways; returns what both gave. */
static outcome *run_both(ffai_model *model, const scenario *s)
{
    outcome *waiting = run(model, s, 0), *ahead = run(model, s, 1);
    assert_int_equal(ahead->status, waiting->status);
    assert_string_equal(ahead->message, waiting->message);
    assert_string_equal(ahead->calls, waiting->calls);
    assert_string_equal(ahead->text, waiting->text);
    assert_int_equal(ahead->reason, waiting->reason);
    assert_int_equal(ahead->num_tokens, waiting->num_tokens);
    assert_int_equal(ahead->length, waiting->length);
    assert_int_equal(ahead->drawn_position, waiting->drawn_position);
    assert_int_equal(ahead->num_pages, waiting->num_pages);
    assert_int_equal(ahead->num_free, waiting->num_free);
    assert_memory_equal(ahead, waiting, sizeof *waiting);
    free(waiting);
    return ahead;
}

static int set_up(void **state)
{
    ffai_model *model = NULL;
    const ffai_model_options options = {.backend = "cpu", .threads = 1};
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai_model_load(&model, TINY, &options, &err) != FFAI_OK) {
        print_message("%s\n", err.message);
        return -1;
    }
    *state = model;
    return 0;
}

/* By the backend that loaded it. */
static void free_model(ffai_model *model)
{
    model->backend = model->plan->backend;
    ffai_model_free(model);
}

static int tear_down(void **state)
{
    free_model(*state);
    return 0;
}

/* --- what must not differ --- */

static void texts_of_every_length_are_the_same(void **state)
{
    static const int lengths[] = {0, 1, 2, 3, 20, 21, 1000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        scenario s = usual;
        s.max_tokens = lengths[i];
        outcome *o = run_both(*state, &s);
        const size_t room = CONTEXT - 12 + 1, wanted = (size_t)lengths[i];
        assert_int_equal(o->num_tokens, wanted < room ? wanted : room);
        assert_int_equal(o->reason, FFAI_FINISH_LENGTH);
        free(o);
    }
}

static void drawn_and_penalized_texts_are_the_same(void **state)
{
    scenario s = usual;
    s.max_tokens = 40;
    s.temperature = 1.5;
    s.repetition_penalty = 1.3;
    outcome *o = run_both(*state, &s);
    assert_int_equal(o->num_tokens, 40);
    free(o);
}

/* Contexts that end with the prompt, one token behind it, and at a page. */
static void texts_that_fill_the_context_are_the_same(void **state)
{
    static const int contexts[] = {12, 13, 14, 32, 33};
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++) {
        scenario s = usual;
        s.max_tokens = 1000;
        s.context = contexts[i];
        outcome *o = run_both(*state, &s);
        assert_int_equal(o->length, contexts[i]);
        assert_int_equal(o->num_tokens, contexts[i] - 12 + 1);
        free(o);
    }
}

static void an_end_token_anywhere_leaves_no_step_behind(void **state)
{
    scenario s = usual;
    s.max_tokens = 40;
    s.temperature = 1.5;
    outcome *whole = run_both(*state, &s);
    int stops = 0;
    for (size_t i = 0; i < whole->num_tokens; i++) {
        s.end_token = whole->tokens[i];
        outcome *o = run_both(*state, &s);
        assert_int_equal(o->reason, FFAI_FINISH_STOP);
        assert_true(o->num_tokens <= i);
        assert_int_equal(o->length, 12 + (int64_t)o->num_tokens);
        assert_int_equal(o->drawn_position, o->length);
        stops += o->num_tokens == i;
        free(o);
    }
    assert_true(stops > 20); /* most of the tokens come for the first time */
    free(whole);
}

static void every_callback_can_cancel(void **state)
{
    outcome *whole = run_both(*state, &usual);
    for (int i = 0; i < whole->texts; i++) {
        scenario s = usual;
        s.stop_text_at = i;
        outcome *o = run_both(*state, &s);
        /* what the end of a text makes certain comes too late to stop it */
        assert_true(o->reason == FFAI_FINISH_CANCELLED || i == whole->texts - 1);
        free(o);
    }
    for (int i = 0; i < whole->progresses; i++) {
        scenario s = usual;
        s.stop_progress_at = i;
        outcome *o = run_both(*state, &s);
        assert_int_equal(o->reason, FFAI_FINISH_CANCELLED);
        free(o);
    }
    free(whole);
}

/* The question may come for a step that would not have been made without running ahead: then it changes nothing. */
static void every_step_can_be_cancelled(void **state)
{
    enum { STEPS = 2 + 19 }; /* the prompt's two, and one for each token but the last */
    outcome *whole = run_both(*state, &usual);
    for (int i = 0; i <= STEPS; i++) {
        scenario s = usual;
        s.stop_step_at = i;
        outcome *o = run_both(*state, &s);
        assert_int_equal(o->reason, i < STEPS ? FFAI_FINISH_CANCELLED : FFAI_FINISH_LENGTH);
        s.end_token = whole->tokens[5];
        free(o);
        o = run_both(*state, &s);
        assert_true(i < 2 || o->num_tokens < 6);
        free(o);
    }
    free(whole);
}

static void errors_come_where_they_would(void **state)
{
    int failed = 0;
    outcome *whole = run_both(*state, &usual);
    for (int i = 0; i < 22; i++) {
        scenario s = usual;
        s.fail_submission = i;
        outcome *o = run_both(*state, &s);
        failed += o->status == FFAI_E_BACKEND;
        assert_int_equal(o->status == FFAI_E_BACKEND, i < 21);
        s.end_token = whole->tokens[4];
        free(o);
        o = run_both(*state, &s);
        assert_true(i < 10 || o->status == FFAI_OK); /* a step that was not wanted fails in vain */
        free(o);
        s = usual;
        s.fail_step = i;
        o = run_both(*state, &s);
        assert_int_equal(o->status == FFAI_E_BACKEND, i > 0 && i < 21); /* nothing of the first is asked for */
        free(o);
    }
    assert_int_equal(failed, 21);
    free(whole);
}

static void forks_share_their_pages_as_they_would(void **state)
{
    static const int lengths[] = {1, 19, 20, 21, 31, 32, 33};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        scenario s = usual;
        s.fork_at = lengths[i];
        for (s.stop_text_at = NEVER; s.stop_text_at < 3; s.stop_text_at++)
            free(run_both(*state, &s));
    }
}

/* --- collecting by itself --- */

static void results_of_the_step_before_are_its_own(void **state)
{
    static const ffai_sampling greedy = FFAI_SAMPLING_INIT;
    ffai_session *session = NULL;
    ffai_sequence sequence = 0;
    const ffai_session_options opening = {.context = CONTEXT, .max_rows = MOST_ROWS, .max_outputs = MOST_OUTPUTS};
    use_late_backend(*state, 1);
    assert_int_equal(ffai_session_open(&session, *state, &opening, NULL), FFAI_OK);
    assert_int_equal(ffai_sequence_open(&sequence, session, NULL), FFAI_OK);
    const ffai_row first[] = {{5, sequence, true, NULL}, {6, sequence, true, &greedy}, {7, sequence, true, &greedy}};
    const ffai_row second[] = {{FFAI_TOKEN_DRAWN, sequence, true, &greedy}};
    const ffai_row bad[] = {{5, sequence, true, &greedy}, {-7, sequence, true, NULL}};
    int32_t alone[3], late_ones[3], last[1], again[1];
    assert_int_equal(ffai__step_collect(alone, NULL, NULL, session, 0, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai_step_submit(session, first, 3, NULL), FFAI_OK);
    assert_int_equal(ffai__step_collect(alone, NULL, NULL, session, 1, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai_step_collect(alone, NULL, session, NULL), FFAI_OK);
    assert_int_equal(ffai_step_submit(session, second, 1, NULL), FFAI_OK);
    assert_int_equal(ffai__step_collect(late_ones, NULL, NULL, session, 1, NULL), FFAI_OK);
    assert_memory_equal(late_ones, alone, sizeof alone);
    assert_int_equal(alone[0], -1);
    assert_true(alone[1] >= 0 && alone[2] >= 0);
    assert_int_equal(ffai_step_collect(last, NULL, session, NULL), FFAI_OK);
    /* One that fails takes the place of none but the oldest. */
    assert_int_equal(ffai_step_submit(session, bad, 2, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai_step_collect(again, NULL, session, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai__step_collect(again, NULL, NULL, session, 0, NULL), FFAI_OK);
    assert_int_equal(again[0], last[0]);
    assert_int_equal(ffai__step_collect(late_ones, NULL, NULL, session, 1, NULL), FFAI_E_ARGUMENT);
    ffai_session_close(session);
}

/* The same on a device, or on what plays one; without either it is skipped. A step takes what plays one its time. */
static void a_device_runs_ahead(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    const ffai_model_options options = {.backend = "cuda"};
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__cuda_usable(0, &err) != FFAI_OK) {
        print_message("%s\n", err.message);
        skip();
    }
    if (ffai_model_load(&model, TINY, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_true(model->backend->ahead > 0);
    scenario s = usual;
    s.max_tokens = 6;
    s.temperature = 1.5;
    outcome *whole = run_both(model, &s);
    assert_int_equal(whole->num_tokens, 6);
    s.end_token = whole->tokens[3];
    free(run_both(model, &s));
    s.end_token = NEVER;
    s.stop_text_at = 1;
    s.fork_at = 20; /* the step that is taken back is the first of a page */
    free(run_both(model, &s));
    free(whole);
    free_model(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_every_length_are_the_same),
        cmocka_unit_test(drawn_and_penalized_texts_are_the_same),
        cmocka_unit_test(texts_that_fill_the_context_are_the_same),
        cmocka_unit_test(an_end_token_anywhere_leaves_no_step_behind),
        cmocka_unit_test(every_callback_can_cancel),
        cmocka_unit_test(every_step_can_be_cancelled),
        cmocka_unit_test(errors_come_where_they_would),
        cmocka_unit_test(forks_share_their_pages_as_they_would),
        cmocka_unit_test(results_of_the_step_before_are_its_own),
        cmocka_unit_test(a_device_runs_ahead),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
