#include <ffai/convert.h>

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "interrupt.h"
#include "model_source.h"
#include "prompt.h"
#include "report.h"

typedef struct diff_settings {
    prompt_settings prompt;
    model_settings model;
    setting against, tolerance, all;
} diff_settings;

#define AT(field) offsetof(diff_settings, field)
static const option options[] = {
    MODEL_OPTION,
    REQUIRED(OPTION_CHOICE, 0, "backend", BACKENDS, model.backend, "the backend to check"),
    DEVICE_OPTION,
    REQUIRED(OPTION_CHOICE, 0, "against", BACKENDS, against, "the backend to check it against"),
    PROMPT_TEXT_OPTION("the text to run (default: The capital of France is)"),
    PROMPT_TOKENS_OPTION("token ids to run"),
    RANGE(OPTION_NUMBER, 0, "tolerance", "X", 0, 1e9, tolerance, "largest error (default: 0.03, or 0.001 in f32)"),
    SWITCH("all", all, "go on after the first that departs"),
    HEADING("Computing"),
    COMPUTE_OPTIONS,
};
#undef AT

typedef struct comparison {
    output *out;
    bool all;
    bool found;
    bool cancelled;
    double tolerance, worst;
    size_t worst_instruction;
    size_t instructions;
    char first[256]; /* the listing of the first that departs, and where */
} comparison;

static int check(const void *settings)
{
    const diff_settings *s = settings;
    return prompt_check(&s->prompt, "diff");
}

static void note_first(comparison *c, const ffai_difference *d)
{
    c->found = true;
    snprintf(c->first, sizeof c->first,
             "instruction %zu: departs by %.3g (tolerance %g), most at [%lld, %lld]: %.9g against %.9g", d->instruction,
             d->error, c->tolerance, (long long)d->row, (long long)d->column, d->a, d->b);
}

static bool on_difference(void *context, const ffai_difference *d)
{
    comparison *c = context;
    output_format(c->out, "%4zu  %8.2e %c ", d->instruction, d->error, d->departs ? '!' : ' ');
    output_write(c->out, d->listing, strcspn(d->listing, "\n"));
    output_text(c->out, "\n");
    if (d->departs && !c->found)
        note_first(c, d);
    if (d->error > c->worst) {
        c->worst = d->error;
        c->worst_instruction = d->instruction;
    }
    c->instructions++;
    c->cancelled = interrupted();
    return !c->cancelled && !c->out->error && (c->all || !c->found);
}

static double tolerance_of(const diff_settings *s)
{
    const double by_default = s->model.activations.integer == FFAI_ACTIVATIONS_F32 ? 1e-3 : 3e-2;
    return s->tolerance.given ? s->tolerance.number : by_default;
}

/* The ids to run: as given, or a text that the model's tokenizer encodes. */
static ffai_status read_tokens(prompt *p, const diff_settings *s, ffai_error *err)
{
    prompt_settings chosen = s->prompt;
    ffai_tokenizer *tokenizer = NULL;
    if (!chosen.tokens.given && !chosen.text.given)
        chosen.text = (setting){.given = true, .text = "The capital of France is"};
    ffai_status status = prompt_read(p, &chosen, err);
    if (status == FFAI_OK && !p->tokens)
        status = tokenizer_open(&tokenizer, &s->model.path, err);
    if (status == FFAI_OK)
        status = prompt_encode(p, tokenizer, err);
    ffai_tokenizer_free(tokenizer);
    return status;
}

static bool on_load(void *context, const ffai_load_event *event)
{
    (void)context;
    (void)event;
    return !interrupted();
}

static ffai_status compare(comparison *c, const diff_settings *s, const prompt *p, ffai_error *err)
{
    ffai_model_options loading = model_options(&s->model);
    size_t first = 0;
    loading.on_event = on_load;
    const ffai_status status = ffai_diff(&first, s->model.path.text, s->model.backend.text, s->against.text, p->tokens,
                                         p->num_tokens, c->tolerance, &loading, on_difference, c, err);
    if (status == FFAI_OK && (c->cancelled || c->out->error))
        return failure(err, FFAI_E_CANCELLED, "diff: cancelled");
    return status;
}

static ffai_status conclude(const comparison *c, ffai_error *err)
{
    if (c->found)
        return failure(err, FFAI_E_BACKEND, "diff: %s", c->first);
    output_format(c->out, "no instruction of %zu departs (tolerance %g); the largest error is %.2e, at %zu\n",
                  c->instructions, c->tolerance, c->worst, c->worst_instruction);
    return FFAI_OK;
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const diff_settings *s = settings;
    comparison c = {.out = out, .all = s->all.given, .tolerance = tolerance_of(s)};
    prompt p;
    ffai_status status = read_tokens(&p, s, err);
    if (status == FFAI_OK)
        status = compare(&c, s, &p, err);
    if (status == FFAI_OK)
        status = conclude(&c, err);
    prompt_release(&p);
    return status;
}

extern const command command_diff;
const command command_diff = {
    .name = "diff",
    .summary = "Run some tokens on two backends and compare them, instruction by instruction.",
    .synopsis = "[-m MODEL] --backend A --against B [-p TEXT | --tokens 1,2,3] [options]",
    .details =
        "Each line has an instruction's number, the error, max |a - b| / rms(b), and the instruction. A ! marks\n"
        "one that departs; it ends at the first of these, unless --all is given. The exit status is 1 then.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(diff_settings),
    .check = check,
    .run = run,
};
