#define _GNU_SOURCE
#include <string.h>
#include <time.h>

#include <ffai/hub.h>

#include "command.h"
#include "json_output.h"
#include "report.h"

typedef struct models_settings {
    setting action, model, json;
} models_settings;

#define AT(field) offsetof(models_settings, field)
static const option options[] = {
    HEADING("Arguments"),
    VALUE(OPTION_ARGUMENT, 0, "ACTION", NULL, action, "rm or prune (default: list what is there)"),
    VALUE(OPTION_ARGUMENT, 0, "REPO", NULL, model, "the model that rm removes, org/repo"),
    HEADING("Options"),
    SWITCH("json", json, "as one JSON object"),
};
#undef AT

static bool is_action(const models_settings *s, const char *word)
{
    return s->action.given && strcmp(s->action.text, word) == 0;
}

static int check(const void *settings)
{
    const models_settings *s = settings;
    if (s->action.given && !is_action(s, "rm") && !is_action(s, "prune"))
        return report_usage("models: ACTION: \"%.60s\": must be rm or prune", s->action.text);
    if (is_action(s, "rm") && (!s->model.given || !ffai_hub_is_name(s->model.text) || strpbrk(s->model.text, "@:")))
        return report_usage("models: REPO: rm takes the name of a model, org/repo");
    if (is_action(s, "prune") && s->model.given)
        return report_usage("models: REPO: prune takes none");
    return EXIT_OK;
}

static void format_day(char out[32], int64_t seconds)
{
    const time_t when = (time_t)seconds;
    struct tm day;
    if (!seconds || !gmtime_r(&when, &day) || !strftime(out, 32, "%Y-%m-%d", &day))
        memcpy(out, "never", sizeof "never");
}

static json_t *json_of_model(const ffai_hub_model *m)
{
    return json_pack("{ss ss ss sI sI sI sI}", "name", m->name, "format", m->format, "revisions", m->revisions,
                     "snapshots", (json_int_t)m->snapshots, "bytes", (json_int_t)m->bytes, "unfinished_bytes",
                     (json_int_t)m->unfinished_bytes, "last_used", (json_int_t)m->last_used);
}

static ffai_status print_json(output *out, const char *cache, const ffai_hub_model *models, size_t count,
                              ffai_error *err)
{
    json_t *list = json_array();
    int failed = !list;
    for (size_t i = 0; i < count && !failed; i++)
        failed = json_array_append_new(list, json_of_model(&models[i]));
    if (failed) {
        json_decref(list);
        list = NULL;
    }
    return json_print(out, list ? json_pack("{ss so}", "cache", cache, "models", list) : NULL, err);
}

static void print_text(output *out, const char *cache, const ffai_hub_model *models, size_t count)
{
    if (!count)
        report_note("models: %s: holds no models", cache);
    for (size_t i = 0; i < count; i++) {
        const ffai_hub_model *m = &models[i];
        char day[32];
        format_day(day, m->last_used);
        output_format(out, "%-48s %-11s %9.3f GB  last used %s  %s", m->name, m->format, (double)m->bytes / 1e9, day,
                      m->revisions);
        if (m->unfinished_bytes)
            output_format(out, "  (%.3f GB of it unfinished)", (double)m->unfinished_bytes / 1e9);
        output_text(out, "\n");
    }
}

static ffai_status list(output *out, const models_settings *s, ffai_error *err)
{
    ffai_hub_model *models = NULL;
    char *cache = NULL;
    size_t count = 0;
    ffai_status status = ffai_hub_cache_path(&cache, err);
    if (status == FFAI_OK)
        status = ffai_hub_models(&models, &count, err);
    if (status == FFAI_OK && s->json.given)
        status = print_json(out, cache, models, count, err);
    else if (status == FFAI_OK)
        print_text(out, cache, models, count);
    ffai_hub_models_free(models, count);
    ffai_free(cache);
    return status;
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const models_settings *s = settings;
    uint64_t freed = 0;
    if (!s->action.given)
        return list(out, s, err);
    const ffai_status status =
        is_action(s, "rm") ? ffai_hub_remove(&freed, s->model.text, err) : ffai_hub_prune(&freed, err);
    if (status != FFAI_OK)
        return status;
    if (s->json.given)
        return json_print(out, json_pack("{sI}", "freed_bytes", (json_int_t)freed), err);
    output_format(out, "%.3f GB freed\n", (double)freed / 1e9);
    return FFAI_OK;
}

extern const command command_models;
const command command_models = {
    .name = "models",
    .summary = "List the downloaded models, or remove what is not needed.",
    .synopsis = "[rm REPO | prune] [--json]",
    .details = "rm removes a model. prune removes downloads and removals that were cut short,\nand files that no "
               "revision has.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(models_settings),
    .check = check,
    .run = run,
};
