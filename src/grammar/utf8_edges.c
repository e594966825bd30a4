#include "utf8_edges.h"

#include <stdbool.h>

#include "utf8.h"

typedef struct {
    bool (*take)(void *context, const ffai__byte_ranges *ranges);
    void *context;
} taker;

static bool take(const taker *t, uint32_t first, uint32_t last)
{
    char low[4];
    char high[4];
    ffai__byte_ranges ranges = {.length = (int)ffai__utf8_put(low, first)};
    ffai__utf8_put(high, last);
    for (int i = 0; i < ranges.length; i++) {
        ranges.first[i] = (uint8_t)low[i];
        ranges.last[i] = (uint8_t)high[i];
    }
    return t->take(t->context, &ranges);
}

/* Characters of one length. They are cut where the trailing bytes below `bits` don't run from 80 to BF. */
static bool split(const taker *t, uint32_t first, uint32_t last, int bits)
{
    for (; bits > 0; bits -= 6) {
        const uint32_t mask = (1U << bits) - 1;
        if ((first & ~mask) == (last & ~mask))
            continue;
        if ((first & mask) != 0)
            return split(t, first, first | mask, bits - 6) && split(t, (first | mask) + 1, last, bits);
        if ((last & mask) != mask)
            return split(t, first, (last & ~mask) - 1, bits) && split(t, last & ~mask, last, bits - 6);
        break;
    }
    return take(t, first, last);
}

bool ffai__utf8_ranges(uint32_t first, uint32_t last, bool (*take_ranges)(void *, const ffai__byte_ranges *),
                       void *context)
{
    static const struct {
        uint32_t first, last;
        int bits;
    } lengths[] = {{0, 0x7F, 0}, {0x80, 0x7FF, 6}, {0x800, 0xD7FF, 12}, {0xE000, 0xFFFF, 12}, {0x10000, 0x10FFFF, 18}};
    const taker t = {take_ranges, context};
    for (int i = 0; i < 5; i++) {
        const uint32_t low = first > lengths[i].first ? first : lengths[i].first;
        const uint32_t high = last < lengths[i].last ? last : lengths[i].last;
        if (low <= high && !split(&t, low, high, lengths[i].bits))
            return false;
    }
    return true;
}
