/* One line on a terminal that says how far something is, once it takes longer than a second. */
#ifndef FFAI_CLI_PROGRESS_H
#define FFAI_CLI_PROGRESS_H

#include <stdbool.h>

typedef struct progress {
    const char *what;
    bool terminal;
    bool visible;
    double begun, shown; /* seconds */
} progress;

/* Seconds of a clock that only goes forward. */
double seconds_now(void);

void progress_begin(progress *p, const char *what);
void progress_show(progress *p, double fraction);
/* Erase the line. */
void progress_end(progress *p);

#endif
