#include "gguf_names.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *gguf;
    const char *hugging_face;
    ffai__gguf_role role;
} pair;

static const pair globals[] = {
    {"token_embd", "model.embed_tokens", FFAI__GGUF_OTHER},
    {"output_norm", "model.norm", FFAI__GGUF_OTHER},
    {"output", "lm_head", FFAI__GGUF_OTHER},
};

static const pair of_layers[] = {
    {"attn_norm", "input_layernorm", FFAI__GGUF_OTHER},    {"attn_q", "self_attn.q_proj", FFAI__GGUF_QUERY},
    {"attn_k", "self_attn.k_proj", FFAI__GGUF_KEY},        {"attn_v", "self_attn.v_proj", FFAI__GGUF_OTHER},
    {"attn_output", "self_attn.o_proj", FFAI__GGUF_OTHER}, {"attn_q_norm", "self_attn.q_norm", FFAI__GGUF_OTHER},
    {"attn_k_norm", "self_attn.k_norm", FFAI__GGUF_OTHER}, {"ffn_norm", "post_attention_layernorm", FFAI__GGUF_OTHER},
    {"ffn_gate", "mlp.gate_proj", FFAI__GGUF_OTHER},       {"ffn_up", "mlp.up_proj", FFAI__GGUF_OTHER},
    {"ffn_down", "mlp.down_proj", FFAI__GGUF_OTHER},
};

static const pair *find(const pair *pairs, size_t count, const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(pairs[i].gguf) == length && memcmp(pairs[i].gguf, name, length) == 0)
            return &pairs[i];
    }
    return NULL;
}

/* "blk.12." as 12, and what follows it. */
static const char *after_layer(unsigned *layer, const char *name)
{
    if (strncmp(name, "blk.", 4) != 0)
        return NULL;
    const char *digit = name + 4;
    *layer = 0;
    for (; *digit >= '0' && *digit <= '9' && digit < name + 9; digit++)
        *layer = *layer * 10 + (unsigned)(*digit - '0');
    return digit > name + 4 && *digit == '.' ? digit + 1 : NULL;
}

bool ffai__gguf_name(char *out, size_t size, ffai__gguf_role *role, const char *name)
{
    const char *end = strrchr(name, '.');
    if (!end || (strcmp(end, ".weight") != 0 && strcmp(end, ".bias") != 0))
        return false;
    unsigned layer = 0;
    const char *stem = after_layer(&layer, name);
    const pair *found = NULL;
    if (!stem) {
        found = find(globals, sizeof globals / sizeof *globals, name, (size_t)(end - name));
        if (found)
            snprintf(out, size, "%s%s", found->hugging_face, end);
    } else if (end > stem) {
        found = find(of_layers, sizeof of_layers / sizeof *of_layers, stem, (size_t)(end - stem));
        if (found)
            snprintf(out, size, "model.layers.%u.%s%s", layer, found->hugging_face, end);
    }
    if (found)
        *role = found->role;
    return found != NULL;
}
