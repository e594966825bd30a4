/* Requests over HTTP and what may go wrong with them: redirects, refusals, pauses, cancelling.
 *
 * A redirect is never followed by curl: each address is checked first (https; plain http on the host of an HF_ENDPOINT
 * that has it), and the token goes to the endpoint's own scheme, host and port alone. */
#ifndef FFAI_HUB_TRANSFER_H
#define FFAI_HUB_TRANSFER_H

#include <ffai/hub.h>

#include "buffer.h"
#include "hub_libraries.h"
#include "hub_settings.h"

/* What a reply's head says; strings are empty and numbers -1 where it says nothing. */
typedef struct ffai__reply {
    long code;
    int64_t length, linked_size, range_from, range_size;
    char etag[80], linked_etag[80], commit[80], error_code[48];
    char *location; /* NULL: none; owned */
    size_t head_bytes;
} ffai__reply;

typedef struct ffai__request {
    /* what is asked for */
    char *url; /* owned; a redirect changes it */
    bool head;
    int64_t from, to; /* of a range, both included; -1: everything */
    /* Takes the body's bytes; false ends the request. NULL: they go into body, at most body_limit of them. */
    bool (*on_bytes)(struct ffai__request *request, const char *bytes, size_t size);
    void *context;
    size_t body_limit;
    /* how it is going; the transfer's own */
    struct ffai__transfer *transfer;
    CURL *easy;
    struct curl_slist *fields;
    bool running, too_long, short_of_memory;
    bool is_own; /* url is on the endpoint's own scheme, host and port; known once it was sent or redirected */
    int redirects;
    /* what came */
    CURLcode result;
    char why[CURL_ERROR_SIZE]; /* curl's words for it; perhaps "" */
    ffai__reply reply;
    ffai__buffer body;
} ffai__request;

#define FFAI__REQUEST_INIT                                                                                             \
    {                                                                                                                  \
        .from = -1, .to = -1, .body = FFAI__BUFFER_INIT                                                                \
    }

typedef struct ffai__transfer {
    const ffai__hub_settings *settings;
    const ffai__hub_libraries *libraries;
    ffai_hub_options options;
    ffai_hub_event event; /* handed to options.on_event */
    CURLM *multi;
    char *scheme, *host, *port; /* of the endpoint */
    double told;                /* when on_event was last called */
    bool cancelled;
} ffai__transfer;

/* Close it with ffai__transfer_close in every case. The settings must outlive it; options may be NULL. */
ffai_status ffai__transfer_open(ffai__transfer *t, const ffai__hub_settings *settings, const ffai_hub_options *options,
                                ffai_error *err);
void ffai__transfer_close(ffai__transfer *t);

/* Release what a request holds, running or not. */
void ffai__request_free(ffai__request *request);

/* Seconds of a clock that only goes forwards. */
double ffai__transfer_now(void);
/* Send a request; FFAI_E_ARGUMENT for an address that may not be asked. */
ffai_status ffai__transfer_start(ffai__transfer *t, ffai__request *request, ffai_error *err);
/* Let all running requests go on for a moment; those that ended are no longer running. FFAI_E_CANCELLED. */
ffai_status ffai__transfer_step(ffai__transfer *t, ffai_error *err);
/* Wait, telling why; FFAI_E_CANCELLED. */
ffai_status ffai__transfer_wait(ffai__transfer *t, int64_t milliseconds, const char *why, ffai_error *err);
/* Tell on_event how far it is, if the last time is a while ago; FFAI_E_CANCELLED. */
ffai_status ffai__transfer_tell(ffai__transfer *t, ffai_error *err);

bool ffai__request_is_redirect(const ffai__request *request);
/* Turn to where the reply says. FFAI_E_FORMAT after too many turns or for an address that may not be asked. */
ffai_status ffai__transfer_redirect(ffai__transfer *t, ffai__request *request, ffai_error *err);

/* After a request that ended without what was asked: wait before another attempt, the tries-th (from 0) in a row;
 * or the error, where another attempt makes no sense or there were enough. */
ffai_status ffai__transfer_again(ffai__transfer *t, const ffai__request *request, int tries, ffai_error *err);

/* A request with its redirects and further attempts, until a reply of 200 or 206 is whole; with own_alone also until it
 * turns away from the endpoint, which is where a large file's bytes are. */
ffai_status ffai__transfer_fetch(ffai__transfer *t, ffai__request *request, bool own_alone, ffai_error *err);

#endif
