/* Folders whose documents are cut off, wrong or at odds with the weights: the file, the field and the weight are named.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"

#define QWEN3 "tests/golden/qwen3/bf16"
#define QWEN2 "tests/golden/qwen2/bf16"

static const char *const documents[] = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
enum { NUM_DOCUMENTS = sizeof documents / sizeof *documents };

/* A folder that has the model's files, but for one, of which it has `text`, and lacks where that is NULL. */
static const char *folder_with(const char *model, const char *document, const char *text)
{
    static char folder[PATH_MAX];
    char target[PATH_MAX], link[2 * PATH_MAX];
    snprintf(folder, sizeof folder, "%s", scratch("folder"));
    mkdir(folder, 0777);
    for (size_t i = 0; i < NUM_DOCUMENTS; i++) {
        snprintf(target, sizeof target, FFAI_SOURCE_DIR "/%s/%s", model, documents[i]);
        snprintf(link, sizeof link, "%s/%s", folder, documents[i]);
        unlink(link);
        if (strcmp(documents[i], document) != 0 && access(target, F_OK) == 0)
            CHECK(symlink(target, link) == 0);
    }
    snprintf(link, sizeof link, "%s/%s", folder, document);
    FILE *file = text ? fopen(link, "wb") : NULL;
    if (text && CHECK(file != NULL)) {
        fputs(text, file);
        fclose(file);
    }
    return folder;
}

/* The same with one field of config.json changed. */
static const char *folder_with_field(const char *model, const char *field, int value)
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/config.json", model);
    char *text = read_source(name);
    json_t *config = text ? json_of_text(text) : NULL;
    CHECK(json_object_set_new(config, field, json_integer(value)) == 0);
    char *changed = json_dumps(config, 0);
    const char *folder = folder_with(model, "config.json", changed);
    free(changed);
    json_decref(config);
    free(text);
    return folder;
}

static void a_config_that_the_weights_contradict_is_refused_by_field_and_weight(void)
{
    static const struct {
        const char *model, *field;
        int value;
        const char *message;
    } contradictions[] = {
        {MODEL, "hidden_size", 63, "is 63 but weight \"model.embed_tokens.weight\" is [288, 64]"},
        {MODEL, "hidden_size", 100000, "is 100000 but weight \"model.embed_tokens.weight\" is [288, 64]"},
        {MODEL, "vocab_size", 7, "is 7 but weight \"model.embed_tokens.weight\" is [288, 64]"},
        {MODEL, "vocab_size", 60000, "is 60000 but weight \"model.embed_tokens.weight\" is [288, 64]"},
        {"tests/golden/llama/untied", "vocab_size", 289, "is 289 but weight \"lm_head.weight\" is [288, 64]"},
        {MODEL, "intermediate_size", 7, "is 7 but weight \"model.layers.0.mlp.gate_proj.weight\" is [64, 64]"},
        {MODEL, "num_attention_heads", 4,
         "is 4, with a head_dim of 32, but weight \"model.layers.0.self_attn.q_proj.weight\" is [64, 64]"},
        {MODEL, "num_key_value_heads", 2,
         "is 2, with a head_dim of 32, but weight \"model.layers.0.self_attn.k_proj.weight\" is [32, 64]"},
        {QWEN2, "num_key_value_heads", 2, "weight \"model.layers.0.self_attn.k_proj.weight\""},
        {QWEN3, "num_attention_heads", 8, "weight \"model.layers.0.self_attn.q_proj.weight\""},
        {QWEN3, "intermediate_size", 1, "weight \"model.layers.0.mlp.gate_proj.weight\""},
        {"tests/golden/mistral/bf16", "hidden_size", 1, "weight \"model.embed_tokens.weight\""},
    };
    for (size_t i = 0; i < sizeof contradictions / sizeof *contradictions; i++) {
        char place[PATH_MAX + 64];
        const char *folder =
            folder_with_field(contradictions[i].model, contradictions[i].field, contradictions[i].value);
        snprintf(place, sizeof place, "ffai: %s/config.json: field \"%s\": ", folder, contradictions[i].field);
        outcome o;
        RUN(o, NULL, "inspect", folder);
        CHECK_OUTCOME(o, 1, contradictions[i].message);
        check_says(strncmp(o.err, place, strlen(place)) == 0, __FILE__, __LINE__, "%s", o.err);
        outcome_release(&o);
    }
}

