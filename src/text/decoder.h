/* The "decoder" of a tokenizer.json: steps that turn tokens into text. They work on a stream: each holds back
 * what later tokens may still change, and no more. */
#ifndef FFAI_TEXT_DECODER_H
#define FFAI_TEXT_DECODER_H

#include "budget.h"
#include "buffer.h"
#include "json.h"

typedef struct ffai__decoder ffai__decoder;

/* json may be NULL: then tokens are joined with spaces. */
ffai_status ffai__decoder_parse(ffai__decoder **out, const json_t *json, const char *place, ffai_error *err);
void ffai__decoder_free(ffai__decoder *decoder);

/* A run of the steps over one stream of tokens. */
typedef struct ffai__decoder_run ffai__decoder_run;

ffai_status ffai__decoder_run_create(ffai__decoder_run **out, const ffai__decoder *decoder, ffai_error *err);
void ffai__decoder_run_free(ffai__decoder_run *run);

/* Add a token; what is certain now is appended to out: whole characters. */
ffai_status ffai__decoder_run_token(ffai__buffer *out, ffai__decoder_run *run, const char *token, size_t size,
                                    ffai_error *err);
/* The end of the stream: append what was held back, and be ready for another stream. */
ffai_status ffai__decoder_run_finish(ffai__buffer *out, ffai__decoder_run *run, ffai_error *err);

/* Whether a token adds the same bytes to a text wherever it stands: FFAI_E_UNSUPPORTED names the step that hangs on its
 * neighbours. But for the text's beginning: *dropped receives how many spaces are taken off there. */
ffai_status ffai__decoder_bytewise(uint32_t *dropped, const ffai__decoder *decoder, ffai_error *err);
/* Append what a token adds to a text, of a decoder that is bytewise; whole characters or not. */
ffai_status ffai__decoder_run_bytes(ffai__buffer *out, ffai__decoder_run *run, const char *token, size_t size,
                                    ffai_error *err);

/* Bytes that the steps have handled so far: tests hold it against the size of input and output. */
uint64_t ffai__decoder_run_work(const ffai__decoder_run *run);

#endif
