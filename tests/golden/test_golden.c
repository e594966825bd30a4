#define _GNU_SOURCE
/* Every fixture of tests/golden against the engine: layer 0, logits, and greedy tokens, on the backends.
 *
 * usage: test_golden [part of a fixture's name]; FFAI_ISA chooses the tier, FFAI_GOLDEN_BACKEND=cuda that backend and
 * no other, FFAI_GOLDEN_FOLDER where the fixtures are if not where this was built
 * Closes with a line of counts. A fixture whose checkpoint is not on this machine is counted as skipped. */
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cpu_features.h"
#include "engine.h"
#include "file_map.h"
#include "npy.h"

static int passed, failed, skipped;

typedef struct {
    char folder[1024];     /* of the fixture */
    char checkpoint[1024]; /* a folder or file */
    json_t *prompts;
    float *layer, *logits;
    int64_t layer_rows, hidden_size, logit_rows, vocab_size;
} fixture;

/* One way to run the engine, and the error allowed (max |a - b| / rms(b)). */
typedef struct {
    const char *name;
    const char *backend;
    const char *fusions;
    int threads;
    int32_t max_rows;
    ffai_activations activations;
    ffai_kv_format kv_format;
    double tolerance;
} setup;

static const setup setups[] = {
    {"ref", "ref", "none", 1, 64, FFAI_ACTIVATIONS_F32, FFAI_KV_F32, 1e-4},
    {"ref fused", "ref", "all", 1, 64, FFAI_ACTIVATIONS_F32, FFAI_KV_F32, 1e-4},
    {"cpu f32 activations", "cpu", "all", 2, 64, FFAI_ACTIVATIONS_F32, FFAI_KV_F32, 1e-4},
    {"cpu default, 1 thread", "cpu", "all", 1, 64, FFAI_ACTIVATIONS_DEFAULT, FFAI_KV_F16, 3e-2},
    {"cpu default, 2 threads, chunks of 7", "cpu", "all", 2, 7, FFAI_ACTIVATIONS_DEFAULT, FFAI_KV_F16, 3e-2},
    {"cpu default, unfused, chunks of 1", "cpu", "none", 2, 1, FFAI_ACTIVATIONS_DEFAULT, FFAI_KV_F16, 3e-2},
    {"cuda f32 activations", "cuda", "all", 0, 64, FFAI_ACTIVATIONS_F32, FFAI_KV_F32, 1e-4},
    {"cuda f32 activations, unfused", "cuda", "none", 0, 64, FFAI_ACTIVATIONS_F32, FFAI_KV_F32, 1e-4},
    {"cuda fine", "cuda", "all", 0, 64, FFAI_ACTIVATIONS_FINE, FFAI_KV_F16, 3e-2},
    {"cuda default", "cuda", "all", 0, 64, FFAI_ACTIVATIONS_DEFAULT, FFAI_KV_F16, 3e-2},
    {"cuda default, chunks of 7", "cuda", "all", 0, 7, FFAI_ACTIVATIONS_DEFAULT, FFAI_KV_F16, 3e-2},
    {"cuda default, chunks of 1", "cuda", "all", 0, 1, FFAI_ACTIVATIONS_DEFAULT, FFAI_KV_F16, 3e-2},
    {"cuda default, unfused, chunks of 1", "cuda", "none", 0, 1, FFAI_ACTIVATIONS_DEFAULT, FFAI_KV_F16, 3e-2},
};

/* The backend whose setups are run; NULL: those of the processor. */
static const char *only;

static bool is_wanted(const setup *s)
{
    return only ? strcmp(s->backend, only) == 0 : strcmp(s->backend, "cuda") != 0;
}

static void check(const fixture *f, const setup *s, const char *what, bool good, const char *detail)
{
    if (good) {
        passed++;
        return;
    }
    failed++;
    printf("FAILED %s: %s: %s: %s\n", f->folder, s->name, what, detail);
}

/* --- reading fixtures --- */

static float *read_npy(const char *folder, const char *name, int64_t *rows, int64_t *columns)
{
    char path[2048];
    char *bytes = NULL;
    size_t size = 0;
    const uint8_t *values = NULL;
    ffai__shape shape;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (ffai__file_read(&bytes, &size, path, 1u << 28, NULL) != FFAI_OK ||
        ffai__npy_parse(&values, &shape, (const uint8_t *)bytes, size, path, NULL) != FFAI_OK || shape.rank != 2) {
        printf("cannot read %s\n", path);
        exit(1);
    }
    *rows = (int64_t)shape.dims[0];
    *columns = (int64_t)shape.dims[1];
    float *copy = malloc((size_t)(*rows * *columns) * sizeof *copy);
    memcpy(copy, values, (size_t)(*rows * *columns) * sizeof *copy);
    ffai_free(bytes);
    return copy;
}

