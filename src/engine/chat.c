/* Chat templates from wherever they lie. */
#include "chat_template.h"

#include "engine.h"

static ffai_status template_of(ffai_chat_template **out, const ffai__checkpoint *checkpoint, ffai_error *err)
{
    json_t *config = NULL;
    FFAI__TRY(ffai__checkpoint_tokenizer_config(&config, checkpoint, err));
    const ffai_status status = ffai__chat_template_create(out, config, err);
    json_decref(config);
    return status;
}

ffai_status ffai_chat_template_of(ffai_chat_template **out, const ffai_model *model, ffai_error *err)
{
    return template_of(out, model->checkpoint, err);
}

static ffai_status load_from(ffai_chat_template **out, const char *path, ffai_error *err)
{
    ffai__checkpoint *checkpoint = NULL;
    FFAI__TRY(ffai__checkpoint_open_documents(&checkpoint, path, err));
    const ffai_status status = template_of(out, checkpoint, err);
    ffai__checkpoint_close(checkpoint);
    return status;
}

ffai_status ffai_chat_template_load(ffai_chat_template **out, const char *path, ffai_error *err)
{
    if (path)
        return load_from(out, path, err);
    char *default_path = NULL;
    FFAI__TRY(ffai_default_model_path(&default_path, err));
    const ffai_status status = load_from(out, default_path, err);
    ffai_free(default_path);
    return status;
}
