/* bench: what it refuses, and what it measures. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"
#include "refusals.h"

/* Some 80 MB of weights, and little to compute. */
#define SMALL "bench", "--shape", "smollm2-135m", "--bits", "4", "--prompt-tokens", "8", "--gen-tokens", "4"

static json_t *json_of_outcome(const outcome *o)
{
    CHECK_OUTCOME(*o, 0, NULL);
    CHECK(o->err_size == 0);
    return json_of_text(o->out);
}

static double number_at(json_t *object, const char *path)
{
    return json_number_value(json_at(object, path));
}

static void what_contradicts_or_is_missing_is_refused(void)
{
    static const refusal refusals[] = {
        {"bench", "bench: --model: is missing: give it or --shape"},
        {"bench -m /nonexistent --shape qwen3-4b --bits 4", "bench: --shape: contradicts --model"},
        {"bench --shape qwen3-4b", "bench: --bits: is missing"},
        {"bench -m /nonexistent --bits 4", "bench: --bits: goes with --shape"},
        {"bench -m /nonexistent --group-size 64", "bench: --group-size: goes with --shape"},
        {"bench -m /nonexistent --layers 2", "bench: --layers: goes with --shape"},
        {"bench --shape qwen3-4b --bits 16 --group-size 64", "--group-size: contradicts --bits 16"},
        {"bench --shape qwen3-5b --bits 4", "--shape: \"qwen3-5b\" is none of smollm2-135m|"},
        {"bench --shape qwen3-4b --bits 7", "--bits: \"7\" is none of 16|8|6|5|4|3|2"},
        {"bench --shape qwen3-4b --bits 4 --group-size 48", "--group-size: \"48\" is none of"},
        {"bench -m /nonexistent --depth 0,x", "bench: --depth: entry 2 is not a whole number"},
        {"bench -m /nonexistent --depth 2000000000", "--depth: 2000000000 is out of range"},
        {"bench -m /nonexistent --depth -1", "--depth: entry 1 is not a whole number"},
        {"bench -m /nonexistent --repeat 0", "bench: --repeat: 0 is out of range: 1 to 1000"},
        {"bench -m /nonexistent --sequences 0", "bench: --sequences: 0 is out of range: 1 to 256"},
        {"bench -m /nonexistent --prompt-tokens 0 --gen-tokens 0", "there is nothing to measure"},
        {"bench -m /nonexistent --threads 0", "bench: --threads: 0 is out of range"},
        {"bench --shape smollm2-135m --bits 4 --depth 8000", "make 8640 tokens; smollm2-135m has a context of 8192"},
    };
    CHECK_REFUSALS(refusals);
}

static void a_backend_that_cannot_be_measured_is_an_error(void)
{
    outcome o;
    RUN(o, NULL, "bench", "-m", MODEL, "--prompt-tokens", "4", "--gen-tokens", "4", "--backend", "ref");
    CHECK_OUTCOME(o, 1, "measure: the backend ref cannot be measured");
    outcome_release(&o);
}

static void a_model_that_is_not_there_is_an_error(void)
{
    outcome o;
    RUN(o, NULL, "bench", "-m", "/nonexistent");
    CHECK_OUTCOME(o, 1, "/nonexistent: no such folder or file");
    outcome_release(&o);
}

static void a_checkpoint_with_too_small_a_context_is_an_error(void)
{
    outcome o;
    RUN(o, NULL, "bench", "-m", MODEL, "--depth", "10000000");
    CHECK_OUTCOME(o, 1, "has a context of");
    outcome_release(&o);
}

static void every_shape_is_in_the_help(void)
{
    outcome help, refused;
    RUN(help, NULL, "help", "bench");
    RUN(refused, NULL, "bench", "--shape", "x", "--bits", "4");
    char *list = refused.err ? strstr(refused.err, "none of ") : NULL;
    if (CHECK(list != NULL)) {
        list += strlen("none of ");
        list[strcspn(list, "\n")] = 0;
        for (char *name = strtok(list, "|"); name; name = strtok(NULL, "|"))
            check_says(strstr(help.out, name) != NULL, __FILE__, __LINE__, "%s is missing", name);
    }
    outcome_release(&help);
    outcome_release(&refused);
}

/* One run gives rates that agree with each other. */
static void check_measured(json_t *object, const char *name, double tokens, double repeats)
{
    json_t *m = json_object_get(object, name);
    if (!CHECK(json_is_object(m)))
        return;
    CHECK(number_at(m, "tokens") == tokens && number_at(m, "repeats") == repeats);
    CHECK(number_at(m, "tok_s") > 0 && number_at(m, "share") > 0);
    CHECK(number_at(m, "min_tok_s") <= number_at(m, "tok_s") && number_at(m, "tok_s") <= number_at(m, "max_tok_s"));
}

