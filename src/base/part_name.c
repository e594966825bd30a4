#include "part_name.h"

#include <string.h>

#include "alloc.h"

enum { DIGITS = 5 };
static const char pattern[] = "-00000-of-00000.gguf";

static unsigned number_at(const char *digits)
{
    unsigned number = 0;
    for (size_t i = 0; i < DIGITS; i++)
        number = number * 10 + (unsigned)(digits[i] - '0');
    return number;
}

bool ffai__part_name_read(ffai__part_name *out, const char *path)
{
    const size_t length = strlen(path);
    const size_t size = sizeof pattern - 1;
    if (length <= size)
        return false;
    const char *end = path + length - size;
    for (size_t i = 0; i < size; i++) {
        const bool digit = end[i] >= '0' && end[i] <= '9';
        if (pattern[i] == '0' ? !digit : end[i] != pattern[i])
            return false;
    }
    *out = (ffai__part_name){length - size, number_at(end + 1), number_at(end + 1 + DIGITS + 4)};
    return out->number >= 1 && out->number <= out->count && out->count <= FFAI__MOST_PARTS;
}

char *ffai__part_name_of(const char *path, const ffai__part_name *name, unsigned number)
{
    return ffai__format("%.*s-%05u-of-%05u.gguf", (int)name->stem, path, number, name->count);
}
