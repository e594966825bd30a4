/* tokenizer_config.json from GGUF metadata. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "gguf_documents.h"
#include "gguf_pre_tokenizer.h"
#include "utf8.h"

enum { MAX_TEMPLATES = 64, MAX_TEMPLATE_NAME = 127 };
static const char template_prefix[] = "tokenizer.chat_template."; /* and a name: those beside the default */

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

/* Of a field tokenizer.chat_template.NAME. */
static ffai_status copy_named_template(const builder *b, json_t *named, const ffai__gguf_field *field)
{
    const ffai__text name = {field->key.data + sizeof template_prefix - 1,
                             field->key.size - (sizeof template_prefix - 1)};
    char key[sizeof template_prefix + MAX_TEMPLATE_NAME];
    if (name.size > MAX_TEMPLATE_NAME || json_object_size(named) >= MAX_TEMPLATES)
        return ffai__fail(b->err, FFAI_E_LIMIT, "%s: key \"%s…\": more than %d templates, or a name above %d bytes",
                          b->file->what, template_prefix, MAX_TEMPLATES, MAX_TEMPLATE_NAME);
    snprintf(key, sizeof key, "%s%.*s", template_prefix, (int)name.size, name.data);
    if (strlen(key) != field->key.size || !ffai__utf8_valid(name.data, name.size))
        return ffai__fail(b->err, FFAI_E_FORMAT, "%s: key \"%s\": its name is no text", b->file->what, key);
    return copy_template(b, named, key + sizeof template_prefix - 1, key);
}

static ffai_status fill_templates(const builder *b, json_t *named)
{
    for (size_t i = 0; i < b->file->field_count; i++) {
        const ffai__text *key = &b->file->fields[i].key;
        if (key->size >= sizeof template_prefix && memcmp(key->data, template_prefix, sizeof template_prefix - 1) == 0)
            FFAI__TRY(copy_named_template(b, named, &b->file->fields[i]));
    }
    return FFAI_OK;
}

static ffai_status add_templates(const builder *b)
{
    FFAI__TRY(copy_template(b, b->object, "chat_template", "tokenizer.chat_template"));
    json_t *named = json_object();
    if (!named)
        return ffai__fail_memory(b->err, "chat_templates", 0);
    ffai_status status = fill_templates(b, named);
    if (status == FFAI_OK && json_object_size(named))
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
