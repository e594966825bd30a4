#define _GNU_SOURCE
#include "output.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* After a write of nothing: wait or note the error. */
static void await_room(output *out)
{
    struct pollfd room = {.fd = out->descriptor, .events = POLLOUT};
    if (errno == EAGAIN)
        (void)poll(&room, 1, -1);
    else if (errno != EINTR)
        out->error = errno;
}

static void write_all(output *out, const char *bytes, size_t size)
{
    while (size > 0 && !out->error) {
        const ssize_t written = write(out->descriptor, bytes, size);
        if (written < 0) {
            await_room(out);
        } else {
            bytes += written;
            size -= (size_t)written;
        }
    }
}

void output_ids(output *out, const int32_t *ids, size_t count)
{
    output_text(out, "[");
    for (size_t i = 0; i < count; i++)
        output_format(out, "%s%d", i ? "," : "", (int)ids[i]);
    output_text(out, "]\n");
}

bool output_flush(output *out)
{
    write_all(out, out->bytes, out->used);
    out->used = 0;
    return !out->error;
}

void output_write(output *out, const void *bytes, size_t size)
{
    if (size > sizeof out->bytes - out->used)
        output_flush(out);
    if (size > sizeof out->bytes) {
        write_all(out, bytes, size);
    } else if (size) {
        memcpy(out->bytes + out->used, bytes, size);
        out->used += size;
    }
}

void output_text(output *out, const char *text)
{
    output_write(out, text, strlen(text));
}

void output_document(output *out, const char *text)
{
    const size_t size = strlen(text);
    output_write(out, text, size);
    if (size == 0 || text[size - 1] != '\n')
        output_write(out, "\n", 1);
}

void output_format(output *out, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0)
        output_write(out, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

bool output_is_terminal(const output *out)
{
    return isatty(out->descriptor);
}

bool output_is_closed(const output *out)
{
    return out->error == EPIPE;
}
