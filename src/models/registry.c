#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "family.h"

#define FAMILY(name) extern const ffai__family ffai__family_##name;
#include "families.def"
#undef FAMILY

static const ffai__family *const families[] = {
#define FAMILY(name) &ffai__family_##name,
#include "families.def"
#undef FAMILY
};

enum { NUM_FAMILIES = sizeof families / sizeof families[0] };

const ffai__name_alias ffai__decoder_aliases[] = {
    {"model.", "language_model.model."},
    {"model.", "model.language_model."},
    {"model.", "model.text_model."},
    {"model.", "language_model."},
    {"lm_head.", "language_model.lm_head."},
    {"model.layers.", "transformer.h."},
    {"model.", ""},
    {NULL, NULL},
};

const ffai__family *const *ffai__families(size_t *count)
{
    *count = NUM_FAMILIES;
    return families;
}

static bool contains(const char *const *names, const char *name)
{
    for (; name && *names; names++) {
        if (strcmp(*names, name) == 0)
            return true;
    }
    return false;
}

static ffai_status fail_unsupported(const ffai__config *config, ffai_error *err)
{
    ffai__buffer known = FFAI__BUFFER_INIT;
    for (int i = 0; i < NUM_FAMILIES; i++) {
        for (const char *const *name = families[i]->architectures; *name; name++)
            ffai__buffer_format(&known, "%s%s", known.size ? ", " : "", *name);
    }
    const ffai_status status = ffai__fail(
        err, FFAI_E_UNSUPPORTED, "%s: unsupported architecture: architectures %s, model_type %s; supported are %s",
        config->path, config->architecture ? config->architecture : "(none)",
        config->model_type ? config->model_type : "(none)", known.data ? known.data : "");
    ffai__buffer_free(&known);
    return status;
}

ffai_status ffai__family_find(const ffai__family **out, const ffai__config *config, ffai_error *err)
{
    for (int i = 0; i < NUM_FAMILIES; i++) {
        if (contains(families[i]->architectures, config->architecture)) {
            *out = families[i];
            return FFAI_OK;
        }
    }
    for (int i = 0; i < NUM_FAMILIES; i++) {
        if (contains(families[i]->model_types, config->model_type)) {
            *out = families[i];
            return FFAI_OK;
        }
    }
    return fail_unsupported(config, err);
}

static const ffai__weight *find_in_checkpoint(void *context, const char *name)
{
    return ffai__checkpoint_find(context, name);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);
    const size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

bool ffai__family_skips(const ffai__family *family, const char *name)
{
    static const unsigned needed[FFAI__PART_COUNT] = {
        [FFAI__PART_VISION] = FFAI__IMAGE_IN,
        [FFAI__PART_AUDIO] = FFAI__AUDIO_IN,
        [FFAI__PART_PROJECTOR] = FFAI__IMAGE_IN | FFAI__AUDIO_IN,
    };
    const unsigned any = needed[ffai__part_of(name)];
    return any && !(family->capabilities & any);
}

static bool is_ignored(const ffai__family *family, const ffai__config *config, const char *name)
{
    if (ends_with(name, "rotary_emb.inv_freq")) /* a table some old exports carry; it is computed here */
        return true;
    if (config->tie_word_embeddings == 1 && ends_with(name, "lm_head.weight")) /* the embedding's copy */
        return true;
    for (const char *const *end = family->ignored; end && *end; end++) {
        if (ends_with(name, *end))
            return true;
    }
    return false;
}

static bool reads(const ffai__program *program, const ffai__weight *weight)
{
    for (size_t i = 0; i < program->num_values; i++) {
        if (program->values[i].weight == weight)
            return true;
    }
    return false;
}

static ffai_status check_all_read(const ffai__program *program, const ffai__family *family, const ffai__config *config,
                                  const ffai__checkpoint *checkpoint, ffai_error *err)
{
    for (size_t i = 0; i < ffai__checkpoint_count(checkpoint); i++) {
        const ffai__weight *weight = ffai__checkpoint_weight(checkpoint, i);
        if (ffai__family_skips(family, weight->name) || reads(program, weight) ||
            is_ignored(family, config, weight->name))
            continue;
        return ffai__fail(err, FFAI_E_UNSUPPORTED,
                          "%s: weight \"%s\" has no place in the %s family: the checkpoint holds something that would "
                          "not be computed",
                          ffai__checkpoint_path(checkpoint), weight->name, family->name);
    }
    return FFAI_OK;
}

ffai_status ffai__family_record(ffai__program **out, const ffai__family *family, const ffai__config *config,
                                const ffai__checkpoint *checkpoint, ffai_error *err)
{
    ffai__recorder *r = NULL;
    ffai__program *program = NULL;
    FFAI__TRY(ffai__recorder_create(&r, find_in_checkpoint, (void *)(uintptr_t)checkpoint, family->aliases,
                                    ffai__checkpoint_path(checkpoint), err));
    family->record(r, config);
    ffai_status status = ffai__recorder_finish(&program, r, err);
    ffai__recorder_free(r);
    if (status == FFAI_OK)
        status = check_all_read(program, family, config, checkpoint, err);
    if (status != FFAI_OK) {
        ffai__program_free(program);
        return status;
    }
    *out = program;
    return FFAI_OK;
}
