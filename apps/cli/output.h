/* The result's way out: standard output, with every failure noticed.
 *
 * The first failed write is kept and later ones do nothing, so that a writer asks once. A reader that went away
 * is no failure: there is nobody left to tell. */
#ifndef FFAI_CLI_OUTPUT_H
#define FFAI_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ffai/status.h>

typedef struct output {
    int descriptor;
    int error; /* errno of the first failed write */
    size_t used;
    char bytes[1 << 14];
} output;

void output_write(output *out, const void *bytes, size_t size);
void output_text(output *out, const char *text);
/* A text that ends its last line even if it does not say so itself. */
void output_document(output *out, const char *text);
void output_format(output *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Token ids as a JSON array, a line. */
void output_ids(output *out, const int32_t *ids, size_t count);

/* Hand over what is buffered; false once a write has failed. */
bool output_flush(output *out);
bool output_is_terminal(const output *out);
/* The reader has gone away. */
bool output_is_closed(const output *out);

#endif
