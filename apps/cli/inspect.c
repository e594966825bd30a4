#include <ffai/model.h>

#include "command.h"

typedef struct inspect_settings {
    setting model, json;
} inspect_settings;

#define AT(field) offsetof(inspect_settings, field)
static const option options[] = {
    HEADING("Arguments"),
    VALUE(OPTION_ARGUMENT, 0, "MODEL", NULL, model, "a folder, a .gguf file or org/repo (default: the default model)"),
    HEADING("Options"),
    VALUE(OPTION_MODEL, 'm', "model", "MODEL", model, "the same, as other commands have it"),
    SWITCH("json", json, "as one JSON object"),
};
#undef AT

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const inspect_settings *s = settings;
    char *text = NULL;
    const ffai_status status = ffai_model_inspect(&text, s->model.text, s->json.given, err);
    if (status == FFAI_OK)
        output_document(out, text);
    ffai_free(text);
    return status;
}

extern const command command_inspect;
const command command_inspect = {
    .name = "inspect",
    .summary = "Say what a checkpoint is and needs, from its headers and its tokenizer.",
    .synopsis = "[[-m] MODEL] [--json]",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(inspect_settings),
    .run = run,
};
