/* A compiled tokenizer: the vocabulary and the merges as they lie in memory, and the rest of the tokenizer.json. It is
 * used in place, mapped, so that a large tokenizer is there in a fiftieth of the time that its JSON takes.
 *
 * For the machine and the version that wrote it: a header with sizes, what it was made of and a checksum, then sections
 * of 64-byte multiples: the JSON, added tokens, texts, starts, slots, merges, joined (added_tokens.h, vocabulary.h,
 * bpe.h). */
#ifndef FFAI_TEXT_COMPILED_H
#define FFAI_TEXT_COMPILED_H

#include "buffer.h"
#include "file_map.h"
#include "json.h"
#include "tokenizer_parts.h"

/* The file that it was made of, as the system describes it: any change of its content changes one of these. */
typedef struct ffai__compiled_source {
    uint64_t device, inode, size;
    int64_t modified, changed; /* ns */
} ffai__compiled_source;

/* What a compiled file holds: its JSON, and tables that point into the file. */
typedef struct ffai__compiled {
    const char *json;
    size_t json_size;
    ffai__text added_tokens;
    ffai__vocabulary vocabulary;
    size_t texts_size;
    ffai__bpe bpe;
} ffai__compiled;

/* Append a compiled form to out. The vocabulary is as it was before tokens were added; root loses its lists. */
ffai_status ffai__compiled_write(ffai__buffer *out, const ffai_tokenizer *tokenizer, json_t *root,
                                 const ffai__compiled_source *source, ffai_error *err);

/* FFAI_E_FORMAT if the file is of another version or source, or damaged. */
ffai_status ffai__compiled_read(ffai__compiled *compiled, const ffai__file_map *file,
                                const ffai__compiled_source *source, ffai_error *err);

#endif