static json_t *read_prompts(const char *folder)
{
    char path[2048];
    json_t *document = NULL;
    DIR *entries = opendir(folder);
    for (struct dirent *e = readdir(entries); e; e = readdir(entries)) {
        if (strncmp(e->d_name, "tokens-", 7) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        document = json_load_file(path, 0, NULL);
    }
    closedir(entries);
    json_t *prompts = json_incref(json_object_get(document, "prompts"));
    json_decref(document);
    return prompts;
}

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* The checkpoint is the folder itself, the .gguf file beside it, or for smollm2 the default model. */
static bool find_checkpoint(fixture *f)
{
    char config[2048];
    char *default_path = NULL;
    snprintf(config, sizeof config, "%s/config.json", f->folder);
    snprintf(f->checkpoint, sizeof f->checkpoint, "%s", f->folder);
    if (exists(config))
        return true;
    snprintf(f->checkpoint, sizeof f->checkpoint, "%.1000s.gguf", f->folder);
    if (exists(f->checkpoint))
        return true;
    if (strstr(f->folder, "smollm2") && ffai_default_model_path(&default_path, NULL) == FFAI_OK) {
        snprintf(f->checkpoint, sizeof f->checkpoint, "%s", default_path);
        ffai_free(default_path);
        return exists(f->checkpoint);
    }
    return false;
}

/* --- running --- */

static double error_of(const float *a, const float *b, int64_t count)
{
    double squares = 0;
    double largest = 0;
    for (int64_t i = 0; i < count; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        squares += (double)b[i] * (double)b[i];
        if (!(difference <= largest))
            largest = difference;
    }
    return largest / sqrt(squares / (double)count);
}

static int32_t *token_array(const json_t *array, size_t *n)
{
    *n = json_array_size(array);
    int32_t *tokens = malloc((*n + 1) * sizeof *tokens);
    for (size_t i = 0; i < *n; i++)
        tokens[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return tokens;
}

/* The last activation of layer 0. */
static ffai__value layer_output(const ffai__program *program)
{
    ffai__value value = FFAI__NONE;
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        if (strcmp(instruction->scope, "model.layers.0") == 0 && instruction->out[0] != FFAI__NONE)
            value = instruction->out[0];
    }
    return value;
}

/* Layer 0 and logits of the first prompt, as one step. */
static ffai_status check_activations(const fixture *f, const setup *s, ffai_model *model, ffai_error *err)
{
    ffai_session *session = NULL;
    ffai_sequence sequence = 0;
    size_t n = 0;
    int32_t *tokens = token_array(json_object_get(json_array_get(f->prompts, 0), "prompt_tokens"), &n);
    const ffai_session_options options = {.context = (int64_t)n,
                                          .max_sequences = 1,
                                          .max_rows = (int32_t)n,
                                          .max_outputs = (int32_t)n,
                                          .kv_format = s->kv_format};
    ffai_row *rows = calloc(n, sizeof *rows);
    const float *logits = NULL;
    char detail[64];
    for (size_t i = 0; i < n; i++)
        rows[i] = (ffai_row){tokens[i], 0, (int64_t)(n - i) <= f->logit_rows, NULL};
    ffai_status status = ffai__session_open_readable(&session, model, &options, err);
    if (status == FFAI_OK)
        status = ffai_sequence_open(&sequence, session, err);
    if (status == FFAI_OK)
        status = ffai_forward(&logits, session, rows, n, err);
    if (status == FFAI_OK) {
        const double error = error_of(logits, f->logits, f->logit_rows * f->vocab_size);
        snprintf(detail, sizeof detail, "error %g above %g", error, s->tolerance);
        check(f, s, "logits", error <= s->tolerance, detail);
        float *layer = malloc((size_t)(f->layer_rows * f->hidden_size) * sizeof *layer);
        status = ffai__session_read(layer, session, layer_output(model->program), err);
        const double layer_error = error_of(layer, f->layer, f->layer_rows * f->hidden_size);
        snprintf(detail, sizeof detail, "error %g above %g", layer_error, s->tolerance);
        check(f, s, "layer 0", status == FFAI_OK && layer_error <= s->tolerance, detail);
        free(layer);
    }
    ffai_session_close(session);
    free(rows);
    free(tokens);
    return status;
}

/* Tokens equal up to the first one whose margin leaves room for rounding. */
static void compare_tokens(const fixture *f, const setup *s, const json_t *prompt, const ffai_generation *g)
{
    size_t n = 0;
    char detail[128] = "";
    int32_t *expected = token_array(json_object_get(prompt, "tokens"), &n);
    bool good = g->num_tokens == n;
    for (size_t i = 0; good && i < n; i++) {
        if (g->tokens[i] == expected[i])
            continue;
        good = json_number_value(json_array_get(json_object_get(prompt, "margins"), i)) <= 0.05;
        snprintf(detail, sizeof detail, "token %zu is %d, not %d", i, g->tokens[i], expected[i]);
        break;
    }
    check(f, s, "greedy tokens", good, detail);
    free(expected);
}

static ffai_status check_generation(const fixture *f, const setup *s, ffai_model *model, const json_t *prompt,
                                    ffai_error *err)
{
    ffai_session *session = NULL;
    ffai_generation *g = NULL;
    ffai_sequence sequence = 0;
    size_t n = 0;
    int32_t *tokens = token_array(json_object_get(prompt, "prompt_tokens"), &n);
    ffai_parameters parameters;
    ffai_model_parameters(&parameters, model);
    parameters.temperature = (ffai_parameter){0, FFAI_FROM_CALLER};
    parameters.max_tokens.value = (double)json_array_size(json_object_get(prompt, "tokens"));
    const ffai_generate_options options = {.parameters = &parameters, .ignore_end_tokens = true};
    const ffai_session_options session_options = {
        .context = 512, .max_sequences = 1, .max_rows = s->max_rows, .kv_format = s->kv_format};
    ffai_status status = ffai_session_open(&session, model, &session_options, err);
    if (status == FFAI_OK)
        status = ffai_sequence_open(&sequence, session, err);
    if (status == FFAI_OK)
        status = ffai_generate(&g, session, sequence, tokens, n, &options, err);
    if (status == FFAI_OK)
        compare_tokens(f, s, prompt, g);
    ffai_generation_free(g);
    ffai_session_close(session);
    free(tokens);
    return status;
}

static ffai_status run_setup(const fixture *f, const setup *s, ffai_error *err)
{
    ffai_model *model = NULL;
    const ffai_model_options options = {.backend = s->backend,
                                        .threads = s->threads,
                                        .activations = s->activations,
                                        .fusions = s->fusions,
                                        .without_tokenizer = true};
    ffai_status status = ffai_model_load(&model, f->checkpoint, &options, err);
    if (status == FFAI_OK)
        status = check_activations(f, s, model, err);
    /* The reference interpreter takes seconds a token on the real model: its first two prompts say enough. */
    const bool slow = strcmp(s->backend, "ref") == 0 && f->vocab_size > 1000;
    const size_t count = slow ? 2 : json_array_size(f->prompts);
    for (size_t i = 0; status == FFAI_OK && i < count; i++)
        status = check_generation(f, s, model, json_array_get(f->prompts, i), err);
    ffai_model_free(model);
    return status;
}

static void run_fixture(fixture *f)
{
    if (!find_checkpoint(f)) {
        printf("skipped %s: its checkpoint is not on this machine\n", f->folder);
        skipped++;
        return;
    }
    f->prompts = read_prompts(f->folder);
    f->layer = read_npy(f->folder, "activations-layer-0.npy", &f->layer_rows, &f->hidden_size);
    f->logits = read_npy(f->folder, "logits.npy", &f->logit_rows, &f->vocab_size);
    for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++) {
        ffai_error err = FFAI_ERROR_INIT;
        if (!is_wanted(&setups[i]))
            continue;
        if (f->vocab_size > 1000 && strcmp(setups[i].name, "ref") == 0)
            continue; /* the fused program on the real model is enough */
        if (run_setup(f, &setups[i], &err) != FFAI_OK)
            check(f, &setups[i], "run", false, err.message);
    }
    json_decref(f->prompts);
    free(f->layer);
    free(f->logits);
}

