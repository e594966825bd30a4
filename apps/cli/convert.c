#include <stdlib.h>
#include <string.h>

#include <ffai/convert.h>

#include "command.h"
#include "convert_report.h"
#include "interrupt.h"
#include "progress.h"
#include "report.h"

typedef struct convert_settings {
    setting source, destination, bits, group_size, recipe, method, calibration, report, json, dtype, shard_size,
        threads, force;
} convert_settings;

#define AT(field) offsetof(convert_settings, field)
static const option options[] = {
    HEADING("Arguments"),
    REQUIRED(OPTION_SOURCE, 0, "SRC", NULL, source, "a folder, a .gguf file or org/repo"),
    REQUIRED(OPTION_ARGUMENT, 0, "DST", NULL, destination, "the folder to write"),
    HEADING("Quantizing"),
    VALUE(OPTION_CHOICE, 0, "bits", "2|3|4|5|6|8", bits, "round matrices to MLX's affine format"),
    VALUE(OPTION_CHOICE, 0, "group-size", "32|64|128", group_size, "columns that share a scale (default: 64)"),
    VALUE(OPTION_CHOICE, 0, "recipe", "mixed_2_6|mixed_3_4|mixed_3_6|mixed_4_6", recipe,
          "two widths, the larger where it matters most"),
    VALUE(OPTION_CHOICE, 0, "method", "mlx|calibrated", method,
          "how scales are found (default: mlx, bit for bit as MLX does)"),
    VALUE(OPTION_NAME, 0, "calibration", "TEXT", calibration, "a text, or a file with one, for --method calibrated"),
    HEADING("Judging"),
    VALUE(OPTION_NAME, 0, "report", "TEXT", report, "hold the result against SRC on a text, or a file with one"),
    SWITCH("json", json, "the report as one JSON object"),
    HEADING("Options"),
    VALUE(OPTION_CHOICE, 0, "dtype", "bf16|fp16|f32", dtype,
          "the type of what is stored plainly, which is everything without --bits"),
    {.kind = OPTION_BYTES,
     .name = "shard-size",
     .value = "SIZE",
     .help = "largest size of one file, as in 5GB or 512MiB (default: 5GB)",
     .offset = AT(shard_size),
     .least = 1e3,
     .most = 1e15},
    RANGE(OPTION_INTEGER, 0, "threads", "N", 1, 1024, threads, "threads (default: physical cores)"),
    SWITCH("force", force, "replace DST if it exists"),
};
#undef AT

static int number_of(const setting *choice)
{
    return choice->given ? (int)strtol(choice->text, NULL, 10) : 0;
}

/* "mixed_3_6" has 3 bits, and 6 for what it spares. */
static int check(const void *settings)
{
    const convert_settings *s = settings;
    const int low = s->recipe.given ? s->recipe.text[sizeof "mixed_" - 1] - '0' : 0;
    if (s->group_size.given && !s->bits.given && !s->recipe.given)
        return report_usage("convert: --group-size: takes --bits or --recipe");
    if (s->recipe.given && s->bits.given && number_of(&s->bits) != low)
        return report_usage("convert: --bits: --recipe %s has %d", s->recipe.text, low);
    if (s->method.given && !s->bits.given && !s->recipe.given)
        return report_usage("convert: --method: takes --bits or --recipe");
    if (s->calibration.given != (s->method.given && strcmp(s->method.text, "calibrated") == 0))
        return report_usage("convert: --calibration: %s", s->calibration.given
                                                              ? "takes --method calibrated"
                                                              : "is missing: --method calibrated needs a text");
    if (s->json.given && !s->report.given)
        return report_usage("convert: --json: takes --report");
    return EXIT_OK;
}

static ffai_status prepare(const void *settings, ffai_error *err)
{
    const convert_settings *s = settings;
    return ffai_convert_check_destination(s->destination.text, s->force.given, err);
}

static bool on_progress(void *context, double fraction)
{
    progress_show(context, fraction);
    return !interrupted();
}

static bool on_estimate(void *context, const ffai_convert_estimate *e)
{
    (void)context;
    if (!e->quantized)
        return !interrupted();
    report_note("convert: %.1f MB become %.1f MB, %.3f bits a weight: %zu of %zu tensors are rounded",
                (double)e->source_bytes / 1e6, (double)e->bytes / 1e6, 8.0 * (double)e->bytes / (double)e->parameters,
                e->quantized, e->tensors);
    if (e->quantized_already)
        report_note("convert: %zu of them are quantized already: rounding them again adds to their error",
                    e->quantized_already);
    return !interrupted();
}

typedef struct tokens {
    int32_t *ids;
    size_t count;
} tokens;

static ffai_status convert(const convert_settings *s, const tokens *calibration, ffai_error *err)
{
    progress p;
    progress_begin(&p, "converting");
    const ffai_convert_options converting = {
        .dtype = s->dtype.text,
        .shard_bytes = (uint64_t)s->shard_size.integer,
        .overwrite = s->force.given,
        .on_progress = on_progress,
        .context = &p,
        .bits = number_of(&s->bits),
        .group_size = number_of(&s->group_size),
        .recipe = s->recipe.text,
        .method = s->method.text,
        .calibration = calibration->ids,
        .calibration_size = calibration->count,
        .threads = (int)s->threads.integer,
        .on_estimate = on_estimate,
    };
    const ffai_status status = ffai_convert(s->destination.text, s->source.text, &converting, err);
    progress_end(&p);
    return status;
}

static ffai_status read_text(tokens *out, const convert_settings *s, const setting *text, const char *flag,
                             ffai_error *err)
{
    if (!text->given)
        return FFAI_OK;
    return convert_text_read(&out->ids, &out->count, s->source.text, text->text, flag, err);
}

/* A text that cannot be read is found out before the work. */
static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const convert_settings *s = settings;
    tokens calibration = {NULL, 0};
    tokens report = {NULL, 0};
    ffai_status status = read_text(&calibration, s, &s->calibration, "calibration", err);
    if (status == FFAI_OK)
        status = read_text(&report, s, &s->report, "report", err);
    if (status == FFAI_OK)
        status = convert(s, &calibration, err);
    if (status == FFAI_OK && s->report.given)
        status = convert_report_print(out, s->source.text, s->destination.text, report.ids, report.count,
                                      (int)s->threads.integer, s->json.given, err);
    free(calibration.ids);
    free(report.ids);
    return status;
}

extern const command command_convert;
const command command_convert = {
    .name = "convert",
    .summary = "Write a checkpoint as a folder in MLX format.",
    .synopsis = "SRC DST [--bits B] [--dtype bf16|fp16|f32] [options]",
    .details = "Quantized weights are carried over without loss unless --bits or --dtype is given. Rounding is MLX's,\n"
               "bit for bit. The tokenizer and the generation parameters come along. A DST that is not complete is\n"
               "not left behind.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(convert_settings),
    .check = check,
    .prepare = prepare,
    .run = run,
};
