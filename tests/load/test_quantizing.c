/* On real weights, calibrated groups of 3 and 4 bits speak more like their source than MLX's rounding does, of a text
 * that they were not calibrated with. The figures are printed; docs/quantization.md has those of longer texts. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ffai/convert.h>
#include <ffai/ffai.h>

enum { CALIBRATION = 384, EVALUATION = 256, TEXT = 16384 };

static char temporary[512];
static char quantized[600];

static bool report(ffai_status status, const ffai_error *err)
{
    if (status != FFAI_OK)
        printf("%s\n", err->message);
    return status == FFAI_OK;
}

/* The first n tokens of a file. */
static bool read_tokens(int32_t *tokens, size_t n, const char *name)
{
    static char text[TEXT];
    ffai_error err = FFAI_ERROR_INIT;
    ffai_tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    size_t count = 0;
    const ffai_encode_options options = FFAI_ENCODE_OPTIONS_INIT;
    FILE *file = fopen(name, "rb");
    const size_t size = file ? fread(text, 1, sizeof text, file) : 0;
    if (file)
        fclose(file);
    bool good = report(ffai_tokenizer_load(&tokenizer, NULL, &err), &err) &&
                report(ffai_tokenizer_encode(&ids, &count, tokenizer, text, size, &options, &err), &err);
    good = good && count >= n;
    if (good)
        memcpy(tokens, ids, n * sizeof *tokens);
    ffai_free(ids);
    ffai_tokenizer_free(tokenizer);
    return good;
}

static void remove_result(void)
{
    static const char *const names[] = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    char path[700];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", quantized, names[i]);
        unlink(path);
    }
    rmdir(quantized);
}

static bool measure(double *divergence, const char *model, int bits, bool calibrated)
{
    int32_t calibration[CALIBRATION];
    int32_t tokens[EVALUATION];
    ffai_comparison c = {0};
    ffai_error err = FFAI_ERROR_INIT;
    if (!read_tokens(calibration, CALIBRATION, FFAI_SOURCE_DIR "/docs/testing.md") ||
        !read_tokens(tokens, EVALUATION, FFAI_SOURCE_DIR "/docs/architecture.md"))
        return false;
    const ffai_convert_options options = {.bits = bits,
                                          .method = calibrated ? "calibrated" : "mlx",
                                          .calibration = calibrated ? calibration : NULL,
                                          .calibration_size = calibrated ? CALIBRATION : 0};
    const ffai_model_options plain = {.backend = "cpu", .activations = FFAI_ACTIVATIONS_FINE};
    const bool good =
        report(ffai_convert(quantized, model, &options, &err), &err) &&
        report(ffai_compare(&c, model, quantized, tokens, EVALUATION, EVALUATION, &plain, NULL, NULL, &err), &err);
    *divergence = c.mean_divergence;
    remove_result();
    return good;
}

static bool calibrated_is_closer(const char *model, int bits)
{
    double mlx = 0;
    double calibrated = 0;
    if (!measure(&mlx, model, bits, false) || !measure(&calibrated, model, bits, true))
        return false;
    printf("%s %d bits: mean KL divergence %.4f calibrated, %.4f as MLX rounds\n",
           calibrated < mlx ? "ok    " : "FAILED", bits, calibrated, mlx);
    return calibrated < mlx;
}

int main(void)
{
    char *model = NULL;
    const char *tmp = getenv("TMPDIR");
    if (SANITIZED) {
        printf("skipped: it takes a sanitized build minutes\n");
        return 77;
    }
    snprintf(temporary, sizeof temporary, "%s/ffai-quantizing-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(temporary) || ffai_default_model_path(&model, NULL) != FFAI_OK)
        return 1;
    snprintf(quantized, sizeof quantized, "%s/out", temporary);
    int passed = 0;
    for (int bits = 3; bits <= 4; bits++)
        passed += calibrated_is_closer(model, bits);
    rmdir(temporary);
    ffai_free(model);
    printf("%d passed, %d failed\n", passed, 2 - passed);
    return passed != 2;
}
