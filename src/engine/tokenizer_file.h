/* A tokenizer.json, or what was compiled from it the last time: ${XDG_CACHE_HOME:-~/.cache}/ffai/tokenizers/HASH.bin,
 * which src/text/compiled.h describes. */
#ifndef FFAI_ENGINE_TOKENIZER_FILE_H
#define FFAI_ENGINE_TOKENIZER_FILE_H

#include <ffai/tokenizer.h>

/* Read path. A file of half a MiB or more is compiled on the way, unless FFAI_COMPILED_TOKENIZERS is off; a compiled
 * form that is damaged, of another version or of other content is made anew, and one that cannot be written is not:
 * none of it is an error. FFAI_E_ARGUMENT if the variable is neither on nor off. */
ffai_status ffai__tokenizer_file_read(ffai_tokenizer **out, const char *path, ffai_error *err);

#endif
