/* What a checkpoint holds, filled by its sources: safetensors_folder.c, gguf_checkpoint.c and synthetic.c. */
#ifndef FFAI_FORMATS_CONTENTS_H
#define FFAI_FORMATS_CONTENTS_H

#include "checkpoint.h"
#include "file_map.h"
#include "gguf.h"
#include "repeated_map.h"
#include "safetensors.h"
#include "string_map.h"
#include "synthetic.h"

/* What a document may take at most. */
#define FFAI__CONFIG_LIMIT    ((size_t)16 << 20)
#define FFAI__INDEX_LIMIT     ((size_t)64 << 20)
#define FFAI__TOKENIZER_LIMIT ((size_t)256 << 20)

typedef struct ffai__entry {
    ffai__weight weight;
    ffai__shape shape; /* of the weight as the model means it: columns are not packed */
} ffai__entry;

typedef struct ffai__shard {
    ffai__file_map *map;       /* NULL for bytes that the caller holds */
    ffai__safetensors *header; /* NULL for GGUF */
} ffai__shard;

typedef struct ffai__owned ffai__owned;

struct ffai__checkpoint {
    char *path;
    bool is_gguf;
    json_t *config;
    json_t *generation_config;
    ffai__shard *shards;
    size_t shard_count;
    ffai__gguf *gguf;
    ffai__repeated_map repeated[3]; /* of random weights: codes or elements, scales, biases */
    ffai__entry *entries;           /* by name, once opened */
    size_t count;
    ffai__string_map *index; /* name -> position in entries */
    ffai__owned *owned;
};

/* Zeroed memory that lives as long as the checkpoint; NULL when memory is short. */
void *ffai__checkpoint_own(ffai__checkpoint *checkpoint, size_t size);

/* One more shard, empty; pointers to others are no longer valid. The same with a file mapped. */
ffai_status ffai__checkpoint_add_shard(ffai__shard **out, ffai__checkpoint *checkpoint, ffai_error *err);
ffai_status ffai__checkpoint_map(ffai__shard **out, ffai__checkpoint *checkpoint, const char *path, ffai_error *err);

/* Fill documents (and weights, unless documents_only) from a folder, from a GGUF file. */
ffai_status ffai__folder_read(ffai__checkpoint *checkpoint, bool documents_only, ffai_error *err);
ffai_status ffai__folder_read_bytes(ffai__checkpoint *checkpoint, const uint8_t *bytes, uint64_t size,
                                    ffai_error *err); /* one safetensors file; config is there already */
ffai_status ffai__gguf_checkpoint_read(ffai__checkpoint *checkpoint, bool documents_only, ffai_error *err);

ffai_status ffai__gguf_checkpoint_read_bytes(ffai__checkpoint *checkpoint, const uint8_t *bytes, uint64_t size,
                                             bool documents_only, ffai_error *err);

/* Fill weights with random numbers; config is there already. */
ffai_status ffai__synthetic_read(ffai__checkpoint *checkpoint, const ffai__synthetic_weights *weights, ffai_error *err);

/* A checkpoint from bytes that must outlive it: a GGUF file where config is NULL, else a safetensors file beside
 * this config.json, which the checkpoint takes over even on failure. For tests and fuzzing. */
ffai_status ffai__checkpoint_open_bytes(ffai__checkpoint **out, json_t *config, const uint8_t *bytes, uint64_t size,
                                        ffai_error *err);

/* "<folder>/<name>" read as JSON, which must be an object; *out stays NULL where there is no such file. */
ffai_status ffai__folder_json(json_t **out, const char *folder, const char *name, size_t limit, ffai_error *err);

/* Make "chat_template" the default template's text, the others of a list "chat_templates" {name: text}. */
ffai_status ffai__chat_template_normalize(json_t *tokenizer_config, const char *what, ffai_error *err);

#endif
