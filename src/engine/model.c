#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "combined.h"
#include "default_model.h"
#include "engine.h"
#include "file_map.h"
#include "fit.h"
#include "memory_info.h"
#include "thread_start.h"
#include "tuning_file.h"

double ffai__now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

ffai_status ffai_default_model_path(char **path, ffai_error *err)
{
    return ffai__default_model_path(path, err);
}

/* --- opening --- */

static ffai_status check_exists(const char *path, bool is_default, ffai_error *err)
{
    if (ffai__path_kind_of(path) != FFAI__PATH_MISSING)
        return FFAI_OK;
    if (is_default)
        return ffai__fail(err, FFAI_E_NOT_FOUND,
                          "load: %s: the default model is not there: run make run once, or give "
                          "-m MODEL",
                          path);
    return ffai__fail(err, FFAI_E_NOT_FOUND, "load: %s: no such folder or file; models are not downloaded by name",
                      path);
}

/* Where a document of the checkpoint stands: a file of its own in a folder; NULL when memory is short. */
static char *document_path(const ffai_model *model, const char *name)
{
    const char *path = ffai__checkpoint_path(model->checkpoint);
    return ffai__checkpoint_is_gguf(model->checkpoint) ? ffai__strdup(path) : ffai__path_join(path, name);
}

static ffai_status read_generation_config(ffai_model *model, ffai_error *err)
{
    char *path = document_path(model, "generation_config.json");
    if (!path)
        return ffai__fail_memory(err, "a path", 0);
    const json_t *document = ffai__checkpoint_generation_config(model->checkpoint);
    ffai_status status = ffai__parameters_resolve(&model->parameters, model->family, document, path, err);
    if (status == FFAI_OK)
        status = ffai__end_tokens_read(model, path, err);
    ffai__free(path);
    return status;
}

static ffai_status enter_text_config(char **path, ffai_error *err)
{
    char *inner = ffai__format("%s: text_config", *path);
    if (!inner)
        return ffai__fail_memory(err, *path, strlen(*path));
    ffai__free(*path);
    *path = inner;
    return FFAI_OK;
}

static ffai_status read_configuration(ffai_model *model, ffai_error *err)
{
    const json_t *config = ffai__checkpoint_config(model->checkpoint);
    model->config_path = document_path(model, "config.json");
    if (!model->config_path)
        return ffai__fail_memory(err, "a path", 0);
    FFAI__TRY(ffai__text_config(&model->text_config, &model->family, config, model->config_path, err));
    if (model->text_config != config)
        FFAI__TRY(enter_text_config(&model->config_path, err));
    FFAI__TRY(ffai__config_read(&model->config, model->text_config, model->config_path, err));
    return read_generation_config(model, err);
}

ffai_status ffai__model_open_checkpoint(ffai_model *model, const char *path, ffai_error *err)
{
    char *default_path = NULL;
    if (!path) {
        FFAI__TRY(ffai__default_model_path(&default_path, err));
        path = default_path;
    }
    ffai_status status = check_exists(path, default_path != NULL, err);
    if (status == FFAI_OK)
        status = ffai__checkpoint_open(&model->checkpoint, path, err);
    ffai__free(default_path);
    return status == FFAI_OK ? read_configuration(model, err) : status;
}

void ffai__model_close_checkpoint(ffai_model *model)
{
    ffai__program_free(model->program);
    ffai__free(model->config_path);
    json_decref(model->text_config);
    ffai__checkpoint_close(model->checkpoint);
}

static ffai_status parse_fusions(uint32_t *chosen, const char *fusions, ffai_error *err)
{
    *chosen = FFAI__FUSE_ALL;
    return fusions ? ffai__fusions_parse(chosen, fusions, err) : FFAI_OK;
}

ffai_status ffai_fusions_check(const char *fusions, ffai_error *err)
{
    uint32_t chosen = 0;
    return parse_fusions(&chosen, fusions, err);
}

ffai_status ffai__model_record(ffai_model *model, const char *fusions, ffai_error *err)
{
    uint32_t chosen = 0;
    FFAI__TRY(parse_fusions(&chosen, fusions, err));
    FFAI__TRY(ffai__family_record(&model->program, model->family, &model->config, model->checkpoint, err));
    return ffai__program_fuse(model->program, chosen, err);
}

/* --- loading --- */

