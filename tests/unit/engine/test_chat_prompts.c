/* Prompts of conversations: the text and the ids that transformers gives, and what somebody typed as text. */
#include "../text/fixtures.h"

#include "chat_template.h"

#define CASES     FFAI_SOURCE_DIR "/tests/data/chat/"
#define TEMPLATES FFAI_SOURCE_DIR "/../shared/templates/"
#define CONFIGS   FFAI_SOURCE_DIR "/../shared/tokenizers/"

/* The clock of the cases stands at 2026-11-23. */
static const struct tm now = {.tm_year = 126, .tm_mon = 10, .tm_mday = 23};

static json_t *as_written(const char *path)
{
    char *bytes = NULL;
    size_t size = 0;
    json_t *document = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__file_read(&bytes, &size, path, (size_t)16 << 20, &err) != FFAI_OK ||
        ffai__json_parse_as_written(&document, bytes, size, path, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    ffai__free(bytes);
    return document;
}

static json_t *cases_of(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, CASES "%s.json", name);
    return as_written(path);
}

/* --- the reference's prompts --- */

typedef struct {
    const char *name;
    const ffai_chat_template *chat_template;
    const ffai_tokenizer *tokenizer;
    size_t checked, wrong;
} subject;

static uint64_t fnv_of_text(const char *text, size_t size)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001B3u;
    return hash;
}

static bool has_hash(const json_t *expected, uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return strcmp(text, json_string_value(expected)) == 0;
}

/* transformers finds special tokens also in what messages say; so does this. */
static bool prompt_agrees(const subject *s, const ffai_conversation *conversation, const json_t *expected)
{
    ffai__jinja_output output = {.text = NULL};
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__chat_render(&output, s->chat_template, conversation, NULL, now, &err) != FFAI_OK)
        return json_is_null(expected);
    bool same = !json_is_null(expected) && has_hash(json_array_get(expected, 0), fnv_of_text(output.text, output.size));
    if (same) {
        const ffai_encode_options options = {.parse_special = true};
        int32_t *ids = NULL;
        size_t count = 0;
        if (ffai_tokenizer_encode(&ids, &count, s->tokenizer, output.text, output.size, &options, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        same = has_hash(json_array_get(expected, 1), fnv_of(ids, count));
        ffai_free(ids);
    }
    ffai__jinja_output_free(&output);
    return same;
}

static void check_prompt(subject *s, const json_t *messages, const json_t *variables, bool prompt,
                         const json_t *expected)
{
    json_t *request = json_object();
    assert_int_equal(json_object_set(request, "messages", (json_t *)messages), 0);
    assert_int_equal(json_object_update(request, (json_t *)variables), 0);
    assert_int_equal(json_object_set_new(request, "add_generation_prompt", json_boolean(prompt)), 0);
    char *text = ffai__json_dump(request, JSON_COMPACT);
    ffai_conversation *conversation = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai_conversation_parse(&conversation, text, strlen(text), &err) != FFAI_OK)
        fail_msg("%s", err.message);
    s->checked++;
    if (!prompt_agrees(s, conversation, expected)) {
        s->wrong++;
        print_error("%s: %s\n", s->name, text);
    }
    ffai_conversation_free(conversation);
    ffai__free(text);
    json_decref(request);
}

static void check_prompts(subject *s, const json_t *expected)
{
    json_t *cases = as_written(FFAI_SOURCE_DIR "/tests/data/templates/conversations.json");
    const json_t *conversations = json_object_get(cases, "conversations");
    const json_t *sets = json_object_get(cases, "variables");
    for (size_t c = 0; c < json_array_size(conversations); c++) {
        for (size_t v = 0; v < json_array_size(sets); v++) {
            for (int prompt = 1; prompt >= 0; prompt--)
                check_prompt(s, json_array_get(conversations, c), json_array_get(sets, v), prompt == 1,
                             json_array_get(expected, s->checked));
        }
    }
    print_message("%s: %zu of %zu prompts agree with transformers\n", s->name, s->checked - s->wrong, s->checked);
    assert_true(s->checked >= 400);
    assert_int_equal(s->checked, json_array_size(expected));
    assert_int_equal(s->wrong, 0);
    json_decref(cases);
}

/* --- where templates lie --- */

