/* The "pre_tokenizer" of a tokenizer.json: steps that cut a text into words, which the model then takes one by
 * one. Words flow through the steps one after another; nothing is collected. */
#ifndef FFAI_TEXT_PRE_TOKENIZER_H
#define FFAI_TEXT_PRE_TOKENIZER_H

#include "normalizer.h"

typedef struct ffai__pre_tokenizer ffai__pre_tokenizer;

/* json may be NULL: then a text is one word. */
ffai_status ffai__pre_tokenizer_parse(ffai__pre_tokenizer **out, const json_t *json, const char *place,
                                      ffai_error *err);
void ffai__pre_tokenizer_free(ffai__pre_tokenizer *pre_tokenizer);

/* Whether the last step spells bytes as characters. It leaves that to the sink, which gets the bytes. */
bool ffai__pre_tokenizer_ends_in_bytes(const ffai__pre_tokenizer *pre_tokenizer);

/* Receives each word, never an empty one, valid during the call. */
typedef ffai_status ffai__word_sink(void *context, const char *word, size_t size, ffai_error *err);

/* A run of the steps, with the memory they re-use from text to text. */
typedef struct ffai__pre_tokenizer_run ffai__pre_tokenizer_run;

ffai_status ffai__pre_tokenizer_run_create(ffai__pre_tokenizer_run **out, const ffai__pre_tokenizer *pre_tokenizer,
                                           ffai__budget *budget, ffai__word_sink *sink, void *context, ffai_error *err);
void ffai__pre_tokenizer_run_free(ffai__pre_tokenizer_run *run);

ffai_status ffai__pre_tokenizer_run_text(ffai__pre_tokenizer_run *run, const ffai__piece *text, ffai_error *err);

#endif
