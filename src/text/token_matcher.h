/* Finds many fixed strings in a text at once: at each place the longest, from left to right, without overlaps
 * (what Aho-Corasick libraries call leftmost-longest). Linear in the text whatever the strings are. */
#ifndef FFAI_TEXT_TOKEN_MATCHER_H
#define FFAI_TEXT_TOKEN_MATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

typedef struct ffai__token_matcher ffai__token_matcher;

typedef struct ffai__token_text {
    const char *text;
    size_t size; /* at least 1 */
    uint32_t value;
} ffai__token_text;

/* Of equal strings the last one's value counts. The strings are not kept. */
ffai_status ffai__token_matcher_create(ffai__token_matcher **out, const ffai__token_text *strings, size_t count,
                                       ffai_error *err);
void ffai__token_matcher_free(ffai__token_matcher *matcher);

typedef struct ffai__token_hit {
    size_t start, size;
    uint32_t value;
} ffai__token_hit;

typedef struct ffai__token_hits {
    ffai__token_hit *data;
    size_t count, capacity;
} ffai__token_hits;

/* All matches, in the order of the text, in place of what hits had. */
ffai_status ffai__token_matcher_find(ffai__token_hits *hits, const ffai__token_matcher *matcher, const char *text,
                                     size_t size, ffai_error *err);
void ffai__token_hits_free(ffai__token_hits *hits);

#endif
