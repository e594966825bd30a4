#include "options.h"

#include <stdlib.h>
#include <string.h>

#include <ffai/status.h>

#include "option_values.h"
#include "report.h"

typedef struct parser {
    void *settings;
    const option_table *table;
    const char *command;
    char **next;
    bool only_arguments; /* "--" has been seen */
} parser;

static setting *setting_of(void *settings, const option *row)
{
    return (setting *)(void *)((char *)settings + row->offset);
}

static bool is_name(const char *candidate, const char *name, size_t length)
{
    return candidate && strlen(candidate) == length && memcmp(candidate, name, length) == 0;
}

static const option *find_name(const option_table *table, const char *name, size_t length)
{
    for (size_t i = 0; i < table->count; i++) {
        const option *row = &table->rows[i];
        if (!option_is_argument(row) && (is_name(row->name, name, length) || is_name(row->alias, name, length)))
            return row;
    }
    return NULL;
}

static const option *find_letter(const option_table *table, char letter)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].letter == letter)
            return &table->rows[i];
    }
    return NULL;
}

static const option *free_argument(parser *p)
{
    for (size_t i = 0; i < p->table->count; i++) {
        const option *row = &p->table->rows[i];
        if (option_is_argument(row) && !setting_of(p->settings, row)->given)
            return row;
    }
    return NULL;
}

static parse_result refuse(const parser *p, const option *row, const char *why)
{
    const char *dashes = option_is_argument(row) ? "" : "--";
    report_usage("%s: %s%s: %s", p->command, dashes, row->name, why);
    return PARSE_BAD;
}

/* Give a value, NULL for a switch, to a row. */
static parse_result take(parser *p, const option *row, const char *value)
{
    setting *out = setting_of(p->settings, row);
    char why[256];
    if (out->given)
        return refuse(p, row, "is given twice");
    out->given = true;
    if (value && !option_value_read(out, row, value, why, sizeof why))
        return refuse(p, row, why);
    return PARSE_OK;
}

static parse_result take_flag(parser *p, const option *row, const char *value)
{
    if (row->kind == OPTION_SWITCH)
        return value ? refuse(p, row, "takes no value") : take(p, row, NULL);
    if (!value)
        value = *p->next ? *p->next++ : NULL;
    return value ? take(p, row, value) : refuse(p, row, "needs a value");
}

static parse_result unknown_flag(const parser *p, const char *argument)
{
    report_usage("%s: %.60s: unknown flag: ffai help %s lists what there is", p->command, argument, p->command);
    return PARSE_BAD;
}

static parse_result take_long(parser *p, const char *argument)
{
    const char *name = argument + 2;
    const size_t length = strcspn(name, "=");
    const option *row = find_name(p->table, name, length);
    if (row)
        return take_flag(p, row, name[length] ? name + length + 1 : NULL);
    return is_name("help", name, strlen(name)) ? PARSE_HELP : unknown_flag(p, argument);
}

/* What follows the letter in -n=3 and -n3, NULL for nothing. Only numbers may follow as they stand: -prompt is no -p.
 */
static const char *attached_value(const option *row, const char *text)
{
    const bool number = row->kind == OPTION_INTEGER || row->kind == OPTION_NUMBER;
    return *text == '=' ? text + 1 : number && *text ? text : NULL;
}

static parse_result take_short(parser *p, const char *argument)
{
    const option *row = find_letter(p->table, argument[1]);
    const char *value = row ? attached_value(row, argument + 2) : NULL;
    if (row && (value || !argument[2]))
        return take_flag(p, row, value);
    return strcmp(argument, "-h") == 0 ? PARSE_HELP : unknown_flag(p, argument);
}

static parse_result take_argument(parser *p, const char *argument)
{
    const option *row = free_argument(p);
    if (row)
        return take(p, row, argument);
    report_usage("%s: \"%.60s\": unexpected argument: ffai help %s shows how it is called", p->command, argument,
                 p->command);
    return PARSE_BAD;
}

static parse_result take_next(parser *p)
{
    const char *argument = *p->next++;
    if (p->only_arguments || argument[0] != '-' || !argument[1])
        return take_argument(p, argument);
    if (argument[1] != '-')
        return take_short(p, argument);
    if (argument[2])
        return take_long(p, argument);
    p->only_arguments = true;
    return PARSE_OK;
}

static parse_result check_required(const parser *p)
{
    for (size_t i = 0; i < p->table->count; i++) {
        const option *row = &p->table->rows[i];
        if (row->required && !setting_of(p->settings, row)->given)
            return refuse(p, row, "is missing");
    }
    return PARSE_OK;
}

parse_result options_parse(void *settings, const option_table *table, const char *command, char **arguments)
{
    parser p = {.settings = settings, .table = table, .command = command, .next = arguments};
    parse_result result = PARSE_OK;
    while (result == PARSE_OK && *p.next)
        result = take_next(&p);
    return result == PARSE_OK ? check_required(&p) : result;
}

void options_release(void *settings, const option_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].kind == OPTION_TOKENS || table->rows[i].kind == OPTION_LIST)
            free(setting_of(settings, &table->rows[i])->tokens);
        if (option_is_model(&table->rows[i]))
            ffai_free(setting_of(settings, &table->rows[i])->found);
    }
}
