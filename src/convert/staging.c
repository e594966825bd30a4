#define _GNU_SOURCE
#include "staging.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc.h"
#include "file_map.h"

enum { TRIES = 100 };

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* What a folder holds, as far as it matters for replacing it. */
typedef struct {
    bool anything;
    bool folders;
    bool config;
} inventory;

static ffai_status look(inventory *found, const char *path, ffai_error *err)
{
    DIR *directory = opendir(path);
    if (!directory)
        return ffai__fail(err, FFAI_E_IO, "%s: %s", path, strerror(errno));
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        struct stat info;
        if (is_dots(entry->d_name))
            continue;
        found->anything = true;
        found->config |= strcmp(entry->d_name, "config.json") == 0;
        if (fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(info.st_mode))
            found->folders = true;
    }
    closedir(directory);
    return FFAI_OK;
}

static ffai_status check_replaceable(const char *path, bool overwrite, ffai_error *err)
{
    inventory found = {false, false, false};
    const ffai__path_kind kind = ffai__path_kind_of(path);
    if (kind == FFAI__PATH_MISSING)
        return FFAI_OK;
    if (kind == FFAI__PATH_FILE || kind == FFAI__PATH_OTHER)
        return ffai__fail(err, FFAI_E_ARGUMENT, "%s: exists and is not a folder", path);
    FFAI__TRY(look(&found, path, err));
    if (!found.anything)
        return FFAI_OK;
    if (!overwrite)
        return ffai__fail(err, FFAI_E_ARGUMENT,
                          "%s: exists and is not empty: name another folder, or overwrite it (--force)", path);
    if (found.folders || !found.config)
        return ffai__fail(err, FFAI_E_ARGUMENT,
                          "%s: will not be overwritten: it is no checkpoint's folder (one with config.json and no "
                          "folders in it)",
                          path);
    return FFAI_OK;
}

/* Remove the folder's files and the folder; what is in folders below stays, and with it the folder. */
static void remove_folder(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return;
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        if (!is_dots(entry->d_name))
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
    rmdir(path);
}

static ffai_status make_folder(char **out, const char *destination, const char *kind, ffai_error *err)
{
    for (int i = 0; i < TRIES; i++) {
        char *path = ffai__format("%s.%s-%ld-%d", destination, kind, (long)getpid(), i);
        if (!path)
            return ffai__fail_memory(err, destination, strlen(destination));
        if (mkdir(path, 0777) == 0) {
            *out = path;
            return FFAI_OK;
        }
        const int why = errno;
        ffai__free(path);
        if (why != EEXIST)
            return ffai__fail(err, FFAI_E_IO, "%s: cannot be created: %s", destination, strerror(why));
    }
    return ffai__fail(err, FFAI_E_IO, "%s: cannot be created: too many unfinished folders beside it", destination);
}

/* Whether the folder that is open is still the one of this name. */
static bool is_current(int descriptor, const char *path)
{
    struct stat opened;
    struct stat named;
    return fstat(descriptor, &opened) == 0 && lstat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

/* A descriptor that holds the folder's lock, as long as it is open; -1 where another has it or there is none. */
static int lock_folder(const char *path)
{
    const int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0)
        return -1;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0 && is_current(descriptor, path))
        return descriptor;
    close(descriptor);
    return -1;
}

/* Whether a name is one of make_folder's: "NAME.partial-", numbers and dashes. */
static bool is_partial(const char *entry, const char *name)
{
    static const char kind[] = ".partial-";
    const size_t length = strlen(name);
    if (strncmp(entry, name, length) != 0 || strncmp(entry + length, kind, sizeof kind - 1) != 0)
        return false;
    const char *numbers = entry + length + sizeof kind - 1;
    return numbers[strspn(numbers, "0123456789-")] == 0;
}

/* What a process that ended early left beside the destination; a folder that one writes to is locked. */
static void remove_abandoned(const char *destination)
{
    const char *slash = strrchr(destination, '/');
    const char *name = slash ? slash + 1 : destination;
    char *parent = slash ? ffai__strndup(destination, (size_t)(slash - destination) + 1) : ffai__strdup("./");
    DIR *directory = parent ? opendir(parent) : NULL;
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        char *path = is_partial(entry->d_name, name) ? ffai__format("%s%s", parent, entry->d_name) : NULL;
        const int lock = path ? lock_folder(path) : -1;
        if (lock >= 0) {
            remove_folder(path);
            close(lock);
        }
        ffai__free(path);
    }
    if (directory)
        closedir(directory);
    ffai__free(parent);
}

