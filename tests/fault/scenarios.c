#define _GNU_SOURCE
#include "scenarios.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "calls.h"
#include "checkpoint.h"
#include "failure.h"
#include "hub_scenarios.h"
#include "synthetic.h"

#define GOLDEN     FFAI_SOURCE_DIR "/tests/golden/"
#define TOKENIZERS FFAI_SOURCE_DIR "/tests/fuzz/text/corpus/fuzz_tokenizer_json/"
#define MIXED      GOLDEN "llama/affine-mixed"
#define SHARDED    GOLDEN "llama/sharded"
#define GGUF       GOLDEN "gguf/Q4_1.gguf"
#define PARTS      FFAI_SOURCE_DIR "/tests/data/formats/parts/qwen3-00002-of-00003.gguf"
#define SCORES     FFAI_SOURCE_DIR "/tests/data/gguf-tokenizers/sentence-piece.gguf"

/* --- loading --- */

static const int32_t prompt[] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100};
enum { PROMPT = sizeof prompt / sizeof prompt[0] };

static ffai_status add_logits(digest *d, ffai_session *session, ffai_sequence sequence, ffai_error *err)
{
    const float *logits = NULL;
    ffai_model_info info;
    const ffai_row row = {10, sequence, true, NULL};
    ffai_model_get_info(&info, ffai_session_model(session));
    add_text(d, info.family);
    add(d, &info.weight_bytes, sizeof info.weight_bytes);
    FFAI__TRY(ffai_forward(&logits, session, &row, 1, err));
    add(d, logits, (size_t)info.vocab_size * sizeof *logits);
    return FFAI_OK;
}

static ffai_status step_once(digest *d, ffai_model *model, ffai_error *err)
{
    static const ffai_session_options options = {.context = 32, .max_sequences = 1, .max_rows = 4};
    ffai_session *session = NULL;
    ffai_sequence sequence = 0;
    FFAI__TRY(ffai_session_open(&session, model, &options, err));
    ffai_status status = ffai_sequence_open(&sequence, session, err);
    if (status == FFAI_OK)
        status = add_logits(d, session, sequence, err);
    ffai_session_close(session);
    return status;
}

static ffai_status load(digest *d, const char *path, const ffai_model_options *options, ffai_error *err)
{
    ffai_model *model = NULL;
    FFAI__TRY(ffai_model_load(&model, path, options, err));
    const ffai_status status = step_once(d, model, err);
    ffai_model_free(model);
    return status;
}

static ffai_status load_folder(digest *d, ffai_error *err)
{
    static const ffai_model_options options = {.backend = "cpu", .threads = 1};
    return load(d, MIXED, &options, err);
}

static ffai_status load_shards(digest *d, ffai_error *err)
{
    static const ffai_model_options options = {.backend = "ref"};
    return load(d, SHARDED, &options, err);
}

static ffai_status load_gguf(digest *d, ffai_error *err)
{
    static const ffai_model_options options = {.backend = "ref"};
    return load(d, GGUF, &options, err);
}

static ffai_status load_parts(digest *d, ffai_error *err)
{
    static const ffai_model_options options = {.backend = "ref"};
    return load(d, PARTS, &options, err);
}

static ffai_status load_with_threads(digest *d, ffai_error *err)
{
    static const ffai_model_options options = {.backend = "cpu", .threads = 3, .without_tokenizer = true};
    return load(d, GOLDEN "qwen2/bf16", &options, err);
}

#ifdef FFAI_CUDA_MODEL_KERNELS
static ffai_status load_on_device(digest *d, ffai_error *err)
{
    static const ffai_model_options options = {.backend = "cuda", .threads = 1, .without_tokenizer = true};
    return load(d, MIXED, &options, err);
}
#endif

/* --- generating --- */

static ffai_model *model;
static ffai_session *session;
static ffai_sequence sequence;

static bool load_model(ffai_error *err)
{
    static const ffai_model_options options = {.backend = "cpu", .threads = 1};
    return ffai_model_load(&model, MIXED, &options, err) == FFAI_OK;
}

static void free_model(void)
{
    ffai_model_free(model);
    model = NULL;
}

static ffai_status open_session(ffai_session **out, ffai_error *err)
{
    static const ffai_session_options options = {.context = 96, .max_sequences = 3, .max_rows = 4};
    return ffai_session_open(out, model, &options, err);
}

