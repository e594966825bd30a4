/* Regexes of a tokenizer.json are written for Oniguruma (Ruby's dialect); PCRE2 reads another one. */
#ifndef FFAI_TEXT_PATTERN_SYNTAX_H
#define FFAI_TEXT_PATTERN_SYNTAX_H

#include "buffer.h"
#include "failure.h"

/* Append to out the PCRE2 spelling of an Oniguruma regex (valid UTF-8).
 *
 * Rewritten: \s \w \d \h and their complements, \b, \p{…} (with the characters of Unicode 15 and 16 that an older
 * PCRE2 lacks), \uHHHH, POSIX brackets, sets in sets, && in sets, {n,m}+ (greedy there, possessive in Perl),
 * (?m) (there the dot matches line ends). FFAI_E_UNSUPPORTED names what has no counterpart: \G, \K, \X,
 * absent groups, calls and conditions. */
ffai_status ffai__pattern_translate(ffai__buffer *out, const char *regex, size_t size, const char *place,
                                    ffai_error *err);

#endif
