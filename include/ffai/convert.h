/**
 * Turning one checkpoint into another, and holding two backends against each other.
 */
#ifndef FFAI_CONVERT_H
#define FFAI_CONVERT_H

#include <ffai/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ffai_convert_options {
    const char *dtype;    /**< NULL: keep; "bf16", "fp16" or "f32": store every weight plainly in this type */
    uint64_t shard_bytes; /**< largest size of one file; 0: 5 GB */
    bool overwrite;       /**< replace an existing destination */
    bool (*on_progress)(void *context, double fraction); /**< false cancels; may be NULL */
    void *context;
} ffai_convert_options;

#define FFAI_CONVERT_OPTIONS_INIT                                                                                      \
    {                                                                                                                  \
        0                                                                                                              \
    }

/**
 * Write the checkpoint at `source` (a folder or a .gguf file) as a folder in MLX format at `destination`, with
 * config.json, tokenizer.json, tokenizer_config.json and generation_config.json. Quantized weights are carried
 * over without loss. Nothing that looks complete is left behind on failure.
 */
FFAI_API ffai_status ffai_convert(const char *destination, const char *source, const ffai_convert_options *options,
                                  ffai_error *err);

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
