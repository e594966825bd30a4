/* tokenizer_config.json from GGUF metadata. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "gguf_documents.h"
#include "gguf_pre_tokenizer.h"
#include "utf8.h"

enum { MAX_TEMPLATES = 64 };

typedef struct {
    json_t *object;
    const ffai__gguf *file;
    ffai_error *err;
} builder;

static ffai_status set(const builder *b, json_t *object, const char *field, json_t *value)
{
    return json_object_set_new(object, field, value) ? ffai__fail_memory(b->err, field, 0) : FFAI_OK;
}

static ffai_status set_text(const builder *b, json_t *object, const char *field, const ffai__text *text,
                            const char *key)
{
    if (!ffai__utf8_valid(text->data, text->size))
        return ffai__fail(b->err, FFAI_E_FORMAT, "%s: key \"%s\": is not valid UTF-8", b->file->what, key);
    return set(b, object, field, json_stringn_nocheck(text->data, text->size));
}

static ffai_status copy_token(const builder *b, const char *field, const char *key)
{
    int64_t id = -1;
    ffai__text text = {"", 0};
    FFAI__TRY(ffai__gguf_get_int(&id, b->file, key, 0, INT32_MAX, b->err));
    if (id < 0)
        return FFAI_OK;
    FFAI__TRY(ffai__gguf_token(&text, b->file, id, key, b->err));
    return set_text(b, b->object, field, &text, key);
}

static ffai_status copy_bool(const builder *b, const char *field, const char *key, bool fallback)
{
    bool value = fallback;
    FFAI__TRY(ffai__gguf_get_bool(&value, b->file, key, b->err));
    return set(b, b->object, field, json_boolean(value));
}

static ffai_status copy_template(const builder *b, json_t *object, const char *field, const char *key)
{
    ffai__text text = {"", 0};
    FFAI__TRY(ffai__gguf_get_text(&text, b->file, key, b->err));
    return text.size ? set_text(b, object, field, &text, key) : FFAI_OK;
}

/* tokenizer.chat_templates lists the names of those beside the default. */
static ffai_status fill_templates(const builder *b, json_t *named, const ffai__gguf_field *names)
{
    const uint8_t *at = names->data;
    for (uint64_t i = 0; i < names->count; i++) {
        const ffai__text name = ffai__gguf_next_text(&at, names);
        char key[160];
        char field[128];
        if (name.size >= sizeof field || memchr(name.data, 0, name.size) || names->count > MAX_TEMPLATES)
            return ffai__fail(b->err, FFAI_E_LIMIT, "%s: key \"tokenizer.chat_templates\": too long", b->file->what);
        snprintf(field, sizeof field, "%.*s", (int)name.size, name.data);
        snprintf(key, sizeof key, "tokenizer.chat_template.%s", field);
        FFAI__TRY(copy_template(b, named, field, key));
    }
    return FFAI_OK;
}

static ffai_status add_templates(const builder *b)
{
    const ffai__gguf_field *names = NULL;
    FFAI__TRY(copy_template(b, b->object, "chat_template", "tokenizer.chat_template"));
    FFAI__TRY(ffai__gguf_get_array(&names, b->file, "tokenizer.chat_templates", FFAI__GGUF_STRING, b->err));
    if (!names)
        return FFAI_OK;
    json_t *named = json_object();
    if (!named)
        return ffai__fail_memory(b->err, "chat_templates", 0);
    ffai_status status = fill_templates(b, named, names);
    if (status == FFAI_OK)
        status = set(b, b->object, "chat_templates", json_incref(named));
    json_decref(named);
    return status;
}

static ffai_status add_length(const builder *b)
{
    const ffai__gguf_family *family = NULL;
    char key[96];
    int64_t length = 0;
    FFAI__TRY(ffai__gguf_family_of(&family, b->file, b->err));
    snprintf(key, sizeof key, "%s.context_length", family->name);
    FFAI__TRY(ffai__gguf_get_int(&length, b->file, key, 1, INT32_MAX, b->err));
    return length ? set(b, b->object, "model_max_length", json_integer(length)) : FFAI_OK;
}

static ffai_status fill(const builder *b)
{
    const ffai__gguf_pre_tokenizer *pre = NULL;
    if (!ffai__gguf_find(b->file, "tokenizer.ggml.tokens"))
        return FFAI_OK;
    FFAI__TRY(ffai__gguf_pre_tokenizer_of(&pre, b->file, b->err));
    FFAI__TRY(copy_token(b, "bos_token", "tokenizer.ggml.bos_token_id"));
    FFAI__TRY(copy_token(b, "eos_token", "tokenizer.ggml.eos_token_id"));
    FFAI__TRY(copy_token(b, "unk_token", "tokenizer.ggml.unknown_token_id"));
    FFAI__TRY(copy_token(b, "pad_token", "tokenizer.ggml.padding_token_id"));
    FFAI__TRY(copy_bool(b, "add_bos_token", "tokenizer.ggml.add_bos_token", pre->adds_bos));
    FFAI__TRY(copy_bool(b, "add_eos_token", "tokenizer.ggml.add_eos_token", false));
    FFAI__TRY(set(b, b->object, "clean_up_tokenization_spaces", json_false()));
    FFAI__TRY(set(b, b->object, "tokenizer_class", json_string(pre->tokenizer_class)));
    FFAI__TRY(add_length(b));
    return add_templates(b);
}

ffai_status ffai__gguf_tokenizer_config(json_t **out, const ffai__gguf *file, ffai_error *err)
{
    const builder b = {json_object(), file, err};
    if (!b.object)
        return ffai__fail_memory(err, "tokenizer_config.json", 0);
    const ffai_status status = fill(&b);
    if (status != FFAI_OK) {
        json_decref(b.object);
        return status;
    }
    *out = b.object;
    return FFAI_OK;
}
