#define _GNU_SOURCE
#include "transfer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "alloc.h"
#include "reply.h"

enum { MOST_REDIRECTS = 5, HEAD_LIMIT = 1 << 16, LONGEST_PAUSE_S = 600, STEP_MS = 100 };

double ffai__transfer_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* --- addresses --- */

/* A part of an address, for ffai__free; NULL where it has none. */
static char *url_part(const ffai__hub_libraries *l, const char *url, CURLUPart part)
{
    char *text = NULL;
    CURLU *parsed = l->curl_url();
    if (parsed && l->curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK)
        (void)l->curl_url_get(parsed, part, &text, CURLU_DEFAULT_PORT);
    char *copy = text ? ffai__strdup(text) : NULL;
    l->curl_free(text);
    l->curl_url_cleanup(parsed);
    return copy;
}

/* "scheme://host:port" */
static char *origin_of(const ffai__hub_libraries *l, const char *url)
{
    char *scheme = url_part(l, url, CURLUPART_SCHEME);
    char *host = url_part(l, url, CURLUPART_HOST);
    char *port = url_part(l, url, CURLUPART_PORT);
    char *origin = scheme && host && port ? ffai__format("%s://%s:%s", scheme, host, port) : NULL;
    ffai__free(scheme);
    ffai__free(host);
    ffai__free(port);
    return origin;
}

bool ffai__transfer_is_own(const ffai__transfer *t, const char *url)
{
    char *origin = origin_of(t->libraries, url);
    const bool own = origin && strcasecmp(origin, t->origin) == 0;
    ffai__free(origin);
    return own;
}

/* NULL, or why an address may not be asked. */
static const char *fault_of_url(const ffai__transfer *t, const char *url)
{
    char *scheme = url_part(t->libraries, url, CURLUPART_SCHEME);
    char *host = url_part(t->libraries, url, CURLUPART_HOST);
    char *user = url_part(t->libraries, url, CURLUPART_USER);
    const char *fault = NULL;
    if (!scheme || !host)
        fault = "is no address";
    else if (user)
        fault = "carries a user's name";
    else if (strcmp(scheme, "https") != 0 &&
             (strcmp(scheme, "http") != 0 || strncmp(t->origin, "http://", 7) != 0 || strcasecmp(host, t->host) != 0))
        fault = "is not https";
    ffai__free(scheme);
    ffai__free(host);
    ffai__free(user);
    return fault;
}

bool ffai__request_is_redirect(const ffai__request *request)
{
    const long code = request->reply.code;
    return request->result == CURLE_OK && (code == 301 || code == 302 || code == 303 || code == 307 || code == 308);
}

/* Where a location leads from an address, for ffai__free. */
static char *resolved(const ffai__hub_libraries *l, const char *url, const char *location)
{
    char *text = NULL;
    CURLU *parsed = l->curl_url();
    if (parsed && l->curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
        l->curl_url_set(parsed, CURLUPART_URL, location, 0) == CURLUE_OK)
        (void)l->curl_url_get(parsed, CURLUPART_URL, &text, 0);
    char *copy = text ? ffai__strdup(text) : NULL;
    l->curl_free(text);
    l->curl_url_cleanup(parsed);
    return copy;
}

ffai_status ffai__transfer_redirect(ffai__transfer *t, ffai__request *request, ffai_error *err)
{
    const char *location = request->reply.location;
    if (!location)
        return ffai__fail(err, FFAI_E_FORMAT, "%.300s: redirects (HTTP %ld) without saying where to", request->url,
                          request->reply.code);
    if (++request->redirects > MOST_REDIRECTS)
        return ffai__fail(err, FFAI_E_FORMAT, "%.300s: redirects more than %d times", request->url, MOST_REDIRECTS);
    char *url = resolved(t->libraries, request->url, location);
    const char *fault = url ? fault_of_url(t, url) : "is no address";
    if (fault) {
        ffai__free(url);
        return ffai__fail(err, FFAI_E_FORMAT, "%.300s: redirects to \"%.300s\", which %s", request->url, location,
                          fault);
    }
    ffai__free(request->url);
    request->url = url;
    return FFAI_OK;
}

