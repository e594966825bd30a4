#define _GNU_SOURCE           /* memmem */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "pattern.h"

#include <pcre2.h>
#include <string.h>

#include "alloc.h"
#include "component.h"
#include "pattern_syntax.h"
#include "utf8.h"

enum {
    JIT_SIZE_MAX = 1 << 17, /* compiled bytes; larger patterns are interpreted: compiling them takes long */
    HEAP_KIBIBYTES = 1 << 16,
    STARTS_PER_CALL = 1024 /* positions that one call may try before the clock is looked at */
};

/* One of the three. */
struct ffai__pattern {
    char *literal;
    size_t literal_size;
    ffai__splitter *split;
    pcre2_code *code;
};

static void *allocate(size_t size, void *unused)
{
    (void)unused;
    return ffai__malloc(size);
}

static void release(void *pointer, void *unused)
{
    (void)unused;
    ffai__free(pointer);
}

static ffai_status compile_failed(int error, const char *place, ffai_error *err)
{
    if (error == PCRE2_ERROR_NOMEMORY || error == 121) /* 121: compile's own name for it */
        return ffai__fail_memory(err, "a regular expression", 0);
    PCRE2_UCHAR message[256] = "";
    pcre2_get_error_message(error, message, sizeof message);
    return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: regular expression: %s", place, (const char *)message);
}

static ffai_status compile_translated(pcre2_code **code, const ffai__buffer *regex, const char *place, ffai_error *err)
{
    pcre2_general_context *general = pcre2_general_context_create(allocate, release, NULL);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    ffai_status status = FFAI_OK;
    if (!context) {
        status = ffai__fail_memory(err, "a regular expression", 0);
    } else {
        /* Ruby's dialect: ^ and $ are always about lines, and only \n ends one. */
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                                 PCRE2_USE_OFFSET_LIMIT | PCRE2_NO_UTF_CHECK;
        int error = 0;
        PCRE2_SIZE offset = 0;
        *code = pcre2_compile((PCRE2_SPTR)regex->data, regex->size, options, &error, &offset, context);
        if (!*code)
            status = compile_failed(error, place, err);
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    return status;
}

static ffai_status compile_code(pcre2_code **code, const char *regex, size_t size, const char *place, ffai_error *err)
{
    ffai__buffer translated = FFAI__BUFFER_INIT;
    ffai_status status = ffai__pattern_translate(&translated, regex, size, place, err);
    if (status == FFAI_OK)
        status = compile_translated(code, &translated, place, err);
    ffai__buffer_free(&translated);
    FFAI__TRY(status);
    size_t compiled = 0;
    pcre2_pattern_info(*code, PCRE2_INFO_SIZE, &compiled);
    if (compiled <= JIT_SIZE_MAX)
        pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE); /* where it fails, PCRE2 interprets */
    return FFAI_OK;
}

ffai_status ffai__pattern_compile(ffai__pattern **out, const char *regex, size_t size, const char *place,
                                  ffai_error *err)
{
    ffai__pattern *pattern = ffai__calloc(1, sizeof *pattern);
    if (!pattern)
        return ffai__fail_memory(err, "a regular expression", sizeof *pattern);
    pattern->split = ffai__splitter_find(regex, size);
    const ffai_status status = pattern->split ? FFAI_OK : compile_code(&pattern->code, regex, size, place, err);
    if (status != FFAI_OK) {
        ffai__free(pattern);
        return status;
    }
    *out = pattern;
    return FFAI_OK;
}

ffai__splitter *ffai__pattern_splitter(const ffai__pattern *pattern)
{
    return pattern->split;
}

static ffai_status create_literal(ffai__pattern **out, const char *text, size_t size, ffai_error *err)
{
    ffai__pattern *pattern = ffai__calloc(1, sizeof *pattern);
    if (pattern)
        pattern->literal = ffai__strndup(text, size);
    if (!pattern || !pattern->literal) {
        ffai__pattern_free(pattern);
        return ffai__fail_memory(err, "a pattern", size);
    }
    pattern->literal_size = size;
    *out = pattern;
    return FFAI_OK;
}

ffai_status ffai__pattern_parse(ffai__pattern **out, const json_t *json, const char *place, ffai_error *err)
{
    const json_t *field = ffai__json_field(json, "pattern");
    if (json_object_size(field) != 1)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"pattern\": must be {\"String\": …} or {\"Regex\": …}",
                          place);
    const char *text = NULL;
    size_t size = 0;
    const bool literal = ffai__json_field(field, "String") != NULL;
    FFAI__TRY(ffai__component_text(&text, &size, field, literal ? "String" : "Regex", place, err));
    return literal ? create_literal(out, text, size, err) : ffai__pattern_compile(out, text, size, place, err);
}

void ffai__pattern_free(ffai__pattern *pattern)
{
    if (!pattern)
        return;
    ffai__free(pattern->literal);
    pcre2_code_free(pattern->code);
    ffai__free(pattern);
}

