/* One safetensors file: its header, parsed and checked whole against the bytes that are there.
 * Format: the safetensors specification (8-byte little-endian header length, a JSON object of name ->
 * {dtype, shape, data_offsets}, then the data without holes). */
#ifndef FFAI_FORMATS_SAFETENSORS_H
#define FFAI_FORMATS_SAFETENSORS_H

#include <jansson.h>

#include "failure.h"
#include "shape.h"

enum { FFAI__MAX_TENSOR_NAME = 1024 }; /* bytes */

typedef struct ffai__safetensor {
    const char *name; /* owned by the header */
    ffai__dtype dtype;
    ffai__shape shape;
    uint64_t begin; /* bytes from the start of the data section */
    uint64_t end;
    const uint8_t *data;
} ffai__safetensor;

typedef struct ffai__safetensors {
    json_t *header;
    ffai__safetensor *tensors; /* by ascending offset */
    size_t count;
} ffai__safetensors;

/* bytes: the whole file, which must outlive the result; what names it in errors. Free with
 * ffai__safetensors_free. */
ffai_status ffai__safetensors_parse(ffai__safetensors **out, const uint8_t *bytes, uint64_t size, const char *what,
                                    ffai_error *err);
void ffai__safetensors_free(ffai__safetensors *file);

#endif
