/**
 * Measuring speed: models of random weights, what the machine can do, what a step moves and computes, and where its
 * time goes. `ffai bench` is made of these and of include/ffai/session.h.
 */
#ifndef FFAI_BENCH_H
#define FFAI_BENCH_H

#include <ffai/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A published model's dimensions. */
typedef struct ffai_shape {
    const char *name;    /**< "llama-3.2-1b"; static */
    const char *family;  /**< its model_type; static */
    int64_t parameters;  /**< a tied embedding counted once */
    int64_t max_context; /**< max_position_embeddings */
    bool tied;           /**< the head is the embedding's matrix */
} ffai_shape;

/** The i-th shape there is; false behind the last. shape may be NULL. */
FFAI_API bool ffai_shape_get(ffai_shape *shape, size_t i);

/** A model of random weights. */
typedef struct ffai_random_model {
    const char *shape; /**< the name of an ffai_shape */
    int bits;          /**< 16: bf16; 8, 6, 5, 4, 3, 2: every matrix in MLX affine codes, scales in bf16 */
    int group_size;    /**< columns that share a scale: 16, 32, 64, 128; 0: 64 */
    int64_t layers;    /**< 1 to 512; 0: as many as the shape has */
} ffai_random_model;

/**
 * Make a model of random weights: what ffai_model_load gives for a checkpoint of this shape, without a tokenizer. The
 * weights are made up as they are read and take no memory beyond the backend's own copy and some 64 MiB.
 *
 * out      receives the model; free it with ffai_model_free. Its path in ffai_model_info is the shape's name.
 * options  may be NULL; as in ffai_model_load.
 * Errors: FFAI_E_ARGUMENT for an unknown shape, other bits, groups that do not divide the columns; those of
 * ffai_model_load.
 */
FFAI_API ffai_status ffai_model_make(ffai_model **out, const ffai_random_model *random,
                                     const ffai_model_options *options, ffai_error *err);

/** What a backend can do at most with the instruction set in use: the ceilings of decode and of prefill. */
typedef struct ffai_machine {
    const char *backend;     /**< "cpu", "cuda"; static */
    double read_bytes_s;     /**< reading memory once, far more than the caches hold, on all threads */
    double matmul_flop_s;    /**< multiply-adds on registers, on all threads, 2 for each; the fastest of those that
                                  the instruction set's products may use */
    const char *instruction; /**< the one that was fastest; static */
    const char *isa;         /**< instruction set in use: "avx512", "sm_90"; static */
    int threads;             /**< of the processor; 0: a device other than it */
} ffai_machine;

/**
 * Measure the machine that a model loaded with these options would run on. For the processor it takes about two seconds
 * and 1 GiB, a quarter of the memory there is, or four times the last-level cache. Not while anything else runs.
 *
 * options      may be NULL; backend, device and threads are heeded, and of threads 0 is one for each physical core that
 *              this process may use.
 * on_progress  called now and then, from 0 to 1; false ends it with FFAI_E_CANCELLED. May be NULL.
 * Errors: FFAI_E_UNSUPPORTED for a backend that cannot be measured (ref); those of ffai_model_load for these options.
 */
FFAI_API ffai_status ffai_machine_measure(ffai_machine *machine, const ffai_model_options *options,
                                          bool (*on_progress)(void *context, double fraction), void *context,
                                          ffai_error *err);

/**
 * Read every weight once as a step does, each thread its own share, and compute nothing: bytes a second, which is
 * decode's ceiling at this moment. 0 for a backend that keeps no weights or cannot. Not between a submission and its
 * collection.
 */
FFAI_API double ffai_session_read_weights(ffai_session *session);

/** What one step of one sequence must move and compute. */
typedef struct ffai_step_work {
    uint64_t weight_bytes; /**< of weights in the backend's layout, each once; 0 for a backend that has none */
    uint64_t store_bytes;  /**< of the keys and values that the rows attend to, each once */
    double product_flops;  /**< of products with weights: 2 for each parameter and row; the head's for output rows */
    double attention_flops;
} ffai_step_work;

/** The work of a step of `rows` rows, the last `outputs` of them with output, after `depth` positions. */
FFAI_API void ffai_session_work(ffai_step_work *work, const ffai_session *session, int64_t depth, int64_t rows,
                                int64_t outputs);

/** Where steps spend their time: one kind of work. */
typedef struct ffai_op_time {
    const char *op;   /**< the instruction's name, or "head"; static */
    const char *part; /**< the part of it: "prepare", "multiply", "attend" …; static */
    uint64_t count;   /**< times it was done */
    double seconds;   /**< on the first thread, its wait for the others included */
    double bytes;     /**< of weights, and of keys and values, that were read */
    double flops;     /**< of products and of attention */
} ffai_op_time;

/**
 * Begin to measure the session's steps by kind of work, from zero, or stop it: what was measured stays. It costs a
 * look at the clock for each piece of work while it is on and nothing while it is off.
 * FFAI_E_UNSUPPORTED for a backend that cannot.
 */
FFAI_API ffai_status ffai_session_profile(ffai_session *session, bool on, ffai_error *err);

/** Up to `room` kinds of work, in the order in which a step first does them; returns how many there are. times may be
 * NULL if room is 0. */
FFAI_API size_t ffai_session_profile_read(ffai_op_time *times, size_t room, const ffai_session *session);

#ifdef __cplusplus
}
#endif
#endif
