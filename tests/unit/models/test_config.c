// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "family.h"

static const char complete[] = "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", "
                               "\"hidden_size\": 64, \"intermediate_size\": 128, \"num_hidden_layers\": 2, "
                               "\"num_attention_heads\": 4, \"vocab_size\": 100%s}";

/* The configuration with more fields appended; the caller frees *json. */
static ffai_status read_config(ffai__config *config, json_t **json, const char *more, ffai_error *err)
{
    char text[2048];
    snprintf(text, sizeof text, complete, more);
    *json = NULL;
    const ffai_status status = ffai__json_parse(json, text, strlen(text), "config.json", err);
    return status == FFAI_OK ? ffai__config_read(config, *json, "config.json", err) : status;
}

static void absent_fields_get_the_values_that_transformers_gives_them(void **state)
{
    (void)state;
    ffai__config c;
    json_t *json = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(read_config(&c, &json, "", &err), FFAI_OK);
    assert_int_equal(c.num_key_value_heads, 4);
    assert_int_equal(c.head_dim, 16);
    assert_int_equal(c.max_position_embeddings, 2048);
    assert_float_equal(c.rope_theta, 10000, 0);
    assert_float_equal(c.rms_norm_eps, 1e-6, 1e-12);
    assert_int_equal(c.tie_word_embeddings, -1);
    assert_int_equal(c.rope_scaling.rope_type, FFAI__ROPE_TYPE_DEFAULT);
    json_decref(json);
}

static void bad_fields_are_named_with_what_they_may_be(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        const char *message;
    } cases[] = {
        {", \"num_key_value_heads\": 3", "\"num_key_value_heads\": 3 does not divide"},
        {", \"num_key_value_heads\": 0", "\"num_key_value_heads\": must be an integer from 1"},
        {", \"num_key_value_heads\": \"4\"", "\"num_key_value_heads\": must be an integer"},
        {", \"num_key_value_heads\": 2.5", "\"num_key_value_heads\": must be an integer"},
        {", \"head_dim\": -8", "\"head_dim\": must be an integer from 1"},
        {", \"head_dim\": 7", "rotary dimensions"},
        {", \"head_dim\": 1e300", "\"head_dim\": must be an integer"},
        {", \"rms_norm_eps\": \"small\"", "\"rms_norm_eps\": must be a number"},
        {", \"rms_norm_eps\": -1", "\"rms_norm_eps\": must be a number from 0"},
        {", \"rope_theta\": 0", "\"rope_theta\": must be a number from 1"},
        {", \"attention_bias\": 1", "\"attention_bias\": must be true or false"},
        {", \"tie_word_embeddings\": \"no\"", "\"tie_word_embeddings\": must be true or false"},
        {", \"rope_scaling\": []", "\"rope_scaling\": must be an object"},
        {", \"rope_scaling\": {\"factor\": 2}", "has no \"rope_type\""},
        {", \"rope_scaling\": {\"type\": \"spiral\"}", "\"spiral\" is not supported; supported are"},
        {", \"rope_scaling\": {\"type\": \"longrope\"}", "long_factor\": must be an array of 8 numbers"},
        {", \"rope_scaling\": {\"type\": \"longrope\", \"long_factor\": [1,1,1,1,1,1,1,0]}", "element 7"},
        {", \"rope_traditional\": true", "\"rope_traditional\": true is not supported"},
        {", \"hidden_act\": 3", "\"hidden_act\": must be a string"},
        {", \"sliding_window\": -5", "\"sliding_window\": must be an integer from 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ffai__config c;
        json_t *json = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        if (read_config(&c, &json, cases[i].more, &err) == FFAI_OK)
            fail_msg("accepted: %s", cases[i].more);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].more, err.message, cases[i].message);
        json_decref(json);
    }
}

static void a_missing_size_is_named(void **state)
{
    (void)state;
    ffai__config c;
    ffai_error err = FFAI_ERROR_INIT;
    json_t *json = json_loads("{\"model_type\": \"llama\", \"hidden_size\": 64}", 0, NULL);
    assert_int_equal(ffai__config_read(&c, json, "m/config.json", &err), FFAI_E_FORMAT);
    assert_string_equal(err.message, "m/config.json: field \"intermediate_size\": is missing");
    json_decref(json);
}

static void newer_files_keep_theta_in_rope_parameters(void **state)
{
    (void)state;
    ffai__config c;
    json_t *json = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(read_config(&c, &json,
                                 ", \"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4, "
                                 "\"rope_theta\": 50000}",
                                 &err),
                     FFAI_OK);
    assert_float_equal(c.rope_theta, 50000, 0);
    assert_float_equal(c.rope_scaling.factor, 4, 0);
    json_decref(json);
}

