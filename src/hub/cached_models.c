/* What lies in the cache, and removing it. */
#define _GNU_SOURCE
#include <ffai/hub.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "buffer.h"
#include "download.h"
#include "file_map.h"
#include "hub_settings.h"
#include "listing.h"
#include "lock_file.h"
#include "snapshot.h"

enum { DEEPEST = 16 }; /* folders below one another that are looked at */

/* --- folders --- */

static ffai_status unreadable(const char *path, ffai_error *err)
{
    return ffai__fail(err, FFAI_E_IO, "%.700s: cannot be read: %s", path, strerror(errno));
}

typedef ffai_status (*on_name)(void *context, const char *folder, const char *name, ffai_error *err);

static ffai_status each_opened(DIR *opened, const char *folder, on_name each, void *context, ffai_error *err)
{
    const struct dirent *entry = NULL;
    while (errno = 0, entry = readdir(opened)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            FFAI__TRY(each(context, folder, entry->d_name, err));
    }
    return errno ? unreadable(folder, err) : FFAI_OK;
}

/* The names in a folder; one that is not there has none. */
static ffai_status each_name(const char *folder, on_name each, void *context, ffai_error *err)
{
    DIR *opened = opendir(folder);
    if (!opened)
        return errno == ENOENT ? FFAI_OK : unreadable(folder, err);
    const ffai_status status = each_opened(opened, folder, each, context, err);
    closedir(opened);
    return status;
}

/* What is called for each entry that is no folder; a failure ends the walk. */
typedef ffai_status (*on_entry)(void *context, const char *path, const char *name, const struct stat *info,
                                ffai_error *err);

typedef struct walking {
    on_entry each;
    void *context;
    int depth;
} walking;

static ffai_status look_at(void *context, const char *folder, const char *name, ffai_error *err);

// NOLINTNEXTLINE(misc-no-recursion): no deeper than DEEPEST
static ffai_status look_at_path(walking *w, const char *path, const char *name, ffai_error *err)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? FFAI_OK : unreadable(path, err); /* another process may have removed it */
    if (!S_ISDIR(info.st_mode))
        return w->each(w->context, path, name, &info, err);
    if (w->depth == DEEPEST)
        return ffai__fail(err, FFAI_E_LIMIT, "%.700s: lies more than %d folders deep", path, DEEPEST);
    w->depth++;
    const ffai_status status = each_name(path, look_at, w, err);
    w->depth--;
    return status;
}

// NOLINTNEXTLINE(misc-no-recursion): no deeper than DEEPEST
static ffai_status look_at(void *context, const char *folder, const char *name, ffai_error *err)
{
    char *path = ffai__path_join(folder, name);
    const ffai_status status = path ? look_at_path(context, path, name, err) : ffai__fail_memory(err, folder, 0);
    ffai__free(path);
    return status;
}

/* Everything below a folder; one that is not there has nothing. Links are not followed. What cannot be read is an
 * error: to whoever removes what is not needed, it must not look like nothing. */
static ffai_status walk(const char *folder, on_entry each, void *context, ffai_error *err)
{
    walking w = {each, context, 0};
    return each_name(folder, look_at, &w, err);
}

static bool is_unfinished(const char *name)
{
    return ffai__hub_has_suffix(name, FFAI__PART_SUFFIX) || ffai__hub_has_suffix(name, ".incomplete") ||
           ffai__hub_has_suffix(name, ".ffai-tmp");
}

/* --- the list --- */

typedef struct gathering {
    ffai_hub_model *models;
    size_t count, capacity;
} gathering;

static ffai_status add_blob(void *context, const char *path, const char *name, const struct stat *info, ffai_error *err)
{
    ffai_hub_model *model = context;
    const uint64_t bytes = (uint64_t)info->st_blocks * 512;
    (void)path;
    (void)err;
    model->bytes += bytes;
    model->unfinished_bytes += is_unfinished(name) ? bytes : 0;
    if (!is_unfinished(name) && info->st_atime > model->last_used)
        model->last_used = info->st_atime;
    return FFAI_OK;
}

