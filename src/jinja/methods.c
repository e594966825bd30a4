/* Methods of strings, lists and dicts, and what a loop knows of itself. None changes anything, and there are no others.
 */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "builtins.h"
#include "render.h"
#include "texts.h"
#include "utf8.h"

#define SELF (call->self.string)

/* --- strings: parts --- */

/* The part of a string that two optional arguments bound, in bytes. */
typedef struct stretch {
    size_t begin, end;
} stretch;

static stretch bounds(ffai__jinja *j, const jinja_call *call, int start, int end)
{
    stretch s = {0, SELF->size};
    const int64_t length = (int64_t)SELF->length;
    int64_t from = ffai__jinja_count(j, call, start, 0);
    int64_t to = call->given[end] ? ffai__jinja_count(j, call, end, length) : length;
    from = from < 0 ? from + length : from;
    to = to < 0 ? to + length : to;
    s.begin = from <= 0 ? 0 : from > length ? SIZE_MAX : ffai__jinja_offset(SELF, (size_t)from);
    s.end = to <= 0 ? 0 : ffai__jinja_offset(SELF, (size_t)to);
    return s;
}

/* Where the argument is within the bounds of the next two; SIZE_MAX: nowhere. */
static size_t search(ffai__jinja *j, const jinja_call *call, bool backwards)
{
    const jinja_string *part = ffai__jinja_need_string(j, call->args[0], call->name);
    const stretch s = bounds(j, call, 1, 2);
    if (s.begin > s.end)
        return SIZE_MAX;
    const jinja_string *within = ffai__jinja_substring(j, SELF, s.begin, s.end).string;
    const size_t at = backwards ? ffai__jinja_find_last(j, within, part) : ffai__jinja_find(j, within, part, 0);
    return at == SIZE_MAX ? SIZE_MAX : ffai__utf8_count(SELF->data, s.begin + at);
}

static jinja_value find(ffai__jinja *j, const jinja_call *call)
{
    const size_t at = search(j, call, call->name[0] == 'r');
    return ffai__jinja_integer(at == SIZE_MAX ? -1 : (int64_t)at);
}

static jinja_value string_index(ffai__jinja *j, const jinja_call *call)
{
    const size_t at = search(j, call, call->name[0] == 'r');
    if (at == SIZE_MAX)
        ffai__jinja_refuse(j, "%s: not found", call->name);
    return ffai__jinja_integer((int64_t)at);
}

static jinja_value string_count(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *part = ffai__jinja_need_string(j, call->args[0], call->name);
    int64_t count = 0;
    if (part->size == 0)
        return ffai__jinja_integer((int64_t)SELF->length + 1);
    for (size_t at = ffai__jinja_find(j, SELF, part, 0); at != SIZE_MAX;
         at = ffai__jinja_find(j, SELF, part, at + part->size))
        count++;
    return ffai__jinja_integer(count);
}

static bool meets(const jinja_string *string, const jinja_string *part, bool at_end)
{
    return at_end ? ffai__jinja_ends_with(string, part) : ffai__jinja_starts_with(string, part);
}

/* One of the texts, or of a tuple of them. */
static jinja_value meets_one(ffai__jinja *j, const jinja_call *call, bool at_end)
{
    const stretch s = bounds(j, call, 1, 2);
    if (s.begin > s.end)
        return ffai__jinja_boolean(false);
    const jinja_string *within = ffai__jinja_substring(j, SELF, s.begin, s.end).string;
    if (call->args[0].kind != JINJA_TUPLE)
        return ffai__jinja_boolean(meets(within, ffai__jinja_need_string(j, call->args[0], call->name), at_end));
    for (size_t i = 0; i < call->args[0].list->count; i++) {
        if (meets(within, ffai__jinja_need_string(j, call->args[0].list->items[i], call->name), at_end))
            return ffai__jinja_boolean(true);
    }
    return ffai__jinja_boolean(false);
}

static jinja_value startswith(ffai__jinja *j, const jinja_call *call)
{
    return meets_one(j, call, false);
}