const char *ffai_load_stage_name(ffai_load_stage stage)
{
    static const char *const names[FFAI_LOAD_STAGES] = {
        [FFAI_LOAD_RESOLVING] = "resolving", [FFAI_LOAD_DOWNLOADING] = "downloading",
        [FFAI_LOAD_MAPPING] = "mapping",     [FFAI_LOAD_PLANNING] = "planning",
        [FFAI_LOAD_UPLOADING] = "uploading", [FFAI_LOAD_TOKENIZER] = "tokenizer",
        [FFAI_LOAD_WARMING] = "warming",     [FFAI_LOAD_READY] = "ready",
        [FFAI_LOAD_UNLOADING] = "unloading",
    };
    return (unsigned)stage < FFAI_LOAD_STAGES ? names[stage] : "unknown";
}

bool ffai__report(const ffai__reporter *reporter, ffai_load_stage stage, double fraction)
{
    const ffai_load_event event = {stage, fraction, ffai__now() - reporter->start};
    return !reporter->on_event || reporter->on_event(reporter->context, &event);
}

static bool report_uploading(void *reporter, double fraction)
{
    return ffai__report(reporter, FFAI_LOAD_UPLOADING, fraction);
}

static ffai_status report(const ffai_model *model, ffai_load_stage stage, double fraction, ffai_error *err)
{
    const bool go_on = ffai__report(&model->reporter, stage, fraction);
    return go_on ? FFAI_OK : ffai__fail(err, FFAI_E_CANCELLED, "load: cancelled");
}

ffai_status ffai__model_available(uint64_t *bytes, const ffai_model *model, ffai_error *err)
{
    if (model->backend->available)
        return model->backend->available(bytes, model->device, err);
    *bytes = ffai__memory_available();
    return FFAI_OK;
}

/* Before any weight is read: there must be room for all of them and a session of one page. */
static ffai_status check_memory(const ffai_model *model, ffai_error *err)
{
    ffai__memory_use least;
    uint64_t available = 0;
    FFAI__TRY(ffai__fit_least(&least, model, err));
    FFAI__TRY(ffai__model_available(&available, model, err));
    const uint64_t session = least.stores + least.workspace;
    if (least.weights <= available && session <= available - least.weights)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_MEMORY,
                      "load: %s: the weights take %.2f GB for %s and the smallest session %.2f GB, but %.2f GB of "
                      "memory are available: give it more, or take weights of fewer bits (ffai convert)",
                      ffai__checkpoint_path(model->checkpoint), (double)least.weights / 1e9, model->backend->name,
                      (double)session / 1e9, (double)available / 1e9);
}

static ffai_status check_capabilities(const ffai_model *model, unsigned wanted, ffai_error *err)
{
    if (!(wanted & ~model->family->capabilities))
        return FFAI_OK;
    return ffai__fail(
        err, FFAI_E_UNSUPPORTED,
        "load: %s: the %s family reads and writes text only: what is there for images or sound is skipped",
        ffai__checkpoint_path(model->checkpoint), model->family->name);
}

/* The tokenizer is read beside the weights: neither needs the other, and it takes one thread about as long as the
 * weights of a small model take all of them. */
typedef struct {
    const ffai__checkpoint *checkpoint;
    ffai_tokenizer *tokenizer;
    ffai_status status;
    ffai_error error;
    pthread_t thread;
    bool wanted, beside;
} tokenizer_reading;

static void *read_tokenizer(void *context)
{
    tokenizer_reading *reading = context;
    reading->status = ffai__tokenizer_of(&reading->tokenizer, reading->checkpoint, &reading->error);
    return NULL;
}

static void start_tokenizer(tokenizer_reading *reading, int threads)
{
    reading->beside =
        reading->wanted && threads != 1 && ffai__thread_start(&reading->thread, read_tokenizer, reading) == 0;
}

/* What was read is the model's, whatever becomes of that. */
static void stop_tokenizer(ffai_model *model, tokenizer_reading *reading)
{
    if (reading->beside)
        pthread_join(reading->thread, NULL);
    reading->beside = false;
    model->tokenizer = reading->tokenizer;
}

/* A checkpoint without a tokenizer can still be fed with token ids. */
static ffai_status finish_tokenizer(ffai_model *model, tokenizer_reading *reading, ffai_error *err)
{
    if (reading->wanted && !reading->beside)
        read_tokenizer(reading);
    stop_tokenizer(model, reading);
    if (reading->status == FFAI_OK && model->tokenizer)
        return ffai__end_tokens_add_tokenizers(model, err);
    if (reading->status == FFAI_OK || reading->status == FFAI_E_NOT_FOUND)
        return FFAI_OK;
    if (err)
        *err = reading->error;
    return reading->status;
}

