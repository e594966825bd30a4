/* What parsing and rendering have in common: memory, limits, and the way out on an error.
 *
 * An error leaves by longjmp to the call that began, which frees the arena; nothing else is owned in between. So
 * functions give values, not statuses. */
#ifndef FFAI_JINJA_INTERPRETER_H
#define FFAI_JINJA_INTERPRETER_H

#include <setjmp.h>
#include <time.h>

#include "arena.h"
#include "failure.h"

enum {
    JINJA_MOST_DEPTH = 1000, /* of expressions, statements, macros and loops inside each other */
    JINJA_STEP_BYTES = 32,   /* of text that count as a step */
    JINJA_MOST_ARGUMENTS = 6 /* that a filter, test or method has by name */
};

typedef struct jinja_frame jinja_frame;
typedef struct jinja_text jinja_text;
typedef struct jinja_string jinja_string;

typedef struct ffai__jinja {
    ffai__arena arena;
    const char *what;
    int line; /* of what is read or runs */
    int depth;
    uint64_t steps, most_steps;
    struct tm now;
    jinja_text *out;           /* what is being written */
    jinja_frame *frame;        /* variables that are visible */
    const jinja_string *block; /* the text of the block that filters are applied to */
    jmp_buf escape;
    ffai_error *err;
    ffai_status status;
} ffai__jinja;

/* Ends parsing or rendering with "what: line N: message". */
_Noreturn void ffai__jinja_fail(ffai__jinja *j, ffai_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for what the template or its variables do wrong while it runs. */
#define ffai__jinja_refuse(j, ...) ffai__jinja_fail(j, FFAI_E_ARGUMENT, __VA_ARGS__)

/* Zeroed memory until the end; never NULL. */
void *ffai__jinja_alloc(ffai__jinja *j, size_t count, size_t size);
/* Twice the room for an array that is full. */
void *ffai__jinja_grow(ffai__jinja *j, const void *old, size_t count, size_t *capacity, size_t size);
char *ffai__jinja_copy(ffai__jinja *j, const char *bytes, size_t size);

/* Counts a step, and the bytes that it goes through. */
void ffai__jinja_step(ffai__jinja *j, uint64_t bytes);
/* One level down, and up again; an error need not go up. */
void ffai__jinja_enter(ffai__jinja *j);
static inline void ffai__jinja_leave(ffai__jinja *j)
{
    j->depth--;
}

#endif
