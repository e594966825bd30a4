/* Tokenizers from wherever they lie. */
#include <string.h>

#include "alloc.h"
#include "engine.h"
#include "file_map.h"
#include "tokenizer.h"
#include "tokenizer_file.h"

static ffai_status load_from_folder(ffai_tokenizer **out, const char *path, ffai_error *err)
{
    char *file = ffai__path_join(path, "tokenizer.json");
    if (!file)
        return ffai__fail_memory(err, "a path", strlen(path));
    const ffai_status status = ffai__tokenizer_file_read(out, file, err);
    ffai__free(file);
    return status;
}

ffai_status ffai__tokenizer_of(ffai_tokenizer **out, const ffai__checkpoint *checkpoint, ffai_error *err)
{
    if (!ffai__checkpoint_is_gguf(checkpoint))
        return load_from_folder(out, ffai__checkpoint_path(checkpoint), err);
    char *json = NULL;
    size_t size = 0;
    ffai__tokenizer_lists lists = {NULL, 0, NULL, 0, NULL};
    FFAI__TRY(ffai__checkpoint_tokenizer_json(&json, &size, &lists, checkpoint, err));
    const ffai_status status = ffai__tokenizer_parse(out, json, size, &lists, ffai__checkpoint_path(checkpoint), err);
    ffai__tokenizer_lists_free(&lists);
    ffai__free(json);
    return status;
}

static bool ends_in(const char *text, const char *end)
{
    const size_t length = strlen(text);
    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static ffai_status load_from_gguf(ffai_tokenizer **out, const char *path, ffai_error *err)
{
    ffai__checkpoint *checkpoint = NULL;
    FFAI__TRY(ffai__checkpoint_open(&checkpoint, path, err));
    const ffai_status status = ffai__tokenizer_of(out, checkpoint, err);
    ffai__checkpoint_close(checkpoint);
    return status;
}

static ffai_status load_from(ffai_tokenizer **out, const char *path, ffai_error *err)
{
    if (ffai__path_kind_of(path) == FFAI__PATH_FOLDER)
        return load_from_folder(out, path, err);
    if (ends_in(path, ".gguf"))
        return load_from_gguf(out, path, err);
    return ffai__tokenizer_file_read(out, path, err);
}

ffai_status ffai_tokenizer_load(ffai_tokenizer **out, const char *path, ffai_error *err)
{
    if (path)
        return load_from(out, path, err);
    char *default_path = NULL;
    FFAI__TRY(ffai_default_model_path(&default_path, err));
    const ffai_status status = load_from(out, default_path, err);
    ffai_free(default_path);
    return status;
}
