#define _GNU_SOURCE
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interrupt.h"
#include "report.h"

typedef struct growing_text {
    char *bytes;
    size_t size;
    size_t capacity;
} growing_text;

static bool grow(growing_text *t)
{
    const size_t capacity = t->capacity ? t->capacity * 2 : 1 << 16;
    char *bytes = realloc(t->bytes, capacity);
    if (!bytes)
        return false;
    t->bytes = bytes;
    t->capacity = capacity;
    return true;
}

/* 1: more may follow, 0: the end, -1: errno. */
static int read_some(growing_text *t, int descriptor)
{
    const ssize_t size = read(descriptor, t->bytes + t->size, t->capacity - t->size);
    if (size > 0)
        t->size += (size_t)size;
    return size > 0 ? 1 : (int)size;
}

static ffai_status read_all(growing_text *t, int descriptor, const char *name, ffai_error *err)
{
    int more = 1;
    while (more == 1 || (more < 0 && errno == EINTR)) {
        if (interrupted())
            return failure(err, FFAI_E_CANCELLED, "read: %s: cancelled", name);
        if (t->size == t->capacity && !grow(t))
            return failure_memory(err, "read");
        if (t->size > INPUT_LIMIT)
            return failure(err, FFAI_E_LIMIT, "read: %s: is longer than %d bytes", name, (int)INPUT_LIMIT);
        more = read_some(t, descriptor);
    }
    return more < 0 ? failure_errno(err, "read", name, errno) : FFAI_OK;
}

/* Opening a pipe waits for its writer, and Ctrl-C ends that. */
static ffai_status open_file(int *descriptor, const char *path, ffai_error *err)
{
    do
        *descriptor = open(path, O_RDONLY | O_CLOEXEC);
    while (*descriptor < 0 && errno == EINTR && !interrupted());
    if (*descriptor >= 0)
        return FFAI_OK;
    if (interrupted())
        return failure(err, FFAI_E_CANCELLED, "read: %s: cancelled", path);
    if (errno == ENOENT && strcmp(path, "-") == 0)
        return failure(err, FFAI_E_NOT_FOUND, "read: -: there is no such file: for standard input leave -f out");
    return failure_errno(err, "read", path, errno);
}

ffai_status input_read(char **text, size_t *size, const char *path, ffai_error *err)
{
    int descriptor = STDIN_FILENO;
    const ffai_status opened = path ? open_file(&descriptor, path, err) : FFAI_OK;
    if (opened != FFAI_OK)
        return opened;
    growing_text t = {0};
    const ffai_status status = read_all(&t, descriptor, path ? path : "stdin", err);
    if (path)
        close(descriptor);
    if (status != FFAI_OK) {
        free(t.bytes);
        return status;
    }
    *text = t.bytes;
    *size = t.size;
    return FFAI_OK;
}

static ffai_status ids_of_array(int32_t **ids, size_t *count, const json_t *array, ffai_error *err)
{
    if (!json_is_array(array))
        return failure(err, FFAI_E_FORMAT, "read: stdin: is not a JSON array of token ids");
    *count = json_array_size(array);
    *ids = calloc(*count + 1, sizeof **ids);
    if (!*ids)
        return failure_memory(err, "read");
    for (size_t i = 0; i < *count; i++) {
        const json_t *entry = json_array_get(array, i);
        const json_int_t id = json_is_integer(entry) ? json_integer_value(entry) : -1;
        if (id < 0 || id > INT32_MAX)
            return failure(err, FFAI_E_FORMAT, "read: stdin: entry %zu is not a token id", i + 1);
        (*ids)[i] = (int32_t)id;
    }
    return FFAI_OK;
}

ffai_status input_read_ids(int32_t **ids, size_t *count, ffai_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    ffai_status status = input_read(&bytes, &size, NULL, err);
    if (status != FFAI_OK)
        return status;
    json_error_t problem;
    json_t *array = json_loadb(bytes, size, 0, &problem);
    free(bytes);
    if (!array)
        return failure(err, FFAI_E_FORMAT, "read: stdin: line %d, column %d: %s", problem.line, problem.column,
                       problem.text);
    int32_t *read = NULL;
    status = ids_of_array(&read, count, array, err);
    json_decref(array);
    if (status != FFAI_OK) {
        free(read);
        return status;
    }
    *ids = read;
    return FFAI_OK;
}
