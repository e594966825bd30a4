#define _GNU_SOURCE
#include "lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache_folder.h"

/* Whether the file that is open is still the one of this name: some tools remove a lock that nobody holds. */
static ffai_status look_at(bool *is_current, int descriptor, const char *path, ffai_error *err)
{
    struct stat opened;
    struct stat named;
    *is_current = false;
    if (fstat(descriptor, &opened) != 0)
        return ffai__hub_cache_failure(path, "looked at", err);
    if (stat(path, &named) != 0)
        return errno == ENOENT ? FFAI_OK : ffai__hub_cache_failure(path, "looked at", err);
    *is_current = opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
    return FFAI_OK;
}

static ffai_status try_opened(bool *taken, int descriptor, const char *path, ffai_error *err)
{
    *taken = false;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0)
        return look_at(taken, descriptor, path, err);
    return errno == EWOULDBLOCK || errno == EINTR ? FFAI_OK : ffai__hub_cache_failure(path, "locked", err);
}

ffai_status ffai__lock_file_try(int *descriptor, const char *path, ffai_error *err)
{
    bool taken = false;
    *descriptor = -1;
    FFAI__TRY(ffai__cache_make_folders(path, FFAI__HUB_CACHE_VARIABLE, err));
    const int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (opened < 0)
        return ffai__hub_cache_failure(path, "opened", err);
    const ffai_status status = try_opened(&taken, opened, path, err);
    if (taken)
        *descriptor = opened;
    else
        close(opened);
    return status;
}

void ffai__lock_file_close(int descriptor)
{
    if (descriptor >= 0)
        close(descriptor);
}
