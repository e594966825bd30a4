/* Chat templates: the dialect of Jinja that Hugging Face's apply_chat_template accepts, rendered as it renders it.
 *
 * That is Jinja 3 with trim_blocks, lstrip_blocks, break and continue, {% generation %}, the functions raise_exception
 * and strftime_now and a tojson that leaves HTML alone, in an immutable sandbox. Language:
 * https://jinja.palletsprojects.com/en/stable/templates/ and transformers' utils/chat_template_utils.py.
 *
 * Values are plain data: an attribute is a key of a dict or one of the methods listed in methods.c, and nothing else
 * can be reached. A template is text that somebody else wrote; what it may cost is limited. */
#ifndef FFAI_JINJA_JINJA_H
#define FFAI_JINJA_JINJA_H

#include <ffai/tokenizer.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "failure.h"

typedef struct ffai__jinja_template ffai__jinja_template;

/* source: UTF-8, at most 16 MiB, not needed afterwards. what names it in errors. FFAI_E_FORMAT with the line where it
 * is not what Jinja accepts, FFAI_E_UNSUPPORTED for statements that need other files. Immutable; free with
 * ffai__jinja_free. */
ffai_status ffai__jinja_parse(ffai__jinja_template **out, const char *source, size_t size, const char *what,
                              ffai_error *err);
void ffai__jinja_free(ffai__jinja_template *parsed);

/* What a render may cost. 0: as below. */
typedef struct ffai__jinja_limits {
    uint64_t steps; /* expressions, turns of loops, some dozens of bytes of text each: 20 million */
    uint64_t bytes; /* of all values and texts together: 256 MiB */
} ffai__jinja_limits;

typedef struct ffai__jinja_input {
    const json_t *own;  /* object: variables that count as the template's own text, such as bos_token; may be NULL */
    const json_t *data; /* object: the others; may be NULL */
    struct tm now;      /* for strftime_now */
    ffai__jinja_limits limits;
} ffai__jinja_input;

/* A rendered text, and which of it came from `data` (or was made of it): what users typed, in which no special token is
 * meant (ffai_encode_options.typed). */
typedef struct ffai__jinja_output {
    char *text; /* ended by a 0 that size does not count */
    size_t size;
    ffai_text_span *data; /* ascending, apart */
    size_t num_data;
} ffai__jinja_output;

/* Free out with ffai__jinja_output_free. FFAI_E_ARGUMENT where the template or the variables make it fail, with the
 * line (raise_exception's message is one), FFAI_E_LIMIT beyond a limit. */
ffai_status ffai__jinja_render(ffai__jinja_output *out, const ffai__jinja_template *parsed,
                               const ffai__jinja_input *input, ffai_error *err);
void ffai__jinja_output_free(ffai__jinja_output *output);

#endif
