/* config.json and generation_config.json from GGUF metadata. */
#include "gguf_documents.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "json.h"

#define MOST INT32_MAX

static const ffai__gguf_family families[] = {
    {"llama", "LlamaForCausalLM", "llama", true},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", false},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", false},
};

/* A llama file with a sliding window is a Mistral. */
static const ffai__gguf_family mistral = {"llama", "MistralForCausalLM", "mistral", true};

typedef struct {
    json_t *object;
    const ffai__gguf *file;
    const ffai__gguf_family *family;
    ffai_error *err;
} builder;

ffai_status ffai__gguf_family_of(const ffai__gguf_family **out, const ffai__gguf *file, ffai_error *err)
{
    ffai__text name = {"", 0};
    FFAI__TRY(ffai__gguf_get_text(&name, file, "general.architecture", err));
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (ffai__text_is(&name, families[i].name)) {
            *out = &families[i];
            return FFAI_OK;
        }
    }
    return ffai__fail(err, FFAI_E_UNSUPPORTED,
                      "%s: key \"general.architecture\": \"%.*s\" is not supported; llama, qwen2 and qwen3 are",
                      file->what, name.size < 64 ? (int)name.size : 64, name.data);
}

const ffai__gguf_tensor *ffai__gguf_tensor_find(const ffai__gguf *file, const char *name)
{
    for (size_t i = 0; i < file->tensor_count; i++) {
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    }
    return NULL;
}

/* ---- copying a key to a field ---- */

static ffai_status set(const builder *b, const char *field, json_t *value)
{
    if (json_object_set_new(b->object, field, value) != 0)
        return ffai__fail_memory(b->err, field, 0);
    return FFAI_OK;
}

static void full_key(char key[96], const builder *b, const char *suffix)
{
    snprintf(key, 96, "%s.%s", b->family->name, suffix);
}

static ffai_status copy_int(const builder *b, const char *field, const char *key)
{
    int64_t value = -1;
    FFAI__TRY(ffai__gguf_get_int(&value, b->file, key, 0, MOST, b->err));
    return value < 0 ? FFAI_OK : set(b, field, json_integer(value));
}

static ffai_status copy_number(const builder *b, const char *field, const char *key)
{
    double value = NAN;
    FFAI__TRY(ffai__gguf_get_number(&value, b->file, key, b->err));
    return isnan(value) ? FFAI_OK : set(b, field, json_real(value));
}

static ffai_status copy_family_int(const builder *b, const char *field, const char *suffix)
{
    char key[96];
    full_key(key, b, suffix);
    return copy_int(b, field, key);
}

static ffai_status copy_family_number(const builder *b, const char *field, const char *suffix)
{
    char key[96];
    full_key(key, b, suffix);
    return copy_number(b, field, key);
}

static ffai_status need_family_int(const builder *b, const char *field, const char *suffix)
{
    FFAI__TRY(copy_family_int(b, field, suffix));
    if (!json_object_get(b->object, field))
        return ffai__fail(b->err, FFAI_E_FORMAT, "%s: key \"%s.%s\" is missing", b->file->what, b->family->name,
                          suffix);
    return FFAI_OK;
}

ffai_status ffai__gguf_heads(int64_t *heads, int64_t *kv_heads, const ffai__gguf *file, const ffai__gguf_family *family,
                             ffai_error *err)
{
    char key[96];
    *heads = 0;
    snprintf(key, sizeof key, "%s.attention.head_count", family->name);
    FFAI__TRY(ffai__gguf_get_int(heads, file, key, 1, 1 << 16, err));
    if (*heads == 0)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: key \"%s\" is missing", file->what, key);
    *kv_heads = *heads;
    snprintf(key, sizeof key, "%s.attention.head_count_kv", family->name);
    return ffai__gguf_get_int(kv_heads, file, key, 1, 1 << 16, err);
}

/* ---- config.json ---- */

static ffai_status add_identity(builder *b)
{
    int64_t window = 0;
    char key[96];
    full_key(key, b, "attention.sliding_window");
    FFAI__TRY(ffai__gguf_get_int(&window, b->file, key, 0, MOST, b->err));
    if (window > 0 && b->family->interleaved)
        b->family = &mistral;
    if (window > 0)
        FFAI__TRY(set(b, "sliding_window", json_integer(window)));
    FFAI__TRY(set(b, "architectures", json_pack("[s]", b->family->architecture)));
    return set(b, "model_type", json_string(b->family->model_type));
}

/* A positive number of the family; stays as it is where the file has none. Receives the key, too. */
static ffai_status get_family_int(int64_t *value, char key[96], const builder *b, const char *suffix)
{
    full_key(key, b, suffix);
    return ffai__gguf_get_int(value, b->file, key, 1, MOST, b->err);
}

