/* Conversations, brought to the form in which transformers gives them to a template. */
#include "conversation.h"

#include <string.h>

#include "alloc.h"
#include "json.h"
#include "utf8.h"

/* Names that reasoning goes by; the first that a message has counts. */
static const char *const reasoning_names[] = {"reasoning_content", "thinking", "reasoning"};

static ffai_status no_memory(ffai_error *err)
{
    return ffai__fail_memory(err, "a conversation", 0);
}

ffai_status ffai_conversation_create(ffai_conversation **out, ffai_error *err)
{
    ffai_conversation *c = ffai__calloc(1, sizeof *c);
    if (!c)
        return no_memory(err);
    c->messages = json_array();
    c->variables = json_object();
    if (!c->messages || !c->variables) {
        ffai_conversation_free(c);
        return no_memory(err);
    }
    *out = c;
    return FFAI_OK;
}

void ffai_conversation_free(ffai_conversation *c)
{
    if (!c)
        return;
    json_decref(c->messages);
    json_decref(c->variables);
    ffai__free(c);
}

size_t ffai_conversation_count(const ffai_conversation *c)
{
    return json_array_size(c->messages);
}

void ffai_conversation_truncate(ffai_conversation *c, size_t count)
{
    while (json_array_size(c->messages) > count)
        (void)json_array_remove(c->messages, json_array_size(c->messages) - 1);
}

/* --- what templates expect of messages --- */

static void drop_nulls(json_t *message)
{
    const char *key = NULL;
    void *next = NULL;
    json_t *value = NULL;
    json_object_foreach_safe(message, next, key, value)
    {
        if (json_is_null(value))
            (void)json_object_del(message, key);
    }
}

static json_t *reasoning_of(const json_t *message)
{
    for (size_t i = 0; i < sizeof reasoning_names / sizeof *reasoning_names; i++) {
        json_t *reasoning = json_object_get(message, reasoning_names[i]);
        if (reasoning)
            return reasoning;
    }
    return NULL;
}

/* {"thinking": reasoning, …, "reasoning_content": reasoning}, in the order in which transformers has them: some
 * template could go over a message's members. A new reference; NULL without memory. */
static json_t *with_reasoning(json_t *message)
{
    json_t *reasoning = reasoning_of(message);
    if (!reasoning)
        return json_incref(message);
    json_t *all = json_object();
    const bool failed = json_object_set(all, "thinking", reasoning) || json_object_update(all, message) ||
                        json_object_set(all, "reasoning_content", reasoning);
    if (!failed)
        return all;
    json_decref(all);
    return NULL;
}

/* Takes the reference. */
static ffai_status append(json_t *messages, json_t *message, ffai_error *err)
{
    drop_nulls(message);
    json_t *whole = with_reasoning(message);
    json_decref(message);
    return json_array_append_new(messages, whole) ? no_memory(err) : FFAI_OK;
}

/* --- variables --- */

static ffai_status check_objects(const json_t *list, const char *name, ffai_error *err)
{
    if (!json_is_array(list))
        return ffai__fail(err, FFAI_E_ARGUMENT, "conversation: \"%s\": must be an array", name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_object(json_array_get(list, i)))
            return ffai__fail(err, FFAI_E_ARGUMENT, "conversation: \"%s\": entry %zu: must be an object", name, i + 1);
    }
    return FFAI_OK;
}

/* Takes no reference. */
static ffai_status set_variable(ffai_conversation *c, const char *name, json_t *value, ffai_error *err)
{
    const bool refused = strcmp(name, "chat_template") == 0 || strcmp(name, "continue_final_message") == 0;
    if (refused && (json_is_true(value) || json_is_string(value)))
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "conversation: \"%s\": is not supported", name);
    const bool of_objects = strcmp(name, "tools") == 0 || strcmp(name, "documents") == 0;
    if (of_objects && !json_is_null(value))
        FFAI__TRY(check_objects(value, name, err));
    return json_object_set(c->variables, name, value) ? no_memory(err) : FFAI_OK;
}

ffai_status ffai_conversation_set(ffai_conversation *c, const char *name, const char *json, size_t size,
                                  ffai_error *err)
{
    json_t *value = NULL;
    if (strcmp(name, "messages") == 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "conversation: \"messages\": are no variable: add them one by one");
    FFAI__TRY(ffai__json_parse_as_written(&value, json, size, "conversation", err));
    const ffai_status status = set_variable(c, name, value, err);
    json_decref(value);
    return status;
}

/* --- from JSON --- */

