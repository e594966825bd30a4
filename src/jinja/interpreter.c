#include "interpreter.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ffai__jinja_fail(ffai__jinja *j, ffai_status status, const char *format, ...)
{
    char message[sizeof j->err->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    j->status = ffai__fail(j->err, status, "%s: line %d: %s", j->what, j->line, message);
    longjmp(j->escape, 1);
}

void *ffai__jinja_alloc(ffai__jinja *j, size_t count, size_t size)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX;
    void *out = ffai__arena_alloc(&j->arena, bytes);
    if (!out && j->arena.used > j->arena.limit)
        ffai__jinja_fail(j, FFAI_E_LIMIT, "the template takes more than %llu bytes of memory",
                         (unsigned long long)j->arena.limit);
    if (!out)
        ffai__jinja_fail(j, FFAI_E_MEMORY, "not enough memory for a template's values: %zu bytes", bytes);
    return memset(out, 0, bytes);
}

void *ffai__jinja_grow(ffai__jinja *j, const void *old, size_t count, size_t *capacity, size_t size)
{
    *capacity = *capacity ? 2 * *capacity : 8;
    void *grown = ffai__jinja_alloc(j, *capacity, size);
    if (count)
        memcpy(grown, old, count * size);
    return grown;
}

char *ffai__jinja_copy(ffai__jinja *j, const char *bytes, size_t size)
{
    char *copy = ffai__jinja_alloc(j, size + 1, 1);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

void ffai__jinja_step(ffai__jinja *j, uint64_t bytes)
{
    j->steps += 1 + bytes / JINJA_STEP_BYTES;
    if (j->steps > j->most_steps)
        ffai__jinja_fail(j, FFAI_E_LIMIT, "the template takes more than %llu steps", (unsigned long long)j->most_steps);
}

void ffai__jinja_enter(ffai__jinja *j)
{
    if (++j->depth > JINJA_MOST_DEPTH)
        ffai__jinja_fail(j, FFAI_E_LIMIT, "more than %d levels of expressions, statements and macros",
                         JINJA_MOST_DEPTH);
}
