#include <stdio.h>
#include <string.h>

#include "command.h"
#include "option_values.h"
#include "report.h"

enum { HELP_COLUMN = 36 };

typedef struct help_settings {
    setting topic;
} help_settings;

#define AT(field) offsetof(help_settings, field)
static const option options[] = {
    HEADING("Arguments"),
    VALUE(OPTION_ARGUMENT, 0, "COMMAND", NULL, topic, "the command to explain"),
    HEADING("Options"),
};
#undef AT

/* "  -m, --model MODEL" */
static int format_names(char *out, size_t size, const option *row)
{
    char letter[8] = "    ", alias[32] = "";
    if (row->letter)
        snprintf(letter, sizeof letter, "-%c, ", row->letter);
    if (row->alias)
        snprintf(alias, sizeof alias, "--%s, ", row->alias);
    const char *dashes = option_is_argument(row) ? "" : "--";
    return snprintf(out, size, "  %s%s%s%s%s%s", letter, alias, dashes, row->name, row->value ? " " : "",
                    row->value ? row->value : "");
}

static void print_range(output *out, const option *row)
{
    char range[100];
    if (row->kind != OPTION_INTEGER && row->kind != OPTION_NUMBER)
        return;
    option_range_format(range, sizeof range, row);
    output_format(out, " (%s)", range);
}

static void print_row(output *out, const option *row)
{
    char names[128];
    if (row->kind == OPTION_HEADING) {
        output_format(out, "\n%s:\n", row->help);
        return;
    }
    const int width = format_names(names, sizeof names, row);
    output_text(out, names);
    if (width + 2 > HELP_COLUMN)
        output_format(out, "\n%*s", HELP_COLUMN, "");
    else
        output_format(out, "%*s", HELP_COLUMN - width, "");
    output_text(out, row->help);
    print_range(out, row);
    output_text(out, row->required ? " [required]\n" : "\n");
}

static void print_command(output *out, const command *about)
{
    output_format(out, "Usage: ffai %s%s%s\n\n%s\n", about->name, *about->synopsis ? " " : "", about->synopsis,
                  about->summary);
    if (about->details)
        output_format(out, "\n%s\n", about->details);
    if (!about->options.count || about->options.rows[0].kind != OPTION_HEADING)
        output_text(out, "\nOptions:\n");
    for (size_t i = 0; i < about->options.count; i++)
        print_row(out, &about->options.rows[i]);
    output_format(out, "%-*s%s\n", HELP_COLUMN, "  -h, --help", "this text");
}

static void print_overview(output *out)
{
    output_text(out, "Usage: ffai COMMAND [options]\n"
                     "       ffai [options]    the same as ffai generate [options]\n\n"
                     "Runs language models on one's own machine.\n\nCommands:\n");
    for (size_t i = 0; command_at(i); i++)
        output_format(out, "  %-12s  %s\n", command_at(i)->name, command_at(i)->summary);
    output_text(out, "\nffai help COMMAND, or ffai COMMAND --help, lists a command's options.\n");
}

void help_print(output *out, const command *about)
{
    if (about)
        print_command(out, about);
    else
        print_overview(out);
}

static int check(const void *settings)
{
    const help_settings *s = settings;
    if (!s->topic.given || command_find(s->topic.text))
        return EXIT_OK;
    return report_usage("help: \"%.60s\": unknown command: ffai help lists them", s->topic.text);
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    (void)err;
    const help_settings *s = settings;
    help_print(out, s->topic.given ? command_find(s->topic.text) : NULL);
    return FFAI_OK;
}

extern const command command_help;
const command command_help = {
    .name = "help",
    .summary = "List the commands, or the options of one.",
    .synopsis = "[COMMAND]",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(help_settings),
    .check = check,
    .run = run,
};
