/* Re-using a prefix: what several prompts begin with is read once, and each goes on from there.
 *
 *     example_chat_prefix [MODEL] */
#include <ffai/ffai.h>
#include <stdio.h>
#include <string.h>

/* Add a text to a sequence and print up to max_tokens tokens more. */
static ffai_status go_on(ffai_session *session, ffai_sequence sequence, const char *text, int max_tokens,
                         ffai_error *err)
{
    const ffai_model *model = ffai_session_model(session);
    const ffai_encode_options encoding = {.add_special_tokens = false};
    ffai_parameters parameters;
    ffai_generation *generation = NULL;
    int32_t *ids = NULL;
    size_t count = 0;
    ffai_model_parameters(&parameters, model);
    parameters.temperature = (ffai_parameter){0, FFAI_FROM_CALLER};
    parameters.max_tokens = (ffai_parameter){max_tokens, FFAI_FROM_CALLER};
    const ffai_generate_options options = {.parameters = &parameters};
    ffai_status status =
        ffai_tokenizer_encode(&ids, &count, ffai_model_tokenizer(model), text, strlen(text), &encoding, err);
    if (status == FFAI_OK)
        status = ffai_generate(&generation, session, sequence, ids, count, &options, err);
    if (status == FFAI_OK)
        printf("%zu tokens read:%s|%s\n", count, text, generation->text);
    ffai_generation_free(generation);
    ffai_free(ids);
    return status;
}

int main(int argc, char **argv)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model *model = NULL;
    ffai_session *session = NULL;
    ffai_sequence prefix = 0, fork = 0;
    if (ffai_model_load(&model, argc > 1 ? argv[1] : NULL, NULL, &err) == FFAI_OK &&
        ffai_session_open(&session, model, NULL, &err) == FFAI_OK &&
        ffai_sequence_open(&prefix, session, &err) == FFAI_OK &&
        go_on(session, prefix, "The capital of", 0, &err) == FFAI_OK) {
        const int64_t length = ffai_sequence_length(session, prefix);
        if (ffai_sequence_fork(&fork, session, prefix, length, &err) == FFAI_OK &&
            go_on(session, fork, " France is", 8, &err) == FFAI_OK &&
            ffai_sequence_truncate(session, fork, length, &err) == FFAI_OK &&
            go_on(session, fork, " Italy is", 8, &err) == FFAI_OK)
            printf("the prefix was read once: %lld tokens\n", (long long)length);
    }
    if (err.status != FFAI_OK)
        fprintf(stderr, "%s\n", err.message);
    ffai_session_close(session);
    ffai_model_free(model);
    return err.status != FFAI_OK;
}
