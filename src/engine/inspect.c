/* What a checkpoint is and needs, from its headers and its tokenizer: one JSON document, and the same for people. */
#include "inspect.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"

static const char *const rope_names[] = {"default", "linear", "dynamic", "llama3", "yarn", "longrope"};

/* The fields that the type reads. */
static void describe_rope_type(json_t *rope, const ffai__config *c)
{
    const ffai__rope_scaling *s = &c->rope_scaling;
    const bool llama3 = s->rope_type == FFAI__ROPE_TYPE_LLAMA3;
    const bool yarn = s->rope_type == FFAI__ROPE_TYPE_YARN;
    const struct {
        bool read;
        const char *key;
        double value;
    } fields[] = {{llama3, "low_freq_factor", s->low_freq_factor},
                  {llama3, "high_freq_factor", s->high_freq_factor},
                  {yarn, "beta_fast", s->beta_fast},
                  {yarn, "beta_slow", s->beta_slow},
                  {yarn, "mscale", s->mscale},
                  {yarn, "mscale_all_dim", s->mscale_all_dim},
                  {s->attention_factor > 0, "attention_factor", s->attention_factor},
                  {c->partial_rotary_factor < 1, "partial_rotary_factor", c->partial_rotary_factor}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].read)
            json_object_set_new(rope, fields[i].key, json_real(fields[i].value));
    }
    if (yarn)
        json_object_set_new(rope, "truncate", json_boolean(s->truncate));
    if (s->rope_type == FFAI__ROPE_TYPE_LONGROPE)
        json_object_set(rope, "long_factor", (json_t *)(uintptr_t)s->long_factor);
}

static json_t *describe_rope(const ffai__config *c)
{
    const ffai__rope_scaling *s = &c->rope_scaling;
    json_t *rope = json_pack("{s:s, s:f, s:f, s:I}", "rope_type", rope_names[s->rope_type], "rope_theta", c->rope_theta,
                             "factor", s->factor, "original_max_position_embeddings",
                             (json_int_t)(s->original_max_position_embeddings ? s->original_max_position_embeddings
                                                                              : c->max_position_embeddings));
    describe_rope_type(rope, c);
    return rope;
}

/* Whether the head is the embedding's matrix, whatever the file says of it. */
static bool is_tied(const ffai__program *program)
{
    ffai__value embedding = FFAI__NONE;
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        if (instruction->op == FFAI__OP_embed)
            embedding = instruction->in[0];
        else if (instruction->out[0] == program->logits)
            return instruction->in[1] == embedding;
    }
    return false;
}

static json_t *describe_config(const ffai__config *c, bool tied)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "hidden_size",
                     (json_int_t)c->hidden_size, "intermediate_size", (json_int_t)c->intermediate_size,
                     "num_hidden_layers", (json_int_t)c->num_hidden_layers, "num_attention_heads",
                     (json_int_t)c->num_attention_heads, "num_key_value_heads", (json_int_t)c->num_key_value_heads,
                     "head_dim", (json_int_t)c->head_dim, "vocab_size", (json_int_t)c->vocab_size,
                     "max_position_embeddings", (json_int_t)c->max_position_embeddings, "sliding_window",
                     (json_int_t)c->sliding_window, "tie_word_embeddings", tied, "rope", describe_rope(c));
}

static json_t *describe_parameters(const ffai_parameters *p)
{
    json_t *all = json_object();
    /* Those that count something are integers. */
#define FFAI_DESCRIBE(name, least, most)                                                                               \
    json_object_set_new(all, #name,                                                                                    \
                        json_pack("{s:o, s:s}", "value",                                                               \
                                  (most) > 100 ? json_integer((json_int_t)p->name.value) : json_real(p->name.value),   \
                                  "source", ffai_source_name(p->name.source)));
    FFAI_PARAMETER_LIST(FFAI_DESCRIBE)
#undef FFAI_DESCRIBE
    return all;
}

static json_t *describe_capabilities(unsigned capabilities)
{
    static const struct {
        ffai_capability bit;
        const char *name;
    } names[] = {{FFAI_TEXT_IN, "text in"},
                 {FFAI_TEXT_OUT, "text out"},
                 {FFAI_IMAGE_IN, "image in"},
                 {FFAI_AUDIO_IN, "audio in"}};
    json_t *array = json_array();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (capabilities & names[i].bit)
            json_array_append_new(array, json_string(names[i].name));
    }
    return array;
}

static json_t *describe_end_tokens(const ffai_model *model)
{
    json_t *array = json_array();
    for (int i = 0; i < model->num_end_tokens; i++)
        json_array_append_new(array, json_integer(model->end_tokens[i]));
    return array;
}

