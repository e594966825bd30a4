/* A stretch of bytes that lies elsewhere, most often in a mapped file. */
#ifndef FFAI_BASE_TEXT_H
#define FFAI_BASE_TEXT_H

#include <stddef.h>

typedef struct ffai__text {
    const char *data; /* not ended by a 0 */
    size_t size;
} ffai__text;

#endif
