/* A description for people, from the document that --json prints. */
#include "inspect.h"

#include <string.h>

#include "buffer.h"

static const char *text_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : "-";
}

static long long integer_at(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static double number_at(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void put_tensors(ffai__buffer *out, const json_t *counts)
{
    const long long tensors = integer_at(counts, "tensors");
    ffai__buffer_format(out, "%lld tensor%s, ", tensors, tensors == 1 ? "" : "s");
}

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

/* Strings or integers, by commas. */
static void print_list(ffai__buffer *out, const char *title, const json_t *list)
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

static void print_names(ffai__buffer *out, json_t *document)
{
    ffai__buffer_format(out, "model         %s (%s)\n", text_at(document, "path"),
                        text_at(document, "format")[0] == 'g' ? "GGUF" : "safetensors");
    ffai__buffer_format(out, "family        %s (architecture %s, model_type %s)\n", text_at(document, "family"),
                        text_at(document, "architecture"), text_at(document, "model_type"));
    ffai__buffer_format(out, "variant       %s", text_at(document, "variant"));
    if (text_at(document, "shape")[0])
        ffai__buffer_format(out, ", of the shape of %s", text_at(document, "shape"));
    ffai__buffer_text(out, "\n");
    print_list(out, "capabilities", json_object_get(document, "capabilities"));
}

static void print_skipped(ffai__buffer *out, json_t *skipped)
{
    const char *part = NULL;
    json_t *entry = NULL;
    size_t count = 0;
    json_object_foreach(skipped, part, entry)
    {
        ffai__buffer_format(out, "%s%s, ", count++ ? "; " : "skipped       ", part);
        put_tensors(out, entry);
        put_amount(out, number_at(entry, "bytes"), "B");
    }
    ffai__buffer_text(out, count ? ": not read, this version takes text\n" : "");
}

/* The type, and after it whatever else is there; a list by its length. */
static void print_rope(ffai__buffer *out, json_t *rope)
{
    const char *key = NULL;
    json_t *value = NULL;
    const bool plain = strcmp(text_at(rope, "rope_type"), "default") == 0;
    ffai__buffer_format(out, "rope          %s, theta %g", text_at(rope, "rope_type"), number_at(rope, "rope_theta"));
    json_object_foreach(rope, key, value)
    {
        if (json_is_string(value) || strcmp(key, "rope_theta") == 0 ||
            (plain && strcmp(key, "partial_rotary_factor") != 0))
            continue;
        if (json_is_array(value))
            ffai__buffer_format(out, ", %s of %zu numbers", key, json_array_size(value));
        else if (json_is_boolean(value))
            ffai__buffer_format(out, ", %s %s", key, json_is_true(value) ? "true" : "false");
        else
            ffai__buffer_format(out, ", %s %.10g", key, json_number_value(value));
    }
    ffai__buffer_text(out, "\n");
}

static void print_config(ffai__buffer *out, json_t *config)
{
    ffai__buffer_format(out, "layers        %lld, hidden %lld, intermediate %lld\n",
                        integer_at(config, "num_hidden_layers"), integer_at(config, "hidden_size"),
                        integer_at(config, "intermediate_size"));
    ffai__buffer_format(out, "attention     %lld heads over %lld key/value heads of %lld",
                        integer_at(config, "num_attention_heads"), integer_at(config, "num_key_value_heads"),
                        integer_at(config, "head_dim"));
    if (integer_at(config, "sliding_window"))
        ffai__buffer_format(out, ", window %lld", integer_at(config, "sliding_window"));
    ffai__buffer_text(out, "\n");
    print_rope(out, json_object_get(config, "rope"));
    ffai__buffer_format(out, "vocabulary    %lld\ncontext       %lld\n", integer_at(config, "vocab_size"),
                        integer_at(config, "max_position_embeddings"));
}

/* A line for each group: its formats with their sizes. */
static void print_weights(ffai__buffer *out, json_t *weights, bool tied)
{
    const char *group = NULL;
    json_t *formats = NULL;
    ffai__buffer_text(out, "parameters    ");
    put_amount(out, number_at(weights, "parameters"), "");
    ffai__buffer_text(out, ", ");
    put_amount(out, number_at(weights, "bytes"), "B");
    ffai__buffer_format(out, ", %.2f bits a weight\n", number_at(weights, "bits_per_weight"));
    json_object_foreach(json_object_get(weights, "groups"), group, formats)
    {
        const char *format = NULL;
        json_t *counts = NULL;
        size_t count = 0;
        ffai__buffer_format(out, "  %-10s  ", group);
        json_object_foreach(formats, format, counts)
        {
            ffai__buffer_format(out, "%s%s, ", count++ ? "; " : "", format);
            put_tensors(out, counts);
            put_amount(out, number_at(counts, "bytes"), "B");
        }
        ffai__buffer_text(out, "\n");
    }
    if (tied)
        ffai__buffer_text(out, "  head        the embedding's matrix\n");
}

static void print_memory(ffai__buffer *out, json_t *memory)
{
    const char *context = NULL;
    json_t *bytes = NULL;
    ffai__buffer_text(out, "memory        weights ");
    put_amount(out, number_at(memory, "weights"), "B");
    ffai__buffer_text(out, "; keys and values in bf16:");
    json_object_foreach(json_object_get(memory, "kv_bf16_by_context"), context, bytes)
    {
        ffai__buffer_format(out, " %s: ", context);
        put_amount(out, json_number_value(bytes), "B");
    }
    ffai__buffer_text(out, "\n");
}

static void print_parameters(ffai__buffer *out, json_t *parameters)
{
    const char *name = NULL;
    json_t *entry = NULL;
    ffai__buffer_text(out, "generation\n");
    json_object_foreach(parameters, name, entry)
    {
        ffai__buffer_format(out, "  %-20s %-8g %s\n", name, number_at(entry, "value"), text_at(entry, "source"));
    }
}

static void put_column(ffai__buffer *out, const json_t *estimate, const char *key)
{
    ffai__buffer amount = FFAI__BUFFER_INIT;
    put_amount(&amount, number_at(estimate, key), "B");
    ffai__buffer_format(out, "%12s", amount.data && !amount.failed ? amount.data : "");
    out->failed = out->failed || amount.failed;
    ffai__buffer_free(&amount);
}

static void print_estimates(ffai__buffer *out, const json_t *backend)
{
    static const char *const columns[] = {"weights", "stores", "workspace", "total"};
    size_t i = 0;
    json_t *estimate = NULL;
    ffai__buffer_format(out, "  %-4s        context", text_at(backend, "backend"));
    for (size_t k = 0; k < sizeof columns / sizeof columns[0]; k++)
        ffai__buffer_format(out, "%12s", columns[k]);
    ffai__buffer_text(out, "\n");
    json_array_foreach(json_object_get(backend, "contexts"), i, estimate)
    {
        ffai__buffer_format(out, "  %19lld", integer_at(estimate, "context"));
        for (size_t k = 0; k < sizeof columns / sizeof columns[0]; k++)
            put_column(out, estimate, columns[k]);
        ffai__buffer_text(out, json_is_true(json_object_get(estimate, "fits")) ? "\n" : "  too much\n");
    }
    ffai__buffer_text(out, "              available ");
    put_amount(out, number_at(backend, "available"), "B");
    ffai__buffer_format(out, ", enough for a context of %lld\n", integer_at(backend, "largest_context"));
}

static void print_here(ffai__buffer *out, json_t *here)
{
    size_t i = 0;
    json_t *backend = NULL;
    if (json_is_true(json_object_get(here, "runs")))
        ffai__buffer_format(out, "here          runs with %s (%s), context up to %lld\n", text_at(here, "backend"),
                            text_at(here, "reason"), integer_at(here, "largest_context"));
    else
        ffai__buffer_format(out, "here          does not run with %s: %s\n", text_at(here, "backend"),
                            text_at(here, "reason"));
    json_array_foreach(json_object_get(here, "backends"), i, backend)
    {
        if (json_is_true(json_object_get(backend, "usable")))
            print_estimates(out, backend);
        else
            ffai__buffer_format(out, "  %-4s        cannot be used: %s\n", text_at(backend, "backend"),
                                text_at(backend, "reason"));
    }
}

char *ffai__inspect_print(json_t *document)
{
    ffai__buffer out = FFAI__BUFFER_INIT;
    print_names(&out, document);
    print_config(&out, json_object_get(document, "config"));
    print_weights(&out, json_object_get(document, "weights"),
                  json_is_true(json_object_get(json_object_get(document, "config"), "tie_word_embeddings")));
    print_skipped(&out, json_object_get(document, "skipped"));
    print_memory(&out, json_object_get(document, "memory"));
    ffai__buffer_format(&out, "tokenizer     %s\n", text_at(document, "tokenizer"));
    print_list(&out, "end tokens", json_object_get(document, "end_tokens"));
    print_parameters(&out, json_object_get(document, "generation"));
    print_here(&out, json_object_get(document, "here"));
    return ffai__buffer_take(&out, NULL);
}