static jinja_value endswith(ffai__jinja *j, const jinja_call *call)
{
    return meets_one(j, call, true);
}

static jinja_value removeprefix(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *part = ffai__jinja_need_string(j, call->args[0], call->name);
    return ffai__jinja_starts_with(SELF, part) ? ffai__jinja_substring(j, SELF, part->size, SELF->size) : call->self;
}

static jinja_value removesuffix(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *part = ffai__jinja_need_string(j, call->args[0], call->name);
    return ffai__jinja_ends_with(SELF, part) ? ffai__jinja_substring(j, SELF, 0, SELF->size - part->size) : call->self;
}

/* strip, lstrip, rstrip. */
static jinja_value strip(ffai__jinja *j, const jinja_call *call)
{
    const int sides = call->name[0] == 'l' ? JINJA_LEFT : call->name[0] == 'r' ? JINJA_RIGHT : JINJA_LEFT | JINJA_RIGHT;
    return ffai__jinja_strip(j, SELF, ffai__jinja_text(j, call, 0), sides);
}

/* --- strings: splitting --- */

static void add_part(ffai__jinja *j, jinja_list *list, const jinja_string *string, size_t begin, size_t end)
{
    ffai__jinja_add(j, list, ffai__jinja_substring(j, string, begin, end));
}

static size_t skip(const jinja_string *string, size_t at, bool spaces)
{
    size_t size = 0;
    while (at < string->size && ffai__jinja_is_space(ffai__utf8_get(string->data + at, &size)) == spaces)
        at += size;
    return at;
}

static size_t skip_back(const jinja_string *string, size_t end, bool spaces)
{
    while (end > 0) {
        size_t same = 0;
        const size_t size = ffai__utf8_last(string->data, end);
        if (ffai__jinja_is_space(ffai__utf8_get(string->data + end - size, &same)) != spaces)
            break;
        end -= size;
    }
    return end;
}

static jinja_list *split_spaces(ffai__jinja *j, const jinja_string *string, int64_t most)
{
    jinja_list *list = ffai__jinja_new_list(j, 0);
    for (size_t at = skip(string, 0, true); at < string->size;) {
        const size_t end = most-- == 0 ? string->size : skip(string, at, false);
        add_part(j, list, string, at, end);
        at = skip(string, end, true);
    }
    return list;
}

static jinja_list *split_at(ffai__jinja *j, const jinja_string *string, const jinja_string *by, int64_t most)
{
    jinja_list *list = ffai__jinja_new_list(j, 0);
    size_t begin = 0;
    for (size_t at = ffai__jinja_find(j, string, by, 0); at != SIZE_MAX && most-- != 0;
         at = ffai__jinja_find(j, string, by, begin)) {
        add_part(j, list, string, begin, at);
        begin = at + by->size;
    }
    add_part(j, list, string, begin, string->size);
    return list;
}

/* From the end; the parts come out last first. */
static jinja_list *split_spaces_back(ffai__jinja *j, const jinja_string *string, int64_t most)
{
    jinja_list *list = ffai__jinja_new_list(j, 0);
    for (size_t end = skip_back(string, string->size, true); end > 0;) {
        const size_t begin = most-- == 0 ? 0 : skip_back(string, end, false);
        add_part(j, list, string, begin, end);
        end = skip_back(string, begin, true);
    }
    return list;
}

static jinja_list *split_back(ffai__jinja *j, const jinja_string *string, const jinja_string *by, int64_t most)
{
    jinja_list *list = ffai__jinja_new_list(j, 0);
    const jinja_string *left = string;
    for (size_t at = ffai__jinja_find_last(j, left, by); at != SIZE_MAX && most-- != 0;
         at = ffai__jinja_find_last(j, left, by)) {
        add_part(j, list, left, at + by->size, left->size);
        left = ffai__jinja_substring(j, left, 0, at).string;
    }
    ffai__jinja_add(j, list, ffai__jinja_of_string(left));
    return list;
}

