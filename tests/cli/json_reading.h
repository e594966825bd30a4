/* Reading what ffai prints as JSON. */
#ifndef FFAI_TESTS_CLI_JSON_READING_H
#define FFAI_TESTS_CLI_JSON_READING_H

#include <jansson.h>
#include <stdbool.h>

/* The document that the text is, all of it; NULL, and the test fails, if it is none. */
json_t *json_of_text(const char *text);
/* A field by its path, "timings.load_s"; NULL if there is none. */
json_t *json_at(json_t *object, const char *path);
bool json_is_text(const json_t *string, const char *text);
bool json_is_ids(const json_t *array, const char *ids); /* "[1, 2]" */

#endif
