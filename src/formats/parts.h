/* The parts of a checkpoint: the text model, and encoders for images or sound with what joins them to it. A tensor's
 * name says which part it is of, by the modules that published checkpoints have. */
#ifndef FFAI_FORMATS_PARTS_H
#define FFAI_FORMATS_PARTS_H

typedef enum ffai__part {
    FFAI__PART_TEXT, /* what no other part is */
    FFAI__PART_VISION,
    FFAI__PART_AUDIO,
    FFAI__PART_PROJECTOR, /* from an encoder's width to the text model's */
    FFAI__PART_COUNT
} ffai__part;

/* "text", "vision", "audio", "projector". */
const char *ffai__part_text(ffai__part part);

/* The part of a tensor of this name. */
ffai__part ffai__part_of(const char *name);

#endif
