/* JSON Schema, draft 2020-12, to rules: JSON in one spelling, without spaces, properties in the schema's order. What
 * cannot be enforced is refused with its place, a JSON pointer. docs/structured-output.md has the keywords. */
#ifndef FFAI_GRAMMAR_SCHEMA_H
#define FFAI_GRAMMAR_SCHEMA_H

#include "rules.h"

enum { FFAI__SCHEMA_SIZE_MAX = 1 << 20 };

ffai_status ffai__schema_parse(uint32_t *root, ffai__rules *rules, const char *text, size_t size, ffai_error *err);

#endif
