/* Values that ffai tune found, kept in the user's cache: one file for each device, program and version. */
#ifndef FFAI_ENGINE_TUNING_FILE_H
#define FFAI_ENGINE_TUNING_FILE_H

#include "engine.h"

/* Where a model's values are kept, and what the file must say to be about it. Free with ffai__tuning_file_free. */
typedef struct ffai__tuning_file {
    char *path;
    const char *backend; /* whose values they are */
    char device[256];
    int threads;      /* where nobody asks for a number: a file cannot want more */
    char program[17]; /* a hash of the listing, in hexadecimal digits */
} ffai__tuning_file;

/* The model's program must be recorded. Errors: FFAI_E_MEMORY, FFAI_E_NOT_FOUND where there is no cache. */
ffai_status ffai__tuning_file_of(ffai__tuning_file *file, const ffai_model *model, ffai_error *err);
void ffai__tuning_file_free(ffai__tuning_file *file);

/* Read it as hostile input. FFAI_E_NOT_FOUND if there is none; FFAI_E_FORMAT, naming the field, if it is not what
 * ffai__tuning_file_write writes for this device, program and version. */
ffai_status ffai__tuning_file_read(ffai__tuning *tuning, const ffai__tuning_file *file, ffai_error *err);
/* FFAI_E_IO, with advice, if the file's folder cannot be made or the file not be written there. */
ffai_status ffai__tuning_file_prepare(const ffai__tuning_file *file, ffai_error *err);
ffai_status ffai__tuning_file_write(const ffai__tuning_file *file, const ffai__tuning *tuning, ffai_error *err);

/* Choose the values that a model is loaded with: those of its file if there are any. A file that is of no use is no
 * error: the model's note says so. FFAI_E_ARGUMENT if FFAI_TUNE is neither on nor off; FFAI_E_MEMORY. */
ffai_status ffai__tuning_choose(ffai_model *model, ffai_error *err);

#endif
