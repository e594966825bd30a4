/* Unicode normalization forms, linear in the text even for endless runs of combining marks. */
#ifndef FFAI_TEXT_NORMAL_FORM_H
#define FFAI_TEXT_NORMAL_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True if text (valid UTF-8) has nothing that any form would change, by a quick look: ASCII, or for the
 * composed form that is not a compatibility form, characters that neither compose nor come apart. */
bool ffai__normal_form_is_trivial(const char *text, size_t size, bool compose, bool compatibility);

enum { FFAI__DECOMPOSED_MAX = 18 }; /* characters that one may decompose into: U+FDFA */

/* The full decomposition of c; returns its length. */
size_t ffai__decompose(int32_t out[FFAI__DECOMPOSED_MAX], int32_t c, bool compatibility);

/* Put marks into canonical order, in place; spare has room for as many. */
void ffai__order_marks(int32_t *characters, int32_t *spare, size_t count);

/* Canonical composition in place; returns the new count. */
size_t ffai__compose(int32_t *characters, size_t count);

#endif