/* split and rsplit. */
static jinja_value split(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *by = ffai__jinja_text(j, call, 0);
    const int64_t most = ffai__jinja_count(j, call, 1, -1);
    const bool back = call->name[0] == 'r' && most >= 0; /* without a limit both are the same */
    if (by && by->size == 0)
        ffai__jinja_refuse(j, "%s: an empty separator", call->name);
    ffai__jinja_step(j, SELF->size);
    if (back)
        return ffai__jinja_of_list(
            ffai__jinja_reversed(j, by ? split_back(j, SELF, by, most) : split_spaces_back(j, SELF, most)));
    return ffai__jinja_of_list(by ? split_at(j, SELF, by, most) : split_spaces(j, SELF, most));
}

static bool ends_line(uint32_t character)
{
    return (character >= 10 && character <= 13) || (character >= 0x1C && character <= 0x1E) || character == 0x85 ||
           character == 0x2028 || character == 0x2029;
}

static jinja_value splitlines(ffai__jinja *j, const jinja_call *call)
{
    const bool keep = ffai__jinja_flag(call, 0, false);
    jinja_list *list = ffai__jinja_new_list(j, 0);
    size_t begin = 0;
    size_t size = 0;
    for (size_t at = 0; at < SELF->size; at += size) {
        const uint32_t character = ffai__utf8_get(SELF->data + at, &size);
        if (!ends_line(character))
            continue;
        size += character == '\r' && at + 1 < SELF->size && SELF->data[at + 1] == '\n';
        add_part(j, list, SELF, begin, keep ? at + size : at);
        begin = at + size;
    }
    if (begin < SELF->size)
        add_part(j, list, SELF, begin, SELF->size);
    return ffai__jinja_of_list(list);
}

/* partition and rpartition. */
static jinja_value partition(ffai__jinja *j, const jinja_call *call)
{
    const jinja_string *by = ffai__jinja_need_string(j, call->args[0], call->name);
    const bool back = call->name[0] == 'r';
    jinja_list *three = ffai__jinja_new_list(j, 3);
    if (by->size == 0)
        ffai__jinja_refuse(j, "%s: an empty separator", call->name);
    const size_t at = back ? ffai__jinja_find_last(j, SELF, by) : ffai__jinja_find(j, SELF, by, 0);
    const size_t first = at != SIZE_MAX ? at : back ? 0 : SELF->size;
    const size_t second = at != SIZE_MAX ? at + by->size : first;
    add_part(j, three, SELF, 0, first);
    add_part(j, three, SELF, first, second);
    add_part(j, three, SELF, second, SELF->size);
    return ffai__jinja_of_tuple(three);
}

static jinja_value string_join(ffai__jinja *j, const jinja_call *call)
{
    const jinja_list *list = ffai__jinja_list_of(j, call->args[0]);
    jinja_text text = ffai__jinja_new_text(j);
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            ffai__jinja_append(&text, SELF);
        ffai__jinja_append(&text, ffai__jinja_need_string(j, list->items[i], "what is joined"));
    }
    return ffai__jinja_finish(&text);
}

/* --- strings: changed --- */

static jinja_value in_case(ffai__jinja *j, const jinja_call *call)
{
    static const struct {
        const char *name;
        jinja_case wanted;
    } cases[] = {{"lower", JINJA_LOWER},      {"casefold", JINJA_LOWER},         {"upper", JINJA_UPPER},
                 {"swapcase", JINJA_SWAPPED}, {"capitalize", JINJA_CAPITALIZED}, {"title", JINJA_TITLE}};
    size_t i = 0;
    while (strcmp(cases[i].name, call->name) != 0)
        i++;
    return ffai__jinja_in_case(j, SELF, cases[i].wanted);
}

static jinja_value replace(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_replace(j, SELF, ffai__jinja_need_string(j, call->args[0], call->name),
                               ffai__jinja_need_string(j, call->args[1], call->name),
                               ffai__jinja_count(j, call, 2, -1));
}

