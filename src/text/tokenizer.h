/* Inside the library a tokenizer is made from the bytes of a tokenizer.json, wherever they come from: a file,
 * or a GGUF file's metadata turned into one, whose vocabulary and merges stay lists.
 *
 * What the file's reader makes of it is what Hugging Face's makes of it; docs of the parts: added_tokens.h,
 * normalizer.h, pre_tokenizer.h, bpe.h, post_processor.h, decoder.h. "truncation" and "padding" are passed over:
 * they are a caller's business. Models other than BPE are FFAI_E_UNSUPPORTED. */
#ifndef FFAI_TEXT_TOKENIZER_H
#define FFAI_TEXT_TOKENIZER_H

#include <ffai/tokenizer.h>

#include "compiled.h"
#include "tokenizer_lists.h"

/* what names the source in errors. lists: the vocabulary and the merges where the JSON has them not, else NULL or
 * empty; they and their texts need not outlive the call. */
ffai_status ffai__tokenizer_parse(ffai_tokenizer **out, const char *json, size_t size,
                                  const ffai__tokenizer_lists *lists, const char *what, ffai_error *err);

/* From a file of at most 256 MiB. */
ffai_status ffai__tokenizer_read(ffai_tokenizer **out, const char *path, ffai_error *err);

/* The same, and append its compiled form, as of this source, to compiled: it may be left out, where memory is short. */
ffai_status ffai__tokenizer_compile(ffai_tokenizer **out, ffai__buffer *compiled, const char *path,
                                    const ffai__compiled_source *source, ffai_error *err);

/* From a compiled form. FFAI_E_FORMAT if it is none of this source, FFAI_E_IO or FFAI_E_NOT_FOUND if there is none. */
ffai_status ffai__tokenizer_open_compiled(ffai_tokenizer **out, const char *path, const ffai__compiled_source *source,
                                          ffai_error *err);

#endif
