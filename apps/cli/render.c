/* render: a conversation as the prompt that a model's chat template makes of it. */
#include <stdlib.h>

#include <ffai/chat.h>

#include "command.h"
#include "input.h"
#include "model_source.h"
#include "report.h"

typedef struct render_settings {
    model_settings model;
    setting template_name, ids, parse_special;
} render_settings;

#define AT(field) offsetof(render_settings, field)
static const option options[] = {
    MODEL_OPTION,
    VALUE(OPTION_TEXT, 0, "template", "NAME", template_name, "of several (default: tool_use for tools, else default)"),
    SWITCH("ids", ids, "token ids instead of the text"),
    SWITCH("parse-special", parse_special, "with --ids: find special tokens in what messages say, too"),
};
#undef AT

static int check(const void *settings)
{
    const render_settings *s = settings;
    if (s->parse_special.given && !s->ids.given)
        return report_usage("render: --parse-special: takes --ids: in the text there are no tokens");
    return EXIT_OK;
}

static ffai_status print_text(output *out, const ffai_chat_template *chat_template,
                              const ffai_conversation *conversation, const ffai_chat_options *how, ffai_error *err)
{
    char *text = NULL;
    size_t size = 0;
    const ffai_status status = ffai_chat_render(&text, &size, chat_template, conversation, how, err);
    if (status == FFAI_OK)
        output_write(out, text, size);
    ffai_free(text);
    return status;
}

static ffai_status print_ids(output *out, const render_settings *s, const ffai_chat_template *chat_template,
                             const ffai_conversation *conversation, const ffai_chat_options *how, ffai_error *err)
{
    ffai_tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    size_t count = 0;
    ffai_status status = tokenizer_open(&tokenizer, &s->model.path, err);
    if (status == FFAI_OK)
        status = ffai_chat_encode(&ids, &count, chat_template, tokenizer, conversation, how, err);
    if (status == FFAI_OK)
        output_ids(out, ids, count);
    ffai_free(ids);
    ffai_tokenizer_free(tokenizer);
    return status;
}

static ffai_status print_prompt(output *out, const render_settings *s, const ffai_conversation *conversation,
                                ffai_error *err)
{
    const ffai_chat_options how = {.template_name = s->template_name.text, .parse_special = s->parse_special.given};
    ffai_chat_template *chat_template = NULL;
    ffai_status status = chat_template_open(&chat_template, &s->model.path, err);
    if (status == FFAI_OK && !chat_template)
        status = failure(err, FFAI_E_NOT_FOUND, "render: the model has no chat template: ffai tokenize takes a text");
    else if (status == FFAI_OK && s->ids.given)
        status = print_ids(out, s, chat_template, conversation, &how, err);
    else if (status == FFAI_OK)
        status = print_text(out, chat_template, conversation, &how, err);
    ffai_chat_template_free(chat_template);
    return status;
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    ffai_conversation *conversation = NULL;
    char *text = NULL;
    size_t size = 0;
    ffai_status status = input_read(&text, &size, NULL, err);
    if (status == FFAI_OK)
        status = ffai_conversation_parse(&conversation, text, size, err);
    if (status == FFAI_OK)
        status = print_prompt(out, settings, conversation, err);
    ffai_conversation_free(conversation);
    free(text);
    return status;
}

extern const command command_render;
const command command_render = {
    .name = "render",
    .summary = "Turn a conversation on standard input into the prompt that a model reads.",
    .synopsis = "[-m MODEL] [--ids] < '{\"messages\": [...]}'",
    .details = "The conversation is a JSON object: messages, and tools, add_generation_prompt and whatever else the\n"
               "model's chat template asks for. Of the model only tokenizer and template are read.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(render_settings),
    .check = check,
    .run = run,
};
