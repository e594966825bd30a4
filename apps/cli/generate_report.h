/* What a generation was and took, as JSON and for people. */
#ifndef FFAI_CLI_GENERATE_REPORT_H
#define FFAI_CLI_GENERATE_REPORT_H

#include <ffai/generate.h>

#include "output.h"

typedef struct generate_report {
    const ffai_model *model; /* NULL if it ended before there was one; likewise below */
    const ffai_session *session;
    ffai_generation *result;
    const int32_t *prompt;
    size_t prompt_tokens;
    ffai_parameters parameters;
    uint64_t seed;
    double load_seconds;
} generate_report;

/* The object of --json: docs/cli.md has its shape. */
ffai_status generate_report_json(output *out, const generate_report *report, ffai_error *err);
/* The lines of --stats, on standard error. */
void generate_report_stats(const generate_report *report);

#endif
