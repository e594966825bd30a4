/**
 * The stages of a model's life, from its name to its end.
 *
 * They come in this order, but for warming, which comes with each session that asks for it, and ends with ready. A
 * stage begins with its first event and ends with the first one of another, so that what ffai_hub_find or ffai_hub_pull
 * and then ffai_model_load report is one line of time.
 */
#ifndef FFAI_STAGE_H
#define FFAI_STAGE_H

#include <ffai/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ffai_load_stage {
    FFAI_LOAD_RESOLVING,   /**< asking a hub which files a name stands for (ffai_hub_event.stage) */
    FFAI_LOAD_DOWNLOADING, /**< bringing these files (ffai_hub_event.stage) */
    FFAI_LOAD_MAPPING,     /**< opening files and checking their headers */
    FFAI_LOAD_PLANNING,    /**< recording the program, choosing kernels, laying out weights; the check of memory */
    FFAI_LOAD_UPLOADING,   /**< bringing weights into this layout: on a device, into its memory */
    FFAI_LOAD_TOKENIZER,   /**< reading the tokenizer, as far as that was not done beside the stages before */
    FFAI_LOAD_WARMING,     /**< a session's first steps (ffai_session_options.prewarm), after which it is ready again */
    FFAI_LOAD_READY,       /**< a moment: the model is loaded */
    FFAI_LOAD_UNLOADING,   /**< giving everything back, from fraction 0 to 1 */
    FFAI_LOAD_STAGES       /**< how many there are */
} ffai_load_stage;

/** "resolving", "downloading" and so on. */
FFAI_API const char *ffai_load_stage_name(ffai_load_stage stage);

typedef struct ffai_load_event {
    ffai_load_stage stage;
    double fraction; /**< of this stage, 0 to 1 */
    double seconds;  /**< since loading began */
} ffai_load_event;

#ifdef __cplusplus
}
#endif
#endif
