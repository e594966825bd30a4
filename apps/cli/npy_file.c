#define _GNU_SOURCE
#include "npy_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"

struct npy_file {
    FILE *stream;
    char *path;
    char *temporary; /* NULL when path itself is written to */
};

static bool is_written_in_place(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

static ffai_status fail(const npy_file *file, ffai_error *err)
{
    return failure_errno(err, "write", file->path, errno);
}

static ffai_status open_stream(npy_file *file, ffai_error *err)
{
    if (is_written_in_place(file->path)) {
        file->stream = fopen(file->path, "wb");
        return file->stream ? FFAI_OK : fail(file, err);
    }
    char *name = NULL;
    if (asprintf(&name, "%s.XXXXXX", file->path) < 0)
        return failure_memory(err, "write");
    const int descriptor = mkstemp(name);
    if (descriptor < 0) {
        const ffai_status status = fail(file, err);
        free(name);
        return status;
    }
    file->temporary = name;
    file->stream = fdopen(descriptor, "wb");
    return file->stream ? FFAI_OK : fail(file, err);
}

/* Version 1.0: magic, the header's length, and the header, padded to a multiple of 64 and ended by a line end. */
static ffai_status write_header(npy_file *file, int64_t rows, int64_t columns, ffai_error *err)
{
    enum { PREFIX = 10, SIZE = 128 };
    char header[SIZE];
    char dictionary[SIZE - PREFIX];
    const int length =
        snprintf(dictionary, sizeof dictionary, "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %lld), }",
                 (long long)rows, (long long)columns);
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = SIZE - PREFIX;
    header[9] = 0;
    memcpy(header + PREFIX, dictionary, (size_t)length);
    header[SIZE - 1] = '\n';
    return fwrite(header, 1, SIZE, file->stream) == SIZE ? FFAI_OK : fail(file, err);
}

ffai_status npy_create(npy_file **out, const char *path, int64_t rows, int64_t columns, ffai_error *err)
{
    npy_file *file = calloc(1, sizeof *file);
    *out = file;
    if (!file || !(file->path = strdup(path)))
        return failure_memory(err, "write");
    const ffai_status status = open_stream(file, err);
    return status == FFAI_OK ? write_header(file, rows, columns, err) : status;
}

/* The format is little-endian, as every machine is that this is built for. */
ffai_status npy_write(npy_file *file, const float *values, size_t count, ffai_error *err)
{
    return fwrite(values, sizeof *values, count, file->stream) == count ? FFAI_OK : fail(file, err);
}

/* mkstemp's file is the owner's alone; a result gets what the umask leaves. */
static void apply_umask(const npy_file *file)
{
    const mode_t mask = umask(0);
    umask(mask);
    (void)fchmod(fileno(file->stream), 0666 & ~mask);
}

ffai_status npy_finish(npy_file *file, ffai_error *err)
{
    if (file->temporary)
        apply_umask(file);
    const int failed = fclose(file->stream);
    file->stream = NULL;
    if (failed || (file->temporary && rename(file->temporary, file->path) != 0))
        return fail(file, err);
    free(file->temporary);
    file->temporary = NULL;
    return FFAI_OK;
}

void npy_close(npy_file *file)
{
    if (!file)
        return;
    if (file->stream)
        fclose(file->stream);
    if (file->temporary)
        unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    free(file);
}
