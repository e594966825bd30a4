/* What a checkpoint is and needs, from its headers and its tokenizer: one JSON document, and the same for people. */
#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "engine.h"

static const char *const rope_names[] = {"default", "linear", "dynamic", "llama3", "yarn", "longrope"};

static json_t *describe_rope(const ffai__config *c)
{
    const ffai__rope_scaling *s = &c->rope_scaling;
    return json_pack("{s:s, s:f, s:f, s:I}", "rope_type", rope_names[s->rope_type], "rope_theta", c->rope_theta,
                     "factor", s->factor, "original_max_position_embeddings",
                     (json_int_t)(s->original_max_position_embeddings ? s->original_max_position_embeddings
                                                                      : c->max_position_embeddings));
}

static json_t *describe_config(const ffai__config *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "hidden_size", (json_int_t)c->hidden_size,
                     "intermediate_size", (json_int_t)c->intermediate_size, "num_hidden_layers",
                     (json_int_t)c->num_hidden_layers, "num_attention_heads", (json_int_t)c->num_attention_heads,
                     "num_key_value_heads", (json_int_t)c->num_key_value_heads, "head_dim", (json_int_t)c->head_dim,
                     "vocab_size", (json_int_t)c->vocab_size, "max_position_embeddings",
                     (json_int_t)c->max_position_embeddings, "sliding_window", (json_int_t)c->sliding_window, "rope",
                     describe_rope(c));
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

/* {"4b g64": {"tensors": …, "parameters": …, "bytes": …}, …} */
static void add_format(json_t *formats, const ffai__weight *weight)
{
    char text[32];
    const char *name = ffai__weight_format_text(weight, text);
    json_t *entry = json_object_get(formats, name);
    if (!entry) {
        json_object_set_new(formats, name, json_pack("{s:i, s:i, s:i}", "tensors", 0, "parameters", 0, "bytes", 0));
        entry = json_object_get(formats, name);
    }
    const struct {
        const char *key;
        uint64_t amount;
    } amounts[] = {{"tensors", 1},
                   {"parameters", (uint64_t)weight->rows * (uint64_t)weight->columns},
                   {"bytes", ffai__weight_bytes(weight)}};
    for (size_t i = 0; i < sizeof amounts / sizeof amounts[0]; i++) {
        const json_int_t sum =
            json_integer_value(json_object_get(entry, amounts[i].key)) + (json_int_t)amounts[i].amount;
        json_object_set_new(entry, amounts[i].key, json_integer(sum));
    }
}

static json_t *describe_weights(const ffai_model *model)
{
    json_t *formats = json_object();
    size_t tensors = 0;
    uint64_t parameters = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < ffai__checkpoint_count(model->checkpoint); i++) {
        const ffai__weight *weight = ffai__checkpoint_weight(model->checkpoint, i);
        if (ffai__family_skips(model->family, weight->name))
            continue;
        tensors++;
        parameters += (uint64_t)weight->rows * (uint64_t)weight->columns;
        bytes += ffai__weight_bytes(weight);
        add_format(formats, weight);
    }
    return json_pack("{s:I, s:I, s:I, s:f, s:o}", "tensors", (json_int_t)tensors, "parameters", (json_int_t)parameters,
                     "bytes", (json_int_t)bytes, "bits_per_weight",
                     parameters ? 8.0 * (double)bytes / (double)parameters : 0.0, "formats", formats);
}

/* {"vision": {"tensors": …, "bytes": …}, …}: parts that are in the checkpoint and are not read. */
static json_t *describe_skipped(const ffai_model *model)
{
    size_t tensors[FFAI__PART_COUNT] = {0};
    uint64_t bytes[FFAI__PART_COUNT] = {0};
    json_t *skipped = json_object();
    for (size_t i = 0; i < ffai__checkpoint_count(model->checkpoint); i++) {
        const ffai__weight *weight = ffai__checkpoint_weight(model->checkpoint, i);
        if (!ffai__family_skips(model->family, weight->name))
            continue;
        tensors[ffai__part_of(weight->name)]++;
        bytes[ffai__part_of(weight->name)] += ffai__weight_bytes(weight);
    }
    for (int part = 0; part < FFAI__PART_COUNT; part++) {
        if (tensors[part])
            json_object_set_new(
                skipped, ffai__part_text((ffai__part)part),
                json_pack("{s:I, s:I}", "tensors", (json_int_t)tensors[part], "bytes", (json_int_t)bytes[part]));
    }
    return skipped;
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

static json_t *describe(const ffai_model *model, const char *tokenizer)
{
    return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "path",
                     ffai__checkpoint_path(model->checkpoint), "format",
                     ffai__checkpoint_is_gguf(model->checkpoint) ? "gguf" : "safetensors", "family",
                     model->family->name, "architecture", model->config.architecture, "model_type",
                     model->config.model_type, "capabilities", describe_capabilities(model->family->capabilities),
                     "config", describe_config(&model->config), "weights", describe_weights(model), "skipped",
                     describe_skipped(model), "memory", describe_memory(model), "tokenizer", tokenizer, "generation",
                     describe_parameters(&model->parameters), "end_tokens", describe_end_tokens(model));
}

/* --- for people --- */

static void put_amount(ffai__buffer *out, double amount, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    size_t i = 0;
    while (amount >= 1000 && i + 1 < sizeof prefixes / sizeof prefixes[0]) {
        amount /= 1000;
        i++;
    }
    ffai__buffer_format(out, i ? "%.2f %s%s" : "%.0f %s%s", amount, prefixes[i], unit);
}

