/* What a model's weights are: by format, by what they are for, and those that are left aside. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "inspect.h"

typedef enum group { GROUP_NONE, EMBEDDING, ATTENTION, MLP, HEAD, NORMS, OTHER, GROUP_COUNT } group;

static const char *const group_names[GROUP_COUNT] = {"", "embedding", "attention", "mlp", "head", "norms", "other"};

static group group_of_name(const char *name)
{
    if (strstr(name, "attn.") || strstr(name, "attention."))
        return ATTENTION;
    return strstr(name, "mlp.") || strstr(name, "feed_forward.") ? MLP : OTHER;
}

/* What an instruction uses a weight for. */
static group group_of_use(const ffai__program *program, const ffai__instruction *instruction, const char *name)
{
    if (instruction->op == FFAI__OP_embed)
        return EMBEDDING;
    if (instruction->op == FFAI__OP_rms_norm)
        return NORMS;
    return instruction->out[0] == program->logits ? HEAD : group_of_name(name);
}

/* groups [num_values]: the first use decides, so the matrix of a tied head is the embedding's. */
static void find_groups(group *groups, const ffai__program *program)
{
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        for (int k = 0; k < FFAI__MAX_INPUTS; k++) {
            const ffai__weight *weight = ffai__weight_of(program, instruction->in[k]);
            if (weight && groups[instruction->in[k]] == GROUP_NONE)
                groups[instruction->in[k]] = group_of_use(program, instruction, weight->name);
        }
    }
}

static uint64_t parameters_of(const ffai__weight *weight)
{
    return (uint64_t)weight->rows * (uint64_t)weight->columns;
}

/* The object under a key, made where there is none. */
static json_t *object_at(json_t *object, const char *key)
{
    if (!json_object_get(object, key))
        json_object_set_new(object, key, json_object());
    return json_object_get(object, key);
}

static void add_to(json_t *counts, const char *key, uint64_t amount)
{
    const json_int_t sum = json_integer_value(json_object_get(counts, key)) + (json_int_t)amount;
    json_object_set_new(counts, key, json_integer(sum));
}

static void count_in(json_t *counts, const ffai__weight *weight)
{
    add_to(counts, "tensors", 1);
    add_to(counts, "parameters", parameters_of(weight));
    add_to(counts, "bytes", ffai__weight_bytes(weight));
}

static json_t *describe(const ffai__program *program, const group *groups)
{
    json_t *weights = json_pack("{s:i, s:i, s:i, s:f, s:{}, s:{}}", "tensors", 0, "parameters", 0, "bytes", 0,
                                "bits_per_weight", 0.0, "formats", "groups");
    json_t *formats = json_object_get(weights, "formats");
    json_t *by_group = json_object_get(weights, "groups");
    for (int g = GROUP_NONE + 1; g < GROUP_COUNT; g++)
        object_at(by_group, group_names[g]);
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__weight *weight = program->values[i].weight;
        char text[32];
        if (!weight)
            continue;
        const char *format = ffai__weight_format_text(weight, text);
        count_in(weights, weight);
        count_in(object_at(formats, format), weight);
        count_in(object_at(object_at(by_group, group_names[groups[i]]), format), weight);
    }
    for (int g = GROUP_NONE + 1; g < GROUP_COUNT; g++) {
        if (json_object_size(json_object_get(by_group, group_names[g])) == 0)
            json_object_del(by_group, group_names[g]);
    }
    const double parameters = (double)json_integer_value(json_object_get(weights, "parameters"));
    const double bytes = (double)json_integer_value(json_object_get(weights, "bytes"));
    json_object_set_new(weights, "bits_per_weight", json_real(parameters > 0 ? 8 * bytes / parameters : 0));
    return weights;
}

ffai_status ffai__inspect_weights(json_t **out, const ffai_model *model, ffai_error *err)
{
    group *groups = ffai__calloc(model->program->num_values, sizeof *groups);
    if (!groups)
        return ffai__fail_memory(err, "the description", model->program->num_values);
    find_groups(groups, model->program);
    *out = describe(model->program, groups);
    ffai__free(groups);
    return FFAI_OK;
}

void ffai__inspect_variant(char text[64], const ffai_model *model, double parameters)
{
    if (parameters >= 999.5e6)
        snprintf(text, 64, "%.40s %.1fB", model->family->name, parameters / 1e9);
    else if (parameters >= 999.5e3)
        snprintf(text, 64, "%.40s %.0fM", model->family->name, parameters / 1e6);
    else
        snprintf(text, 64, "%.40s %.0fk", model->family->name, parameters / 1e3);
}

static void add_part(json_t *skipped, ffai__part part, const ffai_model *model)
{
    json_t *counts = json_pack("{s:i, s:i}", "tensors", 0, "bytes", 0);
    for (size_t i = 0; i < ffai__checkpoint_count(model->checkpoint); i++) {
        const ffai__weight *weight = ffai__checkpoint_weight(model->checkpoint, i);
        if (ffai__part_of(weight->name) != part || !ffai__family_skips(model->family, weight->name))
            continue;
        add_to(counts, "tensors", 1);
        add_to(counts, "bytes", ffai__weight_bytes(weight));
    }
    if (json_integer_value(json_object_get(counts, "tensors")) > 0)
        json_object_set(skipped, ffai__part_text(part), counts);
    json_decref(counts);
}

json_t *ffai__inspect_skipped(const ffai_model *model)
{
    json_t *skipped = json_object();
    for (int part = 0; part < FFAI__PART_COUNT; part++)
        add_part(skipped, (ffai__part)part, model);
    return skipped;
}
