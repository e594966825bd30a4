/* The simplest use: continue a prompt, printing the text as it comes.
 *
 *     example_generate [MODEL [PROMPT]] */
#include <ffai/ffai.h>
#include <stdio.h>
#include <string.h>

static bool print_piece(void *context, const char *text, size_t size)
{
    (void)context;
    fwrite(text, 1, size, stdout);
    return fflush(stdout) == 0; /* false ends the generation */
}

static ffai_status continue_text(ffai_session *session, const char *prompt, ffai_error *err)
{
    const ffai_tokenizer *tokenizer = ffai_model_tokenizer(ffai_session_model(session));
    const ffai_encode_options encoding = FFAI_ENCODE_OPTIONS_INIT;
    const ffai_generate_options options = {.seed = 1, .on_text = print_piece};
    ffai_generation *generation = NULL;
    ffai_sequence sequence;
    int32_t *ids = NULL;
    size_t count = 0;
    ffai_status status = ffai_tokenizer_encode(&ids, &count, tokenizer, prompt, strlen(prompt), &encoding, err);
    if (status == FFAI_OK)
        status = ffai_sequence_open(&sequence, session, err);
    if (status == FFAI_OK)
        status = ffai_generate(&generation, session, sequence, ids, count, &options, err);
    if (status == FFAI_OK)
        printf("\n[%zu tokens, %s]\n", generation->num_tokens, ffai_finish_reason_name(generation->finish_reason));
    ffai_generation_free(generation);
    ffai_free(ids);
    return status;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : NULL; /* NULL: the default model */
    const char *prompt = argc > 2 ? argv[2] : "Once upon a time";
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model *model = NULL;
    ffai_session *session = NULL;
    ffai_status status = ffai_model_load(&model, path, NULL, &err);
    if (status == FFAI_OK)
        status = ffai_session_open(&session, model, NULL, &err);
    if (status == FFAI_OK)
        status = continue_text(session, prompt, &err);
    if (status != FFAI_OK)
        fprintf(stderr, "%s\n", err.message);
    ffai_session_close(session);
    ffai_model_free(model);
    return status != FFAI_OK;
}