static bool add_piece(void *context, const char *text, size_t size)
{
    add(context, text, size);
    return true;
}

static ffai_status generate(digest *d, ffai_session *s, ffai_sequence from, ffai_error *err)
{
    ffai_parameters parameters;
    ffai_model_parameters(&parameters, model);
    parameters.max_tokens.value = 30;
    parameters.temperature.value = 1.5;
    parameters.top_k.value = 40;
    parameters.top_p.value = 0.95;
    parameters.repetition_penalty.value = 1.1;
    const ffai_generate_options options = {
        .parameters = &parameters, .seed = 7, .ignore_end_tokens = true, .on_text = add_piece, .context = d};
    ffai_generation *g = NULL;
    FFAI__TRY(ffai_generate(&g, s, from, prompt, PROMPT, &options, err));
    add(d, g->tokens, g->num_tokens * sizeof *g->tokens);
    add(d, g->text, g->text_size + 1);
    ffai_generation_free(g);
    return FFAI_OK;
}

static ffai_status generate_and_fork(digest *d, ffai_session *s, ffai_error *err)
{
    ffai_sequence first = 0;
    ffai_sequence second = 0;
    double nll = 0;
    FFAI__TRY(ffai_sequence_open(&first, s, err));
    FFAI__TRY(generate(d, s, first, err));
    FFAI__TRY(ffai_sequence_fork(&second, s, first, 7, err));
    FFAI__TRY(generate(d, s, second, err));
    ffai_sequence_close(s, first);
    FFAI__TRY(ffai_sequence_open(&first, s, err));
    FFAI__TRY(ffai_mean_nll(&nll, s, first, prompt, PROMPT, NULL, NULL, err));
    add(d, &nll, sizeof nll);
    return FFAI_OK;
}

static ffai_status in_a_new_session(digest *d, ffai_status (*run)(digest *d, ffai_session *s, ffai_error *err),
                                    ffai_error *err)
{
    ffai_session *s = NULL;
    FFAI__TRY(open_session(&s, err));
    const ffai_status status = run(d, s, err);
    ffai_session_close(s);
    return status;
}

static ffai_status generate_in_a_new_session(digest *d, ffai_error *err)
{
    return in_a_new_session(d, generate_and_fork, err);
}

static ffai_status warm_up(digest *d, ffai_error *err)
{
    static const ffai_session_options options = {.context = 96, .max_sequences = 3, .max_rows = 4, .prewarm = true};
    ffai_session *s = NULL;
    FFAI__TRY(ffai_session_open(&s, model, &options, err));
    const ffai_status status = generate_and_fork(d, s, err);
    ffai_session_close(s);
    return status;
}

static bool open_everything(ffai_error *err)
{
    return load_model(err) && open_session(&session, err) == FFAI_OK &&
           ffai_sequence_open(&sequence, session, err) == FFAI_OK;
}

static void close_everything(void)
{
    ffai_session_close(session);
    session = NULL;
    free_model();
}

/* The session outlives each failure: what failed must leave it fit for the next run. */
static ffai_status generate_again(digest *d, ffai_error *err)
{
    FFAI__TRY(ffai_sequence_truncate(session, sequence, 0, err));
    return generate(d, session, sequence, err);
}

/* --- text --- */

static const char text[] =
    "The Cafe\xCC\x81 \xE2\x80\x94 it's 12,345 \xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x9A\x80  of\n"
    "\tSTRASSE \xEF\xAC\x81n \xFF<s>\xC3\xA9\xE4\xBD\xA0\xE5\xA5\xBD!!";

static ffai_status stream(digest *d, const ffai_tokenizer *t, const int32_t *ids, size_t count, ffai_error *err)
{
    ffai_detokenizer *detokenizer = NULL;
    const char *piece = NULL;
    size_t size = 0;
    FFAI__TRY(ffai_detokenizer_create(&detokenizer, t, true, err));
    ffai_status status = FFAI_OK;
    for (size_t i = 0; i < count && status == FFAI_OK; i++) {
        status = ffai_detokenizer_push(&piece, &size, detokenizer, ids[i], err);
        if (status == FFAI_OK)
            add(d, piece, size);
    }
    if (status == FFAI_OK)
        status = ffai_detokenizer_finish(&piece, &size, detokenizer, err);
    if (status == FFAI_OK)
        add(d, piece, size);
    ffai_detokenizer_free(detokenizer);
    return status;
}

