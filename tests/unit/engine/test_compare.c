/* Two models beside each other, and a quantizer that is judged that way. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ffai/convert.h>
#include <ffai/ffai.h>

#include "../own_folder.h"

#define GOLDEN      FFAI_SOURCE_DIR "/tests/golden/"
#define QUANTIZABLE FFAI_SOURCE_DIR "/tests/data/quantize/checkpoint"

enum { TOKENS = 40, VOCAB = 288 };

static void make_tokens(int32_t *tokens, int n, int vocab_size)
{
    uint32_t state = 7;
    for (int i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        tokens[i] = (int32_t)((state >> 8) % (uint32_t)vocab_size);
    }
}

static ffai_comparison compare(const char *path, const char *other, const int32_t *tokens, size_t n, size_t window)
{
    ffai_comparison c;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_model_options options = {.backend = "cpu", .activations = FFAI_ACTIVATIONS_F32};
    if (ffai_compare(&c, path, other, tokens, n, window, &options, NULL, NULL, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return c;
}

static void a_model_says_what_it_says_itself(void **state)
{
    (void)state;
    int32_t tokens[TOKENS];
    make_tokens(tokens, TOKENS, VOCAB);
    const ffai_comparison c = compare(GOLDEN "llama/f32", GOLDEN "llama/f32", tokens, TOKENS, 16);
    assert_int_equal(c.positions, TOKENS - 3); /* windows of 16, 16 and 8 */
    assert_true(c.perplexity == c.other_perplexity && c.perplexity > 1);
    assert_true(c.mean_divergence == 0 && c.high_divergence == 0 && c.flips == 0);
}

/* tests/golden/smollm2/perplexity.json is mlx-lm's. */
static void the_perplexity_is_the_references(void **state)
{
    (void)state;
    char *path = NULL;
    json_t *reference = json_load_file(GOLDEN "smollm2/perplexity.json", 0, NULL);
    json_t *ids = json_object_get(reference, "text_tokens");
    const size_t n = json_array_size(ids);
    int32_t *tokens = calloc(n + 1, sizeof *tokens);
    assert_true(n > 100 && tokens && ffai_default_model_path(&path, NULL) == FFAI_OK);
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    const ffai_comparison c = compare(path, path, tokens, n, n);
    assert_true(fabs(log(c.perplexity) - json_number_value(json_object_get(reference, "mean_nll"))) < 1e-3);
    free(tokens);
    ffai_free(path);
    json_decref(reference);
}

/* ---- against the definition ---- */

