/* Texts and id lists from files and from standard input. */
#ifndef FFAI_CLI_INPUT_H
#define FFAI_CLI_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include <ffai/status.h>

/* The largest text that is read: it has to fit into memory several times over. */
enum { INPUT_LIMIT = 1 << 28 };

/* Read a file, or standard input for NULL, whole and as it stands. *text is freed with free; it may hold any
 * byte, 0 included. FFAI_E_CANCELLED if Ctrl-C came first. */
ffai_status input_read(char **text, size_t *size, const char *path, ffai_error *err);

/* Read a JSON array of token ids from standard input; freed with free. */
ffai_status input_read_ids(int32_t **ids, size_t *count, ffai_error *err);

#endif
