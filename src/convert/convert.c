#include "convert.h"

#include <string.h>

#include "alloc.h"
#include "checkpoint.h"
#include "documents.h"
#include "repack.h"
#include "staging.h"

typedef struct {
    const ffai__convert_options *options;
    ffai__checkpoint *source;
    ffai__repack *plans;
    size_t count;
    uint64_t total;
    ffai__repack_room room;
    ffai__safetensors_writer *writer;
    ffai__staging staging;
    ffai_error *err;
} conversion;

static ffai_status make_room(conversion *c)
{
    int64_t widest = 1;
    for (size_t i = 0; i < c->count; i++) {
        const int64_t columns = ffai__checkpoint_weight(c->source, i)->columns;
        widest = columns > widest ? columns : widest;
    }
    return ffai__repack_room_make(&c->room, widest, c->err);
}

/* The interleaved rows of a type that the readers do not turn into float32 cannot be put in order. */
static ffai_status check_readable(const conversion *c, const ffai__weight *weight)
{
    if (weight->rope_heads && !ffai__weight_is_affine(weight) && !ffai__dtype_is_float(weight->dtype))
        return ffai__fail(c->err, FFAI_E_UNSUPPORTED, "%s: tensor \"%s\": rows of %s cannot be reordered",
                          ffai__checkpoint_path(c->source), weight->name, ffai__dtype_name(weight->dtype));
    return FFAI_OK;
}

static ffai_status plan(conversion *c)
{
    c->count = ffai__checkpoint_count(c->source);
    c->plans = ffai__calloc(c->count, sizeof *c->plans);
    if (!c->plans)
        return ffai__fail_memory(c->err, "the plan", c->count * sizeof *c->plans);
    FFAI__TRY(make_room(c));
    for (size_t i = 0; i < c->count; i++) {
        const ffai__weight *weight = ffai__checkpoint_weight(c->source, i);
        FFAI__TRY(check_readable(c, weight));
        ffai__repack_plan(&c->plans[i], weight, ffai__checkpoint_shape(c->source, i), c->options->dtype, &c->room);
        c->total += c->plans[i].bytes;
    }
    return ffai__checkpoint_check(c->source, c->err);
}

static ffai_status report(const conversion *c, uint64_t done)
{
    if (c->options->progress && !c->options->progress(c->options->context, done, c->total))
        return ffai__fail(c->err, FFAI_E_CANCELLED, "%s: the conversion was cancelled", c->staging.destination);
    return FFAI_OK;
}

static ffai_status write_weights(conversion *c)
{
    uint64_t done = 0;
    FFAI__TRY(ffai__safetensors_writer_open(&c->writer, c->staging.folder, c->options->shard_bytes, c->err));
    for (size_t i = 0; i < c->count; i++)
        FFAI__TRY(ffai__repack_declare(&c->plans[i], c->writer, c->err));
    for (size_t i = 0; i < c->count; i++) {
        FFAI__TRY(report(c, done));
        FFAI__TRY(ffai__repack_write(&c->plans[i], c->writer, &c->room, c->err));
        FFAI__TRY(ffai__checkpoint_check(c->source, c->err));
        done += c->plans[i].bytes;
    }
    FFAI__TRY(report(c, done));
    return ffai__safetensors_writer_finish(c->writer, c->err);
}

static ffai_status convert(conversion *c, const char *source, const char *destination)
{
    FFAI__TRY(ffai__checkpoint_open(&c->source, source, c->err));
    FFAI__TRY(plan(c));
    FFAI__TRY(ffai__staging_open(&c->staging, destination, c->options->overwrite, c->err));
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
    ffai__repack_room_free(&c.room);
    ffai__free(c.plans);
    ffai__checkpoint_close(c.source);
    return status;
}
