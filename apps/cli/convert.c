#include <ffai/convert.h>

#include "command.h"
#include "interrupt.h"
#include "progress.h"

typedef struct convert_settings {
    setting source, destination, dtype, shard_size, force;
} convert_settings;

#define AT(field) offsetof(convert_settings, field)
static const option options[] = {
    HEADING("Arguments"),
    REQUIRED(OPTION_ARGUMENT, 0, "SRC", NULL, source, "a folder or a .gguf file"),
    REQUIRED(OPTION_ARGUMENT, 0, "DST", NULL, destination, "the folder to write"),
    HEADING("Options"),
    VALUE(OPTION_CHOICE, 0, "dtype", "bf16|fp16|f32", dtype, "store every weight plainly, in this type"),
    {.kind = OPTION_BYTES,
     .name = "shard-size",
     .value = "SIZE",
     .help = "largest size of one file, as in 5GB or 512MiB (default: 5GB)",
     .offset = AT(shard_size),
     .least = 1e3,
     .most = 1e15},
    SWITCH("force", force, "replace DST if it exists"),
};
#undef AT

static bool on_progress(void *context, double fraction)
{
    progress_show(context, fraction);
    return !interrupted();
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    (void)out;
    const convert_settings *s = settings;
    progress p;
    progress_begin(&p, "converting");
    const ffai_convert_options converting = {
        .dtype = s->dtype.text,
        .shard_bytes = (uint64_t)s->shard_size.integer,
        .overwrite = s->force.given,
        .on_progress = on_progress,
        .context = &p,
    };
    const ffai_status status = ffai_convert(s->destination.text, s->source.text, &converting, err);
    progress_end(&p);
    return status;
}

extern const command command_convert;
const command command_convert = {
    .name = "convert",
    .summary = "Write a checkpoint as a folder in MLX format.",
    .synopsis = "SRC DST [--dtype bf16|fp16|f32] [--shard-size SIZE] [--force]",
    .details = "Quantized weights are carried over without loss unless --dtype is given. The tokenizer and the\n"
               "generation parameters come along. A DST that is not complete is not left behind.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(convert_settings),
    .run = run,
};
