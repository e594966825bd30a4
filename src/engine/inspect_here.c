/* What a model and a session of one sequence would take on this machine, of each backend's memory, and whether it
 * runs. */
#include <stdio.h>
#include <string.h>

#include <ffai/device.h>
#include <ffai/memory.h>

#include "inspect.h"

enum { MOST_CONTEXTS = 5 };

/* Some usual contexts below the model's own, and that. */
static size_t choose_contexts(int64_t contexts[MOST_CONTEXTS], int64_t largest)
{
    static const int64_t usual[MOST_CONTEXTS - 1] = {2048, 8192, 32768, 131072};
    size_t count = 0;
    for (size_t i = 0; i < MOST_CONTEXTS - 1 && usual[i] < largest; i++)
        contexts[count++] = usual[i];
    contexts[count++] = largest;
    return count;
}

static json_t *describe_estimate(const ffai_memory_estimate *e)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:b}", "context", (json_int_t)e->context, "weights",
                     (json_int_t)e->weights, "stores", (json_int_t)e->stores, "workspace", (json_int_t)e->workspace,
                     "total", (json_int_t)(e->weights + e->stores + e->workspace), "fits", e->fits);
}

static json_t *describe_estimates(const char *backend, const ffai_memory_estimate *estimates, size_t count)
{
    json_t *contexts = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(contexts, describe_estimate(&estimates[i]));
    return json_pack("{s:s, s:b, s:s, s:I, s:I, s:o}", "backend", backend, "usable", 1, "reason", "", "available",
                     (json_int_t)estimates[0].available, "largest_context", (json_int_t)estimates[0].largest_context,
                     "contexts", contexts);
}

static json_t *describe_unusable(const char *backend, const char *reason)
{
    const size_t length = strlen(backend);
    if (strncmp(reason, backend, length) == 0 && strncmp(reason + length, ": ", 2) == 0)
        reason += length + 2; /* it stands beside its name */
    return json_pack("{s:s, s:b, s:s, s:i, s:i, s:[]}", "backend", backend, "usable", 0, "reason", reason, "available",
                     0, "largest_context", 0, "contexts");
}

/* What a backend says of itself and of the model is an answer; that memory for asking is short is none. */
static bool is_answer(ffai_status status)
{
    return status == FFAI_E_UNSUPPORTED || status == FFAI_E_BACKEND || status == FFAI_E_NOT_FOUND ||
           status == FFAI_E_LIMIT;
}

static ffai_status ask(json_t **out, const ffai_model *model, const char *backend, ffai_error *err)
{
    const ffai_model_options options = {.backend = backend};
    ffai_memory_estimate estimates[MOST_CONTEXTS];
    const ffai_session_options session = {.max_sequences = 1};
    int64_t contexts[MOST_CONTEXTS];
    const size_t count = choose_contexts(contexts, model->config.max_position_embeddings);
    ffai__backend_choice choice;
    ffai_error why = FFAI_ERROR_INIT;
    ffai_status status = ffai__backend_choose(&choice, backend, 0, &why);
    if (status == FFAI_OK)
        status = ffai_model_estimate(estimates, contexts, count, ffai__checkpoint_path(model->checkpoint), &options,
                                     &session, &why);
    if (status != FFAI_OK && !is_answer(status))
        return ffai__fail(err, status, "%s", why.message);
    *out = status == FFAI_OK ? describe_estimates(backend, estimates, count) : describe_unusable(backend, why.message);
    return FFAI_OK;
}

/* Why the model does not run with the backend that would be chosen; false: it does. */
static bool find_obstacle(char *text, size_t size, const json_t *backend, const char *tokenizer)
{
    const json_t *least = json_array_get(json_object_get(backend, "contexts"), 0);
    if (strncmp(tokenizer, "not usable", 10) == 0) {
        snprintf(text, size, "its tokenizer is %s", tokenizer);
        return true;
    }
    if (!json_is_true(json_object_get(backend, "usable"))) {
        snprintf(text, size, "%s", json_string_value(json_object_get(backend, "reason")));
        return true;
    }
    snprintf(text, size, "weights take %.2f GB, and %.2f GB of memory are available",
             json_number_value(json_object_get(least, "weights")) / 1e9,
             json_number_value(json_object_get(backend, "available")) / 1e9);
    return json_integer_value(json_object_get(backend, "largest_context")) == 0;
}

static json_t *conclude(json_t *cpu, json_t *cuda, const char *tokenizer)
{
    char why[256];
    char obstacle[sizeof(ffai_error)];
    const char *name = ffai_backend_auto(why, sizeof why);
    const json_t *chosen = strcmp(name, "cuda") == 0 ? cuda : cpu;
    const bool stopped = find_obstacle(obstacle, sizeof obstacle, chosen, tokenizer);
    const json_int_t context = stopped ? 0 : json_integer_value(json_object_get(chosen, "largest_context"));
    return json_pack("{s:b, s:s, s:s, s:I, s:[o, o]}", "runs", !stopped, "backend", name, "reason",
                     stopped ? obstacle : why, "largest_context", context, "backends", cpu, cuda);
}

ffai_status ffai__inspect_here(json_t **out, const ffai_model *model, const char *tokenizer, ffai_error *err)
{
    json_t *cpu = NULL;
    json_t *cuda = NULL;
    FFAI__TRY(ask(&cpu, model, "cpu", err));
    const ffai_status status = ask(&cuda, model, "cuda", err);
    if (status != FFAI_OK) {
        json_decref(cpu);
        return status;
    }
    *out = conclude(cpu, cuda, tokenizer);
    return FFAI_OK;
}
