/* The user's cache: $XDG_CACHE_HOME, or ~/.cache where that is not an absolute path. */
#ifndef FFAI_HUB_CACHE_FOLDER_H
#define FFAI_HUB_CACHE_FOLDER_H

#include "failure.h"

/* A path below it; free with ffai__free. FFAI_E_NOT_FOUND where neither XDG_CACHE_HOME nor HOME says where it is. */
ffai_status ffai__cache_path(char **path, const char *below, ffai_error *err);
/* The variables of the environment that say where a cache is, for what is advised. */
#define FFAI__CACHE_VARIABLE     "XDG_CACHE_HOME"
#define FFAI__HUB_CACHE_VARIABLE "HF_HUB_CACHE"

/* Make the folders that lead to a path, where they are missing. FFAI_E_IO names the one that cannot be made. */
ffai_status ffai__cache_make_folders(const char *path, const char *variable, ffai_error *err);
/* FFAI_E_IO: what cannot be done with a path below the hub's cache, why (errno), and what to do about it. */
ffai_status ffai__hub_cache_failure(const char *path, const char *what, ffai_error *err);

#endif