static ffai_status add_format(void *context, const char *path, const char *name, const struct stat *info,
                              ffai_error *err)
{
    ffai_hub_model *model = context;
    (void)path;
    (void)info;
    (void)err;
    if (ffai__hub_has_suffix(name, ".safetensors"))
        model->format = "safetensors";
    else if (ffai__hub_has_suffix(name, ".gguf") && strcmp(model->format, "other") == 0)
        model->format = "gguf";
    return FFAI_OK;
}

typedef struct refs {
    ffai__buffer text;
    size_t prefix; /* bytes of a path before the revision's name */
} refs;

static ffai_status add_ref(void *context, const char *path, const char *name, const struct stat *info, ffai_error *err)
{
    refs *r = context;
    (void)info;
    if (is_unfinished(name))
        return FFAI_OK;
    ffai__buffer_format(&r->text, "%s%s", r->text.size ? ", " : "", path + r->prefix);
    return r->text.failed ? ffai__fail_memory(err, path, 0) : FFAI_OK;
}

static ffai_status count_one(void *context, const char *folder, const char *name, ffai_error *err)
{
    size_t *count = context;
    (void)folder;
    (void)err;
    *count += name[0] != '.';
    return FFAI_OK;
}

static ffai_status look_at_model(ffai_hub_model *model, const char *folder, ffai_error *err)
{
    refs r = {.text = FFAI__BUFFER_INIT, .prefix = strlen(folder) + strlen("/refs/")};
    char *blobs = ffai__path_join(folder, "blobs");
    char *snapshots = ffai__path_join(folder, "snapshots");
    char *names = ffai__path_join(folder, "refs");
    ffai_status status = blobs && snapshots && names ? FFAI_OK : ffai__fail_memory(err, folder, 0);
    if (status == FFAI_OK)
        status = walk(blobs, add_blob, model, err);
    if (status == FFAI_OK)
        status = walk(snapshots, add_format, model, err);
    if (status == FFAI_OK)
        status = walk(names, add_ref, &r, err);
    if (status == FFAI_OK)
        status = each_name(snapshots, count_one, &model->snapshots, err);
    model->revisions = ffai__buffer_take(&r.text, NULL);
    ffai__free(blobs);
    ffai__free(snapshots);
    ffai__free(names);
    return status == FFAI_OK && !model->revisions ? ffai__fail_memory(err, folder, 0) : status;
}

static const char removed_suffix[] = ".removed";

/* "models--org--name.4711.removed": what is left of a model whose removal was cut short. */
static bool is_removed(const char *folder)
{
    if (strncmp(folder, "models--", 8) != 0 || !ffai__hub_has_suffix(folder, removed_suffix))
        return false;
    const char *end = folder + strlen(folder) - (sizeof removed_suffix - 1);
    const char *digits = end;
    while (digits > folder && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    return digits < end && digits > folder && digits[-1] == '.';
}

/* "models--org--name" -> "org/name"; NULL for another folder. */
static ffai_status name_of(char **out, const char *folder, ffai_error *err)
{
    ffai__repository repository = {NULL, NULL, NULL};
    const char *rest = strncmp(folder, "models--", 8) == 0 && !is_removed(folder) ? folder + 8 : NULL;
    const char *mark = rest ? strstr(rest, "--") : NULL;
    *out = NULL;
    if (!mark)
        return FFAI_OK;
    char *name = ffai__format("%.*s/%s", (int)(mark - rest), rest, mark + 2);
    const ffai_status status =
        name ? ffai__repository_parse(&repository, name, err) : ffai__fail_memory(err, folder, 0);
    ffai__repository_free(&repository);
    if (status == FFAI_OK)
        *out = name;
    else
        ffai__free(name);
    return status == FFAI_E_ARGUMENT ? FFAI_OK : status;
}

static ffai_status add_model(void *context, const char *cache, const char *folder, ffai_error *err)
{
    gathering *g = context;
    char *name = NULL;
    FFAI__TRY(name_of(&name, folder, err));
    if (!name)
        return FFAI_OK;
    if (g->count == g->capacity) {
        const size_t capacity = g->capacity ? 2 * g->capacity : 16;
        ffai_hub_model *models = ffai__realloc(g->models, capacity, sizeof *models);
        if (!models) {
            ffai__free(name);
            return ffai__fail_memory(err, "a list of models", capacity);
        }
        g->models = models;
        g->capacity = capacity;
    }
    ffai_hub_model *model = &g->models[g->count++];
    *model = (ffai_hub_model){.name = name, .format = "other"};
    char *path = ffai__path_join(cache, folder);
    const ffai_status status = path ? look_at_model(model, path, err) : ffai__fail_memory(err, folder, 0);
    ffai__free(path);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ffai_hub_model *)a)->name, ((const ffai_hub_model *)b)->name);
}