/* ljust, rjust, center. */
static jinja_value justify(ffai__jinja *j, const jinja_call *call)
{
    const int64_t width = ffai__jinja_count(j, call, 0, 0);
    const int64_t missing = ffai__jinja_missing(SELF, width);
    const jinja_string *with =
        call->given[1] ? ffai__jinja_need_string(j, call->args[1], call->name) : ffai__jinja_literal(j, " ").string;
    if (with->length != 1)
        ffai__jinja_refuse(j, "%s: fills with one character", call->name);
    if (call->name[0] == 'c')
        return ffai__jinja_center(j, SELF, width, with);
    jinja_text text = ffai__jinja_new_text(j);
    ffai__jinja_append_times(&text, with, call->name[0] == 'r' ? missing : 0);
    ffai__jinja_append(&text, SELF);
    ffai__jinja_append_times(&text, with, call->name[0] == 'l' ? missing : 0);
    return ffai__jinja_finish(&text);
}

static jinja_value zfill(ffai__jinja *j, const jinja_call *call)
{
    const int64_t zeros = ffai__jinja_missing(SELF, ffai__jinja_count(j, call, 0, 0));
    const size_t sign = SELF->size && (SELF->data[0] == '-' || SELF->data[0] == '+');
    jinja_text text = ffai__jinja_new_text(j);
    ffai__jinja_append_part(&text, SELF, 0, sign);
    ffai__jinja_append_times(&text, ffai__jinja_literal(j, "0").string, zeros);
    ffai__jinja_append_part(&text, SELF, sign, SELF->size);
    return ffai__jinja_finish(&text);
}

/* What stands for a place of str.format. */
static jinja_value field(ffai__jinja *j, const jinja_call *call, const char *name, uint64_t *next)
{
    char *end = NULL;
    const jinja_value *named = ffai__jinja_named(call->all, name);
    const uint64_t index = *name ? strtoull(name, &end, 10) : (*next)++;
    if (named)
        return *named;
    if (strpbrk(name, ":!.["))
        ffai__jinja_fail(j, FFAI_E_UNSUPPORTED, "format: a place with more than a name or number");
    if ((end && *end) || index >= call->all->count)
        ffai__jinja_refuse(j, "format: nothing is given for {%s}", name);
    return call->all->values[index];
}

/* str.format: "{}", "{0}", "{name}" without a format of their own. */
static jinja_value format(ffai__jinja *j, const jinja_call *call)
{
    jinja_text text = ffai__jinja_new_text(j);
    uint64_t next = 0;
    for (size_t at = 0; at < SELF->size; at++) {
        const char c = SELF->data[at];
        const bool twice = at + 1 < SELF->size && SELF->data[at + 1] == c;
        if ((c != '{' && c != '}') || twice) {
            ffai__jinja_append_part(&text, SELF, at, at + 1);
            at += (c == '{' || c == '}');
            continue;
        }
        const char *end = c == '{' ? memchr(SELF->data + at, '}', SELF->size - at) : NULL;
        if (!end)
            ffai__jinja_refuse(j, "format: a bracket without its other");
        const jinja_value name = ffai__jinja_substring(j, SELF, at + 1, (size_t)(end - SELF->data));
        ffai__jinja_append_value(&text, field(j, call, name.string->data, &next));
        at = (size_t)(end - SELF->data);
    }
    return ffai__jinja_finish(&text);
}

/* --- strings: asked --- */

static bool is_kind(const char *name, uint32_t character)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)character);
    const bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
    const bool digit = category == UTF8PROC_CATEGORY_ND;
    if (strcmp(name, "isspace") == 0)
        return ffai__jinja_is_space(character);
    if (strcmp(name, "isalpha") == 0)
        return letter;
    if (strcmp(name, "isalnum") == 0)
        return letter || digit || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
    if (strcmp(name, "isascii") == 0)
        return character < 0x80;
    if (strcmp(name, "isnumeric") == 0)
        return digit || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
    return digit;
}

static jinja_value is_all(ffai__jinja *j, const jinja_call *call)
{
    size_t size = 0;
    ffai__jinja_step(j, SELF->size);
    for (size_t at = 0; at < SELF->size; at += size) {
        if (!is_kind(call->name, ffai__utf8_get(SELF->data + at, &size)))
            return ffai__jinja_boolean(false);
    }
    return ffai__jinja_boolean(SELF->size > 0 || strcmp(call->name, "isascii") == 0);
}