/* Another process may take a folder that is not locked yet for an abandoned one. */
static ffai_status make_locked_folder(ffai__staging *staging, ffai_error *err)
{
    for (int i = 0; i < TRIES; i++) {
        FFAI__TRY(make_folder(&staging->folder, staging->destination, "partial", err));
        staging->lock = lock_folder(staging->folder);
        const bool without_locks = errno != EWOULDBLOCK && ffai__path_kind_of(staging->folder) == FFAI__PATH_FOLDER;
        staging->locked = staging->lock >= 0;
        if (staging->locked || without_locks) /* some file systems have none */
            return FFAI_OK;
        rmdir(staging->folder);
        ffai__free(staging->folder);
        staging->folder = NULL;
    }
    return ffai__fail(err, FFAI_E_IO, "%s: a folder beside it cannot be locked", staging->destination);
}

/* Without slashes at the end. */
static ffai_status copy_name(char **out, const char *destination, ffai_error *err)
{
    size_t length = strlen(destination);
    while (length > 1 && destination[length - 1] == '/')
        length--;
    if (length == 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "the destination's name is empty");
    *out = ffai__strndup(destination, length);
    return *out ? FFAI_OK : ffai__fail_memory(err, destination, length);
}

ffai_status ffai__staging_check(const char *destination, bool overwrite, ffai_error *err)
{
    char *name = NULL;
    FFAI__TRY(copy_name(&name, destination, err));
    const ffai_status status = check_replaceable(name, overwrite, err);
    ffai__free(name);
    return status;
}

ffai_status ffai__staging_open(ffai__staging *staging, const char *destination, bool overwrite, ffai_error *err)
{
    *staging = (ffai__staging){.destination = NULL};
    FFAI__TRY(copy_name(&staging->destination, destination, err));
    FFAI__TRY(check_replaceable(staging->destination, overwrite, err));
    remove_abandoned(staging->destination);
    return make_locked_folder(staging, err);
}

uint64_t ffai__staging_free_bytes(const ffai__staging *staging)
{
    struct statvfs disk;
    uint64_t bytes = 0;
    if (statvfs(staging->folder, &disk) != 0 || !ffai__mul(&bytes, disk.f_bavail, disk.f_frsize))
        return UINT64_MAX;
    return bytes;
}

static ffai_status sync_folder(const char *path, ffai_error *err)
{
    const int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int failed = descriptor < 0 || fsync(descriptor) != 0;
    const int why = errno;
    if (descriptor >= 0)
        close(descriptor);
    if (failed && why != EINVAL) /* some file systems cannot sync a folder */
        return ffai__fail(err, FFAI_E_IO, "%s: cannot be written: %s", path, strerror(why));
    return FFAI_OK;
}

static ffai_status put_in_place(ffai__staging *staging, ffai_error *err)
{
    if (rename(staging->folder, staging->destination) != 0)
        return ffai__fail(err, FFAI_E_IO, "%s: cannot be put in place: %s", staging->destination, strerror(errno));
    staging->committed = true;
    return FFAI_OK;
}

/* Move the old folder out of the way (over an empty one just made), and back if the new one cannot follow. */
static ffai_status replace(ffai__staging *staging, ffai_error *err)
{
    char *old = NULL;
    FFAI__TRY(make_folder(&old, staging->destination, "replaced", err));
    ffai_status status = FFAI_OK;
    if (rename(staging->destination, old) != 0)
        status = ffai__fail(err, FFAI_E_IO, "%s: cannot be replaced: %s", staging->destination, strerror(errno));
    else if ((status = put_in_place(staging, err)) != FFAI_OK)
        (void)rename(old, staging->destination);
    if (status == FFAI_OK)
        remove_folder(old);
    else
        rmdir(old); /* succeeds only where it is still the empty one */
    ffai__free(old);
    return status;
}

ffai_status ffai__staging_commit(ffai__staging *staging, ffai_error *err)
{
    inventory found = {false, false, false};
    FFAI__TRY(sync_folder(staging->folder, err));
    if (ffai__path_kind_of(staging->destination) == FFAI__PATH_FOLDER)
        FFAI__TRY(look(&found, staging->destination, err));
    return found.anything ? replace(staging, err) : put_in_place(staging, err);
}

void ffai__staging_free(ffai__staging *staging)
{
    if (staging->folder && !staging->committed)
        remove_folder(staging->folder);
    ffai__free(staging->folder);
    ffai__free(staging->destination);
    if (staging->locked)
        close(staging->lock);
    *staging = (ffai__staging){.destination = NULL};
}
