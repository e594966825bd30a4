#include "gguf_parts.h"

#include <string.h>

#include "alloc.h"
#include "part_name.h"

typedef struct {
    ffai__checkpoint *checkpoint;
    ffai__part_name name;
    ffai__gguf *opened;     /* the file that was asked for, until it has its place */
    ffai__string_map *seen; /* tensors by name: their positions */
    int64_t declared;       /* split.tensors.count of the first part; -1: it does not say */
    ffai_error *err;
} joiner;

static ffai_status read_count(int64_t *count, const ffai__gguf *file, ffai_error *err)
{
    *count = 1;
    return ffai__gguf_get_int(count, file, "split.count", 0, FFAI__MOST_PARTS, err);
}

ffai_status ffai__gguf_refuse_parts(const ffai__gguf *file, ffai_error *err)
{
    int64_t count = 0;
    FFAI__TRY(read_count(&count, file, err));
    return count <= 1
               ? FFAI_OK
               : ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: is one of %lld parts of a model: the others are missing",
                            file->what, (long long)count);
}

/* ---- one part ---- */

static ffai_status check_number(const joiner *j, const ffai__gguf *part, const char *key, int64_t expected)
{
    int64_t value = -1;
    FFAI__TRY(ffai__gguf_get_int(&value, part, key, 0, INT32_MAX, j->err));
    if (value != expected)
        return ffai__fail(j->err, FFAI_E_FORMAT, "%s: key \"%s\": is %lld, but should be %lld for this part",
                          part->what, key, (long long)value, (long long)expected);
    return FFAI_OK;
}

static bool same_value(const ffai__gguf_field *a, const ffai__gguf_field *b)
{
    const size_t size = (size_t)(a->end - a->data);
    const bool same_type = a->type == b->type && (a->type != FFAI__GGUF_ARRAY || a->element == b->element);
    return same_type && a->count == b->count && (size_t)(b->end - b->data) == size && !memcmp(a->data, b->data, size);
}

/* What a part says besides its place must be what the first one says. */
static ffai_status check_metadata(const joiner *j, const ffai__gguf *part)
{
    const ffai__gguf *first = j->checkpoint->gguf;
    for (size_t i = 0; i < part->field_count; i++) {
        const ffai__gguf_field *field = &part->fields[i];
        uint64_t index = 0;
        if (field->key.size >= 6 && memcmp(field->key.data, "split.", 6) == 0)
            continue;
        if (ffai__string_map_get(first->index, field->key.data, field->key.size, &index) &&
            !same_value(field, &first->fields[index]))
            return ffai__fail(j->err, FFAI_E_FORMAT, "%s: key \"%.*s\": is not what %s has", part->what,
                              field->key.size < 128 ? (int)field->key.size : 128, field->key.data, first->what);
    }
    return FFAI_OK;
}

static ffai_status check_part(const joiner *j, const ffai__gguf *part, unsigned number)
{
    FFAI__TRY(check_number(j, part, "split.count", j->name.count));
    FFAI__TRY(check_number(j, part, "split.no", (int64_t)number - 1));
    if (j->declared >= 0)
        FFAI__TRY(check_number(j, part, "split.tensors.count", j->declared));
    return number == 1 ? FFAI_OK : check_metadata(j, part);
}

/* The path lives as long as the checkpoint: errors name it. */
static ffai_status open_part(ffai__gguf **out, const joiner *j, unsigned number)
{
    ffai__checkpoint *checkpoint = j->checkpoint;
    char *made = ffai__part_name_of(checkpoint->path, &j->name, number);
    char *path = made ? ffai__checkpoint_own(checkpoint, strlen(made) + 1) : NULL;
    if (path)
        memcpy(path, made, strlen(made) + 1);
    ffai__free(made);
    if (!path)
        return ffai__fail_memory(j->err, checkpoint->path, strlen(checkpoint->path));
    if (ffai__path_kind_of(path) == FFAI__PATH_MISSING)
        return ffai__fail(j->err, FFAI_E_NOT_FOUND, "%s: is missing: %s is one of %u parts, and needs the others", path,
                          checkpoint->path, j->name.count);
    ffai__shard *shard = NULL;
    FFAI__TRY(ffai__checkpoint_map(&shard, checkpoint, path, j->err));
    return ffai__gguf_parse(out, ffai__file_map_data(shard->map), ffai__file_map_size(shard->map), path, j->err);
}

/* ---- joining ---- */

