/* Regular expressions: what Python, ECMAScript and Perl have in common.
 *
 * Characters, `.` (all but line ends), classes with ranges and negation, \d \D \w \W \s \S as ECMAScript has them,
 * \t \n \v \f \r \0 \xHH \uHHHH \u{H} \cX and escaped punctuation, groups (captured, named or not), alternatives,
 * * + ? {m} {m,} {m,n} and their lazy forms, and ^ and $ at the ends. What looks around or back is refused. */
#ifndef FFAI_GRAMMAR_REGEX_H
#define FFAI_GRAMMAR_REGEX_H

#include "spelling.h"

enum { FFAI__REGEX_SIZE_MAX = 1 << 16, FFAI__REGEX_DEPTH_MAX = 60 };

typedef struct ffai__regex_options {
    ffai__spelling spelling;
    bool search; /* may begin and end anywhere in the text where ^ and $ do not say otherwise; else it is all of it */
} ffai__regex_options;

/* FFAI_E_FORMAT and FFAI_E_UNSUPPORTED name the place: "offset 3: …". */
ffai_status ffai__regex_parse(ffai__expression *out, ffai__rules *rules, const char *pattern, size_t size,
                              ffai__regex_options options, ffai_error *err);

#endif
