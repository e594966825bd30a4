#include "utf8.h"

#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD";

/* Length and the range of the second byte, by the first: table 3-7 of the Unicode standard. */
static size_t shape(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if (first >= 0xE0 && first <= 0xEF) {
        if (first == 0xE0)
            *low = 0xA0;
        if (first == 0xED)
            *high = 0x9F;
        return 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        if (first == 0xF0)
            *low = 0x90;
        if (first == 0xF4)
            *high = 0x8F;
        return 4;
    }
    return 0;
}

ffai__utf8_character ffai__utf8_next(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80)
        return (ffai__utf8_character){p[0], 1, true, false};
    unsigned char low = 0;
    unsigned char high = 0;
    const size_t length = shape(p[0], &low, &high);
    if (length == 0)
        return (ffai__utf8_character){0xFFFD, 1, false, false};
    for (size_t i = 1; i < length; i++) {
        if (i == size)
            return (ffai__utf8_character){0xFFFD, i, false, true};
        if (p[i] < low || p[i] > high)
            return (ffai__utf8_character){0xFFFD, i, false, false};
        low = 0x80;
        high = 0xBF;
    }
    size_t same = 0;
    return (ffai__utf8_character){ffai__utf8_get(text, &same), length, true, false};
}

/* The first byte at or after `at` that is not ASCII. */
static size_t skip_ascii(const char *text, size_t size, size_t at)
{
    while (at + 8 <= size) {
        uint64_t word = 0;
        memcpy(&word, text + at, 8);
        if (word & 0x8080808080808080u)
            break;
        at += 8;
    }
    while (at < size && (unsigned char)text[at] < 0x80)
        at++;
    return at;
}

bool ffai__utf8_valid(const char *text, size_t size)
{
    for (size_t at = skip_ascii(text, size, 0); at < size; at = skip_ascii(text, size, at)) {
        const ffai__utf8_character c = ffai__utf8_next(text + at, size - at);
        if (!c.valid)
            return false;
        at += c.size;
    }
    return true;
}

void ffai__utf8_append_repaired(ffai__buffer *buffer, const char *text, size_t size)
{
    size_t done = 0;
    for (size_t at = skip_ascii(text, size, 0); at < size; at = skip_ascii(text, size, at)) {
        const ffai__utf8_character c = ffai__utf8_next(text + at, size - at);
        if (!c.valid) {
            ffai__buffer_append(buffer, text + done, at - done);
            ffai__buffer_append(buffer, replacement, sizeof replacement - 1);
            done = at + c.size;
        }
        at += c.size;
    }
    ffai__buffer_append(buffer, text + done, size - done);
}

size_t ffai__utf8_put(char out[4], uint32_t codepoint)
{
    if (codepoint < 0x80) {
        out[0] = (char)codepoint;
        return 1;
    }
    if (codepoint < 0x800) {
        out[0] = (char)(0xC0 | codepoint >> 6);
        out[1] = (char)(0x80 | (codepoint & 0x3F));
        return 2;
    }
    if (codepoint < 0x10000) {
        out[0] = (char)(0xE0 | codepoint >> 12);
        out[1] = (char)(0x80 | (codepoint >> 6 & 0x3F));
        out[2] = (char)(0x80 | (codepoint & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | codepoint >> 18);
    out[1] = (char)(0x80 | (codepoint >> 12 & 0x3F));
    out[2] = (char)(0x80 | (codepoint >> 6 & 0x3F));
    out[3] = (char)(0x80 | (codepoint & 0x3F));
    return 4;
}

void ffai__utf8_append(ffai__buffer *buffer, uint32_t codepoint)
{
    char bytes[4];
    ffai__buffer_append(buffer, bytes, ffai__utf8_put(bytes, codepoint));
}
