/* A stretch of bytes that lies elsewhere, most often in a mapped file. */
#ifndef FFAI_BASE_TEXT_H
#define FFAI_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct ffai__text {
    const char *data; /* not ended by a 0 */
    size_t size;
} ffai__text;

static inline bool ffai__text_is(const ffai__text *text, const char *string)
{
    return strlen(string) == text->size && memcmp(text->data, string, text->size) == 0;
}

#endif
