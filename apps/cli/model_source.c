#define _GNU_SOURCE
#include "model_source.h"

#include <string.h>
#include <unistd.h>

#include "report.h"

ffai_model_options model_options(const model_settings *settings)
{
    return (ffai_model_options){
        .backend = settings->backend.text,
        .device = (int)settings->device.integer,
        .threads = (int)settings->threads.integer,
        .activations = (ffai_activations)settings->activations.integer,
        .fusions = settings->fusions.text,
        .untuned = settings->untuned,
    };
}

/* random NULL: the checkpoint that the flags name. */
static ffai_status load(ffai_model **out, timeline *times, const model_settings *settings,
                        const ffai_random_model *random, bool without_tokenizer, ffai_error *err)
{
    ffai_model_options options = model_options(settings);
    options.without_tokenizer = without_tokenizer;
    options.on_event = timeline_on_event;
    options.context = times;
    timeline_begin(times, &settings->path);
    const ffai_status status =
        random ? ffai_model_make(out, random, &options, err) : ffai_model_load(out, settings->path.text, &options, err);
    timeline_end(times);
    return status;
}

ffai_status model_open(ffai_model **out, timeline *times, const model_settings *settings, bool without_tokenizer,
                       ffai_error *err)
{
    return load(out, times, settings, NULL, without_tokenizer, err);
}

ffai_status model_make(ffai_model **out, timeline *times, const model_settings *settings,
                       const ffai_random_model *random, ffai_error *err)
{
    return load(out, times, settings, random, true, err);
}

ffai_kv_format kv_format(const session_settings *settings)
{
    static const ffai_kv_format formats[] = {FFAI_KV_BF16, FFAI_KV_F16, FFAI_KV_F32};
    return settings->kv.given ? formats[settings->kv.integer] : FFAI_KV_F16;
}

int32_t model_output_rows(const ffai_model *model, size_t n)
{
    const int64_t budget = 1 << 26, most = 1024;
    ffai_model_info info;
    ffai_model_get_info(&info, model);
    int64_t rows = budget / (info.vocab_size * (int64_t)sizeof(float));
    rows = rows < 1 ? 1 : rows > most ? most : rows;
    return (size_t)rows < n ? (int32_t)rows : (int32_t)n;
}

/* The default model's, to be freed. */
static ffai_status find_default(char **path, ffai_error *err)
{
    const ffai_status status = ffai_default_model_path(path, err);
    if (status == FFAI_OK && access(*path, F_OK) != 0)
        return failure(err, FFAI_E_NOT_FOUND,
                       "load: %s: the default model is not there: run make run once, or give -m MODEL", *path);
    return status;
}

ffai_status tokenizer_open(ffai_tokenizer **out, const setting *path, ffai_error *err)
{
    char *of_default = NULL;
    ffai_status status = path->given ? FFAI_OK : find_default(&of_default, err);
    if (status == FFAI_OK)
        status = ffai_tokenizer_load(out, path->given ? path->text : of_default, err);
    ffai_free(of_default);
    return status;
}

ffai_status chat_template_open(ffai_chat_template **out, const setting *path, ffai_error *err)
{
    char *of_default = NULL;
    ffai_status status = path->given ? FFAI_OK : find_default(&of_default, err);
    if (status == FFAI_OK)
        status = ffai_chat_template_load(out, path->given ? path->text : of_default, err);
    ffai_free(of_default);
    return status;
}
