/* The bytes of one file of a hub, over several connections, into the cache. */
#ifndef FFAI_HUB_DOWNLOAD_H
#define FFAI_HUB_DOWNLOAD_H

#include "transfer.h"

typedef struct ffai__download {
    const char *file;   /* its name, for messages */
    const char *url;    /* where its bytes are */
    const char *digest; /* sha256 or git's sha1, in hexadecimal */
    int64_t size;
    bool expired; /* receives: the address, on another host than the endpoint, refuses: ask the hub for a new one */
} ffai__download;

/* Fetch it to path; what is there of an earlier time, in path.ffai-part, is not fetched again. What came stays there on
 * failure, except where it is not what the hub promised. FFAI_E_FORMAT: other bytes than promised came, twice. */
ffai_status ffai__download_run(ffai__transfer *t, ffai__download *download, const char *path, ffai_error *err);

#define FFAI__PART_SUFFIX ".ffai-part"

#endif