/* islower and isupper. */
static jinja_value is_case(ffai__jinja *j, const jinja_call *call)
{
    const bool lower = strcmp(call->name, "islower") == 0;
    return ffai__jinja_boolean(ffai__jinja_is_in_case(j, SELF, lower ? JINJA_LOWER : JINJA_UPPER));
}

/* --- lists and dicts --- */

static jinja_value list_count(ffai__jinja *j, const jinja_call *call)
{
    int64_t count = 0;
    for (size_t i = 0; i < call->self.list->count; i++)
        count += ffai__jinja_equal(j, call->self.list->items[i], call->args[0]);
    return ffai__jinja_integer(count);
}

static jinja_value list_index(ffai__jinja *j, const jinja_call *call)
{
    for (size_t i = 0; i < call->self.list->count; i++) {
        if (ffai__jinja_equal(j, call->self.list->items[i], call->args[0]))
            return ffai__jinja_integer((int64_t)i);
    }
    ffai__jinja_refuse(j, "index: not in the list");
}

static jinja_value itself(ffai__jinja *j, const jinja_call *call)
{
    (void)j;
    return call->self;
}

static jinja_value get(ffai__jinja *j, const jinja_call *call)
{
    jinja_value value;
    if (ffai__jinja_dict_get(j, &value, call->self.dict, call->args[0]))
        return value;
    return ffai__jinja_argument(call, 1, ffai__jinja_none());
}

/* keys, values, items: a list of them. */
static jinja_value entries(ffai__jinja *j, const jinja_call *call)
{
    const jinja_dict *dict = call->self.dict;
    jinja_list *list = ffai__jinja_new_list(j, ffai__jinja_dict_count(dict));
    ffai__jinja_step(j, ffai__jinja_dict_count(dict));
    for (size_t i = 0; i < ffai__jinja_dict_count(dict); i++) {
        const jinja_value key = ffai__jinja_dict_key(dict, i);
        const jinja_value value = ffai__jinja_dict_value(dict, i);
        ffai__jinja_add(j, list,
                        call->name[0] == 'k'   ? key
                        : call->name[0] == 'v' ? value
                                               : ffai__jinja_pair(j, key, value));
    }
    return ffai__jinja_of_list(list);
}

/* --- loops --- */

static jinja_value cycle(ffai__jinja *j, const jinja_call *call)
{
    if (call->all->count == 0)
        ffai__jinja_refuse(j, "cycle: of nothing");
    return call->all->values[call->self.loop->index % call->all->count];
}

static jinja_value changed(ffai__jinja *j, const jinja_call *call)
{
    jinja_loop *loop = call->self.loop;
    jinja_list *now = ffai__jinja_new_list(j, call->all->count);
    for (size_t i = 0; i < call->all->count; i++)
        ffai__jinja_add(j, now, call->all->values[i]);
    const jinja_value value = ffai__jinja_of_tuple(now);
    const bool same = loop->has_changed && ffai__jinja_equal(j, loop->last, value);
    loop->has_changed = true;
    loop->last = value;
    return ffai__jinja_boolean(!same);
}

static jinja_value neighbour(ffai__jinja *j, const jinja_loop *loop, uint64_t index, const char *name)
{
    if (index >= loop->sequence.count)
        return ffai__jinja_undefined(j, "there is no %s", name);
    return ffai__jinja_at(&loop->sequence, index);
}

