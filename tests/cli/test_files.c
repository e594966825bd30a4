/* The commands that read and write files: logits, convert, inspect, program, diff, perplexity. */
#define _GNU_SOURCE
#include <dirent.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"

#define PROMPT_IDS "83,114,103,105,36,121,116,266"

typedef struct array {
    float *values;
    int rows, columns;
} array;

static array read_npy(const char *path)
{
    array a = {0};
    char header[513] = {0};
    FILE *file = fopen(path, "rb");
    if (!check_says(file != NULL, __FILE__, __LINE__, "%s is missing", path))
        return a;
    const size_t size = fread(header, 1, 10, file);
    const size_t length = size == 10 ? (size_t)(unsigned char)header[8] + 256 * (size_t)(unsigned char)header[9] : 0;
    CHECK(memcmp(header, "\x93NUMPY\x01\x00", 8) == 0 && (length + 10) % 64 == 0 && length < sizeof header);
    CHECK(fread(header, 1, length, file) == length && header[length - 1] == '\n');
    const char *shape = strstr(header, "'shape': (");
    if (CHECK(shape && strstr(header, "'descr': '<f4', 'fortran_order': False")))
        CHECK(sscanf(shape, "'shape': (%d, %d)", &a.rows, &a.columns) == 2);
    const size_t count = (size_t)a.rows * (size_t)a.columns;
    a.values = calloc(count + 1, sizeof *a.values);
    CHECK(a.values && fread(a.values, sizeof *a.values, count + 1, file) == count);
    fclose(file);
    return a;
}

static size_t entries_of(const char *folder)
{
    size_t count = 0;
    DIR *stream = opendir(folder);
    while (stream && readdir(stream))
        count++;
    if (stream)
        closedir(stream);
    return count;
}

static void logits_are_the_references(void)
{
    const char *path = scratch("logits.npy");
    outcome o;
    RUN(o, NULL, "logits", "-m", MODEL, "--tokens", PROMPT_IDS, "-o", path, "--backend", "ref", "--kv", "f32");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.out_size == 0 && o.err_size == 0);
    outcome_release(&o);
    array ours = read_npy(path), golden = read_npy(FFAI_SOURCE_DIR "/tests/golden/llama/f32/logits.npy");
    if (CHECK(ours.rows == 8 && ours.columns == 288 && golden.rows == 8 && golden.columns == 288)) {
        float worst = 0;
        for (int i = 0; i < 8 * 288; i++)
            worst = fmaxf(worst, fabsf(ours.values[i] - golden.values[i]));
        CHECK(worst < 1e-3F);
    }
    struct stat status;
    CHECK(stat(path, &status) == 0 && (status.st_mode & S_IRGRP) != 0);
    free(ours.values);
    free(golden.values);
}

static void logits_leave_nothing_behind_when_they_fail(void)
{
    const char *folder = scratch("logits-folder");
    char path[512];
    mkdir(folder, 0755);
    snprintf(path, sizeof path, "%s/x.npy", folder);
    outcome o;
    RUN(o, NULL, "logits", "-m", MODEL, "--tokens", "5,999", "-o", path);
    CHECK_OUTCOME(o, 1, "999");
    CHECK(entries_of(folder) == 2);
    outcome_release(&o);
    RUN(o, NULL, "logits", "-m", MODEL, "--tokens", "5", "-o", "/nonexistent/x.npy");
    CHECK_OUTCOME(o, 1, "write: /nonexistent/x.npy: No such file or directory");
    outcome_release(&o);
    RUN(o, NULL, "logits", "-m", MODEL, "--tokens", "5", "-o", folder);
    CHECK_OUTCOME(o, 1, "Is a directory");
    outcome_release(&o);
}

static void logits_to_a_device_do_not_replace_it(void)
{
    struct stat status;
    outcome o;
    RUN(o, NULL, "logits", "-m", MODEL, "--tokens", "5", "-o", "/dev/full");
    CHECK_OUTCOME(o, 1, "write: /dev/full: No space left on device");
    CHECK(stat("/dev/full", &status) == 0 && S_ISCHR(status.st_mode));
    outcome_release(&o);
    RUN(o, NULL, "logits", "-m", MODEL, "--tokens", "5", "-o", "/dev/stdout");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.out_size == 128 + 288 * sizeof(float));
    outcome_release(&o);
}

