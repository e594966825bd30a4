/* The "post_processor" of a tokenizer.json: which special tokens go around a text. */
#ifndef FFAI_TEXT_POST_PROCESSOR_H
#define FFAI_TEXT_POST_PROCESSOR_H

#include "bpe.h"

typedef struct ffai__post_processor ffai__post_processor;

/* json may be NULL: then nothing is added. Ids must be known to the vocabulary. */
ffai_status ffai__post_processor_parse(ffai__post_processor **out, const json_t *json,
                                       const ffai__vocabulary *vocabulary, const char *place, ffai_error *err);
void ffai__post_processor_free(ffai__post_processor *post_processor);

/* Append the text's ids with (or without) the special tokens. */
ffai_status ffai__post_processor_apply(ffai__ids *out, const ffai__post_processor *post_processor,
                                       const ffai__ids *text, bool add_special_tokens, ffai_error *err);

#endif
