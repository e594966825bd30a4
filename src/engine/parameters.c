/* Generation parameters: the caller's, else generation_config.json's, else what was tuned, else the family's, else
 * the library's. */
#include <string.h>

#include "engine.h"
#include "json.h"

/* What the library itself says, and so what a family must differ from to count as the source. */
static const ffai__generation_defaults library = FFAI__GENERATION_DEFAULTS(1024, 1.0, 0);

const char *ffai_source_name(ffai_source source)
{
    static const char *const names[] = {"caller", "generation_config.json", "family", "library", "tuning"};
    return names[source];
}

static ffai_parameter from_family(double family_value, double library_value)
{
    return (ffai_parameter){family_value, family_value != library_value ? FFAI_FROM_FAMILY : FFAI_FROM_LIBRARY};
}

static ffai_status from_checkpoint(ffai_parameter *parameter, const json_t *json, const char *key, double least,
                                   double most, const char *path, ffai_error *err)
{
    int64_t integer = 0;
    if (!ffai__json_field(json, key))
        return FFAI_OK;
    /* Some files switch top_k off by -1. */
    if (strcmp(key, "top_k") == 0 && ffai__json_integer(&integer, json_object_get(json, key)) && integer == -1) {
        *parameter = (ffai_parameter){0, FFAI_FROM_CHECKPOINT};
        return FFAI_OK;
    }
    if (most > 100) { /* the ones that count something */
        FFAI__TRY(ffai__json_get_int(&integer, json, key, (int64_t)least, (int64_t)most, path, err));
        parameter->value = (double)integer;
    } else {
        FFAI__TRY(ffai__json_get_double(&parameter->value, json, key, least, most, path, err));
    }
    parameter->source = FFAI_FROM_CHECKPOINT;
    return FFAI_OK;
}

ffai_status ffai__parameters_resolve(ffai_parameters *parameters, const ffai__family *family,
                                     const json_t *generation_config, const char *path, ffai_error *err)
{
#define FFAI_FROM_FAMILY_OR_LIBRARY(name, least, most)                                                                 \
    parameters->name = from_family((double)family->defaults.name, (double)library.name);
    FFAI_PARAMETER_LIST(FFAI_FROM_FAMILY_OR_LIBRARY)
#undef FFAI_FROM_FAMILY_OR_LIBRARY
    if (!generation_config)
        return FFAI_OK;
#define FFAI_FROM_CONFIG(name, least, most)                                                                            \
    FFAI__TRY(from_checkpoint(&parameters->name, generation_config, #name, least, most, path, err));
    FFAI_PARAMETER_LIST(FFAI_FROM_CONFIG)
#undef FFAI_FROM_CONFIG
    FFAI__TRY(from_checkpoint(&parameters->max_tokens, generation_config, "max_new_tokens", 0, 1e9, path, err));
    /* A file that says "do_sample": false asks for the most likely token whatever its temperature. */
    if (json_is_false(json_object_get(generation_config, "do_sample")))
        parameters->temperature = (ffai_parameter){0, FFAI_FROM_CHECKPOINT};
    return FFAI_OK;
}

void ffai__parameters_suit(ffai_parameters *parameters, const ffai__backend *backend, const ffai__tuning *tuning)
{
    ffai_parameter *step = &parameters->prefill_step_size;
    if (tuning->step_rows && step->source != FFAI_FROM_CHECKPOINT)
        *step = (ffai_parameter){tuning->step_rows, FFAI_FROM_TUNING};
    else if (backend->step_rows && step->source == FFAI_FROM_LIBRARY)
        step->value = backend->step_rows;
}

int32_t ffai__parameters_step_rows(const ffai_parameters *parameters, bool scarce)
{
    const ffai_parameter *step = &parameters->prefill_step_size;
    const bool free = step->source == FFAI_FROM_LIBRARY || step->source == FFAI_FROM_TUNING;
    return (int32_t)(scarce && free && step->value > (double)library.prefill_step_size
                         ? (double)library.prefill_step_size
                         : step->value);
}

/* --- end tokens --- */

/* Published files have ids that the model cannot give, one past the vocabulary or -1 for none: no token ends there. */
static void add_end_token(ffai_model *model, int64_t token)
{
    if (token < 0 || token >= model->config.vocab_size || ffai_model_is_end_token(model, (int32_t)token))
        return;
    if (model->num_end_tokens < FFAI__MAX_END_TOKENS)
        model->end_tokens[model->num_end_tokens++] = (int32_t)token;
}

static ffai_status add_eos_token_id(ffai_model *model, const json_t *json, const char *what, ffai_error *err)
{
    const json_t *field = ffai__json_field(json, "eos_token_id");
    const size_t count = json_is_array(field) ? json_array_size(field) : field != NULL;
    for (size_t i = 0; i < count; i++) {
        int64_t token = 0;
        if (!ffai__json_integer(&token, json_is_array(field) ? json_array_get(field, i) : field))
            return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"eos_token_id\": must be an integer or an array of them",
                              what);
        add_end_token(model, token);
    }
    return FFAI_OK;
}

/* "eos_token" is a string or an object with "content". */
static const char *token_content(const json_t *config, const char *key)
{
    const json_t *field = ffai__json_field(config, key);
    return json_string_value(json_is_object(field) ? json_object_get(field, "content") : field);
}

ffai_status ffai__end_tokens_add_tokenizers(ffai_model *model, ffai_error *err)
{
    json_t *config = NULL;
    FFAI__TRY(ffai__checkpoint_tokenizer_config(&config, model->checkpoint, err));
    const char *content = token_content(config, "eos_token");
    if (content)
        add_end_token(model, ffai_tokenizer_find(model->tokenizer, content));
    json_decref(config);
    return FFAI_OK;
}

ffai_status ffai__end_tokens_read(ffai_model *model, const char *path, ffai_error *err)
{
    const json_t *generation = ffai__checkpoint_generation_config(model->checkpoint);
    if (generation)
        FFAI__TRY(add_eos_token_id(model, generation, path, err));
    return add_eos_token_id(model, model->config.json, model->config_path, err);
}
