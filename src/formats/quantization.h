/* config.json's "quantization" as mlx-lm writes it: {"group_size", "bits", "mode"}, and for modules that differ
 * an entry under their path: an object of the same fields, false (not quantized) or true (as the others). */
#ifndef FFAI_FORMATS_QUANTIZATION_H
#define FFAI_FORMATS_QUANTIZATION_H

#include <jansson.h>

#include "failure.h"

typedef struct ffai__affine {
    int bits; /* 0: not quantized, or not said */
    int group_size;
} ffai__affine;

typedef struct ffai__quantization {
    const json_t *object; /* borrowed from the config; NULL where it says nothing */
    ffai__affine global;
} ffai__quantization;

/* what names the config in errors. FFAI_E_UNSUPPORTED for other methods and modes, by name. */
ffai_status ffai__quantization_read(ffai__quantization *out, const json_t *config, const char *what, ffai_error *err);

/* What the config says of a module ("model.layers.0.mlp.down_proj"). */
ffai_status ffai__quantization_of(ffai__affine *out, const ffai__quantization *quantization, const char *module,
                                  size_t length, const char *what, ffai_error *err);

#endif