static void a_shape_is_measured_at_every_depth(void)
{
    outcome o;
    RUN(o, NULL, SMALL, "--depth", "40,0", "--repeat", "3", "--threads", "2", "--json");
    json_t *object = json_of_outcome(&o);
    json_t *depths = json_at(object, "depths");
    check_measured(object, "prefill", 8, 3);
    check_measured(object, "decode", 4, 3);
    CHECK(json_array_size(depths) == 2);
    CHECK(number_at(json_array_get(depths, 0), "depth") == 40 && number_at(json_array_get(depths, 1), "depth") == 0);
    check_measured(json_array_get(depths, 1), "prefill", 8, 3);
    check_measured(json_array_get(depths, 1), "decode", 4, 3);
    CHECK(json_equal(json_at(object, "decode"), json_at(json_array_get(depths, 0), "decode")));
    /* Keys and values of 40 positions more: 30 layers, 3 heads of 64, in f16. */
    const double more = number_at(json_array_get(depths, 0), "decode.bytes_per_token") -
                        number_at(json_array_get(depths, 1), "decode.bytes_per_token");
    CHECK(more == 40.0 * 30 * 2 * 3 * 64 * 2);
    CHECK(number_at(object, "threads") == 2 && number_at(object, "bits") == 4);
    CHECK(json_at(object, "backend") != NULL);
    CHECK(number_at(object, "machine.read_gb_s") > 0 && number_at(object, "machine.matmul_tflop_s") > 0);
    CHECK(number_at(object, "first_token_s") >= number_at(object, "load_s") && number_at(object, "load_s") > 0);
    CHECK(number_at(object, "peak_rss_bytes") > number_at(object, "weight_bytes"));
    json_decref(object);
    outcome_release(&o);
}

/* Each with a context of its own, and a step with a token of each. */
static void sequences_are_continued_together(void)
{
    outcome o;
    RUN(o, NULL, SMALL, "--sequences", "3", "--depth", "5,40", "--repeat", "2", "--ops", "--json");
    json_t *object = json_of_outcome(&o);
    json_t *depths = json_at(object, "depths");
    check_measured(object, "together", 12, 2);
    check_measured(json_array_get(depths, 1), "together", 12, 2);
    CHECK(json_equal(json_at(object, "together"), json_at(json_array_get(depths, 0), "together")));
    CHECK(number_at(object, "together.sequences") == 3);
    const double times = number_at(object, "together.tok_s") / number_at(object, "decode.tok_s");
    CHECK(fabs(number_at(object, "together.times_one") - times) < 1e-5 * times);
    /* The weights once for three tokens, keys and values for each. */
    const double stores = number_at(json_array_get(depths, 1), "together.bytes_per_token") -
                          number_at(json_array_get(depths, 0), "together.bytes_per_token");
    CHECK(fabs(stores - 35.0 * 30 * 2 * 3 * 64 * 2) < 1e-3);
    json_t *ops = json_at(object, "together.ops");
    bool head = false;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        json_t *op = json_array_get(ops, i);
        head = head || (json_is_text(json_at(op, "op"), "head") && json_is_text(json_at(op, "part"), "multiply") &&
                        number_at(op, "count") == 8);
    }
    CHECK(head);
    json_decref(object);
    outcome_release(&o);
    RUN(o, NULL, SMALL, "--sequences", "2", "--repeat", "1");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.out && strstr(o.out, "\ntogether ") && strstr(o.out, " 2 sequences, "));
    outcome_release(&o);
    RUN(o, NULL, SMALL, "--repeat", "1", "--json");
    object = json_of_outcome(&o);
    CHECK(json_is_null(json_object_get(object, "together")));
    json_decref(object);
    outcome_release(&o);
}

static void a_checkpoint_is_measured_too(void)
{
    outcome o;
    RUN(o, NULL, "bench", "-m", MODEL, "--prompt-tokens", "0", "--gen-tokens", "4", "--repeat", "1", "--json");
    json_t *object = json_of_outcome(&o);
    check_measured(object, "decode", 4, 1);
    CHECK(json_is_null(json_object_get(object, "prefill")) && json_is_null(json_object_get(object, "shape")));
    CHECK(json_is_null(json_object_get(object, "bits")) && json_is_text(json_at(object, "model"), MODEL));
    json_decref(object);
    outcome_release(&o);
}

