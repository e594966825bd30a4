/* The parts of a tokenizer.json that come in kinds (normalizer, pre_tokenizer, decoder, post_processor): an
 * object with a "type", or a Sequence of such. Sequences are flattened: their members run one after another. */
#ifndef FFAI_TEXT_COMPONENT_H
#define FFAI_TEXT_COMPONENT_H

#include "json.h"

enum {
    FFAI__STEPS_MAX = 64,       /* of one part, Sequences flattened */
    FFAI__SEQUENCE_DEPTH = 16,  /* Sequences in Sequences */
    FFAI__PLACE_SIZE = 512,     /* of a place's text, longer ones are cut */
    FFAI__COMPONENT_TEXT = 4096 /* bytes of a pattern or content */
};

/* One component that is no Sequence: json has the type `type`; place says where it is, for errors. */
typedef ffai_status ffai__component_visit(void *context, const json_t *json, const char *type, const char *place,
                                          ffai_error *err);

/* Call visit for each component of json in order; none for null. members names a Sequence's list. */
ffai_status ffai__component_each(const json_t *json, const char *members, const char *place,
                                 ffai__component_visit *visit, void *context, ffai_error *err);

ffai_status ffai__component_unsupported(const char *type, const char *place, ffai_error *err);

/* A string field with its length, at most FFAI__COMPONENT_TEXT bytes; it must be there. */
ffai_status ffai__component_text(const char **text, size_t *size, const json_t *json, const char *key,
                                 const char *place, ffai_error *err);
/* A field that is one character. */
ffai_status ffai__component_character(uint32_t *character, const json_t *json, const char *key, const char *place,
                                      ffai_error *err);

#endif
