/* What a hub says of a repository, and which of its files a model needs. */
#ifndef FFAI_HUB_LISTING_H
#define FFAI_HUB_LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "failure.h"

enum { FFAI__HUB_REPLY_LIMIT = 16 << 20, FFAI__HUB_INDEX_LIMIT = 64 << 20, FFAI__HUB_MOST_FILES = 100000 };

/* Names of files, each once and safe as a path below a folder. */
typedef struct ffai__names {
    char **each;
    size_t count, capacity;
} ffai__names;

void ffai__names_free(ffai__names *names);
bool ffai__names_have(const ffai__names *names, const char *name);
/* A copy of the name, unless it is there. */
ffai_status ffai__names_add(ffai__names *names, const char *name, ffai_error *err);

typedef struct ffai__listing {
    char commit[41];
    ffai__names files;
} ffai__listing;

/* The reply about a revision, {"sha": commit, "siblings": [{"rfilename": name}, …]}; what names it in errors.
 * FFAI_E_FORMAT for anything else; a name that would leave the cache is refused. Free with ffai__listing_free. */
ffai_status ffai__listing_parse(ffai__listing *out, const char *bytes, size_t size, const char *what, ffai_error *err);
void ffai__listing_free(ffai__listing *listing);

/* Add the files that a model.safetensors.index.json names. */
ffai_status ffai__listing_read_index(ffai__names *names, const char *bytes, size_t size, const char *what,
                                     ffai_error *err);

#define FFAI__HUB_INDEX "model.safetensors.index.json"

/* The files that loading needs, but for those that an index among them names: file with its parts, where it is not
 * NULL, and else the model's documents and weights. FFAI_E_NOT_FOUND says what the repository has instead. */
ffai_status ffai__listing_choose(ffai__names *out, const ffai__listing *listing, const char *repository,
                                 const char *file, ffai_error *err);

/* Add a GGUF file, and where it is one of several parts by its name, all of them. */
ffai_status ffai__listing_add_parts(ffai__names *out, const char *file, ffai_error *err);

/* A root file of weights that counts where there is no index. */
bool ffai__hub_is_weights(const char *name);

#endif
