/* Names of repositories, revisions and files, checked before they become part of a path or an address. */
#ifndef FFAI_HUB_REPOSITORY_H
#define FFAI_HUB_REPOSITORY_H

#include <stdbool.h>

#include "failure.h"

enum { FFAI__HUB_NAME_LIMIT = 1024 }; /* bytes of a name; a file's may have 255 in each part */

typedef struct ffai__repository {
    char *name;     /* org/repo */
    char *revision; /* "main" where none was given */
    char *file;     /* NULL: the model's own files */
} ffai__repository;

/* "org/repo[@revision][:file.gguf]"; FFAI_E_ARGUMENT says what is wrong with it. Free with ffai__repository_free. */
ffai_status ffai__repository_parse(ffai__repository *out, const char *name, ffai_error *err);
void ffai__repository_free(ffai__repository *repository);

/* A relative path that stays below its folder, in parts of 1 to 255 bytes, without control characters. */
bool ffai__hub_path_is_safe(const char *path);
/* 40 lower-case hexadecimal digits: a commit, or git's sha1 of a file. */
bool ffai__hub_is_sha1(const char *text);
bool ffai__hub_is_sha256(const char *text);
bool ffai__hub_has_suffix(const char *text, const char *suffix);

#endif
