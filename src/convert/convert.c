#include "convert.h"

#include <string.h>

#include "alloc.h"
#include "checkpoint.h"
#include "documents.h"
#include "k_block.h"
#include "repack.h"
#include "staging.h"

typedef struct {
    const ffai__convert_options *options;
    ffai__checkpoint *source;
    ffai__repack *plans;
    size_t count;
    ffai__convert_estimate estimate;
    ffai__rows rows;
    ffai__safetensors_writer *writer;
    ffai__staging staging;
    ffai_error *err;
} conversion;

static bool is_left_out(const conversion *c, const ffai__weight *weight)
{
    static const char head[] = "lm_head.weight";
    const size_t length = strlen(weight->name);
    return c->options->without_tied_head && length >= sizeof head - 1 &&
           strcmp(weight->name + length - (sizeof head - 1), head) == 0;
}

/* Room for rows that are turned into others; those that are copied as bytes need none. */
static ffai_status make_rooms(conversion *c)
{
    int64_t widest = 1;
    for (size_t i = 0; i < ffai__checkpoint_count(c->source); i++) {
        const ffai__weight *weight = ffai__checkpoint_weight(c->source, i);
        const bool copied = !ffai__weight_is_affine(weight) && !weight->rope_heads &&
                            c->options->dtype == FFAI__CONVERT_KEEP && !ffai__recipe_bits(&c->options->recipe, weight);
        if (!copied && weight->columns > widest)
            widest = weight->columns;
    }
    return ffai__rows_open(&c->rows, widest, c->options->threads, c->err);
}

/* The interleaved rows of a type that the readers do not turn into float32 cannot be put in order. */
static ffai_status check_readable(const conversion *c, const ffai__weight *weight)
{
    if (weight->rope_heads && !ffai__weight_is_affine(weight) && !ffai__dtype_is_float(weight->dtype))
        return ffai__fail(c->err, FFAI_E_UNSUPPORTED, "%s: tensor \"%s\": rows of %s cannot be reordered",
                          ffai__checkpoint_path(c->source), weight->name, ffai__dtype_name(weight->dtype));
    return FFAI_OK;
}

static void count_in(ffai__convert_estimate *estimate, const ffai__repack *plan)
{
    estimate->bytes += plan->bytes;
    estimate->source_bytes += ffai__weight_bytes(plan->weight);
    estimate->parameters += (uint64_t)plan->weight->rows * (uint64_t)plan->weight->columns;
    estimate->tensors++;
    estimate->rounded += plan->rounded;
    estimate->rounded_again += plan->rounded && ffai__weight_is_affine(plan->weight);
}

/* MLX has no groups of 16. */
static ffai_status check_group(const conversion *c, const ffai__weight *weight)
{
    char text[32];
    if (!ffai__packing_is_k(weight->packing) || weight->group_size != 16 || c->options->dtype != FFAI__CONVERT_KEEP ||
        ffai__recipe_bits(&c->options->recipe, weight))
        return FFAI_OK;
    return ffai__fail(c->err, FFAI_E_UNSUPPORTED,
                      "%s: tensor \"%s\": %s has groups of 16, and MLX's format has none: give --bits to round it "
                      "anew, or --dtype for plain numbers",
                      ffai__checkpoint_path(c->source), weight->name, ffai__weight_format_text(weight, text));
}

static ffai_status plan(conversion *c)
{
    const size_t count = ffai__checkpoint_count(c->source);
    c->plans = ffai__calloc(count, sizeof *c->plans);
    if (!c->plans)
        return ffai__fail_memory(c->err, "the plan", count * sizeof *c->plans);
    FFAI__TRY(make_rooms(c));
    for (size_t i = 0; i < count; i++) {
        const ffai__weight *weight = ffai__checkpoint_weight(c->source, i);
        if (is_left_out(c, weight))
            continue;
        FFAI__TRY(check_readable(c, weight));
        FFAI__TRY(check_group(c, weight));
        ffai__repack_plan(&c->plans[c->count], weight, ffai__checkpoint_shape(c->source, i), c->options,
                          &c->rows.rooms[0]);
        ffai__checkpoint_forget(c->source, weight);
        count_in(&c->estimate, &c->plans[c->count++]);
    }
    if (c->options->recipe.bits && !c->estimate.rounded)
        return ffai__fail(c->err, FFAI_E_UNSUPPORTED, "%s: no tensor is a matrix whose columns groups of %d divide",
                          ffai__checkpoint_path(c->source), c->options->recipe.group_size);
    return ffai__checkpoint_check(c->source, c->err);
}

