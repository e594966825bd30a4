/* Calling builtins, and the functions. */
#include "builtins.h"

#include <stdio.h>
#include <string.h>

#include "texts.h"

const jinja_builtin *ffai__jinja_find_in(const jinja_builtin *builtins, size_t count, const jinja_string *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(builtins[i].name, name->data) == 0)
            return &builtins[i];
    }
    return NULL;
}

const jinja_value *ffai__jinja_named(const jinja_arguments *arguments, const char *name)
{
    for (size_t i = 0; i < arguments->num_named; i++) {
        if (strcmp(arguments->named[i].name->data, name) == 0)
            return &arguments->named[i].value;
    }
    return NULL;
}

/* --- parameters --- */

/* The parameter's name at *at, which goes on to the next; false: there is none. *optional: "/" has been passed. */
static bool next_parameter(char name[32], const char **at, bool *optional)
{
    size_t size = strcspn(*at, " ");
    if (**at == '/') {
        *optional = true;
        *at += size + ((*at)[size] == ' ');
        size = strcspn(*at, " ");
    }
    if (size == 0 || size >= 32)
        return false;
    memcpy(name, *at, size);
    name[size] = 0;
    *at += size + ((*at)[size] == ' ');
    return true;
}

static void take_arguments(ffai__jinja *j, jinja_call *call, const char *parameters)
{
    const jinja_arguments *all = call->all;
    char name[32];
    bool optional = false;
    size_t named = 0;
    size_t index = 0;
    for (; next_parameter(name, &parameters, &optional); index++) {
        const jinja_value *by_name = ffai__jinja_named(all, name);
        named += by_name != NULL;
        call->given[index] = index < all->count || by_name;
        if (index < all->count && by_name)
            ffai__jinja_refuse(j, "%s: the argument '%s' is given twice", call->name, name);
        if (call->given[index])
            call->args[index] = index < all->count ? all->values[index] : *by_name;
        else if (!optional)
            ffai__jinja_refuse(j, "%s: the argument '%s' is missing", call->name, name);
    }
    if (all->count > index || all->num_named > named)
        ffai__jinja_refuse(j, "%s: an argument that it does not take", call->name);
}

jinja_value ffai__jinja_call_builtin(ffai__jinja *j, const jinja_builtin *builtin, jinja_value self,
                                     const jinja_arguments *arguments)
{
    jinja_call call = {.name = builtin->name, .self = self, .all = arguments};
    if (strcmp(builtin->parameters, "*") != 0)
        take_arguments(j, &call, builtin->parameters);
    return builtin->run(j, &call);
}

bool ffai__jinja_flag(const jinja_call *call, int index, bool otherwise)
{
    return call->given[index] ? ffai__jinja_is_true(call->args[index]) : otherwise;
}

int64_t ffai__jinja_count(ffai__jinja *j, const jinja_call *call, int index, int64_t otherwise)
{
    return call->given[index] ? ffai__jinja_need_integer(j, call->args[index], call->name) : otherwise;
}

const jinja_string *ffai__jinja_text(ffai__jinja *j, const jinja_call *call, int index)
{
    if (!call->given[index] || call->args[index].kind == JINJA_NONE)
        return NULL;
    return ffai__jinja_need_string(j, call->args[index], call->name);
}

/* --- functions --- */

/* How many numbers from start on, before stop. */
static uint64_t count_range(int64_t start, int64_t stop, int64_t step)
{
    if (step > 0 && stop > start)
        return ((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step + 1;
    if (step < 0 && stop < start)
        return ((uint64_t)start - (uint64_t)stop - 1) / (0 - (uint64_t)step) + 1;
    return 0;
}

static jinja_value make_range(ffai__jinja *j, const jinja_call *call)
{
    enum { MOST = 100000 }; /* the sandbox's */
    jinja_range *range = ffai__jinja_alloc(j, 1, sizeof *range);
    const int64_t first = ffai__jinja_count(j, call, 0, 0);
    const int64_t stop = ffai__jinja_count(j, call, 1, first);
    range->start = call->given[1] ? first : 0;
    range->step = ffai__jinja_count(j, call, 2, 1);
    if (range->step == 0)
        ffai__jinja_refuse(j, "range: the step must not be 0");
    range->count = count_range(range->start, stop, range->step);
    if (range->count > MOST)
        ffai__jinja_fail(j, FFAI_E_LIMIT, "a range of more than %d numbers", MOST);
    return (jinja_value){.kind = JINJA_RANGE, .range = range};
}

/* The named arguments, behind what a dict that is given has. */
static jinja_dict *dict_of_arguments(ffai__jinja *j, const jinja_call *call)
{
    jinja_dict *dict = ffai__jinja_new_dict(j);
    if (call->all->count > 1 || (call->all->count == 1 && call->all->values[0].kind != JINJA_DICT))
        ffai__jinja_refuse(j, "%s: takes one dict, and named arguments", call->name);
    for (size_t i = 0; call->all->count && i < ffai__jinja_dict_count(call->all->values[0].dict); i++)
        ffai__jinja_dict_set(j, dict, ffai__jinja_dict_key(call->all->values[0].dict, i),
                             ffai__jinja_dict_value(call->all->values[0].dict, i));
    for (size_t i = 0; i < call->all->num_named; i++)
        ffai__jinja_dict_set(j, dict, ffai__jinja_of_string(call->all->named[i].name), call->all->named[i].value);
    return dict;
}

static jinja_value make_dict(ffai__jinja *j, const jinja_call *call)
{
    return ffai__jinja_of_dict(dict_of_arguments(j, call));
}

static jinja_value make_namespace(ffai__jinja *j, const jinja_call *call)
{
    return (jinja_value){.kind = JINJA_NAMESPACE, .dict = dict_of_arguments(j, call)};
}

static jinja_value raise_exception(ffai__jinja *j, const jinja_call *call)
{
    ffai__jinja_refuse(j, "%s", ffai__jinja_str(j, call->args[0])->data);
}

static jinja_value strftime_now(ffai__jinja *j, const jinja_call *call)
{
    char text[512];
    const jinja_string *format = ffai__jinja_need_string(j, call->args[0], "strftime_now's format");
    if (format->size > 200)
        ffai__jinja_refuse(j, "strftime_now: a format of more than 200 bytes");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    const size_t size = strftime(text, sizeof text, format->data, &j->now);
#pragma GCC diagnostic pop
    return ffai__jinja_string(j, text, size, false);
}

const jinja_builtin *ffai__jinja_find_function(const jinja_string *name)
{
    static const jinja_builtin functions[] = {
        {"range", "start / stop step", make_range}, {"dict", "*", make_dict},
        {"namespace", "*", make_namespace},         {"raise_exception", "message", raise_exception},
        {"strftime_now", "format", strftime_now},
    };
    return ffai__jinja_find_in(functions, sizeof functions / sizeof *functions, name);
}
