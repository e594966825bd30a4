/* Folders: single and sharded files, MLX's quantization, and the documents beside them. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../own_folder.h"
#include "alloc.h"
#include "checkpoint.h"
#include "json.h"

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

/* A safetensors file of zeros. */
static void write_tensors(const char *name, const char *header, size_t data_size)
{
    static uint8_t bytes[4096];
    const size_t length = strlen(header);
    memset(bytes, 0, sizeof bytes);
    bytes[0] = (uint8_t)length;
    bytes[1] = (uint8_t)(length >> 8);
    memcpy(bytes + 8, header, length);
    write_file(name, bytes, 8 + length + data_size);
}

#define TENSOR(name, dtype, shape, begin, end)                                                                         \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static ffai__checkpoint *open_folder(void)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__checkpoint_open(&checkpoint, folder, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return checkpoint;
}

static void assert_refused(ffai_status status, const char *part)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_status got = ffai__checkpoint_open(&checkpoint, folder, &err);
    if (got != status || !strstr(err.message, part))
        fail_msg("status %d, \"%s\" is not in: %s", (int)got, part, err.message);
    assert_null(checkpoint);
}

static void dense_weights_come_by_name_with_rank_rows_and_columns(void **state)
{
    (void)state;
    write_text("config.json", "{}");
    write_tensors("model.safetensors",
                  "{" TENSOR("z", "F32", "[]", 0, 4) "," TENSOR("e", "F16", "[2,3,4]", 4, 52) "," TENSOR(
                      "b", "BF16", "[5]", 52, 62) "," TENSOR("i", "I64", "[1,2]", 62, 78) "}",
                  78);
    ffai__checkpoint *checkpoint = open_folder();
    assert_int_equal(ffai__checkpoint_count(checkpoint), 4);
    const char *names[] = {"b", "e", "i", "z"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(ffai__checkpoint_weight(checkpoint, i)->name, names[i]);
    const ffai__weight *experts = ffai__checkpoint_find(checkpoint, "e");
    assert_true(experts->rank == 3 && experts->rows == 6 && experts->columns == 4);
    assert_int_equal(ffai__checkpoint_shape(checkpoint, 1)->dims[0], 2);
    const ffai__weight *vector = ffai__checkpoint_find(checkpoint, "b");
    assert_true(vector->rank == 1 && vector->rows == 1 && vector->columns == 5);
    assert_int_equal(ffai__checkpoint_find(checkpoint, "z")->rank, 0);
    assert_null(ffai__checkpoint_find(checkpoint, "y"));
    assert_int_equal(ffai__checkpoint_bytes(checkpoint), 78);
    assert_false(ffai__checkpoint_is_gguf(checkpoint));
    assert_int_equal(ffai__checkpoint_check(checkpoint, NULL), FFAI_OK);
    ffai__checkpoint_close(checkpoint);
}

static void shards_are_joined_by_the_index(void **state)
{
    (void)state;
    write_text("config.json", "{}");
    write_tensors("model-1.safetensors", "{" TENSOR("a", "U8", "[1]", 0, 1) "}", 1);
    write_tensors("model-2.safetensors", "{" TENSOR("b", "U8", "[1]", 0, 1) "}", 1);
    write_text("model.safetensors.index.json",
               "{\"weight_map\":{\"a\":\"model-1.safetensors\",\"b\":\"model-2.safetensors\"}}");
    ffai__checkpoint *checkpoint = open_folder();
    assert_int_equal(ffai__checkpoint_count(checkpoint), 2);
    ffai__checkpoint_close(checkpoint);
}

static void without_an_index_every_model_file_is_read(void **state)
{
    (void)state;
    write_text("config.json", "{}");
    write_tensors("model-a.safetensors", "{" TENSOR("a", "U8", "[1]", 0, 1) "}", 1);
    write_tensors("model-b.safetensors", "{" TENSOR("b", "U8", "[1]", 0, 1) "}", 1);
    write_tensors("adapter.safetensors", "{" TENSOR("c", "U8", "[1]", 0, 1) "}", 1);
    ffai__checkpoint *checkpoint = open_folder();
    assert_int_equal(ffai__checkpoint_count(checkpoint), 2);
    ffai__checkpoint_close(checkpoint);
    write_tensors("model.safetensors", "{" TENSOR("d", "U8", "[1]", 0, 1) "}", 1);
    checkpoint = open_folder();
    assert_int_equal(ffai__checkpoint_count(checkpoint), 1);
    ffai__checkpoint_close(checkpoint);
}

static void what_an_index_gets_wrong_is_named(void **state)
{
    (void)state;
    write_text("config.json", "{}");
    write_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"m1\",\"b\":\"m2\"}}");
    write_tensors("m1", "{" TENSOR("a", "U8", "[1]", 0, 1) "}", 1);
    assert_refused(FFAI_E_NOT_FOUND, "m2: the file is missing");
    write_tensors("m2", "{" TENSOR("a", "U8", "[1]", 0, 1) "}", 1);
    assert_refused(FFAI_E_FORMAT, "tensor \"a\" is also in");
    write_tensors("m2", "{" TENSOR("c", "U8", "[1]", 0, 1) "}", 1);
    assert_refused(FFAI_E_FORMAT, "m2: tensor \"b\" is not in it");
    write_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"../m1\"}}");
    assert_refused(FFAI_E_FORMAT, "\"../m1\" is not the name of a file");
    write_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"..\"}}");
    assert_refused(FFAI_E_FORMAT, "not the name of a file");
    write_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":1}}");
    assert_refused(FFAI_E_FORMAT, "not the name of a file");
    write_text("model.safetensors.index.json", "{}");
    assert_refused(FFAI_E_FORMAT, "weight_map");
}

