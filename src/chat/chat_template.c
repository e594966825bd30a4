#define _POSIX_C_SOURCE 200809L /* localtime_r */
#include "chat_template.h"

#include <string.h>

#include "alloc.h"
#include "conversation.h"
#include "json.h"

/* One template. What is wrong with it is told when it is used: a model's others may do. */
typedef struct {
    char *name;
    ffai__jinja_template *parsed;
    ffai_status status;
    ffai_error error;
} named_template;

struct ffai_chat_template {
    named_template *templates;
    size_t count;
    json_t *own; /* variables that count as the templates' own text: bos_token … */
};

static const char default_name[] = "default";

static ffai_status no_memory(ffai_error *err)
{
    return ffai__fail_memory(err, "a chat template", 0);
}

/* --- what a model has --- */

/* "bos_token" is a string or an object with "content". */
static json_t *token_content(const json_t *config, const char *key)
{
    json_t *field = json_object_get(config, key);
    return json_is_object(field) ? json_object_get(field, "content") : field;
}

/* Those that transformers gives to templates. */
static ffai_status read_tokens(ffai_chat_template *t, const json_t *config, ffai_error *err)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    t->own = json_object();
    if (!t->own)
        return no_memory(err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *content = token_content(config, names[i]);
        if (json_is_string(content) && json_object_set(t->own, names[i], content))
            return no_memory(err);
    }
    return FFAI_OK;
}

static ffai_status add_template(ffai_chat_template *t, const char *name, const json_t *source, ffai_error *err)
{
    named_template *added = &t->templates[t->count++];
    const bool only = strcmp(name, default_name) == 0;
    char *what = only ? ffai__strdup("chat template") : ffai__format("chat template \"%s\"", name);
    added->name = ffai__strdup(name);
    if (!what || !added->name) {
        ffai__free(what);
        return no_memory(err);
    }
    added->status =
        ffai__jinja_parse(&added->parsed, json_string_value(source), json_string_length(source), what, &added->error);
    ffai__free(what);
    if (added->status != FFAI_E_MEMORY)
        return FFAI_OK;
    return no_memory(err);
}

static ffai_status read_templates(ffai_chat_template *t, const json_t *config, ffai_error *err)
{
    json_t *named = json_object_get(config, "chat_templates");
    const json_t *plain = json_object_get(config, "chat_template");
    const char *name = NULL;
    json_t *source = NULL;
    t->templates = ffai__calloc(json_object_size(named) + 1, sizeof *t->templates);
    if (!t->templates)
        return no_memory(err);
    if (json_is_string(plain))
        FFAI__TRY(add_template(t, default_name, plain, err));
    json_object_foreach(named, name, source)
    {
        if (json_is_string(source) && strcmp(name, default_name) != 0)
            FFAI__TRY(add_template(t, name, source, err));
    }
    return read_tokens(t, config, err);
}

ffai_status ffai__chat_template_create(ffai_chat_template **out, const json_t *tokenizer_config, ffai_error *err)
{
    ffai_chat_template *t = ffai__calloc(1, sizeof *t);
    if (!t)
        return no_memory(err);
    const ffai_status status = read_templates(t, tokenizer_config, err);
    if (status != FFAI_OK || t->count == 0) {
        ffai_chat_template_free(t);
        t = NULL;
    }
    if (status == FFAI_OK)
        *out = t;
    return status;
}

void ffai_chat_template_free(ffai_chat_template *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++) {
        ffai__free(t->templates[i].name);
        ffai__jinja_free(t->templates[i].parsed);
    }
    ffai__free(t->templates);
    json_decref(t->own);
    ffai__free(t);
}

/* --- which one --- */

static const named_template *find(const ffai_chat_template *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->templates[i].name, name) == 0)
            return &t->templates[i];
    }
    return NULL;
}