static ffai_status decode(digest *d, const ffai_tokenizer *t, const int32_t *ids, size_t count, ffai_error *err)
{
    char *decoded = NULL;
    size_t size = 0;
    FFAI__TRY(ffai_tokenizer_decode(&decoded, &size, t, ids, count, false, err));
    add(d, decoded, size + 1);
    ffai_free(decoded);
    return stream(d, t, ids, count, err);
}

static ffai_status encode_and_decode(digest *d, const ffai_tokenizer *t, ffai_error *err)
{
    int32_t *ids = NULL;
    size_t count = 0;
    FFAI__TRY(ffai_tokenizer_encode(&ids, &count, t, text, sizeof text - 1, NULL, err));
    add(d, ids, count * sizeof *ids);
    const ffai_status status = decode(d, t, ids, count, err);
    ffai_free(ids);
    return status;
}

static ffai_status tokenize(digest *d, const char *path, ffai_error *err)
{
    ffai_tokenizer *t = NULL;
    FFAI__TRY(ffai_tokenizer_load(&t, path, err));
    const ffai_status status = encode_and_decode(d, t, err);
    ffai_tokenizer_free(t);
    return status;
}

static ffai_status tokenize_byte_level(digest *d, ffai_error *err)
{
    return tokenize(d, MIXED, err);
}

static ffai_status tokenize_from_gguf(digest *d, ffai_error *err)
{
    return tokenize(d, GGUF, err);
}

static ffai_status tokenize_by_scores(digest *d, ffai_error *err)
{
    return tokenize(d, SCORES, err);
}

/* As a converted folder gets it: with the merges that follow from scores. */
static ffai_status derive_merges(digest *d, ffai_error *err)
{
    ffai__checkpoint *checkpoint = NULL;
    char *json = NULL;
    size_t size = 0;
    FFAI__TRY(ffai__checkpoint_open_documents(&checkpoint, SCORES, err));
    const ffai_status status = ffai__checkpoint_tokenizer_json(&json, &size, NULL, checkpoint, err);
    if (status == FFAI_OK)
        add(d, json, size);
    ffai__free(json);
    ffai__checkpoint_close(checkpoint);
    return status;
}

static ffai_status tokenize_otherwise(digest *d, ffai_error *err)
{
    static const char *const files[] = {
        TOKENIZERS "llama_2.json",         TOKENIZERS "normalizer_NFKC.json",
        TOKENIZERS "no_accents.json",      TOKENIZERS "metaspace_first_behind_split.json",
        TOKENIZERS "replace_regex.json",   TOKENIZERS "punctuation_MergedWithNext.json",
        TOKENIZERS "template.json",        TOKENIZERS "decoder_replace_each_token.json",
        TOKENIZERS "single_digits.json",   TOKENIZERS "prefix_and_suffix.json",
        TOKENIZERS "whitespace_split.json"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        FFAI__TRY(tokenize(d, files[i], err));
    return FFAI_OK;
}

/* --- converting --- */

static char folder[64];
static char destination[80];

static bool make_folder(ffai_error *err)
{
    snprintf(folder, sizeof folder, "/tmp/ffai-fault-XXXXXX");
    if (!mkdtemp(folder)) {
        snprintf(err->message, sizeof err->message, "%s cannot be made", folder);
        return false;
    }
    snprintf(destination, sizeof destination, "%s/converted", folder);
    return true;
}

/* Remove what is in a folder, and what is in its folders. */
static void empty(const char *path)
{
    char below[512];
    DIR *directory = opendir(path);
    if (!directory)
        return;
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (unlink(below) == 0)
            continue;
        empty(below);
        rmdir(below);
    }
    closedir(directory);
}

static void remove_folder(void)
{
    empty(folder);
    rmdir(folder);
}

static void add_file(digest *d, const char *name)
{
    char path[160];
    char bytes[4096];
    snprintf(path, sizeof path, "%s/%s", destination, name);
    FILE *file = fopen(path, "rb");
    add_text(d, file ? name : "missing");
    if (!file)
        return;
    for (size_t got = fread(bytes, 1, sizeof bytes, file); got; got = fread(bytes, 1, sizeof bytes, file))
        add(d, bytes, got);
    fclose(file);
}

