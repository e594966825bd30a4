#include "repository.h"

#include <stddef.h>
#include <string.h>

#include "alloc.h"
#include "utf8.h"

static bool is_hexadecimal(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

bool ffai__hub_is_sha1(const char *text)
{
    return is_hexadecimal(text, 40);
}

bool ffai__hub_is_sha256(const char *text)
{
    return is_hexadecimal(text, 64);
}

bool ffai__hub_has_suffix(const char *text, const char *suffix)
{
    const size_t length = strlen(text);
    const size_t wanted = strlen(suffix);
    return length >= wanted && strcmp(text + length - wanted, suffix) == 0;
}

static bool part_is_safe(const char *part, size_t length)
{
    if (length == 0 || length > 255 || (length == 1 && part[0] == '.') || (length == 2 && memcmp(part, "..", 2) == 0))
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)part[i] < 0x20 || part[i] == 0x7F || part[i] == '\\')
            return false;
    }
    return true;
}

bool ffai__hub_path_is_safe(const char *path)
{
    if (strlen(path) > FFAI__HUB_NAME_LIMIT || !ffai__utf8_valid(path, strlen(path)))
        return false;
    for (;;) {
        const size_t length = strcspn(path, "/");
        if (!part_is_safe(path, length))
            return false;
        if (!path[length])
            return true;
        path += length + 1;
    }
}

/* An organisation's or a repository's name: what the hub allows. "--" would make two of them one in the cache. */
static bool word_is_name(const char *word, size_t length)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (length == 0 || length > 96 || strspn(word, allowed) < length)
        return false;
    if (strchr(".-", word[0]) || strchr(".-", word[length - 1]))
        return false;
    for (size_t i = 0; i + 1 < length; i++) {
        if ((word[i] == '-' && word[i + 1] == '-') || (word[i] == '.' && word[i + 1] == '.'))
            return false;
    }
    return true;
}

static ffai_status check(const ffai__repository *r, const char *name, ffai_error *err)
{
    const char *slash = strchr(r->name, '/');
    if (!slash || !word_is_name(r->name, (size_t)(slash - r->name)) || !word_is_name(slash + 1, strlen(slash + 1)))
        return ffai__fail(err, FFAI_E_ARGUMENT, "%.200s: is no name of a model on a hub, which is org/repo[@revision]",
                          name);
    if (!ffai__hub_path_is_safe(r->revision) || r->revision[0] == '-')
        return ffai__fail(err, FFAI_E_ARGUMENT, "%.200s: \"%.100s\" is no revision: a branch, a tag or a commit", name,
                          r->revision);
    if (r->file && (!ffai__hub_path_is_safe(r->file) || !ffai__hub_has_suffix(r->file, ".gguf")))
        return ffai__fail(err, FFAI_E_ARGUMENT, "%.200s: \"%.100s\" must be the name of a .gguf file of the repository",
                          name, r->file);
    return FFAI_OK;
}

ffai_status ffai__repository_parse(ffai__repository *out, const char *name, ffai_error *err)
{
    if (strlen(name) > FFAI__HUB_NAME_LIMIT)
        return ffai__fail(err, FFAI_E_ARGUMENT, "%.60s…: a name has at most %d bytes", name, (int)FFAI__HUB_NAME_LIMIT);
    const size_t whole = strcspn(name, ":");
    const size_t length = strcspn(name, "@:");
    ffai__repository r = {
        .name = ffai__strndup(name, length),
        .revision = name[length] == '@' ? ffai__strndup(name + length + 1, whole - length - 1) : ffai__strdup("main"),
        .file = name[whole] ? ffai__strdup(name + whole + 1) : NULL,
    };
    ffai_status status =
        r.name && r.revision && (r.file || !name[whole]) ? check(&r, name, err) : ffai__fail_memory(err, name, 0);
    if (status == FFAI_OK)
        *out = r;
    else
        ffai__repository_free(&r);
    return status;
}

void ffai__repository_free(ffai__repository *repository)
{
    ffai__free(repository->name);
    ffai__free(repository->revision);
    ffai__free(repository->file);
    *repository = (ffai__repository){NULL, NULL, NULL};
}
