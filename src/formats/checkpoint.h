/* A checkpoint: named weights and the JSON documents beside them, whichever format they came in.
 *
 * Two sources give the same thing: a folder of safetensors files (plain or MLX-quantized) and a GGUF file. A third
 * makes weights up (synthetic.h).
 * A GGUF file's tensors appear under their Hugging Face names, its metadata as config.json, tokenizer.json and
 * so on. Nothing here knows a model family beyond the names GGUF uses for it. */
#ifndef FFAI_FORMATS_CHECKPOINT_H
#define FFAI_FORMATS_CHECKPOINT_H

#include <jansson.h>

#include "failure.h"
#include "shape.h"
#include "tokenizer_lists.h"

typedef struct ffai__checkpoint ffai__checkpoint;

/* path: a folder with config.json, or a .gguf file. Files are mapped, headers validated whole; no tensor data
 * is read. Free with ffai__checkpoint_close. */
ffai_status ffai__checkpoint_open(ffai__checkpoint **out, const char *path, ffai_error *err);
/* The same without weights: a folder needs no more than its tokenizer.json; config may be empty then. */
ffai_status ffai__checkpoint_open_documents(ffai__checkpoint **out, const char *path, ffai_error *err);
void ffai__checkpoint_close(ffai__checkpoint *checkpoint);

const char *ffai__checkpoint_path(const ffai__checkpoint *checkpoint);
bool ffai__checkpoint_is_gguf(const ffai__checkpoint *checkpoint);

/* Documents; each stays owned by the checkpoint and is NULL where there is none. config is never NULL. */
const json_t *ffai__checkpoint_config(const ffai__checkpoint *checkpoint);
const json_t *ffai__checkpoint_generation_config(const ffai__checkpoint *checkpoint);

/* tokenizer.json as bytes, freed with ffai__free by the caller. FFAI_E_NOT_FOUND if there is none. Where lists is
 * not NULL, a GGUF file's vocabulary and merges come in it instead, and the JSON's are empty: freed by the caller, the
 * texts as long as the checkpoint lives. Tokens of a list may be equal: whoever makes a tokenizer of it refuses that.
 */
ffai_status ffai__checkpoint_tokenizer_json(char **json, size_t *size, ffai__tokenizer_lists *lists,
                                            const ffai__checkpoint *checkpoint, ffai_error *err);
/* tokenizer_config.json as a new reference; an empty object where there is none. The chat template is in it
 * ("chat_template"), also when it came from chat_template.jinja or a GGUF key. */
ffai_status ffai__checkpoint_tokenizer_config(json_t **out, const ffai__checkpoint *checkpoint, ffai_error *err);

/* Weights in the order of their names. A quantized matrix is one weight named "….weight"; its ".scales" and
 * ".biases" do not appear. */
size_t ffai__checkpoint_count(const ffai__checkpoint *checkpoint);
const ffai__weight *ffai__checkpoint_weight(const ffai__checkpoint *checkpoint, size_t index);
/* All dimensions of the weight at index, where rank is above 2 too; the last is its columns. */
const ffai__shape *ffai__checkpoint_shape(const ffai__checkpoint *checkpoint, size_t index);
/* NULL if there is none of this name. */
const ffai__weight *ffai__checkpoint_find(const ffai__checkpoint *checkpoint, const char *name);

/* Bytes of all weights as stored. */
uint64_t ffai__checkpoint_bytes(const ffai__checkpoint *checkpoint);

/* Let go of the memory that reading this weight's mapped bytes has taken: reading it again takes it from the file. */
void ffai__checkpoint_forget(const ffai__checkpoint *checkpoint, const ffai__weight *weight);

/* FFAI_E_IO once a mapped file was truncated under us. Cheap: call it after every step that read weights. */
ffai_status ffai__checkpoint_check(const ffai__checkpoint *checkpoint, ffai_error *err);

#endif
