#include "byte_level.h"

#include "utf8.h"

/* Bytes that are printable in Latin-1 spell themselves; the other 68 follow from U+0100 on, in order. */
static uint32_t character_of(unsigned byte)
{
    if (byte <= 0x20)
        return 0x100 + byte;
    if (byte <= 0x7E)
        return byte;
    if (byte <= 0xA0)
        return 0x100 + 33 + (byte - 0x7F);
    return byte == 0xAD ? 0x100 + 67 : byte;
}

void ffai__byte_level_spell(ffai__buffer *out, const char *bytes, size_t size)
{
    if (!ffai__buffer_reserve(out, 2 * size))
        return;
    char *to = out->data + out->size;
    for (size_t i = 0; i < size; i++)
        to += ffai__utf8_put(to, character_of((unsigned char)bytes[i]));
    *to = 0;
    out->size = (size_t)(to - out->data);
}

int ffai__byte_level_byte(uint32_t c)
{
    if (c < 0x100)
        return (c > 0x20 && c <= 0x7E) || (c > 0xA0 && c != 0xAD) ? (int)c : -1;
    if (c <= 0x120)
        return (int)(c - 0x100);
    if (c <= 0x142)
        return (int)(c - 0x100 - 33 + 0x7F);
    return c == 0x143 ? 0xAD : -1;
}