static void print_config(ffai__buffer *out, const ffai__config *c)
{
    ffai__buffer_format(out, "layers        %lld, hidden %lld, intermediate %lld\n", (long long)c->num_hidden_layers,
                        (long long)c->hidden_size, (long long)c->intermediate_size);
    ffai__buffer_format(out, "attention     %lld heads over %lld key/value heads of %lld",
                        (long long)c->num_attention_heads, (long long)c->num_key_value_heads, (long long)c->head_dim);
    if (c->sliding_window)
        ffai__buffer_format(out, ", window %lld", (long long)c->sliding_window);
    ffai__buffer_format(out, "\nrope          %s, theta %g", rope_names[c->rope_scaling.rope_type], c->rope_theta);
    if (c->rope_scaling.factor != 1)
        ffai__buffer_format(out, ", factor %g", c->rope_scaling.factor);
    ffai__buffer_format(out, "\nvocabulary    %lld\ncontext       %lld\n", (long long)c->vocab_size,
                        (long long)c->max_position_embeddings);
}

static void print_weights(ffai__buffer *out, json_t *weights)
{
    const double parameters = json_number_value(json_object_get(weights, "parameters"));
    ffai__buffer_text(out, "parameters    ");
    put_amount(out, parameters, "");
    ffai__buffer_text(out, ", ");
    put_amount(out, json_number_value(json_object_get(weights, "bytes")), "B");
    ffai__buffer_format(out, ", %.2f bits a weight\n", json_number_value(json_object_get(weights, "bits_per_weight")));
    const char *name = NULL;
    json_t *entry = NULL;
    json_object_foreach(json_object_get(weights, "formats"), name, entry)
    {
        ffai__buffer_format(out, "  %-10s  %lld tensors, ", name,
                            (long long)json_integer_value(json_object_get(entry, "tensors")));
        put_amount(out, json_number_value(json_object_get(entry, "bytes")), "B\n");
    }
}

static void print_skipped(ffai__buffer *out, json_t *skipped)
{
    const char *part = NULL;
    json_t *entry = NULL;
    size_t count = 0;
    json_object_foreach(skipped, part, entry)
    {
        ffai__buffer_format(out, "%s%s, %lld tensors, ", count++ ? "; " : "skipped       ", part,
                            (long long)json_integer_value(json_object_get(entry, "tensors")));
        put_amount(out, json_number_value(json_object_get(entry, "bytes")), "B");
    }
    ffai__buffer_text(out, count ? ": not read, this version takes text\n" : "");
}

static void print_memory(ffai__buffer *out, json_t *memory)
{
    const char *context = NULL;
    json_t *bytes = NULL;
    ffai__buffer_text(out, "memory        weights ");
    put_amount(out, json_number_value(json_object_get(memory, "weights")), "B");
    ffai__buffer_text(out, "; keys and values in bf16:");
    json_object_foreach(json_object_get(memory, "kv_bf16_by_context"), context, bytes)
    {
        ffai__buffer_format(out, " %s: ", context);
        put_amount(out, json_number_value(bytes), "B");
    }
    ffai__buffer_text(out, "\n");
}

static void print_parameters(ffai__buffer *out, const ffai_parameters *p)
{
    ffai__buffer_text(out, "generation\n");
#define FFAI_PRINT(name, least, most)                                                                                  \
    ffai__buffer_format(out, "  %-20s %-8g %s\n", #name, p->name.value, ffai_source_name(p->name.source));
    FFAI_PARAMETER_LIST(FFAI_PRINT)
#undef FFAI_PRINT
}

/* Strings or integers, by commas. */
static void print_list(ffai__buffer *out, const char *title, json_t *list)
{
    size_t i = 0;
    json_t *item = NULL;
    ffai__buffer_format(out, "%-14s", title);
    json_array_foreach(list, i, item)
    {
        ffai__buffer_text(out, i ? ", " : "");
        if (json_is_string(item))
            ffai__buffer_text(out, json_string_value(item));
        else
            ffai__buffer_format(out, "%lld", (long long)json_integer_value(item));
    }
    ffai__buffer_text(out, "\n");
}

static char *print_for_people(const ffai_model *model, json_t *document)
{
    ffai__buffer out = FFAI__BUFFER_INIT;
    ffai__buffer_format(&out, "model         %s (%s)\n", ffai__checkpoint_path(model->checkpoint),
                        ffai__checkpoint_is_gguf(model->checkpoint) ? "GGUF" : "safetensors");
    ffai__buffer_format(&out, "family        %s (architecture %s, model_type %s)\n", model->family->name,
                        model->config.architecture ? model->config.architecture : "-",
                        model->config.model_type ? model->config.model_type : "-");
    print_list(&out, "capabilities", json_object_get(document, "capabilities"));
    print_config(&out, &model->config);
    print_weights(&out, json_object_get(document, "weights"));
    print_skipped(&out, json_object_get(document, "skipped"));
    print_memory(&out, json_object_get(document, "memory"));
    ffai__buffer_format(&out, "tokenizer     %s\n", json_string_value(json_object_get(document, "tokenizer")));
    print_list(&out, "end tokens", json_object_get(document, "end_tokens"));
    print_parameters(&out, &model->parameters);
    return ffai__buffer_take(&out, NULL);
}

static ffai_status inspect(char **text, ffai_model *model, const char *path, bool json, ffai_error *err)
{
    FFAI__TRY(ffai__model_open_checkpoint(model, path, err));
    FFAI__TRY(ffai__model_record(model, "none", err));
    char tokenizer[sizeof err->message + 16];
    FFAI__TRY(judge_tokenizer(tokenizer, sizeof tokenizer, model, err));
    ffai__json_watch();
    json_t *document = describe(model, tokenizer);
    char *printed = NULL;
    const bool complete = document && !ffai__json_lost();
    if (complete && json)
        printed = ffai__json_dump(document, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    else if (complete)
        printed = print_for_people(model, document);
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
