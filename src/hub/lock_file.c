#define _GNU_SOURCE
#include "lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache_folder.h"

/* Whether the file that is open is still the one of this name: some tools remove a lock that nobody holds. */
static bool is_current(int descriptor, const char *path)
{
    struct stat opened;
    struct stat named;
    return fstat(descriptor, &opened) == 0 && stat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

ffai_status ffai__lock_file_try(int *descriptor, const char *path, ffai_error *err)
{
    *descriptor = -1;
    FFAI__TRY(ffai__cache_make_folders(path, err));
    const int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (opened < 0)
        return ffai__fail(err, FFAI_E_IO, "%.700s: cannot be opened: %s", path, strerror(errno));
    if (flock(opened, LOCK_EX | LOCK_NB) == 0 && is_current(opened, path)) {
        *descriptor = opened;
        return FFAI_OK;
    }
    close(opened);
    return FFAI_OK;
}

void ffai__lock_file_close(int descriptor)
{
    if (descriptor >= 0)
        close(descriptor);
}
