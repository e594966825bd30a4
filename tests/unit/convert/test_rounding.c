/* Rounding to affine groups and the choice of layers, held against what mlx and mlx-lm do
 * (tools/make-quantization-cases.py). */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "../own_folder.h"
#include "alloc.h"
#include "checkpoint.h"
#include "convert.h"
#include "file_map.h"
#include "recipe.h"
#include "rounding.h"
#include "safetensors.h"

#define CASES FFAI_SOURCE_DIR "/tests/data/quantize/"

enum { COLUMNS = 128 };

/* ---- what mlx wrote ---- */

typedef struct {
    ffai__file_map *map;
    ffai__safetensors *file;
} tensors;

static tensors open_tensors(const char *path)
{
    tensors t = {NULL, NULL};
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__file_map_open(&t.map, path, &err) != FFAI_OK ||
        ffai__safetensors_parse(&t.file, ffai__file_map_data(t.map), ffai__file_map_size(t.map), path, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return t;
}

static void close_tensors(tensors *t)
{
    ffai__safetensors_free(t->file);
    ffai__file_map_close(t->map);
}

static const ffai__safetensor *find(const tensors *t, const char *name)
{
    for (size_t i = 0; i < t->file->count; i++) {
        if (strcmp(t->file->tensors[i].name, name) == 0)
            return &t->file->tensors[i];
    }
    fail_msg("there is no tensor %s", name);
    return NULL;
}

/* ---- whole conversions ---- */

typedef struct {
    const char *name;
    ffai__convert_dtype dtype;
} dtype_case;

static const dtype_case dtypes[] = {
    {"bf16", FFAI__CONVERT_BF16}, {"fp16", FFAI__CONVERT_F16}, {"f32", FFAI__CONVERT_KEEP}};
static const int widths[] = {2, 3, 4, 5, 6, 8};
static const int group_sizes[] = {32, 64, 128};

/* Expected are the first rows of every matrix. */
static void assert_as_expected(const tensors *expected, const tensors *got, const char *prefix)
{
    size_t compared = 0;
    const size_t length = strlen(prefix);
    for (size_t i = 0; i < expected->file->count; i++) {
        const ffai__safetensor *a = &expected->file->tensors[i];
        if (strncmp(a->name, prefix, length) != 0)
            continue;
        const ffai__safetensor *b = find(got, a->name + length);
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->shape.dims[1], b->shape.dims[1]);
        if (memcmp(a->data, b->data, (size_t)(a->end - a->begin)) != 0)
            fail_msg("%s differs", a->name);
        compared++;
    }
    assert_int_equal(compared, 3 * 8);
}

