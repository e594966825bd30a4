#include <ffai/bench.h>
#include <ffai/generate.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_report.h"
#include "command.h"
#include "interrupt.h"
#include "model_source.h"
#include "peak_memory.h"
#include "progress.h"
#include "report.h"
#include "shape_source.h"

typedef struct bench_settings {
    model_settings model;
    session_settings session;
    shape_settings shape;
    setting prompt_tokens, gen_tokens, depth, sequences, repeat, ops, json;
} bench_settings;

#define AT(field) offsetof(bench_settings, field)
static const option options[] = {
    HEADING("What is measured"),
    SHAPE_OPTIONS,
    RANGE(OPTION_INTEGER, 0, "layers", "N", 1, 512, shape.layers, "of a shape (default: as many as it has)"),
    RANGE(OPTION_INTEGER, 0, "prompt-tokens", "N", 0, 1e9, prompt_tokens, "of a prompt; 0: no prefill; default 512"),
    RANGE(OPTION_INTEGER, 0, "gen-tokens", "N", 0, 1e9, gen_tokens, "to generate; 0: no decode; default 128"),
    RANGE(OPTION_LIST, 0, "depth", "N,N", 0, 1e9, depth, "tokens that are there before (default: 0)"),
    RANGE(OPTION_INTEGER, 0, "sequences", "N", 1, BENCH_MAX_SEQUENCES, sequences,
          "also so many continued together, a step for all"),
    RANGE(OPTION_INTEGER, 0, "repeat", "N", 1, BENCH_MAX_REPEATS, repeat, "times; default 5, fewer if they take long"),
    HEADING("Output"),
    SWITCH("ops", ops, "also where the time goes, by kind of work"),
    SWITCH("json", json, "as one JSON object"),
    HEADING("Computing"),
    BACKEND_OPTION,
    COMPUTE_OPTIONS,
    KV_OPTION,
};
#undef AT

static bench_plan plan_of(const bench_settings *s)
{
    bench_plan plan = {
        .num_depths = 1,
        .prompt_tokens = s->prompt_tokens.given ? s->prompt_tokens.integer : 512,
        .gen_tokens = s->gen_tokens.given ? s->gen_tokens.integer : 128,
        .sequences = s->sequences.given ? (int32_t)s->sequences.integer : 1,
        .repeats = s->repeat.integer,
        .ops = s->ops.given,
    };
    if (s->depth.given) {
        plan.num_depths = s->depth.num_tokens;
        memcpy(plan.depths, s->depth.tokens, plan.num_depths * sizeof *plan.depths);
    }
    return plan;
}

/* Positions that the plan's longest context is to have. */
static int64_t positions_of(const bench_plan *plan)
{
    int64_t deepest = 0;
    for (size_t i = 0; i < plan->num_depths; i++)
        deepest = plan->depths[i] > deepest ? plan->depths[i] : deepest;
    return deepest + plan->prompt_tokens + plan->gen_tokens;
}

/* --- before anything is opened --- */

/* Depth, prompt and continuation against the model's context; false with a message that names the largest of them. */
static bool fits(const bench_plan *plan, const char *model, int64_t context, char *message, size_t size)
{
    const int64_t all = positions_of(plan), depth = all - plan->prompt_tokens - plan->gen_tokens;
    const char *flag = depth >= plan->prompt_tokens ? "depth" : "prompt-tokens";
    if (plan->gen_tokens > depth && plan->gen_tokens > plan->prompt_tokens)
        flag = "gen-tokens";
    snprintf(message, size, "bench: --%s: depth, prompt and continuation make %lld tokens; %s has a context of %lld",
             flag, (long long)all, model, (long long)context);
    return all <= context;
}

static int check_context(const bench_settings *s)
{
    const bench_plan plan = plan_of(s);
    ffai_shape shape = {0};
    char message[256];
    shape_find(&shape, &s->shape);
    if (shape.name && !fits(&plan, shape.name, shape.max_context, message, sizeof message))
        return report_usage("%s", message);
    return EXIT_OK;
}

static int check_amounts(const bench_settings *s)
{
    if (s->depth.num_tokens > BENCH_MAX_DEPTHS)
        return report_usage("bench: --depth: has %zu entries; %d at most", s->depth.num_tokens, BENCH_MAX_DEPTHS);
    if (s->prompt_tokens.given && s->gen_tokens.given && !s->prompt_tokens.integer && !s->gen_tokens.integer)
        return report_usage("bench: --gen-tokens: there is nothing to measure without a prompt and a continuation");
    return check_context(s);
}

static int check(const void *settings)
{
    const bench_settings *s = settings;
    const int status = shape_check("bench", &s->model, &s->shape);
    return status == EXIT_OK ? check_amounts(s) : status;
}

/* A checkpoint's own, from its headers: before anything that takes time. */
static ffai_status check_checkpoint(const bench_settings *s, const bench_plan *plan, ffai_error *err)
{
    char *text = NULL, message[512];
    if (s->shape.name.given)
        return FFAI_OK;
    ffai_status status = ffai_model_inspect(&text, s->model.path.text, true, err);
    if (status != FFAI_OK)
        return status;
    json_t *about = json_loads(text, 0, NULL);
    const json_t *context = json_object_get(json_object_get(about, "config"), "max_position_embeddings");
    if (!about)
        status = failure_memory(err, "bench");
    else if (!fits(plan, s->model.path.text, json_integer_value(context), message, sizeof message))
        status = failure(err, FFAI_E_CONTEXT_FULL, "%s", message);
    json_decref(about);
    ffai_free(text);
    return status;
}

/* --- running --- */

