/* A command of ffai: one file each, one line in commands.def. */
#ifndef FFAI_CLI_COMMAND_H
#define FFAI_CLI_COMMAND_H

#include <ffai/status.h>

#include "options.h"
#include "output.h"

typedef struct command {
    const char *name;
    const char *summary;  /* one line */
    const char *synopsis; /* what follows the name */
    const char *details;  /* further paragraphs of the help text, or NULL */
    option_table options;
    size_t settings_size;
    /* What the table cannot say, before any file is opened: EXIT_OK, or EXIT_USAGE after a report. May be NULL. */
    int (*check)(const void *settings);
    /* What is to be refused before a model is downloaded for it. May be NULL. */
    ffai_status (*prepare)(const void *settings, ffai_error *err);
    /* Results go to out; a failure is reported, and output failures are noticed, by the caller. */
    ffai_status (*run)(output *out, const void *settings, ffai_error *err);
} command;

/* NULL if there is none of this name. */
const command *command_find(const char *name);
/* The i-th command, NULL after the last. */
const command *command_at(size_t i);

/* The help text of a command, or of all for NULL. */
void help_print(output *out, const command *about);

#endif
