#include "documents.h"

#include <math.h>
#include <string.h>

#include "alloc.h"
#include "file_map.h"
#include "json.h"
#include "output_file.h"

enum { DOCUMENT_LIMIT = 256 << 20, MAX_BITS = 8, GROUP_SIZES = 4 };

static const int group_sizes[GROUP_SIZES] = {16, 32, 64, 128};

typedef struct {
    const char *folder;
    const ffai__checkpoint *source;
    const ffai__repack *plans;
    size_t count;
    ffai__convert_dtype dtype;
    ffai_error *err;
} job;

static ffai_status no_memory(const job *j, const char *name)
{
    return ffai__fail_memory(j->err, name, 0);
}

/* ---- reading and writing ---- */

/* With 15 digits where that is exact (1e-05 and not 1.0000000000000001e-05), else with 17. NULL when memory is
 * short. */
static char *dump(const json_t *document)
{
    const size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY;
    char *text = ffai__json_dump(document, flags | JSON_REAL_PRECISION(15));
    json_t *back = NULL;
    if (!text)
        return NULL;
    const ffai_status status = ffai__json_parse_as_written(&back, text, strlen(text), "a document", NULL);
    const bool exact = status == FFAI_OK && json_equal(back, document);
    json_decref(back);
    if (exact)
        return text;
    ffai__free(text);
    return status == FFAI_E_MEMORY ? NULL : ffai__json_dump(document, flags);
}

static ffai_status write_bytes(const job *j, const char *name, const char *bytes, size_t size)
{
    char *path = ffai__path_join(j->folder, name);
    if (!path)
        return no_memory(j, name);
    const ffai_status status = ffai__output_whole(path, bytes, size, j->err);
    ffai__free(path);
    return status;
}

static ffai_status write_json(const job *j, const char *name, const json_t *document)
{
    char *text = dump(document);
    if (!text)
        return no_memory(j, name);
    const ffai_status status = write_bytes(j, name, text, strlen(text));
    ffai__free(text);
    return status;
}

/* Every number was read as a double: those without a fraction are written as integers again. */
static json_t *with_integers(const json_t *value)
{
    const double number = json_number_value(value);
    if (json_is_real(value) && number == floor(number) && fabs(number) < 0x1p53)
        return json_integer((json_int_t)number);
    if (!json_is_object(value) && !json_is_array(value))
        return ffai__json_copy(value);
    json_t *copy = json_is_array(value) ? json_array() : json_object();
    const char *key = NULL;
    json_t *item = NULL;
    size_t i = 0;
    int failed = !copy;
    json_array_foreach(value, i, item)
    {
        failed = failed || json_array_append_new(copy, with_integers(item));
    }
    json_object_foreach((json_t *)value, key, item)
    {
        failed = failed || json_object_set_new(copy, key, with_integers(item));
    }
    if (failed)
        json_decref(copy);
    return failed ? NULL : copy;
}

/* A folder's document once more from its file, with integers and reals told apart as they were written; NULL where
 * its integers are too large for that. */
static ffai_status read_as_written(json_t **document, const job *j, const char *name)
{
    char *path = ffai__path_join(ffai__checkpoint_path(j->source), name);
    char *bytes = NULL;
    size_t size = 0;
    if (!path)
        return no_memory(j, name);
    ffai_status status = ffai__file_read(&bytes, &size, path, DOCUMENT_LIMIT, j->err);
    if (status == FFAI_OK)
        status = ffai__json_parse_as_written(document, bytes, size, path, j->err);
    ffai__free(bytes);
    ffai__free(path);
    return status == FFAI_E_FORMAT ? FFAI_OK : status;
}

/* A new document that may be changed, equal to read. */
static ffai_status copy_faithfully(json_t **document, const job *j, const char *name, const json_t *read)
{
    *document = NULL;
    const bool gguf = ffai__checkpoint_is_gguf(j->source);
    if (!gguf)
        FFAI__TRY(read_as_written(document, j, name));
    if (!*document)
        *document = gguf ? ffai__json_copy(read) : with_integers(read);
    return *document ? FFAI_OK : no_memory(j, name);
}