static ffai_status convert(digest *d, const char *source, const ffai_convert_options *options, ffai_error *err)
{
    static const char *const names[] = {"config.json",    "generation_config.json", "model.safetensors",
                                        "tokenizer.json", "tokenizer_config.json",  "model.safetensors.index.json"};
    const ffai_status status = ffai_convert(destination, source, options, err);
    calls_disarm();
    for (size_t i = 0; status == FFAI_OK && i < sizeof names / sizeof names[0]; i++)
        add_file(d, names[i]);
    if (status == FFAI_OK)
        empty(folder);
    return status;
}

static ffai_status convert_gguf(digest *d, ffai_error *err)
{
    return convert(d, GGUF, NULL, err);
}

static ffai_status convert_folder(digest *d, ffai_error *err)
{
    static const ffai_convert_options options = {.dtype = "bf16"};
    return convert(d, MIXED, &options, err);
}

static ffai_status quantize(digest *d, ffai_error *err)
{
    static const ffai_convert_options options = {.recipe = "mixed_3_6", .group_size = 32, .threads = 2};
    return convert(d, MIXED, &options, err);
}

static ffai_status calibrate(digest *d, ffai_error *err)
{
    static const int32_t tokens[] = {1, 7, 3};
    const ffai_convert_options options = {
        .bits = 3, .method = "calibrated", .calibration = tokens, .calibration_size = 3, .threads = 1};
    return convert(d, FFAI_SOURCE_DIR "/tests/data/quantize/checkpoint", &options, err);
}

static ffai_status compare_models(digest *d, ffai_error *err)
{
    static const int32_t tokens[] = {1, 7, 3};
    const ffai_model_options options = {.threads = 1};
    ffai_comparison c = {0};
    const char *path = FFAI_SOURCE_DIR "/tests/data/quantize/checkpoint";
    const ffai_status status = ffai_compare(&c, path, path, tokens, 3, 3, &options, NULL, NULL, err);
    if (status == FFAI_OK)
        add(d, &c.perplexity, sizeof c.perplexity);
    return status;
}

/* Unfinished work may stay where removing it failed too, but nothing under the final name. */
static const char *destination_left(void)
{
    struct stat info;
    const bool there = stat(destination, &info) == 0;
    empty(folder);
    return there ? "the destination is there" : NULL;
}

/* --- describing --- */

/* What is free of the machine's memory changes; it comes last. */
static void add_and_free(digest *d, char *description)
{
    char *here = strstr(description, "\nhere ");
    if (!here)
        here = strstr(description, "\"here\":");
    if (here)
        *here = 0;
    add_text(d, description);
    ffai_free(description);
}

static ffai_status inspect(digest *d, ffai_error *err)
{
    char *description = NULL;
    FFAI__TRY(ffai_model_inspect(&description, MIXED, false, err));
    add_and_free(d, description);
    return FFAI_OK;
}

static ffai_status inspect_as_json(digest *d, ffai_error *err)
{
    char *description = NULL;
    FFAI__TRY(ffai_model_inspect(&description, GGUF, true, err));
    add_and_free(d, description);
    return FFAI_OK;
}

static ffai_status estimate(digest *d, ffai_error *err)
{
    static const ffai_model_options options = {.threads = 1};
    static const int64_t contexts[] = {0, 100};
    ffai_memory_estimate estimated[2];
    FFAI__TRY(ffai_model_estimate(estimated, contexts, 2, MIXED, &options, NULL, err));
    for (int i = 0; i < 2; i++) {
        add(d, &estimated[i].context, sizeof estimated[i].context);
        add(d, &estimated[i].weights, sizeof estimated[i].weights);
        add(d, &estimated[i].workspace, sizeof estimated[i].workspace);
    }
    return FFAI_OK;
}

static ffai_status list(digest *d, ffai_error *err)
{
    char *description = NULL;
    FFAI__TRY(ffai_model_listing(&description, MIXED, "all", err));
    add_and_free(d, description);
    return FFAI_OK;
}

static bool add_difference(void *context, const ffai_difference *difference)
{
    add_text(context, difference->listing);
    add(context, &difference->error, sizeof difference->error);
    return true;
}

static ffai_status compare(digest *d, ffai_error *err)
{
    static const ffai_model_options options = {.threads = 1};
    size_t first = 0;
    FFAI__TRY(ffai_diff(&first, MIXED, "cpu", "ref", prompt, PROMPT, 0.03, &options, add_difference, d, err));
    add(d, &first, sizeof first);
    return FFAI_OK;
}

