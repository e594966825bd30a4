/* Sets of characters as sequences of byte ranges. */
#ifndef FFAI_GRAMMAR_UTF8_EDGES_H
#define FFAI_GRAMMAR_UTF8_EDGES_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of `length` places, each from first to last. */
typedef struct ffai__byte_ranges {
    uint8_t first[4], last[4];
    int length;
} ffai__byte_ranges;

/* Call take for byte ranges that together are the UTF-8 of all characters from first to last; none of them a
 * surrogate. False as soon as take gives it. */
bool ffai__utf8_ranges(uint32_t first, uint32_t last, bool (*take)(void *context, const ffai__byte_ranges *ranges),
                       void *context);

#endif
