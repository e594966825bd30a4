#include "combined.h"

#include <string.h>

#include "alloc.h"

/* Combined architectures. Without images and sound transformers' modules of the first ones do to a text what its
 * family does, letter for letter: tokens are embedded, and the language model runs. */
static const struct {
    const char *architecture;
    const char *model_type;
    bool complete;       /* "text_config" leaves nothing to the class of its model_type */
    const char *because; /* why it is refused; NULL: it is not */
} architectures[] = {
    {"LlavaForConditionalGeneration", "llava", false, NULL},
    {"LlavaNextForConditionalGeneration", "llava_next", false, NULL},
    {"LlavaOnevisionForConditionalGeneration", "llava_onevision", false, NULL},
    {"VipLlavaForConditionalGeneration", "vipllava", false, NULL},
    {"Mistral3ForConditionalGeneration", "mistral3", false, NULL},
    {"Idefics3ForConditionalGeneration", "idefics3", false, NULL},
    {"SmolVLMForConditionalGeneration", "smolvlm", false, NULL},
    {"InternVLForConditionalGeneration", "internvl", false, NULL},
    {"PerceptionLMForConditionalGeneration", "perception_lm", false, NULL},
    {"Qwen2AudioForConditionalGeneration", "qwen2_audio", false, NULL},
    {"VoxtralForConditionalGeneration", "voxtral", true, NULL},
    {"Qwen2VLForConditionalGeneration", "qwen2_vl", false, "its positions have three axes (mrope)"},
    {"Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", false, "its positions have three axes (mrope)"},
    {"Qwen3VLForConditionalGeneration", "qwen3_vl", false, "its positions have three axes (mrope)"},
    {"MllamaForConditionalGeneration", "mllama", false, "its layers have cross-attention to images"},
};

enum { NUM_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

static bool same(const char *left, const char *right)
{
    return left && strcmp(left, right) == 0;
}

/* By architecture, and by model_type where the file names no architecture; -1: not combined. */
static int find(const ffai__config *config)
{
    for (int i = 0; i < NUM_ARCHITECTURES; i++) {
        if (same(config->architecture, architectures[i].architecture) ||
            (!config->architecture && same(config->model_type, architectures[i].model_type)))
            return i;
    }
    return -1;
}

/* What the text model's configuration leaves out is as its family's class in transformers has it: published files
 * hold what differs from that alone. */
static ffai_status start_from(json_t **flat, const ffai__family *family, bool complete, ffai_error *err)
{
    const char *defaults = complete ? "{}" : family->text_config;
    return ffai__json_parse(flat, defaults, strlen(defaults), family->name, err);
}

/* The head says whether it is tied: what files say of it at their two places does not agree. */
static bool flatten(json_t *flat, const json_t *text, const json_t *config)
{
    static const char *const outer[] = {"architectures", "model_type"};
    int failed = json_object_update(flat, (json_t *)(uintptr_t)text);
    for (size_t i = 0; i < sizeof outer / sizeof outer[0]; i++) {
        json_object_del(flat, outer[i]);
        if (json_object_get(config, outer[i]))
            failed |= json_object_set(flat, outer[i], json_object_get(config, outer[i]));
    }
    if (!ffai__json_field(text, "eos_token_id") && json_object_get(config, "eos_token_id"))
        failed |= json_object_set(flat, "eos_token_id", json_object_get(config, "eos_token_id"));
    json_object_del(flat, "tie_word_embeddings");
    return failed == 0;
}

static ffai_status find_family(const ffai__family **family, const json_t *text, const char *what, ffai_error *err)
{
    ffai__config inner;
    char *where = ffai__format("%s: text_config", what);
    if (!where)
        return ffai__fail_memory(err, what, strlen(what));
    ffai_status status = ffai__config_identify(&inner, text, where, err);
    if (status == FFAI_OK)
        status = ffai__family_find(family, &inner, err);
    ffai__free(where);
    return status;
}

static ffai_status combine(json_t **flat, const ffai__family **family, const json_t *config, bool complete,
                           const char *what, ffai_error *err)
{
    const json_t *text = ffai__json_field(config, "text_config");
    if (!json_is_object(text))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"text_config\": must be an object", what);
    FFAI__TRY(find_family(family, text, what, err));
    FFAI__TRY(start_from(flat, *family, complete, err));
    if (flatten(*flat, text, config))
        return FFAI_OK;
    json_decref(*flat);
    *flat = NULL;
    return ffai__fail_memory(err, what, 0);
}

ffai_status ffai__text_config(json_t **flat, const ffai__family **family, const json_t *config, const char *what,
                              ffai_error *err)
{
    ffai__config outer;
    FFAI__TRY(ffai__config_identify(&outer, config, what, err));
    const int i = find(&outer);
    if (i >= 0 && architectures[i].because)
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: unsupported architecture: %s: %s", what,
                          architectures[i].architecture, architectures[i].because);
    if (i >= 0)
        return combine(flat, family, config, architectures[i].complete, what, err);
    FFAI__TRY(ffai__family_find(family, &outer, err));
    *flat = json_incref((json_t *)(uintptr_t)config);
    return FFAI_OK;
}
