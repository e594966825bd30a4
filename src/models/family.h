/* A model family: one file, one line in families.def.
 *
 * The file declares what the family answers to and its default generation parameters, and records its forward
 * pass. See docs/adding-a-model.md. */
#ifndef FFAI_MODELS_FAMILY_H
#define FFAI_MODELS_FAMILY_H

#include "checkpoint.h"
#include "config.h"
#include "parts.h"

/* The same bits as ffai_capability in include/ffai/model.h. */
enum { FFAI__TEXT_IN = 1, FFAI__TEXT_OUT = 2, FFAI__IMAGE_IN = 4, FFAI__AUDIO_IN = 8 };

typedef struct ffai__generation_defaults {
    int64_t max_tokens;
    int64_t prefill_step_size; /* rows of a prompt computed in one step */
    double temperature;
    double top_p;
    int64_t top_k;
    double min_p;
    double repetition_penalty;
    double presence_penalty;
} ffai__generation_defaults;

/* The library's own values, with those that families differ in. */
#define FFAI__GENERATION_DEFAULTS(step, p, k)                                                                          \
    {                                                                                                                  \
        .max_tokens = 256, .prefill_step_size = (step), .temperature = 0.6, .top_p = (p), .top_k = (k), .min_p = 0,    \
        .repetition_penalty = 1.0, .presence_penalty = 0                                                               \
    }

typedef struct ffai__family {
    const char *name;
    const char *const *architectures; /* as config.json spells them; ended by NULL */
    const char *const *model_types;   /* ended by NULL */
    unsigned capabilities;
    ffai__generation_defaults defaults;
    const ffai__name_alias *aliases; /* other spellings of weight names; may be NULL */
    const char *text_config;    /* JSON: what transformers' class of the configuration has for fields that a combined
                                 * checkpoint leaves out, where that is not what ffai__config_read takes */
    const char *const *ignored; /* ends of weight names that the family leaves aside; may be NULL */
    void (*record)(ffai__recorder *r, const ffai__config *config);
} ffai__family;

/* The family that answers to the configuration: by architecture first, then by model_type. FFAI_E_UNSUPPORTED
 * names what the file says and what is supported. */
ffai_status ffai__family_find(const ffai__family **out, const ffai__config *config, ffai_error *err);

/* All families, in the order of families.def. */
const ffai__family *const *ffai__families(size_t *count);

/* Whether a weight of this name is of a part that the family has no capability for: an encoder of images, of sound. It
 * is not read then. */
bool ffai__family_skips(const ffai__family *family, const char *name);

/* Record the checkpoint's program. Weights that the program does not read are an error unless the family skips or
 * ignores them: a checkpoint with parts we do not compute would give wrong text. */
ffai_status ffai__family_record(ffai__program **out, const ffai__family *family, const ffai__config *config,
                                const ffai__checkpoint *checkpoint, ffai_error *err);

/* The names under which decoder-only checkpoints are published. */
extern const ffai__name_alias ffai__decoder_aliases[];

/* Parts that several families share, letter for letter. */

/* Grouped-query attention with the scale 1 / sqrt(head_dim). window as in ffai__attention. q and k must have the heads
 * that the configuration says. */
ffai__value ffai__block_attention(ffai__recorder *r, const ffai__config *config, ffai__value q, ffai__value k,
                                  ffai__value v, int64_t window);
/* down(silu(gate(h)) * up(h)) of the scope's "mlp" (Shazeer 2020). "hidden_act" must be silu. */
ffai__value ffai__block_swiglu(ffai__recorder *r, const ffai__config *config, ffai__value h, bool bias);
/* Qwen's rule: "use_sliding_window" makes the layers from "max_window_layers" on slide. */
bool ffai__qwen_layer_slides(ffai__recorder *r, const ffai__config *config, int64_t layer);
/* Layer i of a decoder: the residual stream x [T, hidden_size] in and out. */
typedef ffai__value ffai__record_layer(ffai__recorder *r, const ffai__config *config, const ffai__rope *rope, int64_t i,
                                       ffai__value x);
/* Embedding, all layers, the final norm over the rows that want output, the head (the embedding's matrix where
 * tied) and the draw. */
void ffai__block_decoder(ffai__recorder *r, const ffai__config *config, ffai__record_layer *layer);

#endif
