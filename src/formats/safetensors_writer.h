/* Writes safetensors files: declare every tensor, then append their bytes in the same order. One file
 * model.safetensors, or several of at most shard_bytes and an index where one would be larger. */
#ifndef FFAI_FORMATS_SAFETENSORS_WRITER_H
#define FFAI_FORMATS_SAFETENSORS_WRITER_H

#include "failure.h"
#include "shape.h"

typedef struct ffai__safetensors_writer ffai__safetensors_writer;

/* folder must exist. shard_bytes: at most so many bytes of data a file (one tensor is never split). */
ffai_status ffai__safetensors_writer_open(ffai__safetensors_writer **out, const char *folder, uint64_t shard_bytes,
                                          ffai_error *err);
/* FFAI_E_ARGUMENT after the first append, and for a name that was declared before. */
ffai_status ffai__safetensors_writer_declare(ffai__safetensors_writer *writer, const char *name, ffai__dtype dtype,
                                             const ffai__shape *shape, ffai_error *err);
/* The next size bytes of the data of all tensors; a call may end within a tensor but not go beyond one. */
ffai_status ffai__safetensors_writer_append(ffai__safetensors_writer *writer, const void *bytes, size_t size,
                                            ffai_error *err);
/* FFAI_E_ARGUMENT if bytes are missing. */
ffai_status ffai__safetensors_writer_finish(ffai__safetensors_writer *writer, ffai_error *err);
/* Removes what was written, unless it was finished. NULL is allowed. */
void ffai__safetensors_writer_free(ffai__safetensors_writer *writer);

#endif
