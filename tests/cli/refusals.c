#include "refusals.h"

#include <string.h>

#include "check.h"
#include "process.h"

static void split_and_run(outcome *o, const char *line)
{
    char text[512];
    const char *arguments[32] = {NULL};
    size_t count = 0;
    strncpy(text, line, sizeof text - 1);
    text[sizeof text - 1] = 0;
    for (char *word = strtok(text, " "); word && count < 31; word = strtok(NULL, " "))
        arguments[count++] = word;
    process_run(o, &(setting){0}, arguments);
}

void check_refusals(const refusal *refusals, size_t count)
{
    outcome o;
    for (size_t i = 0; i < count; i++) {
        split_and_run(&o, refusals[i].arguments);
        if (!CHECK_OUTCOME(o, 2, refusals[i].message) || !CHECK(o.out_size == 0))
            check_says(false, __FILE__, __LINE__, "by: ffai %s", refusals[i].arguments);
        outcome_release(&o);
    }
}
