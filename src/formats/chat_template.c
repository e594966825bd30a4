/* tokenizer_config.json's "chat_template": one template's text, or a list of {name, template}. The text is only carried
 * along, into a converted folder: nothing renders it. */
#include <string.h>

#include "contents.h"

/* Collect the list as {name: text}. */
static ffai_status read_list(json_t *named, const json_t *list, const char *what, ffai_error *err)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(list, i, item)
    {
        const json_t *name = json_object_get(item, "name");
        json_t *text = json_object_get(item, "template");
        if (!json_is_string(name) || !json_is_string(text))
            return ffai__fail(err, FFAI_E_FORMAT,
                              "%s: tokenizer_config.json: field \"chat_template\": entry %zu must have a string "
                              "\"name\" and a string \"template\"",
                              what, i);
        if (json_object_set(named, json_string_value(name), text) != 0)
            return ffai__fail_memory(err, "the chat templates", json_string_length(text));
    }
    return FFAI_OK;
}

/* The template called default, or the only one there is. */
static json_t *choose(json_t *named)
{
    json_t *chosen = json_object_get(named, "default");
    if (!chosen && json_object_size(named) == 1)
        chosen = json_object_iter_value(json_object_iter(named));
    return chosen;
}

static ffai_status replace_list(json_t *config, json_t *named, ffai_error *err)
{
    json_t *chosen = choose(named);
    const int failed =
        chosen ? json_object_set(config, "chat_template", chosen) : json_object_del(config, "chat_template");
    if (failed || json_object_set(config, "chat_templates", named) != 0)
        return ffai__fail_memory(err, "the chat templates", json_object_size(named));
    return FFAI_OK;
}

ffai_status ffai__chat_template_normalize(json_t *config, const char *what, ffai_error *err)
{
    const json_t *field = json_object_get(config, "chat_template");
    if (!field || json_is_null(field) || json_is_string(field))
        return FFAI_OK;
    if (!json_is_array(field))
        return ffai__fail(err, FFAI_E_FORMAT,
                          "%s: tokenizer_config.json: field \"chat_template\": must be a string or a list", what);
    json_t *named = json_object();
    if (!named)
        return ffai__fail_memory(err, "the chat templates", 0);
    ffai_status status = read_list(named, field, what, err);
    if (status == FFAI_OK)
        status = replace_list(config, named, err);
    json_decref(named);
    return status;
}
