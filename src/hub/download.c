#include "download.h"

#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "digest.h"
#include "part_file.h"
#include "reply.h"

enum { MOST_LANES = 16, USUAL_LANES = 4, LANE_BUFFER = FFAI__DIGEST_BLOCK };

/* Without a number that was asked for, connections are added one by one while they bring less than this each. */
static const double fast_lane = 256e6, widening_s = 0.25;

typedef enum lane_fault { NO_FAULT, WITHOUT_RANGES, OTHER_RANGE, OTHER_SIZE, TOO_MUCH, NOT_WRITTEN } lane_fault;

struct fetch;

/* A connection, and the span of the file that it brings. */
typedef struct lane {
    ffai__request request;
    struct fetch *fetch;
    char *buffer; /* [LANE_BUFFER] bytes from at on that are not in the file yet */
    size_t used;
    int64_t begun, at, end;
    int tries; /* that brought nothing, in a row */
    lane_fault fault;
    bool busy;
} lane;

typedef struct fetch {
    ffai__transfer *transfer;
    ffai__download *download;
    ffai__part_file part;
    ffai__digest *digest;
    char *url; /* where redirects led */
    lane lanes[MOST_LANES];
    int open, count;     /* that may be used now; in all */
    double looked;       /* seconds; when that was decided */
    uint64_t there;      /* bytes that were there then */
    int64_t next, whole; /* the piece to look at next; bytes without a gap */
    int64_t attempts;    /* that are left in all */
    bool without_ranges; /* the server gives the whole file or nothing */
    ffai_error failure;  /* of writing */
} fetch;

/* --- bytes that come --- */

static bool flush(lane *l)
{
    fetch *f = l->fetch;
    if (l->used == 0)
        return true;
    if (ffai__part_file_write(&f->part, l->at, l->buffer, (int64_t)l->used, &f->failure) != FFAI_OK) {
        l->fault = NOT_WRITTEN;
        return false;
    }
    f->transfer->event.file_done += l->used;
    f->transfer->event.done += l->used;
    f->whole = ffai__part_file_whole(&f->part, f->whole);
    if (l->at + (int64_t)l->used == f->whole)
        l->buffer = ffai__digest_hand(f->digest, l->buffer, l->at, l->used);
    ffai__digest_advance(f->digest, f->whole);
    l->at += (int64_t)l->used;
    l->used = 0;
    return true;
}

static lane_fault fault_of_reply(const lane *l)
{
    const ffai__reply *reply = &l->request.reply;
    const int64_t size = l->fetch->download->size;
    if (l->request.from < 0)
        return reply->code == 200 && (reply->length < 0 || reply->length == size) ? NO_FAULT : OTHER_SIZE;
    if (reply->code == 200)
        return WITHOUT_RANGES;
    return reply->range_from == l->request.from && (reply->range_size < 0 || reply->range_size == size) ? NO_FAULT
                                                                                                        : OTHER_RANGE;
}

static bool on_bytes(ffai__request *request, const char *bytes, size_t size)
{
    lane *l = request->context;
    if (l->fault == NO_FAULT)
        l->fault = fault_of_reply(l);
    if (l->fault == NO_FAULT && (int64_t)size > l->end - l->at - (int64_t)l->used)
        l->fault = TOO_MUCH;
    while (size > 0 && l->fault == NO_FAULT) {
        const size_t room = LANE_BUFFER - l->used;
        const size_t taken = size < room ? size : room;
        memcpy(l->buffer + l->used, bytes, taken);
        l->used += taken;
        bytes += taken;
        size -= taken;
        if (l->used == LANE_BUFFER)
            flush(l);
    }
    return l->fault == NO_FAULT;
}

/* --- spans --- */

static bool is_taken(const fetch *f, int64_t piece)
{
    for (int i = 0; i < f->count; i++) {
        if (f->lanes[i].busy && f->lanes[i].begun / FFAI__PART_PIECE == piece)
            return true;
    }
    return false;
}

/* The first piece that nobody brings; false if there is none. */
static bool find_span(fetch *f, lane *l)
{
    if (f->without_ranges) {
        l->at = 0;
        l->end = f->part.size;
        return !is_taken(f, 0) && f->whole < f->part.size;
    }
    while (f->next < f->part.pieces && f->part.done[f->next] == ffai__part_file_length(&f->part, f->next))
        f->next++;
    int64_t piece = f->next;
    while (piece < f->part.pieces &&
           (f->part.done[piece] == ffai__part_file_length(&f->part, piece) || is_taken(f, piece)))
        piece++;
    if (piece >= f->part.pieces)
        return false;
    l->at = piece * FFAI__PART_PIECE + f->part.done[piece];
    l->end = piece * FFAI__PART_PIECE + ffai__part_file_length(&f->part, piece);
    return true;
}

