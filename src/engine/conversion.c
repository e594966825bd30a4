/* The public face of src/convert. */
#include <string.h>

#include "convert.h"
#include "engine.h"

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

static bool report_progress(void *context, uint64_t done, uint64_t total)
{
    const ffai_convert_options *options = context;
    return !options->on_progress || options->on_progress(options->context, total ? (double)done / (double)total : 1);
}

ffai_status ffai_convert(const char *destination, const char *source, const ffai_convert_options *options,
                         ffai_error *err)
{
    ffai_convert_options chosen = FFAI_CONVERT_OPTIONS_INIT;
    if (options)
        chosen = *options;
    ffai__convert_options inner = FFAI__CONVERT_OPTIONS_INIT;
    if (chosen.dtype)
        FFAI__TRY(find_dtype(&inner.dtype, chosen.dtype, err));
    if (chosen.shard_bytes)
        inner.shard_bytes = chosen.shard_bytes;
    inner.overwrite = chosen.overwrite;
    inner.progress = report_progress;
    inner.context = &chosen;
    return ffai__convert(source, destination, &inner, err);
}