static json_t *tokens_of(const char *model)
{
    outcome o;
    RUN(o, NULL, "-m", model, "--tokens", PROMPT_IDS, "--temp", "0", "-n", "16", "--ignore-eos", "--json",
        "--activations", "f32", "--kv", "f32");
    CHECK_OUTCOME(o, 0, NULL);
    json_t *object = json_of_text(o.out);
    json_t *tokens = json_incref(json_at(object, "tokens"));
    json_decref(object);
    outcome_release(&o);
    return tokens;
}

static void a_converted_model_gives_the_same_tokens(void)
{
    static const char *const sources[] = {"gguf/Q4_1.gguf", "gguf/F16.gguf", "llama/affine-4bit-g64-f16",
                                          "../data/formats/parts/qwen3-00002-of-00003.gguf"};
    char source[512];
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        outcome o;
        static const char *const folders[] = {"converted-0", "converted-1", "converted-2", "converted-3"};
        const char *folder = scratch(folders[i]);
        snprintf(source, sizeof source, "tests/golden/%s", sources[i]);
        RUN(o, NULL, "convert", source, folder);
        if (CHECK_OUTCOME(o, 0, NULL)) {
            json_t *before = tokens_of(source), *after = tokens_of(folder);
            CHECK(before && json_equal(before, after));
            json_decref(before);
            json_decref(after);
        }
        CHECK(o.out_size == 0 && o.err_size == 0);
        outcome_release(&o);
    }
}

/* What a model says when nothing is drawn, as generate's JSON has it. */
static json_t *said_by(const char *model)
{
    outcome o;
    RUN(o, NULL, "-m", model, "--raw", "-p", "The three largest rivers of Europe are", "--temp", "0", "-n", "48",
        "--json");
    json_t *said = CHECK_OUTCOME(o, 0, NULL) ? json_of_text(o.out) : NULL;
    outcome_release(&o);
    return said;
}

static void the_default_model_says_the_same_from_gguf_and_from_a_folder(void)
{
    static const char *const same[] = {"prompt_tokens", "tokens", "text"};
    outcome o;
    RUN(o, NULL, "inspect", "--json");
    json_t *model = o.status == 0 ? json_of_text(o.out) : NULL;
    outcome_release(&o);
    if (!model) {
        skip("the default model is not there");
        return;
    }
    const char *source = json_string_value(json_at(model, "path"));
    const char *folder = scratch("default-model");
    RUN(o, NULL, "convert", source, folder);
    CHECK_OUTCOME(o, 0, NULL);
    outcome_release(&o);
    json_t *before = said_by(source);
    json_t *after = said_by(folder);
    CHECK(json_array_size(json_at(before, "tokens")) == 48);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        CHECK(json_at(before, same[i]) && json_equal(json_at(before, same[i]), json_at(after, same[i])));
    json_decref(before);
    json_decref(after);
    json_decref(model);
}

static void a_conversion_replaces_nothing_without_force(void)
{
    const char *folder = scratch("converted-twice");
    outcome o;
    RUN(o, NULL, "convert", "tests/golden/gguf/Q8_0.gguf", folder);
    CHECK_OUTCOME(o, 0, NULL);
    outcome_release(&o);
    RUN(o, NULL, "convert", "tests/golden/gguf/Q8_0.gguf", folder);
    CHECK_OUTCOME(o, 1, folder);
    outcome_release(&o);
    RUN(o, NULL, "convert", "--force", "tests/golden/gguf/Q8_0.gguf", folder, "--dtype", "f32", "--shard-size",
        "100KB");
    CHECK_OUTCOME(o, 0, NULL);
    outcome_release(&o);
    char index[512];
    snprintf(index, sizeof index, "%s/model.safetensors.index.json", folder);
    CHECK(access(index, R_OK) == 0);
}

/* What mlx makes of this checkpoint is held in test_rounding.c. */
#define QUANTIZABLE "tests/data/quantize/checkpoint"