static void convert(const ffai__convert_options *options, const char *source)
{
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__convert(source, destination, options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
}

static void every_width_group_and_type_rounds_as_mlx_does(void **state)
{
    (void)state;
    char path[256];
    char prefix[64];
    tensors expected = open_tensors(CASES "expected.safetensors");
    snprintf(path, sizeof path, "%s/model.safetensors", destination);
    for (size_t i = 0; i < 3u * 3u * 6u; i++) {
        const dtype_case *dtype = &dtypes[i % 3];
        ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
        options.recipe.group_size = group_sizes[i / 3 % 3];
        options.recipe.bits = options.recipe.high_bits = widths[i / 9];
        options.dtype = dtype->dtype;
        options.overwrite = true;
        options.threads = 1 + (int)(i % 4);
        convert(&options, CASES "checkpoint");
        tensors got = open_tensors(path);
        snprintf(prefix, sizeof prefix, "%s.%d.%d.", dtype->name, options.recipe.bits, options.recipe.group_size);
        assert_as_expected(&expected, &got, prefix);
        close_tensors(&got);
    }
    close_tensors(&expected);
}

static void the_result_is_the_same_for_any_number_of_threads(void **state)
{
    (void)state;
    char path[256];
    char *first = NULL;
    size_t first_size = 0;
    snprintf(path, sizeof path, "%s/model.safetensors", destination);
    for (int threads = 1; threads <= 7; threads += 2) {
        ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
        options.recipe = (ffai__recipe){.bits = 3, .high_bits = 6, .group_size = 32, .num_hidden_layers = 1};
        options.overwrite = true;
        options.threads = threads;
        convert(&options, CASES "checkpoint");
        char *bytes = NULL;
        size_t size = 0;
        assert_int_equal(ffai__file_read(&bytes, &size, path, 1 << 24, NULL), FFAI_OK);
        if (first) {
            assert_int_equal(size, first_size);
            assert_memory_equal(bytes, first, size);
            ffai__free(bytes);
        } else {
            first = bytes;
            first_size = size;
        }
    }
    ffai__free(first);
}

static void columns_that_groups_do_not_divide_stay(void **state)
{
    (void)state;
    ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    options.recipe = (ffai__recipe){.bits = 4, .high_bits = 4, .group_size = 64};
    convert(&options, FFAI_SOURCE_DIR "/tests/golden/llama/bf16"); /* 64 columns, down_proj 96 */
    ffai__checkpoint *result = NULL;
    assert_int_equal(ffai__checkpoint_open(&result, destination, NULL), FFAI_OK);
    const ffai__weight *down = ffai__checkpoint_find(result, "model.layers.0.mlp.down_proj.weight");
    const ffai__weight *up = ffai__checkpoint_find(result, "model.layers.0.mlp.up_proj.weight");
    const ffai__weight *norm = ffai__checkpoint_find(result, "model.norm.weight");
    assert_true(down->packing == FFAI__DENSE && down->dtype == FFAI__BF16);
    assert_true(up->packing == FFAI__MLX_AFFINE && up->bits == 4 && up->scale_dtype == FFAI__BF16);
    assert_true(norm->packing == FFAI__DENSE && norm->dtype == FFAI__BF16);
    ffai__checkpoint_close(result);
}

static void what_cannot_be_rounded_is_named(void **state)
{
    (void)state;
    ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    ffai_error err = FFAI_ERROR_INIT;
    options.recipe = (ffai__recipe){.bits = 4, .high_bits = 4, .group_size = 128};
    assert_int_equal(ffai__convert(FFAI_SOURCE_DIR "/tests/golden/llama/bf16", destination, &options, &err),
                     FFAI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "groups of 128"));
    options.recipe.group_size = 48;
    assert_int_equal(ffai__convert(CASES "checkpoint", destination, &options, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "group size 48"));
    options.recipe = (ffai__recipe){.bits = 7, .high_bits = 7, .group_size = 64};
    assert_int_equal(ffai__convert(CASES "checkpoint", destination, &options, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "bits 7"));
}

static void a_value_that_is_not_finite_is_named_and_nothing_is_left(void **state)
{
    (void)state;
    tensors source = open_tensors(CASES "checkpoint/model.safetensors");
    const ffai__safetensor *up = find(&source, "model.layers.0.mlp.up_proj.weight");
    const size_t size = (size_t)ffai__file_map_size(source.map);
    const size_t at = (size_t)(up->data - ffai__file_map_data(source.map)) + sizeof(float) * (17 * COLUMNS + 3);
    const float nan = NAN;
    char *bytes = ffai__malloc(size);
    char *config = NULL;
    size_t config_size = 0;
    assert_non_null(bytes);
    memcpy(bytes, ffai__file_map_data(source.map), size);
    memcpy(bytes + at, &nan, sizeof nan);
    write_file("model.safetensors", bytes, size);
    assert_int_equal(ffai__file_read(&config, &config_size, CASES "checkpoint/config.json", 1 << 16, NULL), FFAI_OK);
    write_file("config.json", config, config_size);
    ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    ffai_error err = FFAI_ERROR_INIT;
    options.recipe = (ffai__recipe){.bits = 4, .high_bits = 4, .group_size = 64};
    for (int threads = 1; threads <= 3; threads++) {
        options.threads = threads;
        assert_int_equal(ffai__convert(folder, destination, &options, &err), FFAI_E_FORMAT);
        assert_non_null(strstr(err.message, "\"model.layers.0.mlp.up_proj.weight\": row 17: "));
        assert_int_equal(ffai__path_kind_of(destination), FFAI__PATH_MISSING);
    }
    ffai__free(bytes);
    ffai__free(config);
    close_tensors(&source);
}

static void values_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    float values[COLUMNS];
    uint8_t codes[COLUMNS];
    float scales[4];
    float biases[4];
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
        for (int at = 0; at < COLUMNS; at++) {
            for (int i = 0; i < COLUMNS; i++)
                values[i] = (float)i - 60;
            assert_true(ffai__round_row(codes, scales, biases, values, COLUMNS, 4, 32));
            values[at] = bad[b];
            if (at > 0 && bad[b] == 3e38f)
                values[at / 32 * 32 + (at + 1) % 32] = -3e38f; /* a range that float32 does not hold */
            else if (bad[b] == 3e38f)
                continue;
            assert_false(ffai__round_row(codes, scales, biases, values, COLUMNS, 4, 32));
        }
    }
}

