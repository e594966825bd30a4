#include "listing.h"

#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "json.h"
#include "part_name.h"
#include "repository.h"
#include "string_map.h"

void ffai__names_free(ffai__names *names)
{
    for (size_t i = 0; i < names->count; i++)
        ffai__free(names->each[i]);
    ffai__free(names->each);
    *names = (ffai__names){NULL, 0, 0};
}

bool ffai__names_have(const ffai__names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->each[i], name) == 0)
            return true;
    }
    return false;
}

static ffai_status append(ffai__names *names, const char *name, ffai_error *err)
{
    if (names->count == names->capacity) {
        const size_t capacity = names->capacity ? 2 * names->capacity : 16;
        char **each = ffai__realloc(names->each, capacity, sizeof *each);
        if (!each)
            return ffai__fail_memory(err, "a list of files", capacity * sizeof *each);
        names->each = each;
        names->capacity = capacity;
    }
    char *copy = ffai__strdup(name);
    if (!copy)
        return ffai__fail_memory(err, "a list of files", strlen(name));
    names->each[names->count++] = copy;
    return FFAI_OK;
}

ffai_status ffai__names_add(ffai__names *names, const char *name, ffai_error *err)
{
    return ffai__names_have(names, name) ? FFAI_OK : append(names, name, err);
}

/* seen has the names that are there: a reply may have 100,000. */
static ffai_status add_checked(ffai__names *names, ffai__string_map *seen, const json_t *value, const char *what,
                               ffai_error *err)
{
    const char *name = json_string_value(value);
    if (!name || strlen(name) != json_string_length(value))
        return ffai__fail(err, FFAI_E_FORMAT, "%.300s: a file's name must be a string", what);
    if (!ffai__hub_path_is_safe(name))
        return ffai__fail(err, FFAI_E_FORMAT, "%.300s: \"%.200s\": no name of a file below the cache's folder", what,
                          name);
    uint64_t ignored = 0;
    if (ffai__string_map_get(seen, name, strlen(name), &ignored))
        return FFAI_OK;
    if (names->count >= FFAI__HUB_MOST_FILES)
        return ffai__fail(err, FFAI_E_LIMIT, "%.300s: more than %d files", what, (int)FFAI__HUB_MOST_FILES);
    FFAI__TRY(append(names, name, err));
    const char *kept = names->each[names->count - 1];
    return ffai__string_map_add(seen, kept, strlen(kept), 0) == FFAI__MAP_NEW
               ? FFAI_OK
               : ffai__fail_memory(err, "a list of files", names->count);
}

static ffai_status read_siblings(ffai__names *names, const json_t *siblings, const char *what, ffai_error *err)
{
    ffai__string_map *seen = ffai__string_map_new(json_array_size(siblings));
    ffai_status status = seen ? FFAI_OK : ffai__fail_memory(err, "a list of files", 0);
    for (size_t i = 0; status == FFAI_OK && i < json_array_size(siblings); i++)
        status = add_checked(names, seen, json_object_get(json_array_get(siblings, i), "rfilename"), what, err);
    ffai__string_map_free(seen);
    return status;
}

static ffai_status read_listing(ffai__listing *out, const json_t *document, const char *what, ffai_error *err)
{
    const char *commit = json_string_value(json_object_get(document, "sha"));
    const json_t *siblings = json_object_get(document, "siblings");
    if (!commit || !ffai__hub_is_sha1(commit))
        return ffai__fail(err, FFAI_E_FORMAT, "%.300s: field \"sha\": must be a commit, 40 hexadecimal digits", what);
    if (!json_is_array(siblings))
        return ffai__fail(err, FFAI_E_FORMAT, "%.300s: field \"siblings\": must be the list of files", what);
    memcpy(out->commit, commit, sizeof out->commit);
    return read_siblings(&out->files, siblings, what, err);
}

ffai_status ffai__listing_parse(ffai__listing *out, const char *bytes, size_t size, const char *what, ffai_error *err)
{
    json_t *document = NULL;
    *out = (ffai__listing){.commit = ""};
    FFAI__TRY(ffai__json_parse(&document, bytes, size, what, err));
    const ffai_status status = read_listing(out, document, what, err);
    json_decref(document);
    if (status != FFAI_OK)
        ffai__listing_free(out);
    return status;
}

void ffai__listing_free(ffai__listing *listing)
{
    ffai__names_free(&listing->files);
}

/* The copies in names keep the map's keys alive while it is used. */
static ffai_status read_weight_map(ffai__names *names, json_t *map, const char *what, ffai_error *err)
{
    ffai__string_map *seen = ffai__string_map_new(64);
    ffai_status status = seen ? FFAI_OK : ffai__fail_memory(err, "a list of files", 0);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(map, key, value)
    {
        if (status != FFAI_OK)
            break;
        status = add_checked(names, seen, value, what, err);
    }
    ffai__string_map_free(seen);
    return status;
}

