/* Flags and values: what is bad is refused with status 2, by name, before any file is opened. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"
#include "refusals.h"

static void unknown_commands_and_flags_are_refused(void)
{
    static const refusal refusals[] = {
        {"chat -m /nonexistent", "\"chat\": unknown command"},
        {"serve", "\"serve\": unknown command"},
        {"help nonsense", "help: \"nonsense\": unknown command"},
        {"--nonsense", "generate: --nonsense: unknown flag"},
        {"-x", "generate: -x: unknown flag"},
        {"-prompt a", "generate: -prompt: unknown flag"},
        {"-hx", "generate: -hx: unknown flag"},
        {"--tok 1", "generate: --tok: unknown flag"},
        {"tokenize --json", "tokenize: --json: unknown flag"},
        {"-p a b", "generate: \"b\": unexpected argument"},
        {"-p a -", "generate: \"-\": unexpected argument"},
        {"-- -p", "generate: \"-p\": unexpected argument"},
        {"convert a b c", "convert: \"c\": unexpected argument"},
        {"version 1", "version: \"1\": unexpected argument"},
    };
    CHECK_REFUSALS(refusals);
}

static void missing_flags_and_values_are_refused(void)
{
    static const refusal refusals[] = {
        {"-m", "generate: --model: needs a value"},
        {"generate -p", "generate: --prompt: needs a value"},
        {"--model= -p a", "generate: --model: is empty"},
        {"-p a --fusions=", "generate: --fusions: is empty"},
        {"-f= -p a", "generate: --file: is empty"},
        {"-n= -p a", "generate: --max-tokens: \"\" is not an integer"},
        {"-nx -p a", "generate: --max-tokens: \"x\" is not an integer"},
        {"logits -m /nonexistent -o x.npy", "logits: --tokens: is missing"},
        {"logits -m /nonexistent --tokens 1", "logits: --output: is missing"},
        {"convert", "convert: SRC: is missing"},
        {"convert /nonexistent", "convert: DST: is missing"},
        {"diff -m /nonexistent --backend ref", "diff: --against: is missing"},
        {"diff -m /nonexistent --against ref", "diff: --backend: is missing"},
        {"--raw=yes -p a", "generate: --raw: takes no value"},
    };
    CHECK_REFUSALS(refusals);
}

static void a_flag_that_is_given_twice_is_refused(void)
{
    static const refusal refusals[] = {
        {"-p a -p b", "generate: --prompt: is given twice"},
        {"-p a --prompt=b", "generate: --prompt: is given twice"},
        {"--temp 1 --temperature 1 -p a", "generate: --temperature: is given twice"},
        {"--json --json -p a", "generate: --json: is given twice"},
    };
    CHECK_REFUSALS(refusals);
}

static void flags_that_contradict_each_other_are_refused(void)
{
    static const refusal refusals[] = {
        {"-p a -f b", "generate: --file: contradicts --prompt"},
        {"-p a --tokens 1", "generate: --tokens: contradicts --prompt"},
        {"--tokens 1 -f b", "generate: --tokens: contradicts --file"},
        {"diff --backend ref --against cpu -p a --tokens 1", "diff: --tokens: contradicts --prompt"},
        {"-p a --system b", "generate: --system: a system prompt takes a chat template"},
    };
    CHECK_REFUSALS(refusals);
}

static void numbers_out_of_range_are_refused(void)
{
    static const refusal refusals[] = {
        {"-p a -n -1", "generate: --max-tokens: -1 is out of range: 0 to 1000000000"},
        {"-p a -n 1000000001", "generate: --max-tokens: 1000000001 is out of range"},
        {"-p a -n 99999999999999999999", "is not an integer of at most 64 bits"},
        {"-p a --temp -0.1", "generate: --temperature: -0.1 is out of range: 0 to 100"},
        {"-p a --temp 1e300", "generate: --temperature: 1e300 is out of range"},
        {"-p a --temp 1e999", "generate: --temperature: \"1e999\" is not a finite decimal number"},
        {"-p a --top-p 0", "generate: --top-p: 0 is out of range: above 0 to 1"},
        {"-p a --top-p 1.0001", "generate: --top-p: 1.0001 is out of range"},
        {"-p a --top-k -1", "generate: --top-k: -1 is out of range"},
        {"-p a --min-p 1.5", "generate: --min-p: 1.5 is out of range: 0 to 1"},
        {"-p a --repeat-penalty 0", "generate: --repeat-penalty: 0 is out of range: 0.01 to 100"},
        {"-p a --presence-penalty 101", "generate: --presence-penalty: 101 is out of range: -100 to 100"},
        {"-p a --regex a --grammar b", "generate: --json-schema, --grammar and --regex: give one of them"},
        {"-p a --regex a --ignore-eos", "generate: --ignore-eos: a grammar says where the text ends"},
        {"-p a --threads 0", "generate: --threads: 0 is out of range: 1 to 1024"},
        {"-p a --threads 1025", "generate: --threads: 1025 is out of range"},
        {"-p a --context 0", "generate: --context: 0 is out of range"},
        {"-p a --seed -1", "generate: --seed: -1 is out of range: 0 to 9223372036854775807"},
        {"-p a --seed 9223372036854775808", "generate: --seed: \"9223372036854775808\" is not an integer"},
        {"perplexity -f x --context 1", "perplexity: --context: 1 is out of range: 2 to 1000000000"},
        {"logits --tokens 1 -o x --threads 0", "logits: --threads: 0 is out of range"},
        {"perplexity -f x --threads 4096", "perplexity: --threads: 4096 is out of range"},
        {"diff --backend ref --against cpu --tolerance -1", "diff: --tolerance: -1 is out of range"},
        {"convert a b --shard-size 999B", "convert: --shard-size: 999B is out of range"},
    };
    CHECK_REFUSALS(refusals);
}

static void values_that_are_none_are_refused(void)
{
    static const refusal refusals[] = {
        {"-p a -n 1.5", "generate: --max-tokens: \"1.5\" is not an integer"},
        {"-p a -n 0x10", "\"0x10\" is not an integer"},
        {"-p a -n ten", "\"ten\" is not an integer"},
        {"-p a --max-tokens=", "generate: --max-tokens: \"\" is not an integer"},
        {"-p a --temp nan", "generate: --temperature: \"nan\" is not a finite decimal number"},
        {"-p a --temp inf", "\"inf\" is not a finite decimal number"},
        {"-p a --temp 1,5", "\"1,5\" is not a finite decimal number"},
        {"-p a --temp 0x1", "\"0x1\" is not a finite decimal number"},
        {"-p a --temp 1e", "\"1e\" is not a finite decimal number"},
        {"-p a --backend gpu", "generate: --backend: \"gpu\" is none of auto|cpu|cuda|ref"},
        {"-p a --backend cp", "\"cp\" is none of"},
        {"-p a --device -1", "generate: --device: -1 is out of range: 0 to 1023"},
        {"-p a --kv q8", "generate: --kv: \"q8\" is none of bf16|f16|f32"},
        {"-p a --activations int8", "generate: --activations: \"int8\" is none of default|f32|bf16"},
        {"convert a b --dtype f16", "convert: --dtype: \"f16\" is none of bf16|fp16|f32"},
        {"convert a b --bits 7", "convert: --bits: \"7\" is none of 2|3|4|5|6|8"},
        {"convert a b --bits 4 --group-size 16", "convert: --group-size: \"16\" is none of 32|64|128"},
        {"convert a b --group-size 64", "convert: --group-size: takes --bits or --recipe"},
        {"convert a b --method mlx", "convert: --method: takes --bits or --recipe"},
        {"convert a b --bits 4 --method gptq", "convert: --method: \"gptq\" is none of mlx|calibrated"},
        {"convert a b --bits 4 --method calibrated", "convert: --calibration: is missing"},
        {"convert a b --bits 4 --calibration x", "convert: --calibration: takes --method calibrated"},
        {"convert a b --json", "convert: --json: takes --report"},
        {"convert a b --recipe mixed_5_6", "convert: --recipe: \"mixed_5_6\" is none of mixed_2_6|"},
        {"convert a b --recipe mixed_3_6 --bits 4", "convert: --bits: --recipe mixed_3_6 has 3"},
        {"convert a b --shard-size 5", "convert: --shard-size: \"5\" is not a size"},
        {"convert a b --shard-size 5gb", "\"5gb\" is not a size"},
        {"convert a b --shard-size GB", "\"GB\" is not a size"},
        {"convert a b --shard-size 9999999999999999GB", "is not a size"},
        {"--tokens=", "generate: --tokens: entry 1 is not a token id"},
        {"--tokens 1,,2", "entry 2 is not a token id"},
        {"--tokens 1,2,", "entry 3 is not a token id"},
        {"--tokens 1,-2", "entry 2 is not a token id"},
        {"--tokens 1;2", "entry 1 is not a token id"},
        {"--tokens 2147483648", "entry 1 is not a token id"},
        {"--tokens 99999999999999999999", "entry 1 is not a token id"},
        {"--tokens a", "entry 1 is not a token id"},
    };
    CHECK_REFUSALS(refusals);
}

static void an_empty_argument_is_no_command(void)
{
    outcome o;
    RUN(o, NULL, "");
    CHECK_OUTCOME(o, 2, "\"\": unknown command");
    outcome_release(&o);
    RUN(o, NULL, "inspect", "");
    CHECK_OUTCOME(o, 2, "inspect: MODEL: is empty");
    outcome_release(&o);
    RUN(o, NULL, "-f", "", "-m", "/nonexistent");
    CHECK_OUTCOME(o, 2, "generate: --file: is empty");
    outcome_release(&o);
}

static void a_message_is_one_line_without_control_characters(void)
{
    outcome o;
    RUN(o, NULL, "\x1b[31m\n\rred");
    CHECK_OUTCOME(o, 2, "\"?[31m??red\": unknown command");
    outcome_release(&o);
    char *longest = calloc(1, 100001);
    if (CHECK(longest != NULL))
        memset(longest, 'x', 100000);
    RUN(o, NULL, "-p", "a", "--temp", longest);
    CHECK_OUTCOME(o, 2, "is not a finite decimal number");
    CHECK(o.err_size < 1100);
    outcome_release(&o);
    free(longest);
}

static void values_may_begin_with_a_dash(void)
{
    outcome o;
    RUN(o, NULL, "-m", MODEL, "-p", "--json", "--presence-penalty", "-1", "-n", "1");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.err_size == 0);
    outcome_release(&o);
}

static void a_letters_value_may_follow_it_directly(void)
{
    static const char *const ways[][3] = {{"-n", "3"}, {"-n3"}, {"-n=3"}};
    for (size_t i = 0; i < 3; i++) {
        outcome o;
        RUN(o, NULL, "-m", MODEL, "-p=a", "--temp", "0", "--ignore-eos", "--json", ways[i][0], ways[i][1]);
        CHECK_OUTCOME(o, 0, NULL);
        json_t *object = json_of_text(o.out);
        CHECK(json_is_ids(json_at(object, "prompt_tokens"), "[101]"));
        CHECK(json_array_size(json_at(object, "tokens")) == 3);
        json_decref(object);
        outcome_release(&o);
    }
}

static void the_version_is_printed_in_three_ways(void)
{
    static const char *const ways[] = {"version", "--version", "-V"};
    outcome o;
    for (size_t i = 0; i < 3; i++) {
        RUN(o, NULL, ways[i]);
        CHECK_OUTCOME(o, 0, NULL);
        CHECK(strncmp(o.out, "ffai ", 5) == 0 && strchr(o.out, '.') && o.err_size == 0);
        outcome_release(&o);
    }
}

static const test tests[] = {
    TEST(unknown_commands_and_flags_are_refused), TEST(missing_flags_and_values_are_refused),
    TEST(a_flag_that_is_given_twice_is_refused),  TEST(flags_that_contradict_each_other_are_refused),
    TEST(numbers_out_of_range_are_refused),       TEST(values_that_are_none_are_refused),
    TEST(an_empty_argument_is_no_command),        TEST(a_message_is_one_line_without_control_characters),
    TEST(values_may_begin_with_a_dash),           TEST(a_letters_value_may_follow_it_directly),
    TEST(the_version_is_printed_in_three_ways),
};
extern const suite suite_usage;
const suite suite_usage = SUITE(tests);
