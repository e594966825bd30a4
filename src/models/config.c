#include "config.h"

#include <string.h>

static const int64_t most_layers = 512; /* the deepest published have under 200; some checks take its square */
static const int64_t most_width = INT32_MAX;

static ffai_status missing(const ffai__config *c, const char *field, ffai_error *err)
{
    return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": is missing", c->path, field);
}

ffai_status ffai__config_identify(ffai__config *config, const json_t *json, const char *path, ffai_error *err)
{
    memset(config, 0, sizeof *config);
    config->json = json;
    config->path = path;
    if (!json_is_object(json))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: must be a JSON object", path);
    const json_t *architectures = ffai__json_field(json, "architectures");
    if (architectures && !json_is_array(architectures))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"architectures\": must be an array of strings", path);
    const json_t *first = json_array_get(architectures, 0);
    if (first && !json_is_string(first))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"architectures\": must be an array of strings", path);
    config->architecture = json_string_value(first);
    return ffai__json_get_string(&config->model_type, json, "model_type", path, err);
}

static ffai_status read_rope_type(ffai__rope_type *type, const json_t *scaling, const char *path, ffai_error *err)
{
    static const struct {
        const char *name;
        ffai__rope_type type;
    } types[] = {{"default", FFAI__ROPE_TYPE_DEFAULT}, {"linear", FFAI__ROPE_TYPE_LINEAR},
                 {"dynamic", FFAI__ROPE_TYPE_DYNAMIC}, {"llama3", FFAI__ROPE_TYPE_LLAMA3},
                 {"yarn", FFAI__ROPE_TYPE_YARN},       {"longrope", FFAI__ROPE_TYPE_LONGROPE},
                 {"su", FFAI__ROPE_TYPE_LONGROPE}};
    const char *name = NULL;
    FFAI__TRY(ffai__json_get_string(&name, scaling, "type", path, err));
    FFAI__TRY(ffai__json_get_string(&name, scaling, "rope_type", path, err));
    if (!name)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"rope_scaling\": has no \"rope_type\"", path);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(name, types[i].name) == 0) {
            *type = types[i].type;
            return FFAI_OK;
        }
    }
    return ffai__fail(err, FFAI_E_UNSUPPORTED,
                      "%s: field \"rope_scaling\": rope_type \"%s\" is not supported; supported are default, linear, "
                      "dynamic, llama3, yarn, longrope and su",
                      path, name);
}

/* A factor list [dims / 2] of numbers above 0. */
static ffai_status check_factors(const json_t *factors, int64_t half, const char *key, const char *path,
                                 ffai_error *err)
{
    if (!json_is_array(factors) || (int64_t)json_array_size(factors) != half)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"rope_scaling.%s\": must be an array of %lld numbers", path,
                          key, (long long)half);
    for (size_t i = 0; i < json_array_size(factors); i++) {
        if (!(json_number_value(json_array_get(factors, i)) > 0))
            return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"rope_scaling.%s\": element %zu must be above 0", path,
                              key, i);
    }
    return FFAI_OK;
}

static int64_t rotary_dims(const ffai__config *c)
{
    return (int64_t)((double)c->head_dim * c->partial_rotary_factor);
}

static ffai_status read_longrope(ffai__config *c, const json_t *scaling, ffai_error *err)
{
    ffai__rope_scaling *rope = &c->rope_scaling;
    rope->long_factor = ffai__json_field(scaling, "long_factor");
    FFAI__TRY(check_factors(rope->long_factor, rotary_dims(c) / 2, "long_factor", c->path, err));
    /* Phi-3's files keep the trained length beside rope_scaling, not in it. */
    return ffai__json_get_int(&rope->original_max_position_embeddings, c->json, "original_max_position_embeddings", 1,
                              most_width, c->path, err);
}