/* The names, for a message. */
static void list_names(char *out, size_t size, const ffai_chat_template *t)
{
    size_t used = 0;
    for (size_t i = 0; i < t->count && used < size; i++) {
        const int length = snprintf(out + used, size - used, "%s%s", i ? ", " : "", t->templates[i].name);
        used += length > 0 ? (size_t)length : 0;
    }
}

/* As transformers chooses. */
static ffai_status choose(const named_template **out, const ffai_chat_template *t, const char *name, bool has_tools,
                          ffai_error *err)
{
    char names[256];
    const named_template *found = name ? find(t, name) : has_tools ? find(t, "tool_use") : NULL;
    if (!found && !name)
        found = find(t, default_name);
    list_names(names, sizeof names, t);
    if (!found && name)
        return ffai__fail(err, FFAI_E_NOT_FOUND, "chat template: the model has none called \"%.100s\", but %s", name,
                          names);
    if (!found)
        return ffai__fail(err, FFAI_E_ARGUMENT, "chat template: the model has several and no default: choose of %s",
                          names);
    if (found->status != FFAI_OK)
        return ffai__fail(err, found->status, "%s", found->error.message);
    *out = found;
    return FFAI_OK;
}

/* --- a prompt --- */

/* Messages and variables in one object, with what a template may count on; NULL without memory. */
static json_t *data_of(const ffai_conversation *c)
{
    json_t *data = json_object();
    const bool failed = json_object_set_new(data, "tools", json_null()) ||
                        json_object_set_new(data, "documents", json_null()) ||
                        json_object_set_new(data, "add_generation_prompt", json_false()) ||
                        json_object_update(data, c->variables) || json_object_set(data, "messages", c->messages);
    if (!failed)
        return data;
    json_decref(data);
    return NULL;
}

ffai_status ffai__chat_render(ffai__jinja_output *out, const ffai_chat_template *t, const ffai_conversation *c,
                              const char *template_name, struct tm now, ffai_error *err)
{
    const named_template *chosen = NULL;
    const bool has_tools = ffai__json_field(c->variables, "tools") != NULL;
    if (ffai_conversation_count(c) == 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "conversation: has no messages");
    FFAI__TRY(choose(&chosen, t, template_name, has_tools, err));
    json_t *data = data_of(c);
    if (!data)
        return no_memory(err);
    const ffai__jinja_input input = {.own = t->own, .data = data, .now = now};
    const ffai_status status = ffai__jinja_render(out, chosen->parsed, &input, err);
    json_decref(data);
    return status;
}

static ffai_status render_now(ffai__jinja_output *out, const ffai_chat_template *t, const ffai_conversation *c,
                              const ffai_chat_options *options, ffai_error *err)
{
    const time_t seconds = time(NULL);
    struct tm now = {.tm_mday = 1};
    localtime_r(&seconds, &now);
    return ffai__chat_render(out, t, c, options ? options->template_name : NULL, now, err);
}

ffai_status ffai_chat_render(char **text, size_t *size, const ffai_chat_template *t, const ffai_conversation *c,
                             const ffai_chat_options *options, ffai_error *err)
{
    ffai__jinja_output output = {.text = NULL};
    FFAI__TRY(render_now(&output, t, c, options, err));
    *text = output.text;
    *size = output.size;
    output.text = NULL;
    ffai__jinja_output_free(&output);
    return FFAI_OK;
}

ffai_status ffai_chat_encode(int32_t **ids, size_t *count, const ffai_chat_template *t, const ffai_tokenizer *tokenizer,
                             const ffai_conversation *c, const ffai_chat_options *options, ffai_error *err)
{
    ffai__jinja_output output = {.text = NULL};
    FFAI__TRY(render_now(&output, t, c, options, err));
    ffai_encode_options encoding = {.parse_special = true, .typed = output.data, .num_typed = output.num_data};
    if (options && options->parse_special)
        encoding.num_typed = 0;
    const ffai_status status = ffai_tokenizer_encode(ids, count, tokenizer, output.text, output.size, &encoding, err);
    ffai__jinja_output_free(&output);
    return status;
}
