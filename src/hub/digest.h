/* The digest of a file while it is being written: a thread takes what lies at its beginning without a gap, from memory
 * where it was handed over, or else from the file. */
#ifndef FFAI_HUB_DIGEST_H
#define FFAI_HUB_DIGEST_H

#include <stdint.h>

#include "hub_libraries.h"

enum { FFAI__DIGEST_BLOCK = 256 << 10 };

typedef struct ffai__digest ffai__digest;

/* Begin: wanted is 64 hexadecimal digits of a sha256, or 40 of the sha1 by which git knows a file's bytes, which a
 * head with their number precedes. The descriptor must stay open until ffai__digest_free. */
ffai_status ffai__digest_new(ffai__digest **out, const ffai__hub_libraries *libraries, const char *wanted,
                             int descriptor, int64_t size, ffai_error *err);
void ffai__digest_free(ffai__digest *digest);
/* So many bytes lie at the beginning without a gap; never fewer than before. */
void ffai__digest_advance(ffai__digest *digest, int64_t whole);
/* The same with the last count bytes, which lie in the file at a place and in a block of FFAI__DIGEST_BLOCK bytes from
 * ffai__malloc: the caller gets another one for it, or the same where too many wait; then nothing was told. */
char *ffai__digest_hand(ffai__digest *digest, char *block, int64_t at, size_t count);
/* All bytes are there: hexadecimal digits of what they give, ended by a 0. FFAI_E_IO where they cannot be read. */
ffai_status ffai__digest_finish(ffai__digest *digest, char found[65], ffai_error *err);

#endif
