/* A file being written: under a temporary name beside its own, renamed when all of it is on the disk. */
#ifndef FFAI_FORMATS_OUTPUT_FILE_H
#define FFAI_FORMATS_OUTPUT_FILE_H

#include <stddef.h>

#include "failure.h"

typedef struct ffai__output_file ffai__output_file;

/* What is at path and not a regular file (a pipe, a terminal) is written to directly. */
ffai_status ffai__output_open(ffai__output_file **out, const char *path, ffai_error *err);
ffai_status ffai__output_write(ffai__output_file *file, const void *bytes, size_t size, ffai_error *err);
/* Flush, sync, close and rename. The file still has to be freed. */
ffai_status ffai__output_finish(ffai__output_file *file, ffai_error *err);
/* Removes what was written, unless it was finished. NULL is allowed. */
void ffai__output_free(ffai__output_file *file);

/* A whole file at once. */
ffai_status ffai__output_whole(const char *path, const void *bytes, size_t size, ffai_error *err);

#endif
