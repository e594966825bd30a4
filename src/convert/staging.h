/* A folder written under a temporary name and put in place whole. */
#ifndef FFAI_CONVERT_STAGING_H
#define FFAI_CONVERT_STAGING_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

typedef struct ffai__staging {
    char *destination; /* without slashes at the end */
    char *folder;      /* where to write */
    int lock;          /* where locked, a descriptor: no other process takes the folder for one left behind */
    bool locked;
    bool committed;
} ffai__staging; /* all zero: nothing yet */

/* FFAI_E_ARGUMENT for a destination that may not be replaced. */
ffai_status ffai__staging_check(const char *destination, bool overwrite, ffai_error *err);
/* Refuses a destination that may not be replaced, removes what processes that were killed left beside it, and makes
 * the folder. Free with ffai__staging_free in any case. */
ffai_status ffai__staging_open(ffai__staging *staging, const char *destination, bool overwrite, ffai_error *err);
/* Bytes that may be written there, UINT64_MAX where the system does not tell. */
uint64_t ffai__staging_free_bytes(const ffai__staging *staging);
/* Rename the folder to the destination, removing the checkpoint that is there. */
ffai_status ffai__staging_commit(ffai__staging *staging, ffai_error *err);
/* Removes the folder and its files, unless committed. */
void ffai__staging_free(ffai__staging *staging);

#endif
