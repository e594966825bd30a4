#define _GNU_SOURCE
#include "pull.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc.h"
#include "cache_folder.h"
#include "download.h"
#include "lock_file.h"
#include "part_file.h"
#include "snapshot.h"

enum { DISK_RESERVE = 16 << 20, MOST_ADDRESSES = 5 };

/* A file that is wanted, and what the hub says of it. */
typedef struct wanted {
    const char *name;
    char digest[65];
    int64_t size;
    char *url; /* where its bytes are; NULL: it is there already */
} wanted;

typedef struct pull {
    ffai__transfer transfer;
    const ffai__hub_settings *settings;
    const ffai__repository *repository;
    ffai__snapshot snapshot;
    ffai__listing listing;
    ffai__names names;
    wanted *files; /* [names.count] */
    size_t known;  /* of them */
} pull;

/* --- addresses --- */

static void append_quoted(ffai__buffer *out, const char *text, bool keep_slash)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text) || (keep_slash && *text == '/'))
            ffai__buffer_append(out, text, 1);
        else
            ffai__buffer_format(out, "%%%02X", (unsigned char)*text);
    }
}

static char *api_url(const pull *p)
{
    ffai__buffer url = FFAI__BUFFER_INIT;
    ffai__buffer_format(&url, "%s/api/models/%s/revision/", p->settings->endpoint, p->repository->name);
    append_quoted(&url, p->repository->revision, false);
    return ffai__buffer_take(&url, NULL);
}

static char *file_url(const pull *p, const char *file)
{
    ffai__buffer url = FFAI__BUFFER_INIT;
    ffai__buffer_format(&url, "%s/%s/resolve/%s/", p->settings->endpoint, p->repository->name, p->snapshot.commit);
    append_quoted(&url, file, true);
    return ffai__buffer_take(&url, NULL);
}

/* --- what the hub says --- */

static ffai_status ask_listing(pull *p, ffai_error *err)
{
    ffai__request request = FFAI__REQUEST_INIT;
    request.url = api_url(p);
    request.body_limit = FFAI__HUB_REPLY_LIMIT;
    ffai_status status = request.url ? ffai__transfer_fetch(&p->transfer, &request, false, err)
                                     : ffai__fail_memory(err, p->repository->name, 0);
    if (status == FFAI_OK)
        status = ffai__listing_parse(&p->listing, request.body.data ? request.body.data : "", request.body.size,
                                     request.url, err);
    if (status == FFAI_OK && ffai__hub_is_sha1(p->repository->revision) &&
        strcmp(p->listing.commit, p->repository->revision) != 0)
        status = ffai__fail(err, FFAI_E_FORMAT, "%.300s: the reply is about another commit, %s", request.url,
                            p->listing.commit);
    if (status == FFAI_OK)
        status = ffai__snapshot_turn(&p->snapshot, p->listing.commit, err);
    ffai__request_free(&request);
    return status;
}

static ffai_status refuse_head(const pull *p, const ffai__request *request, const char *why, ffai_error *err)
{
    return ffai__fail(err, FFAI_E_FORMAT, "%s: %.300s: %s", p->repository->name, request->url, why);
}

/* Size and digest, from the fields for large files or else the reply's own. */
static ffai_status take_head(const pull *p, wanted *w, const ffai__request *request, ffai_error *err)
{
    const int64_t largest = (int64_t)1 << 50;
    const ffai__reply *reply = &request->reply;
    const bool turns = ffai__request_is_redirect(request); /* its own fields are about the redirect, not the file */
    const char *etag = reply->linked_etag[0] || turns ? reply->linked_etag : reply->etag;
    w->size = reply->linked_size >= 0 || turns ? reply->linked_size : reply->length;
    if (reply->commit[0] && strcmp(reply->commit, p->snapshot.commit) != 0)
        return refuse_head(p, request, "the reply is about another commit", err);
    if (!ffai__hub_is_sha256(etag) && !ffai__hub_is_sha1(etag))
        return refuse_head(p, request, "the reply names no digest (ETag or X-Linked-Etag) to check the file by", err);
    if (w->size < 0)
        return refuse_head(p, request, "the reply names no size (Content-Length or X-Linked-Size)", err);
    if (w->size > largest)
        return refuse_head(p, request, "the reply names a size of more than 1 PiB", err);
    memcpy(w->digest, etag, strlen(etag) + 1);
    return FFAI_OK;
}

/* A large file's fields are in the first reply, a redirect. */
static ffai_status send_head(pull *p, wanted *w, ffai__request *request, ffai_error *err)
{
    ffai__transfer *t = &p->transfer;
    FFAI__TRY(ffai__transfer_fetch(t, request, true, err));
    FFAI__TRY(take_head(p, w, request, err));
    ffai__free(w->url);
    w->url = ffai__strdup(request->url);
    return w->url ? FFAI_OK : ffai__fail_memory(err, w->name, 0);
}

