#include "command.h"

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    (void)settings;
    (void)err;
    output_format(out, "ffai %s\n", ffai_version());
    return FFAI_OK;
}

extern const command command_version;
const command command_version = {
    .name = "version",
    .summary = "Print the version.",
    .synopsis = "",
    .settings_size = 1,
    .run = run,
};
