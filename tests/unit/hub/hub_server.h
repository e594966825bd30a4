/* A hub on loopback that misbehaves as it is told: raw sockets, a thread for each connection. */
#ifndef FFAI_TESTS_HUB_SERVER_H
#define FFAI_TESTS_HUB_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUB_COMMIT "0123456789abcdef0123456789abcdef01234567"

/* What goes wrong with a request that the fault is about. */
typedef enum hub_fault {
    FAULT_NONE,
    FAULT_STATUS,       /* another status: .status, with .extra as fields of the head */
    FAULT_REPLY,        /* .extra is all that is sent, then the end */
    FAULT_CLOSE,        /* the end, without a word */
    FAULT_RESET,        /* a reset */
    FAULT_STALL,        /* nothing, for as long as the client waits */
    FAULT_ENDLESS_HEAD, /* fields without end */
    FAULT_ENDLESS_BODY, /* a body without end */
    FAULT_BODY,         /* .extra is the body */
    FAULT_NO_ETAG,      /* fields of a file's head that are missing or wrong … */
    FAULT_ETAG,         /* … .extra in place of the digest */
    FAULT_NO_SIZE,
    FAULT_SIZE,           /* .extra in place of the size */
    FAULT_COMMIT,         /* .extra in place of the commit */
    FAULT_CUT,            /* of the body .amount bytes, then the end */
    FAULT_CUT_STALL,      /* the same, then nothing */
    FAULT_BYTES,          /* the byte at .amount is another */
    FAULT_SHORT,          /* the body is .amount bytes shorter, and says so */
    FAULT_LONG,           /* longer */
    FAULT_WITHOUT_RANGES, /* 200 and the whole file, whatever is asked */
    FAULT_RANGE,          /* a Content-Range of another place */
} hub_fault;

typedef struct hub_file {
    const char *name;
    const char *bytes;
    size_t size;
    bool large; /* known by sha256 and kept by another host */
    char digest[65];
} hub_file;

typedef struct hub_server {
    int port, store_port; /* of the hub, and of the host that keeps large files */
    hub_file files[16];
    size_t num_files;
    /* the fault, of requests whose line "METHOD /path" has .target in it */
    hub_fault fault;
    const char *target, *extra;
    int status, times; /* how often it still happens; -1: always */
    int64_t amount;
    /* what was seen */
    int requests, bodies;            /* and among them, bodies of files */
    int64_t bytes_sent;              /* of files */
    bool token_seen, token_at_store; /* the token of the tests, "secret" */
    void *inside;
} hub_server;

/* Start with these files; false without sockets. */
bool hub_server_start(hub_server *server);
void hub_server_stop(hub_server *server);
void hub_server_add(hub_server *server, const char *name, const char *bytes, size_t size, bool large);

#endif