static ffai_status read_rope_numbers(ffai__rope_scaling *rope, const json_t *scaling, const char *path, ffai_error *err)
{
    FFAI__TRY(ffai__json_get_double(&rope->factor, scaling, "factor", 1e-3, 1e6, path, err));
    FFAI__TRY(ffai__json_get_double(&rope->attention_factor, scaling, "attention_factor", 1e-3, 1e3, path, err));
    FFAI__TRY(ffai__json_get_double(&rope->low_freq_factor, scaling, "low_freq_factor", 1e-3, 1e6, path, err));
    FFAI__TRY(ffai__json_get_double(&rope->high_freq_factor, scaling, "high_freq_factor", 1e-3, 1e6, path, err));
    FFAI__TRY(ffai__json_get_double(&rope->beta_fast, scaling, "beta_fast", 1e-3, 1e6, path, err));
    FFAI__TRY(ffai__json_get_double(&rope->beta_slow, scaling, "beta_slow", 1e-3, 1e6, path, err));
    FFAI__TRY(ffai__json_get_double(&rope->mscale, scaling, "mscale", 0, 1e3, path, err));
    FFAI__TRY(ffai__json_get_double(&rope->mscale_all_dim, scaling, "mscale_all_dim", 0, 1e3, path, err));
    FFAI__TRY(ffai__json_get_bool(&rope->truncate, scaling, "truncate", path, err));
    return ffai__json_get_int(&rope->original_max_position_embeddings, scaling, "original_max_position_embeddings", 1,
                              most_width, path, err);
}

static ffai_status read_rope_scaling(ffai__config *c, ffai_error *err)
{
    ffai__rope_scaling *rope = &c->rope_scaling;
    *rope = (ffai__rope_scaling){.rope_type = FFAI__ROPE_TYPE_DEFAULT,
                                 .factor = 1,
                                 .low_freq_factor = 1,
                                 .high_freq_factor = 4,
                                 .beta_fast = 32,
                                 .beta_slow = 1,
                                 .mscale = 1,
                                 .truncate = true};
    const json_t *scaling = ffai__json_field(c->json, "rope_scaling");
    if (!scaling)
        scaling = ffai__json_field(c->json, "rope_parameters");
    if (!scaling)
        return FFAI_OK;
    if (!json_is_object(scaling))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"rope_scaling\": must be an object", c->path);
    if (ffai__json_field(scaling, "mrope_section"))
        return ffai__fail(err, FFAI_E_UNSUPPORTED,
                          "%s: field \"rope_scaling.mrope_section\": positions of several axes are not supported",
                          c->path);
    FFAI__TRY(ffai__json_get_double(&c->rope_theta, scaling, "rope_theta", 1, 1e15, c->path, err));
    FFAI__TRY(
        ffai__json_get_double(&c->partial_rotary_factor, scaling, "partial_rotary_factor", 1e-3, 1, c->path, err));
    FFAI__TRY(read_rope_type(&rope->rope_type, scaling, c->path, err));
    FFAI__TRY(read_rope_numbers(rope, scaling, c->path, err));
    if (rope->rope_type == FFAI__ROPE_TYPE_LONGROPE)
        FFAI__TRY(read_longrope(c, scaling, err));
    if (!rope->original_max_position_embeddings)
        rope->original_max_position_embeddings = c->max_position_embeddings;
    return FFAI_OK;
}

static ffai_status read_sizes(ffai__config *c, ffai_error *err)
{
    const struct {
        int64_t *value;
        const char *field;
        int64_t most;
        bool required;
    } sizes[] = {
        {&c->hidden_size, "hidden_size", most_width, true},
        {&c->intermediate_size, "intermediate_size", most_width, true},
        {&c->num_hidden_layers, "num_hidden_layers", most_layers, true},
        {&c->num_attention_heads, "num_attention_heads", 65536, true},
        {&c->vocab_size, "vocab_size", most_width, true},
        {&c->num_key_value_heads, "num_key_value_heads", 65536, false},
        {&c->head_dim, "head_dim", 65536, false},
        {&c->max_position_embeddings, "max_position_embeddings", most_width, false},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        FFAI__TRY(ffai__json_get_int(sizes[i].value, c->json, sizes[i].field, 1, sizes[i].most, c->path, err));
        if (sizes[i].required && !*sizes[i].value)
            return missing(c, sizes[i].field, err);
    }
    return FFAI_OK;
}