ffai_status ffai_hub_models(ffai_hub_model **models, size_t *count, ffai_error *err)
{
    ffai__hub_settings settings;
    gathering g = {NULL, 0, 0};
    FFAI__TRY(ffai__hub_settings_read(&settings, err));
    const ffai_status status = each_name(settings.cache, add_model, &g, err);
    ffai__hub_settings_free(&settings);
    if (status != FFAI_OK) {
        ffai_hub_models_free(g.models, g.count);
        return status;
    }
    if (g.count)
        qsort(g.models, g.count, sizeof *g.models, by_name);
    *models = g.models;
    *count = g.count;
    return FFAI_OK;
}

void ffai_hub_models_free(ffai_hub_model *models, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ffai__free(models[i].name);
        ffai__free(models[i].revisions);
    }
    ffai__free(models);
}

/* --- removing --- */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path) != 0 && errno != ENOENT; /* another process may be removing the same */
}

static ffai_status add_bytes(void *context, const char *path, const char *name, const struct stat *info,
                             ffai_error *err)
{
    uint64_t *bytes = context;
    (void)path;
    (void)name;
    (void)err;
    *bytes += (uint64_t)info->st_blocks * 512;
    return FFAI_OK;
}

static ffai_status remove_tree(const char *path, ffai_error *err)
{
    if (nftw(path, remove_one, DEEPEST, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_IO, "%.700s: cannot be removed: %s", path, strerror(errno));
}

/* First the folder gets a name that nobody looks for, so that no half of a model is ever found. */
static ffai_status remove_folder(uint64_t *freed, const char *folder, ffai_error *err)
{
    uint64_t bytes = 0;
    FFAI__TRY(walk(folder, add_bytes, &bytes, err));
    char *beside = ffai__format("%s.%ld%s", folder, (long)getpid(), removed_suffix);
    if (!beside)
        return ffai__fail_memory(err, folder, 0);
    const ffai_status status = rename(folder, beside) == 0 ? remove_tree(beside, err)
                                                           : ffai__fail(err, FFAI_E_IO, "%.700s: cannot be removed: %s",
                                                                        folder, strerror(errno));
    ffai__free(beside);
    *freed = bytes;
    return status;
}

static ffai_status remove_repository(uint64_t *freed, const ffai__hub_settings *settings, const char *name,
                                     ffai_error *err)
{
    ffai__repository repository;
    ffai__snapshot snapshot;
    FFAI__TRY(ffai__repository_parse(&repository, name, err));
    ffai_status status = strpbrk(name, "@:") ? ffai__fail(err, FFAI_E_ARGUMENT,
                                                          "%.200s: a model is removed whole: give org/repo alone", name)
                                             : ffai__snapshot_find(&snapshot, settings, &repository, err);
    if (status == FFAI_OK) {
        status = ffai__path_kind_of(snapshot.repository) == FFAI__PATH_FOLDER
                     ? remove_folder(freed, snapshot.repository, err)
                     : ffai__fail(err, FFAI_E_NOT_FOUND, "%s: is not in the cache, %.500s", name, settings->cache);
        ffai__snapshot_free(&snapshot);
    }
    ffai__repository_free(&repository);
    return status;
}

ffai_status ffai_hub_remove(uint64_t *freed, const char *name, ffai_error *err)
{
    ffai__hub_settings settings;
    FFAI__TRY(ffai__hub_settings_read(&settings, err));
    const ffai_status status = remove_repository(freed, &settings, name, err);
    ffai__hub_settings_free(&settings);
    return status;
}

/* --- pruning --- */

typedef struct pruning {
    const char *cache, *model; /* the folder's name */
    ffai__names used;          /* blobs that snapshots link to */
    uint64_t freed;
} pruning;

static ffai_status add_used(void *context, const char *path, const char *name, const struct stat *info, ffai_error *err)
{
    pruning *p = context;
    char target[4096];
    (void)name;
    const ssize_t size = S_ISLNK(info->st_mode) ? readlink(path, target, sizeof target - 1) : -1;
    if (size <= 0)
        return FFAI_OK;
    target[size] = 0;
    const char *slash = strrchr(target, '/');
    return ffai__names_add(&p->used, slash ? slash + 1 : target, err);
}

/* With its lock held: one that another process downloads now stays. */
static ffai_status remove_unlocked(pruning *p, const char *path, const char *lock_path, const struct stat *info,
                                   ffai_error *err)
{
    int lock = -1;
    ffai_status status = ffai__lock_file_try(&lock, lock_path, err);
    if (status != FFAI_OK || lock < 0)
        return status;
    if (unlink(path) == 0)
        p->freed += (uint64_t)info->st_blocks * 512;
    else
        status = ffai__fail(err, FFAI_E_IO, "%.700s: cannot be removed: %s", path, strerror(errno));
    ffai__lock_file_close(lock);
    return status;
}

/* A blob's name, or that of one that is not whole, begins with its digest. */
static ffai_status prune_blob(void *context, const char *path, const char *name, const struct stat *info,
                              ffai_error *err)
{
    pruning *p = context;
    if (ffai__names_have(&p->used, name))
        return FFAI_OK;
    char *lock_path = ffai__format("%s/.locks/%s/%.*s.lock", p->cache, p->model, (int)strcspn(name, "."), name);
    const ffai_status status =
        lock_path ? remove_unlocked(p, path, lock_path, info, err) : ffai__fail_memory(err, path, 0);
    ffai__free(lock_path);
    return status;
}

static ffai_status prune_model(pruning *p, const char *folder, ffai_error *err)
{
    char *blobs = ffai__path_join(folder, "blobs");
    char *snapshots = ffai__path_join(folder, "snapshots");
    ffai_status status = blobs && snapshots ? FFAI_OK : ffai__fail_memory(err, folder, 0);
    if (status == FFAI_OK)
        status = walk(snapshots, add_used, p, err);
    if (status == FFAI_OK)
        status = walk(blobs, prune_blob, p, err);
    ffai__names_free(&p->used);
    ffai__free(blobs);
    ffai__free(snapshots);
    return status;
}

static ffai_status prune_removed(void *context, const char *cache, const char *folder, ffai_error *err)
{
    uint64_t *freed = context;
    uint64_t bytes = 0;
    if (!is_removed(folder))
        return FFAI_OK;
    char *path = ffai__path_join(cache, folder);
    ffai_status status = path ? walk(path, add_bytes, &bytes, err) : ffai__fail_memory(err, folder, 0);
    if (status == FFAI_OK)
        status = remove_tree(path, err);
    ffai__free(path);
    *freed += status == FFAI_OK ? bytes : 0;
    return status;
}

static ffai_status prune_all(uint64_t *freed, const ffai__hub_settings *settings, const gathering *g, ffai_error *err)
{
    *freed = 0;
    for (size_t i = 0; i < g->count; i++) {
        static char any[] = "main";
        const ffai__repository repository = {.name = g->models[i].name, .revision = any};
        ffai__snapshot snapshot;
        FFAI__TRY(ffai__snapshot_find(&snapshot, settings, &repository, err));
        pruning p = {.cache = settings->cache, .model = strrchr(snapshot.repository, '/') + 1};
        const ffai_status status = prune_model(&p, snapshot.repository, err);
        *freed += p.freed;
        ffai__snapshot_free(&snapshot);
        FFAI__TRY(status);
    }
    return FFAI_OK;
}

ffai_status ffai_hub_prune(uint64_t *freed, ffai_error *err)
{
    ffai__hub_settings settings;
    gathering g = {NULL, 0, 0};
    FFAI__TRY(ffai__hub_settings_read(&settings, err));
    ffai_status status = each_name(settings.cache, add_model, &g, err);
    if (status == FFAI_OK)
        status = prune_all(freed, &settings, &g, err);
    if (status == FFAI_OK)
        status = each_name(settings.cache, prune_removed, freed, err);
    ffai_hub_models_free(g.models, g.count);
    ffai__hub_settings_free(&settings);
    return status;
}
