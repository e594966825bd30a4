/**
 * Sessions: sequences with their stored keys and values, and steps over them.
 *
 * A session is used by one thread at a time. It holds up to max_sequences sequences; a step takes rows of any of
 * them. What a row gives depends on its own sequence alone, not on how a prompt was cut into steps nor on the
 * other rows of the step.
 */
#ifndef FFAI_SESSION_H
#define FFAI_SESSION_H

#include <ffai/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ffai_session ffai_session;

/** How keys and values are stored: 11 bits of precision up to 65504 (beyond, that number is kept); 8 bits and float32's
 * range; or as they are. */
typedef enum ffai_kv_format { FFAI_KV_F16, FFAI_KV_BF16, FFAI_KV_F32 } ffai_kv_format;

typedef struct ffai_session_options {
    int64_t context;       /**< positions of the longest sequence; 0: as many as the model was made for, or fewer
                                if memory holds no more */
    int32_t max_sequences; /**< at once; 0: 4 */
    int32_t max_rows;      /**< of one step; 0: the model's prefill_step_size */
    int32_t max_outputs;   /**< output rows of one step; 0: max_sequences */
    ffai_kv_format kv_format;
    bool prewarm; /**< take a step of each kind and size before this one is handed out, so that the first of its own
                       pays for nothing; none of them leaves a trace. The model's on_event hears of it and can end it */
    /** Asked between the parts of a step, on the thread that submitted it, some hundred times; false ends the step with
        FFAI_E_CANCELLED. NULL: yes. */
    bool (*keep_going)(void *context);
    void *keep_going_context;
} ffai_session_options;

#define FFAI_SESSION_OPTIONS_INIT                                                                                      \
    {                                                                                                                  \
        0                                                                                                              \
    }

/** Open a session; options may be NULL. FFAI_E_MEMORY has the numbers and the largest context that would fit. */
FFAI_API ffai_status ffai_session_open(ffai_session **out, ffai_model *model, const ffai_session_options *options,
                                       ffai_error *err);
FFAI_API void ffai_session_close(ffai_session *session);

FFAI_API ffai_model *ffai_session_model(const ffai_session *session);
FFAI_API int64_t ffai_session_context(const ffai_session *session);

/** Bytes: weights in the backend's layout, stores reserved for keys and values (touched only as they fill), and
 * workspace. */
FFAI_API void ffai_session_memory(uint64_t *weights, uint64_t *stores, uint64_t *workspace,
                                  const ffai_session *session);

/** A sequence's number within its session. */
typedef int32_t ffai_sequence;

/** A new, empty sequence. FFAI_E_LIMIT if max_sequences are open. */
FFAI_API ffai_status ffai_sequence_open(ffai_sequence *out, ffai_session *session, ffai_error *err);
FFAI_API void ffai_sequence_close(ffai_session *session, ffai_sequence sequence);

/** A sequence that begins with the first `length` tokens of another, sharing their storage. */
FFAI_API ffai_status ffai_sequence_fork(ffai_sequence *out, ffai_session *session, ffai_sequence from, int64_t length,
                                        ffai_error *err);

/** Forget all tokens from position `length` on. */
FFAI_API ffai_status ffai_sequence_truncate(ffai_session *session, ffai_sequence sequence, int64_t length,
                                            ffai_error *err);

/** Tokens stored so far; -1 for a sequence that is not open. */
FFAI_API int64_t ffai_sequence_length(const ffai_session *session, ffai_sequence sequence);

/** How a token is drawn from logits: penalties, temperature, top-k, top-p, min-p, in this order. */
typedef struct ffai_sampling {
    float temperature;        /**< 0: the most likely token */
    int32_t top_k;            /**< 0: off */
    float top_p;              /**< 1: off */
    float min_p;              /**< 0: off */
    float repetition_penalty; /**< 1: off; over all tokens of the sequence */
    float presence_penalty;   /**< 0: off */
    uint64_t seed;            /**< with the row's position it fixes the draw */
    /** [num_allowed] bits, of token id in bit id % 32 of word id / 32: only these tokens are drawn. NULL: any. To be
       kept until the step is submitted. */
    const uint32_t *allowed;
    int32_t num_allowed;
} ffai_sampling;

#define FFAI_SAMPLING_INIT                                                                                             \
    {                                                                                                                  \
        0.0F, 0, 1.0F, 0.0F, 1.0F, 0.0F, 0, NULL, 0                                                                    \
    }

/** FFAI_E_ARGUMENT names the parameter that is out of range. */
FFAI_API ffai_status ffai_sampling_check(const ffai_sampling *sampling, ffai_error *err);

/** Row.token: the token that was drawn for this position by an earlier step. */
#define FFAI_TOKEN_DRAWN (-1)

/** One row of a step: the next token of its sequence. Rows of one sequence stand together, in order. */
typedef struct ffai_row {
    int32_t token;
    ffai_sequence sequence;
    bool output;                   /**< wants logits, or a draw */
    const ffai_sampling *sampling; /**< of an output row: how to draw; NULL: logits only */
} ffai_row;

/**
 * Submit a step of n rows. On failure nothing has changed: FFAI_E_ARGUMENT names the row, FFAI_E_CONTEXT_FULL
 * says which sequence would outgrow its context, FFAI_E_CANCELLED that keep_going ended the step (a token drawn for a
 * position that the step gave another token is forgotten then). Results are fetched with ffai_step_collect before the
 * next submission.
 */
FFAI_API ffai_status ffai_step_submit(ffai_session *session, const ffai_row *rows, size_t n, ffai_error *err);

/**
 * Wait for the submitted step.
 *
 * tokens  [output rows] receives what was drawn, -1 where nothing was; may be NULL.
 * logits  receives [output rows, vocab_size], valid until the next submission; may be NULL.
 */
FFAI_API ffai_status ffai_step_collect(int32_t *tokens, const float **logits, ffai_session *session, ffai_error *err);

/** Submit and collect the logits of every output row. */
FFAI_API ffai_status ffai_forward(const float **logits, ffai_session *session, const ffai_row *rows, size_t n,
                                  ffai_error *err);

/** Submit and collect the drawn tokens of every output row. */
FFAI_API ffai_status ffai_forward_sample(int32_t *tokens, ffai_session *session, const ffai_row *rows, size_t n,
                                         ffai_error *err);

#ifdef __cplusplus
}
#endif
#endif
