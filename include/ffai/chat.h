/**
 * Conversations, as a model was trained to read them: its chat template makes one prompt of their messages.
 *
 * Text and token ids are those of transformers' apply_chat_template, but for one thing: a special token that stands in
 * what a message says is text there, and only the template's own are tokens.
 */
#ifndef FFAI_CHAT_H
#define FFAI_CHAT_H

#include <ffai/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A model's chat templates: one, or several by name. Immutable; may be used from several threads at once.
 */
typedef struct ffai_chat_template ffai_chat_template;

/**
 * The chat template of a loaded model, or of a folder or a .gguf file (path NULL: the default model), of which no
 * weights are read.
 *
 * out  receives NULL where there is none, with FFAI_OK; else free it with ffai_chat_template_free. It is independent of
 *      the model.
 * FFAI_E_FORMAT for a broken file. What is wrong with a template itself is told when it is used.
 */
FFAI_API ffai_status ffai_chat_template_of(ffai_chat_template **out, const ffai_model *model, ffai_error *err);
FFAI_API ffai_status ffai_chat_template_load(ffai_chat_template **out, const char *path, ffai_error *err);
FFAI_API void ffai_chat_template_free(ffai_chat_template *chat_template);

/**
 * A conversation: messages, and what else the template may ask for (tools, enable_thinking …). Everything is copied.
 * Used by one thread at a time.
 */
typedef struct ffai_conversation ffai_conversation;

/** An empty one. Free with ffai_conversation_free. */
FFAI_API ffai_status ffai_conversation_create(ffai_conversation **out, ffai_error *err);

/**
 * One from JSON, `{"messages": […], "tools": […], "add_generation_prompt": true, …}`, with messages as OpenAI's
 * interface has them; every other key is a variable of the template. Values are given to the template as they stand,
 * but that members of messages that are null count as absent, and reasoning is found as reasoning_content, thinking or
 * reasoning.
 *
 * FFAI_E_FORMAT for what is no JSON; FFAI_E_ARGUMENT, naming the field, for what is not as above. FFAI_E_UNSUPPORTED
 * for "chat_template" and "continue_final_message".
 */
FFAI_API ffai_status ffai_conversation_parse(ffai_conversation **out, const char *json, size_t size, ffai_error *err);
FFAI_API void ffai_conversation_free(ffai_conversation *conversation);

/** A call of a tool that an assistant's message makes. */
typedef struct ffai_tool_call {
    const char *id;        /**< may be NULL */
    const char *name;      /**< of the function */
    const char *arguments; /**< a JSON object */
    size_t arguments_size;
} ffai_tool_call;

/** A message. What is NULL is absent. Bytes that are not UTF-8 count as U+FFFD each maximal subpart. */
typedef struct ffai_message {
    const char *role; /**< "system", "user", "assistant", "tool" … */
    const char *content;
    size_t content_size;
    const char *reasoning; /**< what the assistant thought before it answered */
    size_t reasoning_size;
    const ffai_tool_call *tool_calls;
    size_t num_tool_calls;
    const char *name;         /**< a tool message's: of the function */
    const char *tool_call_id; /**< a tool message's: the call that it answers */
} ffai_message;

/** Add a message. On failure, FFAI_E_ARGUMENT for arguments that are no JSON object, nothing is changed. */
FFAI_API ffai_status ffai_conversation_add(ffai_conversation *conversation, const ffai_message *message,
                                           ffai_error *err);

/** The number of messages. */
FFAI_API size_t ffai_conversation_count(const ffai_conversation *conversation);

/** Keep the first `count` messages. */
FFAI_API void ffai_conversation_truncate(ffai_conversation *conversation, size_t count);

/**
 * Set a variable of the template to a JSON value: "tools", "documents", "add_generation_prompt" (false unless it is
 * set), "enable_thinking" … Errors as of ffai_conversation_parse.
 */
FFAI_API ffai_status ffai_conversation_set(ffai_conversation *conversation, const char *name, const char *json,
                                           size_t size, ffai_error *err);

typedef struct ffai_chat_options {
    const char *template_name; /**< NULL: "tool_use" where there are tools and it, else the default */
    bool parse_special;        /**< find special tokens in what messages say, too */
} ffai_chat_options;

#define FFAI_CHAT_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        0                                                                                                              \
    }

/**
 * The prompt as text.
 *
 * text     receives *size bytes of UTF-8 and an ending 0; free it with ffai_free.
 * options  may be NULL.
 * FFAI_E_ARGUMENT where the conversation has no messages, or the template refuses it, with its line and message.
 * FFAI_E_FORMAT and FFAI_E_UNSUPPORTED for a template that is none. FFAI_E_LIMIT where it takes too much.
 * FFAI_E_NOT_FOUND if there is no template of this name.
 */
FFAI_API ffai_status ffai_chat_render(char **text, size_t *size, const ffai_chat_template *chat_template,
                                      const ffai_conversation *conversation, const ffai_chat_options *options,
                                      ffai_error *err);

/**
 * The prompt as token ids; nothing is added to those of the text.
 *
 * ids  receives an array of *count ids; free it with ffai_free.
 * Errors as of ffai_chat_render and ffai_tokenizer_encode.
 */
FFAI_API ffai_status ffai_chat_encode(int32_t **ids, size_t *count, const ffai_chat_template *chat_template,
                                      const ffai_tokenizer *tokenizer, const ffai_conversation *conversation,
                                      const ffai_chat_options *options, ffai_error *err);

#ifdef __cplusplus
}
#endif
#endif
