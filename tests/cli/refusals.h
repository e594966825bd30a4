/* Command lines that are refused. */
#ifndef FFAI_TESTS_CLI_REFUSALS_H
#define FFAI_TESTS_CLI_REFUSALS_H

#include <stddef.h>

typedef struct refusal {
    const char *arguments; /* separated by blanks */
    const char *message;
} refusal;

/* Each ends with status 2 and one line on stderr that contains the message, and writes nothing to stdout. */
void check_refusals(const refusal *refusals, size_t count);
#define CHECK_REFUSALS(table) check_refusals(table, sizeof(table) / sizeof *(table))

#endif
