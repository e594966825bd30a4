/* Checkpoints with encoders of images beside the text model: what is read of them. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ffai/ffai.h>

#include "../own_folder.h"
#include "file_map.h"

#define LLAVA   FFAI_SOURCE_DIR "/tests/golden/llama/llava"
#define MISTRAL FFAI_SOURCE_DIR "/tests/golden/mistral/mistral3-affine-4bit"

static const char *const text_file = "model-00001-of-00002.safetensors";
static const char *const vision_file = "model-00002-of-00002.safetensors"; /* the encoder and the projector */

static void copy_file(const char *from, const char *name)
{
    char path[512];
    char *bytes = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", from, name);
    assert_int_equal(ffai__file_read(&bytes, &size, path, 1u << 20, NULL), FFAI_OK);
    write_file(name, bytes, size);
    ffai_free(bytes);
}

static void copy_llava(void)
{
    copy_file(LLAVA, "config.json");
    copy_file(LLAVA, "model.safetensors.index.json");
    copy_file(LLAVA, text_file);
    copy_file(LLAVA, vision_file);
}

/* Once the headers are read, before any weight is: the file has no bytes left. */
static bool empty_file(void *context, const ffai_load_event *event)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, (const char *)context);
    return event->stage != FFAI_LOAD_PLANNING || truncate(path, 0) == 0;
}

static ffai_status load_while_it_empties(ffai_model **model, const char *file, ffai_error *err)
{
    const ffai_model_options options = {.backend = "cpu",
                                        .threads = 1,
                                        .without_tokenizer = true,
                                        .on_event = empty_file,
                                        .context = (void *)(uintptr_t)file};
    copy_llava();
    return ffai_model_load(model, folder, &options, err);
}

/* The text model's bytes are missed when they vanish, the encoder's are not. */
static void no_byte_of_an_encoder_is_read(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    ffai_session *session = NULL;
    ffai_sequence sequence = 0;
    const float *logits = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(load_while_it_empties(&model, text_file, &err), FFAI_E_IO);
    assert_non_null(strstr(err.message, text_file));
    if (load_while_it_empties(&model, vision_file, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ffai_session_open(&session, model, NULL, NULL), FFAI_OK);
    assert_int_equal(ffai_sequence_open(&sequence, session, NULL), FFAI_OK);
    const ffai_row row = {7, sequence, true, NULL};
    assert_int_equal(ffai_forward(&logits, session, &row, 1, &err), FFAI_OK);
    assert_true(logits[0] == logits[0]);
    ffai_session_close(session);
    ffai_model_free(model);
}

/* The text file with its tensors under another prefix, which is no longer: spaces take the rest of the header. */
static void write_with_prefix(const char *prefix)
{
    static const char from[] = "\"model.language_model.";
    char path[512];
    char *bytes = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", LLAVA, text_file);
    assert_int_equal(ffai__file_read(&bytes, &size, path, 1u << 20, NULL), FFAI_OK);
    const size_t header = 8 + (size_t)(uint8_t)bytes[0] + ((size_t)(uint8_t)bytes[1] << 8);
    size_t to = 8;
    for (size_t at = 8; at < header;) {
        if (memcmp(bytes + at, from, sizeof from - 1) != 0) {
            bytes[to++] = bytes[at++];
            continue;
        }
        bytes[to++] = '"';
        memcpy(bytes + to, prefix, strlen(prefix));
        to += strlen(prefix);
        at += sizeof from - 1;
    }
    memset(bytes + to, ' ', header - to);
    write_file(text_file, bytes, size);
    ffai_free(bytes);
}

static void first_logits(float logits[8], const char *path)
{
    ffai_model *model = NULL;
    ffai_session *session = NULL;
    ffai_sequence sequence = 0;
    const float *all = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_row row = {7, 0, true, NULL};
    const ffai_model_options options = {.backend = "cpu", .threads = 1, .without_tokenizer = true};
    if (ffai_model_load(&model, path, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ffai_session_open(&session, model, NULL, NULL), FFAI_OK);
    assert_int_equal(ffai_sequence_open(&sequence, session, NULL), FFAI_OK);
    assert_int_equal(sequence, row.sequence);
    assert_int_equal(ffai_forward(&all, session, &row, 1, NULL), FFAI_OK);
    memcpy(logits, all, 8 * sizeof *logits);
    ffai_session_close(session);
    ffai_model_free(model);
}

/* As transformers writes them, and mlx-vlm. */
static void text_models_have_their_names_in_several_places(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"model.text_model.", "language_model.model.", "language_model."};
    float expected[8];
    first_logits(expected, LLAVA);
    copy_file(LLAVA, "config.json");
    copy_file(LLAVA, vision_file);
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        float logits[8];
        write_with_prefix(prefixes[i]);
        first_logits(logits, folder);
        assert_memory_equal(logits, expected, sizeof expected);
    }
}

