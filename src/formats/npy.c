#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

enum { PREFIX = 10, ALIGNMENT = 64, HEADER_ROOM = 512 };

static const char magic[] = "\x93NUMPY\x01"; /* and its 0: version 1.0 */

/* "(2, 3)", "(2,)", "()" */
static size_t format_shape(char *out, size_t size, const ffai__shape *shape)
{
    size_t used = (size_t)snprintf(out, size, "(");
    for (int i = 0; i < shape->rank; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%llu", i ? ", " : "", (unsigned long long)shape->dims[i]);
    return used + (size_t)snprintf(out + used, size - used, shape->rank == 1 ? ",)" : ")");
}

ffai_status ffai__npy_open(ffai__output_file **out, const char *path, const ffai__shape *shape, ffai_error *err)
{
    char header[HEADER_ROOM];
    memcpy(header, magic, 8);
    size_t used = PREFIX;
    used += (size_t)snprintf(header + used, sizeof header - used, "{'descr': '<f4', 'fortran_order': False, 'shape': ");
    used += format_shape(header + used, sizeof header - used, shape);
    used += (size_t)snprintf(header + used, sizeof header - used, ", }");
    while ((used + 1) % ALIGNMENT)
        header[used++] = ' ';
    header[used++] = '\n';
    header[8] = (char)((used - PREFIX) & 255u);
    header[9] = (char)((used - PREFIX) >> 8);
    ffai__output_file *file = NULL;
    FFAI__TRY(ffai__output_open(&file, path, err));
    const ffai_status status = ffai__output_write(file, header, used, err);
    if (status != FFAI_OK) {
        ffai__output_free(file);
        return status;
    }
    *out = file;
    return FFAI_OK;
}

ffai_status ffai__npy_write(const char *path, const float *values, const ffai__shape *shape, ffai_error *err)
{
    uint64_t count = 0;
    if (!ffai__shape_elements(&count, shape) || count > SIZE_MAX / sizeof *values)
        return ffai__fail(err, FFAI_E_ARGUMENT, "%s: the array is too large", path);
    ffai__output_file *file = NULL;
    FFAI__TRY(ffai__npy_open(&file, path, shape, err));
    ffai_status status = ffai__output_write(file, values, (size_t)count * sizeof *values, err);
    if (status == FFAI_OK)
        status = ffai__output_finish(file, err);
    ffai__output_free(file);
    return status;
}

static ffai_status refuse(const char *what, const char *why, ffai_error *err)
{
    return ffai__fail(err, FFAI_E_FORMAT, "%s: %s", what, why);
}

/* The header is a Python dictionary; only what float32 arrays are written with is understood. */
static ffai_status parse_shape(ffai__shape *shape, const char *header, const char *what, ffai_error *err)
{
    const char *at = strstr(header, "'shape': (");
    if (!at)
        return refuse(what, "its header has no shape", err);
    at += strlen("'shape': (");
    shape->rank = 0;
    while (*at && *at != ')') {
        char *end = NULL;
        if (*at < '0' || *at > '9' || shape->rank == FFAI__MAX_RANK)
            return refuse(what, "its shape cannot be read", err);
        shape->dims[shape->rank++] = strtoull(at, &end, 10);
        at = end + strspn(end, ", ");
    }
    return FFAI_OK;
}

static ffai_status parse_header(ffai__shape *shape, const char *header, const char *what, ffai_error *err)
{
    if (!strstr(header, "'descr': '<f4'") || !strstr(header, "'fortran_order': False"))
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: is not an array of float32 in C order", what);
    return parse_shape(shape, header, what, err);
}

ffai_status ffai__npy_parse(const uint8_t **values, ffai__shape *shape, const uint8_t *bytes, uint64_t size,
                            const char *what, ffai_error *err)
{
    if (size < PREFIX || memcmp(bytes, magic, 8) != 0)
        return refuse(what, "is not a version 1.0 .npy file", err);
    const uint64_t length = (uint64_t)bytes[8] | (uint64_t)bytes[9] << 8;
    if (length > size - PREFIX)
        return refuse(what, "ends within its header", err);
    char *header = ffai__strndup((const char *)bytes + PREFIX, (size_t)length);
    if (!header)
        return ffai__fail_memory(err, what, length);
    const ffai_status status = parse_header(shape, header, what, err);
    ffai__free(header);
    if (status != FFAI_OK)
        return status;
    uint64_t count = 0;
    if (!ffai__shape_elements(&count, shape) || !ffai__mul(&count, count, sizeof(float)) ||
        count != size - PREFIX - length)
        return refuse(what, "its size does not fit its shape", err);
    *values = bytes + PREFIX + length;
    return FFAI_OK;
}
