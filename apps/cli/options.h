/* A command's flags as a table: the parser, the checks and the help text all read it. */
#ifndef FFAI_CLI_OPTIONS_H
#define FFAI_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum option_kind {
    OPTION_HEADING,  /* a line of the help text */
    OPTION_SWITCH,   /* without a value */
    OPTION_TEXT,     /* anything */
    OPTION_NAME,     /* anything but nothing: a path, a list */
    OPTION_MODEL,    /* a name, for which its path stands when the command runs: a download, perhaps, lies between */
    OPTION_INTEGER,  /* least to most */
    OPTION_NUMBER,   /* least to most */
    OPTION_CHOICE,   /* one of the words of .value, which are separated by | */
    OPTION_BYTES,    /* an integer and a unit: 5GB, 512MiB */
    OPTION_FUSIONS,  /* all, none, or names of rewrites */
    OPTION_TOKENS,   /* ids separated by commas */
    OPTION_LIST,     /* whole numbers separated by commas, least to most each */
    OPTION_SHAPE,    /* a shape's name */
    OPTION_ARGUMENT, /* not a flag: the next bare word, as a name */
    OPTION_SOURCE,   /* not a flag: the next bare word, as a model */
} option_kind;

/* Seconds that finding a model took. */
typedef struct finding {
    double resolving, downloading;
} finding;

/* What the command line gives for one option; all zero when it gives nothing. */
typedef struct setting {
    bool given;
    const char *text; /* as it was written */
    int64_t integer;  /* of integers and bytes; the position of a choice */
    double number;    /* of numbers and integers */
    int32_t *tokens;  /* and the numbers of a list */
    size_t num_tokens;
    char *found; /* of a model: what text is then, for ffai_free */
    finding finding;
} setting;

typedef struct option {
    option_kind kind;
    char letter;       /* 0: none */
    const char *name;  /* without its dashes */
    const char *alias; /* a second name, or NULL */
    const char *value; /* what the help text calls the value */
    const char *help;
    size_t offset; /* of its setting in the command's settings */
    double least, most;
    bool above_least; /* least itself is out of range */
    bool required;
} option;

/* Rows of a table. AT(field), defined beside the table, is the offset of a field of the command's settings. */
#define HEADING(text_)                                                                                                 \
    {                                                                                                                  \
        .kind = OPTION_HEADING, .help = (text_)                                                                        \
    }
#define SWITCH(name_, field_, help_)                                                                                   \
    {                                                                                                                  \
        .kind = OPTION_SWITCH, .name = (name_), .offset = AT(field_), .help = (help_)                                  \
    }
#define VALUE(kind_, letter_, name_, value_, field_, help_)                                                            \
    {                                                                                                                  \
        .kind = (kind_), .letter = (letter_), .name = (name_), .value = (value_), .offset = AT(field_),                \
        .help = (help_)                                                                                                \
    }
#define REQUIRED(kind_, letter_, name_, value_, field_, help_)                                                         \
    {                                                                                                                  \
        .kind = (kind_), .letter = (letter_), .name = (name_), .value = (value_), .offset = AT(field_),                \
        .help = (help_), .required = true                                                                              \
    }
#define RANGE(kind_, letter_, name_, value_, least_, most_, field_, help_)                                             \
    {                                                                                                                  \
        .kind = (kind_), .letter = (letter_), .name = (name_), .value = (value_), .offset = AT(field_),                \
        .help = (help_), .least = (least_), .most = (most_)                                                            \
    }

static inline bool option_is_argument(const option *row)
{
    return row->kind == OPTION_ARGUMENT || row->kind == OPTION_SOURCE;
}

static inline bool option_is_model(const option *row)
{
    return row->kind == OPTION_MODEL || row->kind == OPTION_SOURCE;
}

typedef struct option_table {
    const option *rows;
    size_t count;
} option_table;

typedef enum parse_result { PARSE_OK, PARSE_HELP, PARSE_BAD } parse_result;

/* Read a command's arguments, ended by NULL, into its settings, which are all zero. PARSE_BAD has been reported
 * on stderr. Release with options_release in every case. */
parse_result options_parse(void *settings, const option_table *table, const char *command, char **arguments);
void options_release(void *settings, const option_table *table);

#endif
