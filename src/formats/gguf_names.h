/* GGUF's tensor names and Hugging Face's. */
#ifndef FFAI_FORMATS_GGUF_NAMES_H
#define FFAI_FORMATS_GGUF_NAMES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum { FFAI__GGUF_OTHER, FFAI__GGUF_QUERY, FFAI__GGUF_KEY } ffai__gguf_role;

/* Write the Hugging Face name of a GGUF name; false if it has none. role says whether its rows may be stored
 * interleaved. */
bool ffai__gguf_name(char *out, size_t size, ffai__gguf_role *role, const char *name);

#endif