static void check_format(const char *folder, const char *format)
{
    outcome o;
    RUN(o, NULL, "inspect", "--json", folder);
    CHECK_OUTCOME(o, 0, NULL);
    json_t *object = json_of_text(o.out);
    CHECK(json_object_get(json_at(object, "weights.formats"), format) != NULL);
    json_decref(object);
    outcome_release(&o);
}

static void a_quantized_model_says_its_size_and_runs(void)
{
    static const char *const widths[] = {"2", "3", "4", "5", "6", "8"};
    char format[16];
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const char *folder = scratch("quantized");
        outcome o;
        RUN(o, NULL, "convert", QUANTIZABLE, folder, "--force", "--bits", widths[i], "--group-size", "128");
        CHECK(o.status == 0 && o.out_size == 0);
        CHECK(strstr(o.err, " bits a weight: 8 of 11 tensors are rounded\n"));
        outcome_release(&o);
        snprintf(format, sizeof format, "%sb g128", widths[i]);
        check_format(folder, format);
        RUN(o, NULL, "-m", folder, "--tokens", "3,1,4", "-n", "4", "--json");
        CHECK_OUTCOME(o, 0, NULL);
        outcome_release(&o);
    }
}

static void a_recipe_mixes_two_widths(void)
{
    const char *folder = scratch("mixed");
    outcome o;
    RUN(o, NULL, "convert", QUANTIZABLE, folder, "--recipe", "mixed_3_6", "--dtype", "bf16", "--threads", "3");
    CHECK_OUTCOME(o, 0, NULL);
    outcome_release(&o);
    check_format(folder, "3b g64");
    check_format(folder, "6b g64");
    check_format(folder, "bf16");
}

static void rounding_what_is_quantized_is_noted(void)
{
    outcome o;
    RUN(o, NULL, "convert", "tests/golden/gguf/Q8_0.gguf", scratch("again"), "--bits", "4", "--group-size", "32");
    CHECK(o.status == 0 && strstr(o.err, "are quantized already"));
    outcome_release(&o);
}

static void what_is_no_model_is_not_quantized(void)
{
    static const char *const cases[][3] = {{"tests/golden/README.md", "4", "README.md"},
                                           {"/nonexistent", "4", "/nonexistent"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *folder = scratch("no-model");
        outcome o;
        RUN(o, NULL, "convert", cases[i][0], folder, "--bits", cases[i][1]);
        CHECK_OUTCOME(o, 1, cases[i][2]);
        CHECK(access(folder, F_OK) != 0);
        outcome_release(&o);
    }
}

static void a_report_takes_a_text_or_a_file_with_one(void)
{
    static const char *const texts[] = {"Once upon a time there was a fox", "docs/README.md"};
    for (size_t i = 0; i < 2; i++) {
        outcome o;
        RUN(o, NULL, "convert", MODEL, scratch("reported"), "--force", "--bits", "8", "--report", texts[i], "--json");
        CHECK_OUTCOME(o, 0, NULL);
        json_t *report = json_of_text(o.out);
        const double kl = json_number_value(json_at(report, "mean_kl"));
        CHECK(kl > 0 && kl < 0.01);
        CHECK(json_number_value(json_at(report, "kl_99")) >= kl);
        CHECK(fabs(json_number_value(json_at(report, "perplexity")) /
                       json_number_value(json_at(report, "source_perplexity")) -
                   1) < 0.1);
        json_decref(report);
        outcome_release(&o);
    }
}

static void a_report_is_for_people(void)
{
    outcome o;
    RUN(o, NULL, "convert", MODEL, scratch("told"), "--bits", "4", "--method", "calibrated", "--calibration", "LICENSE",
        "--report", "docs/README.md");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strncmp(o.out, "perplexity  ", 12) == 0 && strstr(o.out, "\nKL divergence  mean ") &&
          strstr(o.out, "\ntop-1 flips  "));
    outcome_release(&o);
}