static ffai_status ask_head(pull *p, wanted *w, ffai_error *err)
{
    ffai__request request = FFAI__REQUEST_INIT;
    request.head = true;
    request.url = file_url(p, w->name);
    const ffai_status status = request.url ? send_head(p, w, &request, err) : ffai__fail_memory(err, w->name, 0);
    ffai__request_free(&request);
    return status;
}

static ffai_status ask_file(pull *p, wanted *w, ffai_error *err)
{
    p->transfer.event.file = w->name;
    int64_t there = -1;
    FFAI__TRY(ffai__snapshot_size(&there, &p->snapshot, w->name, err));
    if (there >= 0) {
        w->size = there;
        return FFAI_OK;
    }
    return ask_head(p, w, err);
}

/* Ask about the files that are not known yet. */
static ffai_status ask_files(pull *p, ffai_error *err)
{
    wanted *files = ffai__realloc(p->files, p->names.count ? p->names.count : 1, sizeof *files);
    if (!files)
        return ffai__fail_memory(err, "a list of files", p->names.count);
    p->files = files;
    for (; p->known < p->names.count; p->known++) {
        files[p->known] = (wanted){.name = p->names.each[p->known]};
        const ffai_status status = ask_file(p, &files[p->known], err);
        if (status != FFAI_OK) {
            ffai__free(files[p->known].url);
            return status;
        }
    }
    return FFAI_OK;
}

/* --- the disk --- */

/* Bytes of a blob that are there already, in whole or in part. */
static int64_t bytes_there(const pull *p, const wanted *w)
{
    struct stat info;
    char *blob = ffai__snapshot_blob(&p->snapshot, w->digest);
    char *part = blob ? ffai__format("%s%s", blob, FFAI__PART_SUFFIX) : NULL;
    int64_t there = 0;
    if (blob && stat(blob, &info) == 0)
        there = w->size;
    else if (part && stat(part, &info) == 0)
        there = (int64_t)info.st_blocks * 512;
    ffai__free(part);
    ffai__free(blob);
    return there < w->size ? there : w->size;
}

static ffai_status check_disk(const pull *p, ffai_error *err)
{
    struct statvfs disk;
    uint64_t needed = DISK_RESERVE;
    for (size_t i = 0; i < p->known; i++) {
        const uint64_t more = p->files[i].url ? (uint64_t)(p->files[i].size - bytes_there(p, &p->files[i])) : 0;
        if (!ffai__add(&needed, needed, more))
            needed = UINT64_MAX;
    }
    if (statvfs(p->snapshot.repository, &disk) != 0)
        return ffai__hub_cache_failure(p->snapshot.repository, "looked at", err);
    const uint64_t available = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (needed <= available)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_LIMIT,
                      "%s: takes %.2f GB more on the disk, which has %.2f GB free: %.500s: free some space there, or "
                      "set " FFAI__HUB_CACHE_VARIABLE " to a folder on another disk",
                      p->repository->name, (double)needed / 1e9, (double)available / 1e9, p->snapshot.repository);
}

/* --- the files --- */

/* With the lock held: another process may have brought it meanwhile. */
static ffai_status fetch_blob(pull *p, wanted *w, const char *blob, ffai_error *err)
{
    struct stat info;
    if (stat(blob, &info) == 0 && S_ISREG(info.st_mode) && (int64_t)info.st_size == w->size) {
        p->transfer.event.done += (uint64_t)w->size;
        return FFAI_OK;
    }
    for (int addresses = 1;; addresses++) {
        ffai__download download = {.file = w->name, .url = w->url, .digest = w->digest, .size = w->size};
        const ffai_status status = ffai__download_run(&p->transfer, &download, blob, err);
        if (!download.expired || addresses == MOST_ADDRESSES)
            return status;
        char digest[65];
        memcpy(digest, w->digest, sizeof digest);
        FFAI__TRY(ask_head(p, w, err));
        if (strcmp(digest, w->digest) != 0)
            return ffai__fail(err, FFAI_E_FORMAT, "%s: %s: the hub names another digest than before",
                              p->repository->name, w->name);
    }
}

static ffai_status take_lock(pull *p, int *lock, const char *path, ffai_error *err)
{
    FFAI__TRY(ffai__lock_file_try(lock, path, err));
    while (*lock < 0) {
        FFAI__TRY(ffai__transfer_wait(&p->transfer, 100, "another process is downloading this file", err));
        FFAI__TRY(ffai__lock_file_try(lock, path, err));
    }
    return FFAI_OK;
}

static ffai_status bring(pull *p, wanted *w, ffai_error *err)
{
    int lock = -1;
    char *blob = ffai__snapshot_blob(&p->snapshot, w->digest);
    char *path = ffai__format("%s/%s.lock", p->snapshot.locks, w->digest);
    ffai_status status = blob && path ? ffai__cache_make_folders(blob, FFAI__HUB_CACHE_VARIABLE, err)
                                      : ffai__fail_memory(err, w->name, 0);
    if (status == FFAI_OK)
        status = take_lock(p, &lock, path, err);
    if (status == FFAI_OK)
        status = fetch_blob(p, w, blob, err);
    if (status == FFAI_OK)
        status = ffai__snapshot_link(&p->snapshot, w->name, w->digest, err);
    ffai__lock_file_close(lock);
    ffai__free(path);
    ffai__free(blob);
    return status;
}

