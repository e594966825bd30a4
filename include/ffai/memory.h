/**
 * What a model will take of a device's memory, known before it is loaded.
 */
#ifndef FFAI_MEMORY_H
#define FFAI_MEMORY_H

#include <ffai/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of the memory that the backend computes in: the host's for cpu and ref, the device's for cuda, where the host
 * has little beside it. What stays in the mapped file is not among them. */
typedef struct ffai_memory_estimate {
    int64_t context;         /**< of the session that this is about */
    uint64_t weights;        /**< in the backend's layout */
    uint64_t stores;         /**< keys and values; on the host they are reserved and taken as they fill */
    uint64_t workspace;      /**< activations, tokens and the like */
    uint64_t available;      /**< now, for all of these together */
    bool fits;               /**< they are no more than what is available */
    int64_t largest_context; /**< that fits, at most the one the model was made for; 0: none */
} ffai_memory_estimate;

/**
 * Estimate a model and one session of it, for several contexts. Headers are read and no weight; what is computed is the
 * layout that loading then uses. The backend "cuda" asks its device for its number of multiprocessors and its memory.
 *
 * out       [n] receives an estimate for each context.
 * contexts  [n] positions; 0: what ffai_session_open would choose.
 * path      as for ffai_model_load.
 * model     of these options backend, device, threads, activations, fusions and untuned count; may be NULL.
 * session   all but context and keep_going count; may be NULL.
 * Errors: those of ffai_model_load but FFAI_E_CANCELLED, FFAI_E_ARGUMENT for a context or a session's number out of
 * range. That something does not fit is none.
 */
FFAI_API ffai_status ffai_model_estimate(ffai_memory_estimate *out, const int64_t *contexts, size_t n, const char *path,
                                         const ffai_model_options *model, const ffai_session_options *session,
                                         ffai_error *err);

#ifdef __cplusplus
}
#endif
#endif
