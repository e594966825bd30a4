/**
 * Models: a checkpoint, its tokenizer and its program, planned for a backend.
 *
 * A model is immutable once loaded and may serve several sessions, also from several threads. Sessions must be
 * closed before their model is freed.
 */
#ifndef FFAI_MODEL_H
#define FFAI_MODEL_H

#include <ffai/stage.h>
#include <ffai/status.h>
#include <ffai/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ffai_model ffai_model;

/** What a model takes in and gives out. */
typedef enum ffai_capability {
    FFAI_TEXT_IN = 1,
    FFAI_TEXT_OUT = 2,
    FFAI_IMAGE_IN = 4,
    FFAI_AUDIO_IN = 8,
} ffai_capability;

/** How coarsely the inputs of matrix products may be rounded. */
typedef enum ffai_activations {
    FFAI_ACTIVATIONS_DEFAULT, /**< with bf16 weights outside attention as FFAI_ACTIVATIONS_BF16; otherwise not beyond 15
                                   bits or so, which is far more finely than bf16. On NVIDIA's devices
                                   to bf16 outside attention with any weights, to 16 bits around it */
    FFAI_ACTIVATIONS_F32,     /**< not at all */
    FFAI_ACTIVATIONS_BF16,    /**< to bf16, where that is faster: with bf16 weights on x86 processors that have AMX or
                                   AVX512_BF16, on ARM ones with BF16, and with any weights on NVIDIA's devices;
                                   otherwise as by default */
    FFAI_ACTIVATIONS_FINE     /**< everywhere as by default around attention: not beyond 15 bits or so */
} ffai_activations;

typedef struct ffai_model_options {
    const char *backend; /**< "auto" (or NULL), "cpu", "cuda" or "ref". auto is cuda where NVIDIA's driver and a device
                              are there and this build has kernels for it, else cpu */
    int device;          /**< which of the backend's devices, from 0; cpu and ref have one */
    int threads;         /**< of the processor. 0: as ffai_tune found, or one for each physical core this process may
                              use; at most 1024 */
    ffai_activations activations;
    const char *fusions;    /**< "all" (or NULL), "none", or names joined by commas */
    unsigned capabilities;  /**< the ffai_capability bits wanted; 0: all the model has. FFAI_E_UNSUPPORTED if it
                                 lacks one */
    bool without_tokenizer; /**< token ids only */
    bool untuned;           /**< pay no heed to what ffai_tune found; FFAI_TUNE=off in the environment says the same */
    /** Called as loading goes on, on the thread that loads; returning false stops it with FFAI_E_CANCELLED. Called
     * again as ffai_model_free unloads the model, where nothing can be stopped: so context must live until that
     * returns. Of a model whose loading failed no unloading is reported. May be NULL. */
    bool (*on_event)(void *context, const ffai_load_event *event);
    void *context;
} ffai_model_options;

#define FFAI_MODEL_OPTIONS_INIT                                                                                        \
    {                                                                                                                  \
        0                                                                                                              \
    }

/**
 * Load a model from a folder in Hugging Face or MLX format, or a .gguf file.
 *
 * out      receives the model; free it with ffai_model_free.
 * path     NULL: the default model (ffai_default_model_path).
 * options  may be NULL.
 * Errors: FFAI_E_NOT_FOUND, FFAI_E_FORMAT (a broken file, named), FFAI_E_UNSUPPORTED (an architecture, a
 * quantization …), FFAI_E_MEMORY with the numbers before any weight is read, FFAI_E_CANCELLED. For the backend "cuda"
 * also FFAI_E_NOT_FOUND without a driver or a device, FFAI_E_ARGUMENT with the number of devices if there is none of
 * this number, FFAI_E_BACKEND if the driver fails.
 */
FFAI_API ffai_status ffai_model_load(ffai_model **out, const char *path, const ffai_model_options *options,
                                     ffai_error *err);
FFAI_API void ffai_model_free(ffai_model *model);

/** FFAI_E_ARGUMENT, naming the word, unless fusions is what ffai_model_options.fusions may be. */
FFAI_API ffai_status ffai_fusions_check(const char *fusions, ffai_error *err);

/** The default model's file in the user's cache, whether it exists or not. Free with ffai_free. */
FFAI_API ffai_status ffai_default_model_path(char **path, ffai_error *err);

/** What is known of a loaded model. Strings live as long as the model. */
typedef struct ffai_model_info {
    const char *path;
    const char *family;
    const char *backend;        /**< "cpu", "cuda", "ref" */
    const char *backend_reason; /**< a line: that it was asked for, or why "auto" is this one */
    const char *kernels;        /**< a line: instruction set, threads, what they are bound to; or the device */
    const char *tuning; /**< a line: what of ffai_tune's values is in force, and from which file; or why nothing is */
    unsigned capabilities;
    int64_t vocab_size;
    int64_t hidden_size;
    int64_t num_layers;
    int64_t max_context;   /**< positions the model was made for (max_position_embeddings) */
    uint64_t weight_bytes; /**< as stored in the checkpoint */
} ffai_model_info;

FFAI_API void ffai_model_get_info(ffai_model_info *info, const ffai_model *model);

/** The tokenizer, owned by the model; NULL if it was loaded without, or the checkpoint has none. */
FFAI_API const ffai_tokenizer *ffai_model_tokenizer(const ffai_model *model);

/** Whether a token ends a text: generation_config.json's and config.json's eos_token_id and the tokenizer's. */
FFAI_API bool ffai_model_is_end_token(const ffai_model *model, int32_t token);

/** All of them: *tokens receives an array that is the model's. */
FFAI_API size_t ffai_model_end_tokens(const int32_t **tokens, const ffai_model *model);

/** The listing of a checkpoint's program; text is freed with ffai_free. fusions as in ffai_model_options. */
FFAI_API ffai_status ffai_model_listing(char **text, const char *path, const char *fusions, ffai_error *err);

/** What a checkpoint is and needs and whether it runs here, as JSON or for people, from its headers and its tokenizer.
 * text is freed with ffai_free. */
FFAI_API ffai_status ffai_model_inspect(char **text, const char *path, bool json, ffai_error *err);

#ifdef __cplusplus
}
#endif
#endif
