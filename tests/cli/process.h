/* Running ffai as its users do. */
#ifndef FFAI_TESTS_CLI_PROCESS_H
#define FFAI_TESTS_CLI_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* It runs in the root of the source tree. */
#define MODEL "tests/golden/llama/f32"

enum { TIMED_OUT = -1, NOT_STARTED = 126, SIGNALLED = 128 };

typedef struct outcome {
    int status;      /* of exit; SIGNALLED + the signal's number; TIMED_OUT after a minute */
    char *out, *err; /* ended by a 0 that the sizes do not count */
    size_t out_size, err_size;
} outcome;

typedef struct setting {
    const char *program;     /* NULL: ffai */
    const char *input;       /* standard input; NULL: empty */
    size_t input_size;       /* 0: that of a string */
    const char *stdout_path; /* NULL: into the outcome */
    bool without_streams;    /* no standard streams at all */
    bool without_home;       /* nowhere to look for the default model */
} setting;

/* Run it to its end. arguments end with NULL. Release with outcome_release. */
void process_run(outcome *o, const setting *s, const char *const *arguments);
void outcome_release(outcome *o);

/* Start it with its standard output in a pipe, or on a terminal; *reader receives the other end. */
typedef struct running {
    pid_t pid;
    int reader;
    int err; /* a file */
} running;
void process_start(running *r, bool terminal, const char *const *arguments);
/* Read what else it writes, close the reader, unless that is -1 already, and wait for its end. */
void process_finish(outcome *o, running *r);

/* RUN(outcome, input, argument …) */
#define RUN(o, text, ...)       process_run(&(o), &(setting){.input = (text)}, (const char *const[]){__VA_ARGS__, NULL})
#define RUN_IN(o, s, ...)       process_run(&(o), &(s), (const char *const[]){__VA_ARGS__, NULL})
#define START(r, terminal, ...) process_start(&(r), terminal, (const char *const[]){__VA_ARGS__, NULL})

/* The exit status, and "ffai: " one line containing a text on stderr unless it is NULL. */
#define CHECK_OUTCOME(o, status, message) check_outcome(&(o), status, message, __FILE__, __LINE__)
bool check_outcome(const outcome *o, int status, const char *message, const char *file, int line);

/* A path for a file of this test run, in a folder that is removed when it ends. */
const char *scratch(const char *name);
/* A file of the source tree, whole; freed with free. NULL if it is missing. */
char *read_source(const char *name);

#endif