/* ---- config.json ---- */

typedef struct {
    int bits;
    int group_size;
} format;

static int group_index(int group_size)
{
    int i = 0;
    while (i < GROUP_SIZES - 1 && group_sizes[i] != group_size)
        i++;
    return i;
}

/* The bits and group size that most weights have; bits 0 where none is affine. */
static format most_common(const job *j)
{
    size_t counts[MAX_BITS + 1][GROUP_SIZES] = {{0}};
    size_t most = 0;
    format best = {0, 0};
    for (size_t i = 0; i < j->count; i++) {
        const ffai__repack *plan = &j->plans[i];
        if (!plan->affine)
            continue;
        const size_t now = ++counts[plan->bits][group_index(plan->group_size)];
        if (now > most) {
            most = now;
            best = (format){plan->bits, plan->group_size};
        }
    }
    return best;
}

static int add_override(json_t *quantization, const ffai__repack *plan)
{
    char *module = ffai__strndup(plan->weight->name, strlen(plan->weight->name) - strlen(".weight"));
    if (!module)
        return -1;
    const int failed = json_object_set_new(
        quantization, module,
        json_pack("{s:i, s:i, s:s}", "group_size", plan->group_size, "bits", plan->bits, "mode", "affine"));
    ffai__free(module);
    return failed;
}

static json_t *quantization_of(const job *j, format global)
{
    json_t *quantization =
        json_pack("{s:i, s:i, s:s}", "group_size", global.group_size, "bits", global.bits, "mode", "affine");
    int failed = !quantization;
    for (size_t i = 0; i < j->count && !failed; i++) {
        const ffai__repack *plan = &j->plans[i];
        const bool differs = plan->bits != global.bits || plan->group_size != global.group_size;
        if (plan->affine && differs)
            failed = add_override(quantization, plan);
    }
    if (failed) {
        json_decref(quantization);
        return NULL;
    }
    return quantization;
}

static const char *dtype_name(ffai__convert_dtype dtype)
{
    switch (dtype) {
    case FFAI__CONVERT_BF16:
        return "bfloat16";
    case FFAI__CONVERT_F16:
        return "float16";
    case FFAI__CONVERT_F32:
        return "float32";
    case FFAI__CONVERT_KEEP:
        break;
    }
    return NULL;
}

static int set_dtype(json_t *config, ffai__convert_dtype dtype)
{
    const char *name = dtype_name(dtype);
    if (!name)
        return 0;
    const char *field = json_object_get(config, "dtype") ? "dtype" : "torch_dtype";
    return json_object_set_new(config, field, json_string(name));
}

static int set_quantization(const job *j, json_t *config)
{
    json_object_del(config, "quantization");
    json_object_del(config, "quantization_config");
    const format global = most_common(j);
    if (global.bits == 0)
        return 0;
    json_t *quantization = quantization_of(j, global);
    /* mlx-lm writes both: the second is where other programs look */
    const int failed = !quantization || json_object_set(config, "quantization", quantization) ||
                       json_object_set(config, "quantization_config", quantization);
    json_decref(quantization);
    return failed;
}

static ffai_status write_config(const job *j)
{
    json_t *config = NULL;
    FFAI__TRY(copy_faithfully(&config, j, "config.json", ffai__checkpoint_config(j->source)));
    if (set_quantization(j, config) || set_dtype(config, j->dtype)) {
        json_decref(config);
        return no_memory(j, "config.json");
    }
    const ffai_status status = write_json(j, "config.json", config);
    json_decref(config);
    return status;
}

/* ---- the others ---- */

