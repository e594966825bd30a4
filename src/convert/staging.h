/* A folder written under a temporary name and put in place whole. */
#ifndef FFAI_CONVERT_STAGING_H
#define FFAI_CONVERT_STAGING_H

#include <stdbool.h>

#include "failure.h"

typedef struct ffai__staging {
    char *destination; /* without slashes at the end */
    char *folder;      /* where to write */
    bool committed;
} ffai__staging;

/* Refuses a destination that may not be replaced, and makes the folder. Free with ffai__staging_free in any
 * case. */
ffai_status ffai__staging_open(ffai__staging *staging, const char *destination, bool overwrite, ffai_error *err);
/* Rename the folder to the destination, removing the checkpoint that is there. */
ffai_status ffai__staging_commit(ffai__staging *staging, ffai_error *err);
/* Removes the folder and its files, unless committed. */
void ffai__staging_free(ffai__staging *staging);

#endif