static void an_encoder_is_no_part_of_the_memory_that_is_needed(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    ffai_model_info info;
    struct stat text;
    const ffai_model_options options = {.backend = "ref", .without_tokenizer = true};
    assert_int_equal(ffai_model_load(&model, LLAVA, &options, NULL), FFAI_OK);
    ffai_model_get_info(&info, model);
    assert_int_equal(stat(LLAVA "/model-00001-of-00002.safetensors", &text), 0);
    assert_true(info.weight_bytes < (uint64_t)text.st_size && info.weight_bytes > (uint64_t)text.st_size - 4096);
    assert_int_equal(info.capabilities, FFAI_TEXT_IN | FFAI_TEXT_OUT);
    ffai_model_free(model);
}

static void inspecting_declares_what_is_skipped(void **state)
{
    (void)state;
    static const char *const models[] = {LLAVA, MISTRAL};
    for (size_t i = 0; i < 2; i++) {
        char *text = NULL;
        assert_int_equal(ffai_model_inspect(&text, models[i], false, NULL), FFAI_OK);
        assert_non_null(strstr(text, "vision, 3 tensors, 5.18 kB; projector, 2 tensors, 4.22 kB"));
        ffai_free(text);
    }
}

static void wanting_images_is_refused_by_name(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_model_options options = {.capabilities = FFAI_TEXT_IN | FFAI_IMAGE_IN};
    assert_int_equal(ffai_model_load(&model, LLAVA, &options, &err), FFAI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "llama/llava"));
    assert_non_null(strstr(err.message, "text only"));
}

static void refuse(const char *config, const char *message)
{
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    copy_llava();
    write_file("config.json", config, strlen(config));
    assert_int_not_equal(ffai_model_load(&model, folder, NULL, &err), FFAI_OK);
    if (!strstr(err.message, message))
        fail_msg("\"%s\" does not say \"%s\"", err.message, message);
}

static void text_models_that_compute_otherwise_are_refused_by_name(void **state)
{
    (void)state;
    refuse("{\"architectures\": [\"Qwen2_5_VLForConditionalGeneration\"], \"model_type\": \"qwen2_5_vl\"}",
           "Qwen2_5_VLForConditionalGeneration: its positions have three axes (mrope)");
    refuse("{\"model_type\": \"mllama\", \"text_config\": {\"model_type\": \"mllama_text_model\"}}",
           "MllamaForConditionalGeneration: its layers have cross-attention to images");
    refuse("{\"model_type\": \"mistral3\", \"text_config\": {\"model_type\": \"ministral3\"}}",
           "config.json: text_config: unsupported architecture: architectures (none), model_type ministral3");
    refuse("{\"model_type\": \"llava\", \"text_config\": {\"model_type\": \"llama\", \"rope_scaling\": "
           "{\"type\": \"default\", \"mrope_section\": [1, 2]}}}",
           "text_config: field \"rope_scaling.mrope_section\"");
    refuse("{\"model_type\": \"llava\"}", "field \"text_config\": must be an object");
    refuse("{\"model_type\": \"voxtral\", \"text_config\": {\"model_type\": \"llama\"}}",
           "text_config: field \"hidden_size\": is missing");
    refuse("{\"model_type\": \"llava\", \"text_config\": {\"model_type\": \"llama\", \"vocab_size\": 288}}",
           "field \"hidden_size\": is 4096 but"); /* as transformers' LlamaConfig has it */
}

static void an_encoder_is_carried_over_by_a_conversion_as_it_is(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_convert_options options = {.bits = 4, .group_size = 32};
    char *text = NULL;
    if (ffai_convert(destination, LLAVA, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    if (ffai_model_inspect(&text, destination, false, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_non_null(strstr(text, "4b g32"));
    assert_non_null(strstr(text, "vision, 3 tensors, 5.18 kB; projector, 2 tensors, 4.22 kB"));
    ffai_free(text);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: cmocka puts its own handlers of signals in before every test, ours goes in with the first mapping */
        IN_FOLDER(no_byte_of_an_encoder_is_read),
        IN_FOLDER(text_models_have_their_names_in_several_places),
        cmocka_unit_test(an_encoder_is_no_part_of_the_memory_that_is_needed),
        cmocka_unit_test(inspecting_declares_what_is_skipped),
        cmocka_unit_test(wanting_images_is_refused_by_name),
        IN_FOLDER(text_models_that_compute_otherwise_are_refused_by_name),
        IN_FOLDER(an_encoder_is_carried_over_by_a_conversion_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
