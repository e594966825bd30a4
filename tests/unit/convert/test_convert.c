/* Conversion: the same codes and values on the other side, documents that say so, and nothing left behind. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../own_folder.h"
#include "alloc.h"
#include "checkpoint.h"
#include "convert.h"
#include "file_map.h"

#define GOLDEN FFAI_SOURCE_DIR "/tests/golden/"
#define DATA   FFAI_SOURCE_DIR "/tests/data/formats/"

static int entries(const char *path)
{
    int count = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return count;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static ffai__checkpoint *open_path(const char *path)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__checkpoint_open(&checkpoint, path, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return checkpoint;
}

static void convert(const char *source, const ffai__convert_options *options)
{
    const ffai__convert_options standard = FFAI__CONVERT_OPTIONS_INIT;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__convert(source, destination, options ? options : &standard, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_int_equal(entries(folder), 1);
}

static void assert_refused(const char *source, const ffai__convert_options *options, ffai_status status,
                           const char *part)
{
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_status got = ffai__convert(source, destination, options, &err);
    if (got != status || !strstr(err.message, part))
        fail_msg("status %d, \"%s\" is not in: %s", (int)got, part, err.message);
}

/* ---- the same numbers ---- */

enum { MOST_COLUMNS = 4096 };

static void assert_same_floats(const float *a, const float *b, int64_t count, const ffai__weight *weight, int64_t row)
{
    for (int64_t i = 0; i < count; i++) {
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s row %d, %d: %.9g and %.9g", weight->name, (int)row, (int)i, (double)a[i], (double)b[i]);
    }
}

static void assert_same_codes(const ffai__weight *a, const ffai__weight *b, int64_t row)
{
    static uint8_t codes[2][MOST_COLUMNS];
    static float scales[2][MOST_COLUMNS];
    static float biases[2][MOST_COLUMNS];
    ffai__weight_read_codes(codes[0], scales[0], biases[0], a, row);
    ffai__weight_read_codes(codes[1], scales[1], biases[1], b, row);
    assert_memory_equal(codes[0], codes[1], (size_t)a->columns);
    assert_same_floats(scales[0], scales[1], a->columns / a->group_size, a, row);
    assert_same_floats(biases[0], biases[1], a->columns / a->group_size, a, row);
}

static void assert_same_weight(const ffai__weight *a, const ffai__weight *b)
{
    static float values[2][MOST_COLUMNS];
    assert_true(a->rank == b->rank && a->rows == b->rows && a->columns == b->columns);
    assert_true(a->bits == b->bits && a->group_size == b->group_size);
    assert_int_equal(b->rope_heads, 0);
    assert_true(a->columns <= MOST_COLUMNS);
    for (int64_t row = 0; row < a->rows; row++) {
        if (ffai__weight_is_affine(a))
            assert_same_codes(a, b, row);
        ffai__weight_read(values[0], a, row);
        ffai__weight_read(values[1], b, row);
        assert_same_floats(values[0], values[1], a->columns, a, row);
    }
}

static void assert_same_weights(const char *source)
{
    ffai__checkpoint *a = open_path(source);
    ffai__checkpoint *b = open_path(destination);
    assert_int_equal(ffai__checkpoint_count(a), ffai__checkpoint_count(b));
    for (size_t i = 0; i < ffai__checkpoint_count(a); i++) {
        assert_string_equal(ffai__checkpoint_weight(a, i)->name, ffai__checkpoint_weight(b, i)->name);
        assert_same_weight(ffai__checkpoint_weight(a, i), ffai__checkpoint_weight(b, i));
    }
    ffai__checkpoint_close(a);
    ffai__checkpoint_close(b);
}

static const char *const sources[] = {
    GOLDEN "gguf/F32.gguf",
    GOLDEN "gguf/F16.gguf",
    GOLDEN "gguf/BF16.gguf",
    GOLDEN "gguf/Q4_0.gguf",
    GOLDEN "gguf/Q4_1.gguf",
    GOLDEN "gguf/Q5_0.gguf",
    GOLDEN "gguf/Q5_1.gguf",
    GOLDEN "gguf/Q8_0.gguf",
    GOLDEN "gguf/Q5_K.gguf",
    GOLDEN "gguf/llama3-rope.gguf",
    GOLDEN "gguf/qwen2-Q4_1.gguf",
    GOLDEN "gguf/qwen3-Q8_0.gguf",
    DATA "llama-bpe.gguf",
    DATA "smollm.gguf",
    GOLDEN "llama/affine-mixed",
    GOLDEN "llama/affine-3bit-g64-f32",
    GOLDEN "llama/affine-5bit-g64-bf16",
    GOLDEN "llama/sharded",
};

