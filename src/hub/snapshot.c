#define _GNU_SOURCE
#include "snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "buffer.h"
#include "cache_folder.h"
#include "file_map.h"

enum { REF_LIMIT = 256 };

void ffai__snapshot_free(ffai__snapshot *snapshot)
{
    ffai__free(snapshot->repository);
    ffai__free(snapshot->locks);
    ffai__free(snapshot->folder);
    *snapshot = (ffai__snapshot){NULL, NULL, NULL, ""};
}

/* models--org--name */
static char *folder_name(const char *repository)
{
    const size_t organisation = strcspn(repository, "/");
    return ffai__format("models--%.*s--%s", (int)organisation, repository, repository + organisation + 1);
}

ffai_status ffai__snapshot_turn(ffai__snapshot *snapshot, const char *commit, ffai_error *err)
{
    char *folder = ffai__format("%s/snapshots/%s", snapshot->repository, commit);
    if (!folder)
        return ffai__fail_memory(err, snapshot->repository, 0);
    ffai__free(snapshot->folder);
    snapshot->folder = folder;
    memcpy(snapshot->commit, commit, sizeof snapshot->commit);
    return FFAI_OK;
}

static ffai_status read_commit(char commit[41], const char *path, ffai_error *err)
{
    char *text = NULL;
    size_t size = 0;
    const ffai_status status = ffai__file_read(&text, &size, path, REF_LIMIT, err);
    if (status == FFAI_E_IO || status == FFAI_E_MEMORY)
        return status;
    if (status == FFAI_OK) {
        text[strcspn(text, " \r\n")] = 0;
        if (ffai__hub_is_sha1(text))
            memcpy(commit, text, 41);
    }
    ffai__free(text);
    return FFAI_OK;
}

/* What refs/REVISION says; anything but a commit counts as nothing. */
static ffai_status read_ref(char commit[41], const ffai__snapshot *snapshot, const char *revision, ffai_error *err)
{
    char *path = ffai__format("%s/refs/%s", snapshot->repository, revision);
    if (!path)
        return ffai__fail_memory(err, revision, 0);
    const ffai__path_kind kind = ffai__path_kind_of(path);
    ffai_status status = FFAI_OK;
    if (kind == FFAI__PATH_FILE || kind == FFAI__PATH_UNKNOWN)
        status = read_commit(commit, path, err);
    ffai__free(path);
    return status;
}

static ffai_status find_commit(ffai__snapshot *s, const ffai__repository *repository, ffai_error *err)
{
    char commit[41] = "";
    if (ffai__hub_is_sha1(repository->revision))
        memcpy(commit, repository->revision, sizeof commit);
    else
        FFAI__TRY(read_ref(commit, s, repository->revision, err));
    return commit[0] ? ffai__snapshot_turn(s, commit, err) : FFAI_OK;
}

ffai_status ffai__snapshot_find(ffai__snapshot *out, const ffai__hub_settings *settings,
                                const ffai__repository *repository, ffai_error *err)
{
    ffai__snapshot s = {NULL, NULL, NULL, ""};
    char *name = folder_name(repository->name);
    s.repository = name ? ffai__path_join(settings->cache, name) : NULL;
    s.locks = name ? ffai__format("%s/.locks/%s", settings->cache, name) : NULL;
    ffai__free(name);
    const ffai_status status =
        s.repository && s.locks ? find_commit(&s, repository, err) : ffai__fail_memory(err, repository->name, 0);
    if (status == FFAI_OK)
        *out = s;
    else
        ffai__snapshot_free(&s);
    return status;
}

char *ffai__snapshot_path(const ffai__snapshot *snapshot, const char *file)
{
    return ffai__path_join(snapshot->folder, file);
}

char *ffai__snapshot_blob(const ffai__snapshot *snapshot, const char *digest)
{
    return ffai__format("%s/blobs/%s", snapshot->repository, digest);
}

