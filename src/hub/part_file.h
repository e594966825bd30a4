/* A file that is being downloaded: its bytes at their places, and behind them, up to where each piece of it has come.
 * What is written down there is in the file, so a process may end at any byte and another goes on. One that has its
 * bytes alone lacked nothing but its name when a process ended. */
#ifndef FFAI_HUB_PART_FILE_H
#define FFAI_HUB_PART_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

enum { FFAI__PART_PIECE = 32 << 20 }; /* bytes of a piece; the last one has what is left */

typedef struct ffai__part_file {
    char *path;
    int descriptor;
    int64_t size;
    int64_t pieces; /* at least 1 */
    int64_t *done;  /* [pieces] bytes that are there, from each piece's beginning */
    bool spoiled;   /* what is on the disk may be other than what was written: closing removes the file */
} ffai__part_file;

/* Open it or begin it anew, where it is not that of a file of this size. FFAI_E_IO, FFAI_E_MEMORY. */
ffai_status ffai__part_file_open(ffai__part_file *out, const char *path, int64_t size, ffai_error *err);
void ffai__part_file_close(ffai__part_file *part);

int64_t ffai__part_file_length(const ffai__part_file *part, int64_t piece);
/* Bytes that are there in all; and those from the beginning of the file without a gap, given an earlier such number. */
int64_t ffai__part_file_done(const ffai__part_file *part);
int64_t ffai__part_file_whole(const ffai__part_file *part, int64_t known);

/* Bytes of one piece that follow on those it has; they may go on into pieces that have nothing yet. */
ffai_status ffai__part_file_write(ffai__part_file *part, int64_t at, const char *bytes, int64_t count, ffai_error *err);
/* Nothing is there any more. */
ffai_status ffai__part_file_forget(ffai__part_file *part, ffai_error *err);
/* Bring it to the disk and give it its name. Where the disk fails, the file is spoiled: what it has is not known. */
ffai_status ffai__part_file_finish(ffai__part_file *part, const char *path, ffai_error *err);

#endif
