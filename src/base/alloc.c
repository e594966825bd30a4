#include "alloc.h"

#include <ffai/status.h> /* ffai_free */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT ((size_t)64)

void *ffai__malloc(size_t bytes)
{
    return malloc(bytes ? bytes : 1);
}

void *ffai__calloc(size_t count, size_t size)
{
    return count && size ? calloc(count, size) : calloc(1, 1);
}

void *ffai__array(size_t count, size_t size)
{
    size_t bytes = 0;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : ffai__malloc(bytes);
}

void *ffai__realloc(void *old, size_t count, size_t size)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return realloc(old, bytes ? bytes : 1);
}

void ffai__free(void *pointer)
{
    free(pointer);
}

char *ffai__strndup(const char *text, size_t length)
{
    if (length == SIZE_MAX)
        return NULL;
    char *copy = ffai__malloc(length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

char *ffai__strdup(const char *text)
{
    return ffai__strndup(text, strlen(text));
}

char *ffai__format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        return NULL;
    char *text = ffai__malloc((size_t)length + 1);
    if (!text)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

void *ffai__malloc_aligned(size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGNMENT)
        return NULL;
    const size_t rounded = bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    return aligned_alloc(ALIGNMENT, rounded);
}

void ffai__free_aligned(void *pointer)
{
    free(pointer);
}

void ffai_free(void *pointer)
{
    free(pointer);
}
