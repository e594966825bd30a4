#include "unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "unicode_tables.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static bool contains(const ffai__range *ranges, size_t count, uint32_t c)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (c > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && c >= ranges[low].first;
}

bool ffai__is_whitespace(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

bool ffai__is_punctuation(uint32_t c)
{
    return contains(punctuation, COUNT(punctuation), c);
}

bool ffai__is_numeric(uint32_t c)
{
    return c < 0x80 ? c >= '0' && c <= '9' : contains(numeric, COUNT(numeric), c);
}

bool ffai__is_mark(uint32_t c)
{
    return c >= 0x300 && contains(mark, COUNT(mark), c);
}

bool ffai__is_word(uint32_t c)
{
    return contains(word, COUNT(word), c);
}

bool ffai__is_inert(uint32_t c)
{
    return contains(inert, COUNT(inert), c);
}

size_t ffai__lowercase(uint32_t out[2], uint32_t c)
{
    if (c == 0x130) { /* the only character with two small ones: i and a dot above */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = c;
    size_t low = 0;
    size_t high = COUNT(lowercase_runs);
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (c > lowercase_runs[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    /* Runs of every second character may interleave, so look at two. */
    for (size_t i = low; i < COUNT(lowercase_runs) && i < low + 2; i++) {
        const uint32_t first = lowercase_runs[i].first;
        if (c >= first && c <= lowercase_runs[i].last && (c - first) % lowercase_runs[i].step == 0) {
            out[0] = (uint32_t)((int32_t)c + lowercase_runs[i].delta);
            break;
        }
    }
    return 1;
}

bool ffai__category_addition(ffai__range *range, size_t *next, const char *category)
{
    const size_t length = strlen(category);
    while (*next < COUNT(category_additions)) {
        const size_t i = (*next)++;
        if (length <= 2 && memcmp(category_additions[i].category, category, length) == 0) {
            *range = category_additions[i].range;
            return true;
        }
    }
    return false;
}
