/* UTF-8, checked and unchecked. */
#ifndef FFAI_BASE_UTF8_H
#define FFAI_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* What starts at a place in bytes of any kind. */
typedef struct ffai__utf8_character {
    uint32_t codepoint; /* U+FFFD where it is not valid */
    size_t size;        /* bytes it takes: at least 1; of something invalid, its maximal subpart */
    bool valid;
    bool cut; /* not valid only because the bytes end here */
} ffai__utf8_character;

/* size must be at least 1. */
ffai__utf8_character ffai__utf8_next(const char *text, size_t size);

bool ffai__utf8_valid(const char *text, size_t size);

/* Append text to buffer with U+FFFD for every maximal subpart that is no UTF-8. */
void ffai__utf8_append_repaired(ffai__buffer *buffer, const char *text, size_t size);

/* The character at the start of valid, non-empty UTF-8; *size receives its bytes. */
static inline uint32_t ffai__utf8_get(const char *text, size_t *size)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) {
        *size = 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *size = 2;
        return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    }
    if (p[0] < 0xF0) {
        *size = 3;
        return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    }
    *size = 4;
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 | (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
}

/* The number of bytes of the character that ends valid, non-empty UTF-8. */
static inline size_t ffai__utf8_last(const char *text, size_t size)
{
    size_t start = size - 1;
    while (start > 0 && ((unsigned char)text[start] & 0xC0) == 0x80)
        start--;
    return size - start;
}

/* Characters of valid UTF-8. */
static inline size_t ffai__utf8_count(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

/* Write a character; returns its 1 to 4 bytes. */
size_t ffai__utf8_put(char out[4], uint32_t codepoint);

void ffai__utf8_append(ffai__buffer *buffer, uint32_t codepoint);

#endif
