/* Inside the library a tokenizer is made from the bytes of a tokenizer.json, wherever they come from: a file,
 * or a GGUF file's metadata turned into one. */
#ifndef FFAI_TEXT_TOKENIZER_H
#define FFAI_TEXT_TOKENIZER_H

#include <ffai/tokenizer.h>

/* what names the source in errors. */
ffai_status ffai__tokenizer_parse(ffai_tokenizer **out, const char *json, size_t size, const char *what,
                                  ffai_error *err);

#endif
