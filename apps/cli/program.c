#include <ffai/model.h>

#include "command.h"
#include "model_source.h"

typedef struct program_settings {
    model_settings model;
} program_settings;

#define AT(field) offsetof(program_settings, field)
static const option options[] = {
    MODEL_OPTION,
    VALUE(OPTION_FUSIONS, 0, "fusions", "all|none|LIST", model.fusions, "rewrites of the program (default: all)"),
};
#undef AT

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const program_settings *s = settings;
    char *text = NULL;
    const ffai_status status = ffai_model_listing(&text, s->model.path.text, s->model.fusions.text, err);
    if (status == FFAI_OK)
        output_document(out, text);
    ffai_free(text);
    return status;
}

extern const command command_program;
const command command_program = {
    .name = "program",
    .summary = "Print the program that a step of the model runs.",
    .synopsis = "[-m MODEL] [--fusions LIST]",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(program_settings),
    .run = run,
};
