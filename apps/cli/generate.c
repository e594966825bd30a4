/* generate: a prompt in, its continuation out as it comes. */
#define _GNU_SOURCE
#include <ffai/generate.h>

#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "command.h"
#include "constraint.h"
#include "generate_report.h"
#include "interrupt.h"
#include "model_source.h"
#include "progress.h"
#include "prompt.h"
#include "report.h"

typedef struct generate_settings {
    prompt_settings prompt;
    model_settings model;
    session_settings session;
    constraint_settings constraint;
    setting raw, system, max_tokens, ignore_eos;
    setting temperature, top_p, top_k, min_p, repeat_penalty, presence_penalty, seed;
    setting prewarm, json, stats;
} generate_settings;

#define AT(field) offsetof(generate_settings, field)
static const option options[] = {
    HEADING("Prompt (default: standard input)"),
    PROMPT_TEXT_OPTION("the text to continue"),
    PROMPT_FILE_OPTION("a file with the text to continue"),
    PROMPT_TOKENS_OPTION("token ids to continue, taken as they are"),
    SWITCH("raw", raw, "apply no chat template; text is continued as it stands"),
    VALUE(OPTION_TEXT, 0, "system", "TEXT", system, "a system prompt: refused, it takes a chat template"),
    HEADING("Model"),
    MODEL_OPTION,
    BACKEND_OPTION,
    COMPUTE_OPTIONS,
    CONTEXT_OPTION(1, "tokens that are read: the prompt and all but the last of the continuation"),
    KV_OPTION,
    SWITCH("prewarm", prewarm, "take a step of each kind and size first, so that the prompt pays for nothing"),
    HEADING("Continuation (defaults: the model's own, see ffai inspect)"),
    RANGE(OPTION_INTEGER, 'n', "max-tokens", "N", 0, 1e9, max_tokens, "tokens to generate at most"),
    {.kind = OPTION_NUMBER,
     .name = "temperature",
     .alias = "temp",
     .value = "T",
     .help = "0: always the most likely token",
     .offset = AT(temperature),
     .most = 100},
    {.kind = OPTION_NUMBER,
     .name = "top-p",
     .value = "P",
     .help = "draw from the most likely tokens of this total probability",
     .offset = AT(top_p),
     .most = 1,
     .above_least = true},
    RANGE(OPTION_INTEGER, 0, "top-k", "K", 0, 1e9, top_k, "draw from the K most likely tokens; 0: from all"),
    RANGE(OPTION_NUMBER, 0, "min-p", "P", 0, 1, min_p, "leave out tokens less likely than P times the likeliest"),
    RANGE(OPTION_NUMBER, 0, "repeat-penalty", "R", 0.01, 100, repeat_penalty, "above 1: make tokens seen less likely"),
    RANGE(OPTION_NUMBER, 0, "presence-penalty", "R", -100, 100, presence_penalty, "taken off tokens that were seen"),
    RANGE(OPTION_INTEGER, 0, "seed", "S", 0, 0x1p63, seed, "fixes the draws; default: drawn"),
    SWITCH("ignore-eos", ignore_eos, "go on past end tokens"),
    CONSTRAINT_OPTIONS,
    HEADING("Output"),
    SWITCH("json", json, "one JSON object instead of the text"),
    SWITCH("stats", stats, "times, rates, memory and parameters, on standard error"),
};
#undef AT

typedef struct run_state {
    const generate_settings *settings;
    output *out;
    progress progress;
    prompt prompt;
    constraint constraint;
    ffai_model *model;
    ffai_session *session;
    ffai_sequence sequence;
    generate_report report;
} run_state;

static int check(const void *settings)
{
    const generate_settings *s = settings;
    if (s->system.given)
        return report_usage("generate: --system: a system prompt takes a chat template, and this version applies none: "
                            "text is continued as it stands");
    const int status = constraint_check(&s->constraint, s->ignore_eos.given, "generate");
    return status ? status : prompt_check(&s->prompt, "generate");
}

static void override(ffai_parameter *parameter, const setting *given)
{
    if (given->given)
        *parameter = (ffai_parameter){given->number, FFAI_FROM_CALLER};
}

static void choose_parameters(ffai_parameters *p, const generate_settings *s, const ffai_model *model)
{
    ffai_model_parameters(p, model);
    override(&p->max_tokens, &s->max_tokens);
    override(&p->temperature, &s->temperature);
    override(&p->top_p, &s->top_p);
    override(&p->top_k, &s->top_k);
    override(&p->min_p, &s->min_p);
    override(&p->repetition_penalty, &s->repeat_penalty);
    override(&p->presence_penalty, &s->presence_penalty);
}

/* A drawn seed has 53 bits, so that every reader of the JSON gets the number that was used. */
static ffai_status choose_seed(uint64_t *seed, const setting *given, ffai_error *err)
{
    if (given->given) {
        *seed = (uint64_t)given->integer;
        return FFAI_OK;
    }
    if (getrandom(seed, sizeof *seed, 0) != sizeof *seed)
        return failure(err, FFAI_E_IO, "seed: the system gives no random number; give --seed");
    *seed >>= 64 - 53;
    return FFAI_OK;
}

/* What was asked for, or what prompt and continuation need as far as the model was made for it. */
static ffai_status choose_context(int64_t *context, const run_state *r, ffai_error *err)
{
    ffai_model_info info;
    ffai_model_get_info(&info, r->model);
    const int64_t needed = (int64_t)r->prompt.num_tokens + (int64_t)r->report.parameters.max_tokens.value;
    *context = info.max_context > 0 && needed > info.max_context ? info.max_context : needed;
    if (r->settings->session.context.given)
        *context = r->settings->session.context.integer;
    if ((int64_t)r->prompt.num_tokens <= *context)
        return FFAI_OK;
    return failure(err, FFAI_E_CONTEXT_FULL,
                   "generate: prompt: has %zu tokens but the context holds %lld: shorten it or raise --context",
                   r->prompt.num_tokens, (long long)*context);
}

