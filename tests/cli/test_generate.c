/* generate: where the prompt comes from, what comes out, and in what form. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"

/* Of tests/golden/llama/f32. */
#define PROMPT     "Once upon"
#define PROMPT_IDS "83,114,103,105,36,121,116,266"

static json_t *json_of_outcome(const outcome *o)
{
    CHECK_OUTCOME(*o, 0, NULL);
    CHECK(o->err_size == 0);
    return json_of_text(o->out);
}

/* The text of greedy decoding, as the object of --json has it. */
static char *greedy_text(const char *const *arguments)
{
    outcome o;
    process_run(&o, &(setting){0}, arguments);
    json_t *object = json_of_outcome(&o);
    const char *text = json_string_value(json_at(object, "text"));
    char *copy = text ? strdup(text) : NULL;
    json_decref(object);
    outcome_release(&o);
    return copy;
}

static void the_tokens_are_the_references(void)
{
    static const char *const models[] = {"llama/f32", "llama/untied", "qwen2/bf16", "qwen3/bf16", "gguf/F32.gguf"};
    static const char *const backends[] = {"cpu", "ref"};
    static const char *const threads[] = {"1", "2"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char name[256], path[512], prompt[64] = PROMPT;
        const size_t stem = strcspn(models[m], ".");
        snprintf(name, sizeof name, "tests/golden/%.*s/tokens-02c50260.json", (int)stem, models[m]);
        snprintf(path, sizeof path, "tests/golden/%s", models[m]);
        char *text = read_source(name);
        json_t *golden = text ? json_of_text(text) : NULL;
        json_t *first = json_array_get(json_at(golden, "prompts"), 0);
        if (!check_says(first != NULL, __FILE__, __LINE__, "%s: no fixture", name))
            continue;
        for (int i = 0; i < 4; i++) {
            outcome o;
            RUN(o, NULL, "-m", path, "-p", prompt, "--temp", "0", "-n", "16", "--ignore-eos", "--json", "--backend",
                backends[i / 2], "--threads", threads[i % 2], "--activations", "f32", "--kv", "f32");
            json_t *object = json_of_outcome(&o);
            CHECK(json_equal(json_at(object, "prompt_tokens"), json_at(first, "prompt_tokens")));
            check_says(json_equal(json_at(object, "tokens"), json_at(first, "tokens")), __FILE__, __LINE__,
                       "%s on %s with %s threads gives %s", models[m], backends[i / 2], threads[i % 2], o.out);
            json_decref(object);
            outcome_release(&o);
        }
        json_decref(golden);
        free(text);
    }
}

static void a_prompt_comes_from_a_flag_a_file_ids_or_standard_input(void)
{
    const char *file = scratch("prompt");
    FILE *stream = fopen(file, "wb");
    if (!CHECK(stream && fwrite(PROMPT, 1, strlen(PROMPT), stream) == strlen(PROMPT)))
        return;
    fclose(stream);
    outcome o[4];
    RUN(o[0], NULL, "-m", MODEL, "-p", PROMPT, "--temp", "0", "-n", "8", "--raw");
    RUN(o[1], NULL, "generate", "--model", MODEL, "--file", file, "--temperature=0", "--max-tokens=8");
    RUN(o[2], NULL, "-m", MODEL, "--tokens", PROMPT_IDS, "--temp", "0", "-n", "8");
    RUN(o[3], PROMPT, "-m", MODEL, "--temp", "0", "-n", "8");
    for (int i = 0; i < 4; i++) {
        CHECK_OUTCOME(o[i], 0, NULL);
        CHECK(o[i].out_size > 0 && o[i].err_size == 0);
        CHECK(o[i].out_size == o[0].out_size && memcmp(o[i].out, o[0].out, o[0].out_size) == 0);
    }
    for (int i = 0; i < 4; i++)
        outcome_release(&o[i]);
}

static void standard_input_is_taken_whole_and_nothing_is_trimmed(void)
{
    static const struct {
        const char *text;
        size_t size;
        const char *ids;
    } inputs[] = {
        {"a\n", 2, "[101, 14]"},
        {" a \n\n", 5, "[264, 36, 14, 14]"},
        {"a\0b", 3, "[101, 4, 102]"},
        {"\n", 1, "[14]"},
    };
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        outcome o, tokenized;
        const setting s = {.input = inputs[i].text, .input_size = inputs[i].size};
        RUN_IN(o, s, "-m", MODEL, "-n", "1", "--json");
        RUN_IN(tokenized, s, "tokenize", "-m", MODEL);
        json_t *object = json_of_outcome(&o);
        check_says(json_is_ids(json_at(object, "prompt_tokens"), inputs[i].ids), __FILE__, __LINE__, "%zu: %s", i,
                   o.out);
        CHECK(json_is_ids(json_at(object, "prompt_tokens"), tokenized.out));
        json_decref(object);
        outcome_release(&o);
        outcome_release(&tokenized);
    }
}