/* Folders that hold a metadata.json, in the order of their names. */
static void walk(const char *folder, const char *filter)
{
    struct dirent **entries = NULL;
    char path[1024];
    snprintf(path, sizeof path, "%.1000s/metadata.json", folder);
    if (exists(path) && (!filter || strstr(folder, filter))) {
        fixture f = {0};
        snprintf(f.folder, sizeof f.folder, "%s", folder);
        run_fixture(&f);
    }
    const int count = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        struct stat info;
        snprintf(path, sizeof path, "%.700s/%.255s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
            walk(path, filter);
        free(entries[i]);
    }
    free(entries);
}

/* FFAI_ISA may ask for a tier that this machine lacks. */
static bool tier_is_missing(void)
{
    ffai__cpu_features features;
    ffai__isa isa = FFAI__ISA_SCALAR;
    ffai__cpu_features_detect(&features);
    return ffai__isa_choose(&isa, &features, NULL) == FFAI_E_UNSUPPORTED;
}

/* FFAI_GOLDEN_BACKEND may ask for one that this machine cannot run. Exits with its reason. */
static void choose_backend(void)
{
    ffai__backend_choice choice;
    ffai_error err = FFAI_ERROR_INIT;
    only = getenv("FFAI_GOLDEN_BACKEND");
    if (!only || ffai__backend_choose(&choice, only, 0, &err) == FFAI_OK)
        return;
    const bool unknown = strcmp(only, "cuda") != 0;
    printf("%s: %s\n", unknown ? "FFAI_GOLDEN_BACKEND" : "skipped", err.message);
    exit(unknown ? 1 : 77);
}

int main(int argc, char **argv)
{
    choose_backend();
    if (tier_is_missing()) {
        printf("skipped: this machine cannot run the tier %s\n", getenv("FFAI_ISA"));
        return 77;
    }
    const char *folder = getenv("FFAI_GOLDEN_FOLDER");
    walk(folder ? folder : FFAI_SOURCE_DIR "/tests/golden", argc > 1 ? argv[1] : NULL);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed || passed == 0;
}
