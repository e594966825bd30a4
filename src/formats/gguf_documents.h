/* The Hugging Face documents that a GGUF file's metadata amounts to. */
#ifndef FFAI_FORMATS_GGUF_DOCUMENTS_H
#define FFAI_FORMATS_GGUF_DOCUMENTS_H

#include <jansson.h>

#include "gguf.h"
#include "tokenizer_lists.h"

typedef struct ffai__gguf_family {
    const char *name;         /* general.architecture */
    const char *architecture; /* config.json's "architectures" */
    const char *model_type;
    bool interleaved; /* q's and k's rows are stored with the rotary halves interleaved */
} ffai__gguf_family;

/* tokenizer.ggml.token_type */
enum {
    FFAI__GGUF_TOKEN_UNDEFINED = 0, /* as good as normal */
    FFAI__GGUF_TOKEN_NORMAL = 1,
    FFAI__GGUF_TOKEN_UNKNOWN = 2,
    FFAI__GGUF_TOKEN_CONTROL = 3,
    FFAI__GGUF_TOKEN_USER_DEFINED = 4,
    FFAI__GGUF_TOKEN_UNUSED = 5,
    FFAI__GGUF_TOKEN_BYTE = 6,
};

/* The family of general.architecture; FFAI_E_UNSUPPORTED, naming it, for others. */
ffai_status ffai__gguf_family_of(const ffai__gguf_family **out, const ffai__gguf *file, ffai_error *err);

/* attention.head_count and attention.head_count_kv, which is the former where it is absent. */
ffai_status ffai__gguf_heads(int64_t *heads, int64_t *kv_heads, const ffai__gguf *file, const ffai__gguf_family *family,
                             ffai_error *err);

/* NULL if the file has no such tensor. */
const ffai__gguf_tensor *ffai__gguf_tensor_find(const ffai__gguf *file, const char *name);

/* New references. */
ffai_status ffai__gguf_config(json_t **out, const ffai__gguf *file, ffai_error *err);
ffai_status ffai__gguf_generation_config(json_t **out, const ffai__gguf *file, ffai_error *err);
ffai_status ffai__gguf_tokenizer_config(json_t **out, const ffai__gguf *file, ffai_error *err);

/* tokenizer.json as bytes, freed with ffai__free; where lists is not NULL, without vocabulary and merges, which come
 * there (of the model llama, ranks). FFAI_E_NOT_FOUND if the file has no tokenizer, FFAI_E_UNSUPPORTED for models and
 * pre-tokenizers that are not known, by name. */
ffai_status ffai__gguf_tokenizer_json(char **json, size_t *size, ffai__tokenizer_lists *lists, const ffai__gguf *file,
                                      ffai_error *err);

/* A token's text by its id; FFAI_E_FORMAT, naming key, where the id is out of range. */
ffai_status ffai__gguf_token(ffai__text *out, const ffai__gguf *file, int64_t id, const char *key, ffai_error *err);

#endif