static void an_empty_prompt_is_an_error(void)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "-p", "");
    CHECK_OUTCOME(o, 1, "prompt: is empty: give -p TEXT");
    outcome_release(&o);
    RUN(o, NULL, "-m", MODEL);
    CHECK_OUTCOME(o, 1, "prompt: is empty");
    outcome_release(&o);
}

static void the_json_object_has_the_contracts_keys(void)
{
    static const char *const numbers[] = {"timings.load_s",
                                          "timings.prefill_s",
                                          "timings.decode_s",
                                          "timings.prefill_tok_s",
                                          "timings.decode_tok_s",
                                          "timings.stages.resolving_s",
                                          "timings.stages.downloading_s",
                                          "timings.stages.mapping_s",
                                          "timings.stages.planning_s",
                                          "timings.stages.uploading_s",
                                          "timings.stages.tokenizer_s",
                                          "timings.stages.warming_s",
                                          "timings.stages.unloading_s"};
    outcome o;
    RUN(o, NULL, "-m", MODEL, "-p", PROMPT, "--temp", "0", "-n", "4", "--json", "--seed", "9223372036854775807");
    json_t *object = json_of_outcome(&o);
    CHECK(strchr(o.out, '\n') == o.out + o.out_size - 1);
    CHECK(json_object_size(object) == 7);
    CHECK(json_is_ids(json_at(object, "prompt_tokens"), "[" PROMPT_IDS "]"));
    CHECK(json_array_size(json_at(object, "tokens")) == 4);
    CHECK(json_is_string(json_at(object, "text")));
    CHECK(json_is_text(json_at(object, "finish_reason"), "length"));
    CHECK(json_is_text(json_at(object, "backend"), "cpu"));
    CHECK(json_integer_value(json_at(object, "seed")) == 9223372036854775807);
    CHECK(json_object_size(json_at(object, "timings")) == 6);
    CHECK(json_object_size(json_at(object, "timings.stages")) == 8);
    CHECK(json_number_value(json_at(object, "timings.stages.mapping_s")) > 0);
    CHECK(json_number_value(json_at(object, "timings.stages.unloading_s")) > 0);
    CHECK(json_number_value(json_at(object, "timings.stages.downloading_s")) == 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        CHECK(json_number_value(json_at(object, numbers[i])) >= 0 && json_is_number(json_at(object, numbers[i])));
    json_decref(object);
    outcome_release(&o);
}

static void plain_output_is_the_text_alone(void)
{
    static const char *const asked[] = {"-m", MODEL, "--tokens", PROMPT_IDS, "--temp", "0", "-n", "8", "--json", NULL};
    char *text = greedy_text(asked);
    outcome o;
    RUN(o, NULL, "-m", MODEL, "--tokens", PROMPT_IDS, "--temp", "0", "-n", "8");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(text && strlen(text) == o.out_size && memcmp(o.out, text, o.out_size) == 0);
    CHECK(o.err_size == 0);
    free(text);
    outcome_release(&o);
}

static void no_tokens_may_be_asked_for(void)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "-p", PROMPT, "-n", "0", "--json");
    json_t *object = json_of_outcome(&o);
    CHECK(json_is_ids(json_at(object, "tokens"), "[]"));
    CHECK(json_is_text(json_at(object, "finish_reason"), "length"));
    json_decref(object);
    outcome_release(&o);
}

static void the_same_seed_gives_the_same_text(void)
{
    outcome a, b;
    RUN(a, NULL, "-m", MODEL, "-p", PROMPT, "--temp", "2", "-n", "32", "--seed", "7", "--threads", "1");
    RUN(b, NULL, "-m", MODEL, "-p", PROMPT, "--temp", "2", "-n", "32", "--seed", "7", "--threads", "2");
    CHECK_OUTCOME(a, 0, NULL);
    CHECK(a.out_size == b.out_size && memcmp(a.out, b.out, a.out_size) == 0);
    outcome_release(&a);
    outcome_release(&b);
}

