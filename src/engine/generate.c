#include <math.h>
#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "session.h"

typedef struct {
    ffai_session *session;
    ffai_sequence sequence;
    const ffai_generate_options *options;
    ffai_parameters parameters;
    ffai_sampling sampling;
    ffai_detokenizer *detokenizer; /* NULL without a tokenizer */
    ffai_row *rows;                /* [step_size] */
    size_t step_size;
    ffai__buffer tokens;
    ffai__buffer text;
    double first_token; /* when it was there */
    /* The step that takes the token to be collected next and draws the one behind it. */
    bool next_submitted;
    ffai_status next_status;
    ffai_error next_error;
    ffai_generation *result;
} generator;

const char *ffai_finish_reason_name(ffai_finish_reason reason)
{
    static const char *const names[] = {"stop", "length", "cancelled"};
    return names[reason];
}

/* --- parameters --- */

static ffai_status check_parameters(const ffai_parameters *p, ffai_error *err)
{
#define FFAI_CHECK(name, least, most)                                                                                  \
    if (!(p->name.value >= (least) && p->name.value <= (most)))                                                        \
        return ffai__fail(err, FFAI_E_ARGUMENT, #name ": must be from %g to %g, not %g", (double)(least),              \
                          (double)(most), p->name.value);
    FFAI_PARAMETER_LIST(FFAI_CHECK)
#undef FFAI_CHECK
    return FFAI_OK;
}

static ffai_sampling sampling_of(const ffai_parameters *p, uint64_t seed)
{
    return (ffai_sampling){
        .temperature = (float)p->temperature.value,
        .top_k = (int32_t)p->top_k.value,
        .top_p = (float)p->top_p.value,
        .min_p = (float)p->min_p.value,
        .repetition_penalty = (float)p->repetition_penalty.value,
        .presence_penalty = (float)p->presence_penalty.value,
        .seed = seed,
    };
}

/* --- steps --- */

/* The next draw is among the tokens that the grammar leaves open. */
static ffai_status allow_tokens(generator *g, ffai_error *err)
{
    if (!g->options->matcher)
        return FFAI_OK;
    return ffai_matcher_mask(&g->sampling.allowed, &g->sampling.num_allowed, g->options->matcher, err);
}

static bool keep_going(const generator *g, size_t done, size_t total)
{
    return !g->options->on_progress || g->options->on_progress(g->options->context, done, total);
}

/* Evaluate `count` prompt tokens; the very last one of the prompt draws. */
static ffai_status evaluate_chunk(generator *g, const int32_t *prompt, size_t count, bool last, ffai_error *err)
{
    for (size_t i = 0; i < count; i++)
        g->rows[i] = (ffai_row){prompt[i], g->sequence, false, NULL};
    if (last) {
        FFAI__TRY(allow_tokens(g, err));
        g->rows[count - 1].output = true;
        g->rows[count - 1].sampling = &g->sampling;
    }
    return ffai_step_submit(g->session, g->rows, count, err);
}

/* The prompt in steps; *cancelled if the caller did not want to go on. */
static ffai_status evaluate_prompt(generator *g, const int32_t *prompt, size_t n, bool *cancelled, ffai_error *err)
{
    *cancelled = !keep_going(g, 0, n);
    for (size_t done = 0; done < n && !*cancelled;) {
        const size_t count = n - done < g->step_size ? n - done : g->step_size;
        const ffai_status status = evaluate_chunk(g, prompt + done, count, done + count == n, err);
        *cancelled = status == FFAI_E_CANCELLED;
        if (status != FFAI_OK)
            return *cancelled ? FFAI_OK : status;
        done += count;
        g->result->prompt_tokens = done;
        *cancelled = !keep_going(g, done, n);
    }
    return FFAI_OK;
}

/* Take the drawn token, which the host need not know for it, and draw the one behind it. */
static void submit_next(generator *g)
{
    const ffai_row row = {FFAI_TOKEN_DRAWN, g->sequence, true, &g->sampling};
    g->next_error = (ffai_error)FFAI_ERROR_INIT;
    g->next_status = allow_tokens(g, &g->next_error);
    if (g->next_status != FFAI_OK)
        return;
    g->next_status = ffai_step_submit(g->session, &row, 1, &g->next_error);
    g->next_submitted = g->next_status == FFAI_OK;
}

