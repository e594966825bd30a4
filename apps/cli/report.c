#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void print_line(char *message)
{
    for (char *c = message; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    fprintf(stderr, "ffai: %s\n", message);
}

static void print_formatted(const char *format, va_list arguments)
{
    char message[1024];
    vsnprintf(message, sizeof message, format, arguments);
    print_line(message);
}

int report_usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_formatted(format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

void report_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_formatted(format, arguments);
    va_end(arguments);
}

int report_failure(const ffai_error *err)
{
    char message[sizeof err->message];
    snprintf(message, sizeof message, "%s", *err->message ? err->message : ffai_status_text(err->status));
    print_line(message);
    return EXIT_FAILED;
}

ffai_status failure(ffai_error *err, ffai_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    err->status = status;
    return status;
}

ffai_status failure_errno(ffai_error *err, const char *what, const char *name, int number)
{
    return failure(err, FFAI_E_IO, "%s: %s: %s", what, name, strerror(number));
}

ffai_status failure_memory(ffai_error *err, const char *what)
{
    return failure(err, FFAI_E_MEMORY, "%s: not enough memory", what);
}
