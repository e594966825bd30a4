#include "normal_form.h"

#include <string.h>
#include <utf8proc.h>

#include "unicode.h"
#include "utf8.h"

/* Whether c from U+0300 on stays what it is in composed form, whatever of this kind stands beside it: it neither
 * composes with one before it, as marks, conjoining jamo and a few letters of U+16D63 do, nor is it spelled otherwise.
 */
static bool is_stable(uint32_t c)
{
    int32_t parts[FFAI__DECOMPOSED_MAX];
    if (ffai__is_inert(c) || (c >= 0xAC00 && c <= 0xD7A3))
        return true;
    if ((c >= 0x1100 && c <= 0x11FF) || (c >= 0x16D63 && c <= 0x16D6A))
        return false;
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    if (category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_ME)
        return false;
    const size_t count = ffai__decompose(parts, (int32_t)c, false);
    return (count == 1 || ffai__compose(parts, count) == 1) && parts[0] == (int32_t)c;
}

static bool is_composed(const char *text, size_t size)
{
    for (size_t at = 0, step = 1; at < size; at += step) {
        step = 1;
        if ((unsigned char)text[at] >= 0xCC && !is_stable(ffai__utf8_get(text + at, &step)))
            return false;
    }
    return true;
}

bool ffai__normal_form_is_trivial(const char *text, size_t size, bool compose, bool compatibility)
{
    if (compose && !compatibility) /* U+0300, the first that composes with one before it, starts with byte CC */
        return is_composed(text, size);
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] >= 0x80)
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