/* Values as long as keys, or it is another model. */
static ffai_status check_value_length(const builder *b)
{
    int64_t length = 0;
    char key[96];
    FFAI__TRY(get_family_int(&length, key, b, "attention.value_length"));
    const int64_t keys = json_integer_value(json_object_get(b->object, "head_dim"));
    if (length && keys && length != keys)
        return ffai__fail(b->err, FFAI_E_UNSUPPORTED,
                          "%s: key \"%s\": values of %lld numbers beside keys of %lld are not supported", b->file->what,
                          key, (long long)length, (long long)keys);
    return FFAI_OK;
}

static ffai_status add_sizes(const builder *b)
{
    int64_t heads = 0;
    int64_t kv_heads = 0;
    FFAI__TRY(ffai__gguf_heads(&heads, &kv_heads, b->file, b->family, b->err));
    FFAI__TRY(need_family_int(b, "hidden_size", "embedding_length"));
    FFAI__TRY(need_family_int(b, "intermediate_size", "feed_forward_length"));
    FFAI__TRY(need_family_int(b, "num_hidden_layers", "block_count"));
    FFAI__TRY(need_family_int(b, "max_position_embeddings", "context_length"));
    FFAI__TRY(copy_family_int(b, "head_dim", "attention.key_length"));
    FFAI__TRY(copy_family_number(b, "rms_norm_eps", "attention.layer_norm_rms_epsilon"));
    FFAI__TRY(set(b, "num_attention_heads", json_integer(heads)));
    FFAI__TRY(set(b, "num_key_value_heads", json_integer(kv_heads)));
    if (!json_object_get(b->object, "head_dim"))
        FFAI__TRY(copy_family_int(b, "head_dim", "rope.dimension_count"));
    return check_value_length(b);
}

/* Rope over fewer dimensions than the head has is another model. */
static ffai_status check_rope_width(const builder *b)
{
    int64_t width = 0;
    char key[96];
    FFAI__TRY(get_family_int(&width, key, b, "rope.dimension_count"));
    const int64_t hidden = json_integer_value(json_object_get(b->object, "hidden_size"));
    const int64_t heads = json_integer_value(json_object_get(b->object, "num_attention_heads"));
    const json_t *head_dim = json_object_get(b->object, "head_dim");
    const int64_t whole = head_dim ? json_integer_value(head_dim) : hidden / heads;
    if (width && width != whole)
        return ffai__fail(b->err, FFAI_E_UNSUPPORTED,
                          "%s: key \"%s\": rotary positions on %lld of a head's %lld dimensions are not supported",
                          b->file->what, key, (long long)width, (long long)whole);
    return FFAI_OK;
}

static ffai_status add_tensor_facts(const builder *b)
{
    const ffai__gguf_tensor *embeddings = ffai__gguf_tensor_find(b->file, "token_embd.weight");
    const ffai__gguf_field *tokens = NULL;
    FFAI__TRY(ffai__gguf_get_array(&tokens, b->file, "tokenizer.ggml.tokens", FFAI__GGUF_STRING, b->err));
    if (embeddings && embeddings->shape.rank == 2)
        FFAI__TRY(set(b, "vocab_size", json_integer((json_int_t)embeddings->shape.dims[0])));
    else if (tokens)
        FFAI__TRY(set(b, "vocab_size", json_integer((json_int_t)tokens->count)));
    const bool tied = !ffai__gguf_tensor_find(b->file, "output.weight");
    FFAI__TRY(set(b, "tie_word_embeddings", json_boolean(tied)));
    /* Qwen 2 has biases without being told. */
    if (strcmp(b->family->model_type, "qwen2") != 0 && ffai__gguf_tensor_find(b->file, "blk.0.attn_q.bias"))
        FFAI__TRY(set(b, "attention_bias", json_true()));
    if (ffai__gguf_tensor_find(b->file, "blk.0.ffn_down.bias"))
        FFAI__TRY(set(b, "mlp_bias", json_true()));
    return FFAI_OK;
}

static ffai_status add_dtype(const builder *b)
{
    enum { ALL_F32 = 0, MOSTLY_BF16 = 32 };
    int64_t type = 1;
    FFAI__TRY(ffai__gguf_get_int(&type, b->file, "general.file_type", 0, MOST, b->err));
    const char *name = type == ALL_F32 ? "float32" : type == MOSTLY_BF16 ? "bfloat16" : "float16";
    return set(b, "torch_dtype", json_string(name));
}

static ffai_status add_token_ids(const builder *b)
{
    FFAI__TRY(copy_int(b, "bos_token_id", "tokenizer.ggml.bos_token_id"));
    FFAI__TRY(copy_int(b, "eos_token_id", "tokenizer.ggml.eos_token_id"));
    return copy_int(b, "pad_token_id", "tokenizer.ggml.padding_token_id");
}