/* The drawn token; a logit that is no number is an error, not a token. */
static ffai_status collect_token(int32_t *token, generator *g, ffai_error *err)
{
    float chosen = 0;
    const int behind = g->next_submitted;
    FFAI__TRY(ffai__step_collect(token, &chosen, NULL, g->session, behind, err));
    if (!isfinite(chosen))
        return ffai__fail(err, FFAI_E_BACKEND, "generate: position %lld: the logits are not finite",
                          (long long)ffai_sequence_length(g->session, g->sequence) - behind);
    return FFAI_OK;
}

/* --- results --- */

static ffai_status emit_text(generator *g, const char *text, size_t size, bool *cancelled, ffai_error *err)
{
    if (!size)
        return FFAI_OK;
    if (!ffai__buffer_append(&g->text, text, size))
        return ffai__fail_memory(err, "the text", g->text.size + size);
    if (g->options->on_text && !g->options->on_text(g->options->context, text, size))
        *cancelled = true;
    return FFAI_OK;
}

static ffai_status emit_token(generator *g, int32_t token, bool *cancelled, ffai_error *err)
{
    if (!ffai__buffer_append(&g->tokens, &token, sizeof token))
        return ffai__fail_memory(err, "the tokens", g->tokens.size + sizeof token);
    if (!g->detokenizer)
        return FFAI_OK;
    const char *text = NULL;
    size_t size = 0;
    FFAI__TRY(ffai_detokenizer_push(&text, &size, g->detokenizer, token, err));
    return emit_text(g, text, size, cancelled, err);
}

static size_t num_tokens(const generator *g)
{
    return g->tokens.size / sizeof(int32_t);
}

/* Whether a step is to follow the one whose token is collected next, if that token does not end the text. */
static bool step_follows(const generator *g)
{
    const bool full = ffai_sequence_length(g->session, g->sequence) >= ffai_session_context(g->session);
    return !full && num_tokens(g) + 1 < (size_t)g->parameters.max_tokens.value;
}

/* The next token is part of the text; *ended if it is the last one, for a reason that is not the length. */
static ffai_status take_token(bool *ended, generator *g, ffai_error *err)
{
    int32_t token = 0;
    bool cancelled = false;
    FFAI__TRY(collect_token(&token, g, err));
    if (num_tokens(g) == 0)
        g->first_token = ffai__now();
    *ended = !g->options->ignore_end_tokens && ffai_model_is_end_token(ffai_session_model(g->session), token);
    if (*ended) {
        g->result->finish_reason = FFAI_FINISH_STOP;
        return FFAI_OK;
    }
    if (g->options->matcher)
        FFAI__TRY(ffai_matcher_accept(g->options->matcher, token, err));
    FFAI__TRY(emit_token(g, token, &cancelled, err));
    *ended = cancelled || !keep_going(g, g->result->prompt_tokens, g->result->prompt_tokens);
    if (*ended) {
        g->result->finish_reason = FFAI_FINISH_CANCELLED;
    } else if (g->options->matcher && ffai_matcher_must_end(g->options->matcher)) {
        g->result->finish_reason = FFAI_FINISH_STOP;
        *ended = true;
    }
    return FFAI_OK;
}

/* A backend that can run ahead has the next step before the host looks at the token that it takes: it need not wait for
 * the host, unless a grammar has to see the token before the next is drawn. */
static ffai_status decode_tokens(generator *g, ffai_error *err)
{
    const bool ahead = ffai_session_model(g->session)->backend->ahead > 0 && !g->options->matcher;
    for (bool follows = true; follows;) {
        bool ended = false;
        follows = step_follows(g);
        if (follows && ahead)
            submit_next(g);
        FFAI__TRY(take_token(&ended, g, err));
        if (ended || !follows)
            return FFAI_OK;
        if (!ahead)
            submit_next(g);
        if (g->next_status != FFAI_OK)
            break;
        g->next_submitted = false;
    }
    if (g->next_status == FFAI_E_CANCELLED) {
        g->result->finish_reason = FFAI_FINISH_CANCELLED;
        return FFAI_OK;
    }
    if (err)
        *err = g->next_error;
    return g->next_status;
}

/* A step that ran ahead of the text's end leaves nothing behind. */
static ffai_status decode(generator *g, ffai_error *err)
{
    g->result->finish_reason = FFAI_FINISH_LENGTH;
    if (g->parameters.max_tokens.value < 1) {
        FFAI__TRY(ffai__step_collect(NULL, NULL, NULL, g->session, 0, err));
        g->first_token = ffai__now();
        return FFAI_OK;
    }
    const ffai_status status = decode_tokens(g, err);
    if (g->next_submitted)
        ffai__sequence_take_back(g->session, g->sequence, ffai_sequence_length(g->session, g->sequence) - 1);
    return status;
}