ffai_status ffai__matches_create(ffai__matches *matches, const ffai__pattern *pattern, ffai_error *err)
{
    *matches = (ffai__matches){.pattern = pattern};
    if (!pattern->code)
        return FFAI_OK;
    pcre2_general_context *general = pcre2_general_context_create(allocate, release, NULL);
    if (general) {
        matches->data = pcre2_match_data_create(1, general);
        matches->context = pcre2_match_context_create(general);
    }
    pcre2_general_context_free(general);
    if (!matches->data || !matches->context)
        return ffai__fail_memory(err, "a search", 0);
    pcre2_set_heap_limit(matches->context, HEAP_KIBIBYTES);
    return FFAI_OK;
}

void ffai__matches_free(ffai__matches *matches)
{
    pcre2_match_data_free(matches->data);
    pcre2_match_context_free(matches->context);
    matches->data = NULL;
    matches->context = NULL;
}

void ffai__matches_over(ffai__matches *matches, const char *text, size_t size, ffai__budget *budget)
{
    matches->text = text;
    matches->size = size;
    matches->budget = budget;
    matches->from = 0;
    matches->last_end = SIZE_MAX;
    if (!matches->context)
        return;
    /* Honest patterns take a few steps for each byte of the longest run. */
    const size_t steps = 1000000 + 4 * (size < 1u << 28 ? size : (size_t)1 << 28);
    pcre2_set_match_limit(matches->context, (uint32_t)steps);
}

static ffai_status match_failed(int error, ffai_error *err)
{
    if (error == PCRE2_ERROR_NOMEMORY)
        return ffai__fail_memory(err, "a regular expression's search", 0);
    if (error == PCRE2_ERROR_MATCHLIMIT || error == PCRE2_ERROR_DEPTHLIMIT || error == PCRE2_ERROR_HEAPLIMIT)
        return ffai__fail(err, FFAI_E_LIMIT, "the tokenizer's regular expression takes too many steps on this text");
    PCRE2_UCHAR message[256] = "";
    pcre2_get_error_message(error, message, sizeof message);
    return ffai__fail(err, FFAI_E_INTERNAL, "regular expression: %s", (const char *)message);
}

/* Search for a match that starts in [from, limit]. */
static int search_window(ffai__matches *m, size_t from, size_t limit)
{
    pcre2_set_offset_limit(m->context, limit);
    const PCRE2_SPTR text = (PCRE2_SPTR)m->text;
    int found = pcre2_match(m->pattern->code, text, m->size, from, PCRE2_NO_UTF_CHECK, m->data, m->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its stack on the heap */
        found =
            pcre2_match(m->pattern->code, text, m->size, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->data, m->context);
    return found;
}

static ffai_status search_regex(bool *found, ffai__matches *m, ffai_error *err)
{
    size_t from = m->from;
    for (;;) {
        const size_t limit = m->size - from > STARTS_PER_CALL ? from + STARTS_PER_CALL : m->size;
        const int result = search_window(m, from, limit);
        if (result >= 0)
            break;
        if (result != PCRE2_ERROR_NOMATCH)
            return match_failed(result, err);
        if (limit == m->size) {
            *found = false;
            return FFAI_OK;
        }
        FFAI__TRY(ffai__budget_check_time_now(m->budget, err));
        from = limit;
        while (((unsigned char)m->text[from] & 0xC0) == 0x80)
            from--; /* the limit may lie inside a character */
    }
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(m->data);
    m->start = ends[0];
    m->end = ends[1] > ends[0] ? ends[1] : ends[0];
    *found = true;
    return ffai__budget_check_time(m->budget, err);
}

static void search_literal(bool *found, ffai__matches *m)
{
    const ffai__pattern *p = m->pattern;
    const char *at = m->text + m->from;
    if (p->literal_size == 1)
        at = memchr(at, p->literal[0], m->size - m->from);
    else if (p->literal_size > 0)
        at = memmem(at, m->size - m->from, p->literal, p->literal_size);
    *found = at != NULL;
    if (!at)
        return;
    m->start = (size_t)(at - m->text);
    m->end = m->start + p->literal_size;
}

static void split_next(bool *found, ffai__matches *m)
{
    *found = m->from < m->size;
    if (!*found)
        return;
    m->start = m->from;
    m->end = m->pattern->split(m->text, m->size, m->from);
    m->from = m->end;
}

ffai_status ffai__matches_next(bool *found, ffai__matches *m, ffai_error *err)
{
    *found = false;
    if (m->pattern->split) {
        split_next(found, m);
        return FFAI_OK;
    }
    while (m->from <= m->size) {
        if (m->pattern->literal)
            search_literal(found, m);
        else
            FFAI__TRY(search_regex(found, m, err));
        if (!*found)
            return FFAI_OK;
        if (m->start != m->end || m->end != m->last_end) {
            m->from = m->end;
            m->last_end = m->end;
            return FFAI_OK;
        }
        /* An empty match where the last one ended: look from the next character on. */
        size_t step = 1;
        if (m->from < m->size)
            ffai__utf8_get(m->text + m->from, &step);
        m->from += step;
        *found = false;
    }
    return FFAI_OK;
}
