#include "shape_source.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

enum { DEFAULT_GROUP = 64 };

int shape_check(const char *command, const model_settings *model, const shape_settings *shape)
{
    if (shape->name.given && model->path.given)
        return report_usage("%s: --shape: contradicts --model", command);
    if (!shape->name.given && !model->path.given)
        return report_usage("%s: --model: is missing: give it or --shape", command);
    if (shape->name.given && !shape->bits.given)
        return report_usage("%s: --bits: is missing: --shape needs it", command);
    if (shape->bits.given && !shape->name.given)
        return report_usage("%s: --bits: goes with --shape: a checkpoint has its own", command);
    if (shape->group_size.given && !shape->name.given)
        return report_usage("%s: --group-size: goes with --shape: a checkpoint has its own", command);
    if (shape->group_size.given && shape_bits(shape) == 16)
        return report_usage("%s: --group-size: contradicts --bits 16", command);
    if (shape->layers.given && !shape->name.given)
        return report_usage("%s: --layers: goes with --shape: a checkpoint has its own", command);
    return EXIT_OK;
}

int shape_bits(const shape_settings *shape)
{
    return shape->bits.given ? (int)strtol(shape->bits.text, NULL, 10) : 0;
}

int shape_group_size(const shape_settings *shape)
{
    if (!shape->name.given || shape_bits(shape) == 16)
        return 0;
    return shape->group_size.given ? (int)strtol(shape->group_size.text, NULL, 10) : DEFAULT_GROUP;
}

void shape_find(ffai_shape *out, const shape_settings *shape)
{
    *out = (ffai_shape){0};
    for (size_t i = 0; shape->name.given && ffai_shape_get(out, i); i++) {
        if (strcmp(out->name, shape->name.text) == 0)
            return;
    }
}

ffai_status shape_or_model_open(ffai_model **out, timeline *times, const model_settings *model,
                                const shape_settings *shape, ffai_error *err)
{
    const ffai_random_model random = {shape->name.text, shape_bits(shape), shape_group_size(shape),
                                      shape->layers.integer};
    if (shape->name.given)
        return model_make(out, times, model, &random, err);
    return model_open(out, times, model, true, err);
}