static void a_text_that_is_not_there_is_found_out_first(void)
{
    static const char *const flags[] = {"--report", "--calibration"};
    for (size_t i = 0; i < 2; i++) {
        const char *folder = scratch("unreported");
        outcome o;
        RUN(o, NULL, "convert", MODEL, folder, "--bits", "4", flags[i], "nothing.txt", "--method",
            i ? "calibrated" : "mlx");
        CHECK_OUTCOME(o, 1, "nothing.txt: no such file");
        CHECK(access(folder, F_OK) != 0);
        outcome_release(&o);
    }
}

/* Four terabytes of zeros that take no room on the disk. */
static void a_result_that_the_disk_cannot_hold_is_not_begun(void)
{
    static const char header[] = "{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[1048576,1048576],"
                                 "\"data_offsets\":[0,4398046511104]}}";
    const uint64_t length = sizeof header - 1;
    char path[512];
    const char *folder = scratch("huge");
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *file = fopen(path, "w");
    if (!CHECK(file != NULL))
        return;
    fputs("{}", file);
    fclose(file);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    file = fopen(path, "w");
    if (!CHECK(file != NULL))
        return;
    fwrite(&length, 1, sizeof length, file);
    fputs(header, file);
    fflush(file);
    const bool sparse = ftruncate(fileno(file), (off_t)(8 + length + 4398046511104)) == 0;
    fclose(file);
    char copy[512];
    snprintf(copy, sizeof copy, "%s-copy", folder);
    outcome o;
    RUN(o, NULL, "convert", folder, copy);
    CHECK_OUTCOME(o, 1, sparse ? "its disk has" : "model.safetensors");
    CHECK(access(copy, F_OK) != 0);
    outcome_release(&o);
}

static void a_conversion_that_fails_leaves_nothing(void)
{
    const char *folder = scratch("converted-never");
    outcome o;
    RUN(o, NULL, "convert", "tests/golden/README.md", folder);
    CHECK_OUTCOME(o, 1, "README.md");
    CHECK(access(folder, F_OK) != 0);
    outcome_release(&o);
    RUN(o, NULL, "convert", MODEL, "/nonexistent/there");
    CHECK_OUTCOME(o, 1, "/nonexistent");
    outcome_release(&o);
}

static void a_checkpoint_is_inspected_for_people_and_as_json(void)
{
    outcome o;
    RUN(o, NULL, "inspect", MODEL);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strstr(o.out, "llama") && strstr(o.out, "temperature") && strstr(o.out, "generation_config.json"));
    outcome_release(&o);
    RUN(o, NULL, "inspect", "--json", "tests/golden/gguf/Q4_1.gguf");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.out_size > 0 && o.out[o.out_size - 1] == '\n');
    json_t *object = json_of_text(o.out);
    CHECK(json_is_object(object));
    json_decref(object);
    outcome_release(&o);
    RUN(o, NULL, "inspect", "tests/golden/README.md");
    CHECK_OUTCOME(o, 1, "README.md");
    outcome_release(&o);
}

static void the_listing_follows_the_fusions(void)
{
    outcome all, none;
    RUN(all, NULL, "program", "-m", MODEL);
    RUN(none, NULL, "program", "-m", MODEL, "--fusions", "none");
    CHECK_OUTCOME(all, 0, NULL);
    CHECK_OUTCOME(none, 0, NULL);
    CHECK(strstr(all.out, "attention") && strstr(all.out, "swiglu"));
    CHECK(strstr(none.out, "silu") && !strstr(none.out, "swiglu"));
    outcome_release(&all);
    outcome_release(&none);
    RUN(all, NULL, "program", "-m", MODEL, "--fusions", "bogus");
    CHECK_OUTCOME(all, 2, "bogus");
    outcome_release(&all);
}

static void two_backends_agree_within_the_tolerance(void)
{
    outcome o;
    RUN(o, NULL, "diff", "-m", MODEL, "--backend", "cpu", "--against", "ref");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strstr(o.out, "attention") && strstr(o.out, "no instruction of "));
    CHECK(o.err_size == 0);
    outcome_release(&o);
    RUN(o, NULL, "diff", "-m", MODEL, "--backend", "cpu", "--against", "ref", "--tokens", "1,2,3", "--activations",
        "f32");
    CHECK_OUTCOME(o, 0, NULL);
    outcome_release(&o);
}

