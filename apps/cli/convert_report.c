#define _GNU_SOURCE
#include "convert_report.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ffai/convert.h>

#include "interrupt.h"
#include "json_output.h"
#include "progress.h"
#include "prompt.h"
#include "report.h"

enum { WINDOW = 512 };

static ffai_status read_text(prompt *p, const char *text, const char *flag, ffai_error *err)
{
    const setting given = {.given = true, .text = text};
    const bool is_file = access(text, F_OK) == 0;
    if (!is_file && !strpbrk(text, " \t\n"))
        return failure(err, FFAI_E_NOT_FOUND, "convert: --%s: %s: no such file, and no text: that has spaces", flag,
                       text);
    return prompt_read(
        p, &(prompt_settings){.file = is_file ? given : (setting){0}, .text = is_file ? (setting){0} : given}, err);
}

ffai_status convert_text_read(int32_t **tokens, size_t *count, const char *source, const char *text, const char *flag,
                              ffai_error *err)
{
    prompt p = {0};
    ffai_tokenizer *tokenizer = NULL;
    ffai_status status = read_text(&p, text, flag, err);
    if (status == FFAI_OK)
        status = ffai_tokenizer_load(&tokenizer, source, err);
    if (status == FFAI_OK)
        status = prompt_encode(&p, tokenizer, err);
    if (status == FFAI_OK && p.num_tokens < 2)
        status = failure(err, FFAI_E_ARGUMENT, "convert: --%s: the text has one token; it takes 2", flag);
    ffai_tokenizer_free(tokenizer);
    if (status == FFAI_OK) {
        *tokens = p.tokens;
        *count = p.num_tokens;
        p.tokens = NULL;
    }
    prompt_release(&p);
    return status;
}

static bool on_progress(void *context, double fraction)
{
    progress_show(context, fraction);
    return !interrupted();
}

static ffai_status print_json(output *out, const ffai_comparison *c, ffai_error *err)
{
    return json_print(out,
                      json_pack("{s:o, s:o, s:o, s:o, s:I, s:I}", "source_perplexity", json_of_measure(c->perplexity),
                                "perplexity", json_of_measure(c->other_perplexity), "mean_kl",
                                json_of_measure(c->mean_divergence), "kl_99", json_of_measure(c->high_divergence),
                                "flips", (json_int_t)c->flips, "tokens", (json_int_t)c->positions),
                      err);
}

static void print_lines(output *out, const ffai_comparison *c)
{
    output_format(out, "perplexity     %.4f, of the source %.4f (%+.2f %%)\n", c->other_perplexity, c->perplexity,
                  100 * (c->other_perplexity / c->perplexity - 1));
    output_format(out, "KL divergence  mean %.6f nats, 99th percentile %.6f\n", c->mean_divergence, c->high_divergence);
    output_format(out, "top-1 flips    %zu of %zu tokens (%.2f %%)\n", c->flips, c->positions,
                  100 * (double)c->flips / (double)c->positions);
}

ffai_status convert_report_print(output *out, const char *source, const char *destination, const int32_t *tokens,
                                 size_t count, int threads, bool json, ffai_error *err)
{
    ffai_comparison c;
    progress p;
    /* what rounds nothing else: the difference is the weights' */
    const ffai_model_options options = {.backend = "cpu", .threads = threads, .activations = FFAI_ACTIVATIONS_FINE};
    progress_begin(&p, "comparing");
    const ffai_status status =
        ffai_compare(&c, source, destination, tokens, count, WINDOW, &options, on_progress, &p, err);
    progress_end(&p);
    if (status != FFAI_OK)
        return status;
    if (json)
        return print_json(out, &c, err);
    print_lines(out, &c);
    return FFAI_OK;
}
