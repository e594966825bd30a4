/* A model's chat templates, and prompts made with them. */
#ifndef FFAI_CHAT_CHAT_TEMPLATE_H
#define FFAI_CHAT_CHAT_TEMPLATE_H

#include <ffai/chat.h>

#include "jinja.h"

/* From a tokenizer_config.json as ffai__checkpoint_tokenizer_config gives it: "chat_template", the others in
 * "chat_templates" by name, and the special tokens that templates may name. *out is NULL where it has none; free with
 * ffai_chat_template_free. */
ffai_status ffai__chat_template_create(ffai_chat_template **out, const json_t *tokenizer_config, ffai_error *err);

/* ffai_chat_render with all that the interpreter tells. now: for templates that print a date. */
ffai_status ffai__chat_render(ffai__jinja_output *out, const ffai_chat_template *t,
                              const ffai_conversation *conversation, const char *template_name, struct tm now,
                              ffai_error *err);

#endif
