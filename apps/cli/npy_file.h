/* A .npy file of float32 rows, as NumPy writes it.
 *
 * It is written under a temporary name beside its own and takes its name when it is whole. What is there
 * already and is no regular file, /dev/stdout say, is written to directly. */
#ifndef FFAI_CLI_NPY_FILE_H
#define FFAI_CLI_NPY_FILE_H

#include <stddef.h>
#include <stdint.h>

#include <ffai/status.h>

typedef struct npy_file npy_file;

/* Begin a file of rows x columns. Release with npy_close in every case. */
ffai_status npy_create(npy_file **out, const char *path, int64_t rows, int64_t columns, ffai_error *err);
ffai_status npy_write(npy_file *file, const float *values, size_t count, ffai_error *err);
/* All rows are written: give the file its name. */
ffai_status npy_finish(npy_file *file, ffai_error *err);
/* Removes the file unless it was finished. */
void npy_close(npy_file *file);

#endif
