#define _GNU_SOURCE
#include "tuning_file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ffai/tune.h>

#include "alloc.h"
#include "cache_folder.h"
#include "file_map.h"
#include "json.h"
#include "output_file.h"

enum { FILE_LIMIT = 64 << 10, HASH_DIGITS = 16 };

static const char folder_below[] = "ffai/tune/";

/* --- which file --- */

/* FNV-1a: it tells programs apart, and need not withstand anybody who wants two to be alike. */
static uint64_t hash(uint64_t from, const char *text)
{
    for (; *text; text++)
        from = (from ^ (uint8_t)*text) * 0x100000001b3u;
    return from;
}

static ffai_status hash_program(uint64_t *value, const ffai_model *model, ffai_error *err)
{
    char *listing = NULL;
    FFAI__TRY(ffai__model_print_listing(&listing, model, err));
    *value = hash(0xcbf29ce484222325u, listing);
    ffai_free(listing);
    return FFAI_OK;
}

ffai_status ffai__tuning_file_of(ffai__tuning_file *file, const ffai_model *model, ffai_error *err)
{
    uint64_t program = 0;
    char below[sizeof folder_below + HASH_DIGITS + sizeof ".json"];
    FFAI__TRY(hash_program(&program, model, err));
    FFAI__TRY(model->backend->identify(&file->threads, file->device, sizeof file->device, model->device, err));
    file->backend = model->backend->name;
    snprintf(file->program, sizeof file->program, "%016llx", (unsigned long long)program);
    const uint64_t key = hash(hash(program, file->device), ffai_version());
    snprintf(below, sizeof below, "%s%016llx.json", folder_below, (unsigned long long)key);
    return ffai__cache_path(&file->path, below, err);
}

void ffai__tuning_file_free(ffai__tuning_file *file)
{
    ffai__free(file->path);
    file->path = NULL;
}

/* --- reading --- */

static ffai_status require_text(const json_t *object, const char *key, const char *wanted, const char *path,
                                ffai_error *err)
{
    const char *text = NULL;
    FFAI__TRY(ffai__json_get_string(&text, object, key, path, err));
    if (text && strcmp(text, wanted) == 0)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be \"%s\"", path, key, wanted);
}

static ffai_status read_value(ffai__tuning *tuning, size_t i, const json_t *values, const ffai__tuning_file *file,
                              ffai_error *err)
{
    const ffai__tunable *tunable = &ffai__tunables[i];
    const int32_t most = i == FFAI__TUNABLE_threads ? file->threads : tunable->most;
    int64_t value = 0;
    if (!ffai__json_field(values, tunable->name))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": is missing", file->path, tunable->name);
    FFAI__TRY(ffai__json_get_int(&value, values, tunable->name, tunable->least, most, file->path, err));
    ffai__tuning_set(tuning, i, (int32_t)value);
    return FFAI_OK;
}

static ffai_status read_document(ffai__tuning *tuning, const json_t *document, const ffai__tuning_file *file,
                                 ffai_error *err)
{
    if (!json_is_object(document))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: must be an object", file->path);
    FFAI__TRY(require_text(document, "version", ffai_version(), file->path, err));
    FFAI__TRY(require_text(document, "device", file->device, file->path, err));
    FFAI__TRY(require_text(document, "program", file->program, file->path, err));
    const json_t *values = ffai__json_field(document, "values");
    if (!json_is_object(values))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"values\": must be an object", file->path);
    for (size_t i = 0; i < FFAI__NUM_TUNABLES; i++) {
        if (ffai__tunable_is_of(i, file->backend))
            FFAI__TRY(read_value(tuning, i, values, file, err));
    }
    return FFAI_OK;
}

ffai_status ffai__tuning_file_read(ffai__tuning *tuning, const ffai__tuning_file *file, ffai_error *err)
{
    json_t *document = NULL;
    ffai__tuning read = ffai__tuning_usual;
    FFAI__TRY(ffai__json_read(&document, file->path, FILE_LIMIT, err));
    const ffai_status status = read_document(&read, document, file, err);
    json_decref(document);
    if (status == FFAI_OK)
        *tuning = read;
    return status;
}

/* --- writing and removing --- */

static json_t *json_of_values(const ffai__tuning *tuning, const char *backend)
{
    json_t *values = json_object();
    for (size_t i = 0; values && i < FFAI__NUM_TUNABLES; i++) {
        if (ffai__tunable_is_of(i, backend) &&
            json_object_set_new(values, ffai__tunables[i].name, json_integer(ffai__tuning_get(tuning, i))) != 0) {
            json_decref(values);
            return NULL;
        }
    }
    return values;
}

/* Also opens the file for writing and leaves it: a folder that is there may still refuse it. */
ffai_status ffai__tuning_file_prepare(const ffai__tuning_file *file, ffai_error *err)
{
    ffai_error why = FFAI_ERROR_INIT;
    ffai__output_file *output = NULL;
    ffai_status status = ffai__cache_make_folders(file->path, FFAI__CACHE_VARIABLE, err);
    if (status != FFAI_OK)
        return ffai__fail_in(err, status, "tune");
    status = ffai__output_open(&output, file->path, &why);
    ffai__output_free(output);
    if (status == FFAI_OK)
        return FFAI_OK;
    const char *advice = status == FFAI_E_IO ? ": set " FFAI__CACHE_VARIABLE " to a folder you can write" : "";
    return ffai__fail(err, status, "tune: %s%s", why.message, advice);
}