/* And by the flag that has the most of it. */
static void a_checkpoints_context_is_looked_at_before_anything_is_measured(void)
{
    static const struct {
        const char *flag, *message;
    } cases[] = {{"--depth=100000", "bench: --depth: depth, prompt and continuation make 100640 tokens"},
                 {"--prompt-tokens=1000000", "bench: --prompt-tokens: depth, prompt and continuation make"},
                 {"--gen-tokens=1000000", "bench: --gen-tokens: depth, prompt and continuation make"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome o;
        RUN(o, NULL, "bench", "-m", MODEL, cases[i].flag);
        CHECK_OUTCOME(o, 1, cases[i].message);
        outcome_release(&o);
    }
}

static void one_of_prefill_and_decode_is_enough(void)
{
    outcome o;
    RUN(o, NULL, "bench", "-m", MODEL, "--prompt-tokens", "6", "--gen-tokens", "0", "--repeat", "1", "--json");
    json_t *object = json_of_outcome(&o);
    check_measured(object, "prefill", 6, 1);
    CHECK(json_is_null(json_object_get(object, "decode")));
    json_decref(object);
    outcome_release(&o);
    RUN(o, NULL, "bench", "-m", MODEL, "--prompt-tokens", "0", "--gen-tokens", "1", "--repeat", "1", "--json");
    object = json_of_outcome(&o);
    check_measured(object, "decode", 1, 1);
    json_decref(object);
    outcome_release(&o);
}

static void the_first_token_without_a_prompt_comes_after_one(void)
{
    outcome o;
    RUN(o, NULL, "bench", "-m", MODEL, "--prompt-tokens", "0", "--gen-tokens", "1", "--repeat", "1");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.out && strstr(o.out, " s, loading and a prompt of 1 token\n"));
    outcome_release(&o);
}

static void the_kinds_of_work_make_up_the_measured_time(void)
{
    outcome o;
    RUN(o, NULL, SMALL, "--repeat", "2", "--ops", "--json");
    json_t *object = json_of_outcome(&o);
    json_t *ops = json_at(object, "decode.ops");
    double seconds = 0;
    bool head = false;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        json_t *op = json_array_get(ops, i);
        seconds += number_at(op, "seconds");
        head = head || (json_is_text(json_at(op, "op"), "head") && json_is_text(json_at(op, "part"), "multiply") &&
                        number_at(op, "count") == 8 && number_at(op, "gb_s") > 0);
    }
    CHECK(head);
    const double measured = number_at(object, "decode.seconds");
    CHECK(seconds > 0.999 * measured && seconds < 1.001 * measured);
    json_decref(object);
    outcome_release(&o);
}

static void people_get_lines(void)
{
    outcome o;
    RUN(o, NULL, SMALL, "--repeat", "1", "--ops");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.err_size == 0);
    static const char *const words[] = {"smollm2-135m, random weights in 4 bits, groups of 64\n",
                                        "machine  reads ",
                                        "\nprefill ",
                                        "\ndecode ",
                                        "\nload ",
                                        "\nmemory ",
                                        "linear_shared  multiply"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        check_says(o.out && strstr(o.out, words[i]), __FILE__, __LINE__, "\"%s\" is missing", words[i]);
    outcome_release(&o);
}

/* Whenever it comes, the object is whole. */
static void control_c_ends_it_with_what_was_measured(void)
{
    for (useconds_t delay = 100000; delay <= 3200000; delay *= 2) {
        running r;
        outcome o;
        START(r, false, SMALL, "--repeat", "1000", "--depth", "0,500,1000,1500,2000,2500,3000", "--json");
        usleep(delay);
        kill(r.pid, SIGINT);
        process_finish(&o, &r);
        if (CHECK(o.status == 0 || o.status == SIGNALLED + SIGINT) && o.status == 0) { /* before it watches for it */
            json_t *object = json_of_text(o.out);
            CHECK(json_is_true(json_at(object, "cancelled")));
            CHECK(o.err && strstr(o.err, "ffai: bench: cancelled: "));
            json_decref(object);
        }
        outcome_release(&o);
    }
}

static const test tests[] = {
    TEST(what_contradicts_or_is_missing_is_refused),
    TEST(a_model_that_is_not_there_is_an_error),
    TEST(a_backend_that_cannot_be_measured_is_an_error),
    TEST(a_checkpoint_with_too_small_a_context_is_an_error),
    TEST(every_shape_is_in_the_help),
    TEST(a_shape_is_measured_at_every_depth),
    TEST(sequences_are_continued_together),
    TEST(a_checkpoint_is_measured_too),
    TEST(a_checkpoints_context_is_looked_at_before_anything_is_measured),
    TEST(one_of_prefill_and_decode_is_enough),
    TEST(the_first_token_without_a_prompt_comes_after_one),
    TEST(the_kinds_of_work_make_up_the_measured_time),
    TEST(people_get_lines),
    TEST(control_c_ends_it_with_what_was_measured),
};
extern const suite suite_bench;
const suite suite_bench = SUITE(tests);
