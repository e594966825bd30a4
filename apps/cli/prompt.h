/* The prompt: a text of the command line, of a file or of standard input, or token ids as they are. */
#ifndef FFAI_CLI_PROMPT_H
#define FFAI_CLI_PROMPT_H

#include <ffai/model.h>

#include "options.h"

typedef struct prompt_settings {
    setting text, file, tokens;
} prompt_settings;

/* Rows for a table whose settings have a prompt_settings called `prompt`. */
#define PROMPT_TEXT_OPTION(help_)   VALUE(OPTION_TEXT, 'p', "prompt", "TEXT", prompt.text, help_)
#define PROMPT_FILE_OPTION(help_)   VALUE(OPTION_NAME, 'f', "file", "FILE", prompt.file, help_)
#define PROMPT_TOKENS_OPTION(help_) VALUE(OPTION_TOKENS, 0, "tokens", "1,2,3", prompt.tokens, help_)

typedef struct prompt {
    char *text; /* NULL for ids */
    size_t size;
    int32_t *tokens; /* NULL until encoded */
    size_t num_tokens;
} prompt;

/* At most one of the settings may be given: EXIT_OK or, after a report, EXIT_USAGE. */
int prompt_check(const prompt_settings *settings, const char *command);

/* Read the prompt, from standard input if no setting is given. Release with prompt_release in every case. */
ffai_status prompt_read(prompt *out, const prompt_settings *settings, ffai_error *err);
/* Encode the text, with the special tokens the tokenizer adds; ids stay as they are, and the tokenizer may be
 * NULL then. At least one id comes out. */
ffai_status prompt_encode(prompt *p, const ffai_tokenizer *tokenizer, ffai_error *err);
/* Ids that were given as --tokens, if they were, must be of the model's vocabulary. */
ffai_status tokens_check(const setting *tokens, const char *command, const ffai_model *model, ffai_error *err);
void prompt_release(prompt *p);

#endif
