/* What each token adds to a text, as bytes: a token may be a part of a character. */
#ifndef FFAI_TEXT_TOKEN_BYTES_H
#define FFAI_TEXT_TOKEN_BYTES_H

#include <ffai/tokenizer.h>

#include "buffer.h"

typedef struct ffai__token_bytes ffai__token_bytes;

/* *dropped receives how many spaces decoding takes off the beginning of a text. FFAI_E_UNSUPPORTED where what a token
 * adds hangs on its neighbours. */
ffai_status ffai__token_bytes_create(ffai__token_bytes **out, uint32_t *dropped, const ffai_tokenizer *tokenizer,
                                     ffai_error *err);
void ffai__token_bytes_free(ffai__token_bytes *reader);

/* Nothing is appended for ids that no token has, and for special tokens, which texts leave out. */
ffai_status ffai__token_bytes_append(ffai__buffer *out, ffai__token_bytes *reader, const ffai_tokenizer *tokenizer,
                                     int32_t id, ffai_error *err);

#endif
