/* What templates find there: filters, tests, functions, and methods of values. */
#ifndef FFAI_JINJA_BUILTINS_H
#define FFAI_JINJA_BUILTINS_H

#include "values.h"

typedef struct jinja_named {
    const jinja_string *name;
    jinja_value value;
} jinja_named;

typedef struct jinja_arguments {
    const jinja_value *values;
    size_t count;
    const jinja_named *named;
    size_t num_named;
} jinja_arguments;

/* A call of a builtin. */
typedef struct jinja_call {
    const char *name;                       /* "indent", for messages */
    jinja_value self;                       /* what is filtered, tested, or whose method it is */
    jinja_value args[JINJA_MOST_ARGUMENTS]; /* by the parameters' order */
    bool given[JINJA_MOST_ARGUMENTS];
    const jinja_arguments *all;
} jinja_call;

typedef struct jinja_builtin {
    const char *name;
    const char *parameters; /* their names, with spaces between; those behind "/" may be left out. "*": any, which the
                             * function looks for in `all` */
    jinja_value (*run)(ffai__jinja *j, const jinja_call *call);
} jinja_builtin;

/* A builtin as a value, bound to what it is a method of. */
struct jinja_function {
    const jinja_builtin *builtin;
    jinja_value self;
};

/* NULL: there is none. */
const jinja_builtin *ffai__jinja_find_filter(const jinja_string *name);
const jinja_builtin *ffai__jinja_find_test(const jinja_string *name);
/* Of everything that is not in the variables: range, dict, namespace … */
const jinja_builtin *ffai__jinja_find_function(const jinja_string *name);
const jinja_builtin *ffai__jinja_find_in(const jinja_builtin *builtins, size_t count, const jinja_string *name);

/* Call with arguments that are checked against the parameters. */
jinja_value ffai__jinja_call_builtin(ffai__jinja *j, const jinja_builtin *builtin, jinja_value self,
                                     const jinja_arguments *arguments);
/* Call what can be called: a builtin, a macro, a recursive loop (evaluate.c). */
jinja_value ffai__jinja_call(ffai__jinja *j, jinja_value callee, const jinja_arguments *arguments);
/* An argument by its name; NULL: it is not there. */
const jinja_value *ffai__jinja_named(const jinja_arguments *arguments, const char *name);

/* printf-style, as Python's % (format.c). */
jinja_value ffai__jinja_format(ffai__jinja *j, const jinja_string *format, jinja_value arguments);
/* json.dumps as transformers' tojson calls it (to_json.c). */
jinja_value ffai__jinja_to_json(ffai__jinja *j, const jinja_call *call);

/* Filters over sequences (filter_sequences.c). */
extern const jinja_builtin ffai__jinja_sequence_filters[];
extern const size_t ffai__jinja_num_sequence_filters;

/* What an argument is, or a default where it is not given. */
static inline jinja_value ffai__jinja_argument(const jinja_call *call, int index, jinja_value otherwise)
{
    return call->given[index] ? call->args[index] : otherwise;
}
bool ffai__jinja_flag(const jinja_call *call, int index, bool otherwise);
int64_t ffai__jinja_count(ffai__jinja *j, const jinja_call *call, int index, int64_t otherwise);
/* NULL where it is not given or none. */
const jinja_string *ffai__jinja_text(ffai__jinja *j, const jinja_call *call, int index);

#endif