static ffai_status take_members(ffai_conversation *c, json_t *request, ffai_error *err)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(request, name, value)
    {
        if (strcmp(name, "messages") != 0)
            FFAI__TRY(set_variable(c, name, value, err));
    }
    const json_t *messages = json_object_get(request, "messages");
    FFAI__TRY(check_objects(messages, "messages", err));
    for (size_t i = 0; i < json_array_size(messages); i++)
        FFAI__TRY(append(c->messages, json_incref(json_array_get(messages, i)), err));
    return FFAI_OK;
}

ffai_status ffai_conversation_parse(ffai_conversation **out, const char *json, size_t size, ffai_error *err)
{
    json_t *request = NULL;
    ffai_conversation *c = NULL;
    FFAI__TRY(ffai__json_parse_as_written(&request, json, size, "conversation", err));
    ffai_status status = ffai_conversation_create(&c, err);
    if (status == FFAI_OK && !json_is_object(request))
        status = ffai__fail(err, FFAI_E_ARGUMENT, "conversation: must be an object with \"messages\"");
    if (status == FFAI_OK)
        status = take_members(c, request, err);
    json_decref(request);
    if (status != FFAI_OK) {
        ffai_conversation_free(c);
        return status;
    }
    *out = c;
    return FFAI_OK;
}

/* --- from a program --- */

/* NULL without memory. */
static json_t *text_of(const char *text, size_t size)
{
    if (ffai__utf8_valid(text, size))
        return json_stringn_nocheck(text, size);
    ffai__buffer repaired = FFAI__BUFFER_INIT;
    ffai__utf8_append_repaired(&repaired, text, size);
    json_t *value = repaired.failed ? NULL : json_stringn_nocheck(repaired.data, repaired.size);
    ffai__buffer_free(&repaired);
    return value;
}

static ffai_status set_text(json_t *object, const char *key, const char *text, size_t size, ffai_error *err)
{
    return text && json_object_set_new(object, key, text_of(text, size)) ? no_memory(err) : FFAI_OK;
}

static ffai_status set_string(json_t *object, const char *key, const char *text, ffai_error *err)
{
    return set_text(object, key, text, text ? strlen(text) : 0, err);
}

static ffai_status fill_call(json_t *call, const ffai_tool_call *from, ffai_error *err)
{
    json_t *arguments = NULL;
    FFAI__TRY(set_string(call, "id", from->id, err));
    FFAI__TRY(set_string(call, "type", "function", err));
    json_t *function = json_object();
    if (json_object_set_new(call, "function", function))
        return no_memory(err);
    FFAI__TRY(set_string(function, "name", from->name, err));
    FFAI__TRY(ffai__json_parse_as_written(&arguments, from->arguments, from->arguments_size, "arguments", err));
    if (!json_is_object(arguments)) {
        json_decref(arguments);
        return ffai__fail(err, FFAI_E_ARGUMENT, "arguments: must be a JSON object");
    }
    return json_object_set_new(function, "arguments", arguments) ? no_memory(err) : FFAI_OK;
}

static ffai_status fill_calls(json_t *message, const ffai_message *from, ffai_error *err)
{
    if (from->num_tool_calls == 0)
        return FFAI_OK;
    json_t *calls = json_array();
    if (json_object_set_new(message, "tool_calls", calls))
        return no_memory(err);
    for (size_t i = 0; i < from->num_tool_calls; i++) {
        json_t *call = json_object();
        if (json_array_append_new(calls, call))
            return no_memory(err);
        const ffai_status status = fill_call(call, &from->tool_calls[i], err);
        if (status != FFAI_OK)
            return ffai__fail_in(err, status == FFAI_E_FORMAT ? FFAI_E_ARGUMENT : status, "conversation: call %zu",
                                 i + 1);
    }
    return FFAI_OK;
}

static ffai_status fill_message(json_t *message, const ffai_message *from, ffai_error *err)
{
    FFAI__TRY(set_string(message, "role", from->role, err));
    FFAI__TRY(set_text(message, "content", from->content, from->content_size, err));
    FFAI__TRY(set_text(message, "reasoning_content", from->reasoning, from->reasoning_size, err));
    FFAI__TRY(fill_calls(message, from, err));
    FFAI__TRY(set_string(message, "name", from->name, err));
    return set_string(message, "tool_call_id", from->tool_call_id, err);
}

ffai_status ffai_conversation_add(ffai_conversation *c, const ffai_message *from, ffai_error *err)
{
    json_t *message = json_object();
    if (!message)
        return no_memory(err);
    const ffai_status status = fill_message(message, from, err);
    if (status == FFAI_OK)
        return append(c->messages, message, err);
    json_decref(message);
    return status;
}