static ffai_status plan_program(ffai_model *model, const ffai__plan_options *options, const char *fusions,
                                ffai_error *err)
{
    FFAI__TRY(ffai__model_record(model, fusions, err));
    FFAI__TRY(ffai__tuning_choose(model, err));
    ffai__parameters_suit(&model->parameters, model->backend, &model->tuning);
    return model->backend->plan(&model->plan, model->program, options, err);
}

static ffai_status load_weights(ffai_model *model, const ffai__plan_options *options, const char *fusions,
                                ffai_error *err)
{
    FFAI__TRY(report(model, FFAI_LOAD_PLANNING, 0, err));
    FFAI__TRY(plan_program(model, options, fusions, err));
    FFAI__TRY(check_memory(model, err));
    FFAI__TRY(report(model, FFAI_LOAD_UPLOADING, 0, err));
    return model->backend->upload ? model->backend->upload(model->plan, options, err) : FFAI_OK;
}

/* Of two errors the weights' is told. */
static ffai_status load_both(ffai_model *model, bool with_tokenizer, const ffai__plan_options *options,
                             const char *fusions, ffai_error *err)
{
    tokenizer_reading reading = {.checkpoint = model->checkpoint, .error = FFAI_ERROR_INIT, .wanted = with_tokenizer};
    start_tokenizer(&reading, options->threads);
    ffai_status status = load_weights(model, options, fusions, err);
    if (status == FFAI_OK)
        status = report(model, FFAI_LOAD_TOKENIZER, 0, err);
    if (status == FFAI_OK)
        status = finish_tokenizer(model, &reading, err);
    stop_tokenizer(model, &reading);
    return status;
}

/* What a model is made of: a checkpoint at a path, or random weights. */
typedef struct {
    const char *path;
    const ffai_random_model *random; /* NULL: none */
} source;

static ffai_status open_source(ffai_model *model, const source *from, ffai_error *err)
{
    if (!from->random)
        return ffai__model_open_checkpoint(model, from->path, err);
    FFAI__TRY(ffai__random_checkpoint(&model->checkpoint, from->random, err));
    return read_configuration(model, err);
}

static ffai_status activations_of(ffai__activations *out, ffai_activations wanted, ffai_error *err)
{
    switch (wanted) {
    case FFAI_ACTIVATIONS_DEFAULT:
        *out = FFAI__ACTIVATIONS_DEFAULT;
        return FFAI_OK;
    case FFAI_ACTIVATIONS_F32:
        *out = FFAI__ACTIVATIONS_F32;
        return FFAI_OK;
    case FFAI_ACTIVATIONS_BF16:
        *out = FFAI__ACTIVATIONS_BF16;
        return FFAI_OK;
    case FFAI_ACTIVATIONS_FINE:
        *out = FFAI__ACTIVATIONS_FINE;
        return FFAI_OK;
    }
    return ffai__fail(err, FFAI_E_ARGUMENT, "options: there are no activations %d", (int)wanted);
}

static ffai_status choose_backend(ffai_model *model, const ffai_model_options *options, ffai_error *err)
{
    ffai__backend_choice choice;
    FFAI__TRY(ffai__backend_choose(&choice, options->backend, options->device, err));
    model->backend = choice.backend;
    model->device = choice.device;
    memcpy(model->backend_reason, choice.reason, sizeof model->backend_reason);
    return FFAI_OK;
}

/* What was asked for, checked before any file is opened. */
static ffai_status take_options(ffai_model *model, ffai__plan_options *plan, const ffai_model_options *options,
                                ffai_error *err)
{
    ffai__activations activations = FFAI__ACTIVATIONS_DEFAULT;
    FFAI__TRY(activations_of(&activations, options->activations, err));
    FFAI__TRY(choose_backend(model, options, err));
    FFAI__TRY(ffai_fusions_check(options->fusions, err));
    model->untuned = options->untuned;
    model->plain = options->untuned && !options->threads;
    *plan = (ffai__plan_options){
        .device = model->device, .threads = options->threads, .tuning = &model->tuning, .activations = activations};
    return FFAI_OK;
}

ffai_status ffai__model_plan(ffai_model *model, const char *path, const ffai_model_options *options, ffai_error *err)
{
    ffai__plan_options plan_options;
    FFAI__TRY(take_options(model, &plan_options, options, err));
    FFAI__TRY(ffai__model_open_checkpoint(model, path, err));
    FFAI__TRY(check_capabilities(model, options->capabilities, err));
    return plan_program(model, &plan_options, options->fusions, err);
}

