/* Mistral 7B, Nemo and Ministral: Llama's form with a sliding window on every layer where the file gives one.
 * Reference: Jiang et al. 2023; the config.json fields are transformers' MistralConfig. */
#include "family.h"

static ffai__value record_layer(ffai__recorder *r, const ffai__config *c, const ffai__rope *rope, int64_t i,
                                ffai__value x)
{
    ffai__scope(r, "model.layers.%lld", (long long)i);
    ffai__value h = ffai__rms_norm(r, x, "input_layernorm", c->rms_norm_eps);
    const ffai__value q = ffai__rope_apply(r, ffai__linear(r, h, "self_attn.q_proj", false), rope);
    const ffai__value k = ffai__rope_apply(r, ffai__linear(r, h, "self_attn.k_proj", false), rope);
    const ffai__value v = ffai__linear(r, h, "self_attn.v_proj", false);
    const ffai__value a = ffai__block_attention(r, c, q, k, v, ffai__config_window(c, i, true));
    x = ffai__add_values(r, x, ffai__linear(r, a, "self_attn.o_proj", false));

    h = ffai__rms_norm(r, x, "post_attention_layernorm", c->rms_norm_eps);
    return ffai__add_values(r, x, ffai__block_swiglu(r, c, h, false));
}

static void record(ffai__recorder *r, const ffai__config *c)
{
    ffai__block_decoder(r, c, record_layer);
}

const ffai__family ffai__family_mistral = {
    .name = "mistral",
    .architectures = (const char *const[]){"MistralForCausalLM", NULL},
    .model_types = (const char *const[]){"mistral", NULL},
    .capabilities = FFAI__TEXT_IN | FFAI__TEXT_OUT,
    .defaults = FFAI__GENERATION_DEFAULTS(4096, 1.0, 0),
    .aliases = ffai__decoder_aliases,
    .text_config =
        "{\"vocab_size\": 32000, \"hidden_size\": 4096, \"intermediate_size\": 14336, \"num_hidden_layers\": 32, "
        "\"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"max_position_embeddings\": 131072, "
        "\"sliding_window\": 4096}",
    .record = record,
};
