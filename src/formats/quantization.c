#include "quantization.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "json.h"

static const int group_sizes[] = {16, 32, 64, 128};

static ffai_status check_affine(const ffai__affine *affine, const char *what, const char *field, ffai_error *err)
{
    bool known = affine->group_size == 0;
    for (size_t i = 0; i < sizeof group_sizes / sizeof *group_sizes; i++)
        known |= affine->group_size == group_sizes[i];
    if (!known)
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: field \"%s\": group_size %d is not one of 16, 32, 64, 128",
                          what, field, affine->group_size);
    if (affine->bits == 1 || affine->bits == 7)
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: field \"%s\": bits %d is not one of 2, 3, 4, 5, 6, 8", what,
                          field, affine->bits);
    return FFAI_OK;
}

/* Fields that the object leaves out keep what affine holds. */
static ffai_status read_affine(ffai__affine *affine, const json_t *object, const char *what, const char *field,
                               ffai_error *err)
{
    const char *mode = "affine";
    int64_t bits = affine->bits;
    int64_t group_size = affine->group_size;
    ffai_status status = ffai__json_get_string(&mode, object, "mode", what, err);
    if (status == FFAI_OK && strcmp(mode, "affine") != 0)
        return ffai__fail(err, FFAI_E_UNSUPPORTED,
                          "%s: field \"%s\": quantization mode \"%s\" is not supported, only \"affine\" is", what,
                          field, mode);
    if (status == FFAI_OK)
        status = ffai__json_get_int(&bits, object, "bits", 1, 8, what, err);
    if (status == FFAI_OK)
        status = ffai__json_get_int(&group_size, object, "group_size", 1, 1 << 20, what, err);
    if (status != FFAI_OK)
        return ffai__fail_in(err, status, "field \"%s\"", field);
    *affine = (ffai__affine){(int)bits, (int)group_size};
    return check_affine(affine, what, field, err);
}

ffai_status ffai__quantization_read(ffai__quantization *out, const json_t *config, const char *what, ffai_error *err)
{
    *out = (ffai__quantization){NULL, {0, 0}};
    const char *field = "quantization";
    const json_t *object = ffai__json_field(config, field);
    if (!object) {
        field = "quantization_config";
        object = ffai__json_field(config, field);
    }
    if (!object)
        return FFAI_OK;
    if (!json_is_object(object))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be an object", what, field);
    const char *method = NULL;
    FFAI__TRY(ffai__json_get_string(&method, object, "quant_method", what, err));
    if (method)
        return ffai__fail(err, FFAI_E_UNSUPPORTED,
                          "%s: field \"%s\": quantization method \"%s\" is not supported: use the unquantized "
                          "checkpoint or an MLX one",
                          what, field, method);
    out->object = object;
    return read_affine(&out->global, object, what, field, err);
}

static const json_t *with_prefix(const json_t *object, const char *prefix, const char *module, size_t length)
{
    char key[2048]; /* a tensor's name has at most half of that */
    snprintf(key, sizeof key, "%s%.*s", prefix, (int)length, module);
    return json_object_get(object, key);
}

/* Keys are module paths; a wrapper's prefix may be on either side only. */
static const json_t *find_entry(const json_t *object, const char *module, size_t length)
{
    static const char *const prefixes[] = {"", "language_model.", "model.", "language_model.model."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const json_t *entry = with_prefix(object, prefixes[i], module, length);
        if (entry)
            return entry;
    }
    for (size_t i = 1; i < sizeof prefixes / sizeof *prefixes; i++) {
        const size_t cut = strlen(prefixes[i]);
        if (length <= cut || memcmp(module, prefixes[i], cut) != 0)
            continue;
        const json_t *entry = with_prefix(object, "", module + cut, length - cut);
        if (entry)
            return entry;
    }
    return NULL;
}

ffai_status ffai__quantization_of(ffai__affine *out, const ffai__quantization *quantization, const char *module,
                                  size_t length, const char *what, ffai_error *err)
{
    *out = quantization->global;
    const json_t *entry = quantization->object ? find_entry(quantization->object, module, length) : NULL;
    if (!entry || json_is_true(entry))
        return FFAI_OK;
    if (json_is_false(entry)) {
        *out = (ffai__affine){0, 0};
        return FFAI_OK;
    }
    char *field = ffai__format("quantization.%.*s", (int)length, module);
    if (!field)
        return ffai__fail_memory(err, "a quantization entry", length);
    ffai_status status = FFAI_OK;
    if (json_is_object(entry))
        status = read_affine(out, entry, what, field, err);
    else
        status = ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be an object, true or false", what, field);
    ffai__free(field);
    return status;
}
