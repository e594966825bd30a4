/* What ffai bench found: for people, and as JSON. */
#ifndef FFAI_CLI_BENCH_REPORT_H
#define FFAI_CLI_BENCH_REPORT_H

#include "bench_run.h"
#include "output.h"

typedef struct bench_report {
    const bench_results *results;
    const bench_plan *plan;
    const char *model; /* the shape's name, or the path */
    const char *shape; /* NULL: a checkpoint */
    int bits;          /* of a shape's weights */
    int group_size;    /* 0: not quantized */
    int64_t layers;    /* 0: the shape's own, or a checkpoint's */
    const char *activations;
    const char *kv;
    double seconds; /* of everything */
} bench_report;

void bench_report_print(output *out, const bench_report *report);
ffai_status bench_report_json(output *out, const bench_report *report, ffai_error *err);

#endif
