/* What Split and Replace look for: a string or a regex, with the matches that Oniguruma would find. */
#ifndef FFAI_TEXT_PATTERN_H
#define FFAI_TEXT_PATTERN_H

#include <stdbool.h>

#include "budget.h"
#include "json.h"
#include "splitter.h"

typedef struct ffai__pattern ffai__pattern;

/* From the JSON {"String": …} or {"Regex": …} in json's field "pattern". */
ffai_status ffai__pattern_parse(ffai__pattern **out, const json_t *json, const char *place, ffai_error *err);
/* From a regex in Oniguruma's syntax. */
ffai_status ffai__pattern_compile(ffai__pattern **out, const char *regex, size_t size, const char *place,
                                  ffai_error *err);
void ffai__pattern_free(ffai__pattern *pattern);

/* What finds the pattern's matches by hand, where it is one of those regexes; else NULL. */
ffai__splitter *ffai__pattern_splitter(const ffai__pattern *pattern);

/* Walks over the matches in valid UTF-8, in order; empty ones right behind another match are left out. */
typedef struct ffai__matches {
    const ffai__pattern *pattern;
    ffai__budget *budget;
    void *data;       /* PCRE2's */
    void *context;    /* PCRE2's */
    const char *text; /* must outlive the walk */
    size_t size;
    size_t from;     /* where the next search starts */
    size_t last_end; /* of the last match, SIZE_MAX before the first */
    size_t start, end;
} ffai__matches;

/* Ready for ffai__matches_over; free with ffai__matches_free, after a failure too. */
ffai_status ffai__matches_create(ffai__matches *matches, const ffai__pattern *pattern, ffai_error *err);
void ffai__matches_free(ffai__matches *matches);
/* Start a walk; a matches serves any number of them, one after another. */
void ffai__matches_over(ffai__matches *matches, const char *text, size_t size, ffai__budget *budget);
/* The next match into matches->start and ->end; *found is false after the last. FFAI_E_LIMIT if the regex
 * needs too many steps. */
ffai_status ffai__matches_next(bool *found, ffai__matches *matches, ffai_error *err);

#endif
