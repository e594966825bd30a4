/* The regexes that most published tokenizers cut words with, by hand: the same matches as PCRE2's, several times as
 * fast. Each of these regexes matches at every character, so that its matches are all of a text. */
#ifndef FFAI_TEXT_SPLITTER_H
#define FFAI_TEXT_SPLITTER_H

#include <stddef.h>

/* The end of the match that begins at `at` < size; text is valid UTF-8. Takes time linear in what it looks at, which
 * is the match and at most the rest of a run of letters or of whitespace behind it. */
typedef size_t ffai__splitter(const char *text, size_t size, size_t at);

/* The splitter of a regex in Oniguruma's syntax, recognized by its text; NULL for any other. */
ffai__splitter *ffai__splitter_find(const char *regex, size_t size);

/* The regexes that are recognized, for tests: NULL behind the last. */
const char *ffai__splitter_regex(size_t index);

#endif
