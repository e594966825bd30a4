#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef ffai__fail /* the analyzer's macros of the same names */
#undef ffai__fail_in
#undef ffai__fail_memory

const char *ffai_status_text(ffai_status status)
{
    switch (status) {
#define FFAI_STATUS_CASE(name, text)                                                                                   \
    case FFAI_##name:                                                                                                  \
        return text;
        FFAI_STATUS_LIST(FFAI_STATUS_CASE)
#undef FFAI_STATUS_CASE
    }
    return "unknown status";
}

/* Cut a message that filled its buffer before the UTF-8 character it may have split. */
static void end_at_character(char *message, size_t size, int wanted)
{
    if (wanted < 0) {
        message[0] = 0;
        return;
    }
    if ((size_t)wanted < size)
        return;
    size_t end = size - 1;
    size_t start = end;
    while (start > 0 && ((unsigned char)message[start - 1] & 0xC0) == 0x80)
        start--;
    if (start > 0 && (unsigned char)message[start - 1] >= 0xC0)
        message[start - 1] = 0;
}

ffai_status ffai__fail(ffai_error *err, ffai_status status, const char *format, ...)
{
    if (!err)
        return status;
    err->status = status;
    va_list arguments;
    va_start(arguments, format);
    const int wanted = vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    end_at_character(err->message, sizeof err->message, wanted);
    return status;
}

ffai_status ffai__fail_in(ffai_error *err, ffai_status status, const char *format, ...)
{
    if (!err)
        return status;
    char message[sizeof err->message];
    memcpy(message, err->message, sizeof message);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    if (length < 0)
        length = 0;
    if ((size_t)length >= sizeof err->message)
        length = (int)sizeof err->message - 1;
    const size_t room = sizeof err->message - (size_t)length;
    const int wanted = snprintf(err->message + length, room, ": %s", message);
    end_at_character(err->message + length, room, wanted);
    err->status = status;
    return status;
}

ffai_status ffai__fail_memory(ffai_error *err, const char *what, unsigned long long bytes)
{
    return ffai__fail(err, FFAI_E_MEMORY, "not enough memory for %s: %llu bytes", what, bytes);
}
