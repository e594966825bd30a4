/**
 * Turning one checkpoint into another, and holding two models, or two backends, against each other.
 */
#ifndef FFAI_CONVERT_H
#define FFAI_CONVERT_H

#include <ffai/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a conversion is going to write. */
typedef struct ffai_convert_estimate {
    uint64_t bytes;           /**< of all tensors */
    uint64_t source_bytes;    /**< of the tensors that they are made of */
    uint64_t parameters;      /**< elements of these */
    size_t tensors;           /**< as many; a quantized matrix with its scales and biases is one */
    size_t quantized;         /**< how many of them this conversion rounds */
    size_t quantized_already; /**< and of those, how many the source has quantized */
    uint64_t free_bytes;      /**< on the destination's disk; UINT64_MAX: unknown */
} ffai_convert_estimate;

typedef struct ffai_convert_options {
    const char *dtype;    /**< NULL: keep; "bf16", "fp16" or "f32": the type of every weight that is stored plainly, and
                               of scales and biases of those that are rounded */
    uint64_t shard_bytes; /**< largest size of one file; 0: 5 GB */
    bool overwrite;       /**< replace an existing destination */
    bool (*on_progress)(void *context, double fraction); /**< false cancels; may be NULL */
    void *context;
    int bits;           /**< 2, 3, 4, 5, 6 or 8: round linear layers and embeddings to affine groups; 0: don't */
    int group_size;     /**< columns that share a scale: 32, 64 or 128; 0: 64 */
    const char *recipe; /**< "mixed_2_6", "mixed_3_4", "mixed_3_6" or "mixed_4_6": two widths, as mlx-lm mixes them.
                             NULL: bits everywhere. With a recipe bits is 0, or its lower width */
    const char *method; /**< "mlx" (or NULL): round as mx.quantize does. "calibrated": scales and
                             biases of the least squared error of each group, a column weighted by the mean square of
                             what it is multiplied with when the model runs over the calibration */
    const int32_t *calibration; /**< tokens of a text, for "calibrated" alone; some thousand will do */
    size_t calibration_size;    /**< how many */
    int threads;                /**< 0: one for each core that this process may use; at most 1024 */
    /** Called once before anything is written, with the same context; false cancels. May be NULL. */
    bool (*on_estimate)(void *context, const ffai_convert_estimate *estimate);
} ffai_convert_options;

#define FFAI_CONVERT_OPTIONS_INIT                                                                                      \
    {                                                                                                                  \
        0                                                                                                              \
    }

/**
 * Write the checkpoint at `source` (a folder or a .gguf file) as a folder in MLX format at `destination`, with
 * config.json, tokenizer.json, tokenizer_config.json and generation_config.json. Quantized weights are carried
 * over without loss, unless a type or bits are asked for. Nothing that looks complete is left behind on failure.
 *
 * Rounding is MLX's, bit for bit: mx.quantize of every weight as it is stored, or as dtype has it. What the group size
 * does not divide stays as it is. It takes a model that ffai runs.
 *
 * FFAI_E_ARGUMENT for options out of range, and a destination that exists; FFAI_E_NOT_FOUND, FFAI_E_FORMAT and
 * FFAI_E_UNSUPPORTED name the source's file and the tensor or field; FFAI_E_IO if the disk has no room, before anything
 * is written; FFAI_E_CANCELLED. Memory is bounded by the largest tensor. The result does not depend on threads.
 */
FFAI_API ffai_status ffai_convert(const char *destination, const char *source, const ffai_convert_options *options,
                                  ffai_error *err);

/** Whether ffai_convert would write to `destination`: FFAI_E_ARGUMENT where it exists and may not be replaced,
 * FFAI_E_IO where it cannot be looked at. For whoever has to bring the source first. */
FFAI_API ffai_status ffai_convert_check_destination(const char *destination, bool overwrite, ffai_error *err);

/** What two models say of the same text. */
typedef struct ffai_comparison {
    size_t positions;        /**< tokens that were foretold */
    double perplexity;       /**< of the first model */
    double other_perplexity; /**< of the second */
    double
        mean_divergence; /**< Kullback-Leibler, of the second from the first: the mean of sum p log(p / q), in nats */
    double high_divergence; /**< its 99th percentile */
    size_t flips;           /**< positions at which another token is the most likely one */
} ffai_comparison;

/**
 * Hold a model against another of the same vocabulary on n tokens, in windows of so many, each evaluated by itself: in
 * every window all tokens but the first are scored.
 *
 * path, other  both are loaded at the same time, with the same options (NULL: defaults). Keys and values are float32.
 * on_progress  false cancels; may be NULL.
 * Errors: those of ffai_model_load; FFAI_E_ARGUMENT for less than two tokens, one outside the vocabulary, or two
 * vocabularies; FFAI_E_CANCELLED.
 */
FFAI_API ffai_status ffai_compare(ffai_comparison *out, const char *path, const char *other, const int32_t *tokens,
                                  size_t n, size_t window, const ffai_model_options *options,
                                  bool (*on_progress)(void *context, double fraction), void *context, ffai_error *err);

/** One instruction of two backends' runs of the same step. */
typedef struct ffai_difference {
    size_t instruction;
    const char *listing; /**< the instruction as a line */
    double error;        /**< max |a - b| / rms(b) over its outputs */
    int64_t row, column; /**< where the largest difference lies */
    double a, b;         /**< the values there */
    bool departs;        /**< error is above the tolerance, or a value is not finite in one of them alone */
} ffai_difference;

/**
 * Run `n` tokens through two backends and compare them instruction by instruction.
 *
 * on_difference  called for every instruction in order; false stops. Strings are valid during the call.
 * first          receives the first instruction that departs, or SIZE_MAX.
 */
FFAI_API ffai_status ffai_diff(size_t *first, const char *path, const char *backend_a, const char *backend_b,
                               const int32_t *tokens, size_t n, double tolerance, const ffai_model_options *options,
                               bool (*on_difference)(void *context, const ffai_difference *difference), void *context,
                               ffai_error *err);

#ifdef __cplusplus
}
#endif
#endif
