/* What the engine's files know of a model. Sessions keep to themselves (session.c). */
#ifndef FFAI_ENGINE_ENGINE_H
#define FFAI_ENGINE_ENGINE_H

#include <ffai/ffai.h>

#include "backend.h"
#include "checkpoint.h"
#include "family.h"
#include "fusions.h"

enum { FFAI__MAX_END_TOKENS = 64 };

/* Whom a model tells how far it is. */
typedef struct ffai__reporter {
    bool (*on_event)(void *context, const ffai_load_event *event); /* may be NULL */
    void *context;
    double start; /* of loading, as ffai__now */
} ffai__reporter;

/* False if the caller wants no more. */
bool ffai__report(const ffai__reporter *reporter, ffai_load_stage stage, double fraction);

struct ffai_model {
    ffai__checkpoint *checkpoint;
    json_t *text_config; /* the text model's config.json, which config points into */
    ffai__config config;
    char *config_path; /* where it stands, for messages */
    const ffai__family *family;
    ffai_parameters parameters;
    ffai_tokenizer *tokenizer; /* NULL if loaded without */
    ffai__program *program;
    const ffai__backend *backend;
    int device; /* which of the backend's */
    ffai__plan *plan;
    char kernels[256];
    char backend_reason[256];
    ffai__tuning tuning; /* what the plan was asked for */
    char tuning_note[1200];
    bool untuned; /* whatever the cache holds */
    bool plain;   /* loaded without tuned values and without a number of threads */
    int32_t end_tokens[FFAI__MAX_END_TOKENS];
    int num_end_tokens;
    ffai__reporter reporter;
};

/* Open a checkpoint and read its configuration: everything of a model that needs no weights. path NULL: the
 * default model. On failure close what was opened with ffai__model_close_checkpoint. */
ffai_status ffai__model_open_checkpoint(ffai_model *model, const char *path, ffai_error *err);
void ffai__model_close_checkpoint(ffai_model *model);

/* A checkpoint of random weights (random_model.c). */
ffai_status ffai__random_checkpoint(ffai__checkpoint **out, const ffai_random_model *random, ffai_error *err);

/* The listing of the recorded program; free with ffai_free. */
ffai_status ffai__model_print_listing(char **text, const ffai_model *model, ffai_error *err);

/* Record, fuse and verify the program. */
ffai_status ffai__model_record(ffai_model *model, const char *fusions, ffai_error *err);

/* The parameters from generation_config.json, the family and the library. path: the document's. */
ffai_status ffai__parameters_resolve(ffai_parameters *parameters, const ffai__family *family,
                                     const json_t *generation_config, const char *path, ffai_error *err);

/* The rows of a prompt's step, which the device and what was tuned on it decide where the checkpoint does not. */
void ffai__parameters_suit(ffai_parameters *parameters, const ffai__backend *backend, const ffai__tuning *tuning);
/* The rows of a session's largest step. scarce: memory is all taken by keys and values, and nobody has asked for more
 * rows than the library's own. */
int32_t ffai__parameters_step_rows(const ffai_parameters *parameters, bool scarce);

/* End tokens: "eos_token_id" of generation_config.json, which stands at `path`, and of config.json. */
ffai_status ffai__end_tokens_read(ffai_model *model, const char *path, ffai_error *err);
/* And, once there is a tokenizer, "eos_token" of tokenizer_config.json. */
ffai_status ffai__end_tokens_add_tokenizers(ffai_model *model, ffai_error *err);

/* A tokenizer from a checkpoint. */
ffai_status ffai__tokenizer_of(ffai_tokenizer **out, const ffai__checkpoint *checkpoint, ffai_error *err);

/* Everything of a model but its weights and its tokenizer: opened, recorded and planned. path NULL: the default model.
 * What was made before a failure stays for ffai_model_free. */
ffai_status ffai__model_plan(ffai_model *model, const char *path, const ffai_model_options *options, ffai_error *err);

/* Bytes that weights, stores and workspace could take where the model is to run. */
ffai_status ffai__model_available(uint64_t *bytes, const ffai_model *model, ffai_error *err);

/* A backend, which of its devices, and why. */
typedef struct ffai__backend_choice {
    const ffai__backend *backend;
    int device;
    char reason[256];
} ffai__backend_choice;

/* By name; NULL or "auto": cuda where it can run, else cpu. FFAI_E_UNSUPPORTED names those there are; FFAI_E_ARGUMENT
 * if it has no such device; else why cuda cannot run, as ffai__cuda_usable. */
ffai_status ffai__backend_choose(ffai__backend_choice *out, const char *name, int device, ffai_error *err);

/* Bytes of keys and values for one position of one sequence, over all layers. */
uint64_t ffai__position_bytes(const ffai__program *program, ffai__store_format format);

/* A session whose activations can be read after each step. */
ffai_status ffai__session_open_readable(ffai_session **out, ffai_model *model, const ffai_session_options *options,
                                        ffai_error *err);
ffai_status ffai__session_read(float *out, ffai_session *session, ffai__value value, ffai_error *err);

/* FFAI_E_ARGUMENT if one of the text's tokens [n] is none of the model's; `what` begins the message. */
ffai_status ffai__text_check(const ffai_model *model, const int32_t *tokens, size_t n, const char *what,
                             ffai_error *err);

/* The session's limits for one step, at least 1. */
size_t ffai__session_max_rows(const ffai_session *session);
size_t ffai__session_max_outputs(const ffai_session *session);

/* Seconds from some fixed moment. */
double ffai__now(void);

#endif