static ffai_status send_lane(fetch *f, lane *l, ffai_error *err)
{
    const bool all = l->at == 0 && l->end == f->part.size;
    ffai__free(l->request.url);
    l->request.url = ffai__strdup(f->url);
    if (!l->request.url)
        return ffai__fail_memory(err, f->url, 0);
    if (f->attempts-- <= 0)
        return ffai__fail(err, FFAI_E_IO, "%.200s: %.300s: the connection was cut too often", f->download->file,
                          f->url);
    l->request.from = all ? -1 : l->at;
    l->request.to = l->end - 1;
    l->request.on_bytes = on_bytes;
    l->request.context = l;
    l->begun = l->at;
    l->used = 0;
    l->fault = NO_FAULT;
    l->busy = true;
    return ffai__transfer_start(f->transfer, &l->request, err);
}

static void stop_lanes(fetch *f)
{
    for (int i = 0; i < f->count; i++) {
        lane *l = &f->lanes[i];
        ffai__request_free(&l->request);
        l->used = 0;
        l->busy = false;
    }
}

static ffai_status forget(fetch *f, ffai_error *err)
{
    ffai_hub_event *event = &f->transfer->event;
    stop_lanes(f);
    event->done -= event->file_done;
    event->file_done = 0;
    f->next = f->whole = 0;
    f->there = 0;
    ffai__digest_free(f->digest);
    f->digest = NULL;
    FFAI__TRY(ffai__part_file_forget(&f->part, err));
    return ffai__digest_new(&f->digest, f->transfer->libraries, f->download->digest, f->part.descriptor, f->part.size,
                            err);
}

/* --- what became of a request --- */

static ffai_status end_with_fault(fetch *f, const lane *l, ffai_error *err)
{
    const char *why = l->fault == OTHER_RANGE  ? "the reply is about another part of the file than was asked for"
                      : l->fault == OTHER_SIZE ? "the reply has another size than the hub named"
                                               : "more bytes came than were asked for";
    if (l->fault == NOT_WRITTEN) {
        if (err)
            *err = f->failure;
        return f->failure.status;
    }
    return ffai__fail(err, FFAI_E_FORMAT, "%.200s: %.500s: %s", f->download->file, f->url, why);
}

/* Signed addresses of a store beside the hub hold for some time only. */
static bool has_expired(const lane *l)
{
    const long code = l->request.reply.code;
    return l->request.result == CURLE_OK && (code == 401 || code == 403 || code == 404 || code == 410) &&
           !l->request.is_own;
}

static ffai_status turn(fetch *f, lane *l, ffai_error *err)
{
    FFAI__TRY(ffai__transfer_redirect(f->transfer, &l->request, err));
    char *url = ffai__strdup(l->request.url);
    if (!url)
        return ffai__fail_memory(err, l->request.url, 0);
    ffai__free(f->url);
    f->url = url;
    return send_lane(f, l, err);
}

/* A request that did not bring its span to the end. */
static ffai_status go_on(fetch *f, lane *l, ffai_error *err)
{
    if (l->fault == WITHOUT_RANGES && !f->without_ranges) {
        f->without_ranges = true;
        return forget(f, err);
    }
    if (l->fault != NO_FAULT)
        return end_with_fault(f, l, err);
    if (ffai__request_is_redirect(&l->request))
        return turn(f, l, err);
    if (has_expired(l)) {
        f->download->expired = true;
        return ffai__reply_refusal(&l->request, err);
    }
    if (l->request.result == CURLE_OK && (l->request.reply.code == 200 || l->request.reply.code == 206))
        l->request.result = CURLE_PARTIAL_FILE; /* an end without a length before it, or a reply without a body */
    l->tries = l->at > l->begun && !f->without_ranges ? 0 : l->tries;
    FFAI__TRY(ffai__transfer_again(f->transfer, &l->request, l->tries++, err));
    if (f->without_ranges) {
        const int tries = l->tries;
        FFAI__TRY(forget(f, err));
        l->tries = tries;
        return FFAI_OK;
    }
    return send_lane(f, l, err);
}

static ffai_status tend(fetch *f, lane *l, ffai_error *err)
{
    if (l->busy && !l->request.running) {
        if (l->fault == NO_FAULT)
            flush(l);
        if (l->at < l->end)
            return go_on(f, l, err);
        l->busy = false;
        l->tries = 0;
        l->request.redirects = 0;
    }
    return !l->busy && find_span(f, l) ? send_lane(f, l, err) : FFAI_OK;
}

/* One connection more, where those that are open are slow. Where they are not, others cost rather than help. */
static void widen(fetch *f)
{
    const double seconds = ffai__transfer_now() - f->looked;
    if (f->open == f->count || seconds < widening_s)
        return;
    const double rate = (double)(f->transfer->event.file_done - f->there) / seconds;
    f->open += rate < fast_lane * f->open;
    f->looked += seconds;
    f->there = f->transfer->event.file_done;
}