static void a_layer_too_few_is_told_with_the_path_once(void)
{
    const char *folder = folder_with_field(MODEL, "num_hidden_layers", 1);
    outcome o;
    RUN(o, NULL, "inspect", folder);
    CHECK_OUTCOME(o, 1, "weight \"model.layers.1.");
    const char *path = strstr(o.err, folder);
    CHECK(path && !strstr(path + 1, folder));
    outcome_release(&o);
}

/* Published checkpoints have such ids. */
static void an_end_token_outside_the_vocabulary_is_none(void)
{
    static const int ids[] = {-1, 288, 999999};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        outcome o;
        RUN(o, NULL, "inspect", folder_with_field(MODEL, "eos_token_id", ids[i]), "--json");
        CHECK_OUTCOME(o, 0, NULL);
        json_t *object = json_of_text(o.out);
        CHECK(json_is_ids(json_at(object, "end_tokens"), "[2, 0]")); /* of generation_config.json */
        json_decref(object);
        outcome_release(&o);
    }
}

static void a_document_that_is_wrong_is_named(void)
{
    static const struct {
        const char *document, *text, *message;
    } wrong[] = {
        {"tokenizer.json", "{\"model\": {\"type\"", "/tokenizer.json: is not valid JSON"},
        {"tokenizer.json", "{\"model\": {\"type\"", "it looks cut off; fetch it again"},
        {"tokenizer.json", "{\"model\": {\"type", "it looks cut off; fetch it again"},
        {"tokenizer.json", "{}", "/tokenizer.json: model: must be an object"},
        {"generation_config.json", "{\"temperature\": -3}", "/generation_config.json: field \"temperature\": must be"},
        {"generation_config.json", "{\"eos_token_id\": \"a\"}",
         "/generation_config.json: field \"eos_token_id\": must"},
        {"config.json", "{\"architectures\": [\"Llama", "/config.json: is not valid JSON"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        outcome o;
        RUN(o, NULL, "-m", folder_with(MODEL, wrong[i].document, wrong[i].text), "-p", "a");
        CHECK_OUTCOME(o, 1, wrong[i].message);
        outcome_release(&o);
    }
}

static void inspect_says_whether_the_tokenizer_can_be_used(void)
{
    static const struct {
        const char *text, *said;
    } tokenizers[] = {
        {NULL, "none"},
        {"{\"version\": \"1.0\", \"model\": {\"type\": \"WordPiece\"}}", "not usable: "},
        {"{", "not usable: "},
    };
    outcome o;
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++) {
        char line[64];
        snprintf(line, sizeof line, "\ntokenizer     %s", tokenizers[i].said);
        RUN(o, NULL, "inspect", folder_with(MODEL, "tokenizer.json", tokenizers[i].text));
        CHECK_OUTCOME(o, 0, NULL);
        check_says(strstr(o.out, line) != NULL, __FILE__, __LINE__, "no \"%s\" in: %s", line, o.out);
        outcome_release(&o);
    }
    RUN(o, NULL, "inspect", MODEL, "--json");
    json_t *object = json_of_text(o.out);
    CHECK(json_is_text(json_at(object, "tokenizer"), "supported"));
    json_decref(object);
    outcome_release(&o);
}

static void a_model_without_a_tokenizer_says_where_its_output_is(void)
{
    outcome o;
    const char *folder = folder_with(MODEL, "tokenizer.json", NULL);
    RUN(o, NULL, "-m", folder, "--tokens", "5,6", "-n", "2");
    CHECK_OUTCOME(o, 0, "the model has no tokenizer, so there is no text: --json gives the ids");
    outcome_release(&o);
    RUN(o, NULL, "-m", folder, "--tokens", "5,6", "-n", "2", "--json");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.err_size == 0);
    outcome_release(&o);
}

static const test tests[] = {
    TEST(a_config_that_the_weights_contradict_is_refused_by_field_and_weight),
    TEST(a_layer_too_few_is_told_with_the_path_once),
    TEST(an_end_token_outside_the_vocabulary_is_none),
    TEST(a_document_that_is_wrong_is_named),
    TEST(inspect_says_whether_the_tokenizer_can_be_used),
    TEST(a_model_without_a_tokenizer_says_where_its_output_is),
};
extern const suite suite_broken_models;
const suite suite_broken_models = SUITE(tests);
