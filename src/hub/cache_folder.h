/* The user's cache: $XDG_CACHE_HOME, or ~/.cache where that is not an absolute path. */
#ifndef FFAI_HUB_CACHE_FOLDER_H
#define FFAI_HUB_CACHE_FOLDER_H

#include "failure.h"

/* A path below it; free with ffai__free. FFAI_E_NOT_FOUND where neither XDG_CACHE_HOME nor HOME says where it is. */
ffai_status ffai__cache_path(char **path, const char *below, ffai_error *err);
/* Make the folders that lead to a path, where they are missing. FFAI_E_IO names the one that cannot be made. */
ffai_status ffai__cache_make_folders(const char *path, ffai_error *err);

#endif
