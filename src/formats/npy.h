/* float32 arrays in NumPy's file format: version 1.0, little-endian, C order.
 * Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef FFAI_FORMATS_NPY_H
#define FFAI_FORMATS_NPY_H

#include "failure.h"
#include "output_file.h"
#include "shape.h"

/* Start a file; its values follow by ffai__output_write, its end is ffai__output_finish. */
ffai_status ffai__npy_open(ffai__output_file **out, const char *path, const ffai__shape *shape, ffai_error *err);
/* All at once: as many values as shape says. */
ffai_status ffai__npy_write(const char *path, const float *values, const ffai__shape *shape, ffai_error *err);

/* Parse a file's bytes; *values point into them and may be unaligned. FFAI_E_UNSUPPORTED for anything but
 * little-endian float32 in C order. */
ffai_status ffai__npy_parse(const uint8_t **values, ffai__shape *shape, const uint8_t *bytes, uint64_t size,
                            const char *what, ffai_error *err);

#endif