static void a_folder_that_lacks_something_says_what(void **state)
{
    (void)state;
    assert_refused(FFAI_E_NOT_FOUND, "has no config.json");
    write_text("config.json", "[]");
    assert_refused(FFAI_E_FORMAT, "config.json: must hold a JSON object");
    write_text("config.json", "{}");
    assert_refused(FFAI_E_NOT_FOUND, "has no model.safetensors");
    ffai__checkpoint *checkpoint = NULL;
    assert_int_equal(ffai__checkpoint_open(&checkpoint, "/nowhere", NULL), FFAI_E_NOT_FOUND);
}

/* 2 x 64 codes of 4 bits in groups of 32. */
#define TRIPLE(module)                                                                                                 \
    "{" TENSOR(module ".weight", "U32", "[2,8]", 0, 64) "," TENSOR(                                                    \
        module ".scales", "F16", "[2,2]", 64, 72) "," TENSOR(module ".biases", "F16", "[2,2]", 72, 80) "}"

static void check_format(const char *config, int bits, int group_size, int64_t columns)
{
    write_text("config.json", config);
    ffai__checkpoint *checkpoint = open_folder();
    assert_int_equal(ffai__checkpoint_count(checkpoint), 1);
    const ffai__weight *weight = ffai__checkpoint_weight(checkpoint, 0);
    assert_int_equal(weight->packing, FFAI__MLX_AFFINE);
    assert_int_equal(weight->bits, bits);
    assert_int_equal(weight->group_size, group_size);
    assert_int_equal(weight->columns, columns);
    assert_int_equal(weight->rows, 2);
    assert_int_equal(ffai__checkpoint_bytes(checkpoint), 80);
    ffai__checkpoint_close(checkpoint);
}

static void bits_and_groups_come_from_the_config_with_its_exceptions(void **state)
{
    (void)state;
    write_tensors("model.safetensors", TRIPLE("model.a"), 80);
    check_format("{\"quantization\":{\"group_size\":32,\"bits\":4}}", 4, 32, 64);
    check_format("{\"quantization_config\":{\"group_size\":32,\"bits\":4}}", 4, 32, 64);
    check_format("{\"quantization\":{\"group_size\":32,\"bits\":4,\"mode\":\"affine\",\"model.a\":true}}", 4, 32, 64);
    check_format("{\"quantization\":{\"group_size\":64,\"bits\":4,\"model.a\":{\"group_size\":16,\"bits\":8}}}", 8, 16,
                 32);
    check_format("{\"quantization\":{\"group_size\":32,\"bits\":3,\"model.a\":{\"bits\":4}}}", 4, 32, 64);
    check_format("{\"quantization\":{\"group_size\":32,\"bits\":3,\"language_model.model.a\":{\"bits\":4}}}", 4, 32,
                 64);
    check_format("{\"quantization\":{\"group_size\":32,\"bits\":3,\"a\":{\"bits\":4}}}", 4, 32, 64);
}

