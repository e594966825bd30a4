/* Messages for people, on stderr, each one line "ffai: …". Bytes that could steer a terminal are shown as ?. */
#ifndef FFAI_CLI_REPORT_H
#define FFAI_CLI_REPORT_H

#include <ffai/status.h>

/* The exit statuses of the contract. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* A bad or missing flag: always EXIT_USAGE. */
int report_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Something went wrong: always EXIT_FAILED. */
int report_failure(const ffai_error *err);
/* Something worth knowing. */
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fill err, "what: file or field: why", and return the status. */
ffai_status failure(ffai_error *err, ffai_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same for a failed system call on something named; why is errno's. */
ffai_status failure_errno(ffai_error *err, const char *what, const char *name, int number);
ffai_status failure_memory(ffai_error *err, const char *what);

#endif