static void a_drawn_seed_is_reported_and_repeats_the_text(void)
{
    outcome first, again;
    char seed[32];
    RUN(first, NULL, "-m", MODEL, "-p", PROMPT, "--temp", "2", "-n", "32", "--json");
    json_t *object = json_of_outcome(&first);
    snprintf(seed, sizeof seed, "%lld", (long long)json_integer_value(json_at(object, "seed")));
    RUN(again, NULL, "-m", MODEL, "-p", PROMPT, "--temp", "2", "-n", "32", "--json", "--seed", seed);
    json_t *repeated = json_of_outcome(&again);
    CHECK(json_equal(json_at(object, "tokens"), json_at(repeated, "tokens")));
    json_decref(object);
    json_decref(repeated);
    outcome_release(&again);
    RUN(again, NULL, "-m", MODEL, "-p", PROMPT, "-n", "1", "--json");
    repeated = json_of_outcome(&again);
    CHECK(atoll(seed) != json_integer_value(json_at(repeated, "seed")));
    json_decref(repeated);
    outcome_release(&first);
    outcome_release(&again);
}

static void a_prompt_longer_than_the_context_is_an_error_with_numbers(void)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "--tokens", "5,6,7", "--context", "2");
    CHECK_OUTCOME(o, 1, "generate: prompt: has 3 tokens but the context holds 2: shorten it or raise --context");
    outcome_release(&o);
    char text[1025];
    memset(text, '~', 1024);
    text[1024] = 0;
    RUN(o, text, "-m", MODEL);
    CHECK_OUTCOME(o, 1, "tokens but the context holds 512");
    outcome_release(&o);
}

static void a_full_context_ends_with_length(void)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "--tokens", PROMPT_IDS, "--context", "10", "-n", "1000000000", "--ignore-eos", "--json");
    json_t *object = json_of_outcome(&o);
    CHECK(json_array_size(json_at(object, "tokens")) == 3);
    CHECK(json_is_text(json_at(object, "finish_reason"), "length"));
    json_decref(object);
    outcome_release(&o);
}

static void a_token_outside_the_vocabulary_is_an_error(void)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "--tokens", "5,288");
    CHECK_OUTCOME(o, 1, "generate: --tokens: entry 2: 288 is outside the vocabulary of 288");
    outcome_release(&o);
    RUN(o, NULL, "logits", "-m", MODEL, "--tokens", "5,6,2000000000", "-o", scratch("none.npy"));
    CHECK_OUTCOME(o, 1, "logits: --tokens: entry 3: 2000000000 is outside the vocabulary");
    outcome_release(&o);
}

/* A scratch file with this text. */
static const char *write_scratch(const char *name, const char *text)
{
    const char *path = scratch(name);
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(text, 1, strlen(text), file) == strlen(text));
    CHECK(file && fclose(file) == 0);
    return path;
}

static void check_constrained(const char *backend, const char *flag, const char *grammar, const char *expected)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "-p", "Once", "--temp", "1", "--seed", "3", flag, grammar, "--json", "--backend",
        backend);
    json_t *object = json_of_outcome(&o);
    CHECK(json_is_text(json_at(object, "text"), expected));
    CHECK(json_is_text(json_at(object, "finish_reason"), "stop"));
    json_decref(object);
    outcome_release(&o);
}

static void a_text_follows_its_grammar(void)
{
    const char *grammar = write_scratch("grammar.gbnf", "root ::= \"[\" [x]{3} \"]\" end\nend ::= \"!\"\n");
    check_constrained("cpu", "--grammar", grammar, "[xxx]!");
    check_constrained("ref", "--regex", "(?:q{2}z){2}", "qqzqqz");
    const char *schema = write_scratch("schema.json", "{\"properties\":{\"a\":{\"const\":[1,\"b\"]}},"
                                                      "\"required\":[\"a\"],\"type\":\"object\","
                                                      "\"additionalProperties\":false}");
    check_constrained("cpu", "--json-schema", schema, "{\"a\":[1,\"b\"]}");
}

static void a_grammar_at_fault_is_an_error_before_the_model_is_read(void)
{
    outcome o;
    const char *grammar = write_scratch("fault.gbnf", "root ::= \"a\"\nb ::= c\n");
    RUN(o, NULL, "-m", "nowhere", "-p", "a", "--grammar", grammar);
    CHECK_OUTCOME(o, 1, "fault.gbnf: grammar: line 2, column 7: there is no rule \"c\"");
    outcome_release(&o);
    const char *schema = write_scratch("fault.json", "{\"items\":{\"contains\":true}}");
    RUN(o, NULL, "-m", "nowhere", "-p", "a", "--json-schema", schema);
    CHECK_OUTCOME(o, 1, "fault.json: schema: #/items/contains: this keyword is not supported");
    outcome_release(&o);
    RUN(o, NULL, "-m", "nowhere", "-p", "a", "--regex", "a(?=b)");
    CHECK_OUTCOME(o, 1, "regex: offset 1: looking ahead or behind: not supported");
    outcome_release(&o);
}

