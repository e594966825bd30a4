/* A template's source as tokens: texts, what opens and closes tags, and what is within. */
#ifndef FFAI_JINJA_LEXER_H
#define FFAI_JINJA_LEXER_H

#include "values.h"

typedef enum jinja_token_kind {
    JINJA_TEXT,
    JINJA_BLOCK_BEGIN, /* {% */
    JINJA_BLOCK_END,
    JINJA_VARIABLE_BEGIN, /* {{ */
    JINJA_VARIABLE_END,
    JINJA_NAME,
    JINJA_CONSTANT, /* a string or number: value */
    JINJA_OPERATOR,
    JINJA_END
} jinja_token_kind;

typedef struct jinja_token {
    jinja_token_kind kind;
    int line;
    const char *text; /* as it stands in the source; not ended by a 0 */
    size_t size;
    jinja_value value;
} jinja_token;

typedef struct jinja_tokens {
    jinja_token *items; /* the last one is JINJA_END */
    size_t count, capacity;
} jinja_tokens;

/* White space is controlled as with trim_blocks and lstrip_blocks, and one newline at the end goes. source lives as
 * long as the interpreter's arena. */
jinja_tokens ffai__jinja_lex(ffai__jinja *j, const char *source, size_t size);

#endif