ffai_status ffai__tuning_file_write(const ffai__tuning_file *file, const ffai__tuning *tuning, ffai_error *err)
{
    json_t *document = json_pack("{s:s, s:s, s:s, s:o}", "version", ffai_version(), "device", file->device, "program",
                                 file->program, "values", json_of_values(tuning, file->backend));
    char *text = document ? ffai__json_dump(document, JSON_INDENT(1)) : NULL;
    json_decref(document);
    if (!text)
        return ffai__fail_memory(err, "tuned values", 0);
    ffai_status status = ffai__cache_make_folders(file->path, FFAI__CACHE_VARIABLE, err);
    if (status == FFAI_OK)
        status = ffai__output_whole(file->path, text, strlen(text), err);
    ffai__free(text);
    return status;
}

/* Nothing but what ffai__tuning_file_of names. */
static bool is_ours(const char *name)
{
    return strspn(name, "0123456789abcdef") == HASH_DIGITS && strcmp(name + HASH_DIGITS, ".json") == 0;
}

static ffai_status remove_all(size_t *removed, DIR *folder, const char *path, ffai_error *err)
{
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (!is_ours(entry->d_name))
            continue;
        if (unlinkat(dirfd(folder), entry->d_name, 0) != 0)
            return ffai__fail(err, FFAI_E_IO, "tune: %s%s: cannot be removed", path, entry->d_name);
        ++*removed;
    }
    return FFAI_OK;
}

ffai_status ffai_tune_forget(size_t *removed, ffai_error *err)
{
    char *path = NULL;
    *removed = 0;
    const ffai_status found = ffai__cache_path(&path, folder_below, err);
    if (found != FFAI_OK)
        return found == FFAI_E_NOT_FOUND ? ffai__fail_in(err, found, "tune") : found;
    DIR *folder = opendir(path);
    const ffai_status status = folder ? remove_all(removed, folder, path, err) : FFAI_OK;
    if (folder)
        closedir(folder);
    ffai__free(path);
    return status;
}

/* --- loading --- */

static ffai_status is_switched_off(bool *off, ffai_error *err)
{
    const char *word = getenv("FFAI_TUNE");
    *off = word && strcmp(word, "off") == 0;
    if (*off || !word || !*word || strcmp(word, "on") == 0)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_ARGUMENT, "FFAI_TUNE: \"%.40s\" is neither on nor off", word);
}

/* Whether anybody has tuned here: if not, nothing else is looked at. */
static ffai_status has_folder(bool *there, ffai_error *err)
{
    char *path = NULL;
    const ffai_status status = ffai__cache_path(&path, folder_below, err);
    *there = status == FFAI_OK && ffai__path_kind_of(path) == FFAI__PATH_FOLDER;
    ffai__free(path);
    return status == FFAI_E_NOT_FOUND ? FFAI_OK : status;
}

static void note_values(ffai_model *model, const char *path)
{
    size_t used = 0;
    char *note = model->tuning_note;
    const size_t size = sizeof model->tuning_note;
    for (size_t i = 0; i < FFAI__NUM_TUNABLES; i++) {
        const int32_t value = ffai__tuning_get(&model->tuning, i);
        if (ffai__tunable_is_of(i, model->backend->name) && value != ffai__tunables[i].usual && used < size)
            used += (size_t)snprintf(note + used, size - used, "%s %d, ", ffai__tunables[i].name, value);
    }
    if (used < size)
        snprintf(note + used, size - used, "%sfrom %s", used ? "" : "usual values, ", path);
}

static ffai_status read_file(ffai_model *model, const ffai__tuning_file *file, ffai_error *err)
{
    ffai_error why;
    const ffai_status status = ffai__tuning_file_read(&model->tuning, file, &why);
    if (status == FFAI_OK)
        note_values(model, file->path);
    else if (status == FFAI_E_MEMORY)
        return ffai__fail(err, status, "%s", why.message);
    else if (status != FFAI_E_NOT_FOUND)
        snprintf(model->tuning_note, sizeof model->tuning_note, "usual values; ignored: %s", why.message);
    return FFAI_OK;
}

ffai_status ffai__tuning_choose(ffai_model *model, ffai_error *err)
{
    bool off = false, there = false;
    ffai__tuning_file file = {0};
    model->tuning = ffai__tuning_usual;
    snprintf(model->tuning_note, sizeof model->tuning_note,
             model->backend->identify ? "usual values" : "the backend has nothing to tune");
    FFAI__TRY(is_switched_off(&off, err));
    if (off || model->untuned || !model->backend->identify)
        return FFAI_OK;
    FFAI__TRY(has_folder(&there, err));
    if (!there)
        return FFAI_OK;
    ffai_status status = ffai__tuning_file_of(&file, model, err);
    if (status == FFAI_OK)
        status = read_file(model, &file, err);
    ffai__tuning_file_free(&file);
    return status;
}
