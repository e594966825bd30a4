/* How internal code reports failure: one line that fills the caller's error and returns the status. */
#ifndef FFAI_BASE_FAILURE_H
#define FFAI_BASE_FAILURE_H

#include <ffai/status.h>

/* Return the failure out of the current function. Only for functions that own nothing yet. */
#define FFAI__TRY(call)                                                                                                \
    do {                                                                                                               \
        const ffai_status ffai__try_status = (call);                                                                   \
        if (ffai__try_status != FFAI_OK)                                                                               \
            return ffai__try_status;                                                                                   \
    } while (0)

/* Write "message" into err (which may be NULL) and return status. Overlong messages are cut at a character. */
ffai_status ffai__fail(ffai_error *err, ffai_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "prefix: " before the message that is already in err; returns err's status (E_INTERNAL when err is
 * NULL or holds success, so use it only on a failure path). */
ffai_status ffai__fail_in(ffai_error *err, ffai_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "not enough memory for <what>: <bytes> bytes" */
ffai_status ffai__fail_memory(ffai_error *err, const char *what, unsigned long long bytes);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: tell it that these return what they are given, never FFAI_OK. */
#define ffai__fail(err, status, ...)        (ffai__fail(err, status, __VA_ARGS__), (status))
#define ffai__fail_in(err, status, ...)     (ffai__fail_in(err, status, __VA_ARGS__), (status))
#define ffai__fail_memory(err, what, bytes) (ffai__fail_memory(err, what, bytes), FFAI_E_MEMORY)
#endif

#endif