/* ---- rope_scaling ---- */

static ffai_status read_factors(json_t *list, const builder *b, const ffai__gguf_tensor *table)
{
    for (uint64_t i = 0; i < table->shape.dims[0]; i++) {
        float factor = 0;
        memcpy(&factor, table->data + i * sizeof factor, sizeof factor);
        if (!isfinite(factor))
            return ffai__fail(b->err, FFAI_E_FORMAT, "%s: tensor \"%s\": its values must be finite", b->file->what,
                              table->name);
        if (json_array_append_new(list, json_real(ffai__gguf_decimal(factor))) != 0)
            return ffai__fail_memory(b->err, table->name, table->bytes);
    }
    return FFAI_OK;
}

/* Llama 3's stretched frequencies come as a table of divisors. The same table under longrope, short and long,
 * with no scaling of the attention, is the same computation. */
static ffai_status add_rope_table(const builder *b, const ffai__gguf_tensor *table)
{
    if (strcmp(table->type, "F32") != 0 || table->shape.rank != 1 || table->shape.dims[0] > 4096)
        return ffai__fail(b->err, FFAI_E_FORMAT, "%s: tensor \"%s\": must be a vector of F32", b->file->what,
                          table->name);
    json_t *list = json_array();
    const ffai_status status =
        list ? read_factors(list, b, table) : ffai__fail_memory(b->err, table->name, table->bytes);
    if (status != FFAI_OK) {
        json_decref(list);
        return status;
    }
    json_t *scaling = json_pack("{s:s, s:O, s:o, s:f, s:O}", "rope_type", "longrope", "short_factor", list,
                                "long_factor", list, "attention_factor", 1.0, "original_max_position_embeddings",
                                json_object_get(b->object, "max_position_embeddings"));
    return set(b, "rope_scaling", scaling);
}

/* llama.cpp multiplies yarn's own magnitude by attn_factor; "attention_factor" replaces it. */
static ffai_status add_yarn(const builder *scaling, double factor)
{
    double multiplier = 1.0;
    char key[96];
    full_key(key, scaling, "rope.scaling.attn_factor");
    FFAI__TRY(ffai__gguf_get_number(&multiplier, scaling->file, key, scaling->err));
    FFAI__TRY(copy_family_number(scaling, "beta_fast", "rope.scaling.yarn_beta_fast"));
    FFAI__TRY(copy_family_number(scaling, "beta_slow", "rope.scaling.yarn_beta_slow"));
    FFAI__TRY(copy_family_int(scaling, "original_max_position_embeddings", "rope.scaling.original_context_length"));
    if (multiplier == 1.0 || !(factor > 1.0))
        return FFAI_OK;
    return set(scaling, "attention_factor", json_real(multiplier * (0.1 * log(factor) + 1.0)));
}

/* Files of old have rope.scale_linear instead; 0 is as good as 1. */
static ffai_status read_factor(double *factor, const builder *b)
{
    char key[96];
    *factor = 0.0;
    full_key(key, b, "rope.scale_linear");
    FFAI__TRY(ffai__gguf_get_number(factor, b->file, key, b->err));
    full_key(key, b, "rope.scaling.factor");
    FFAI__TRY(ffai__gguf_get_number(factor, b->file, key, b->err));
    if (*factor == 0.0)
        *factor = 1.0;
    return FFAI_OK;
}

static ffai_status fill_scaling(const builder *scaling, const char *type, double factor)
{
    FFAI__TRY(set(scaling, "rope_type", json_string(type)));
    FFAI__TRY(set(scaling, "factor", json_real(factor)));
    return strcmp(type, "yarn") == 0 ? add_yarn(scaling, factor) : FFAI_OK;
}

static ffai_status add_named_scaling(const builder *b, const ffai__text *type, double factor)
{
    const bool yarn = ffai__text_is(type, "yarn");
    if (!yarn && !ffai__text_is(type, "linear"))
        return ffai__fail(b->err, FFAI_E_UNSUPPORTED,
                          "%s: key \"%s.rope.scaling.type\": \"%.*s\" is not supported; none, linear and yarn are",
                          b->file->what, b->family->name, type->size < 64 ? (int)type->size : 64, type->data);
    builder scaling = *b;
    scaling.object = json_object();
    if (!scaling.object)
        return ffai__fail_memory(b->err, "rope_scaling", 0);
    ffai_status status = fill_scaling(&scaling, yarn ? "yarn" : "linear", factor);
    if (status == FFAI_OK)
        status = set(b, "rope_scaling", json_incref(scaling.object));
    json_decref(scaling.object);
    return status;
}