static void quantization_that_does_not_fit_is_refused_with_the_numbers(void **state)
{
    (void)state;
    write_tensors("model.safetensors", TRIPLE("a"), 80);
    write_text("config.json", "{}");
    assert_refused(FFAI_E_FORMAT, "gives it no bits");
    write_text("config.json", "{\"quantization\":{\"group_size\":32,\"bits\":4,\"a\":false}}");
    assert_refused(FFAI_E_FORMAT, "gives it no bits");
    write_text("config.json", "{\"quantization\":{\"group_size\":64,\"bits\":4}}");
    assert_refused(FFAI_E_FORMAT, "[2, 8] and its scales [2, 2] do not fit 4 bits in groups of 64");
    write_text("config.json", "{\"quantization\":{\"group_size\":32,\"bits\":3}}");
    assert_refused(FFAI_E_FORMAT, "do not fit 3 bits");
    write_text("config.json", "{\"quantization\":{\"group_size\":32,\"bits\":7}}");
    assert_refused(FFAI_E_UNSUPPORTED, "bits 7");
    write_text("config.json", "{\"quantization\":{\"group_size\":33,\"bits\":4}}");
    assert_refused(FFAI_E_UNSUPPORTED, "group_size 33");
    write_text("config.json", "{\"quantization\":{\"group_size\":32,\"bits\":4,\"mode\":\"mxfp4\"}}");
    assert_refused(FFAI_E_UNSUPPORTED, "\"mxfp4\"");
    write_text("config.json", "{\"quantization\":{\"group_size\":32,\"bits\":4,\"a\":{\"mode\":\"nvfp4\"}}}");
    assert_refused(FFAI_E_UNSUPPORTED, "\"nvfp4\"");
    write_text("config.json", "{\"quantization\":{\"group_size\":32,\"bits\":4,\"a\":5}}");
    assert_refused(FFAI_E_FORMAT, "must be an object, true or false");
    write_text("config.json", "{\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}}");
    assert_refused(FFAI_E_UNSUPPORTED, "\"gptq\"");
    write_text("config.json", "{\"quantization\":[]}");
    assert_refused(FFAI_E_FORMAT, "must be an object");
}

static void a_triple_with_a_part_wrong_is_refused(void **state)
{
    (void)state;
    write_text("config.json", "{\"quantization\":{\"group_size\":32,\"bits\":4}}");
    write_tensors("model.safetensors",
                  "{" TENSOR("a.weight", "U32", "[2,8]", 0, 64) "," TENSOR("a.scales", "F16", "[2,2]", 64, 72) "}", 72);
    assert_refused(FFAI_E_UNSUPPORTED, "scales but no biases");
    write_tensors("model.safetensors",
                  "{" TENSOR("a.weight", "I32", "[2,8]", 0, 64) "," TENSOR(
                      "a.scales", "F16", "[2,2]", 64, 72) "," TENSOR("a.biases", "F16", "[2,2]", 72, 80) "}",
                  80);
    assert_refused(FFAI_E_FORMAT, "not a U32 matrix but I32");
    write_tensors("model.safetensors",
                  "{" TENSOR("a.weight", "U32", "[2,8]", 0, 64) "," TENSOR(
                      "a.scales", "F16", "[2,2]", 64, 72) "," TENSOR("a.biases", "BF16", "[2,2]", 72, 80) "}",
                  80);
    assert_refused(FFAI_E_FORMAT, "scales of F16 and biases of BF16");
    write_tensors("model.safetensors",
                  "{" TENSOR("a.weight", "U32", "[2,8]", 0, 64) "," TENSOR(
                      "a.scales", "F16", "[2,2]", 64, 72) "," TENSOR("a.biases", "F16", "[1,2]", 72, 76) "}",
                  76);
    assert_refused(FFAI_E_FORMAT, "do not fit");
}

