/* The "normalizer" of a tokenizer.json: steps that rewrite the text between added tokens. */
#ifndef FFAI_TEXT_NORMALIZER_H
#define FFAI_TEXT_NORMALIZER_H

#include "budget.h"
#include "buffer.h"
#include "json.h"

/* A part of a text on its way to the model: valid UTF-8. */
typedef struct ffai__piece {
    const char *data;
    size_t size;
    size_t at_start; /* how many of its first bytes go back to the first character of the whole text */
} ffai__piece;

typedef struct ffai__normalizer ffai__normalizer;

/* json may be NULL: then there are no steps. */
ffai_status ffai__normalizer_parse(ffai__normalizer **out, const json_t *json, const char *place, ffai_error *err);
void ffai__normalizer_free(ffai__normalizer *normalizer);

/* Memory that normalizing re-uses. */
typedef struct ffai__normalizer_scratch {
    ffai__buffer buffers[2]; /* one step reads one and writes the other */
    unsigned turn;
    int32_t *characters;
    size_t capacity;
} ffai__normalizer_scratch;

void ffai__normalizer_scratch_free(ffai__normalizer_scratch *scratch);

/* Rewrite *piece; the result lies in the scratch (until its next use) or is the piece as it was. */
ffai_status ffai__normalizer_apply(ffai__piece *piece, const ffai__normalizer *normalizer,
                                   ffai__normalizer_scratch *scratch, ffai__budget *budget, ffai_error *err);

#endif
