#include "parts.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *module; /* with "model." before it or not */
    ffai__part part;
} modules[] = {
    {"vision_tower.", FFAI__PART_VISION},
    {"vision_model.", FFAI__PART_VISION},
    {"vision_encoder.", FFAI__PART_VISION},
    {"visual.", FFAI__PART_VISION},
    {"image_newline", FFAI__PART_VISION},
    {"audio_tower.", FFAI__PART_AUDIO},
    {"audio_model.", FFAI__PART_AUDIO},
    {"audio_encoder.", FFAI__PART_AUDIO},
    {"multi_modal_projector.", FFAI__PART_PROJECTOR},
    {"mm_projector.", FFAI__PART_PROJECTOR},
    {"vision_projector.", FFAI__PART_PROJECTOR},
    {"audio_projector.", FFAI__PART_PROJECTOR},
    {"connector.", FFAI__PART_PROJECTOR},
};

const char *ffai__part_text(ffai__part part)
{
    static const char *const names[FFAI__PART_COUNT] = {"text", "vision", "audio", "projector"};
    return names[part];
}

ffai__part ffai__part_of(const char *name)
{
    static const char model[] = "model.";
    if (strncmp(name, model, sizeof model - 1) == 0)
        name += sizeof model - 1;
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        if (strncmp(name, modules[i].module, strlen(modules[i].module)) == 0)
            return modules[i].part;
    }
    return FFAI__PART_TEXT;
}