static ffai_chat_template *template_of(const json_t *cases, const char *source)
{
    ffai_chat_template *out = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    json_t *config = json_copy(json_object_get(cases, "tokens"));
    assert_int_equal(json_object_set_new(config, "chat_template", json_string(source)), 0);
    if (ffai__chat_template_create(&out, config, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    json_decref(config);
    return out;
}

/* The source of a published template, of a tokenizer's own; freed with ffai__free. NULL: it is not there. */
static char *published_source(const char *name)
{
    char path[512];
    char *source = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, TEMPLATES "%s.jinja", name);
    return ffai__file_read(&source, &size, path, (size_t)1 << 20, NULL) == FFAI_OK ? source : NULL;
}

static char *tokenizers_source(const char *name)
{
    char path[512];
    json_t *config = NULL;
    snprintf(path, sizeof path, CONFIGS "%s/tokenizer_config.json", name);
    if (ffai__json_read(&config, path, (size_t)16 << 20, NULL) != FFAI_OK)
        return NULL;
    char *source = ffai__strdup(json_string_value(json_object_get(config, "chat_template")));
    json_decref(config);
    return source;
}

/* The ids of what somebody typed into a message: no special token among them but the template's. */
static void check_typed(const subject *s, const json_t *expected)
{
    json_t *typed = cases_of("typed");
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(json_array_size(typed), json_array_size(expected));
    for (size_t i = 0; i < json_array_size(typed); i++) {
        const json_t *text = json_array_get(typed, i);
        const ffai_message message = {
            .role = "user", .content = json_string_value(text), .content_size = json_string_length(text)};
        ffai_conversation *conversation = NULL;
        int32_t *ids = NULL;
        size_t count = 0;
        assert_int_equal(ffai_conversation_create(&conversation, &err), FFAI_OK);
        assert_int_equal(ffai_conversation_add(conversation, &message, &err), FFAI_OK);
        assert_int_equal(ffai_conversation_set(conversation, "add_generation_prompt", "true", 4, &err), FFAI_OK);
        assert_int_equal(ffai_chat_encode(&ids, &count, s->chat_template, s->tokenizer, conversation, NULL, &err),
                         FFAI_OK);
        if (!ids_equal(ids, count, json_array_get(expected, i)))
            fail_msg("%s: \"%s\" is not encoded as text", s->name, message.content);
        ffai_free(ids);
        ffai_conversation_free(conversation);
    }
    json_decref(typed);
}

/* false: the tokenizer is not there. Takes the template's source. */
static bool check_subject(const char *name, char *source)
{
    json_t *cases = source ? cases_of(name) : NULL;
    ffai_tokenizer *tokenizer = cases ? load_named(json_string_value(json_object_get(cases, "tokenizer"))) : NULL;
    if (tokenizer) {
        ffai_chat_template *chat_template = template_of(cases, source);
        subject s = {name, chat_template, tokenizer, 0, 0};
        check_prompts(&s, json_object_get(cases, "prompts"));
        if (json_object_get(cases, "typed") && !strstr(source, "strftime_now"))
            check_typed(&s, json_object_get(cases, "typed"));
        ffai_chat_template_free(chat_template);
    }
    const bool present = tokenizer != NULL;
    ffai_tokenizer_free(tokenizer);
    json_decref(cases);
    ffai__free(source);
    return present;
}

static void published_templates_give_transformers_ids(void **state)
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
    size_t present = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        present += check_subject(names[i], published_source(names[i]));
    if (present == 0) {
        print_message("skipped: there is no ../shared/templates\n");
        skip();
    }
}

static void tokenizers_templates_give_transformers_ids(void **state)
{
    (void)state;
    static const char *const names[] = {"gemma3", "llama3_1", "qwen3"};
    size_t present = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        present += check_subject(names[i], tokenizers_source(names[i]));
    if (present == 0) {
        print_message("skipped: there is no ../shared/tokenizers\n");
        skip();
    }
}

/* The default model as it is: template, special tokens and tokenizer of its GGUF file. */
static void the_default_model_gives_transformers_ids(void **state)
{
    (void)state;
    ffai_chat_template *chat_template = NULL;
    ffai_tokenizer *tokenizer = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_status status = ffai_chat_template_load(&chat_template, NULL, &err);
    if (status == FFAI_E_NOT_FOUND) {
        print_message("skipped: the default model is not there\n");
        skip();
    }
    if (status != FFAI_OK || ffai_tokenizer_load(&tokenizer, NULL, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    json_t *cases = cases_of("smollm2");
    subject s = {"the default model", chat_template, tokenizer, 0, 0};
    check_prompts(&s, json_object_get(cases, "prompts"));
    check_typed(&s, json_object_get(cases, "typed"));
    json_decref(cases);
    ffai_tokenizer_free(tokenizer);
    ffai_chat_template_free(chat_template);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_templates_give_transformers_ids),
        cmocka_unit_test(tokenizers_templates_give_transformers_ids),
        cmocka_unit_test(the_default_model_gives_transformers_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
