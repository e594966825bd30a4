#include "recipe.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"

static const struct {
    const char *name;
    int bits;
    int high_bits;
} mixed[] = {{"mixed_2_6", 2, 6}, {"mixed_3_4", 3, 4}, {"mixed_3_6", 3, 6}, {"mixed_4_6", 4, 6}};

ffai_status ffai__recipe_find(ffai__recipe *recipe, const char *name, ffai_error *err)
{
    for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++) {
        if (strcmp(mixed[i].name, name) == 0) {
            recipe->bits = mixed[i].bits;
            recipe->high_bits = mixed[i].high_bits;
            return FFAI_OK;
        }
    }
    return ffai__fail(err, FFAI_E_ARGUMENT,
                      "convert: recipe \"%s\": must be mixed_2_6, mixed_3_4, mixed_3_6 or mixed_4_6", name);
}

ffai_status ffai__recipe_check(const ffai__recipe *recipe, ffai_error *err)
{
    if (recipe->bits < 0 || recipe->bits == 1 || recipe->bits == 7 || recipe->bits > 8)
        return ffai__fail(err, FFAI_E_ARGUMENT, "convert: bits %d: must be 2, 3, 4, 5, 6 or 8", recipe->bits);
    if (recipe->bits && recipe->group_size != 32 && recipe->group_size != 64 && recipe->group_size != 128)
        return ffai__fail(err, FFAI_E_ARGUMENT, "convert: group size %d: must be 32, 64 or 128", recipe->group_size);
    return FFAI_OK;
}

/* The number in "model.layers.7.mlp.down_proj.weight"; 0 where there is none. */
static int64_t layer_of(const char *name)
{
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        if (isdigit((unsigned char)dot[1]))
            return strtoll(dot + 1, NULL, 10);
    }
    return 0;
}

static bool is_spared(const ffai__recipe *recipe, const char *name)
{
    if (strstr(name, "lm_head"))
        return true;
    if (!strstr(name, "v_proj") && !strstr(name, "down_proj"))
        return false;
    const int64_t layer = layer_of(name);
    const int64_t layers = recipe->num_hidden_layers;
    const int64_t first = layers / 8;
    return layer < first || layer >= 7 * layers / 8 || (layer - first) % 3 == 2;
}

int ffai__recipe_bits(const ffai__recipe *recipe, const ffai__weight *weight)
{
    static const char suffix[] = ".weight";
    const size_t length = strlen(weight->name);
    const bool floats = weight->dtype == FFAI__F64 || ffai__dtype_is_float(weight->dtype);
    if (ffai__part_of(weight->name) != FFAI__PART_TEXT)
        return 0;
    if (!recipe->bits || weight->rank != 2 || weight->columns % recipe->group_size)
        return 0;
    if (length < sizeof suffix || strcmp(weight->name + length - (sizeof suffix - 1), suffix) != 0)
        return 0;
    if (!floats && !ffai__weight_is_affine(weight))
        return 0;
    return is_spared(recipe, weight->name) ? recipe->high_bits : recipe->bits;
}