/* --- one request --- */

static size_t on_head(char *line, size_t size, size_t count, void *context)
{
    ffai__request *request = context;
    const size_t bytes = size * count;
    request->reply.head_bytes += bytes;
    if (request->reply.head_bytes > HEAD_LIMIT) {
        request->too_long = true;
        return 0;
    }
    return ffai__reply_line(&request->reply, line, bytes) ? bytes : 0;
}

static bool keep_bytes(ffai__request *request, const char *bytes, size_t size)
{
    if (size > request->body_limit - request->body.size) {
        request->too_long = true;
        return false;
    }
    return ffai__buffer_append(&request->body, bytes, size);
}

/* Only what was asked for goes to the file; what a refusal says is not wanted. */
static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    ffai__request *request = context;
    const size_t all = size * count;
    if (request->reply.code != 200 && request->reply.code != 206) {
        request->body.size += all;
        return request->body.size > HEAD_LIMIT ? 0 : all;
    }
    const bool taken = request->on_bytes ? request->on_bytes(request, bytes, all) : keep_bytes(request, bytes, all);
    return taken ? all : 0;
}

static bool add_field(ffai__request *request, const char *field)
{
    struct curl_slist *fields = field ? request->transfer->libraries->curl_slist_append(request->fields, field) : NULL;
    request->fields = fields ? fields : request->fields;
    return fields;
}

static bool add_fields(ffai__transfer *t, ffai__request *request)
{
    char *range = request->from >= 0
                      ? ffai__format("Range: bytes=%lld-%lld", (long long)request->from, (long long)request->to)
                      : NULL;
    char *token = t->settings->token && ffai__transfer_is_own(t, request->url)
                      ? ffai__format("Authorization: Bearer %s", t->settings->token)
                      : NULL;
    bool added = add_field(request, "Accept-Encoding: identity");
    added = added && (request->from < 0 || add_field(request, range));
    added = added && (!token || add_field(request, token));
    if (token)
        explicit_bzero(token, strlen(token));
    ffai__free(range);
    ffai__free(token);
    return added;
}

static void set_times(const ffai__transfer *t, const ffai__request *request)
{
    const ffai__hub_libraries *l = t->libraries;
    l->curl_easy_setopt(request->easy, CURLOPT_CONNECTTIMEOUT,
                        (long)(t->settings->stall_s < 15 ? t->settings->stall_s : 15));
    l->curl_easy_setopt(request->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    l->curl_easy_setopt(request->easy, CURLOPT_LOW_SPEED_TIME, (long)t->settings->stall_s);
    if (!request->on_bytes) /* a small document must not drip in for ever */
        l->curl_easy_setopt(request->easy, CURLOPT_TIMEOUT, 4L * t->settings->stall_s);
}

static void set_options(const ffai__transfer *t, ffai__request *request)
{
    const ffai__hub_libraries *l = t->libraries;
    CURL *easy = request->easy;
    l->curl_easy_setopt(easy, CURLOPT_URL, request->url);
    l->curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->why);
    l->curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"); /* fault_of_url says which of them */
    l->curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    l->curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    l->curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    l->curl_easy_setopt(easy, CURLOPT_NOBODY, request->head ? 1L : 0L);
    l->curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->fields);
    l->curl_easy_setopt(easy, CURLOPT_USERAGENT, "ffai/" FFAI_VERSION);
    l->curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 512L << 10);
    l->curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    l->curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (t->settings->ca_file)
        l->curl_easy_setopt(easy, CURLOPT_CAINFO, t->settings->ca_file);
    l->curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    l->curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    l->curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    l->curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    l->curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    set_times(t, request);
}

static void stop(ffai__request *request)
{
    if (request->running)
        request->transfer->libraries->curl_multi_remove_handle(request->transfer->multi, request->easy);
    request->running = false;
}

