/* What a flag's value may be. */
#ifndef FFAI_CLI_OPTION_VALUES_H
#define FFAI_CLI_OPTION_VALUES_H

#include "options.h"

/* Read text as the option's kind asks. On failure false, and `why` has a reason that fits "--flag: ". */
bool option_value_read(setting *out, const option *row, const char *text, char *why, size_t why_size);

/* "0 to 100", "above 0 to 1". */
void option_range_format(char *out, size_t size, const option *row);

#endif
