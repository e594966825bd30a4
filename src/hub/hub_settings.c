#define _GNU_SOURCE
#include "hub_settings.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"
#include "file_map.h"

/* NULL for a variable that is not set or empty. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static const char *either(const char *name, const char *older)
{
    const char *value = variable(name);
    return value ? value : variable(older);
}

static bool is_true(const char *name)
{
    const char *value = variable(name);
    return value && (strcmp(value, "1") == 0 || strcasecmp(value, "true") == 0 || strcasecmp(value, "yes") == 0 ||
                     strcasecmp(value, "on") == 0);
}

/* A path of the environment, "~" at its beginning being HOME. NULL when memory is short. */
static char *expanded(const char *path)
{
    const char *home = variable("HOME");
    if (home && path[0] == '~' && (path[1] == '/' || !path[1]))
        return ffai__format("%s%s", home, path + 1);
    return ffai__strdup(path);
}

/* HF_HOME or what stands for it; NULL in *out where nothing says so. */
static ffai_status read_home(char **out, ffai_error *err)
{
    const char *home = variable("HF_HOME");
    const char *cache = variable("XDG_CACHE_HOME");
    const char *user = variable("HOME");
    if (!home && !cache && !user)
        return FFAI_OK;
    *out = home    ? expanded(home)
           : cache ? ffai__format("%s/huggingface", cache)
                   : ffai__format("%s/.cache/huggingface", user);
    return *out ? FFAI_OK : ffai__fail_memory(err, "HF_HOME", 0);
}

static ffai_status read_cache(char **out, const char *home, ffai_error *err)
{
    const char *cache = either("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE");
    if (!cache && !home)
        return ffai__fail(err, FFAI_E_NOT_FOUND,
                          "hub: none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME says where the cache is");
    *out = cache ? expanded(cache) : ffai__format("%s/hub", home);
    return *out ? FFAI_OK : ffai__fail_memory(err, "the cache's path", 0);
}

/* A token goes into a header: letters without a break. */
static ffai_status take_token(char **out, const char *text, const char *source, ffai_error *err)
{
    static const char spaces[] = " \t\r\n";
    text += strspn(text, spaces);
    const size_t length = strcspn(text, spaces);
    if (length == 0)
        return FFAI_OK;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x21 || text[i] > 0x7E)
            return ffai__fail(err, FFAI_E_ARGUMENT, "hub: %s: holds no token: it has a byte that is no letter", source);
    }
    if (text[length + strspn(text + length, spaces)])
        return ffai__fail(err, FFAI_E_ARGUMENT, "hub: %s: holds no token: it has several words", source);
    *out = ffai__strndup(text, length);
    return *out ? FFAI_OK : ffai__fail_memory(err, "the token", length);
}

static ffai_status read_token_file(char **out, const char *path, ffai_error *err)
{
    enum { TOKEN_LIMIT = 4096 };
    char *text = NULL;
    size_t size = 0;
    if (ffai__path_kind_of(path) == FFAI__PATH_MISSING)
        return FFAI_OK;
    ffai_status status = ffai__file_read(&text, &size, path, TOKEN_LIMIT, err);
    if (status == FFAI_OK)
        status = take_token(out, text, path, err);
    ffai__free(text);
    return status == FFAI_OK ? status : ffai__fail_in(err, status, "the hub's token");
}

static ffai_status read_token(char **out, const char *home, ffai_error *err)
{
    const char *token = either("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN");
    const char *named = variable("HF_TOKEN_PATH");
    if (token)
        return take_token(out, token, "HF_TOKEN", err);
    if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") || (!named && !home))
        return FFAI_OK;
    char *path = named ? expanded(named) : ffai__path_join(home, "token");
    const ffai_status status = path ? read_token_file(out, path, err) : ffai__fail_memory(err, "the token's path", 0);
    ffai__free(path);
    return status;
}

static ffai_status read_endpoint(char **out, ffai_error *err)
{
    const char *endpoint = variable("HF_ENDPOINT");
    if (!endpoint)
        endpoint = "https://huggingface.co";
    size_t length = strlen(endpoint);
    while (length > 0 && endpoint[length - 1] == '/')
        length--;
    if (strncmp(endpoint, "https://", 8) != 0 && strncmp(endpoint, "http://", 7) != 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "hub: HF_ENDPOINT: \"%.200s\" must begin with https:// or http://",
                          endpoint);
    if (strpbrk(endpoint, "?# @"))
        return ffai__fail(err, FFAI_E_ARGUMENT, "hub: HF_ENDPOINT: must be a host and perhaps a path, without ?, #, @");
    *out = ffai__strndup(endpoint, length);
    return *out ? FFAI_OK : ffai__fail_memory(err, "HF_ENDPOINT", length);
}

/* As the other tools of a site that has certificates of its own are told. */
static ffai_status read_certificates(char **out, ffai_error *err)
{
    const char *path = either("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE");
    path = path ? path : variable("CURL_CA_BUNDLE");
    if (!path)
        return FFAI_OK;
    *out = expanded(path);
    return *out ? FFAI_OK : ffai__fail_memory(err, "SSL_CERT_FILE", 0);
}

ffai_status ffai__hub_settings_read(ffai__hub_settings *out, ffai_error *err)
{
    ffai__hub_settings s = {.retries = 5, .backoff_ms = 1000, .stall_s = 30};
    char *home = NULL;
    s.offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
    ffai_status status = read_home(&home, err);
    if (status == FFAI_OK)
        status = read_cache(&s.cache, home, err);
    if (status == FFAI_OK)
        status = read_token(&s.token, home, err);
    if (status == FFAI_OK)
        status = read_endpoint(&s.endpoint, err);
    if (status == FFAI_OK)
        status = read_certificates(&s.ca_file, err);
    ffai__free(home);
    if (status == FFAI_OK)
        *out = s;
    else
        ffai__hub_settings_free(&s);
    return status;
}

void ffai__hub_settings_free(ffai__hub_settings *settings)
{
    if (settings->token)
        explicit_bzero(settings->token, strlen(settings->token));
    ffai__free(settings->endpoint);
    ffai__free(settings->cache);
    ffai__free(settings->token);
    ffai__free(settings->ca_file);
    *settings = (ffai__hub_settings){0};
}