/* Bytes of keys and values in bf16 at a few contexts. */
static json_t *describe_memory(const ffai_model *model)
{
    static const int64_t contexts[] = {2048, 8192, 32768, 131072};
    json_t *memory = json_object();
    json_t *stores = json_object();
    const uint64_t position = ffai__position_bytes(model->program, FFAI__STORE_BF16);
    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
        char key[24];
        if (contexts[i] > model->config.max_position_embeddings && i > 0)
            break;
        snprintf(key, sizeof key, "%lld", (long long)contexts[i]);
        json_object_set_new(stores, key, json_integer((json_int_t)(position * (uint64_t)contexts[i])));
    }
    json_object_set_new(memory, "weights", json_integer((json_int_t)ffai__program_weight_bytes(model->program)));
    json_object_set_new(memory, "kv_bf16_by_context", stores);
    return memory;
}

/* "supported", "none", or "not usable: " and what loading the model would say. */
static ffai_status judge_tokenizer(char *text, size_t size, const ffai_model *model, ffai_error *err)
{
    ffai_tokenizer *tokenizer = NULL;
    ffai_error why = FFAI_ERROR_INIT;
    const ffai_status status = ffai__tokenizer_of(&tokenizer, model->checkpoint, &why);
    ffai_tokenizer_free(tokenizer);
    switch (status) {
    case FFAI_OK:
        snprintf(text, size, "supported");
        return FFAI_OK;
    case FFAI_E_NOT_FOUND:
        snprintf(text, size, "none");
        return FFAI_OK;
    case FFAI_E_FORMAT:
    case FFAI_E_UNSUPPORTED:
    case FFAI_E_LIMIT:
        snprintf(text, size, "not usable: %s", why.message);
        return FFAI_OK;
    default:
        return ffai__fail(err, status, "%s", why.message);
    }
}

/* weights and here are taken over. */
static json_t *describe(const ffai_model *model, json_t *weights, const char *tokenizer, json_t *here)
{
    char variant[64];
    const bool tied = is_tied(model->program);
    const char *shape = ffai__shape_of(&model->config, model->family->name, tied);
    ffai__inspect_variant(variant, model, json_number_value(json_object_get(weights, "parameters")));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:s?, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "path",
                     ffai__checkpoint_path(model->checkpoint), "format",
                     ffai__checkpoint_is_gguf(model->checkpoint) ? "gguf" : "safetensors", "family",
                     model->family->name, "variant", variant, "shape", shape ? shape : "", "architecture",
                     model->config.architecture, "model_type", model->config.model_type, "capabilities",
                     describe_capabilities(model->family->capabilities), "config",
                     describe_config(&model->config, tied), "weights", weights, "skipped", ffai__inspect_skipped(model),
                     "memory", describe_memory(model), "tokenizer", tokenizer, "generation",
                     describe_parameters(&model->parameters), "end_tokens", describe_end_tokens(model), "here", here);
}

static ffai_status make_document(json_t **out, const ffai_model *model, ffai_error *err)
{
    char tokenizer[sizeof err->message + 16];
    json_t *weights = NULL;
    json_t *here = NULL;
    FFAI__TRY(judge_tokenizer(tokenizer, sizeof tokenizer, model, err));
    ffai_status status = ffai__inspect_here(&here, model, tokenizer, err);
    if (status == FFAI_OK)
        status = ffai__inspect_weights(&weights, model, err);
    if (status == FFAI_OK)
        *out = describe(model, weights, tokenizer, here);
    else
        json_decref(here);
    return status;
}

static ffai_status inspect(char **text, ffai_model *model, const char *path, bool json, ffai_error *err)
{
    json_t *document = NULL;
    char *printed = NULL;
    FFAI__TRY(ffai__model_open_checkpoint(model, path, err));
    FFAI__TRY(ffai__model_record(model, "none", err));
    ffai__json_watch();
    FFAI__TRY(make_document(&document, model, err));
    const bool complete = document && !ffai__json_lost();
    if (complete && json)
        printed = ffai__json_dump(document, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    else if (complete)
        printed = ffai__inspect_print(document);
    json_decref(document);
    if (!printed)
        return ffai__fail_memory(err, "the description", 0);
    *text = printed;
    return FFAI_OK;
}

ffai_status ffai_model_inspect(char **text, const char *path, bool json, ffai_error *err)
{
    ffai_model model;
    memset(&model, 0, sizeof model);
    const ffai_status status = inspect(text, &model, path, json, err);
    ffai__model_close_checkpoint(&model);
    return status;
}
