/* Llama 2 and 3.x and what is published in their form (SmolLM2, TinyLlama, Yi …). Grouped-query attention with
 * rotary positions, RMSNorm, SwiGLU.
 * Reference: Touvron et al. 2023; the config.json fields are transformers' LlamaConfig. */
#include "family.h"

static ffai__value record_layer(ffai__recorder *r, const ffai__config *c, const ffai__rope *rope, int64_t i,
                                ffai__value x)
{
    ffai__scope(r, "model.layers.%lld", (long long)i);
    ffai__value h = ffai__rms_norm(r, x, "input_layernorm", c->rms_norm_eps);
    const ffai__value q = ffai__rope_apply(r, ffai__linear(r, h, "self_attn.q_proj", c->attention_bias), rope);
    const ffai__value k = ffai__rope_apply(r, ffai__linear(r, h, "self_attn.k_proj", c->attention_bias), rope);
    const ffai__value v = ffai__linear(r, h, "self_attn.v_proj", c->attention_bias);
    const ffai__value a = ffai__block_attention(r, c, q, k, v, ffai__config_window(c, i, false));
    x = ffai__add_values(r, x, ffai__linear(r, a, "self_attn.o_proj", c->attention_bias));

    h = ffai__rms_norm(r, x, "post_attention_layernorm", c->rms_norm_eps);
    return ffai__add_values(r, x, ffai__block_swiglu(r, c, h, c->mlp_bias));
}

static void record(ffai__recorder *r, const ffai__config *c)
{
    ffai__block_decoder(r, c, record_layer);
}

const ffai__family ffai__family_llama = {
    .name = "llama",
    .architectures = (const char *const[]){"LlamaForCausalLM", NULL},
    .model_types = (const char *const[]){"llama", NULL},
    .capabilities = FFAI__TEXT_IN | FFAI__TEXT_OUT,
    .defaults = FFAI__GENERATION_DEFAULTS(1024, 1.0, 0),
    .aliases = ffai__decoder_aliases,
    .text_config =
        "{\"vocab_size\": 32000, \"hidden_size\": 4096, \"intermediate_size\": 11008, \"num_hidden_layers\": 32, "
        "\"num_attention_heads\": 32}",
    .record = record,
};
