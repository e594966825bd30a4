#define _GNU_SOURCE
#include "prompt.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "input.h"
#include "report.h"

int prompt_check(const prompt_settings *settings, const char *command)
{
    const struct {
        const setting *setting;
        const char *name;
    } sources[] = {{&settings->text, "prompt"}, {&settings->file, "file"}, {&settings->tokens, "tokens"}};
    const char *first = NULL;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (sources[i].setting->given && first)
            return report_usage("%s: --%s: contradicts --%s: give one prompt", command, sources[i].name, first);
        if (sources[i].setting->given)
            first = sources[i].name;
    }
    return EXIT_OK;
}

static ffai_status copy(void **out, const void *bytes, size_t size, ffai_error *err)
{
    *out = malloc(size + 1);
    if (!*out)
        return failure_memory(err, "prompt");
    memcpy(*out, bytes, size);
    return FFAI_OK;
}

ffai_status prompt_read(prompt *out, const prompt_settings *settings, ffai_error *err)
{
    void *bytes = NULL;
    ffai_status status = FFAI_OK;
    *out = (prompt){0};
    if (settings->tokens.given) {
        out->num_tokens = settings->tokens.num_tokens;
        status = copy(&bytes, settings->tokens.tokens, out->num_tokens * sizeof *out->tokens, err);
        out->tokens = bytes;
    } else if (settings->text.given) {
        out->size = strlen(settings->text.text);
        status = copy(&bytes, settings->text.text, out->size, err);
        out->text = bytes;
    } else {
        if (!settings->file.given && isatty(STDIN_FILENO))
            report_note("the prompt is read from the terminal: end it with Ctrl-D on a line of its own");
        status = input_read(&out->text, &out->size, settings->file.text, err);
    }
    return status;
}

ffai_status prompt_encode(prompt *p, const ffai_tokenizer *tokenizer, ffai_error *err)
{
    if (p->tokens)
        return FFAI_OK;
    const ffai_encode_options options = FFAI_ENCODE_OPTIONS_INIT;
    int32_t *ids = NULL;
    if (!tokenizer)
        return failure(err, FFAI_E_NOT_FOUND, "prompt: the model has no tokenizer: give the prompt as --tokens");
    ffai_status status = ffai_tokenizer_encode(&ids, &p->num_tokens, tokenizer, p->text, p->size, &options, err);
    if (status != FFAI_OK)
        return status;
    void *bytes = NULL;
    if (p->num_tokens == 0)
        status = failure(err, FFAI_E_ARGUMENT,
                         "prompt: is empty: give -p TEXT, --tokens 1,2,3, or a text on standard input");
    else
        status = copy(&bytes, ids, p->num_tokens * sizeof *ids, err);
    p->tokens = bytes;
    ffai_free(ids);
    return status;
}

ffai_status tokens_check(const setting *tokens, const char *command, const ffai_model *model, ffai_error *err)
{
    ffai_model_info info;
    ffai_model_get_info(&info, model);
    for (size_t i = 0; i < tokens->num_tokens; i++) {
        if (tokens->tokens[i] >= info.vocab_size)
            return failure(err, FFAI_E_ARGUMENT, "%s: --tokens: entry %zu: %d is outside the vocabulary of %lld",
                           command, i + 1, (int)tokens->tokens[i], (long long)info.vocab_size);
    }
    return FFAI_OK;
}

void prompt_release(prompt *p)
{
    free(p->text);
    free(p->tokens);
}