static json_t *tokenizer_config(void)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    json_t *config = NULL;
    assert_int_equal(ffai__checkpoint_open_documents(&checkpoint, folder, &err), FFAI_OK);
    if (ffai__checkpoint_tokenizer_config(&config, checkpoint, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    ffai__checkpoint_close(checkpoint);
    return config;
}

static void assert_template(const char *expected)
{
    json_t *config = tokenizer_config();
    const char *text = json_string_value(json_object_get(config, "chat_template"));
    if (expected)
        assert_string_equal(text, expected);
    else
        assert_null(text);
    json_decref(config);
}

static void the_default_template_is_chosen_and_a_file_wins(void **state)
{
    (void)state;
    assert_template(NULL);
    write_text("tokenizer_config.json", "{\"chat_template\":\"one\"}");
    assert_template("one");
    write_text("tokenizer_config.json", "{\"chat_template\":[{\"name\":\"rag\",\"template\":\"r\"},"
                                        "{\"name\":\"default\",\"template\":\"d\"}]}");
    assert_template("d");
    json_t *config = tokenizer_config();
    assert_string_equal(json_string_value(json_object_get(json_object_get(config, "chat_templates"), "rag")), "r");
    json_decref(config);
    write_text("chat_template.jinja", "jinja\n");
    assert_template("jinja\n");
}

static void a_tokenizer_alone_can_be_opened_as_documents(void **state)
{
    (void)state;
    write_text("tokenizer.json", "{}");
    ffai__checkpoint *checkpoint = NULL;
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(ffai__checkpoint_open_documents(&checkpoint, folder, NULL), FFAI_OK);
    assert_int_equal(ffai__checkpoint_tokenizer_json(&text, &size, NULL, checkpoint, NULL), FFAI_OK);
    assert_string_equal(text, "{}");
    ffai__free(text);
    assert_non_null(ffai__checkpoint_config(checkpoint));
    ffai__checkpoint_close(checkpoint);
}

static void a_file_truncated_after_opening_is_an_error(void **state)
{
    (void)state;
    char path[256];
    static char header[] = "{" TENSOR("a", "U8", "[8192]", 0, 8192) "}";
    uint8_t *bytes = calloc(1, 8 + sizeof header + 8192);
    bytes[0] = (uint8_t)(sizeof header - 1);
    memcpy(bytes + 8, header, sizeof header - 1);
    write_text("config.json", "{}");
    write_file("model.safetensors", bytes, 8 + sizeof header - 1 + 8192);
    free(bytes);
    ffai__checkpoint *checkpoint = open_folder();
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(truncate(path, 100), 0);
    const volatile uint8_t *data = ffai__checkpoint_find(checkpoint, "a")->data;
    assert_int_equal(data[8191], 0);
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__checkpoint_check(checkpoint, &err), FFAI_E_IO);
    assert_non_null(strstr(err.message, "truncated"));
    ffai__checkpoint_close(checkpoint);
}

static void the_golden_checkpoints_open(void **state)
{
    (void)state;
    static const char *const names[] = {
        "llama/affine-3bit-g32-bf16", "llama/affine-mixed", "llama/sharded", "llama/bf16",
        "qwen2/affine-6bit-g64-f16",  "qwen3/untied"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        ffai__checkpoint *checkpoint = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        snprintf(path, sizeof path, FFAI_SOURCE_DIR "/tests/golden/%s", names[i]);
        if (ffai__checkpoint_open(&checkpoint, path, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        assert_non_null(ffai__checkpoint_find(checkpoint, "model.embed_tokens.weight"));
        ffai__checkpoint_close(checkpoint);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: cmocka puts its own signal handlers in before every test, ours goes in with the first mapping */
        IN_FOLDER(a_file_truncated_after_opening_is_an_error),
        IN_FOLDER(dense_weights_come_by_name_with_rank_rows_and_columns),
        IN_FOLDER(shards_are_joined_by_the_index),
        IN_FOLDER(without_an_index_every_model_file_is_read),
        IN_FOLDER(what_an_index_gets_wrong_is_named),
        IN_FOLDER(a_folder_that_lacks_something_says_what),
        IN_FOLDER(bits_and_groups_come_from_the_config_with_its_exceptions),
        IN_FOLDER(quantization_that_does_not_fit_is_refused_with_the_numbers),
        IN_FOLDER(a_triple_with_a_part_wrong_is_refused),
        IN_FOLDER(the_default_template_is_chosen_and_a_file_wins),
        IN_FOLDER(a_tokenizer_alone_can_be_opened_as_documents),
        cmocka_unit_test(the_golden_checkpoints_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
