/* Input: a recipe's name, a line; then a byte of layers, one of columns in units of 16, and a weight's name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a recipe makes of a weight: nothing, or one of its two widths. */
static void choose(const ffai__recipe *recipe, const char *name, int64_t columns)
{
    const ffai__weight weight = {.name = name, .rank = 2, .rows = 1, .columns = columns, .dtype = FFAI__BF16};
    const int bits = ffai__recipe_bits(recipe, &weight);
    if (bits != 0 && bits != recipe->bits && bits != recipe->high_bits)
        abort();
    if (bits != 0 && columns % recipe->group_size != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ffai_error err = FFAI_ERROR_INIT;
    char text[512] = "";
    memcpy(text, data, size < sizeof text - 1 ? size : sizeof text - 1);
    char *end = strchr(text, '\n');
    ffai__recipe recipe = {.group_size = 32};
    if (!end || !end[1] || !end[2])
        return 0;
    *end = 0;
    recipe.num_hidden_layers = (unsigned char)end[1];
    if (ffai__recipe_find(&recipe, text, &err) == FFAI_OK && ffai__recipe_check(&recipe, &err) == FFAI_OK)
        choose(&recipe, end + 3, (int64_t)(unsigned char)end[2] * 16);
    return 0;
}
