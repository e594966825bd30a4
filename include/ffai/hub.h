/**
 * Models of a hub: downloading them into the cache that Hugging Face's tools share, and what lies there.
 *
 * The environment says where: HF_HUB_CACHE, or hub below HF_HOME, or ~/.cache/huggingface/hub; HF_ENDPOINT is the hub,
 * https://huggingface.co by default; HF_TOKEN, or the token file of Hugging Face's tools, is shown to it alone.
 * HF_HUB_OFFLINE=1 keeps every function here off the network.
 *
 * A model is named "org/repo", "org/repo@revision" (a branch, a tag or a commit; "main" without) or
 * "org/repo@revision:file.gguf" for one GGUF file of a repository.
 */
#ifndef FFAI_HUB_H
#define FFAI_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ffai/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How far a download is. Strings live until the call returns. */
typedef struct ffai_hub_event {
    ffai_load_stage stage;         /**< resolving until the first file comes, then downloading */
    const char *file;              /**< the file that comes now */
    size_t file_number, files;     /**< which of how many, from 1 */
    uint64_t file_done, file_size; /**< bytes of it that are there, and all */
    uint64_t done, size;           /**< bytes of all files that are there, and all */
    const char *waiting;           /**< why nothing comes: a line; NULL while something does */
} ffai_hub_event;

typedef struct ffai_hub_options {
    bool offline;    /**< as HF_HUB_OFFLINE=1 */
    int connections; /**< at the same time for one file; 0: the library's choice; at most 16 */
    /** Called several times a second while a download goes on or waits, on the caller's thread; returning false stops
     * it with FFAI_E_CANCELLED, and what came stays for the next time. May be NULL. */
    bool (*on_event)(void *context, const ffai_hub_event *event);
    void *context;
} ffai_hub_options;

/** Whether a text has the form of a model's name on a hub. It says nothing about whether there is such a model. */
FFAI_API bool ffai_hub_is_name(const char *name);

/**
 * Bring the files of a model that loading needs into the cache, as the hub has them now.
 *
 * path     receives the snapshot's folder, or the GGUF file in it; free with ffai_free.
 * options  may be NULL.
 * What is there already is not fetched again; what was cut short is continued. A file gets its name when its size and
 * its digest (sha256, or git's sha1) are those that the hub names.
 * Errors: FFAI_E_ARGUMENT (no such form of name), FFAI_E_NOT_FOUND (no such repository, revision or file, or no right
 * to see it: the message says what to do; offline: what is missing), FFAI_E_FORMAT (a reply that makes no sense),
 * FFAI_E_IO (network, disk), FFAI_E_LIMIT, FFAI_E_CANCELLED. Each names the file or address.
 */
FFAI_API ffai_status ffai_hub_pull(char **path, const char *name, const ffai_hub_options *options, ffai_error *err);

/**
 * Where a model is: an existing path as it stands; a model whose files are all in the cache without asking the hub;
 * anything else of a model's form after ffai_hub_pull. FFAI_E_NOT_FOUND for what is neither a path nor such a name.
 */
FFAI_API ffai_status ffai_hub_find(char **path, const char *name, const ffai_hub_options *options, ffai_error *err);

/** The folder of the cache, whether it exists or not. Free with ffai_free. */
FFAI_API ffai_status ffai_hub_cache_path(char **path, ffai_error *err);

/** A repository in the cache. */
typedef struct ffai_hub_model {
    char *name;                /**< org/repo */
    char *revisions;           /**< names of its revisions that are here, joined by ", "; "" if none has a name */
    const char *format;        /**< "safetensors", "gguf" or "other" */
    size_t snapshots;          /**< revisions that are here, named or not */
    uint64_t bytes;            /**< on the disk */
    uint64_t unfinished_bytes; /**< of these, in downloads that were cut short */
    int64_t last_used;         /**< when a file of it was last read, in seconds since 1970 */
} ffai_hub_model;

/** The models in the cache, by name; a cache that is not there has none. Free with ffai_hub_models_free. */
FFAI_API ffai_status ffai_hub_models(ffai_hub_model **models, size_t *count, ffai_error *err);
FFAI_API void ffai_hub_models_free(ffai_hub_model *models, size_t count);

/** Remove a model ("org/repo") from the cache, all its revisions. *freed receives bytes. FFAI_E_NOT_FOUND if it is not
 * there. */
FFAI_API ffai_status ffai_hub_remove(uint64_t *freed, const char *name, ffai_error *err);

/** Remove what nothing needs: downloads and removals that were cut short, and files that no revision has. One that
 * another process downloads now stays. *freed receives bytes. */
FFAI_API ffai_status ffai_hub_prune(uint64_t *freed, ffai_error *err);

#ifdef __cplusplus
}
#endif
#endif
