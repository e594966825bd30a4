#include "buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"

bool ffai__buffer_reserve(ffai__buffer *buffer, size_t more)
{
    if (buffer->failed)
        return false;
    if (more < buffer->capacity - buffer->size)
        return true;
    if (more > SIZE_MAX / 2 - buffer->size - 1) {
        buffer->failed = true;
        return false;
    }
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity - buffer->size <= more)
        capacity *= 2;
    char *data = ffai__realloc(buffer->data, capacity, 1);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool ffai__buffer_append(ffai__buffer *buffer, const void *bytes, size_t size)
{
    if (!ffai__buffer_reserve(buffer, size))
        return false;
    if (size)
        memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    buffer->data[buffer->size] = 0;
    return true;
}

bool ffai__buffer_text(ffai__buffer *buffer, const char *text)
{
    return ffai__buffer_append(buffer, text, strlen(text));
}

bool ffai__buffer_format(ffai__buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !ffai__buffer_reserve(buffer, (size_t)length))
        return false;
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)length;
    return true;
}

char *ffai__buffer_take(ffai__buffer *buffer, size_t *size)
{
    if (!ffai__buffer_append(buffer, "", 0)) {
        ffai__buffer_free(buffer);
        return NULL;
    }
    char *data = buffer->data;
    if (size)
        *size = buffer->size;
    *buffer = (ffai__buffer)FFAI__BUFFER_INIT;
    return data;
}

void ffai__buffer_free(ffai__buffer *buffer)
{
    ffai__free(buffer->data);
    *buffer = (ffai__buffer)FFAI__BUFFER_INIT;
}
