/* JSON by jansson, with errors that name the file and the field.
 *
 * Every number is read as a double, because config files write 1e30 as an integer that no int64_t holds.
 * Integers are exact up to 2^53; the getters check that what should be an integer is one. */
#ifndef FFAI_BASE_JSON_H
#define FFAI_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

/* Parse a document; what names it in errors. Duplicate keys are an error; free with json_decref. */
ffai_status ffai__json_parse(json_t **out, const char *bytes, size_t size, const char *what, ffai_error *err);
/* The same, but integers stay integers: one that int64_t does not hold is FFAI_E_FORMAT. */
ffai_status ffai__json_parse_as_written(json_t **out, const char *bytes, size_t size, const char *what,
                                        ffai_error *err);
/* ffai__json_parse of a file of at most limit bytes. */
ffai_status ffai__json_read(json_t **out, const char *path, size_t limit, ffai_error *err);

/* Where memory is short, jansson's parser and printer drop characters and its deep copy drops members without a word.
 * ffai__json_watch begins to look out for that on this thread, and ffai__json_lost says whether something jansson
 * wanted to store since then is missing. The functions of this header do so themselves. */
void ffai__json_watch(void);
bool ffai__json_lost(void);

/* json_dumps and json_deep_copy: complete, or NULL. The text is freed with ffai__free. */
char *ffai__json_dump(const json_t *document, size_t flags);
json_t *ffai__json_copy(const json_t *document);

/* Getters for a field of an object. Each leaves *value alone and succeeds when the field is absent or null;
 * a field of another type or out of range fails with FFAI_E_FORMAT: `what: field "key": …`. */
ffai_status ffai__json_get_int(int64_t *value, const json_t *object, const char *key, int64_t least, int64_t most,
                               const char *what, ffai_error *err);
ffai_status ffai__json_get_double(double *value, const json_t *object, const char *key, double least, double most,
                                  const char *what, ffai_error *err);
ffai_status ffai__json_get_bool(bool *value, const json_t *object, const char *key, const char *what, ffai_error *err);
/* *value stays owned by the object. */
ffai_status ffai__json_get_string(const char **value, const json_t *object, const char *key, const char *what,
                                  ffai_error *err);

/* True if value is a number without a fraction within ±2^53; *integer receives it. */
bool ffai__json_integer(int64_t *integer, const json_t *value);
/* The field, or NULL where it is absent or null. */
json_t *ffai__json_field(const json_t *object, const char *key);

#endif
