/* tokenize, detokenize and render. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "process.h"

static void text_becomes_an_array_of_ids(void)
{
    outcome o;
    RUN(o, "Once upon", "tokenize", "-m", MODEL);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strcmp(o.out, "[83,114,103,105,36,121,116,266]\n") == 0);
    outcome_release(&o);
    RUN(o, "Once upon", "tokenize", "--no-special", "-m", "tests/golden/gguf/Q4_1.gguf");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strcmp(o.out, "[83,114,103,105,36,121,116,266]\n") == 0);
    outcome_release(&o);
}

static void no_text_becomes_an_empty_array(void)
{
    outcome o;
    RUN(o, NULL, "tokenize", "-m", MODEL);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strcmp(o.out, "[]\n") == 0);
    outcome_release(&o);
}

static void special_tokens_in_a_text_are_found_and_kept(void)
{
    outcome o;
    RUN(o, "<|im_start|>a<|im_end|>", "tokenize", "-m", MODEL);
    CHECK(strcmp(o.out, "[1,101,2]\n") == 0);
    outcome_release(&o);
    RUN(o, "[1,101,2]", "detokenize", "-m", MODEL);
    CHECK(strcmp(o.out, "<|im_start|>a<|im_end|>") == 0);
    outcome_release(&o);
}

static void every_byte_comes_back(void)
{
    char text[4096];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7 % 128);
    outcome ids, back;
    const setting s = {.input = text, .input_size = sizeof text};
    RUN_IN(ids, s, "tokenize", "-m", MODEL);
    CHECK_OUTCOME(ids, 0, NULL);
    RUN(back, ids.out, "detokenize", "-m", MODEL);
    CHECK_OUTCOME(back, 0, NULL);
    CHECK(back.out_size == sizeof text && memcmp(back.out, text, sizeof text) == 0);
    outcome_release(&ids);
    outcome_release(&back);
}

static void only_arrays_of_ids_are_detokenized(void)
{
    static const struct {
        const char *input, *message;
    } refusals[] = {
        {"", "read: stdin: line 1"},
        {"{}", "is not a JSON array of token ids"},
        {"3", "read: stdin: line 1"},
        {"[1, 2", "read: stdin: line 1"},
        {"[1] 2", "read: stdin: line 1"},
        {"[1, -2]", "entry 2 is not a token id"},
        {"[1.5]", "entry 1 is not a token id"},
        {"[\"1\"]", "entry 1 is not a token id"},
        {"[4294967297]", "entry 1 is not a token id"},
        {"[99999999999999999999]", "too big integer"},
        {"[[1]]", "entry 1 is not a token id"},
        {"[0, 288]", "entry 2: 288 is not in the vocabulary"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        outcome o;
        RUN(o, refusals[i].input, "detokenize", "-m", MODEL);
        CHECK_OUTCOME(o, 1, refusals[i].message);
        CHECK(o.out_size == 0);
        outcome_release(&o);
    }
}

static void deep_nesting_is_an_error(void)
{
    enum { DEPTH = 1000000 };
    char *text = malloc(DEPTH + 1);
    if (!CHECK(text != NULL))
        return;
    memset(text, '[', DEPTH);
    text[DEPTH] = 0;
    outcome o;
    RUN(o, text, "detokenize", "-m", MODEL);
    CHECK_OUTCOME(o, 1, "read: stdin");
    outcome_release(&o);
    free(text);
}

static void a_broken_tokenizer_is_named(void)
{
    outcome o;
    RUN(o, "a", "tokenize", "-m", "tests/golden/README.md");
    CHECK_OUTCOME(o, 1, "README.md");
    outcome_release(&o);
    RUN(o, "a", "tokenize", "-m", "/nonexistent");
    CHECK_OUTCOME(o, 1, "/nonexistent");
    outcome_release(&o);
}

static void a_conversation_becomes_its_prompt(void)
{
    static const char request[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"a<|im_end|>\"}], "
                                  "\"add_generation_prompt\": true}";
    outcome o;
    RUN(o, request, "render", "-m", MODEL);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strstr(o.out, "a<|im_end|>") != NULL);
    outcome text = o;
    RUN(o, request, "render", "--ids", "--parse-special", "-m", MODEL);
    CHECK_OUTCOME(o, 0, NULL);
    outcome parsed;
    RUN(parsed, text.out, "tokenize", "--no-special", "-m", MODEL);
    CHECK(strcmp(o.out, parsed.out) == 0);
    outcome_release(&o);
    RUN(o, request, "render", "--ids", "-m", MODEL);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strcmp(o.out, parsed.out) != 0); /* what somebody typed is text */
    outcome_release(&o);
    outcome_release(&parsed);
    outcome_release(&text);
}

static void what_is_no_conversation_is_refused(void)
{
    static const struct {
        const char *input, *message;
    } refusals[] = {
        {"", "conversation: is not valid JSON: line 1"},
        {"[]", "conversation: must be an object"},
        {"{}", "\"messages\": must be an array"},
        {"{\"messages\": []}", "has no messages"},
        {"{\"messages\": [1]}", "\"messages\": entry 1: must be an object"},
        {"{\"messages\": [{}], \"tools\": 1}", "\"tools\": must be an array"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        outcome o;
        RUN(o, refusals[i].input, "render", "-m", MODEL);
        CHECK_OUTCOME(o, 1, refusals[i].message);
        CHECK(o.out_size == 0);
        outcome_release(&o);
    }
    outcome o;
    RUN(o, "{\"messages\": [{}]}", "render", "--template", "none", "-m", MODEL);
    CHECK_OUTCOME(o, 1, "none called \"none\"");
    outcome_release(&o);
    RUN(o, "{}", "render", "--parse-special", "-m", MODEL);
    CHECK_OUTCOME(o, 2, "--parse-special: takes --ids");
    outcome_release(&o);
}

static const test tests[] = {
    TEST(text_becomes_an_array_of_ids),
    TEST(no_text_becomes_an_empty_array),
    TEST(special_tokens_in_a_text_are_found_and_kept),
    TEST(every_byte_comes_back),
    TEST(only_arrays_of_ids_are_detokenized),
    TEST(deep_nesting_is_an_error),
    TEST(a_broken_tokenizer_is_named),
    TEST(a_conversation_becomes_its_prompt),
    TEST(what_is_no_conversation_is_refused),
};
extern const suite suite_tokens;
const suite suite_tokens = SUITE(tests);
