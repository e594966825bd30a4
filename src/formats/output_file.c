#define _GNU_SOURCE
#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "file_map.h"

enum { ROOM = 1 << 20, TRIES = 100 };

struct ffai__output_file {
    char *path;
    char *temporary; /* NULL: written directly */
    int descriptor;  /* -1 once closed */
    bool finished;
    uint8_t *buffer;
    size_t held;
};

static ffai_status refuse(const ffai__output_file *file, const char *what, ffai_error *err)
{
    return ffai__fail(err, FFAI_E_IO, "%s: cannot be %s: %s", file->path, what, strerror(errno));
}

static ffai_status open_temporary(ffai__output_file *file, ffai_error *err)
{
    for (int i = 0; i < TRIES; i++) {
        ffai__free(file->temporary);
        file->temporary = ffai__format("%s.partial-%ld-%d", file->path, (long)getpid(), i);
        if (!file->temporary)
            return ffai__fail_memory(err, file->path, strlen(file->path));
        file->descriptor = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->descriptor >= 0)
            return FFAI_OK;
        if (errno != EEXIST)
            break;
    }
    const ffai_status status = refuse(file, "created", err);
    ffai__free(file->temporary);
    file->temporary = NULL;
    return status;
}

static ffai_status open_output(ffai__output_file *file, ffai_error *err)
{
    switch (ffai__path_kind_of(file->path)) {
    case FFAI__PATH_OTHER:
        file->descriptor = open(file->path, O_WRONLY | O_CLOEXEC);
        return file->descriptor >= 0 ? FFAI_OK : refuse(file, "opened", err);
    case FFAI__PATH_FOLDER:
        return ffai__fail(err, FFAI_E_IO, "%s: is a folder", file->path);
    default:
        return open_temporary(file, err);
    }
}

ffai_status ffai__output_open(ffai__output_file **out, const char *path, ffai_error *err)
{
    ffai__output_file *file = ffai__calloc(1, sizeof *file);
    if (!file)
        return ffai__fail_memory(err, path, sizeof *file);
    file->descriptor = -1;
    file->path = ffai__strdup(path);
    file->buffer = ffai__malloc(ROOM);
    const ffai_status status = file->path && file->buffer ? open_output(file, err) : ffai__fail_memory(err, path, ROOM);
    if (status != FFAI_OK) {
        ffai__output_free(file);
        return status;
    }
    *out = file;
    return FFAI_OK;
}

static ffai_status write_all(ffai__output_file *file, const uint8_t *bytes, size_t size, ffai_error *err)
{
    while (size > 0) {
        const ssize_t wrote = write(file->descriptor, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return refuse(file, "written", err);
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return FFAI_OK;
}

static ffai_status flush(ffai__output_file *file, ffai_error *err)
{
    const size_t held = file->held;
    file->held = 0;
    return write_all(file, file->buffer, held, err);
}

ffai_status ffai__output_write(ffai__output_file *file, const void *bytes, size_t size, ffai_error *err)
{
    if (size > ROOM - file->held)
        FFAI__TRY(flush(file, err));
    if (size >= ROOM)
        return write_all(file, bytes, size, err);
    if (size)
        memcpy(file->buffer + file->held, bytes, size);
    file->held += size;
    return FFAI_OK;
}

ffai_status ffai__output_finish(ffai__output_file *file, ffai_error *err)
{
    FFAI__TRY(flush(file, err));
    if (file->temporary && fsync(file->descriptor) != 0)
        return refuse(file, "written", err);
    const int descriptor = file->descriptor;
    file->descriptor = -1;
    if (close(descriptor) != 0)
        return refuse(file, "closed", err);
    if (file->temporary && rename(file->temporary, file->path) != 0)
        return refuse(file, "renamed", err);
    file->finished = true;
    return FFAI_OK;
}

void ffai__output_free(ffai__output_file *file)
{
    if (!file)
        return;
    if (file->descriptor >= 0)
        close(file->descriptor);
    if (file->temporary && !file->finished)
        unlink(file->temporary);
    ffai__free(file->temporary);
    ffai__free(file->buffer);
    ffai__free(file->path);
    ffai__free(file);
}

ffai_status ffai__output_whole(const char *path, const void *bytes, size_t size, ffai_error *err)
{
    ffai__output_file *file = NULL;
    FFAI__TRY(ffai__output_open(&file, path, err));
    ffai_status status = ffai__output_write(file, bytes, size, err);
    if (status == FFAI_OK)
        status = ffai__output_finish(file, err);
    ffai__output_free(file);
    return status;
}
