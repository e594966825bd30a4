/* The parts of ffai_model_inspect: JSON from a model whose program is recorded without fusions, and the same for
 * people. */
#ifndef FFAI_ENGINE_INSPECT_H
#define FFAI_ENGINE_INSPECT_H

#include "engine.h"

/* {"tensors", "parameters", "bytes", "bits_per_weight", "formats": {format: counts}, "groups": {group: formats}} of
 * what the program reads. */
ffai_status ffai__inspect_weights(json_t **out, const ffai_model *model, ffai_error *err);

/* "llama 1.2B": the family and its parameters. */
void ffai__inspect_variant(char text[64], const ffai_model *model, double parameters);

/* {"vision": {"tensors", "bytes"}, …}: parts that are in the checkpoint and are not read. NULL: memory is short. */
json_t *ffai__inspect_skipped(const ffai_model *model);

/* What it would take on this machine, and whether it runs: the document's "here". tokenizer: "supported", "none", or
 * why the model cannot be loaded. */
ffai_status ffai__inspect_here(json_t **out, const ffai_model *model, const char *tokenizer, ffai_error *err);

/* The document for people; NULL where memory is short. Free with ffai_free. */
char *ffai__inspect_print(json_t *document);

/* The published shape that the model has, "llama-3.2-1b", whatever it was trained on; NULL: none that is known
 * (random_model.c). */
const char *ffai__shape_of(const ffai__config *config, const char *family, bool tied);

#endif