static ffai_status note_tensors(const joiner *j, size_t from)
{
    const ffai__gguf *first = j->checkpoint->gguf;
    for (size_t i = from; i < first->tensor_count; i++) {
        const ffai__gguf_tensor *tensor = &first->tensors[i];
        uint64_t other = 0;
        if (ffai__string_map_get(j->seen, tensor->name, strlen(tensor->name), &other))
            return ffai__fail(j->err, FFAI_E_FORMAT, "%s: tensor \"%s\" is already in %s", tensor->what, tensor->name,
                              first->tensors[other].what);
        if (ffai__string_map_add(j->seen, tensor->name, strlen(tensor->name), i) == FFAI__MAP_NO_MEMORY)
            return ffai__fail_memory(j->err, tensor->what, first->tensor_count);
    }
    return FFAI_OK;
}

/* The part's tensors go over to the first one. */
static ffai_status take_tensors(const joiner *j, ffai__gguf *part)
{
    ffai__gguf *first = j->checkpoint->gguf;
    const size_t before = first->tensor_count;
    const size_t count = before + part->tensor_count;
    ffai__gguf_tensor *tensors = ffai__realloc(first->tensors, count ? count : 1, sizeof *tensors);
    if (!tensors)
        return ffai__fail_memory(j->err, part->what, count * sizeof *tensors);
    first->tensors = tensors;
    if (part->tensor_count)
        memcpy(tensors + before, part->tensors, part->tensor_count * sizeof *tensors);
    first->tensor_count = count;
    part->tensor_count = 0;
    return note_tensors(j, before);
}

static ffai_status join_part(joiner *j, unsigned number)
{
    ffai__gguf *part = NULL;
    if (number == j->name.number) {
        part = j->opened;
        j->opened = NULL;
    } else {
        FFAI__TRY(open_part(&part, j, number));
    }
    ffai_status status = check_part(j, part, number);
    if (status == FFAI_OK)
        status = take_tensors(j, part);
    ffai__gguf_free(part);
    return status;
}

static ffai_status take_first(joiner *j)
{
    ffai__checkpoint *checkpoint = j->checkpoint;
    if (j->name.number > 1) {
        j->opened = checkpoint->gguf;
        checkpoint->gguf = NULL;
        FFAI__TRY(open_part(&checkpoint->gguf, j, 1));
    }
    FFAI__TRY(ffai__gguf_get_int(&j->declared, checkpoint->gguf, "split.tensors.count", 0, INT32_MAX, j->err));
    FFAI__TRY(check_part(j, checkpoint->gguf, 1));
    return note_tensors(j, 0);
}

static ffai_status join(joiner *j)
{
    FFAI__TRY(take_first(j));
    for (unsigned number = 2; number <= j->name.count; number++)
        FFAI__TRY(join_part(j, number));
    const ffai__gguf *first = j->checkpoint->gguf;
    if (j->declared >= 0 && (uint64_t)j->declared != first->tensor_count)
        return ffai__fail(j->err, FFAI_E_FORMAT, "%s: key \"split.tensors.count\": is %lld, but its %u parts have %zu",
                          first->what, (long long)j->declared, j->name.count, first->tensor_count);
    return FFAI_OK;
}

/* The file's name must be that of the part it is, or the others could not be found. */
static ffai_status read_name(joiner *j, int64_t count)
{
    int64_t number = -1;
    const ffai__gguf *file = j->checkpoint->gguf;
    FFAI__TRY(ffai__gguf_get_int(&number, file, "split.no", 0, FFAI__MOST_PARTS, j->err));
    if (ffai__part_name_read(&j->name, file->what) && j->name.count == count && j->name.number == number + 1)
        return FFAI_OK;
    return ffai__fail(j->err, FFAI_E_FORMAT,
                      "%s: is part %lld of %lld of a model (keys \"split.no\", \"split.count\"): its name must end in "
                      "-%05lld-of-%05lld.gguf, and the others lie beside it",
                      file->what, (long long)number + 1, (long long)count, (long long)number + 1, (long long)count);
}

ffai_status ffai__gguf_join_parts(ffai__checkpoint *checkpoint, ffai_error *err)
{
    joiner j = {.checkpoint = checkpoint, .declared = -1, .err = err};
    int64_t count = 0;
    FFAI__TRY(read_count(&count, checkpoint->gguf, err));
    if (count <= 1)
        return FFAI_OK;
    FFAI__TRY(read_name(&j, count));
    j.seen = ffai__string_map_new(checkpoint->gguf->tensor_count);
    if (!j.seen)
        return ffai__fail_memory(err, checkpoint->path, checkpoint->gguf->tensor_count);
    const ffai_status status = join(&j);
    ffai__string_map_free(j.seen);
    ffai__gguf_free(j.opened);
    return status;
}