static ffai_status load_parts(ffai_model *model, const source *from, const ffai_model_options *options, ffai_error *err)
{
    ffai__plan_options plan_options;
    FFAI__TRY(take_options(model, &plan_options, options, err));
    plan_options.progress = report_uploading;
    plan_options.progress_context = &model->reporter;
    FFAI__TRY(report(model, FFAI_LOAD_MAPPING, 0, err));
    FFAI__TRY(open_source(model, from, err));
    FFAI__TRY(check_capabilities(model, options->capabilities, err));
    FFAI__TRY(load_both(model, !options->without_tokenizer && !from->random, &plan_options, options->fusions, err));
    FFAI__TRY(ffai__checkpoint_check(model->checkpoint, err));
    model->backend->describe(model->plan, model->kernels, sizeof model->kernels);
    return report(model, FFAI_LOAD_READY, 1, err);
}

static ffai_status load(ffai_model **out, const source *from, const ffai_model_options *options, ffai_error *err)
{
    static const ffai_model_options defaults = FFAI_MODEL_OPTIONS_INIT;
    const double start = ffai__now();
    ffai_model *model = ffai__calloc(1, sizeof *model);
    if (!model)
        return ffai__fail_memory(err, "a model", sizeof *model);
    options = options ? options : &defaults;
    model->reporter = (ffai__reporter){options->on_event, options->context, start};
    const ffai_status status = load_parts(model, from, options, err);
    if (status != FFAI_OK) {
        model->reporter.on_event = NULL;
        ffai_model_free(model);
        return status;
    }
    *out = model;
    return FFAI_OK;
}

ffai_status ffai_model_load(ffai_model **out, const char *path, const ffai_model_options *options, ffai_error *err)
{
    return load(out, &(source){.path = path}, options, err);
}

ffai_status ffai_model_make(ffai_model **out, const ffai_random_model *random, const ffai_model_options *options,
                            ffai_error *err)
{
    return load(out, &(source){.random = random}, options, err);
}

void ffai_model_free(ffai_model *model)
{
    if (!model)
        return;
    const ffai__reporter reporter = model->reporter;
    ffai__report(&reporter, FFAI_LOAD_UNLOADING, 0);
    if (model->plan)
        model->backend->unload(model->plan);
    ffai_tokenizer_free(model->tokenizer);
    ffai__model_close_checkpoint(model);
    ffai__free(model);
    ffai__report(&reporter, FFAI_LOAD_UNLOADING, 1);
}

/* --- asking --- */

void ffai_model_get_info(ffai_model_info *info, const ffai_model *model)
{
    *info = (ffai_model_info){
        .path = ffai__checkpoint_path(model->checkpoint),
        .family = model->family->name,
        .backend = model->backend->name,
        .backend_reason = model->backend_reason,
        .kernels = model->kernels,
        .tuning = model->tuning_note,
        .capabilities = model->family->capabilities,
        .vocab_size = model->program->vocab_size,
        .hidden_size = model->program->hidden_size,
        .num_layers = model->program->num_layers,
        .max_context = model->config.max_position_embeddings,
        .weight_bytes = ffai__program_weight_bytes(model->program),
    };
}

const ffai_tokenizer *ffai_model_tokenizer(const ffai_model *model)
{
    return model->tokenizer;
}

void ffai_model_parameters(ffai_parameters *parameters, const ffai_model *model)
{
    *parameters = model->parameters;
}

bool ffai_model_is_end_token(const ffai_model *model, int32_t token)
{
    for (int i = 0; i < model->num_end_tokens; i++) {
        if (model->end_tokens[i] == token)
            return true;
    }
    return false;
}

size_t ffai_model_end_tokens(const int32_t **tokens, const ffai_model *model)
{
    *tokens = model->end_tokens;
    return (size_t)model->num_end_tokens;
}

ffai_status ffai__model_print_listing(char **text, const ffai_model *model, ffai_error *err)
{
    size_t size = 0;
    char *memory = NULL;
    FILE *stream = open_memstream(&memory, &size);
    if (!stream)
        return ffai__fail_memory(err, "the listing", 0);
    ffai__program_print(stream, model->program, model->family->name);
    const bool failed = ferror(stream) != 0;
    if (fclose(stream) != 0 || failed) {
        ffai_free(memory);
        return ffai__fail_memory(err, "the listing", size);
    }
    *text = memory;
    return FFAI_OK;
}

ffai_status ffai_model_listing(char **text, const char *path, const char *fusions, ffai_error *err)
{
    ffai_model model;
    memset(&model, 0, sizeof model);
    ffai_status status = ffai__model_open_checkpoint(&model, path, err);
    if (status == FFAI_OK)
        status = ffai__model_record(&model, fusions, err);
    if (status == FFAI_OK)
        status = ffai__model_print_listing(text, &model, err);
    ffai__model_close_checkpoint(&model);
    return status;
}
