/* The lower level: one step over a prompt, and what the model thinks comes next.
 *
 *     example_logits [MODEL [PROMPT]] */
#include <ffai/ffai.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_ROWS = 64, SHOWN = 3 };

static void print_likeliest(const ffai_model *model, const float *logits)
{
    ffai_model_info info;
    ffai_model_get_info(&info, model);
    float below = INFINITY;
    printf("most likely next tokens:\n");
    for (int shown = 0; shown < SHOWN; shown++) {
        int32_t best = -1;
        for (int32_t i = 0; i < info.vocab_size; i++) {
            if (logits[i] < below && (best < 0 || logits[i] > logits[best]))
                best = i;
        }
        if (best < 0)
            break;
        below = logits[best];
        printf("%6d  %8.4f  %s\n", best, (double)below, ffai_tokenizer_token(ffai_model_tokenizer(model), best));
    }
}

int main(int argc, char **argv)
{
    const char *prompt = argc > 2 ? argv[2] : "The capital of France is";
    const ffai_encode_options encoding = FFAI_ENCODE_OPTIONS_INIT;
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model *model = NULL;
    ffai_session *session = NULL;
    ffai_sequence sequence = 0;
    ffai_row rows[MOST_ROWS];
    const float *logits = NULL; /* [output rows, vocab_size] */
    int32_t *ids = NULL;
    size_t count = 0;
    if (ffai_model_load(&model, argc > 1 ? argv[1] : NULL, NULL, &err) == FFAI_OK &&
        ffai_session_open(&session, model, NULL, &err) == FFAI_OK &&
        ffai_sequence_open(&sequence, session, &err) == FFAI_OK &&
        ffai_tokenizer_encode(&ids, &count, ffai_model_tokenizer(model), prompt, strlen(prompt), &encoding, &err) ==
            FFAI_OK) {
        count = count < MOST_ROWS ? count : MOST_ROWS;
        for (size_t i = 0; i < count; i++) /* only the last row's logits are wanted */
            rows[i] = (ffai_row){.token = ids[i], .sequence = sequence, .output = i + 1 == count};
        if (ffai_forward(&logits, session, rows, count, &err) == FFAI_OK)
            print_likeliest(model, logits);
    }
    if (err.status != FFAI_OK)
        fprintf(stderr, "%s\n", err.message);
    ffai_free(ids);
    ffai_session_close(session);
    ffai_model_free(model);
    return err.status != FFAI_OK;
}