/* ---- recipes ---- */

static void assert_bits(const ffai__recipe *recipe, const char *name, char digit)
{
    const ffai__weight weight = {.name = name, .rank = 2, .rows = 4, .columns = 64, .dtype = FFAI__BF16};
    if (ffai__recipe_bits(recipe, &weight) != digit - '0')
        fail_msg("%s of %d layers: %d bits and not %c", name, (int)recipe->num_hidden_layers,
                 ffai__recipe_bits(recipe, &weight), digit);
}

static void mixed_recipes_choose_as_mlx_lm_does(void **state)
{
    (void)state;
    json_t *cases = json_load_file(CASES "recipes.json", 0, NULL);
    assert_int_equal(json_array_size(cases), 4 * 12);
    size_t i = 0;
    json_t *entry = NULL;
    json_array_foreach(cases, i, entry)
    {
        ffai__recipe recipe = {.group_size = 64};
        recipe.num_hidden_layers = json_integer_value(json_object_get(entry, "num_hidden_layers"));
        const char *which = json_string_value(json_object_get(entry, "recipe"));
        assert_int_equal(ffai__recipe_find(&recipe, which, NULL), FFAI_OK);
        const char *module = NULL;
        json_t *digits = NULL;
        json_object_foreach(entry, module, digits)
        {
            char name[128];
            const char *text = json_string_value(digits);
            const bool of_layers = strstr(module, "_proj") != NULL;
            if (!of_layers && !strstr(module, "lm_head") && !strstr(module, "embed_tokens"))
                continue;
            for (size_t layer = 0; text[layer]; layer++) {
                if (of_layers)
                    snprintf(name, sizeof name, "model.layers.%zu.%s.weight", layer, module);
                else
                    snprintf(name, sizeof name, "%s.weight", module);
                assert_bits(&recipe, name, text[layer]);
            }
        }
    }
    json_decref(cases);
}

static void only_matrices_of_numbers_named_weight_are_rounded(void **state)
{
    (void)state;
    const ffai__recipe recipe = {.bits = 4, .high_bits = 4, .group_size = 64, .num_hidden_layers = 2};
    const ffai__weight matrix = {.name = "a.weight", .rank = 2, .rows = 4, .columns = 64, .dtype = FFAI__F32};
    ffai__weight other = matrix;
    assert_int_equal(ffai__recipe_bits(&recipe, &matrix), 4);
    other.rank = 1;
    assert_int_equal(ffai__recipe_bits(&recipe, &other), 0);
    other.rank = 3;
    assert_int_equal(ffai__recipe_bits(&recipe, &other), 0);
    other = matrix;
    other.name = "a.bias";
    assert_int_equal(ffai__recipe_bits(&recipe, &other), 0);
    other.name = ".weight";
    assert_int_equal(ffai__recipe_bits(&recipe, &other), 0);
    other = matrix;
    other.columns = 96;
    assert_int_equal(ffai__recipe_bits(&recipe, &other), 0);
    other = matrix;
    other.dtype = FFAI__I32;
    assert_int_equal(ffai__recipe_bits(&recipe, &other), 0);
}

static void other_recipes_are_refused_by_name(void **state)
{
    (void)state;
    ffai__recipe recipe = {0};
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__recipe_find(&recipe, "mixed_2_7", &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "\"mixed_2_7\""));
    assert_int_equal(recipe.bits, 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_width_group_and_type_rounds_as_mlx_does),
        IN_FOLDER(the_result_is_the_same_for_any_number_of_threads),
        IN_FOLDER(columns_that_groups_do_not_divide_stay),
        IN_FOLDER(what_cannot_be_rounded_is_named),
        IN_FOLDER(a_value_that_is_not_finite_is_named_and_nothing_is_left),
        cmocka_unit_test(values_that_are_not_finite_are_refused),
        cmocka_unit_test(mixed_recipes_choose_as_mlx_lm_does),
        cmocka_unit_test(only_matrices_of_numbers_named_weight_are_rounded),
        cmocka_unit_test(other_recipes_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
