#include "timeline.h"

#include <stdio.h>

#include "interrupt.h"
#include "json_output.h"

static bool takes_time(ffai_load_stage stage)
{
    return stage != FFAI_LOAD_READY;
}

void timeline_begin(timeline *t, const setting *model)
{
    t->seconds[FFAI_LOAD_RESOLVING] = model->finding.resolving;
    t->seconds[FFAI_LOAD_DOWNLOADING] = model->finding.downloading;
    t->stage = FFAI_LOAD_MAPPING;
    t->since = seconds_now();
    progress_begin(&t->progress, "loading");
}

static void enter(timeline *t, ffai_load_stage stage)
{
    const double now = seconds_now();
    if (takes_time(t->stage))
        t->seconds[t->stage] += now - t->since;
    t->stage = stage;
    t->since = now;
}

/* Weights take most of the time there is. */
static double fraction_of(const ffai_load_event *event)
{
    if (event->stage == FFAI_LOAD_UPLOADING || event->stage == FFAI_LOAD_WARMING)
        return event->fraction;
    return event->stage < FFAI_LOAD_UPLOADING ? 0 : 1;
}

bool timeline_on_event(void *context, const ffai_load_event *event)
{
    timeline *t = context;
    if (event->stage == FFAI_LOAD_WARMING && t->stage != FFAI_LOAD_WARMING)
        progress_begin(&t->progress, "warming up");
    enter(t, event->stage);
    if (event->stage < FFAI_LOAD_READY)
        progress_show(&t->progress, fraction_of(event));
    else
        progress_end(&t->progress);
    return !interrupted();
}

void timeline_end(timeline *t)
{
    enter(t, FFAI_LOAD_READY);
    progress_end(&t->progress);
}

double timeline_load_seconds(const timeline *t)
{
    double sum = 0;
    for (int i = FFAI_LOAD_MAPPING; i <= FFAI_LOAD_TOKENIZER; i++)
        sum += t->seconds[i];
    return sum;
}

json_t *json_of_timeline(const timeline *t)
{
    json_t *object = json_object();
    for (int i = 0; object && i < FFAI_LOAD_STAGES; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_s", ffai_load_stage_name((ffai_load_stage)i));
        if (takes_time((ffai_load_stage)i) && json_object_set_new(object, key, json_of_measure(t->seconds[i])) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

void timeline_print(const timeline *t)
{
    const char *label = "stages";
    for (int i = 0; i < FFAI_LOAD_STAGES; i++) {
        if (t->seconds[i] <= 0)
            continue;
        fprintf(stderr, "%-10s  %-11s  %.3f s\n", label, ffai_load_stage_name((ffai_load_stage)i), t->seconds[i]);
        label = "";
    }
}