ffai_status ffai__snapshot_size(int64_t *size, const ffai__snapshot *snapshot, const char *file, ffai_error *err)
{
    struct stat info;
    char *path = ffai__snapshot_path(snapshot, file);
    ffai_status status = path ? FFAI_OK : ffai__fail_memory(err, file, 0);
    *size = -1;
    if (path && stat(path, &info) == 0)
        *size = S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
    else if (path && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        status = ffai__hub_cache_failure(path, "looked at", err);
    ffai__free(path);
    return status;
}

/* --- what is missing --- */

static ffai_status need(ffai__buffer *missing, const ffai__snapshot *s, const char *file, ffai_error *err)
{
    enum { SHOWN_BYTES = 400 };
    int64_t size = -1;
    FFAI__TRY(ffai__snapshot_size(&size, s, file, err));
    if (size < 0 && missing->size < SHOWN_BYTES)
        ffai__buffer_format(missing, "%s%.100s", missing->size ? ", " : "", file);
    return FFAI_OK;
}

static ffai_status is_noted_absent(bool *noted, const ffai__snapshot *s, const char *file, ffai_error *err)
{
    char *path = ffai__format("%s/.no_exist/%s/%s", s->repository, s->commit, file);
    if (!path)
        return ffai__fail_memory(err, file, 0);
    const ffai__path_kind kind = ffai__path_kind_of(path);
    const ffai_status status = kind == FFAI__PATH_UNKNOWN ? ffai__hub_cache_failure(path, "looked at", err) : FFAI_OK;
    *noted = kind == FFAI__PATH_FILE;
    ffai__free(path);
    return status;
}

ffai_status ffai__snapshot_read_index(ffai__names *shards, const ffai__snapshot *snapshot, const char *called,
                                      ffai_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    char *path = ffai__snapshot_path(snapshot, FFAI__HUB_INDEX);
    ffai_status status = path ? ffai__file_read(&bytes, &size, path, FFAI__HUB_INDEX_LIMIT, err)
                              : ffai__fail_memory(err, FFAI__HUB_INDEX, 0);
    if (status == FFAI_OK)
        status = ffai__listing_read_index(shards, bytes, size, called ? called : path, err);
    ffai__free(bytes);
    ffai__free(path);
    return status;
}

static ffai_status need_each(ffai__buffer *missing, const ffai__snapshot *s, const ffai__names *names, ffai_error *err)
{
    for (size_t i = 0; i < names->count; i++)
        FFAI__TRY(need(missing, s, names->each[i], err));
    return FFAI_OK;
}

static ffai_status need_indexed(ffai__buffer *missing, const ffai__snapshot *s, ffai_error *err)
{
    ffai__names names = {NULL, 0, 0};
    ffai_status status = ffai__snapshot_read_index(&names, s, NULL, err);
    if (status == FFAI_OK)
        status = need_each(missing, s, &names, err);
    ffai__names_free(&names);
    return status;
}

static ffai_status need_parts(ffai__buffer *missing, const ffai__snapshot *s, const char *file, ffai_error *err)
{
    ffai__names names = {NULL, 0, 0};
    ffai_status status = ffai__listing_add_parts(&names, file, err);
    if (status == FFAI_OK)
        status = need_each(missing, s, &names, err);
    ffai__names_free(&names);
    return status;
}

/* The files of weights in the snapshot's folder; one that is not there has none. */
static ffai_status find_weights(ffai__names *out, const ffai__snapshot *s, ffai_error *err)
{
    DIR *folder = opendir(s->folder);
    ffai_status status = FFAI_OK;
    const struct dirent *entry = NULL;
    if (!folder)
        return errno == ENOENT ? FFAI_OK : ffai__hub_cache_failure(s->folder, "read", err);
    while (status == FFAI_OK && (errno = 0, entry = readdir(folder))) {
        if (ffai__hub_is_weights(entry->d_name))
            status = ffai__names_add(out, entry->d_name, err);
    }
    if (status == FFAI_OK && errno)
        status = ffai__hub_cache_failure(s->folder, "read", err);
    closedir(folder);
    return status;
}

static ffai_status need_weights(ffai__buffer *missing, const ffai__snapshot *s, ffai_error *err)
{
    ffai__names names = {NULL, 0, 0};
    ffai_status status = find_weights(&names, s, err);
    if (status == FFAI_OK && names.count == 0)
        status = ffai__names_add(&names, "model.safetensors", err);
    if (status == FFAI_OK)
        status = need_each(missing, s, &names, err);
    ffai__names_free(&names);
    return status;
}

static ffai_status need_all(ffai__buffer *missing, const ffai__snapshot *s, ffai_error *err)
{
    bool noted = false;
    int64_t index = -1;
    FFAI__TRY(need(missing, s, "config.json", err));
    FFAI__TRY(is_noted_absent(&noted, s, "tokenizer.json", err));
    if (!noted)
        FFAI__TRY(need(missing, s, "tokenizer.json", err));
    FFAI__TRY(ffai__snapshot_size(&index, s, FFAI__HUB_INDEX, err));
    return index >= 0 ? need_indexed(missing, s, err) : need_weights(missing, s, err);
}

ffai_status ffai__snapshot_check(const ffai__snapshot *snapshot, const ffai__repository *repository, ffai_error *err)
{
    ffai__buffer missing = FFAI__BUFFER_INIT;
    ffai_status status = FFAI_OK;
    if (!snapshot->folder)
        return ffai__fail(err, FFAI_E_NOT_FOUND, "%s: revision %.100s is not in the cache, %.400s", repository->name,
                          repository->revision, snapshot->repository);
    if (repository->file)
        status = need_parts(&missing, snapshot, repository->file, err);
    else
        status = need_all(&missing, snapshot, err);
    if (status == FFAI_OK && missing.failed)
        status = ffai__fail_memory(err, repository->name, 0);
    else if (status == FFAI_OK && missing.size)
        status = ffai__fail(err, FFAI_E_NOT_FOUND, "%s: missing in the cache: %s (%.300s)", repository->name,
                            missing.data, snapshot->folder);
    ffai__buffer_free(&missing);
    return status;
}

/* --- writing --- */

/* A name beside path that no other process uses at the same time. */
static char *name_beside(const char *path)
{
    return ffai__format("%s.%ld.ffai-tmp", path, (long)getpid());
}

static ffai_status link_to(const char *path, const char *target, ffai_error *err)
{
    char *beside = name_beside(path);
    ffai_status status = FFAI_OK;
    if (!beside)
        return ffai__fail_memory(err, path, 0);
    (void)unlink(beside);
    if (symlink(target, beside) != 0 || rename(beside, path) != 0) {
        status = ffai__hub_cache_failure(path, "written", err);
        (void)unlink(beside);
    }
    ffai__free(beside);
    return status;
}

ffai_status ffai__snapshot_link(const ffai__snapshot *snapshot, const char *file, const char *digest, ffai_error *err)
{
    ffai__buffer target = FFAI__BUFFER_INIT;
    char *path = ffai__snapshot_path(snapshot, file);
    ffai_status status =
        path ? ffai__cache_make_folders(path, FFAI__HUB_CACHE_VARIABLE, err) : ffai__fail_memory(err, file, 0);
    ffai__buffer_text(&target, "../../");
    for (const char *slash = strchr(file, '/'); slash; slash = strchr(slash + 1, '/'))
        ffai__buffer_text(&target, "../");
    if (!ffai__buffer_format(&target, "blobs/%s", digest) && status == FFAI_OK)
        status = ffai__fail_memory(err, file, 0);
    if (status == FFAI_OK)
        status = link_to(path, target.data, err);
    ffai__buffer_free(&target);
    ffai__free(path);
    return status;
}

/* At once: a reader sees the old text or the new one. */
static ffai_status write_text(const char *path, const char *text, ffai_error *err)
{
    FFAI__TRY(ffai__cache_make_folders(path, FFAI__HUB_CACHE_VARIABLE, err));
    char *beside = name_beside(path);
    if (!beside)
        return ffai__fail_memory(err, path, 0);
    const int descriptor = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    bool written = descriptor >= 0 && write(descriptor, text, strlen(text)) == (ssize_t)strlen(text);
    written = descriptor >= 0 && close(descriptor) == 0 && written;
    written = written && rename(beside, path) == 0;
    const ffai_status status = written ? FFAI_OK : ffai__hub_cache_failure(path, "written", err);
    if (!written)
        (void)unlink(beside);
    ffai__free(beside);
    return status;
}

static ffai_status write_below(const ffai__snapshot *s, char *path, const char *text, ffai_error *err)
{
    const ffai_status status = path ? write_text(path, text, err) : ffai__fail_memory(err, s->repository, 0);
    ffai__free(path);
    return status;
}

ffai_status ffai__snapshot_note_absent(const ffai__snapshot *snapshot, const char *file, ffai_error *err)
{
    bool noted = false;
    FFAI__TRY(is_noted_absent(&noted, snapshot, file, err));
    if (noted)
        return FFAI_OK;
    char *path = ffai__format("%s/.no_exist/%s/%s", snapshot->repository, snapshot->commit, file);
    return write_below(snapshot, path, "", err);
}

ffai_status ffai__snapshot_refer(const ffai__snapshot *snapshot, const char *revision, ffai_error *err)
{
    char known[41] = "";
    if (ffai__hub_is_sha1(revision))
        return FFAI_OK;
    FFAI__TRY(read_ref(known, snapshot, revision, err));
    if (strcmp(known, snapshot->commit) == 0)
        return FFAI_OK; /* a cache that can only be read is as good as any then */
    return write_below(snapshot, ffai__format("%s/refs/%s", snapshot->repository, revision), snapshot->commit, err);
}
