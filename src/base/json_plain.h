/* Plain JSON, read fast: a tokenizer's hundred thousands of strings and numbers. */
#ifndef FFAI_BASE_JSON_PLAIN_H
#define FFAI_BASE_JSON_PLAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What jansson makes of a document with JSON_REJECT_DUPLICATES, or NULL where the document is not plain, is wrong or
 * memory is short: jansson then reads it and says which. Plain are names, strings and integers to 15 digits, nested 64
 * deep at most, without surrogate escapes. integers_as_reals: as JSON_DECODE_INT_AS_REAL has them. */
json_t *ffai__json_plain(const char *bytes, size_t size, bool integers_as_reals);

#endif
