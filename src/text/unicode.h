/* Character classes as Hugging Face tokenizers draws them. Its parts were built with different versions of
 * Unicode, so each class has a table of its own (unicode_tables.h) instead of one library's categories. */
#ifndef FFAI_TEXT_UNICODE_H
#define FFAI_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ffai__range {
    uint32_t first, last;
} ffai__range;

bool ffai__is_whitespace(uint32_t c);  /* White_Space */
bool ffai__is_punctuation(uint32_t c); /* what the Punctuation pre-tokenizer cuts at */
bool ffai__is_numeric(uint32_t c);     /* what the Digits pre-tokenizer cuts at */
bool ffai__is_mark(uint32_t c);        /* what StripAccents removes */
bool ffai__is_word(uint32_t c);        /* a word character for single_word and the Whitespace pre-tokenizer */

/* The small letters of c: 1 or 2 characters. */
size_t ffai__lowercase(uint32_t out[2], uint32_t c);

/* Characters that did not exist when the normalization tables were made: they stay as they are. */
bool ffai__is_inert(uint32_t c);

/* Ranges that a general category has in a regex beyond those PCRE2 knows. category is one or two letters
 * ("L" has those of "Lu", "Ll" …). Call with *next = 0; returns false after the last one. */
bool ffai__category_addition(ffai__range *range, size_t *next, const char *category);

#endif
