/* What a generation was and took, as JSON and for people. */
#ifndef FFAI_CLI_GENERATE_REPORT_H
#define FFAI_CLI_GENERATE_REPORT_H

#include <ffai/generate.h>

#include "output.h"
#include "timeline.h"

typedef struct generate_report {
    char backend[16];        /* empty if it ended before there was a model */
    ffai_generation *result; /* NULL likewise */
    const int32_t *prompt;
    size_t prompt_tokens;
    ffai_parameters parameters;
    uint64_t seed;
    timeline times;
} generate_report;

void generate_report_note_backend(generate_report *report, const ffai_model *model);
/* The first lines of --stats: what computed, with which parameters, on standard error. */
void generate_report_model(const generate_report *report, const ffai_session *session);

/* Once the model is unloaded. The object of --json: docs/cli.md has its shape. */
ffai_status generate_report_json(output *out, const generate_report *report, ffai_error *err);
/* The other lines of --stats: times and rates. */
void generate_report_stats(const generate_report *report);

#endif