static ffai_status check_disk(conversion *c)
{
    ffai__convert_estimate *estimate = &c->estimate;
    estimate->free_bytes = ffai__staging_free_bytes(&c->staging);
    if (estimate->free_bytes < estimate->bytes)
        return ffai__fail(c->err, FFAI_E_IO, "%s: takes %.1f MB, and its disk has %.1f MB free", c->staging.destination,
                          (double)estimate->bytes / 1e6, (double)estimate->free_bytes / 1e6);
    if (c->options->estimated && !c->options->estimated(c->options->context, estimate))
        return ffai__fail(c->err, FFAI_E_CANCELLED, "%s: the conversion was cancelled", c->staging.destination);
    return FFAI_OK;
}

static ffai_status calibrate(conversion *c)
{
    const ffai__convert_options *options = c->options;
    if (options->method != FFAI__CONVERT_CALIBRATED)
        return FFAI_OK;
    FFAI__TRY(options->calibrate(options->calibration_context, c->err));
    for (size_t i = 0; i < c->count; i++)
        c->plans[i].importance = options->importance(options->calibration_context, c->plans[i].weight);
    return FFAI_OK;
}

static ffai_status write_weight(conversion *c, const ffai__repack *plan)
{
    FFAI__TRY(ffai__repack_write(plan, c->writer, &c->rows, ffai__checkpoint_path(c->source), c->err));
    ffai__checkpoint_forget(c->source, plan->weight);
    return ffai__checkpoint_check(c->source, c->err);
}

static ffai_status write_weights(conversion *c)
{
    c->rows.total = c->estimate.bytes;
    c->rows.progress = c->options->progress;
    c->rows.context = c->options->context;
    FFAI__TRY(ffai__safetensors_writer_open(&c->writer, c->staging.folder, c->options->shard_bytes, c->err));
    for (size_t i = 0; i < c->count; i++)
        FFAI__TRY(ffai__repack_declare(&c->plans[i], c->writer, c->err));
    FFAI__TRY(ffai__rows_report(&c->rows, c->err));
    for (size_t i = 0; i < c->count; i++)
        FFAI__TRY(write_weight(c, &c->plans[i]));
    FFAI__TRY(ffai__rows_report(&c->rows, c->err));
    return ffai__safetensors_writer_finish(c->writer, c->err);
}

static ffai_status convert(conversion *c, const char *source, const char *destination)
{
    FFAI__TRY(ffai__recipe_check(&c->options->recipe, c->err));
    FFAI__TRY(ffai__checkpoint_open(&c->source, source, c->err));
    FFAI__TRY(plan(c));
    FFAI__TRY(ffai__staging_open(&c->staging, destination, c->options->overwrite, c->err));
    FFAI__TRY(check_disk(c));
    FFAI__TRY(calibrate(c));
    FFAI__TRY(write_weights(c));
    FFAI__TRY(ffai__documents_write(c->staging.folder, c->source, c->plans, c->count, c->options->dtype, c->err));
    FFAI__TRY(ffai__checkpoint_check(c->source, c->err));
    return ffai__staging_commit(&c->staging, c->err);
}

ffai_status ffai__convert(const char *source, const char *destination, const ffai__convert_options *options,
                          ffai_error *err)
{
    conversion c = {.options = options, .err = err};
    const ffai_status status = convert(&c, source, destination);
    ffai__safetensors_writer_free(c.writer);
    ffai__staging_free(&c.staging);
    ffai__rows_close(&c.rows);
    ffai__free(c.plans);
    ffai__checkpoint_close(c.source);
    return status;
}