static void every_type_arrives_with_the_same_codes_and_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        convert(sources[i], NULL);
        assert_same_weights(sources[i]);
        remove_tree(destination);
    }
}

static void shards_hold_the_same(void **state)
{
    (void)state;
    ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    options.shard_bytes = 10000;
    convert(DATA "smollm.gguf", &options);
    assert_true(entries(destination) > 6);
    assert_same_weights(DATA "smollm.gguf");
}

static void a_second_conversion_changes_nothing(void **state)
{
    (void)state;
    char first[256];
    snprintf(first, sizeof first, "%s/first", folder);
    convert(DATA "qwen2.gguf", NULL);
    assert_int_equal(rename(destination, first), 0);
    const ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    assert_int_equal(ffai__convert(first, destination, &options, NULL), FFAI_OK);
    static const char *const names[] = {"model.safetensors", "config.json", "tokenizer.json", "generation_config.json",
                                        "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *bytes[2] = {NULL, NULL};
        size_t sizes[2] = {0, 0};
        const char *folders[2] = {first, destination};
        for (int f = 0; f < 2; f++) {
            char *path = ffai__path_join(folders[f], names[i]);
            assert_int_equal(ffai__file_read(&bytes[f], &sizes[f], path, 1 << 24, NULL), FFAI_OK);
            ffai__free(path);
        }
        assert_int_equal(sizes[0], sizes[1]);
        assert_memory_equal(bytes[0], bytes[1], sizes[0]);
        ffai__free(bytes[0]);
        ffai__free(bytes[1]);
    }
}

