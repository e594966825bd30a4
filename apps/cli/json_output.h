/* One JSON object as a command's result. */
#ifndef FFAI_CLI_JSON_OUTPUT_H
#define FFAI_CLI_JSON_OUTPUT_H

#include <jansson.h>
#include <stdint.h>

#include "output.h"

json_t *json_of_ids(const int32_t *ids, size_t count);
/* Seconds and rates, to a millionth; what is no number becomes 0. */
json_t *json_of_measure(double value);

/* Print the object and a line end, and release it. FFAI_E_MEMORY if building it failed (NULL). */
ffai_status json_print(output *out, json_t *object, ffai_error *err);

#endif
