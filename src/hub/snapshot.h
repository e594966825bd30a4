/* The cache's layout, which Hugging Face's tools share: below models--org--name, blobs/DIGEST has bytes, refs/REVISION
 * a commit, and snapshots/COMMIT/FILE is a symbolic link to a blob. */
#ifndef FFAI_HUB_SNAPSHOT_H
#define FFAI_HUB_SNAPSHOT_H

#include <stdint.h>

#include "hub_settings.h"
#include "listing.h"
#include "repository.h"

typedef struct ffai__snapshot {
    char *repository; /* the folder of models--org--name */
    char *locks;      /* that of its locks */
    char *folder;     /* snapshots/COMMIT */
    char commit[41];  /* "" where the cache knows none for the revision; folder is NULL then */
} ffai__snapshot;

/* Where a repository lies in the cache; the commit is that of the revision as the cache has it, if any. Makes nothing.
 * Free with ffai__snapshot_free. */
ffai_status ffai__snapshot_find(ffai__snapshot *out, const ffai__hub_settings *settings,
                                const ffai__repository *repository, ffai_error *err);
void ffai__snapshot_free(ffai__snapshot *snapshot);
/* Turn to another commit. */
ffai_status ffai__snapshot_turn(ffai__snapshot *snapshot, const char *commit, ffai_error *err);

/* The path of a file of it; free with ffai__free. NULL when memory is short. */
char *ffai__snapshot_path(const ffai__snapshot *snapshot, const char *file);
/* Its bytes, or -1 if it is not there. FFAI_E_IO where the disk does not tell. */
ffai_status ffai__snapshot_size(int64_t *size, const ffai__snapshot *snapshot, const char *file, ffai_error *err);
char *ffai__snapshot_blob(const ffai__snapshot *snapshot, const char *digest);

/* The shards that its index names, added to *shards. In messages the index is `called` so, or, where that is NULL, by
 * its path. */
ffai_status ffai__snapshot_read_index(ffai__names *shards, const ffai__snapshot *snapshot, const char *called,
                                      ffai_error *err);

/* FFAI_OK if all is there that loading needs: the file, or where that is NULL documents and weights. Else
 * FFAI_E_NOT_FOUND, naming what is missing. */
ffai_status ffai__snapshot_check(const ffai__snapshot *snapshot, const ffai__repository *repository, ffai_error *err);

/* Let file be the blob, at once. */
ffai_status ffai__snapshot_link(const ffai__snapshot *snapshot, const char *file, const char *digest, ffai_error *err);
/* Write down, as Hugging Face's tools do, that the commit has no such file. */
ffai_status ffai__snapshot_note_absent(const ffai__snapshot *snapshot, const char *file, ffai_error *err);
/* Let the revision be the snapshot's commit. */
ffai_status ffai__snapshot_refer(const ffai__snapshot *snapshot, const char *revision, ffai_error *err);

#endif