static bool on_progress(void *context, double fraction)
{
    progress_show(context, fraction);
    return !interrupted();
}

static ffai_status measure_machine(ffai_machine *machine, const bench_settings *s, ffai_error *err)
{
    const ffai_model_options measured = model_options(&s->model);
    progress p;
    progress_begin(&p, "measuring the machine");
    const ffai_status status = ffai_machine_measure(machine, &measured, on_progress, &p, err);
    progress_end(&p);
    return status;
}

/* Once more behind everything: a machine that others share is not the same all the time. */
static ffai_status remeasure_machine(ffai_machine *machine, const bench_settings *s, ffai_error *err)
{
    ffai_machine again;
    const ffai_status status = measure_machine(&again, s, err);
    if (status != FFAI_OK)
        return status;
    if (again.read_bytes_s > machine->read_bytes_s)
        machine->read_bytes_s = again.read_bytes_s;
    if (again.matmul_flop_s > machine->matmul_flop_s) {
        machine->matmul_flop_s = again.matmul_flop_s;
        machine->instruction = again.instruction;
    }
    return FFAI_OK;
}

static ffai_status open_session(ffai_session **session, ffai_model *model, const bench_settings *s,
                                const bench_plan *plan, ffai_error *err)
{
    ffai_parameters parameters;
    ffai_model_parameters(&parameters, model);
    const int32_t step_size = (int32_t)parameters.prefill_step_size.value;
    const ffai_session_options opening = {
        .context = positions_of(plan) + 1, /* one that warms decode up */
        .max_sequences = plan->sequences,
        .max_rows = plan->sequences > step_size ? plan->sequences : step_size,
        .max_outputs = plan->sequences,
        .kv_format = kv_format(&s->session),
        .keep_going = keep_going,
    };
    return ffai_session_open(session, model, &opening, err);
}

/* From loading to the last depth. */
static ffai_status run_model(bench_results *results, const bench_settings *s, const bench_plan *plan, ffai_error *err)
{
    ffai_model *model = NULL;
    ffai_session *session = NULL;
    timeline times = {.since = 0};
    peak_memory_reset();
    const double begun = seconds_now();
    ffai_status status = shape_or_model_open(&model, &times, &s->model, &s->shape, err);
    results->load_seconds = timeline_load_seconds(&times);
    if (status == FFAI_OK)
        status = open_session(&session, model, s, plan, err);
    if (status == FFAI_OK) {
        uint64_t stores = 0, workspace = 0;
        ffai_session_memory(&results->weight_bytes, &stores, &workspace, session);
        status = bench_run(results, session, plan, begun, err);
    }
    results->peak_rss_bytes = peak_memory();
    ffai_session_close(session);
    ffai_model_free(model);
    return status;
}

static ffai_status measure(bench_results *results, const bench_settings *s, const bench_plan *plan, ffai_error *err)
{
    for (size_t i = 0; i < plan->num_depths; i++)
        results->depths[i].depth = plan->depths[i];
    ffai_status status = check_checkpoint(s, plan, err);
    if (status == FFAI_OK)
        status = measure_machine(&results->machine, s, err);
    if (status == FFAI_OK)
        status = run_model(results, s, plan, err);
    if (status == FFAI_OK && !results->cancelled)
        status = remeasure_machine(&results->machine, s, err);
    if (status != FFAI_E_CANCELLED)
        return status;
    results->cancelled = true; /* what was measured so far is a result */
    return FFAI_OK;
}

static ffai_status print_results(output *out, const bench_results *results, const bench_settings *s,
                                 const bench_plan *plan, double seconds, ffai_error *err)
{
    const bench_report report = {
        .results = results,
        .plan = plan,
        .model = s->shape.name.given ? s->shape.name.text : s->model.path.text,
        .shape = s->shape.name.text,
        .bits = shape_bits(&s->shape),
        .group_size = shape_group_size(&s->shape),
        .layers = s->shape.layers.integer,
        .activations = s->model.activations.given ? s->model.activations.text : "default",
        .kv = s->session.kv.given ? s->session.kv.text : "f16",
        .seconds = seconds,
    };
    if (results->cancelled)
        report_note("bench: cancelled: this is what was measured before");
    if (s->json.given)
        return bench_report_json(out, &report, err);
    bench_report_print(out, &report);
    return FFAI_OK;
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const bench_settings *s = settings;
    const double begun = seconds_now();
    const bench_plan plan = plan_of(s);
    bench_results results = {.depths = calloc(plan.num_depths, sizeof *results.depths)};
    ffai_status status = results.depths ? measure(&results, s, &plan, err) : failure_memory(err, "bench");
    if (status == FFAI_OK)
        status = print_results(out, &results, s, &plan, seconds_now() - begun, err);
    free(results.depths);
    return status;
}

extern const command command_bench;
const command command_bench = {
    .name = "bench",
    .summary = "Measure how fast a model runs, and how much of what the machine can do that is.",
    .synopsis = "(-m MODEL | --shape NAME --bits B) [options]",
    .details = "First the machine: how fast it reads memory and how fast it multiplies. Then, from each depth, a\n"
               "prompt (prefill, held against multiplying) and a continuation (decode, held against reading):\n"
               "the middle one of several runs, the slowest and the fastest, in tokens a second; with --sequences\n"
               "also that of all sequences together, and how many times one's it is.\n"
               "Shapes: smollm2-135m, llama-3.2-1b, llama-3.2-3b, llama-3.1-8b, qwen3-0.6b, qwen3-1.7b, qwen3-4b,\n"
               "qwen3-8b, qwen3-14b. Nothing else should run meanwhile.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(bench_settings),
    .check = check,
    .run = run,
};
