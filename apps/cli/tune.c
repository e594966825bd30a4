#include <ffai/tune.h>

#include <stdlib.h>

#include "command.h"
#include "interrupt.h"
#include "json_output.h"
#include "progress.h"
#include "report.h"
#include "shape_source.h"

typedef struct tune_settings {
    model_settings model;
    shape_settings shape;
    setting forget, json;
} tune_settings;

#define AT(field) offsetof(tune_settings, field)
static const option options[] = {
    HEADING("What is tuned"),
    SHAPE_OPTIONS,
    HEADING("Options"),
    VALUE(OPTION_CHOICE, 0, "backend", BACKENDS, model.backend, "whose parameters; ref has none"),
    DEVICE_OPTION,
    SWITCH("forget", forget, "remove everything that was kept, for every model"),
    SWITCH("json", json, "as one JSON object"),
};
#undef AT

enum { MOST_TRIALS = 64 };

typedef struct tuning {
    progress progress;
    ffai_tune_trial trials[MOST_TRIALS];
    size_t num_trials;
    char *path;
    double seconds;
} tuning;

static int check(const void *settings)
{
    const tune_settings *s = settings;
    if (!s->forget.given)
        return shape_check("tune", &s->model, &s->shape);
    if (s->model.path.given || s->shape.name.given || s->shape.bits.given || s->shape.group_size.given)
        return report_usage("tune: --forget: is for every model: name none");
    return EXIT_OK;
}

/* --- measuring --- */

static bool on_progress(void *context, double fraction)
{
    tuning *t = context;
    progress_show(&t->progress, fraction);
    return !interrupted();
}

static void on_trial(void *context, const ffai_tune_trial *trial)
{
    tuning *t = context;
    if (t->num_trials < MOST_TRIALS)
        t->trials[t->num_trials++] = *trial;
}

static ffai_status measure(tuning *t, const tune_settings *s, ffai_error *err)
{
    const ffai_tune_options tuned = {.on_progress = on_progress, .on_trial = on_trial, .context = t};
    model_settings source = s->model;
    ffai_model *model = NULL;
    timeline times = {.since = 0};
    source.untuned = true;
    const ffai_model_options tried = model_options(&source);
    ffai_status status = ffai_tune_check(&tried, err);
    if (status == FFAI_OK)
        status = shape_or_model_open(&model, &times, &source, &s->shape, err);
    if (status != FFAI_OK)
        return status;
    progress_begin(&t->progress, "tuning");
    status = ffai_tune(&t->path, model, &tuned, err);
    progress_end(&t->progress);
    t->seconds = seconds_now() - t->progress.begun;
    ffai_model_free(model);
    return status;
}

/* --- results --- */

static json_t *json_of_trials(const tuning *t)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < t->num_trials; i++) {
        const ffai_tune_trial *trial = &t->trials[i];
        json_t *object =
            json_pack("{s:s, s:i, s:i, s:o, s:o, s:i, s:i, s:i, s:b}", "parameter", trial->parameter, "value",
                      trial->value, "against", trial->against, "prefill", json_of_measure(trial->prefill), "decode",
                      json_of_measure(trial->decode), "rounds", trial->rounds, "wins", trial->wins, "disturbed",
                      trial->disturbed, "kept", trial->kept);
        if (json_array_append_new(array, object) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static ffai_status print_json(output *out, const tuning *t, const tune_settings *s, ffai_error *err)
{
    const int bits = shape_bits(&s->shape), group_size = shape_group_size(&s->shape);
    json_t *object = json_pack("{s:s, s:s?, s:o, s:o, s:s, s:o, s:s, s:o}", "model",
                               s->shape.name.given ? s->shape.name.text : s->model.path.text, "shape",
                               s->shape.name.text, "bits", bits ? json_integer(bits) : json_null(), "group_size",
                               group_size ? json_integer(group_size) : json_null(), "version", ffai_version(), "trials",
                               json_of_trials(t), "file", t->path, "seconds", json_of_measure(t->seconds));
    return json_print(out, object, err);
}

/* "1.034" or "-". */
static void print_ratio(output *out, double ratio)
{
    if (ratio > 0)
        output_format(out, " %8.3f", ratio);
    else
        output_format(out, " %8s", "-");
}

static void print_trial(output *out, const ffai_tune_trial *trial)
{
    output_format(out, "%-18s %9d %9d", trial->parameter, trial->value, trial->against);
    print_ratio(out, trial->prefill);
    print_ratio(out, trial->decode);
    output_format(out, "   %d of %d   %9d   %s\n", trial->wins, trial->rounds, trial->disturbed,
                  trial->kept ? "yes" : "no");
}

/* "kept: threads 6, row_block 128", and what to think of it. */
static void print_kept(output *out, const tuning *t)
{
    int kept = 0, disturbed = 0;
    for (size_t i = 0; i < t->num_trials; i++) {
        const ffai_tune_trial *trial = &t->trials[i];
        disturbed += trial->disturbed;
        if (trial->kept)
            output_format(out, "%s %s %d", kept++ ? "," : "kept:", trial->parameter, trial->value);
    }
    if (!kept)
        output_format(out, "kept: nothing%s", disturbed ? "" : ", the usual values are right here");
    output_format(out, "\n");
    if (disturbed)
        output_format(out, "%d rounds do not count: other processes took time; try again when the machine is quiet\n",
                      disturbed);
}

static void print_table(output *out, const tuning *t)
{
    output_format(out, "%-18s %9s %9s %8s %8s   %s   %s   %s\n", "parameter", "value", "against", "prefill", "decode",
                  "won   ", "disturbed", "kept");
    for (size_t i = 0; i < t->num_trials; i++)
        print_trial(out, &t->trials[i]);
    print_kept(out, t);
    output_format(out, "written to %s in %.1f s\n", t->path, t->seconds);
}

static ffai_status forget(output *out, const tune_settings *s, ffai_error *err)
{
    size_t removed = 0;
    const ffai_status status = ffai_tune_forget(&removed, err);
    if (status != FFAI_OK)
        return status;
    if (s->json.given)
        return json_print(out, json_pack("{s:I}", "removed", (json_int_t)removed), err);
    output_format(out, "%zu removed\n", removed);
    return FFAI_OK;
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const tune_settings *s = settings;
    tuning t = {.num_trials = 0};
    if (s->forget.given)
        return forget(out, s, err);
    ffai_status status = measure(&t, s, err);
    if (status == FFAI_OK && s->json.given)
        status = print_json(out, &t, s, err);
    else if (status == FFAI_OK)
        print_table(out, &t);
    ffai_free(t.path);
    return status;
}

extern const command command_tune;
const command command_tune = {
    .name = "tune",
    .summary = "Measure which values of the engine's free parameters are best for this machine and a model.",
    .synopsis = "(-m MODEL | --shape NAME --bits B) [--json], or --forget",
    .details = "Half a minute for a model of 1B parameters, once; what is found is kept in the user's cache and in\n"
               "force whenever such a model is loaded there, but for FFAI_TUNE=off in the environment and for\n"
               "--threads. No value changes any result, only speed, but for attend_blocks on a device, which says in\n"
               "how many parts attention is summed. Printed is what was tried: how many times as fast a prompt\n"
               "and a token were beside the value held against, in the middle one of the rounds, the rounds won,\n"
               "and those that do not count because other processes took time. Nothing else should run meanwhile.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(tune_settings),
    .check = check,
    .run = run,
};
