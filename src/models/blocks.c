#include <math.h>
#include <string.h>

#include "family.h"

/* What config.json says of the width of x, so many times `each`, must be what the weight gives. */
static void expect(ffai__recorder *r, const ffai__config *config, ffai__value x, const char *field, int64_t value,
                   int64_t each)
{
    const int64_t columns = ffai__columns_of(r, x);
    const ffai__weight *weight = ffai__weight_behind(r, x);
    char of_each[64] = "";
    if (!weight || columns == value * each)
        return;
    if (each > 1)
        snprintf(of_each, sizeof of_each, ", with a head_dim of %lld,", (long long)each);
    ffai__recorder_fail(r, FFAI_E_FORMAT, "%s: field \"%s\": is %lld%s but weight \"%s\" is [%lld, %lld]", config->path,
                        field, (long long)value, of_each, weight->name, (long long)weight->rows,
                        (long long)weight->columns);
}

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
        ffai__recorder_fail(r, FFAI_E_UNSUPPORTED, "%s: field \"hidden_act\": \"%s\" is not supported; it must be silu",
                            config->path, config->hidden_act);
    const ffai__value gate = ffai__silu(r, ffai__linear(r, h, "mlp.gate_proj", bias));
    expect(r, config, gate, "intermediate_size", config->intermediate_size, 1);
    const ffai__value up = ffai__linear(r, h, "mlp.up_proj", bias);
    return ffai__linear(r, ffai__mul_values(r, gate, up), "mlp.down_proj", bias);
}

ffai__value ffai__block_attention(ffai__recorder *r, const ffai__config *config, ffai__value q, ffai__value k,
                                  ffai__value v, int64_t window)
{
    expect(r, config, q, "num_attention_heads", config->num_attention_heads, config->head_dim);
    expect(r, config, k, "num_key_value_heads", config->num_key_value_heads, config->head_dim);
    const float scale = (float)(1.0 / sqrt((double)config->head_dim));
    return ffai__attention(r, q, k, v, (int)config->head_dim, scale, window);
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
    expect(r, config, x, "hidden_size", config->hidden_size, 1);
    for (int64_t i = 0; i < config->num_hidden_layers && !ffai__recorder_failed(r); i++)
        x = layer(r, config, &rope, i, x);
    ffai__scope(r, "%s", "");
    x = ffai__rms_norm(r, ffai__select_rows(r, x), "model.norm", config->rms_norm_eps);
    x = ffai__head(r, x, is_tied(r, config) ? NULL : "lm_head");
    expect(r, config, x, "vocab_size", config->vocab_size, 1);
}
