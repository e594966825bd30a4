/**
 * Generating text: a prompt in, tokens and text out, streamed.
 */
#ifndef FFAI_GENERATE_H
#define FFAI_GENERATE_H

#include <ffai/grammar.h>
#include <ffai/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a parameter's value comes from: the first of these that gives one. */
typedef enum ffai_source {
    FFAI_FROM_CALLER,
    FFAI_FROM_CHECKPOINT, /**< generation_config.json */
    FFAI_FROM_FAMILY,
    FFAI_FROM_LIBRARY,
    FFAI_FROM_TUNING, /**< what ffai_tune found, before a family's and the library's */
} ffai_source;

/** X(field, least, most). Integers are given as doubles. */
#define FFAI_PARAMETER_LIST(X)                                                                                         \
    X(max_tokens, 0, 1e9)                                                                                              \
    X(prefill_step_size, 1, 65536)                                                                                     \
    X(temperature, 0, 100)                                                                                             \
    X(top_p, 0, 1)                                                                                                     \
    X(top_k, 0, 1e9)                                                                                                   \
    X(min_p, 0, 1)                                                                                                     \
    X(repetition_penalty, 0.01, 100)                                                                                   \
    X(presence_penalty, -100, 100)

typedef struct ffai_parameter {
    double value;
    ffai_source source;
} ffai_parameter;

/** The generation parameters in force. */
typedef struct ffai_parameters {
#define FFAI_PARAMETER_FIELD(name, least, most) ffai_parameter name;
    FFAI_PARAMETER_LIST(FFAI_PARAMETER_FIELD)
#undef FFAI_PARAMETER_FIELD
} ffai_parameters;

/** A model's own parameters; a caller sets .value and .source = FFAI_FROM_CALLER of those it wants otherwise. */
FFAI_API void ffai_model_parameters(ffai_parameters *parameters, const ffai_model *model);

/** "caller", "generation_config.json", "family", "library", "tuning". */
FFAI_API const char *ffai_source_name(ffai_source source);

typedef enum ffai_finish_reason {
    FFAI_FINISH_STOP,      /**< an end token, or a grammar's end */
    FFAI_FINISH_LENGTH,    /**< max_tokens, or the context is full */
    FFAI_FINISH_CANCELLED, /**< by a callback, the session's keep_going among them */
} ffai_finish_reason;

/** "stop", "length", "cancelled". */
FFAI_API const char *ffai_finish_reason_name(ffai_finish_reason reason);

typedef struct ffai_generate_options {
    const ffai_parameters *parameters; /**< NULL: the model's */
    uint64_t seed;
    bool ignore_end_tokens; /**< go on to max_tokens */
    /** The text follows its grammar, from where the matcher stands: at its beginning, if it was reset. It must be of
       the model's tokenizer. The text ends with an end token where the grammar allows one, or by itself where nothing
       else may follow; one that is cut by max_tokens is not complete. NULL: any text. */
    ffai_matcher *matcher;
    /** Called with text as it becomes certain; false cancels. May be NULL. */
    bool (*on_text)(void *context, const char *text, size_t size);
    /** Called after each step of the prompt, and before each new token (done == total); false cancels. May be NULL. */
    bool (*on_progress)(void *context, size_t done, size_t total);
    void *context;
} ffai_generate_options;

#define FFAI_GENERATE_OPTIONS_INIT                                                                                     \
    {                                                                                                                  \
        0                                                                                                              \
    }

typedef struct ffai_generation {
    int32_t *tokens; /**< without the end token */
    size_t num_tokens;
    char *text; /**< UTF-8, ended by a 0; special tokens left out; empty if the model has no tokenizer */
    size_t text_size;
    ffai_finish_reason finish_reason;
    size_t prompt_tokens;   /**< that were evaluated: fewer than given only if cancelled */
    double prefill_seconds; /**< to the first token */
    double decode_seconds;  /**< after it */
} ffai_generation;

/**
 * Continue a sequence with `n` prompt tokens, at least 1, and then up to max_tokens generated ones.
 *
 * out  receives the result, also when it was cancelled; free it with ffai_generation_free. The sequence then
 *      holds the prompt and all drawn tokens but the last one, an end token counted among them.
 *      Its steps' results are told by it alone: ffai_step_collect has none afterwards.
 * FFAI_E_CONTEXT_FULL if the prompt alone does not fit: nothing is changed then.
 *
 * On a device the next token is computed while the callbacks look at the one before: in them the sequence may be a
 * token longer than the text, and they must leave the session alone. When this returns, nothing of that is left.
 */
FFAI_API ffai_status ffai_generate(ffai_generation **out, ffai_session *session, ffai_sequence sequence,
                                   const int32_t *prompt, size_t n, const ffai_generate_options *options,
                                   ffai_error *err);
FFAI_API void ffai_generation_free(ffai_generation *generation);

/**
 * How well a model foretells a text: the mean negative log-likelihood, in nats a token, of tokens 1 … n-1 given
 * all before them, in one context. Perplexity is its exponential. The sequence must be empty; it holds the text
 * afterwards. on_progress as in ffai_generate_options.
 */
FFAI_API ffai_status ffai_mean_nll(double *nll, ffai_session *session, ffai_sequence sequence, const int32_t *tokens,
                                   size_t n, bool (*on_progress)(void *context, size_t done, size_t total),
                                   void *context, ffai_error *err);

#ifdef __cplusplus
}
#endif
#endif