/* Q8_0's bias is -128 d: beyond 511 it is no f16. */
static void a_bias_that_f16_cannot_hold_makes_the_scales_f32(void **state)
{
    (void)state;
    char path[256];
    char *bytes = NULL;
    size_t size = 0;
    ffai__checkpoint *source = open_path(DATA "llama-bpe.gguf");
    const ffai__weight *weight = ffai__checkpoint_find(source, "model.layers.0.mlp.up_proj.weight");
    const uint16_t thousand = ffai__f32_to_f16(1000.0f);
    uint8_t block[34];
    memcpy(block, weight->data, sizeof block);
    assert_int_equal(ffai__file_read(&bytes, &size, DATA "llama-bpe.gguf", 1 << 20, NULL), FFAI_OK);
    memcpy(memmem(bytes, size, block, sizeof block), &thousand, sizeof thousand);
    ffai__checkpoint_close(source);
    snprintf(path, sizeof path, "%s/big.gguf", folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    ffai__free(bytes);
    const ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    assert_int_equal(ffai__convert(path, destination, &options, NULL), FFAI_OK);
    assert_same_weights(path);
    ffai__checkpoint *result = open_path(destination);
    assert_int_equal(ffai__checkpoint_find(result, "model.layers.0.mlp.up_proj.weight")->scale_dtype, FFAI__F32);
    assert_int_equal(ffai__checkpoint_find(result, "model.layers.0.mlp.gate_proj.weight")->scale_dtype, FFAI__F16);
    ffai__checkpoint_close(result);
}

static void assert_cast(ffai__checkpoint *source, ffai__checkpoint *result, ffai__dtype dtype)
{
    for (size_t i = 0; i < ffai__checkpoint_count(source); i++) {
        static float from[MOST_COLUMNS];
        static float to[MOST_COLUMNS];
        static uint8_t cast[4 * MOST_COLUMNS];
        const ffai__weight *a = ffai__checkpoint_weight(source, i);
        const ffai__weight *b = ffai__checkpoint_weight(result, i);
        assert_true(b->packing == FFAI__DENSE && b->dtype == dtype);
        for (int64_t row = 0; row < a->rows; row++) {
            ffai__weight_read(from, a, row);
            ffai__from_f32(cast, b->dtype, from, (size_t)a->columns);
            ffai__to_f32(from, cast, b->dtype, (size_t)a->columns);
            ffai__weight_read(to, b, row);
            assert_same_floats(from, to, a->columns, a, row);
        }
    }
}

static void a_dtype_dequantizes_and_casts(void **state)
{
    (void)state;
    static const struct {
        ffai__convert_dtype option;
        ffai__dtype dtype;
        const char *name;
    } cases[] = {{FFAI__CONVERT_BF16, FFAI__BF16, "bfloat16"},
                 {FFAI__CONVERT_F16, FFAI__F16, "float16"},
                 {FFAI__CONVERT_F32, FFAI__F32, "float32"}};
    ffai__checkpoint *source = open_path(GOLDEN "llama/affine-mixed");
    for (size_t c = 0; c < 3; c++) {
        ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
        options.dtype = cases[c].option;
        convert(GOLDEN "llama/affine-mixed", &options);
        ffai__checkpoint *result = open_path(destination);
        const json_t *config = ffai__checkpoint_config(result);
        const json_t *name = json_object_get(config, "dtype");
        assert_null(json_object_get(config, "quantization"));
        assert_string_equal(json_string_value(name ? name : json_object_get(config, "torch_dtype")), cases[c].name);
        assert_cast(source, result, cases[c].dtype);
        ffai__checkpoint_close(result);
        remove_tree(destination);
    }
    ffai__checkpoint_close(source);
}

/* MLX has no groups of 16: Q6_K's values arrive as numbers, or rounded anew. */
static void groups_of_16_need_a_width_or_a_dtype(void **state)
{
    (void)state;
    static const char source[] = GOLDEN "gguf/Q4_K.gguf";
    ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    assert_refused(source, &options, FFAI_E_UNSUPPORTED, "give --bits");
    assert_int_equal(entries(folder), 0);
    options.dtype = FFAI__CONVERT_F32;
    convert(source, &options);
    ffai__checkpoint *k = open_path(source);
    ffai__checkpoint *result = open_path(destination);
    assert_cast(k, result, FFAI__F32);
    ffai__checkpoint_close(result);
    ffai__checkpoint_close(k);
    remove_tree(destination);
    options = (ffai__convert_options)FFAI__CONVERT_OPTIONS_INIT;
    options.recipe = (ffai__recipe){.bits = 4, .high_bits = 4, .group_size = 64};
    convert(source, &options);
    result = open_path(destination);
    const ffai__weight *weight = ffai__checkpoint_find(result, "model.layers.0.mlp.down_proj.weight");
    assert_true(weight->packing == FFAI__MLX_AFFINE && weight->bits == 4 && weight->group_size == 64);
    ffai__checkpoint_close(result);
}

/* ---- documents ---- */

static void the_config_says_the_common_format_and_the_exceptions(void **state)
{
    (void)state;
    convert(GOLDEN "llama/affine-mixed", NULL);
    ffai__checkpoint *result = open_path(destination);
    const json_t *quantization = json_object_get(ffai__checkpoint_config(result), "quantization");
    const double bits = json_number_value(json_object_get(quantization, "bits"));
    size_t common = 0;
    size_t affine = 0;
    for (size_t i = 0; i < ffai__checkpoint_count(result); i++) {
        const ffai__weight *weight = ffai__checkpoint_weight(result, i);
        affine += ffai__weight_is_affine(weight);
        common += ffai__weight_is_affine(weight) && weight->bits == (int)bits;
    }
    assert_true(common > 0 && json_object_size(quantization) == 3 + affine - common);
    assert_true(json_equal(quantization, json_object_get(ffai__checkpoint_config(result), "quantization_config")));
    ffai__checkpoint_close(result);
}

static void numbers_in_the_config_keep_their_kind(void **state)
{
    (void)state;
    char *path = ffai__path_join(destination, "config.json");
    convert(GOLDEN "llama/rope-llama3", NULL);
    json_t *a = json_load_file(GOLDEN "llama/rope-llama3/config.json", 0, NULL);
    json_t *b = json_load_file(path, 0, NULL);
    assert_non_null(a);
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
    ffai__free(path);
}

static void several_templates_are_a_list_again(void **state)
{
    (void)state;
    char *path = ffai__path_join(destination, "tokenizer_config.json");
    convert(DATA "llama-bpe.gguf", NULL);
    json_t *config = json_load_file(path, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(config, "chat_template")), 2);
    json_decref(config);
    ffai__free(path);
    ffai__checkpoint *result = open_path(destination);
    assert_int_equal(ffai__checkpoint_tokenizer_config(&config, result, NULL), FFAI_OK);
    assert_string_equal(json_string_value(json_object_get(config, "chat_template")), "A");
    json_decref(config);
    ffai__checkpoint_close(result);
}

