/* Published chat templates, each with every conversation: the bytes that transformers renders. They run where the
 * templates lie beside the repository. */
#include "fixtures.h"

#define TEMPLATES FFAI_SOURCE_DIR "/../shared/templates/"

static void hash_text(char out[17], const char *text)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    snprintf(out, 17, "%016llx", (unsigned long long)hash);
}

/* Variables of one case: those of the set, the conversation, and the prompt; the same that tools/ made. */
static json_t *variables_of(const json_t *messages, const json_t *set, bool prompt)
{
    json_t *variables = json_object();
    json_object_set(variables, "messages", (json_t *)messages);
    json_object_set_new(variables, "tools", json_null());
    json_object_set_new(variables, "documents", json_null());
    json_object_update(variables, (json_t *)set);
    json_object_set_new(variables, "add_generation_prompt", json_boolean(prompt));
    return variables;
}

static bool agrees(const ffai__jinja_template *parsed, const json_t *own, const json_t *data, const json_t *expected)
{
    const ffai__jinja_input input = input_of(own, data);
    ffai__jinja_output output = {.text = NULL};
    ffai_error err = FFAI_ERROR_INIT;
    char hash[17] = "";
    if (ffai__jinja_render(&output, parsed, &input, &err) == FFAI_OK)
        hash_text(hash, output.text);
    const bool same = json_is_null(expected) ? !output.text : strcmp(hash, json_string_value(expected)) == 0;
    if (!same) {
        char *variables = ffai__json_dump(data, JSON_COMPACT);
        print_error("%s\n  renders: %s\n", variables, output.text ? output.text : err.message);
        ffai__free(variables);
    }
    ffai__jinja_output_free(&output);
    return same;
}

static size_t count_wrong(const ffai__jinja_template *parsed, const json_t *cases, const json_t *expected)
{
    const json_t *conversations = json_object_get(cases, "conversations");
    const json_t *sets = json_object_get(cases, "variables");
    size_t wrong = 0;
    size_t at = 0;
    for (size_t c = 0; c < json_array_size(conversations); c++) {
        for (size_t s = 0; s < json_array_size(sets); s++) {
            for (int prompt = 1; prompt >= 0; prompt--) {
                json_t *data = variables_of(json_array_get(conversations, c), json_array_get(sets, s), prompt == 1);
                wrong += !agrees(parsed, json_object_get(cases, "own"), data, json_array_get(expected, at++));
                json_decref(data);
            }
        }
    }
    assert_int_equal(at, json_array_size(expected));
    assert_true(at >= 100);
    return wrong;
}

static size_t check_template(const char *name, const char *source, const json_t *cases)
{
    char path[512];
    snprintf(path, sizeof path, DATA "expected/%s.json", name);
    json_t *expected = read_json(path);
    ffai__jinja_template *parsed = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__jinja_parse(&parsed, source, strlen(source), name, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    const size_t wrong = count_wrong(parsed, cases, expected);
    print_message("%s: %zu of %zu texts agree with transformers\n", name, json_array_size(expected) - wrong,
                  json_array_size(expected));
    ffai__jinja_free(parsed);
    json_decref(expected);
    return wrong;
}

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    ffai_error err = FFAI_ERROR_INIT;
    return ffai__file_read(&text, &size, path, (size_t)1 << 20, &err) == FFAI_OK ? text : NULL;
}

static void published_templates_render_as_transformers_does(void **state)
{
    (void)state;
    static const char *const names[] = {
        "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
        "GLM-4.6",
        "HuggingFaceTB-SmolLM3-3B",
        "Kimi-K2-Instruct",
        "LFM2.5-Instruct",
        "NVIDIA-Nemotron-Nano-v2",
        "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
        "Qwen-Qwen2.5-7B-Instruct",
        "Qwen-Qwen3-0.6B",
        "Qwen3-Coder",
        "Qwen3.5-4B",
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
        "google-gemma-2-2b-it",
        "google-gemma-4-31B-it",
        "ibm-granite-granite-3.3-2B-Instruct",
        "meta-llama-Llama-3.1-8B-Instruct",
        "meta-llama-Llama-3.2-3B-Instruct",
        "microsoft-Phi-3.5-mini-instruct",
        "mistralai-Mistral-Nemo-Instruct-2407",
        "openai-gpt-oss-120b",
    };
    json_t *cases = read_json(DATA "conversations.json");
    size_t checked = 0;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        snprintf(path, sizeof path, TEMPLATES "%s.jinja", names[i]);
        char *source = read_text(path);
        if (source)
            wrong += check_template(names[i], source, cases);
        checked += source != NULL;
        ffai__free(source);
    }
    json_decref(cases);
    assert_int_equal(wrong, 0);
    if (checked == 0) {
        print_message("skipped: there is no ../shared/templates\n");
        skip();
    }
}

static void the_tokenizers_templates_render_as_transformers_does(void **state)
{
    (void)state;
    static const char *const names[] = {"gemma3", "llama3_1", "qwen3"};
    json_t *cases = read_json(DATA "conversations.json");
    size_t checked = 0;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        char name[64];
        snprintf(path, sizeof path, FFAI_SOURCE_DIR "/../shared/tokenizers/%s/tokenizer_config.json", names[i]);
        snprintf(name, sizeof name, "tokenizer-%s", names[i]);
        char *there = read_text(path);
        if (!there)
            continue;
        ffai__free(there);
        json_t *config = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        if (ffai__json_read(&config, path, (size_t)16 << 20, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        wrong += check_template(name, json_string_value(json_object_get(config, "chat_template")), cases);
        json_decref(config);
        checked++;
    }
    json_decref(cases);
    assert_int_equal(wrong, 0);
    if (checked == 0) {
        print_message("skipped: there is no ../shared/tokenizers\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_templates_render_as_transformers_does),
        cmocka_unit_test(the_tokenizers_templates_render_as_transformers_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
