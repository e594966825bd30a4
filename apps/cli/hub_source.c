#define _GNU_SOURCE
#include "hub_source.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "interrupt.h"
#include "progress.h"
#include "report.h"

typedef struct download_progress {
    bool terminal, visible;
    double shown;        /* seconds; when a line was last written */
    double begun;        /* of the measured span */
    uint64_t begun_done; /* bytes that were there then */
    size_t named;        /* the last file that a line of a log says is there */
    double downloading;  /* when that began; 0: not yet */
} download_progress;

/* "2 h 5 min", "40 s" */
static void format_seconds(char out[32], double seconds)
{
    const long s = seconds < 1e6 ? (long)seconds : 1000000;
    if (s >= 3600)
        snprintf(out, 32, "%ld h %ld min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, 32, "%ld min %ld s", s / 60, s % 60);
    else
        snprintf(out, 32, "%ld s", s);
}

static void show_line(download_progress *p, const ffai_hub_event *e, double now)
{
    char left[32] = "";
    const double seconds = now - p->begun;
    const double rate = seconds > 0 && e->done > p->begun_done ? (double)(e->done - p->begun_done) / seconds : 0;
    if (rate > 0)
        format_seconds(left, (double)(e->size - e->done) / rate);
    char shown[400];
    if (e->waiting)
        snprintf(shown, sizeof shown, "waiting: %s", e->waiting);
    else
        snprintf(shown, sizeof shown, "%zu/%zu %.60s  %.2f of %.2f GB  %.1f MB/s  %s%s", e->file_number, e->files,
                 e->file, (double)e->done / 1e9, (double)e->size / 1e9, rate / 1e6, left, left[0] ? " left" : "");
    for (char *c = shown; *c; c++) /* names come from the hub: nothing may steer the terminal */
        *c = (unsigned char)*c < 0x20 || *c == 0x7F ? '?' : *c;
    fprintf(stderr, p->terminal ? "\r\033[K%s" : "ffai: download: %s\n", shown);
    p->shown = now;
    p->visible = p->terminal;
}

/* On a terminal ten times a second; into a log when a file is there, and every half minute. */
static bool is_due(const download_progress *p, const ffai_hub_event *e, double now)
{
    const double half_minute = 30;
    if (p->terminal)
        return now - p->shown >= 0.1;
    return now - p->shown >= half_minute || (e->file_size && e->file_done == e->file_size && e->file_number > p->named);
}

static bool on_event(void *context, const ffai_hub_event *e)
{
    download_progress *p = context;
    const double now = seconds_now();
    if (e->stage == FFAI_LOAD_DOWNLOADING && p->downloading == 0)
        p->downloading = now;
    if (!e->size || p->begun == 0) {
        p->begun = now;
        p->begun_done = e->done;
    }
    if (e->size && is_due(p, e, now)) {
        show_line(p, e, now);
        p->named = e->file_done == e->file_size ? e->file_number : p->named;
    }
    return !interrupted();
}

static ffai_status bring(char **path, finding *took, const char *name, int connections, bool always, ffai_error *err)
{
    const double start = seconds_now();
    download_progress p = {.terminal = isatty(STDERR_FILENO), .shown = start};
    const ffai_hub_options options = {.connections = connections, .on_event = on_event, .context = &p};
    const ffai_status status =
        always ? ffai_hub_pull(path, name, &options, err) : ffai_hub_find(path, name, &options, err);
    if (p.visible)
        fputs("\r\033[K", stderr);
    const double end = seconds_now();
    const double turn = p.downloading > 0 ? p.downloading : end;
    *took = (finding){turn - start, end - turn};
    return status;
}

ffai_status hub_source_find(char **path, finding *took, const char *name, ffai_error *err)
{
    *path = NULL;
    return name ? bring(path, took, name, 0, false, err) : FFAI_OK;
}

ffai_status hub_source_pull(char **path, const char *name, int connections, ffai_error *err)
{
    finding took;
    return bring(path, &took, name, connections, true, err);
}
