/* tokenize and detokenize: the tokenizer alone, without the model's weights. */
#include <stdlib.h>

#include <ffai/model.h>

#include "command.h"
#include "input.h"
#include "model_source.h"

typedef struct tokenize_settings {
    model_settings model;
    setting no_special;
} tokenize_settings;

#define AT(field) offsetof(tokenize_settings, field)
static const option tokenize_options[] = {
    MODEL_OPTION,
    SWITCH("no-special", no_special, "add no special tokens, a beginning of text say"),
};
static const option detokenize_options[] = {
    MODEL_OPTION,
};
#undef AT

static ffai_status encode(output *out, const tokenize_settings *s, const char *text, size_t size, ffai_error *err)
{
    const ffai_encode_options options = {.add_special_tokens = !s->no_special.given, .parse_special = true};
    ffai_tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    size_t count = 0;
    ffai_status status = tokenizer_open(&tokenizer, &s->model.path, err);
    if (status == FFAI_OK)
        status = ffai_tokenizer_encode(&ids, &count, tokenizer, text, size, &options, err);
    if (status == FFAI_OK)
        output_ids(out, ids, count);
    ffai_free(ids);
    ffai_tokenizer_free(tokenizer);
    return status;
}

static ffai_status run_tokenize(output *out, const void *settings, ffai_error *err)
{
    char *text = NULL;
    size_t size = 0;
    ffai_status status = input_read(&text, &size, NULL, err);
    if (status == FFAI_OK)
        status = encode(out, settings, text, size, err);
    free(text);
    return status;
}

static ffai_status decode(output *out, const tokenize_settings *s, const int32_t *ids, size_t count, ffai_error *err)
{
    ffai_tokenizer *tokenizer = NULL;
    char *text = NULL;
    size_t size = 0;
    ffai_status status = tokenizer_open(&tokenizer, &s->model.path, err);
    if (status == FFAI_OK)
        status = ffai_tokenizer_decode(&text, &size, tokenizer, ids, count, false, err);
    if (status == FFAI_OK)
        output_write(out, text, size);
    ffai_free(text);
    ffai_tokenizer_free(tokenizer);
    return status;
}

static ffai_status run_detokenize(output *out, const void *settings, ffai_error *err)
{
    int32_t *ids = NULL;
    size_t count = 0;
    ffai_status status = input_read_ids(&ids, &count, err);
    if (status == FFAI_OK)
        status = decode(out, settings, ids, count, err);
    free(ids);
    return status;
}

extern const command command_tokenize, command_detokenize;
const command command_tokenize = {
    .name = "tokenize",
    .summary = "Turn the text on standard input into a JSON array of token ids.",
    .synopsis = "[-m MODEL] [--no-special] < TEXT",
    .details = "The text is taken whole; nothing is trimmed. Of the model only its tokenizer is read.",
    .options = {tokenize_options, sizeof tokenize_options / sizeof *tokenize_options},
    .settings_size = sizeof(tokenize_settings),
    .run = run_tokenize,
};
const command command_detokenize = {
    .name = "detokenize",
    .summary = "Turn a JSON array of token ids on standard input into text.",
    .synopsis = "[-m MODEL] < IDS",
    .details = "Special tokens are kept, and no line end is added.",
    .options = {detokenize_options, sizeof detokenize_options / sizeof *detokenize_options},
    .settings_size = sizeof(tokenize_settings),
    .run = run_detokenize,
};
