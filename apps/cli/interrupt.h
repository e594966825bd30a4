/* Ctrl-C, SIGTERM and SIGHUP: the first asks the command to end, the second of a kind ends the process. */
#ifndef FFAI_CLI_INTERRUPT_H
#define FFAI_CLI_INTERRUPT_H

#include <stdbool.h>

void interrupt_watch(void);
bool interrupted(void);
/* The opposite, for sessions to ask within a step. */
bool keep_going(void *ignored);

#endif