/* Those from first on. */
static ffai_status bring_files(pull *p, size_t first, ffai_error *err)
{
    ffai_hub_event *event = &p->transfer.event;
    event->files = p->known;
    event->size = event->done = 0;
    for (size_t i = 0; i < p->known; i++) {
        event->size += (uint64_t)p->files[i].size;
        event->done += i < first || !p->files[i].url ? (uint64_t)p->files[i].size : 0;
    }
    for (size_t i = first; i < p->known; i++) {
        event->file = p->files[i].name;
        event->file_number = i + 1;
        event->file_size = (uint64_t)p->files[i].size;
        event->file_done = 0;
        if (p->files[i].url) {
            event->stage = FFAI_LOAD_DOWNLOADING;
            FFAI__TRY(bring(p, &p->files[i], err));
        }
        event->file_done = event->file_size;
        p->transfer.told = 0; /* each file's end is told */
        FFAI__TRY(ffai__transfer_tell(&p->transfer, err));
    }
    return FFAI_OK;
}

/* --- a model --- */

static ffai_status read_index(pull *p, ffai_error *err)
{
    ffai__names shards = {NULL, 0, 0};
    ffai_status status = ffai__snapshot_read_index(&shards, &p->snapshot, FFAI__HUB_INDEX, err);
    for (size_t i = 0; status == FFAI_OK && i < shards.count; i++) {
        if (!ffai__names_have(&p->listing.files, shards.each[i]))
            status = ffai__fail(err, FFAI_E_FORMAT, "%s: %s names %.200s, which the repository lacks",
                                p->repository->name, FFAI__HUB_INDEX, shards.each[i]);
        else
            status = ffai__names_add(&p->names, shards.each[i], err);
    }
    ffai__names_free(&shards);
    return status;
}

/* The files that have been named since this was done last. */
static ffai_status bring_unknown(pull *p, ffai_error *err)
{
    const size_t first = p->known;
    FFAI__TRY(ask_files(p, err));
    FFAI__TRY(check_disk(p, err));
    return bring_files(p, first, err);
}

static ffai_status bring_model(pull *p, ffai_error *err)
{
    FFAI__TRY(ask_listing(p, err));
    FFAI__TRY(ffai__listing_choose(&p->names, &p->listing, p->repository->name, p->repository->file, err));
    FFAI__TRY(ffai__cache_make_folders(p->snapshot.folder, FFAI__HUB_CACHE_VARIABLE, err));
    FFAI__TRY(bring_unknown(p, err));
    if (ffai__names_have(&p->names, FFAI__HUB_INDEX)) {
        FFAI__TRY(read_index(p, err));
        FFAI__TRY(bring_unknown(p, err));
    }
    if (!p->repository->file && !ffai__names_have(&p->names, "tokenizer.json"))
        FFAI__TRY(ffai__snapshot_note_absent(&p->snapshot, "tokenizer.json", err));
    return ffai__snapshot_refer(&p->snapshot, p->repository->revision, err);
}

static ffai_status give_path(char **path, const ffai__snapshot *snapshot, const ffai__repository *repository,
                             ffai_error *err)
{
    *path = repository->file ? ffai__snapshot_path(snapshot, repository->file) : ffai__strdup(snapshot->folder);
    return *path ? FFAI_OK : ffai__fail_memory(err, repository->name, 0);
}

ffai_status ffai__pull(char **path, const ffai__hub_settings *settings, const ffai__repository *repository,
                       const ffai_hub_options *options, ffai_error *err)
{
    pull p = {.settings = settings, .repository = repository};
    ffai_status status = ffai__snapshot_find(&p.snapshot, settings, repository, err);
    if (status == FFAI_OK)
        status = ffai__transfer_open(&p.transfer, settings, options, err);
    if (status == FFAI_OK)
        status = bring_model(&p, err);
    if (status == FFAI_OK)
        status = give_path(path, &p.snapshot, repository, err);
    for (size_t i = 0; i < p.known; i++)
        ffai__free(p.files[i].url);
    ffai__free(p.files);
    ffai__names_free(&p.names);
    ffai__listing_free(&p.listing);
    ffai__snapshot_free(&p.snapshot);
    ffai__transfer_close(&p.transfer);
    return status;
}

ffai_status ffai__pull_offline(char **path, const ffai__hub_settings *settings, const ffai__repository *repository,
                               ffai_error *err)
{
    ffai__snapshot snapshot;
    FFAI__TRY(ffai__snapshot_find(&snapshot, settings, repository, err));
    ffai_status status = ffai__snapshot_check(&snapshot, repository, err);
    if (status == FFAI_OK)
        status = give_path(path, &snapshot, repository, err);
    ffai__snapshot_free(&snapshot);
    return status;
}