static void logits_of(float *out, const char *path, const int32_t *tokens)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model *model = NULL;
    ffai_session *session = NULL;
    ffai_sequence sequence = 0;
    ffai_row rows[TOKENS];
    const float *logits = NULL;
    const ffai_model_options loading = {.backend = "ref", .without_tokenizer = true};
    const ffai_session_options opening = {
        .context = TOKENS, .max_sequences = 1, .max_rows = TOKENS, .max_outputs = TOKENS, .kv_format = FFAI_KV_F32};
    if (ffai_model_load(&model, path, &loading, &err) != FFAI_OK ||
        ffai_session_open(&session, model, &opening, &err) != FFAI_OK ||
        ffai_sequence_open(&sequence, session, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < TOKENS; i++)
        rows[i] = (ffai_row){tokens[i], sequence, true, NULL};
    if (ffai_forward(&logits, session, rows, TOKENS, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    memcpy(out, logits, sizeof(float) * TOKENS * VOCAB);
    ffai_session_close(session);
    ffai_model_free(model);
}

static double probability(const float *logits, int token)
{
    double sum = 0;
    for (int i = 0; i < VOCAB; i++)
        sum += exp((double)logits[i]);
    return exp((double)logits[token]) / sum;
}

static int best_of(const float *logits)
{
    int best = 0;
    for (int i = 1; i < VOCAB; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

static void the_figures_are_those_of_the_definitions(void **state)
{
    (void)state;
    static const char *const paths[] = {GOLDEN "llama/bf16", GOLDEN "llama/f16"};
    static float logits[2][TOKENS * VOCAB];
    int32_t tokens[TOKENS];
    double sum = 0;
    double largest = 0;
    size_t flips = 0;
    make_tokens(tokens, TOKENS, VOCAB);
    for (int m = 0; m < 2; m++)
        logits_of(logits[m], paths[m], tokens);
    for (size_t t = 0; t + 1 < TOKENS; t++) {
        const float *p = logits[0] + t * VOCAB;
        const float *q = logits[1] + t * VOCAB;
        double divergence = 0;
        for (int i = 0; i < VOCAB; i++)
            divergence += probability(p, i) * log(probability(p, i) / probability(q, i));
        sum += divergence;
        largest = fmax(largest, divergence);
        flips += best_of(p) != best_of(q);
    }
    const ffai_comparison c = compare(paths[0], paths[1], tokens, TOKENS, TOKENS);
    assert_int_equal(c.positions, TOKENS - 1);
    assert_true(fabs(c.mean_divergence / (sum / (TOKENS - 1)) - 1) < 1e-3);
    assert_true(fabs(c.high_divergence / largest - 1) < 1e-3); /* of 39 */
    assert_int_equal(c.flips, flips);
    assert_true(flips > 0);
}

static void what_cannot_be_compared_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *other;
        int32_t token;
        size_t n, window;
        const char *part;
    } cases[] = {
        {GOLDEN "llama/f32", 288, 3, 3, "token 1 is outside"}, {GOLDEN "llama/f32", -1, 3, 3, "token 1 is outside"},
        {GOLDEN "llama/f32", 1, 1, 3, "it takes 2"},           {GOLDEN "llama/f32", 1, 3, 1, "it takes 2"},
        {QUANTIZABLE, 1, 3, 3, "have 288 and 32 tokens"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int32_t tokens[] = {1, cases[i].token, 3};
        ffai_comparison c;
        ffai_error err = FFAI_ERROR_INIT;
        assert_int_equal(ffai_compare(&c, GOLDEN "llama/f32", cases[i].other, tokens, cases[i].n, cases[i].window, NULL,
                                      NULL, NULL, &err),
                         FFAI_E_ARGUMENT);
        if (!strstr(err.message, cases[i].part))
            fail_msg("\"%s\" is not in: %s", cases[i].part, err.message);
    }
}

/* ---- quantizers ---- */

static void calibrate(int threads)
{
    int32_t tokens[200];
    ffai_error err = FFAI_ERROR_INIT;
    make_tokens(tokens, 200, 32);
    const ffai_convert_options options = {.bits = 3,
                                          .method = "calibrated",
                                          .overwrite = true,
                                          .threads = threads,
                                          .calibration = tokens,
                                          .calibration_size = 200};
    if (ffai_convert(destination, QUANTIZABLE, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
}

static char *read_result(size_t *size)
{
    char path[160];
    static char bytes[2][1 << 20];
    static int which;
    snprintf(path, sizeof path, "%s/model.safetensors", destination);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    which = !which;
    *size = fread(bytes[which], 1, sizeof bytes[which], file);
    fclose(file);
    return bytes[which];
}

static void calibrated_groups_are_the_same_on_any_number_of_threads(void **state)
{
    (void)state;
    size_t sizes[2];
    calibrate(1);
    const char *one = read_result(&sizes[0]);
    calibrate(3);
    const char *three = read_result(&sizes[1]);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(one, three, sizes[0]);
}

static void a_calibration_without_tokens_or_with_wrong_ones_is_refused(void **state)
{
    (void)state;
    const int32_t outside[] = {1, 32};
    ffai_error err = FFAI_ERROR_INIT;
    ffai_convert_options options = {.bits = 4, .method = "calibrated"};
    assert_int_equal(ffai_convert(destination, QUANTIZABLE, &options, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "takes the tokens of a calibration"));
    options.calibration = outside;
    options.calibration_size = 2;
    assert_int_equal(ffai_convert(destination, QUANTIZABLE, &options, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "token 1 is outside"));
    options.method = "mlx";
    assert_int_equal(ffai_convert(destination, QUANTIZABLE, &options, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "takes no calibration"));
    options.bits = 0;
    assert_int_equal(ffai_convert(destination, QUANTIZABLE, &options, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "takes bits or a recipe"));
    options.bits = 4;
    options.method = "gptq";
    assert_int_equal(ffai_convert(destination, QUANTIZABLE, &options, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "\"gptq\""));
    assert_int_equal(access(destination, F_OK), -1);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_says_what_it_says_itself),
        cmocka_unit_test(the_perplexity_is_the_references),
        cmocka_unit_test(the_figures_are_those_of_the_definitions),
        cmocka_unit_test(what_cannot_be_compared_is_named),
        IN_FOLDER(calibrated_groups_are_the_same_on_any_number_of_threads),
        IN_FOLDER(a_calibration_without_tokens_or_with_wrong_ones_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