static ffai_status write_generation_config(const job *j)
{
    const json_t *read = ffai__checkpoint_generation_config(j->source);
    if (!read || json_object_size(read) == 0)
        return FFAI_OK;
    json_t *document = NULL;
    FFAI__TRY(copy_faithfully(&document, j, "generation_config.json", read));
    const ffai_status status = write_json(j, "generation_config.json", document);
    json_decref(document);
    return status;
}

static ffai_status write_tokenizer(const job *j)
{
    char *bytes = NULL;
    size_t size = 0;
    ffai_error why = FFAI_ERROR_INIT;
    ffai_status status = ffai__checkpoint_tokenizer_json(&bytes, &size, NULL, j->source, &why);
    if (status == FFAI_E_NOT_FOUND) /* a checkpoint of weights alone */
        return FFAI_OK;
    if (status != FFAI_OK)
        return ffai__fail(j->err, status, "%s", why.message);
    status = write_bytes(j, "tokenizer.json", bytes, size);
    ffai__free(bytes);
    return status;
}

/* A file of the source's folder as it stands, if it is there. */
static ffai_status copy_file(const job *j, const char *name)
{
    char *path = ffai__path_join(ffai__checkpoint_path(j->source), name);
    char *bytes = NULL;
    size_t size = 0;
    ffai_error why = FFAI_ERROR_INIT;
    if (!path)
        return no_memory(j, name);
    ffai_status status = ffai__file_read(&bytes, &size, path, DOCUMENT_LIMIT, &why);
    ffai__free(path);
    if (status == FFAI_E_NOT_FOUND)
        return FFAI_OK;
    if (status != FFAI_OK)
        return ffai__fail(j->err, status, "%s", why.message);
    status = write_bytes(j, name, bytes, size);
    ffai__free(bytes);
    return status;
}

/* What other programs may want of a tokenizer. */
static ffai_status copy_beside_tokenizer(const job *j)
{
    static const char *const names[] = {"tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json",
                                        "merges.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !ffai__checkpoint_is_gguf(j->source); i++)
        FFAI__TRY(copy_file(j, names[i]));
    return FFAI_OK;
}

/* Hugging Face keeps several templates as a list of {name, template}. */
static int restore_templates(json_t *config)
{
    json_t *named = json_incref(json_object_get(config, "chat_templates"));
    if (!named)
        return 0;
    json_t *list = json_array();
    const char *name = NULL;
    json_t *text = NULL;
    json_t *chosen = json_object_get(config, "chat_template");
    int failed = !list || json_object_del(config, "chat_templates");
    if (!failed && chosen)
        failed = json_object_set(named, "default", chosen);
    json_object_foreach(named, name, text)
    {
        failed = failed || json_array_append_new(list, json_pack("{s:s, s:O}", "name", name, "template", text));
    }
    failed = failed || json_object_set(config, "chat_template", list);
    json_decref(list);
    json_decref(named);
    return failed;
}

static ffai_status write_tokenizer_config(const job *j)
{
    json_t *read = NULL;
    FFAI__TRY(ffai__checkpoint_tokenizer_config(&read, j->source, j->err));
    json_t *document = ffai__checkpoint_is_gguf(j->source) ? json_incref(read) : with_integers(read);
    ffai_status status = FFAI_OK;
    if (!document || restore_templates(document))
        status = no_memory(j, "tokenizer_config.json");
    else if (json_object_size(document))
        status = write_json(j, "tokenizer_config.json", document);
    json_decref(document);
    json_decref(read);
    return status;
}

ffai_status ffai__documents_write(const char *folder, const ffai__checkpoint *source, const ffai__repack *plans,
                                  size_t count, ffai__convert_dtype dtype, ffai_error *err)
{
    const job j = {folder, source, plans, count, dtype, err};
    FFAI__TRY(write_generation_config(&j));
    FFAI__TRY(write_tokenizer(&j));
    FFAI__TRY(copy_beside_tokenizer(&j));
    FFAI__TRY(write_tokenizer_config(&j));
    return write_config(&j); /* last: without it the folder is no checkpoint */
}
