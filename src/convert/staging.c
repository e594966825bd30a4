#define _GNU_SOURCE
#include "staging.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

ffai_status ffai__staging_open(ffai__staging *staging, const char *destination, bool overwrite, ffai_error *err)
{
    size_t length = strlen(destination);
    while (length > 1 && destination[length - 1] == '/')
        length--;
    *staging = (ffai__staging){NULL, NULL, false};
    if (length == 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "the destination's name is empty");
    staging->destination = ffai__strndup(destination, length);
    if (!staging->destination)
        return ffai__fail_memory(err, destination, length);
    FFAI__TRY(check_replaceable(staging->destination, overwrite, err));
    return make_folder(&staging->folder, staging->destination, "partial", err);
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
    *staging = (ffai__staging){NULL, NULL, false};
}