/* What transformers takes where the file leaves a field out, and what must hold between fields. */
static ffai_status complete_heads(ffai__config *c, ffai_error *err)
{
    if (!c->num_key_value_heads)
        c->num_key_value_heads = c->num_attention_heads;
    if (c->num_attention_heads % c->num_key_value_heads)
        return ffai__fail(err, FFAI_E_FORMAT,
                          "%s: field \"num_key_value_heads\": %lld does not divide num_attention_heads %lld", c->path,
                          (long long)c->num_key_value_heads, (long long)c->num_attention_heads);
    if (c->head_dim)
        return FFAI_OK;
    if (c->hidden_size % c->num_attention_heads)
        return ffai__fail(err, FFAI_E_FORMAT,
                          "%s: field \"head_dim\": is missing, and num_attention_heads %lld does not divide "
                          "hidden_size %lld",
                          c->path, (long long)c->num_attention_heads, (long long)c->hidden_size);
    c->head_dim = c->hidden_size / c->num_attention_heads;
    return FFAI_OK;
}

/* mlx-lm's "rope_traditional" turns neighbouring elements instead of the two halves of a head. */
static ffai_status check_rope_form(const json_t *json, const char *path, ffai_error *err)
{
    bool traditional = false;
    FFAI__TRY(ffai__json_get_bool(&traditional, json, "rope_traditional", path, err));
    if (traditional)
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: field \"rope_traditional\": true is not supported", path);
    return FFAI_OK;
}

ffai_status ffai__config_read(ffai__config *c, const json_t *json, const char *path, ffai_error *err)
{
    FFAI__TRY(ffai__config_identify(c, json, path, err));
    c->hidden_act = "silu";
    c->rms_norm_eps = 1e-6;
    c->rope_theta = 10000;
    c->partial_rotary_factor = 1;
    c->max_position_embeddings = 2048;
    c->tie_word_embeddings = -1;
    FFAI__TRY(read_sizes(c, err));
    FFAI__TRY(complete_heads(c, err));
    FFAI__TRY(ffai__json_get_string(&c->hidden_act, json, "hidden_act", path, err));
    FFAI__TRY(check_rope_form(json, path, err));
    FFAI__TRY(ffai__json_get_double(&c->rms_norm_eps, json, "rms_norm_eps", 0, 1, path, err));
    FFAI__TRY(ffai__json_get_double(&c->rope_theta, json, "rope_theta", 1, 1e15, path, err));
    FFAI__TRY(ffai__json_get_double(&c->partial_rotary_factor, json, "partial_rotary_factor", 1e-3, 1, path, err));
    FFAI__TRY(ffai__json_get_bool(&c->attention_bias, json, "attention_bias", path, err));
    FFAI__TRY(ffai__json_get_bool(&c->mlp_bias, json, "mlp_bias", path, err));
    FFAI__TRY(ffai__json_get_int(&c->sliding_window, json, "sliding_window", 0, INT64_C(1) << 53, path, err));
    FFAI__TRY(read_rope_scaling(c, err));
    if (rotary_dims(c) < 2 || rotary_dims(c) % 2)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"head_dim\": %lld rotary dimensions; they must be even", path,
                          (long long)rotary_dims(c));
    bool tied = false;
    if (ffai__json_field(json, "tie_word_embeddings")) {
        FFAI__TRY(ffai__json_get_bool(&tied, json, "tie_word_embeddings", path, err));
        c->tie_word_embeddings = tied;
    }
    return FFAI_OK;
}

int64_t ffai__config_window(const ffai__config *c, int64_t layer, bool slides)
{
    const json_t *types = ffai__json_field(c->json, "layer_types");
    const char *type = json_string_value(json_array_get(types, (size_t)layer));
    if (type)
        slides = strcmp(type, "sliding_attention") == 0;
    return slides ? c->sliding_window : 0;
}