static size_t lines_of(const char *text)
{
    size_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void the_first_instruction_that_departs_is_named(void)
{
    outcome first, all;
    RUN(first, NULL, "diff", "-m", MODEL, "--backend", "cpu", "--against", "ref", "--tolerance", "0");
    CHECK_OUTCOME(first, 1, "diff: instruction ");
    CHECK(strstr(first.err, "departs by") && strstr(first.err, " against "));
    RUN(all, NULL, "diff", "-m", MODEL, "--backend", "cpu", "--against", "ref", "--tolerance", "0", "--all");
    CHECK_OUTCOME(all, 1, "diff: instruction ");
    CHECK(lines_of(all.out) > lines_of(first.out));
    outcome_release(&first);
    outcome_release(&all);
}

static void perplexity_has_windows(void)
{
    char text[2001];
    for (size_t i = 0; i < 2000; i++)
        text[i] = "the river had been rising "[i % 26];
    text[2000] = 0;
    outcome o;
    RUN(o, text, "perplexity", "-m", MODEL, "--json", "--context", "100");
    CHECK_OUTCOME(o, 0, NULL);
    json_t *object = json_of_text(o.out);
    const json_int_t tokens = json_integer_value(json_at(object, "tokens"));
    const double mean = json_number_value(json_at(object, "mean_nll"));
    CHECK(tokens > 200 && mean > 0);
    CHECK(json_integer_value(json_at(object, "windows")) == (tokens + 99) / 100);
    CHECK(fabs(json_number_value(json_at(object, "perplexity")) / exp(mean) - 1) < 1e-4);
    json_decref(object);
    outcome_release(&o);
    RUN(o, text, "perplexity", "-m", MODEL);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strncmp(o.out, "perplexity  ", 12) == 0);
    outcome_release(&o);
}

/* Of one layer, with an embedding of four terabytes that take no room on the disk. False: the disk won't have it. */
static bool write_huge_model(const char *folder)
{
    enum { HIDDEN = 131072 };
    static const struct {
        const char *name;
        uint64_t rows;
    } tensors[] = {{"embed_tokens", 16777216},        {"norm", 0},
                   {"layers.0.input_layernorm", 0},   {"layers.0.post_attention_layernorm", 0},
                   {"layers.0.self_attn.q_proj", 64}, {"layers.0.self_attn.k_proj", 64},
                   {"layers.0.self_attn.v_proj", 64}, {"layers.0.mlp.gate_proj", 64},
                   {"layers.0.mlp.up_proj", 64},      {"layers.0.self_attn.o_proj", 64},
                   {"layers.0.mlp.down_proj", 64}};
    enum { TENSORS = sizeof tensors / sizeof tensors[0], ACROSS = TENSORS - 2 };
    char path[512], header[4096] = "{";
    uint64_t end = 0;
    for (size_t i = 0, length = 1; i < TENSORS; i++) {
        char shape[64];
        const uint64_t begin = end;
        const unsigned long long rows = tensors[i].rows;
        if (!rows)
            snprintf(shape, sizeof shape, "[%d]", HIDDEN);
        else if (i < ACROSS)
            snprintf(shape, sizeof shape, "[%llu,%d]", rows, HIDDEN);
        else
            snprintf(shape, sizeof shape, "[%d,%llu]", HIDDEN, rows);
        end += 2 * (rows ? rows : 1) * HIDDEN;
        length +=
            (size_t)snprintf(header + length, sizeof header - length,
                             "%s\"model.%s.weight\":{\"dtype\":\"BF16\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}",
                             i ? "," : "", tensors[i].name, shape, (unsigned long long)begin, (unsigned long long)end);
    }
    strcat(header, "}");
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *config = fopen(path, "w");
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *model = fopen(path, "w");
    const uint64_t length = strlen(header);
    if (CHECK(config && model)) {
        fprintf(config,
                "{\"model_type\":\"llama\",\"hidden_size\":%d,\"intermediate_size\":64,\"num_hidden_layers\":1,"
                "\"num_attention_heads\":2,\"head_dim\":32,\"vocab_size\":16777216,\"tie_word_embeddings\":true}",
                HIDDEN);
        fwrite(&length, 1, sizeof length, model);
        fputs(header, model);
        fflush(model);
    }
    const bool sparse = model && ftruncate(fileno(model), (off_t)(8 + length + end)) == 0;
    if (config)
        fclose(config);
    if (model)
        fclose(model);
    return sparse;
}

