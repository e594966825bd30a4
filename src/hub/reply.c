#define _GNU_SOURCE
#include "reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"

void ffai__reply_reset(ffai__reply *reply)
{
    ffai__free(reply->location);
    *reply = (ffai__reply){.length = -1, .linked_size = -1, .range_from = -1, .range_size = -1};
}

/* Digits up to an end, or -1. */
static int64_t number(const char *text, char end)
{
    int64_t value = 0;
    if (*text < '0' || *text > '9')
        return -1;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *text - '0', &value))
            return -1;
    }
    return *text == end ? value : -1;
}

/* W/"digest" and "digest" are the digest. */
static void take_etag(char *out, size_t room, const char *value)
{
    if (strncmp(value, "W/", 2) == 0)
        value += 2;
    value += *value == '"';
    const size_t length = strcspn(value, "\"");
    if (length < room)
        snprintf(out, room, "%.*s", (int)length, value);
}

/* bytes FROM-TO/SIZE */
static void take_range(ffai__reply *reply, const char *value)
{
    const char *slash = strchr(value, '/');
    if (strncmp(value, "bytes ", 6) != 0 || !slash)
        return;
    reply->range_from = number(value + 6, '-');
    reply->range_size = number(slash + 1, 0);
}

static bool take_location(ffai__reply *reply, const char *value)
{
    enum { LOCATION_LIMIT = 16384 };
    ffai__free(reply->location);
    reply->location = strlen(value) <= LOCATION_LIMIT ? ffai__strdup(value) : NULL;
    return reply->location || strlen(value) > LOCATION_LIMIT;
}

static bool take_field(ffai__reply *reply, const char *name, const char *value)
{
    if (strcasecmp(name, "etag") == 0)
        take_etag(reply->etag, sizeof reply->etag, value);
    else if (strcasecmp(name, "x-linked-etag") == 0)
        take_etag(reply->linked_etag, sizeof reply->linked_etag, value);
    else if (strcasecmp(name, "x-linked-size") == 0)
        reply->linked_size = number(value, 0);
    else if (strcasecmp(name, "content-length") == 0)
        reply->length = number(value, 0);
    else if (strcasecmp(name, "content-range") == 0)
        take_range(reply, value);
    else if (strcasecmp(name, "x-repo-commit") == 0)
        snprintf(reply->commit, sizeof reply->commit, "%s", value);
    else if (strcasecmp(name, "x-error-code") == 0)
        snprintf(reply->error_code, sizeof reply->error_code, "%s", value);
    else if (strcasecmp(name, "location") == 0)
        return take_location(reply, value);
    return true;
}

/* A new status line begins a new head: what came before was an interim reply. */
static void take_status(ffai__reply *reply, const char *line)
{
    const size_t bytes = reply->head_bytes;
    const char *space = strchr(line, ' ');
    ffai__reply_reset(reply);
    reply->head_bytes = bytes;
    reply->code = space ? (long)strtol(space, NULL, 10) : 0;
}

bool ffai__reply_line(ffai__reply *reply, const char *line, size_t size)
{
    while (size > 0 && strchr("\r\n \t", line[size - 1]))
        size--;
    char *copy = ffai__strndup(line, size);
    if (!copy)
        return false;
    char *colon = strchr(copy, ':');
    bool taken = true;
    if (strncmp(copy, "HTTP/", 5) == 0) {
        take_status(reply, copy);
    } else if (colon) {
        *colon = 0;
        taken = take_field(reply, copy, colon + 1 + strspn(colon + 1, " \t"));
    }
    ffai__free(copy);
    return taken;
}

static ffai_status refuse_access(const ffai__request *request, ffai_error *err)
{
    const ffai__hub_settings *s = request->transfer->settings;
    const ffai__reply *reply = &request->reply;
    if (strcmp(reply->error_code, "GatedRepo") == 0)
        return ffai__fail(
            err, FFAI_E_NOT_FOUND,
            "%.300s: access is restricted (HTTP %ld): accept the conditions on the model's page at %.100s%s",
            request->url, reply->code, s->endpoint,
            s->token ? " with the account of the token that is set"
                     : ", then set HF_TOKEN to a token of "
                       "that account");
    return ffai__fail(err, FFAI_E_NOT_FOUND, "%.300s: HTTP %ld: there is no such repository, or %s", request->url,
                      reply->code,
                      s->token ? "the token that is set (HF_TOKEN or the token file) may not read it, or has expired"
                               : "it is private: set HF_TOKEN to a token that may read it");
}

static ffai_status refuse_absent(const ffai__request *request, ffai_error *err)
{
    const char *code = request->reply.error_code;
    const char *what = strcmp(code, "RevisionNotFound") == 0 ? "the repository has no such revision"
                       : strcmp(code, "EntryNotFound") == 0  ? "the repository has no such file"
                                                             : "there is no such repository or revision";
    return ffai__fail(err, FFAI_E_NOT_FOUND, "%.300s: HTTP 404: %s", request->url, what);
}

/* A certificate of the hub that does not hold, or a file of those to trust that cannot be read. */
static ffai_status refuse_certificate(const ffai__request *request, ffai_error *err)
{
    const char *file = request->transfer->settings->ca_file;
    return ffai__fail(
        err, FFAI_E_IO,
        "%.300s: %.200s: nothing was asked of it; if your network has certificates of its own, name a file "
        "with them in SSL_CERT_FILE (now: %.300s)",
        request->url, request->why[0] ? request->why : "the certificate is not trusted", file ? file : "the system's");
}

ffai_status ffai__reply_refusal(const ffai__request *request, ffai_error *err)
{
    const long code = request->reply.code;
    if (request->too_long)
        return ffai__fail(err, FFAI_E_LIMIT, "%.300s: the reply is longer than any such reply can be", request->url);
    if (request->short_of_memory || request->result == CURLE_OUT_OF_MEMORY)
        return ffai__fail_memory(err, request->url, 0);
    if (request->result == CURLE_PEER_FAILED_VERIFICATION || request->result == CURLE_SSL_CACERT_BADFILE)
        return refuse_certificate(request, err);
    if (request->result != CURLE_OK)
        return ffai__fail(err, FFAI_E_IO, "%.300s: %s", request->url,
                          request->transfer->libraries->curl_easy_strerror(request->result));
    if (code == 401 || code == 403)
        return refuse_access(request, err);
    if (code == 404)
        return refuse_absent(request, err);
    if (code == 429)
        return ffai__fail(err, FFAI_E_IO, "%.300s: HTTP 429: too many requests: try again later%s", request->url,
                          request->transfer->settings->token ? "" : ", or with a token in HF_TOKEN");
    return ffai__fail(err, FFAI_E_IO, "%.300s: the hub answers HTTP %ld", request->url, code);
}
