/* The public face of src/convert. */
#include <string.h>

#include "calibration.h"
#include "convert.h"
#include "engine.h"
#include "staging.h"

static ffai_status find_dtype(ffai__convert_dtype *dtype, const char *name, ffai_error *err)
{
    static const struct {
        const char *name;
        ffai__convert_dtype dtype;
    } names[] = {{"bf16", FFAI__CONVERT_BF16}, {"fp16", FFAI__CONVERT_F16}, {"f32", FFAI__CONVERT_F32}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i].name, name) == 0) {
            *dtype = names[i].dtype;
            return FFAI_OK;
        }
    }
    return ffai__fail(err, FFAI_E_ARGUMENT, "convert: dtype \"%s\": must be bf16, fp16 or f32", name);
}

static ffai_status find_recipe(ffai__recipe *recipe, const ffai_convert_options *options, ffai_error *err)
{
    *recipe = (ffai__recipe){.bits = options->bits, .high_bits = options->bits, .group_size = options->group_size};
    if (recipe->group_size == 0)
        recipe->group_size = 64;
    if (options->recipe)
        FFAI__TRY(ffai__recipe_find(recipe, options->recipe, err));
    if (options->recipe && options->bits && options->bits != recipe->bits)
        return ffai__fail(err, FFAI_E_ARGUMENT, "convert: bits %d: recipe %s has %d, and %d for what it spares",
                          options->bits, options->recipe, recipe->bits, recipe->high_bits);
    if (options->group_size && !recipe->bits)
        return ffai__fail(err, FFAI_E_ARGUMENT, "convert: group size %d: takes bits or a recipe", options->group_size);
    return ffai__recipe_check(recipe, err);
}

/* What is rounded are linear layers and embeddings: which weights those are is known of families that are run here.
 * Recording the program finds weights that are missing, too many or of another shape as well. */
static ffai_status look_at_model(ffai__convert_options *inner, const char *source, ffai_error *err)
{
    ffai_model model = {0};
    ffai_status status = ffai__model_open_checkpoint(&model, source, err);
    if (status == FFAI_OK)
        status = ffai__model_record(&model, "none", err);
    inner->recipe.num_hidden_layers = model.config.num_hidden_layers;
    inner->without_tied_head = model.config.tie_word_embeddings == 1;
    ffai__model_close_checkpoint(&model);
    return status;
}

typedef struct {
    ffai_convert_options options;
    const char *source;
    double calibrating; /* its share of the whole: a calibration is the first half of what there is to do */
    ffai__calibration *calibration;
} job;

static bool report_calibration(void *context, double fraction)
{
    const job *j = context;
    return !j->options.on_progress || j->options.on_progress(j->options.context, fraction * j->calibrating);
}

static bool report_progress(void *context, uint64_t done, uint64_t total)
{
    const job *j = context;
    const double fraction = total ? (double)done / (double)total : 1;
    return !j->options.on_progress ||
           j->options.on_progress(j->options.context, j->calibrating + (1 - j->calibrating) * fraction);
}

static bool report_estimate(void *context, const ffai__convert_estimate *estimate)
{
    const ffai_convert_options *options = &((const job *)context)->options;
    const ffai_convert_estimate given = {
        .bytes = estimate->bytes,
        .source_bytes = estimate->source_bytes,
        .parameters = estimate->parameters,
        .tensors = estimate->tensors,
        .quantized = estimate->rounded,
        .quantized_already = estimate->rounded_again,
        .free_bytes = estimate->free_bytes,
    };
    return !options->on_estimate || options->on_estimate(options->context, &given);
}

static ffai_status find_method(ffai__convert_method *method, const ffai_convert_options *options, ffai_error *err)
{
    const char *name = options->method ? options->method : "mlx";
    const bool calibrated = strcmp(name, "calibrated") == 0;
    if (!calibrated && strcmp(name, "mlx") != 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "convert: method \"%s\": must be mlx or calibrated", name);
    if (options->method && !options->bits && !options->recipe)
        return ffai__fail(err, FFAI_E_ARGUMENT, "convert: method \"%s\": takes bits or a recipe", name);
    *method = calibrated ? FFAI__CONVERT_CALIBRATED : FFAI__CONVERT_MLX;
    if (calibrated != (options->calibration_size > 0))
        return ffai__fail(err, FFAI_E_ARGUMENT, "convert: method \"%s\": %s", name,
                          options->calibration_size ? "takes no calibration" : "takes the tokens of a calibration");
    return FFAI_OK;
}

static ffai_status calibrate(void *context, ffai_error *err)
{
    job *j = context;
    return ffai__calibration_run(&j->calibration, j->source, j->options.calibration, j->options.calibration_size,
                                 j->options.threads, report_calibration, j, err);
}

static const float *importance_of(void *context, const ffai__weight *weight)
{
    const job *j = context;
    return ffai__calibration_of(j->calibration, weight->name);
}

static ffai_status read_options(ffai__convert_options *inner, job *j, ffai_error *err)
{
    const ffai_convert_options *chosen = &j->options;
    if (chosen->dtype)
        FFAI__TRY(find_dtype(&inner->dtype, chosen->dtype, err));
    FFAI__TRY(find_recipe(&inner->recipe, chosen, err));
    FFAI__TRY(find_method(&inner->method, chosen, err));
    if (chosen->shard_bytes)
        inner->shard_bytes = chosen->shard_bytes;
    inner->overwrite = chosen->overwrite;
    inner->threads = chosen->threads;
    inner->progress = report_progress;
    inner->estimated = report_estimate;
    inner->context = j;
    inner->calibrate = calibrate;
    inner->importance = importance_of;
    inner->calibration_context = j;
    j->calibrating = inner->method == FFAI__CONVERT_CALIBRATED ? 0.5 : 0;
    return FFAI_OK;
}

ffai_status ffai_convert_check_destination(const char *destination, bool overwrite, ffai_error *err)
{
    return ffai__staging_check(destination, overwrite, err);
}

ffai_status ffai_convert(const char *destination, const char *source, const ffai_convert_options *options,
                         ffai_error *err)
{
    job j = {.source = source};
    if (options)
        j.options = *options;
    ffai__convert_options inner = FFAI__CONVERT_OPTIONS_INIT;
    FFAI__TRY(read_options(&inner, &j, err));
    if (inner.recipe.bits)
        FFAI__TRY(look_at_model(&inner, source, err));
    const ffai_status status = ffai__convert(source, destination, &inner, err);
    ffai__calibration_free(j.calibration);
    return status;
}
