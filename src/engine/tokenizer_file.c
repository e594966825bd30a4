#define _GNU_SOURCE /* realpath */
#include "tokenizer_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc.h"
#include "cache_folder.h"
#include "output_file.h"
#include "tokenizer.h"

enum { SIZE_MIN = 1 << 19 }; /* a smaller tokenizer.json is read within some milliseconds */

static ffai_status is_switched_off(bool *off, ffai_error *err)
{
    const char *word = getenv("FFAI_COMPILED_TOKENIZERS");
    *off = word && strcmp(word, "off") == 0;
    if (*off || !word || !*word || strcmp(word, "on") == 0)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_ARGUMENT, "FFAI_COMPILED_TOKENIZERS: \"%.40s\" is neither on nor off", word);
}

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* False where the file is none to compile; reading it says why, if that is an error. */
static bool describe(ffai__compiled_source *source, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < SIZE_MIN)
        return false;
    *source = (ffai__compiled_source){(uint64_t)info.st_dev, (uint64_t)info.st_ino, (uint64_t)info.st_size,
                                      nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
    return true;
}

/* Named by where the file really is, so that a new one in its place takes its place here too. NULL where there is no
 * such folder. */
static char *compiled_path(const char *path)
{
    char below[64];
    char *compiled = NULL;
    char *real = realpath(path, NULL);
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *at = real; at && *at; at++)
        hash = (hash ^ (uint8_t)*at) * 0x100000001b3u;
    snprintf(below, sizeof below, "ffai/tokenizers/%016llx.bin", (unsigned long long)hash);
    if (real)
        (void)ffai__cache_path(&compiled, below, NULL);
    free(real);
    return compiled;
}

static void keep(const char *compiled, const ffai__buffer *image)
{
    if (image->size > 0 && !image->failed && ffai__cache_make_folders(compiled, FFAI__CACHE_VARIABLE, NULL) == FFAI_OK)
        (void)ffai__output_whole(compiled, image->data, image->size, NULL);
}

/* What changed while it was read is compiled the next time. */
static bool is_unchanged(const ffai__compiled_source *source, const char *path)
{
    ffai__compiled_source now;
    return describe(&now, path) && memcmp(&now, source, sizeof now) == 0;
}

static ffai_status read_and_keep(ffai_tokenizer **out, const char *path, const char *compiled,
                                 const ffai__compiled_source *source, ffai_error *err)
{
    ffai__buffer image = FFAI__BUFFER_INIT;
    const ffai_status status = ffai__tokenizer_compile(out, &image, path, source, err);
    if (status == FFAI_OK && is_unchanged(source, path))
        keep(compiled, &image);
    ffai__buffer_free(&image);
    return status;
}

ffai_status ffai__tokenizer_file_read(ffai_tokenizer **out, const char *path, ffai_error *err)
{
    bool off = false;
    ffai__compiled_source source;
    FFAI__TRY(is_switched_off(&off, err));
    char *compiled = !off && describe(&source, path) ? compiled_path(path) : NULL;
    if (!compiled)
        return ffai__tokenizer_read(out, path, err);
    ffai_status status = ffai__tokenizer_open_compiled(out, compiled, &source, NULL);
    if (status != FFAI_OK)
        status = read_and_keep(out, path, compiled, &source, err);
    ffai__free(compiled);
    return status;
}