static void layer_types_decide_which_layers_slide(void **state)
{
    (void)state;
    ffai__config c;
    json_t *json = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(read_config(&c, &json,
                                 ", \"sliding_window\": 32, \"layer_types\": [\"full_attention\", "
                                 "\"sliding_attention\"]",
                                 &err),
                     FFAI_OK);
    assert_int_equal(ffai__config_window(&c, 0, true), 0);
    assert_int_equal(ffai__config_window(&c, 1, false), 32);
    assert_int_equal(ffai__config_window(&c, 2, true), 32); /* the list says nothing of it */
    json_decref(json);
}

static void the_registry_asks_the_architecture_before_the_model_type(void **state)
{
    (void)state;
    const ffai__family *family = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai__config both = {.path = "config.json", .architecture = "Qwen3ForCausalLM", .model_type = "llama"};
    assert_int_equal(ffai__family_find(&family, &both, &err), FFAI_OK);
    assert_string_equal(family->name, "qwen3");
    const ffai__config type_only = {.path = "config.json", .model_type = "qwen2"};
    assert_int_equal(ffai__family_find(&family, &type_only, &err), FFAI_OK);
    assert_string_equal(family->name, "qwen2");
    const ffai__config unknown = {.path = "config.json", .architecture = "MambaForCausalLM", .model_type = "mamba"};
    assert_int_equal(ffai__family_find(&family, &unknown, &err), FFAI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "unsupported architecture"));
    assert_non_null(strstr(err.message, "MambaForCausalLM"));
    assert_non_null(strstr(err.message, "LlamaForCausalLM"));
}

static void every_family_is_complete(void **state)
{
    (void)state;
    size_t count = 0;
    const ffai__family *const *families = ffai__families(&count);
    assert_true(count >= 4);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(families[i]->name);
        assert_non_null(families[i]->architectures[0]);
        assert_non_null(families[i]->model_types[0]);
        assert_non_null(families[i]->record);
        assert_true(families[i]->capabilities & FFAI__TEXT_OUT);
        assert_true(families[i]->defaults.prefill_step_size >= 1);
        assert_true(families[i]->defaults.max_tokens >= 1);
    }
}

/* The tables of a configuration with head_dim 16. */
static void check_tables(const char *more, const double expected[8], double attention_factor)
{
    ffai__config c;
    json_t *json = NULL;
    ffai__recorder *r = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (read_config(&c, &json, more, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ffai__recorder_create(&r, NULL, NULL, NULL, "the test", &err), FFAI_OK);
    const ffai__rope rope = ffai__config_rope(r, &c);
    for (int i = 0; i < 8; i++)
        assert_float_equal((float)((double)rope.inv_freq[i] / expected[i]), 1, 1e-5F);
    assert_float_equal(rope.attention_factor, (float)attention_factor, 1e-6F);
    ffai__recorder_free(r);
    json_decref(json);
}

/* llama3 and yarn: what transformers 5.23's ROPE_INIT_FUNCTIONS give; the others follow from the plain table. */
static void rotary_tables_equal_the_references(void **state)
{
    (void)state;
    const double plain[8] = {1.0, 0.31622776, 0.1, 0.031622775, 0.01, 0.0031622776, 0.001, 0.00031622776};
    check_tables("", plain, 1);
    double linear[8];
    for (int i = 0; i < 8; i++)
        linear[i] = plain[i] / 4;
    check_tables(", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 4}", linear, 1);
    check_tables(", \"rope_scaling\": {\"rope_type\": \"dynamic\", \"factor\": 4}", plain, 1);
    double longrope[8];
    for (int i = 0; i < 8; i++)
        longrope[i] = plain[i] / (1 + i);
    check_tables(", \"max_position_embeddings\": 4096, \"rope_scaling\": {\"type\": \"su\", "
                 "\"original_max_position_embeddings\": 1024, \"long_factor\": [1,2,3,4,5,6,7,8]}",
                 longrope, sqrt(1 + log(4.0) / log(1024.0)));
    const double llama3[8] = {1.0, 0.31622776, 0.1, 0.0066131069, 0.00125, 0.00039528473, 0.000125, 3.9528473e-05};
    check_tables(", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
                 "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 256}",
                 llama3, 1);
    const double yarn[8] = {1.0, 0.24705294, 0.056250002, 0.01087033, 0.00125, 0.00039528473, 0.000125, 3.9528473e-05};
    check_tables(", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8, "
                 "\"original_max_position_embeddings\": 256}",
                 yarn, 1.2079441541679836);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_fields_get_the_values_that_transformers_gives_them),
        cmocka_unit_test(bad_fields_are_named_with_what_they_may_be),
        cmocka_unit_test(a_missing_size_is_named),
        cmocka_unit_test(newer_files_keep_theta_in_rope_parameters),
        cmocka_unit_test(layer_types_decide_which_layers_slide),
        cmocka_unit_test(the_registry_asks_the_architecture_before_the_model_type),
        cmocka_unit_test(every_family_is_complete),
        cmocka_unit_test(rotary_tables_equal_the_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