/* No more rows than the prompt has; on a terminal, steps short enough to show how far it is, but on a device, which
 * does long ones in less time and short ones slowly. */
static int32_t choose_step_size(const run_state *r)
{
    enum { SHOWN_ROWS = 256 };
    ffai_model_info info;
    ffai_model_get_info(&info, r->model);
    const double asked = r->report.parameters.prefill_step_size.value;
    const bool shown = isatty(STDERR_FILENO) && strcmp(info.backend, "cuda") != 0;
    const double most = shown ? fmin(asked, SHOWN_ROWS) : asked;
    return (int32_t)fmin((double)r->prompt.num_tokens, most);
}

static ffai_status open_session(run_state *r, ffai_error *err)
{
    ffai_session_options opening = {
        .max_sequences = 1,
        .kv_format = kv_format(&r->settings->session),
        .prewarm = r->settings->prewarm.given,
        .keep_going = keep_going,
    };
    ffai_status status = choose_context(&opening.context, r, err);
    opening.max_rows = choose_step_size(r);
    if (status == FFAI_OK)
        status = ffai_session_open(&r->session, r->model, &opening, err);
    if (status == FFAI_OK)
        status = ffai_sequence_open(&r->sequence, r->session, err);
    return status;
}

/* Everything before the first step. */
static ffai_status prepare(run_state *r, ffai_error *err)
{
    const generate_settings *s = r->settings;
    ffai_status status = choose_seed(&r->report.seed, &s->seed, err);
    if (status == FFAI_OK)
        status = prompt_read(&r->prompt, &s->prompt, err);
    if (status == FFAI_OK)
        status = constraint_compile(&r->constraint, &s->constraint, err);
    if (status == FFAI_OK)
        status = model_open(&r->model, &r->report.times, &s->model, false, err);
    if (status == FFAI_OK)
        status = prompt_encode(&r->prompt, ffai_model_tokenizer(r->model), err);
    if (status == FFAI_OK)
        status = tokens_check(&s->prompt.tokens, "generate", r->model, err);
    if (status == FFAI_OK)
        status = constraint_bind(&r->constraint, r->model, err);
    if (status != FFAI_OK)
        return status;
    if (!ffai_model_tokenizer(r->model) && !s->json.given)
        report_note("generate: the model has no tokenizer, so there is no text: --json gives the ids");
    choose_parameters(&r->report.parameters, s, r->model);
    return open_session(r, err);
}

static bool on_text(void *context, const char *text, size_t size)
{
    run_state *r = context;
    progress_end(&r->progress);
    output_write(r->out, text, size);
    return output_flush(r->out) && !interrupted();
}

static bool on_progress(void *context, size_t done, size_t total)
{
    run_state *r = context;
    if (done < total)
        progress_show(&r->progress, (double)done / (double)total);
    else
        progress_end(&r->progress);
    return !interrupted();
}

static ffai_status continue_prompt(run_state *r, ffai_error *err)
{
    const ffai_generate_options generating = {
        .parameters = &r->report.parameters,
        .seed = r->report.seed,
        .ignore_end_tokens = r->settings->ignore_eos.given,
        .matcher = r->constraint.matcher,
        .on_text = r->settings->json.given ? NULL : on_text,
        .on_progress = on_progress,
        .context = r,
    };
    progress_begin(&r->progress, "reading the prompt");
    const ffai_status status = ffai_generate(&r->report.result, r->session, r->sequence, r->prompt.tokens,
                                             r->prompt.num_tokens, &generating, err);
    progress_end(&r->progress);
    return status;
}

/* The end of the text, and what only the model and its session know. */
static void end_text(run_state *r)
{
    r->report.prompt = r->prompt.tokens;
    r->report.prompt_tokens = r->prompt.tokens ? r->prompt.num_tokens : 0;
    if (!r->settings->json.given && output_is_terminal(r->out))
        output_text(r->out, "\n");
    output_flush(r->out);
    generate_report_note_backend(&r->report, r->model);
    if (r->settings->stats.given && r->session)
        generate_report_model(&r->report, r->session);
}

static void unload(run_state *r)
{
    ffai_session_close(r->session);
    ffai_model_free(r->model);
    r->session = NULL;
    r->model = NULL;
}

static ffai_status print_report(run_state *r, ffai_error *err)
{
    if (r->settings->stats.given)
        generate_report_stats(&r->report);
    return r->settings->json.given ? generate_report_json(r->out, &r->report, err) : FFAI_OK;
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    run_state r = {.settings = settings, .out = out};
    ffai_status status = prepare(&r, err);
    if (status == FFAI_OK)
        status = continue_prompt(&r, err);
    /* Ctrl-C before the first step ends as one after it: with what there is, which is nothing. */
    const bool is_told = status == FFAI_OK || (status == FFAI_E_CANCELLED && interrupted());
    if (is_told)
        end_text(&r);
    unload(&r);
    if (is_told)
        status = print_report(&r, err);
    ffai_generation_free(r.report.result);
    prompt_release(&r.prompt);
    constraint_release(&r.constraint);
    return status;
}

extern const command command_generate;
const command command_generate = {
    .name = "generate",
    .summary = "Continue a prompt.",
    .synopsis = "[-m MODEL] (-p TEXT | -f FILE | --tokens 1,2,3 | < TEXT) [options]",
    .details = "The continuation is printed as it comes. Ctrl-C ends it and keeps what there is.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(generate_settings),
    .check = check,
    .run = run,
};
