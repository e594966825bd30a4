#define _GNU_SOURCE
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void progress_begin(progress *p, const char *what)
{
    *p = (progress){.what = what, .terminal = isatty(STDERR_FILENO), .begun = seconds_now()};
}

void progress_show(progress *p, double fraction)
{
    const double patience = 1, interval = 0.1;
    const double now = p->terminal ? seconds_now() : 0;
    if (!p->terminal || now - p->begun < patience || now - p->shown < interval)
        return;
    fprintf(stderr, "\r%s %3.0f %%", p->what, fraction * 100);
    p->shown = now;
    p->visible = true;
}

void progress_end(progress *p)
{
    if (p->visible)
        fputs("\r\033[K", stderr);
    p->visible = false;
}