static void stats_go_to_standard_error(void)
{
    static const char *const words[] = {"model ",
                                        "backend ",
                                        "memory ",
                                        "parameters ",
                                        "temperature 0 (caller)",
                                        "seed        7\n",
                                        "load ",
                                        "prefill     8 tokens",
                                        "decode      3 tokens",
                                        "generation_config.json",
                                        "stages      ",
                                        "\n            uploading ",
                                        "\n            unloading "};
    outcome o;
    RUN(o, NULL, "-m", MODEL, "-p", PROMPT, "--temp", "0", "-n", "4", "--seed", "7", "--stats");
    CHECK_OUTCOME(o, 0, NULL);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        check_says(strstr(o.err, words[i]) != NULL, __FILE__, __LINE__, "no \"%s\" in: %s", words[i], o.err);
    CHECK(!strstr(o.out, "seed"));
    outcome_release(&o);
}

static void a_missing_model_is_named(void)
{
    outcome o;
    RUN(o, NULL, "-m", "/nonexistent/model", "-p", "a");
    CHECK_OUTCOME(o, 1, "/nonexistent/model: no such folder or file; models are not downloaded by name");
    outcome_release(&o);
    RUN(o, NULL, "-m", (MODEL "/model.safetensors"), "-p", "a");
    CHECK_OUTCOME(o, 1, "is not a GGUF file: give one, or a model's folder");
    outcome_release(&o);
    const setting s = {.without_home = true};
    RUN_IN(o, s, "-p", "a");
    CHECK_OUTCOME(o, 1, "run make run once, or give -m");
    outcome_release(&o);
    RUN_IN(o, s, "tokenize");
    CHECK_OUTCOME(o, 1, "run make run once, or give -m");
    outcome_release(&o);
}

static void a_missing_prompt_file_is_named(void)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "-f", "/nonexistent/prompt");
    CHECK_OUTCOME(o, 1, "/nonexistent/prompt: No such file or directory");
    outcome_release(&o);
    RUN(o, NULL, "-m", MODEL, "-f", "/");
    CHECK_OUTCOME(o, 1, "Is a directory");
    outcome_release(&o);
    RUN(o, "a", "-m", MODEL, "-f", "-");
    CHECK_OUTCOME(o, 1, "for standard input leave -f out");
    outcome_release(&o);
}

static void the_default_model_continues_as_its_reference(void)
{
    outcome o;
    RUN(o, NULL, "inspect");
    const bool present = o.status == 0;
    outcome_release(&o);
    if (!present) {
        skip("the default model is not there");
        return;
    }
    RUN(o, NULL, "-p", "Once upon a time", "--raw", "--temp", "0", "-n", "24", "--json");
    json_t *object = json_of_outcome(&o);
    CHECK(json_is_ids(json_at(object, "tokens"),
                      "[28, 260, 2240, 282, 23324, 27108, 436, 253, 15114, 39228, 28, 351, 25854, 41658, 284, 14055, "
                      "9018, 30, 1249, 347, 260, 929, 3514, 411]"));
    json_decref(object);
    outcome_release(&o);
    RUN(o, "The capital of France is", "generate", "--raw", "--temp", "0", "-n", "16");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strncmp(o.out, " Paris.", 7) == 0);
    outcome_release(&o);
}

static const test tests[] = {
    TEST(the_tokens_are_the_references),
    TEST(a_prompt_comes_from_a_flag_a_file_ids_or_standard_input),
    TEST(standard_input_is_taken_whole_and_nothing_is_trimmed),
    TEST(an_empty_prompt_is_an_error),
    TEST(the_json_object_has_the_contracts_keys),
    TEST(plain_output_is_the_text_alone),
    TEST(no_tokens_may_be_asked_for),
    TEST(the_same_seed_gives_the_same_text),
    TEST(a_drawn_seed_is_reported_and_repeats_the_text),
    TEST(a_prompt_longer_than_the_context_is_an_error_with_numbers),
    TEST(a_full_context_ends_with_length),
    TEST(a_token_outside_the_vocabulary_is_an_error),
    TEST(a_text_follows_its_grammar),
    TEST(a_grammar_at_fault_is_an_error_before_the_model_is_read),
    TEST(stats_go_to_standard_error),
    TEST(a_missing_model_is_named),
    TEST(a_missing_prompt_file_is_named),
    TEST(the_default_model_continues_as_its_reference),
};
extern const suite suite_generate;
const suite suite_generate = SUITE(tests);
