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

/* NULL: an address without it. */
typedef struct address {
    char *scheme, *host, *port, *user;
} address;

static void free_address(address *a)
{
    ffai__free(a->scheme);
    ffai__free(a->host);
    ffai__free(a->port);
    ffai__free(a->user);
}

/* False when memory is short. */
static bool copy_part(char **out, const ffai__hub_libraries *l, CURLU *parsed, CURLUPart part)
{
    char *text = NULL;
    const CURLUcode code = l->curl_url_get(parsed, part, &text, CURLU_DEFAULT_PORT);
    *out = text ? ffai__strdup(text) : NULL;
    l->curl_free(text);
    return code == CURLUE_OK ? *out != NULL : code != CURLUE_OUT_OF_MEMORY;
}

/* What is no address has no parts. Free it with free_address where this succeeds. */
static ffai_status read_address(address *out, const ffai__hub_libraries *l, const char *url, ffai_error *err)
{
    address a = {NULL, NULL, NULL, NULL};
    CURLU *parsed = l->curl_url();
    const CURLUcode code = parsed ? l->curl_url_set(parsed, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    bool read = code != CURLUE_OUT_OF_MEMORY;
    if (code == CURLUE_OK)
        read = copy_part(&a.scheme, l, parsed, CURLUPART_SCHEME) && copy_part(&a.host, l, parsed, CURLUPART_HOST) &&
               copy_part(&a.port, l, parsed, CURLUPART_PORT) && copy_part(&a.user, l, parsed, CURLUPART_USER);
    l->curl_url_cleanup(parsed);
    if (read)
        *out = a;
    else
        free_address(&a);
    return read ? FFAI_OK : ffai__fail_memory(err, url, 0);
}

static bool is_same(const char *a, const char *b)
{
    return a && b && strcasecmp(a, b) == 0;
}

/* NULL, or why an address may not be asked. */
static const char *fault_of(const ffai__transfer *t, const address *a)
{
    if (!a->scheme || !a->host)
        return "is no address";
    if (a->user)
        return "carries a user's name";
    if (strcmp(a->scheme, "https") != 0 &&
        (strcmp(a->scheme, "http") != 0 || strcmp(t->scheme, "http") != 0 || !is_same(a->host, t->host)))
        return "is not https";
    return NULL;
}

/* Whether a request's address may be asked, and whether it is the endpoint's own. *fault: NULL, or why not. */
static ffai_status look_at_address(const char **fault, bool *is_own, const ffai__transfer *t, const char *url,
                                   ffai_error *err)
{
    address a;
    FFAI__TRY(read_address(&a, t->libraries, url, err));
    *fault = fault_of(t, &a);
    *is_own = is_same(a.scheme, t->scheme) && is_same(a.host, t->host) && is_same(a.port, t->port);
    free_address(&a);
    return FFAI_OK;
}

bool ffai__request_is_redirect(const ffai__request *request)
{
    const long code = request->reply.code;
    return request->result == CURLE_OK && (code == 301 || code == 302 || code == 303 || code == 307 || code == 308);
}

/* Where a location leads from an address, for ffai__free; NULL where that is no address. */
static ffai_status resolve(char **out, const ffai__hub_libraries *l, const char *url, const char *location,
                           ffai_error *err)
{
    char *text = NULL;
    CURLU *parsed = l->curl_url();
    CURLUcode code = parsed ? l->curl_url_set(parsed, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    if (code == CURLUE_OK)
        code = l->curl_url_set(parsed, CURLUPART_URL, location, 0);
    if (code == CURLUE_OK)
        code = l->curl_url_get(parsed, CURLUPART_URL, &text, 0);
    *out = text ? ffai__strdup(text) : NULL;
    const bool short_of_memory = text ? !*out : code == CURLUE_OUT_OF_MEMORY;
    l->curl_free(text);
    l->curl_url_cleanup(parsed);
    return short_of_memory ? ffai__fail_memory(err, location, 0) : FFAI_OK;
}

ffai_status ffai__transfer_redirect(ffai__transfer *t, ffai__request *request, ffai_error *err)
{
    const char *location = request->reply.location;
    const char *fault = "is no address";
    char *url = NULL;
    if (!location)
        return ffai__fail(err, FFAI_E_FORMAT, "%.300s: redirects (HTTP %ld) without saying where to", request->url,
                          request->reply.code);
    if (++request->redirects > MOST_REDIRECTS)
        return ffai__fail(err, FFAI_E_FORMAT, "%.300s: redirects more than %d times", request->url, MOST_REDIRECTS);
    FFAI__TRY(resolve(&url, t->libraries, request->url, location, err));
    ffai_status status = url ? look_at_address(&fault, &request->is_own, t, url, err) : FFAI_OK;
    if (status == FFAI_OK && fault)
        status =
            ffai__fail(err, FFAI_E_FORMAT, "%.300s: redirects to \"%.300s\", which %s", request->url, location, fault);
    if (status != FFAI_OK) {
        ffai__free(url);
        return status;
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
    request->short_of_memory = !ffai__reply_line(&request->reply, line, bytes);
    return request->short_of_memory ? 0 : bytes;
}

static bool keep_bytes(ffai__request *request, const char *bytes, size_t size)
{
    if (size > request->body_limit - request->body.size) {
        request->too_long = true;
        return false;
    }
    request->short_of_memory = !ffai__buffer_append(&request->body, bytes, size);
    return !request->short_of_memory;
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
    const bool known = t->settings->token && request->is_own;
    char *token = known ? ffai__format("Authorization: Bearer %s", t->settings->token) : NULL;
    bool added = add_field(request, "Accept-Encoding: identity");
    added = added && (request->from < 0 || add_field(request, range));
    added = added && (!known || add_field(request, token));
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
    request->too_long = request->short_of_memory = false;
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
    const char *fault = NULL;
    FFAI__TRY(look_at_address(&fault, &request->is_own, t, request->url, err));
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
    if (request->too_long || request->short_of_memory)
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
        if (own_alone && !request->is_own)
            return FFAI_OK;
    }
}

static ffai_status read_endpoint(ffai__transfer *t, ffai_error *err)
{
    address a;
    FFAI__TRY(read_address(&a, t->libraries, t->settings->endpoint, err));
    t->scheme = a.scheme;
    t->host = a.host;
    t->port = a.port;
    ffai__free(a.user);
    if (!t->scheme || !t->host || !t->port)
        return ffai__fail(err, FFAI_E_ARGUMENT, "hub: HF_ENDPOINT: \"%.200s\" is no address", t->settings->endpoint);
    return FFAI_OK;
}

ffai_status ffai__transfer_open(ffai__transfer *t, const ffai__hub_settings *settings, const ffai_hub_options *options,
                                ffai_error *err)
{
    *t = (ffai__transfer){.settings = settings, .event = {.file = ""}};
    if (options)
        t->options = *options;
    FFAI__TRY(ffai__hub_libraries_load(&t->libraries, err));
    FFAI__TRY(read_endpoint(t, err));
    t->multi = t->libraries->curl_multi_init();
    return t->multi ? FFAI_OK : ffai__fail_memory(err, "curl", 0);
}

void ffai__transfer_close(ffai__transfer *t)
{
    if (t->multi)
        t->libraries->curl_multi_cleanup(t->multi);
    ffai__free(t->scheme);
    ffai__free(t->host);
    ffai__free(t->port);
    *t = (ffai__transfer){0};
}