/* --- measuring --- */

static ffai_status make_weights(digest *d, ffai_error *err)
{
    static const ffai__synthetic_tensor tensors[] = {{"a.weight", 0, 64}, {"b.weight", 3, 64}};
    static const ffai__synthetic_weights weights = {tensors, 2, 4, 32};
    ffai__checkpoint *checkpoint = NULL;
    float row[64];
    FFAI__TRY(ffai__checkpoint_make(&checkpoint, "made up", NULL, &weights, err));
    ffai__weight_read(row, ffai__checkpoint_find(checkpoint, "b.weight"), 2);
    add(d, row, sizeof row);
    ffai__checkpoint_close(checkpoint);
    return FFAI_OK;
}

static ffai_status add_profile(digest *d, ffai_session *timed, ffai_error *err)
{
    ffai_op_time times[64];
    ffai_sequence fresh = 0;
    FFAI__TRY(ffai_session_profile(timed, true, err));
    FFAI__TRY(ffai_sequence_open(&fresh, timed, err));
    FFAI__TRY(add_logits(d, timed, fresh, err));
    const size_t count = ffai_session_profile_read(times, 64, timed);
    for (size_t i = 0; i < count; i++)
        add(d, &times[i].count, sizeof times[i].count);
    return FFAI_OK;
}

static ffai_status profile(digest *d, ffai_error *err)
{
    return in_a_new_session(d, add_profile, err);
}

const scenario scenarios[] = {
    {.name = "load_folder", .run = load_folder},
    {.name = "load_shards", .run = load_shards},
    {.name = "load_gguf", .run = load_gguf},
    {.name = "load_parts", .run = load_parts},
    {.name = "load_with_threads", .run = load_with_threads},
#ifdef FFAI_CUDA_MODEL_KERNELS
    {.name = "load_on_device", .run = load_on_device},
#endif
    {.name = "generate", .set_up = load_model, .run = generate_in_a_new_session, .tear_down = free_model},
    {.name = "warm_up", .set_up = load_model, .run = warm_up, .tear_down = free_model},
    {.name = "generate_again", .set_up = open_everything, .run = generate_again, .tear_down = close_everything},
    {.name = "tokenize_byte_level", .run = tokenize_byte_level},
    {.name = "tokenize_from_gguf", .run = tokenize_from_gguf},
    {.name = "tokenize_by_scores", .run = tokenize_by_scores},
    {.name = "derive_merges", .run = derive_merges},
    {.name = "tokenize_otherwise", .run = tokenize_otherwise},
    {.name = "convert_gguf",
     .set_up = make_folder,
     .run = convert_gguf,
     .tear_down = remove_folder,
     .left_behind = destination_left},
    {.name = "convert_folder",
     .set_up = make_folder,
     .run = convert_folder,
     .tear_down = remove_folder,
     .left_behind = destination_left},
    {.name = "quantize",
     .set_up = make_folder,
     .run = quantize,
     .tear_down = remove_folder,
     .left_behind = destination_left},
    {.name = "calibrate",
     .set_up = make_folder,
     .run = calibrate,
     .tear_down = remove_folder,
     .left_behind = destination_left},
    {.name = "compare_models", .run = compare_models},
    {.name = "pull",
     .set_up = hub_begin,
     .run = hub_pull,
     .tear_down = hub_end,
     .left_behind = hub_left,
     .advice = "set HF_HUB_CACHE to a folder"},
    {.name = "find", .set_up = hub_begin_pulled, .run = hub_find, .tear_down = hub_end},
    {.name = "list_hub", .set_up = hub_begin_pulled, .run = hub_list, .tear_down = hub_end},
    {.name = "prune_hub", .set_up = hub_begin_pulled, .run = hub_prune, .tear_down = hub_end, .left_behind = hub_left},
    {.name = "estimate", .run = estimate},
    {.name = "inspect", .run = inspect},
    {.name = "inspect_as_json", .run = inspect_as_json},
    {.name = "list", .run = list},
    {.name = "compare", .run = compare},
    {.name = "make_weights", .run = make_weights},
    {.name = "profile", .set_up = load_model, .run = profile, .tear_down = free_model},
};
const size_t num_scenarios = sizeof scenarios / sizeof scenarios[0];