static ffai_status add_rope(const builder *b)
{
    ffai__text type = {"linear", 6};
    char key[96];
    double factor = 1.0;
    full_key(key, b, "rope.scaling.type");
    FFAI__TRY(check_rope_width(b));
    FFAI__TRY(copy_family_number(b, "rope_theta", "rope.freq_base"));
    FFAI__TRY(ffai__gguf_get_text(&type, b->file, key, b->err));
    FFAI__TRY(read_factor(&factor, b));
    const ffai__gguf_tensor *table = ffai__gguf_tensor_find(b->file, "rope_freqs.weight");
    const bool none = ffai__text_is(&type, "none");
    const bool plain = none || (factor == 1.0 && ffai__text_is(&type, "linear"));
    if (table && !plain)
        return ffai__fail(b->err, FFAI_E_UNSUPPORTED,
                          "%s: key \"%s\": a scaling besides the table rope_freqs.weight is not supported",
                          b->file->what, key);
    if (table)
        return add_rope_table(b, table);
    return plain ? FFAI_OK : add_named_scaling(b, &type, factor);
}

static ffai_status fill_config(builder *b)
{
    FFAI__TRY(ffai__gguf_family_of(&b->family, b->file, b->err));
    FFAI__TRY(add_identity(b));
    FFAI__TRY(add_sizes(b));
    FFAI__TRY(add_tensor_facts(b));
    FFAI__TRY(add_rope(b));
    FFAI__TRY(add_token_ids(b));
    return add_dtype(b);
}

/* ---- generation_config.json ---- */

static ffai_status append_end(const builder *b, json_t *ends, const char *key)
{
    int64_t id = -1;
    FFAI__TRY(ffai__gguf_get_int(&id, b->file, key, 0, MOST, b->err));
    if (id < 0)
        return FFAI_OK;
    size_t i = 0;
    json_t *known = NULL;
    json_array_foreach(ends, i, known)
    {
        if (json_integer_value(known) == id)
            return FFAI_OK;
    }
    return json_array_append_new(ends, json_integer(id)) ? ffai__fail_memory(b->err, key, 0) : FFAI_OK;
}

/* One id as a number, several as a list: the two forms that generation_config.json has. */
static ffai_status add_ends(const builder *b)
{
    json_t *ends = json_array();
    if (!ends)
        return ffai__fail_memory(b->err, "eos_token_id", 0);
    ffai_status status = append_end(b, ends, "tokenizer.ggml.eos_token_id");
    if (status == FFAI_OK)
        status = append_end(b, ends, "tokenizer.ggml.eot_token_id");
    if (status == FFAI_OK)
        status = append_end(b, ends, "tokenizer.ggml.eom_token_id");
    const size_t count = json_array_size(ends);
    if (status == FFAI_OK && count)
        status = set(b, "eos_token_id", json_incref(count == 1 ? json_array_get(ends, 0) : ends));
    json_decref(ends);
    return status;
}

static ffai_status fill_generation_config(builder *b)
{
    FFAI__TRY(copy_int(b, "bos_token_id", "tokenizer.ggml.bos_token_id"));
    FFAI__TRY(add_ends(b));
    FFAI__TRY(copy_int(b, "pad_token_id", "tokenizer.ggml.padding_token_id"));
    FFAI__TRY(copy_number(b, "temperature", "general.sampling.temp"));
    FFAI__TRY(copy_int(b, "top_k", "general.sampling.top_k"));
    FFAI__TRY(copy_number(b, "top_p", "general.sampling.top_p"));
    FFAI__TRY(copy_number(b, "min_p", "general.sampling.min_p"));
    FFAI__TRY(copy_number(b, "repetition_penalty", "general.sampling.penalty_repeat"));
    const json_t *temperature = json_object_get(b->object, "temperature");
    return temperature ? set(b, "do_sample", json_boolean(json_real_value(temperature) > 0)) : FFAI_OK;
}

static ffai_status build(json_t **out, const ffai__gguf *file, ffai_status (*fill)(builder *), ffai_error *err)
{
    builder b = {json_object(), file, NULL, err};
    if (!b.object)
        return ffai__fail_memory(err, file->what, 0);
    const ffai_status status = fill(&b);
    if (status != FFAI_OK) {
        json_decref(b.object);
        return status;
    }
    *out = b.object;
    return FFAI_OK;
}

ffai_status ffai__gguf_config(json_t **out, const ffai__gguf *file, ffai_error *err)
{
    return build(out, file, fill_config, err);
}

ffai_status ffai__gguf_generation_config(json_t **out, const ffai__gguf *file, ffai_error *err)
{
    return build(out, file, fill_generation_config, err);
}