/* false: a loop knows nothing of this name. */
static bool ask_loop(ffai__jinja *j, jinja_value *found, const jinja_loop *loop, const char *name)
{
    static const char *const names[] = {"index",  "index0", "revindex", "revindex0", "first",    "last",
                                        "length", "depth",  "depth0",   "previtem",  "nextitem", NULL};
    const int64_t index = (int64_t)loop->index;
    const int64_t count = (int64_t)loop->sequence.count;
    const jinja_value numbers[] = {
        ffai__jinja_integer(index + 1),       ffai__jinja_integer(index),
        ffai__jinja_integer(count - index),   ffai__jinja_integer(count - index - 1),
        ffai__jinja_boolean(index == 0),      ffai__jinja_boolean(index == count - 1),
        ffai__jinja_integer(count),           ffai__jinja_integer(loop->depth),
        ffai__jinja_integer(loop->depth - 1),
    };
    size_t i = 0;
    while (names[i] && strcmp(names[i], name) != 0)
        i++;
    if (!names[i])
        return false;
    if (i < sizeof numbers / sizeof *numbers)
        *found = numbers[i];
    else
        *found = neighbour(j, loop, strcmp(name, "previtem") == 0 ? loop->index - 1 : loop->index + 1, name);
    return true;
}

/* --- which there are --- */

static const jinja_builtin of_strings[] = {
    {"capitalize", "", in_case},
    {"casefold", "", in_case},
    {"center", "width / fillchar", justify},
    {"count", "sub", string_count},
    {"endswith", "suffix / start end", endswith},
    {"find", "sub / start end", find},
    {"format", "*", format},
    {"index", "sub / start end", string_index},
    {"isalnum", "", is_all},
    {"isalpha", "", is_all},
    {"isascii", "", is_all},
    {"isdecimal", "", is_all},
    {"isdigit", "", is_all},
    {"islower", "", is_case},
    {"isnumeric", "", is_all},
    {"isspace", "", is_all},
    {"isupper", "", is_case},
    {"join", "iterable", string_join},
    {"ljust", "width / fillchar", justify},
    {"lower", "", in_case},
    {"lstrip", "/ chars", strip},
    {"partition", "sep", partition},
    {"removeprefix", "prefix", removeprefix},
    {"removesuffix", "suffix", removesuffix},
    {"replace", "old new / count", replace},
    {"rfind", "sub / start end", find},
    {"rindex", "sub / start end", string_index},
    {"rjust", "width / fillchar", justify},
    {"rpartition", "sep", partition},
    {"rsplit", "/ sep maxsplit", split},
    {"rstrip", "/ chars", strip},
    {"split", "/ sep maxsplit", split},
    {"splitlines", "/ keepends", splitlines},
    {"startswith", "prefix / start end", startswith},
    {"strip", "/ chars", strip},
    {"swapcase", "", in_case},
    {"title", "", in_case},
    {"upper", "", in_case},
    {"zfill", "width", zfill},
};

static const jinja_builtin of_lists[] = {
    {"copy", "", itself},
    {"count", "value", list_count},
    {"index", "value", list_index},
};

static const jinja_builtin of_dicts[] = {
    {"copy", "", itself},  {"get", "key / default", get}, {"items", "", entries},
    {"keys", "", entries}, {"values", "", entries},
};

static const jinja_builtin of_loops[] = {
    {"changed", "*", changed},
    {"cycle", "*", cycle},
};

#define FIND(methods, name) ffai__jinja_find_in(methods, sizeof(methods) / sizeof *(methods), name)

static const jinja_builtin *find_method(jinja_value value, const jinja_string *name)
{
    switch (value.kind) {
    case JINJA_STRING:
        return FIND(of_strings, name);
    case JINJA_LIST:
    case JINJA_TUPLE:
        return FIND(of_lists, name);
    case JINJA_DICT:
        return FIND(of_dicts, name);
    case JINJA_LOOP:
        return FIND(of_loops, name);
    default:
        return NULL;
    }
}

bool ffai__jinja_find_member(ffai__jinja *j, jinja_value *found, jinja_value value, const jinja_string *name)
{
    if (value.kind == JINJA_LOOP && ask_loop(j, found, value.loop, name->data))
        return true;
    const jinja_builtin *method = find_method(value, name);
    if (!method)
        return false;
    jinja_function *function = ffai__jinja_alloc(j, 1, sizeof *function);
    *function = (jinja_function){.builtin = method, .self = value};
    *found = (jinja_value){.kind = JINJA_FUNCTION, .function = function};
    return true;
}