/* Make it as if it had never been sent. */
static void forget_reply(ffai__request *request)
{
    stop(request);
    ffai__reply_reset(&request->reply);
    ffai__buffer_free(&request->body);
    request->too_long = false;
    request->result = CURLE_OK;
    request->why[0] = 0;
}

void ffai__request_free(ffai__request *request)
{
    if (request->easy) {
        const ffai__hub_libraries *l = request->transfer->libraries;
        forget_reply(request);
        l->curl_easy_cleanup(request->easy);
        l->curl_slist_free_all(request->fields);
    }
    ffai__free(request->url);
    *request = (ffai__request)FFAI__REQUEST_INIT;
}

ffai_status ffai__transfer_start(ffai__transfer *t, ffai__request *request, ffai_error *err)
{
    const ffai__hub_libraries *l = t->libraries;
    const char *fault = fault_of_url(t, request->url);
    if (fault)
        return ffai__fail(err, FFAI_E_ARGUMENT, "%.300s: %s", request->url, fault);
    request->transfer = t;
    request->easy = request->easy ? request->easy : l->curl_easy_init();
    if (!request->easy)
        return ffai__fail_memory(err, "a request", 0);
    forget_reply(request);
    l->curl_easy_reset(request->easy);
    l->curl_slist_free_all(request->fields);
    request->fields = NULL;
    if (!add_fields(t, request))
        return ffai__fail_memory(err, "a request", 0);
    set_options(t, request);
    if (l->curl_multi_add_handle(t->multi, request->easy) != CURLM_OK)
        return ffai__fail_memory(err, "a request", 0);
    request->running = true;
    return FFAI_OK;
}

/* --- all requests --- */

static ffai_status cancelled(ffai__transfer *t, ffai_error *err)
{
    t->cancelled = true;
    return ffai__fail(err, FFAI_E_CANCELLED, "hub: cancelled; what came stays for the next time");
}

static ffai_status tell_now(ffai__transfer *t, ffai_error *err)
{
    t->told = ffai__transfer_now();
    if (t->options.on_event && !t->options.on_event(t->options.context, &t->event))
        return cancelled(t, err);
    return FFAI_OK;
}

ffai_status ffai__transfer_tell(ffai__transfer *t, ffai_error *err)
{
    return ffai__transfer_now() - t->told < 0.1 ? FFAI_OK : tell_now(t, err);
}

static void collect(ffai__transfer *t)
{
    const ffai__hub_libraries *l = t->libraries;
    int left = 0;
    for (CURLMsg *message; (message = l->curl_multi_info_read(t->multi, &left));) {
        ffai__request *request = NULL;
        const CURLcode result = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        l->curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
        stop(request);
        request->result = result;
    }
}

ffai_status ffai__transfer_step(ffai__transfer *t, ffai_error *err)
{
    const ffai__hub_libraries *l = t->libraries;
    int running = 0;
    CURLMcode code = l->curl_multi_perform(t->multi, &running);
    if (code == CURLM_OK && running)
        code = l->curl_multi_poll(t->multi, NULL, 0, STEP_MS, NULL);
    if (code != CURLM_OK)
        return ffai__fail(err, FFAI_E_IO, "hub: waiting for the network failed (curl's number %d)", (int)code);
    collect(t);
    return ffai__transfer_tell(t, err);
}

ffai_status ffai__transfer_wait(ffai__transfer *t, int64_t milliseconds, const char *why, ffai_error *err)
{
    const double until = ffai__transfer_now() + (double)milliseconds / 1000;
    ffai_status status = FFAI_OK;
    t->event.waiting = why;
    while (status == FFAI_OK && ffai__transfer_now() < until) {
        const double left = (until - ffai__transfer_now()) * 1000;
        const long nap = left < STEP_MS ? (long)(left > 0 ? left : 0) : STEP_MS;
        nanosleep(&(struct timespec){.tv_nsec = nap * 1000000}, NULL);
        status = tell_now(t, err);
    }
    t->event.waiting = NULL;
    return status;
}

