#include "cache_folder.h"

#include <errno.h>
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

ffai_status ffai__cache_make_folders(const char *path, ffai_error *err)
{
    char *folder = ffai__strdup(path);
    ffai_status status = folder ? FFAI_OK : ffai__fail_memory(err, "a path", strlen(path));
    for (char *slash = folder; status == FFAI_OK && (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            status = ffai__fail(err, FFAI_E_IO, "%s: cannot be made: %s", folder, strerror(errno));
        *slash = '/';
    }
    ffai__free(folder);
    return status;
}
