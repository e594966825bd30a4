#include "cache_folder.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc.h"

ffai_status ffai__cache_path(char **path, const char *below, ffai_error *err)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *text = NULL;
    if (cache && cache[0] == '/')
        text = ffai__format("%s/%s", cache, below);
    else if (home && home[0])
        text = ffai__format("%s/.cache/%s", home, below);
    else
        return ffai__fail(err, FFAI_E_NOT_FOUND,
                          "neither XDG_CACHE_HOME nor HOME is set: set XDG_CACHE_HOME to a folder you can write");
    if (!text)
        return ffai__fail_memory(err, "a path", 0);
    *path = text;
    return FFAI_OK;
}

static bool is_full(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

static bool is_refused(int error)
{
    return error == EACCES || error == EPERM || error == EROFS || error == ENOTDIR || error == ENOENT;
}

static ffai_status failure(const char *path, const char *what, const char *variable, ffai_error *err)
{
    const int error = errno;
    const char *first = is_full(error) ? "free some space there, or " : is_refused(error) ? "" : "if it stays so, ";
    return ffai__fail(err, FFAI_E_IO, "%.600s: cannot be %s: %s: %sset %s to a folder %s", path, what, strerror(error),
                      first, variable, is_refused(error) ? "you can write" : "on another disk");
}

ffai_status ffai__hub_cache_failure(const char *path, const char *what, ffai_error *err)
{
    return failure(path, what, FFAI__HUB_CACHE_VARIABLE, err);
}

ffai_status ffai__cache_make_folders(const char *path, const char *variable, ffai_error *err)
{
    char *folder = ffai__strdup(path);
    ffai_status status = folder ? FFAI_OK : ffai__fail_memory(err, "a path", strlen(path));
    for (char *slash = folder; status == FFAI_OK && (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            status = failure(folder, "made", variable, err);
        *slash = '/';
    }
    ffai__free(folder);
    return status;
}