/* --- further attempts --- */

static bool is_unreachable(CURLcode result)
{
    return result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST ||
           result == CURLE_COULDNT_RESOLVE_PROXY;
}

static bool is_passing(CURLcode result)
{
    switch (result) {
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR:
        return true;
    default:
        return is_unreachable(result);
    }
}

/* Attempts beyond the first that a request of this outcome is worth. */
static int worth_of(const ffai__transfer *t, const ffai__request *request)
{
    const long code = request->reply.code;
    if (request->too_long)
        return 0;
    if (is_unreachable(request->result))
        return t->settings->retries < 1 ? 0 : 1;
    if (request->result != CURLE_OK)
        return is_passing(request->result) ? t->settings->retries : 0;
    return code == 408 || code == 429 || code == 500 || (code >= 502 && code <= 504) ? t->settings->retries : 0;
}

static int64_t pause_of(const ffai__transfer *t, const ffai__request *request, int tries)
{
    curl_off_t asked = 0;
    t->libraries->curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &asked);
    if (asked > 0 && request->result == CURLE_OK)
        return asked > LONGEST_PAUSE_S ? -1 : (int64_t)asked * 1000;
    return (int64_t)t->settings->backoff_ms << (tries < 6 ? tries : 6);
}

ffai_status ffai__transfer_again(ffai__transfer *t, const ffai__request *request, int tries, ffai_error *err)
{
    char why[160];
    const int64_t pause = pause_of(t, request, tries);
    if (tries >= worth_of(t, request) || pause < 0)
        return ffai__reply_refusal(request, err);
    if (request->result == CURLE_OK)
        snprintf(why, sizeof why, "the hub answers HTTP %ld", request->reply.code);
    else
        snprintf(why, sizeof why, "%s", t->libraries->curl_easy_strerror(request->result));
    return ffai__transfer_wait(t, pause, why, err);
}

static ffai_status run_once(ffai__transfer *t, ffai__request *request, ffai_error *err)
{
    FFAI__TRY(ffai__transfer_start(t, request, err));
    while (request->running)
        FFAI__TRY(ffai__transfer_step(t, err));
    return FFAI_OK;
}

ffai_status ffai__transfer_fetch(ffai__transfer *t, ffai__request *request, bool own_alone, ffai_error *err)
{
    request->redirects = 0;
    for (int tries = 0;;) {
        FFAI__TRY(run_once(t, request, err));
        const long code = request->reply.code;
        if (request->result == CURLE_OK && (code == 200 || code == 206))
            return FFAI_OK;
        if (!ffai__request_is_redirect(request)) {
            FFAI__TRY(ffai__transfer_again(t, request, tries++, err));
            continue;
        }
        FFAI__TRY(ffai__transfer_redirect(t, request, err));
        if (own_alone && !ffai__transfer_is_own(t, request->url))
            return FFAI_OK;
    }
}

ffai_status ffai__transfer_open(ffai__transfer *t, const ffai__hub_settings *settings, const ffai_hub_options *options,
                                ffai_error *err)
{
    *t = (ffai__transfer){.settings = settings, .event = {.file = ""}};
    if (options)
        t->options = *options;
    FFAI__TRY(ffai__hub_libraries_load(&t->libraries, err));
    t->origin = origin_of(t->libraries, settings->endpoint);
    t->host = url_part(t->libraries, settings->endpoint, CURLUPART_HOST);
    if (!t->origin || !t->host)
        return ffai__fail(err, FFAI_E_ARGUMENT, "hub: HF_ENDPOINT: \"%.200s\" is no address", settings->endpoint);
    t->multi = t->libraries->curl_multi_init();
    return t->multi ? FFAI_OK : ffai__fail_memory(err, "curl", 0);
}

void ffai__transfer_close(ffai__transfer *t)
{
    if (t->multi)
        t->libraries->curl_multi_cleanup(t->multi);
    ffai__free(t->origin);
    ffai__free(t->host);
    *t = (ffai__transfer){0};
}