ffai_status ffai__listing_read_index(ffai__names *names, const char *bytes, size_t size, const char *what,
                                     ffai_error *err)
{
    json_t *document = NULL;
    FFAI__TRY(ffai__json_parse(&document, bytes, size, what, err));
    json_t *map = json_object_get(document, "weight_map");
    const ffai_status status =
        json_is_object(map) && json_object_size(map)
            ? read_weight_map(names, map, what, err)
            : ffai__fail(err, FFAI_E_FORMAT, "%.300s: field \"weight_map\": must name the files of weights", what);
    json_decref(document);
    return status;
}

static bool is_document(const char *name)
{
    static const char *const documents[] = {"config.json",           "generation_config.json",  "tokenizer.json",
                                            "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                            "chat_template.jinja",   "chat_template.json",      FFAI__HUB_INDEX};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        if (strcmp(name, documents[i]) == 0)
            return true;
    }
    return false;
}

/* As the checkpoint's reader has it: model.safetensors, else every model*.safetensors. */
bool ffai__hub_is_weights(const char *name)
{
    return strncmp(name, "model", 5) == 0 && !strchr(name, '/') && ffai__hub_has_suffix(name, ".safetensors");
}

/* "a, b, c and 7 more" of the files that end so. */
static void list_files(ffai__buffer *out, const ffai__listing *listing, const char *suffix)
{
    enum { SHOWN = 8 };
    size_t count = 0;
    for (size_t i = 0; i < listing->files.count; i++) {
        if (ffai__hub_has_suffix(listing->files.each[i], suffix) && ++count <= SHOWN)
            ffai__buffer_format(out, "%s%.80s", count > 1 ? ", " : "", listing->files.each[i]);
    }
    if (count > SHOWN)
        ffai__buffer_format(out, " and %zu more", count - SHOWN);
}

static ffai_status refuse(const ffai__listing *listing, const char *repository, const char *file, ffai_error *err)
{
    ffai__buffer ggufs = FFAI__BUFFER_INIT;
    list_files(&ggufs, listing, ".gguf");
    ffai_status status = FFAI_E_NOT_FOUND;
    const char *list = ggufs.size ? ggufs.data : NULL;
    if (file)
        ffai__fail(err, status, "%s: has no file %.200s; its .gguf files: %s", repository, file, list ? list : "none");
    else if (list)
        ffai__fail(err, status, "%s: has no safetensors weights: name one of its .gguf files, as in %s:FILE: %s",
                   repository, repository, list);
    else
        ffai__fail(err, status, "%s: has neither config.json with safetensors weights nor a .gguf file: is it a model?",
                   repository);
    ffai__buffer_free(&ggufs);
    return status;
}

static ffai_status choose_weights(ffai__names *out, const ffai__listing *listing, ffai_error *err)
{
    if (ffai__names_have(&listing->files, "model.safetensors"))
        return ffai__names_add(out, "model.safetensors", err);
    for (size_t i = 0; i < listing->files.count; i++) {
        if (ffai__hub_is_weights(listing->files.each[i]))
            FFAI__TRY(ffai__names_add(out, listing->files.each[i], err));
    }
    return FFAI_OK;
}

ffai_status ffai__listing_add_parts(ffai__names *out, const char *file, ffai_error *err)
{
    ffai__part_name part = {0, 1, 1};
    if (!ffai__part_name_read(&part, file))
        return ffai__names_add(out, file, err);
    for (unsigned number = 1; number <= part.count; number++) {
        char *name = ffai__part_name_of(file, &part, number);
        const ffai_status status = name ? ffai__names_add(out, name, err) : ffai__fail_memory(err, file, 0);
        ffai__free(name);
        if (status != FFAI_OK)
            return status;
    }
    return FFAI_OK;
}

static ffai_status choose_file(ffai__names *out, const ffai__listing *listing, const char *repository, const char *file,
                               ffai_error *err)
{
    if (!ffai__names_have(&listing->files, file))
        return refuse(listing, repository, file, err);
    FFAI__TRY(ffai__listing_add_parts(out, file, err));
    for (size_t i = 0; i < out->count; i++) {
        if (!ffai__names_have(&listing->files, out->each[i]))
            return refuse(listing, repository, out->each[i], err);
    }
    return FFAI_OK;
}

ffai_status ffai__listing_choose(ffai__names *out, const ffai__listing *listing, const char *repository,
                                 const char *file, ffai_error *err)
{
    if (file)
        return choose_file(out, listing, repository, file, err);
    for (size_t i = 0; i < listing->files.count; i++) {
        if (is_document(listing->files.each[i]))
            FFAI__TRY(ffai__names_add(out, listing->files.each[i], err));
    }
    const size_t documents = out->count;
    const bool indexed = ffai__names_have(out, FFAI__HUB_INDEX);
    if (!indexed)
        FFAI__TRY(choose_weights(out, listing, err));
    if (!ffai__names_have(out, "config.json") || (!indexed && out->count == documents))
        return refuse(listing, repository, NULL, err);
    return FFAI_OK;
}
