/* A growable run of bytes. The first failed growth is remembered (ok becomes false) and later appends do
 * nothing, so that a writer checks once at the end. */
#ifndef FFAI_BASE_BUFFER_H
#define FFAI_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ffai__buffer {
    char *data; /* always ended by a 0 that size does not count, once anything was appended */
    size_t size;
    size_t capacity;
    bool failed;
} ffai__buffer;

#define FFAI__BUFFER_INIT                                                                                              \
    {                                                                                                                  \
        NULL, 0, 0, false                                                                                              \
    }

bool ffai__buffer_reserve(ffai__buffer *buffer, size_t more);
bool ffai__buffer_append(ffai__buffer *buffer, const void *bytes, size_t size);
bool ffai__buffer_text(ffai__buffer *buffer, const char *text);
bool ffai__buffer_format(ffai__buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Hand the bytes to the caller (free with ffai__free) and empty the buffer; NULL if it failed. */
char *ffai__buffer_take(ffai__buffer *buffer, size_t *size);
void ffai__buffer_free(ffai__buffer *buffer);

#endif
