#include "normal_form.h"

#include <string.h>
#include <utf8proc.h>

#include "unicode.h"

bool ffai__normal_form_is_trivial(const char *text, size_t size, bool compose, bool compatibility)
{
    /* U+0300, the first character that composes with one before it, starts with byte CC. */
    const unsigned char limit = compose && !compatibility ? 0xCC : 0x80;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (byte >= limit && byte >= 0xC0)
            return false;
    }
    return true;
}

size_t ffai__decompose(int32_t out[FFAI__DECOMPOSED_MAX], int32_t c, bool compatibility)
{
    out[0] = c;
    if (c < 0x80 || ffai__is_inert((uint32_t)c))
        return 1;
    const utf8proc_option_t options =
        compatibility ? (utf8proc_option_t)(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT) : UTF8PROC_DECOMPOSE;
    int boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(c, out, FFAI__DECOMPOSED_MAX, options, &boundary);
    if (count < 1 || count > FFAI__DECOMPOSED_MAX) {
        out[0] = c;
        return 1;
    }
    return (size_t)count;
}

static unsigned combining_class(int32_t c)
{
    if (c < 0x300)
        return 0;
    const unsigned class = (unsigned)utf8proc_get_property(c)->combining_class;
    return class == 0 || ffai__is_inert((uint32_t)c) ? 0 : class;
}

/* A stable counting sort of one run of marks. */
static void order_run(int32_t *run, int32_t *spare, size_t count)
{
    size_t start[257] = {0};
    bool ordered = true;
    for (size_t i = 0; i < count; i++) {
        start[combining_class(run[i]) + 1]++;
        ordered &= i == 0 || combining_class(run[i - 1]) <= combining_class(run[i]);
    }
    if (ordered)
        return;
    for (size_t i = 1; i <= 256; i++)
        start[i] += start[i - 1];
    for (size_t i = 0; i < count; i++)
        spare[start[combining_class(run[i])]++] = run[i];
    memcpy(run, spare, count * sizeof *run);
}

void ffai__order_marks(int32_t *characters, int32_t *spare, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t end = i;
        while (end < count && combining_class(characters[end]) != 0)
            end++;
        if (end - i > 1)
            order_run(characters + i, spare, end - i);
        i = end + 1;
    }
}

/* The primary composite of two characters, or 0. utf8proc keeps its table to itself, so it is asked to compose
 * the two alone. */
static int32_t composite(int32_t first, int32_t second)
{
    if (second < 0x300 || ffai__is_inert((uint32_t)first) || ffai__is_inert((uint32_t)second))
        return 0;
    int32_t pair[2] = {first, second};
    const utf8proc_option_t options = (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    if (utf8proc_normalize_utf32(pair, 2, options) != 1 || ffai__is_inert((uint32_t)pair[0]))
        return 0;
    return pair[0];
}

size_t ffai__compose(int32_t *characters, size_t count)
{
    size_t kept = 0;
    size_t starter = SIZE_MAX;
    unsigned last_class = 0; /* of the last character kept behind the starter; 0 directly behind it */
    for (size_t i = 0; i < count; i++) {
        const int32_t c = characters[i];
        const unsigned class = combining_class(c);
        const bool reachable = starter != SIZE_MAX && (kept == starter + 1 || (last_class != 0 && last_class < class));
        const int32_t both = reachable ? composite(characters[starter], c) : 0;
        if (both) {
            characters[starter] = both;
            continue;
        }
        if (class == 0)
            starter = kept;
        last_class = class;
        characters[kept++] = c;
    }
    return kept;
}