static void a_model_that_memory_cannot_hold_is_inspected_all_the_same(void)
{
    outcome o;
    const char *folder = scratch("huge-model");
    if (!write_huge_model(folder)) {
        skip("the disk takes no file of four terabytes");
        return;
    }
    RUN(o, NULL, "inspect", folder);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strstr(o.out, "variant       llama 2199.1B\n") && strstr(o.out, "does not run with cpu: weights take 4398."));
    CHECK(strstr(o.out, "too much") && strstr(o.out, "enough for a context of 0"));
    outcome_release(&o);
}

static void inspect_takes_its_model_in_both_ways(void)
{
    outcome bare, flag;
    RUN(bare, NULL, "inspect", MODEL);
    RUN(flag, NULL, "inspect", "-m", MODEL);
    CHECK_OUTCOME(flag, 0, NULL);
    CHECK(flag.out_size > 0 && strcmp(bare.out, flag.out) == 0);
    outcome_release(&bare);
    outcome_release(&flag);
    RUN(flag, NULL, "inspect", "-m", MODEL, MODEL);
    CHECK_OUTCOME(flag, 2, "unexpected argument");
    outcome_release(&flag);
    RUN(flag, NULL, "inspect", MODEL, "-m", MODEL);
    CHECK_OUTCOME(flag, 2, "inspect: --model: is given twice");
    outcome_release(&flag);
}

static void perplexity_takes_two_tokens(void)
{
    outcome o;
    RUN(o, "a", "perplexity", "-m", MODEL);
    CHECK_OUTCOME(o, 1, "it takes 2");
    outcome_release(&o);
    RUN(o, NULL, "perplexity", "-m", MODEL);
    CHECK_OUTCOME(o, 1, "perplexity: text: is empty: give -f FILE or standard input");
    outcome_release(&o);
    RUN(o, "ab", "perplexity", "-m", MODEL);
    CHECK(o.status == 0 && strstr(o.out, "2 in 1 window of 2\n"));
    outcome_release(&o);
    RUN(o, NULL, "perplexity", "-m", MODEL, "-f", "/nonexistent/text");
    CHECK_OUTCOME(o, 1, "/nonexistent/text");
    outcome_release(&o);
}

static const test tests[] = {
    TEST(logits_are_the_references),
    TEST(logits_leave_nothing_behind_when_they_fail),
    TEST(logits_to_a_device_do_not_replace_it),
    TEST(a_converted_model_gives_the_same_tokens),
    TEST(the_default_model_says_the_same_from_gguf_and_from_a_folder),
    TEST(a_quantized_model_says_its_size_and_runs),
    TEST(a_recipe_mixes_two_widths),
    TEST(rounding_what_is_quantized_is_noted),
    TEST(what_is_no_model_is_not_quantized),
    TEST(a_report_takes_a_text_or_a_file_with_one),
    TEST(a_report_is_for_people),
    TEST(a_text_that_is_not_there_is_found_out_first),
    TEST(a_result_that_the_disk_cannot_hold_is_not_begun),
    TEST(a_conversion_replaces_nothing_without_force),
    TEST(a_conversion_that_fails_leaves_nothing),
    TEST(a_checkpoint_is_inspected_for_people_and_as_json),
    TEST(a_model_that_memory_cannot_hold_is_inspected_all_the_same),
    TEST(inspect_takes_its_model_in_both_ways),
    TEST(the_listing_follows_the_fusions),
    TEST(two_backends_agree_within_the_tolerance),
    TEST(the_first_instruction_that_departs_is_named),
    TEST(perplexity_has_windows),
    TEST(perplexity_takes_two_tokens),
};
extern const suite suite_files;
const suite suite_files = SUITE(tests);
