/* The flags that say which model and how it is run, and loading it by them. */
#ifndef FFAI_CLI_MODEL_SOURCE_H
#define FFAI_CLI_MODEL_SOURCE_H

#include <ffai/bench.h>
#include <ffai/chat.h>

#include "options.h"
#include "timeline.h"

#define BACKENDS "auto|cpu|cuda|ref"

typedef struct model_settings {
    setting path, backend, device, threads, activations, fusions;
    bool untuned; /* no flag: ffai tune wants a model as it is without its values */
} model_settings;

typedef struct session_settings {
    setting context, kv;
} session_settings;

/* Rows for a table whose settings have a model_settings called `model`. The words of --activations stand in the order
 * of ffai_activations. */
#define MODEL_OPTION                                                                                                   \
    VALUE(OPTION_MODEL, 'm', "model", "MODEL", model.path,                                                             \
          "a folder, a .gguf file or org/repo (default: the default model)")
#define BACKEND_OPTION                                                                                                 \
    VALUE(OPTION_CHOICE, 0, "backend", BACKENDS, model.backend, "what computes (default: auto)"), DEVICE_OPTION
#define DEVICE_OPTION                                                                                                  \
    RANGE(OPTION_INTEGER, 0, "device", "N", 0, 1023, model.device, "which of ffai devices cuda uses; default 0")
#define COMPUTE_OPTIONS                                                                                                \
    RANGE(OPTION_INTEGER, 0, "threads", "N", 1, 1024, model.threads, "of the processor; default: its cores"),          \
        VALUE(OPTION_CHOICE, 0, "activations", "default|f32|bf16|fine", model.activations,                             \
              "f32: round none; bf16: to bf16 where that is faster; fine: not beyond 15 bits"),                        \
        VALUE(OPTION_FUSIONS, 0, "fusions", "all|none|LIST", model.fusions, "rewrites of the program (default: all)")
/* Rows for one with a session_settings called `session`. */
#define KV_OPTION                                                                                                      \
    VALUE(OPTION_CHOICE, 0, "kv", "bf16|f16|f32", session.kv, "how keys and values are stored (default: f16)")
#define CONTEXT_OPTION(least_, help_) RANGE(OPTION_INTEGER, 0, "context", "N", least_, 1e9, session.context, help_)

/* Load the model, the default one without -m, with progress on a terminal; Ctrl-C ends it with FFAI_E_CANCELLED.
 * times: what its stages take, to the last one; it must live until the model is freed. */
ffai_status model_open(ffai_model **out, timeline *times, const model_settings *settings, bool without_tokenizer,
                       ffai_error *err);

/* The same with a model of random weights, without a tokenizer. */
ffai_status model_make(ffai_model **out, timeline *times, const model_settings *settings,
                       const ffai_random_model *random, ffai_error *err);

/* What the flags ask for; the strings stay those of the command line. */
ffai_model_options model_options(const model_settings *settings);

ffai_kv_format kv_format(const session_settings *settings);

/* Rows of a step that all want logits: as many as fit into 64 MB of them, at most n. */
int32_t model_output_rows(const ffai_model *model, size_t n);

/* The model's tokenizer alone; free with ffai_tokenizer_free. */
ffai_status tokenizer_open(ffai_tokenizer **out, const setting *path, ffai_error *err);
/* Its chat template, NULL where it has none; free with ffai_chat_template_free. */
ffai_status chat_template_open(ffai_chat_template **out, const setting *path, ffai_error *err);

#endif
