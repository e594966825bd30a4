/* How long each stage of a model takes, from its name to its end, and the line that says on a terminal how far loading
 * is. */
#ifndef FFAI_CLI_TIMELINE_H
#define FFAI_CLI_TIMELINE_H

#include <ffai/stage.h>
#include <jansson.h>

#include "options.h"
#include "progress.h"

/* All zero before there is anything. Its model reports to it until it is freed. */
typedef struct timeline {
    progress progress;
    ffai_load_stage stage;
    double since; /* when the stage began */
    double seconds[FFAI_LOAD_STAGES];
} timeline;

/* Loading begins, of a model that was found as the setting says. */
void timeline_begin(timeline *t, const setting *model);
/* For ffai_model_options: context is the timeline. False after Ctrl-C. */
bool timeline_on_event(void *context, const ffai_load_event *event);
/* Loading is over, or has failed. */
void timeline_end(timeline *t);

/* Seconds from the first file opened to a model that is ready, before any session. */
double timeline_load_seconds(const timeline *t);
/* {"resolving_s": …, …}; NULL if memory is short. */
json_t *json_of_timeline(const timeline *t);
/* Lines for people, on standard error: the stages that took any time. */
void timeline_print(const timeline *t);

#endif
