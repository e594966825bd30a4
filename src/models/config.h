/* config.json, checked and typed. Field names are those of config.json. */
#ifndef FFAI_MODELS_CONFIG_H
#define FFAI_MODELS_CONFIG_H

#include "json.h"
#include "recorder.h"

typedef enum ffai__rope_type {
    FFAI__ROPE_TYPE_DEFAULT,
    FFAI__ROPE_TYPE_LINEAR,
    FFAI__ROPE_TYPE_DYNAMIC,
    FFAI__ROPE_TYPE_LLAMA3,
    FFAI__ROPE_TYPE_YARN,
    FFAI__ROPE_TYPE_LONGROPE, /* also spelled su */
    FFAI__ROPE_TYPE_COUNT
} ffai__rope_type;

/* "rope_scaling" (or, in newer files, "rope_parameters"). */
typedef struct ffai__rope_scaling {
    ffai__rope_type rope_type;
    double factor;
    double attention_factor;                             /* 0: by the type's own rule */
    double low_freq_factor, high_freq_factor;            /* llama3 */
    double beta_fast, beta_slow, mscale, mscale_all_dim; /* yarn */
    bool truncate;                                       /* yarn */
    int64_t original_max_position_embeddings;
    const json_t *long_factor; /* longrope: an array of numbers, owned by the config's JSON */
} ffai__rope_scaling;

typedef struct ffai__config {
    const json_t *json;       /* the whole document, for a family's own fields; not owned */
    const char *path;         /* for messages; not owned */
    const char *architecture; /* architectures[0], NULL if there is none */
    const char *model_type;   /* NULL if there is none */
    int64_t hidden_size;
    int64_t intermediate_size;
    int64_t num_hidden_layers;
    int64_t num_attention_heads;
    int64_t num_key_value_heads;
    int64_t head_dim;
    int64_t vocab_size;
    int64_t max_position_embeddings;
    const char *hidden_act; /* "silu" where the file does not say */
    double rms_norm_eps;
    double rope_theta;
    double partial_rotary_factor;
    ffai__rope_scaling rope_scaling;
    bool attention_bias;
    bool mlp_bias;
    int tie_word_embeddings; /* 1, 0, or -1 where the file does not say */
    int64_t sliding_window;  /* 0: none */
} ffai__config;

/* Read the fields every decoder has. json and path must outlive the config. FFAI_E_FORMAT and
 * FFAI_E_UNSUPPORTED name the field. */
ffai_status ffai__config_read(ffai__config *config, const json_t *json, const char *path, ffai_error *err);

/* architecture and model_type alone, which the registry asks before anything else is read. */
ffai_status ffai__config_identify(ffai__config *config, const json_t *json, const char *path, ffai_error *err);

/* The sliding window of a layer, 0 for full attention. "layer_types" decides where it is present; `slides` says
 * what the family does where it is not. */
int64_t ffai__config_window(const ffai__config *config, int64_t layer, bool slides);

/* The rotary tables of this configuration, kept by the recorder's program. */
ffai__rope ffai__config_rope(ffai__recorder *r, const ffai__config *config);

#endif
