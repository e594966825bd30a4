/* Characters and texts as expressions: as they are, or as a JSON string spells them.
 *
 * In JSON each text has one spelling: a quote, a backslash and control characters are escaped, the latter as \b, \f,
 * \n, \r, \t or \u00xx with small letters, and nothing else is. */
#ifndef FFAI_GRAMMAR_SPELLING_H
#define FFAI_GRAMMAR_SPELLING_H

#include "buffer.h"
#include "rules.h"

typedef enum ffai__spelling { FFAI__SPELL_PLAIN, FFAI__SPELL_JSON } ffai__spelling;

ffai__expression ffai__spell_characters(ffai__rules *rules, const ffai__characters *set, ffai__spelling spelling);
/* Append a text as it stands between the quotes of a JSON string. */
void ffai__spell_json(ffai__buffer *out, const char *text, size_t size);
/* size bytes of UTF-8. */
ffai__expression ffai__spell_text(ffai__rules *rules, const char *text, size_t size, ffai__spelling spelling);

#endif
