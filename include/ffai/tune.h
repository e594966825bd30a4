/**
 * Tuning: measuring which values of the engine's few free parameters are best for this machine, or device, and this
 * model, once.
 * On the processor none of them changes a bit of any result; on a device one does, as docs/performance.md says, within
 * the bars. Everything works well without it. `ffai tune` is made of this.
 */
#ifndef FFAI_TUNE_H
#define FFAI_TUNE_H

#include <ffai/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One value that was tried against the best one before it. */
typedef struct ffai_tune_trial {
    const char *parameter; /**< static; docs/performance.md says what each is */
    int32_t value;
    int32_t against; /**< what it was measured beside; a trial's neighbours in time are of this value */
    int rounds;      /**< measured; no more once it could not be kept any longer */
    int wins;        /**< of them */
    int disturbed; /**< rounds beside these that do not count: other processes took time from this one's threads; 0 on a
                      device */
    double prefill; /**< times as fast, the median of the rounds; 0: not measured */
    double decode;  /**< the same */
    bool kept;
} ffai_tune_trial;

typedef struct ffai_tune_options {
    /** Called now and then, from 0 to 1; false ends it with FFAI_E_CANCELLED and nothing is written. May be NULL. */
    bool (*on_progress)(void *context, double fraction);
    /** Called for every value that was tried, in order. May be NULL. */
    void (*on_trial)(void *context, const ffai_tune_trial *trial);
    void *context;
} ffai_tune_options;

/**
 * Measure, and write what was found into the user's cache, where ffai_model_load finds it from then on. It takes some
 * half a minute for a model of 1B parameters. Nothing else should run meanwhile: rounds in which other processes take
 * time from this one's threads do not count, and what is disturbed too often is not kept.
 *
 * path     receives the file that was written; free it with ffai_free.
 * model    loaded with ffai_model_options.untuned, and without threads.
 * options  may be NULL.
 * Errors: FFAI_E_ARGUMENT for a model loaded otherwise, FFAI_E_UNSUPPORTED for a backend that has no parameters,
 * FFAI_E_IO if the file cannot be written, FFAI_E_CANCELLED; those of ffai_session_open.
 */
FFAI_API ffai_status ffai_tune(char **path, ffai_model *model, const ffai_tune_options *options, ffai_error *err);

/**
 * Whether a model loaded with these options could be tuned, before anything of it is: options may be NULL; backend and
 * device are heeded. FFAI_E_UNSUPPORTED for a backend that has no parameters; those of ffai_model_load for a backend.
 */
FFAI_API ffai_status ffai_tune_check(const ffai_model_options *options, ffai_error *err);

/** Remove every file that ffai_tune wrote; *removed receives their number. */
FFAI_API ffai_status ffai_tune_forget(size_t *removed, ffai_error *err);

#ifdef __cplusplus
}
#endif
#endif
