/* Checkpoints of random weights in the shapes of published models. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "engine.h"
#include "inspect.h"
#include "synthetic.h"

typedef struct shape {
    const char *name, *architecture, *model_type;
    int64_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim;
    int64_t vocab_size, max_position_embeddings;
    double rms_norm_eps, rope_theta, rope_factor;
    bool tied;
} shape;

static const shape shapes[] = {
#define SHAPE(...) {__VA_ARGS__},
#include "shapes.def"
#undef SHAPE
};

enum { NUM_SHAPES = sizeof shapes / sizeof shapes[0] };

/* --- config.json --- */

static ffai_status make_config(json_t **out, const shape *s, ffai_error *err)
{
    char scaling[160] = "null";
    char text[1024];
    if (s->rope_factor > 0)
        snprintf(scaling, sizeof scaling,
                 "{\"rope_type\":\"llama3\",\"factor\":%g,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                 "\"original_max_position_embeddings\":8192}",
                 s->rope_factor);
    const int size = snprintf(
        text, sizeof text,
        "{\"architectures\":[\"%s\"],\"model_type\":\"%s\",\"hidden_size\":%lld,\"intermediate_size\":%lld,"
        "\"num_hidden_layers\":%lld,\"num_attention_heads\":%lld,\"num_key_value_heads\":%lld,\"head_dim\":%lld,"
        "\"vocab_size\":%lld,\"max_position_embeddings\":%lld,\"rms_norm_eps\":%g,\"rope_theta\":%g,"
        "\"rope_scaling\":%s,\"tie_word_embeddings\":%s,\"hidden_act\":\"silu\"}",
        s->architecture, s->model_type, (long long)s->hidden_size, (long long)s->intermediate_size,
        (long long)s->num_hidden_layers, (long long)s->num_attention_heads, (long long)s->num_key_value_heads,
        (long long)s->head_dim, (long long)s->vocab_size, (long long)s->max_position_embeddings, s->rms_norm_eps,
        s->rope_theta, scaling, s->tied ? "true" : "false");
    return ffai__json_parse(out, text, (size_t)size, s->name, err);
}

/* --- tensors --- */

enum { LAYER_TENSORS = 11, OTHER_TENSORS = 3, MOST_LAYERS = 512 };

typedef struct tensors {
    ffai__synthetic_tensor *each; /* NULL: they are only counted */
    size_t count;
    int64_t parameters;
} tensors;

static void add(tensors *t, const char *name, int64_t rows, int64_t columns)
{
    if (t->each) {
        t->each[t->count] = (ffai__synthetic_tensor){.rows = rows, .columns = columns};
        snprintf(t->each[t->count].name, sizeof t->each[t->count].name, "%s.weight", name);
    }
    t->count++;
    t->parameters += (rows ? rows : 1) * columns;
}

static void add_layer_tensor(tensors *t, int64_t layer, const char *part, int64_t rows, int64_t columns)
{
    char name[80];
    snprintf(name, sizeof name, "model.layers.%lld.%s", (long long)layer, part);
    add(t, name, rows, columns);
}

static void add_layer(tensors *t, const shape *s, int64_t i)
{
    const int64_t queries = s->num_attention_heads * s->head_dim;
    const int64_t keys = s->num_key_value_heads * s->head_dim;
    add_layer_tensor(t, i, "input_layernorm", 0, s->hidden_size);
    add_layer_tensor(t, i, "self_attn.q_proj", queries, s->hidden_size);
    add_layer_tensor(t, i, "self_attn.k_proj", keys, s->hidden_size);
    add_layer_tensor(t, i, "self_attn.v_proj", keys, s->hidden_size);
    if (strcmp(s->model_type, "qwen3") == 0) {
        add_layer_tensor(t, i, "self_attn.q_norm", 0, s->head_dim);
        add_layer_tensor(t, i, "self_attn.k_norm", 0, s->head_dim);
    }
    add_layer_tensor(t, i, "self_attn.o_proj", s->hidden_size, queries);
    add_layer_tensor(t, i, "post_attention_layernorm", 0, s->hidden_size);
    add_layer_tensor(t, i, "mlp.gate_proj", s->intermediate_size, s->hidden_size);
    add_layer_tensor(t, i, "mlp.up_proj", s->intermediate_size, s->hidden_size);
    add_layer_tensor(t, i, "mlp.down_proj", s->hidden_size, s->intermediate_size);
}

static void add_all(tensors *t, const shape *s)
{
    add(t, "model.embed_tokens", s->vocab_size, s->hidden_size);
    for (int64_t i = 0; i < s->num_hidden_layers; i++)
        add_layer(t, s, i);
    add(t, "model.norm", 0, s->hidden_size);
    if (!s->tied)
        add(t, "lm_head", s->vocab_size, s->hidden_size);
}

/* --- shapes --- */

bool ffai_shape_get(ffai_shape *out, size_t i)
{
    if (i >= NUM_SHAPES)
        return false;
    const shape *s = &shapes[i];
    tensors t = {0};
    add_all(&t, s);
    if (out)
        *out = (ffai_shape){s->name, s->model_type, t.parameters, s->max_position_embeddings, s->tied};
    return true;
}

static bool has_shape(const ffai__config *c, const shape *s)
{
    return c->hidden_size == s->hidden_size && c->intermediate_size == s->intermediate_size &&
           c->num_hidden_layers == s->num_hidden_layers && c->num_attention_heads == s->num_attention_heads &&
           c->num_key_value_heads == s->num_key_value_heads && c->head_dim == s->head_dim &&
           c->vocab_size == s->vocab_size;
}

const char *ffai__shape_of(const ffai__config *config, const char *family, bool tied)
{
    for (size_t i = 0; i < NUM_SHAPES; i++) {
        if (strcmp(shapes[i].model_type, family) == 0 && shapes[i].tied == tied && has_shape(config, &shapes[i]))
            return shapes[i].name;
    }
    return NULL;
}

static ffai_status find_shape(const shape **out, const char *name, ffai_error *err)
{
    for (size_t i = 0; i < NUM_SHAPES; i++) {
        if (name && strcmp(shapes[i].name, name) == 0) {
            *out = &shapes[i];
            return FFAI_OK;
        }
    }
    return ffai__fail(err, FFAI_E_ARGUMENT, "random weights: there is no shape \"%.60s\"", name ? name : "");
}

ffai_status ffai__random_checkpoint(ffai__checkpoint **out, const ffai_random_model *random, ffai_error *err)
{
    const shape *found = NULL;
    json_t *config = NULL;
    FFAI__TRY(find_shape(&found, random->shape, err));
    if (random->layers < 0 || random->layers > MOST_LAYERS)
        return ffai__fail(err, FFAI_E_ARGUMENT, "random weights: layers: %lld is not between 1 and %d",
                          (long long)random->layers, MOST_LAYERS);
    shape altered = *found;
    altered.num_hidden_layers = random->layers ? random->layers : found->num_hidden_layers;
    const shape *const s = &altered;
    tensors t = {0};
    t.each = ffai__calloc((size_t)s->num_hidden_layers * LAYER_TENSORS + OTHER_TENSORS, sizeof *t.each);
    if (!t.each)
        return ffai__fail_memory(err, "random weights", sizeof *t.each);
    add_all(&t, s);
    ffai_status status = make_config(&config, s, err);
    const ffai__synthetic_weights weights = {t.each, t.count, random->bits,
                                             random->group_size ? random->group_size : 64};
    if (status == FFAI_OK)
        status = ffai__checkpoint_make(out, s->name, config, &weights, err);
    ffai__free(t.each);
    return status;
}
