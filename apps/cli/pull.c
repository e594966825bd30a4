#include <ffai/hub.h>

#include "command.h"
#include "hub_source.h"
#include "json_output.h"
#include "report.h"

typedef struct pull_settings {
    setting model, connections, json;
} pull_settings;

#define AT(field) offsetof(pull_settings, field)
static const option options[] = {
    HEADING("Arguments"),
    REQUIRED(OPTION_ARGUMENT, 0, "REPO", NULL, model, "org/repo[@revision], or org/repo[@revision]:file.gguf"),
    HEADING("Options"),
    RANGE(OPTION_INTEGER, 0, "connections", "N", 1, 16, connections, "at the same time (default: up to 4)"),
    SWITCH("json", json, "print {\"path\": …} rather than the path"),
};
#undef AT

static int check(const void *settings)
{
    const pull_settings *s = settings;
    return ffai_hub_is_name(s->model.text)
               ? EXIT_OK
               : report_usage("pull: REPO: \"%.200s\" is not of the form org/repo[@revision][:file.gguf]",
                              s->model.text);
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const pull_settings *s = settings;
    char *path = NULL;
    ffai_status status = hub_source_pull(&path, s->model.text, (int)s->connections.integer, err);
    if (status == FFAI_OK && s->json.given)
        status = json_print(out, json_pack("{ss}", "path", path), err);
    else if (status == FFAI_OK)
        output_document(out, path);
    ffai_free(path);
    return status;
}

extern const command command_pull;
const command command_pull = {
    .name = "pull",
    .summary = "Download a model, or bring it up to date, and print where it is.",
    .synopsis = "REPO [--connections N] [--json]",
    .details = "The cache is that of Hugging Face's tools. What was cut short is continued.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(pull_settings),
    .check = check,
    .run = run,
};
