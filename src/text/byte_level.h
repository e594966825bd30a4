/* GPT-2's spelling of bytes as printable characters: each byte is one character of U+0021 to U+0143. */
#ifndef FFAI_TEXT_BYTE_LEVEL_H
#define FFAI_TEXT_BYTE_LEVEL_H

#include "buffer.h"

#include <stdint.h>

/* Append the spelling of bytes; twice their size at most. */
void ffai__byte_level_spell(ffai__buffer *out, const char *bytes, size_t size);

/* The byte that a character spells, -1 if none. */
int ffai__byte_level_byte(uint32_t character);

#endif