static void further_files_of_a_tokenizer_come_along(void **state)
{
    (void)state;
    char path[256];
    char *bytes = NULL;
    size_t size = 0;
    char *first = ffai__format("%s/first", folder);
    convert(DATA "qwen2.gguf", NULL);
    assert_int_equal(rename(destination, first), 0);
    snprintf(path, sizeof path, "%s/special_tokens_map.json", first);
    write_text(path, "{\"eos_token\": \"<a>\"}\n");
    snprintf(path, sizeof path, "%s/training_args.bin", first);
    write_text(path, "not ours");
    const ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    assert_int_equal(ffai__convert(first, destination, &options, NULL), FFAI_OK);
    snprintf(path, sizeof path, "%s/special_tokens_map.json", destination);
    assert_int_equal(ffai__file_read(&bytes, &size, path, 100, NULL), FFAI_OK);
    assert_string_equal(bytes, "{\"eos_token\": \"<a>\"}\n");
    snprintf(path, sizeof path, "%s/training_args.bin", destination);
    assert_int_equal(ffai__path_kind_of(path), FFAI__PATH_MISSING);
    ffai__free(bytes);
    ffai__free(first);
}

/* ---- the destination ---- */

typedef struct {
    int calls;
    int until; /* the call that cancels, 0 for none */
    uint64_t done;
    uint64_t total;
} counter;

static bool count(void *context, uint64_t done, uint64_t total)
{
    counter *c = context;
    assert_true(done >= c->done && done <= total);
    c->done = done;
    c->total = total;
    return ++c->calls != c->until;
}

static void a_cancelled_conversion_leaves_nothing(void **state)
{
    (void)state;
    counter all = {0, 0, 0, 0};
    ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    options.progress = count;
    options.context = &all;
    options.shard_bytes = 10000;
    convert(DATA "smollm.gguf", &options);
    assert_int_equal(all.done, all.total);
    remove_tree(destination);
    for (int until = 1; until <= all.calls; until++) {
        counter some = {0, until, 0, 0};
        options.context = &some;
        assert_refused(DATA "smollm.gguf", &options, FFAI_E_CANCELLED, "cancelled");
        assert_int_equal(entries(folder), 0);
    }
}