static ffai_status finish_text(generator *g, ffai_error *err)
{
    if (!g->detokenizer)
        return FFAI_OK;
    const char *text = NULL;
    size_t size = 0;
    bool ignored = false;
    FFAI__TRY(ffai_detokenizer_finish(&text, &size, g->detokenizer, err));
    return emit_text(g, text, size, &ignored, err);
}

static ffai_status take_results(generator *g, ffai_error *err)
{
    ffai_generation *result = g->result;
    result->num_tokens = num_tokens(g);
    result->tokens = (int32_t *)(void *)ffai__buffer_take(&g->tokens, NULL);
    result->text = ffai__buffer_take(&g->text, &result->text_size);
    if (!result->tokens || !result->text)
        return ffai__fail_memory(err, "the results", 0);
    return FFAI_OK;
}

/* --- the whole --- */

static ffai_status prepare(generator *g, size_t n, ffai_error *err)
{
    const ffai_model *model = ffai_session_model(g->session);
    const int64_t length = ffai_sequence_length(g->session, g->sequence);
    const int64_t context = ffai_session_context(g->session);
    if (length < 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "generate: sequence %d is not open", g->sequence);
    if (n < 1)
        return ffai__fail(err, FFAI_E_ARGUMENT, "generate: the prompt has no tokens");
    if (n > (uint64_t)(context - length))
        return ffai__fail(err, FFAI_E_CONTEXT_FULL,
                          "generate: the prompt has %zu tokens but only %lld of the context's %lld are free", n,
                          (long long)(context - length), (long long)context);
    if (g->options->matcher && (g->options->ignore_end_tokens || !model->tokenizer))
        return ffai__fail(err, FFAI_E_ARGUMENT,
                          "generate: a grammar takes a tokenizer and ends the text: ignore_end_tokens contradicts it");
    FFAI__TRY(check_parameters(&g->parameters, err));
    g->sampling = sampling_of(&g->parameters, g->options->seed);
    g->step_size = ffai__session_max_rows(g->session);
    if (g->parameters.prefill_step_size.value < (double)g->step_size)
        g->step_size = (size_t)g->parameters.prefill_step_size.value;
    g->rows = ffai__array(g->step_size, sizeof *g->rows);
    if (!g->rows)
        return ffai__fail_memory(err, "a step's rows", g->step_size * sizeof *g->rows);
    if (!model->tokenizer)
        return FFAI_OK;
    return ffai_detokenizer_create(&g->detokenizer, model->tokenizer, true, err);
}

static ffai_status run(generator *g, const int32_t *prompt, size_t n, ffai_error *err)
{
    bool cancelled = false;
    FFAI__TRY(prepare(g, n, err));
    const double start = ffai__now();
    FFAI__TRY(evaluate_prompt(g, prompt, n, &cancelled, err));
    g->first_token = ffai__now();
    if (cancelled)
        g->result->finish_reason = FFAI_FINISH_CANCELLED;
    else
        FFAI__TRY(decode(g, err));
    g->result->prefill_seconds = g->first_token - start;
    g->result->decode_seconds = ffai__now() - g->first_token;
    FFAI__TRY(finish_text(g, err));
    return take_results(g, err);
}

ffai_status ffai_generate(ffai_generation **out, ffai_session *session, ffai_sequence sequence, const int32_t *prompt,
                          size_t n, const ffai_generate_options *options, ffai_error *err)
{
    static const ffai_generate_options defaults = FFAI_GENERATE_OPTIONS_INIT;
    generator g = {.session = session, .sequence = sequence, .options = options ? options : &defaults};
    g.parameters = g.options->parameters ? *g.options->parameters : ffai_session_model(session)->parameters;
    g.result = ffai__calloc(1, sizeof *g.result);
    if (!g.result)
        return ffai__fail_memory(err, "the results", sizeof *g.result);
    const ffai_status status = run(&g, prompt, n, err);
    session->submitted = false; /* what its steps gave is told */
    ffai__free(g.rows);
    ffai_detokenizer_free(g.detokenizer);
    ffai__buffer_free(&g.tokens);
    ffai__buffer_free(&g.text);
    if (status != FFAI_OK) {
        ffai_generation_free(g.result);
        return status;
    }
    *out = g.result;
    return FFAI_OK;
}

void ffai_generation_free(ffai_generation *generation)
{
    if (!generation)
        return;
    ffai__free(generation->tokens);
    ffai__free(generation->text);
    ffai__free(generation);
}
