/* ffai: picks the command, reads its flags, runs it, and turns what happened into an exit status. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "hub_source.h"
#include "interrupt.h"
#include "report.h"

/* A closed standard stream's number would go to the next file opened: reading or writing it would hit that
 * file. What is put there refuses both a read of standard input and a write of standard output. */
static void occupy_standard_streams(void)
{
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

/* What the output's state makes of an exit status. */
static int finish_output(output *out, int status)
{
    ffai_error err = FFAI_ERROR_INIT;
    if (output_flush(out) || output_is_closed(out))
        return status;
    failure_errno(&err, "write", "stdout", out->error);
    return report_failure(&err);
}

/* Let the path of each model stand where its name stood. Two rows may share a setting. */
static ffai_status find_models(const command *c, void *settings, ffai_error *err)
{
    ffai_status status = FFAI_OK;
    for (size_t i = 0; i < c->options.count && status == FFAI_OK; i++) {
        const option *row = &c->options.rows[i];
        setting *s = (setting *)(void *)((char *)settings + row->offset);
        if (!option_is_model(row) || !s->given || s->found)
            continue;
        status = hub_source_find(&s->found, &s->finding, s->text, err);
        s->text = status == FFAI_OK ? s->found : s->text;
    }
    return status;
}

static int run_command(output *out, const command *c, void *settings)
{
    ffai_error err = FFAI_ERROR_INIT;
    interrupt_watch();
    ffai_status status = c->prepare ? c->prepare(settings, &err) : FFAI_OK;
    if (status == FFAI_OK)
        status = find_models(c, settings, &err);
    if (status == FFAI_OK)
        status = c->run(out, settings, &err);
    if (status == FFAI_OK || (status == FFAI_E_CANCELLED && out->error))
        return EXIT_OK;
    if (status == FFAI_E_CANCELLED)
        failure(&err, status, "%s: cancelled", c->name);
    return report_failure(&err);
}

static int parse_and_run(output *out, const command *c, char **arguments, void *settings)
{
    switch (options_parse(settings, &c->options, c->name, arguments)) {
    case PARSE_HELP:
        help_print(out, c);
        return EXIT_OK;
    case PARSE_BAD:
        return EXIT_USAGE;
    default:
        break;
    }
    const int status = c->check ? c->check(settings) : EXIT_OK;
    return status == EXIT_OK ? run_command(out, c, settings) : status;
}

static int start_command(output *out, const command *c, char **arguments)
{
    ffai_error err = FFAI_ERROR_INIT;
    void *settings = calloc(1, c->settings_size);
    if (!settings) {
        failure_memory(&err, c->name);
        return report_failure(&err);
    }
    const int status = parse_and_run(out, c, arguments, settings);
    options_release(settings, &c->options);
    free(settings);
    return status;
}

static bool is_one_of(const char *argument, const char *a, const char *b)
{
    return strcmp(argument, a) == 0 || strcmp(argument, b) == 0;
}

static int dispatch(output *out, char **arguments)
{
    const char *first = arguments[0];
    if (first && is_one_of(first, "--help", "-h"))
        return start_command(out, command_find("help"), arguments + 1);
    if (first && is_one_of(first, "--version", "-V"))
        return start_command(out, command_find("version"), arguments + 1);
    if (!first || first[0] == '-')
        return start_command(out, command_find("generate"), arguments);
    const command *c = command_find(first);
    if (c)
        return start_command(out, c, arguments + 1);
    return report_usage("\"%.60s\": unknown command: ffai help lists them", first);
}

/* hwloc looks for graphics cards with plugins, where the distribution has them: a start of 3.3 ms rather than 0.7 ms
 * with all the libraries that these bring along. Nothing here wants to know. */
static void leave_out_hwloc_plugins(void)
{
    (void)setenv("HWLOC_PLUGINS_PATH", "", 0);
}

int main(int argc, char **argv)
{
    static output out = {.descriptor = STDOUT_FILENO};
    occupy_standard_streams();
    leave_out_hwloc_plugins();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails with a message */
    const int status = dispatch(&out, argc > 0 ? argv + 1 : argv);
    return finish_output(&out, status);
}