static void what_a_killed_conversion_left_is_removed_and_what_is_being_written_stays(void **state)
{
    char left[512], written[512], other[512], file[600];
    ffai_error err = FFAI_ERROR_INIT;
    const ffai__convert_options standard = FFAI__CONVERT_OPTIONS_INIT;
    (void)state;
    snprintf(left, sizeof left, "%s.partial-1-0", destination);
    snprintf(written, sizeof written, "%s.partial-1-1", destination);
    snprintf(other, sizeof other, "%s.partial-mine", destination);
    assert_true(mkdir(left, 0777) == 0 && mkdir(written, 0777) == 0 && mkdir(other, 0777) == 0);
    snprintf(file, sizeof file, "%s/model.safetensors", left);
    write_text(file, "half");
    const int descriptor = open(written, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(descriptor, LOCK_EX), 0);
    assert_int_equal(ffai__convert(DATA "qwen2.gguf", destination, &standard, &err), FFAI_OK);
    assert_int_not_equal(access(left, F_OK), 0);
    assert_int_equal(access(written, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
    close(descriptor);
    ffai__convert_options again = standard;
    again.overwrite = true;
    assert_int_equal(ffai__convert(DATA "qwen2.gguf", destination, &again, &err), FFAI_OK);
    assert_int_not_equal(access(written, F_OK), 0);
    rmdir(other);
}

static bool die_at(void *context, uint64_t done, uint64_t total)
{
    counter *c = context;
    (void)done;
    (void)total;
    if (++c->calls == c->until)
        raise(SIGKILL);
    return true;
}

static void a_killed_conversion_leaves_nothing_that_looks_complete(void **state)
{
    (void)state;
    bool killed = true;
    for (int until = 1; killed; until++) {
        counter some = {0, until, 0, 0};
        ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
        int status = 1;
        options.progress = die_at;
        options.context = &some;
        const pid_t child = fork();
        if (child == 0)
            _exit(ffai__convert(DATA "smollm.gguf", destination, &options, NULL) != FFAI_OK);
        assert_int_equal(waitpid(child, &status, 0), child);
        killed = WIFSIGNALED(status);
        assert_true(until > 1 || killed);
        assert_true(killed || status == 0);
        assert_int_equal(access(destination, F_OK) == 0, !killed);
    }
}

static void a_failed_conversion_leaves_what_was_there(void **state)
{
    (void)state;
    ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    options.overwrite = true;
    convert(DATA "qwen2.gguf", NULL);
    counter some = {0, 5, 0, 0};
    options.progress = count;
    options.context = &some;
    assert_refused(DATA "smollm.gguf", &options, FFAI_E_CANCELLED, "cancelled");
    assert_int_equal(entries(folder), 1);
    assert_same_weights(DATA "qwen2.gguf");
    options.progress = NULL;
    convert(DATA "smollm.gguf", &options);
    assert_same_weights(DATA "smollm.gguf");
}

static void only_a_checkpoints_folder_is_overwritten_and_only_when_asked(void **state)
{
    (void)state;
    char inner[256];
    ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    assert_int_equal(mkdir(destination, 0777), 0);
    convert(DATA "qwen2.gguf", NULL); /* over an empty folder */
    assert_refused(DATA "qwen2.gguf", &options, FFAI_E_ARGUMENT, "exists and is not empty");
    options.overwrite = true;
    snprintf(inner, sizeof inner, "%s/photos", destination);
    assert_int_equal(mkdir(inner, 0777), 0);
    assert_refused(DATA "qwen2.gguf", &options, FFAI_E_ARGUMENT, "will not be overwritten");
    rmdir(inner);
    snprintf(inner, sizeof inner, "%s/config.json", destination);
    unlink(inner);
    assert_refused(DATA "qwen2.gguf", &options, FFAI_E_ARGUMENT, "will not be overwritten");
    remove_tree(destination);
    write_text(destination, "a file");
    assert_refused(DATA "qwen2.gguf", &options, FFAI_E_ARGUMENT, "is not a folder");
    assert_int_equal(entries(folder), 1);
}

static void a_folder_can_be_converted_onto_itself(void **state)
{
    (void)state;
    ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    options.overwrite = true;
    convert(DATA "qwen2.gguf", NULL);
    convert(destination, &options);
    assert_same_weights(DATA "qwen2.gguf");
}

static void a_source_or_place_that_is_not_there_is_named(void **state)
{
    (void)state;
    const ffai__convert_options options = FFAI__CONVERT_OPTIONS_INIT;
    assert_refused("/nowhere", &options, FFAI_E_NOT_FOUND, "/nowhere");
    strcpy(destination, "/nowhere/at/all");
    assert_refused(DATA "qwen2.gguf", &options, FFAI_E_IO, "/nowhere/at/all: cannot be created");
    strcpy(destination, "");
    assert_refused(DATA "qwen2.gguf", &options, FFAI_E_ARGUMENT, "empty");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_type_arrives_with_the_same_codes_and_values),
        IN_FOLDER(shards_hold_the_same),
        IN_FOLDER(a_second_conversion_changes_nothing),
        IN_FOLDER(a_bias_that_f16_cannot_hold_makes_the_scales_f32),
        IN_FOLDER(a_dtype_dequantizes_and_casts),
        IN_FOLDER(groups_of_16_need_a_width_or_a_dtype),
        IN_FOLDER(the_config_says_the_common_format_and_the_exceptions),
        IN_FOLDER(numbers_in_the_config_keep_their_kind),
        IN_FOLDER(several_templates_are_a_list_again),
        IN_FOLDER(further_files_of_a_tokenizer_come_along),
        IN_FOLDER(a_cancelled_conversion_leaves_nothing),
        IN_FOLDER(a_killed_conversion_leaves_nothing_that_looks_complete),
        IN_FOLDER(what_a_killed_conversion_left_is_removed_and_what_is_being_written_stays),
        IN_FOLDER(a_failed_conversion_leaves_what_was_there),
        IN_FOLDER(only_a_checkpoints_folder_is_overwritten_and_only_when_asked),
        IN_FOLDER(a_folder_can_be_converted_onto_itself),
        IN_FOLDER(a_source_or_place_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