static ffai_status fetch_bytes(fetch *f, ffai_error *err)
{
    ffai_status status = FFAI_OK;
    while (status == FFAI_OK && f->whole < f->part.size) {
        widen(f);
        for (int i = 0; i < f->open && status == FFAI_OK; i++)
            status = tend(f, &f->lanes[i], err);
        if (status == FFAI_OK && f->whole < f->part.size)
            status = ffai__transfer_step(f->transfer, err);
    }
    for (int i = 0; i < f->count; i++) { /* what came before a failure stays */
        if (f->lanes[i].busy && f->lanes[i].fault == NO_FAULT)
            flush(&f->lanes[i]);
    }
    return status;
}

/* FFAI_E_FORMAT: the digest is another one. */
static ffai_status verify(fetch *f, ffai_error *err)
{
    char found[65] = "";
    const ffai_status status = ffai__digest_finish(f->digest, found, err);
    if (status == FFAI_E_IO) { /* a disk that cannot give it back */
        f->part.spoiled = true;
        return ffai__fail_in(err, status, "%.600s", f->part.path);
    }
    FFAI__TRY(status);
    if (strcmp(found, f->download->digest) == 0)
        return FFAI_OK;
    return ffai__fail(
        err, FFAI_E_FORMAT, "%.200s: %.300s: what came is not the file that the hub names: its %s is %s, not %s",
        f->download->file, f->url, strlen(found) == 40 ? "git sha1" : "sha256", found, f->download->digest);
}

/* What an earlier time left may be wrong, or a proxy gave something else: once more from the beginning. */
static ffai_status fetch_and_verify(fetch *f, ffai_error *err)
{
    ffai_status status = FFAI_OK;
    for (int round = 0; round < 2; round++) {
        FFAI__TRY(fetch_bytes(f, err));
        status = verify(f, err);
        if (status != FFAI_E_FORMAT)
            return status;
        FFAI__TRY(forget(f, err));
    }
    return status;
}

static ffai_status open_lanes(fetch *f, ffai_error *err)
{
    const int wanted = f->transfer->options.connections ? f->transfer->options.connections : USUAL_LANES;
    f->count = wanted < MOST_LANES ? wanted : MOST_LANES;
    if (f->count > f->part.pieces)
        f->count = (int)f->part.pieces;
    f->open = f->transfer->options.connections ? f->count : 1;
    f->looked = ffai__transfer_now();
    for (int i = 0; i < f->count; i++) {
        f->lanes[i] = (lane){.request = FFAI__REQUEST_INIT, .fetch = f, .buffer = ffai__malloc(LANE_BUFFER)};
        if (!f->lanes[i].buffer) {
            f->count = i + 1;
            return ffai__fail_memory(err, f->download->file, LANE_BUFFER);
        }
    }
    return FFAI_OK;
}

static ffai_status prepare(fetch *f, const char *part_path, ffai_error *err)
{
    ffai_hub_event *event = &f->transfer->event;
    const int64_t size = f->download->size;
    FFAI__TRY(ffai__part_file_open(&f->part, part_path, size, err));
    FFAI__TRY(open_lanes(f, err));
    FFAI__TRY(ffai__digest_new(&f->digest, f->transfer->libraries, f->download->digest, f->part.descriptor, size, err));
    f->url = ffai__strdup(f->download->url);
    if (!f->url)
        return ffai__fail_memory(err, f->download->url, 0);
    f->attempts = 100 + f->part.pieces + (size >> 20);
    f->whole = ffai__part_file_whole(&f->part, 0);
    ffai__digest_advance(f->digest, f->whole);
    event->file_done = (uint64_t)ffai__part_file_done(&f->part);
    event->done += event->file_done;
    f->there = event->file_done;
    return FFAI_OK;
}

ffai_status ffai__download_run(ffai__transfer *t, ffai__download *download, const char *path, ffai_error *err)
{
    char *part_path = ffai__format("%s%s", path, FFAI__PART_SUFFIX);
    fetch *f = ffai__calloc(1, sizeof *f);
    ffai_status status = FFAI_OK;
    if (!part_path || !f) {
        ffai__free(part_path);
        ffai__free(f);
        return ffai__fail_memory(err, download->file, sizeof *f);
    }
    f->transfer = t;
    f->download = download;
    f->part.descriptor = -1;
    download->expired = false;
    t->event.file_done = 0;
    status = prepare(f, part_path, err);
    if (status == FFAI_OK)
        status = fetch_and_verify(f, err);
    if (status == FFAI_OK)
        status = ffai__part_file_finish(&f->part, path, err);
    else
        t->event.done -= t->event.file_done;
    f->part.spoiled = f->part.spoiled || status == FFAI_E_FORMAT;
    stop_lanes(f);
    for (int i = 0; i < f->count; i++)
        ffai__free(f->lanes[i].buffer);
    ffai__digest_free(f->digest);
    ffai__part_file_close(&f->part);
    ffai__free(f->url);
    ffai__free(part_path);
    ffai__free(f);
    return status;
}
