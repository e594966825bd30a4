/* Texts that a conversion is calibrated and judged by, and what is reported of them. */
#ifndef FFAI_CLI_CONVERT_REPORT_H
#define FFAI_CLI_CONVERT_REPORT_H

#include <stdint.h>

#include "output.h"

/* Tokens of a text, freed with free. text: a file's path, or, where it has white space and no file is called so, the
 * text itself. flag names it in errors. At least two tokens come out. */
ffai_status convert_text_read(int32_t **tokens, size_t *count, const char *source, const char *text, const char *flag,
                              ffai_error *err);

/* Print how the result at `destination` speaks of the text beside `source`; for people, or as a JSON object. */
ffai_status convert_report_print(output *out, const char *source, const char *destination, const int32_t *tokens,
                                 size_t count, int threads, bool json, ffai_error *err);

#endif
