#include <string.h>

#include "family.h"

bool ffai__qwen_layer_slides(ffai__recorder *r, const ffai__config *c, int64_t layer)
{
    bool use_sliding_window = false;
    int64_t max_window_layers = c->num_hidden_layers;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__json_get_bool(&use_sliding_window, c->json, "use_sliding_window", c->path, &err) != FFAI_OK ||
        ffai__json_get_int(&max_window_layers, c->json, "max_window_layers", 0, INT32_MAX, c->path, &err) != FFAI_OK)
        ffai__recorder_fail(r, err.status, "%s", err.message);
    return use_sliding_window && layer >= max_window_layers;
}

ffai__value ffai__block_swiglu(ffai__recorder *r, const ffai__config *config, ffai__value h, bool bias)
{
    if (strcmp(config->hidden_act, "silu") != 0 && strcmp(config->hidden_act, "swish") != 0)
        ffai__recorder_fail(r, FFAI_E_UNSUPPORTED, "field \"hidden_act\": \"%s\" is not supported; it must be silu",
                            config->hidden_act);
    const ffai__value gate = ffai__silu(r, ffai__linear(r, h, "mlp.gate_proj", bias));
    const ffai__value up = ffai__linear(r, h, "mlp.up_proj", bias);
    return ffai__linear(r, ffai__mul_values(r, gate, up), "mlp.down_proj", bias);
}

/* A file that does not say is tied exactly when it has no head of its own. */
static bool is_tied(ffai__recorder *r, const ffai__config *config)
{
    return config->tie_word_embeddings >= 0 ? config->tie_word_embeddings == 1 : !ffai__has_weight(r, "lm_head");
}

void ffai__block_decoder(ffai__recorder *r, const ffai__config *config, ffai__record_layer *layer)
{
    const ffai__rope rope = ffai__config_rope(r, config);
    ffai__value x = ffai__embed(r, "model.embed_tokens");
    for (int64_t i = 0; i < config->num_hidden_layers && !ffai__recorder_failed(r); i++)
        x = layer(r, config, &rope, i, x);
    ffai__scope(r, "%s", "");
    x = ffai__rms_norm(r, ffai__select_rows(r, x), "model.norm", config->rms_norm_eps);
    ffai__head(r, x, is_tied(r, config) ? NULL : "lm_head");
}
