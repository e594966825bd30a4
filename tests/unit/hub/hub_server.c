#define _GNU_SOURCE
#include "hub_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 4096 };

typedef struct inside {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    pthread_t listeners[2];
    int sockets[2];
    int open[MOST_CONNECTIONS]; /* -1: free */
    int running;
    bool stopping;
} inside;

typedef struct connection {
    hub_server *server;
    int socket, slot;
    bool store;
} connection;

typedef struct asked {
    char method[8], path[2048], line[2100];
    int64_t from, to; /* -1: everything */
} asked;

void hub_server_add(hub_server *server, const char *name, const char *bytes, size_t size, bool large)
{
    hub_file *f = &server->files[server->num_files++];
    unsigned char digest[64];
    char head[40];
    unsigned length = 0;
    *f = (hub_file){.name = name, .bytes = bytes, .size = size, .large = large};
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, large ? EVP_sha256() : EVP_sha1(), NULL);
    if (!large)
        EVP_DigestUpdate(context, head, (size_t)snprintf(head, sizeof head, "blob %zu", size) + 1);
    EVP_DigestUpdate(context, bytes, size);
    EVP_DigestFinal_ex(context, digest, &length);
    EVP_MD_CTX_free(context);
    for (unsigned i = 0; i < length; i++)
        snprintf(f->digest + (size_t)2 * i, 3, "%02x", digest[i]);
}

static bool send_bytes(int socket, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

__attribute__((format(printf, 2, 3))) static bool send_text(int socket, const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return length >= 0 && (size_t)length < sizeof text && send_bytes(socket, text, (size_t)length);
}

/* The head of a request, read byte by byte: they are short. */
static bool read_head(connection *c, asked *a)
{
    char head[8192];
    size_t size = 0;
    while (size < 4 || memcmp(head + size - 4, "\r\n\r\n", 4) != 0) {
        if (size + 1 >= sizeof head || recv(c->socket, head + size, 1, 0) != 1)
            return false;
        size++;
    }
    head[size] = 0;
    if (sscanf(head, "%7s %2047s", a->method, a->path) != 2)
        return false;
    snprintf(a->line, sizeof a->line, "%s %s", a->method, a->path);
    const char *range = strcasestr(head, "\r\nrange: bytes=");
    long long from = -1;
    long long to = -1;
    if (range && sscanf(range + 15, "%lld-%lld", &from, &to) != 2)
        return false;
    a->from = from;
    a->to = to;
    const bool token = strcasestr(head, "\r\nauthorization: bearer secret\r\n");
    inside *in = c->server->inside;
    pthread_mutex_lock(&in->lock);
    c->server->requests++;
    c->server->token_seen = c->server->token_seen || token;
    c->server->token_at_store = c->server->token_at_store || (token && c->store);
    pthread_mutex_unlock(&in->lock);
    return true;
}

/* The fault of this request, counted. */
static hub_fault fault_of(hub_server *s, const asked *a)
{
    inside *in = s->inside;
    hub_fault fault = FAULT_NONE;
    pthread_mutex_lock(&in->lock);
    if (s->fault && s->times != 0 && strstr(a->line, s->target)) {
        fault = s->fault;
        s->times -= s->times > 0;
    }
    pthread_mutex_unlock(&in->lock);
    return fault;
}

static void wait_for_end(const connection *c)
{
    char byte = 0;
    while (recv(c->socket, &byte, 1, 0) == 1)
        continue;
}

static void flood(const connection *c, const char *text)
{
    for (int i = 0; i < 1 << 22 && send_bytes(c->socket, text, strlen(text)); i++)
        continue;
}

/* Faults that need no file; true if it was one. */
static bool misbehave(const connection *c, hub_fault fault)
{
    const hub_server *s = c->server;
    const struct linger at_once = {1, 0};
    switch (fault) {
    case FAULT_STATUS:
        send_text(c->socket, "HTTP/1.1 %d Fault\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n", s->status,
                  s->extra ? s->extra : "");
        return true;
    case FAULT_REPLY:
        send_text(c->socket, "%s", s->extra);
        return true;
    case FAULT_CLOSE:
        return true;
    case FAULT_RESET:
        setsockopt(c->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return true;
    case FAULT_STALL:
        wait_for_end(c);
        return true;
    case FAULT_ENDLESS_HEAD:
        send_text(c->socket, "HTTP/1.1 200 OK\r\n");
        flood(c, "X-Field: and one more of them, which nobody wants to read\r\n");
        return true;
    case FAULT_ENDLESS_BODY:
        send_text(c->socket, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        flood(c, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
        return true;
    case FAULT_BODY:
        send_text(c->socket, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", strlen(s->extra));
        send_bytes(c->socket, s->extra, strlen(s->extra));
        return true;
    default:
        return false;
    }
}

static bool send_json(const connection *c, const char *body, int size)
{
    return send_text(c->socket, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
                     size) &&
           send_bytes(c->socket, body, (size_t)size);
}

/* What Hugging Face's tools ask for beside it: the same files with sizes and digests. */
static bool send_tree(const connection *c)
{
    const hub_server *s = c->server;
    char body[8192];
    int size = snprintf(body, sizeof body, "[");
    for (size_t i = 0; i < s->num_files; i++) {
        const hub_file *f = &s->files[i];
        size += snprintf(body + size, sizeof body - (size_t)size,
                         "%s{\"type\": \"file\", \"path\": \"%s\", \"size\": %zu, \"oid\": \"%.40s\"", i ? ", " : "",
                         f->name, f->size, f->digest);
        if (f->large)
            size += snprintf(body + size, sizeof body - (size_t)size,
                             ", \"lfs\": {\"oid\": \"%s\", \"size\": %zu, \"pointerSize\": 134}", f->digest, f->size);
        size += snprintf(body + size, sizeof body - (size_t)size, "}");
    }
    size += snprintf(body + size, sizeof body - (size_t)size, "]");
    return send_json(c, body, size);
}

static bool send_listing(const connection *c)
{
    const hub_server *s = c->server;
    char body[8192];
    int size = snprintf(body, sizeof body, "{\"id\": \"org/model\", \"sha\": \"%s\", \"siblings\": [", HUB_COMMIT);
    for (size_t i = 0; i < s->num_files; i++)
        size += snprintf(body + size, sizeof body - (size_t)size, "%s{\"rfilename\": \"%s\"}", i ? ", " : "",
                         s->files[i].name);
    size += snprintf(body + size, sizeof body - (size_t)size, "]}");
    return send_json(c, body, size);
}

static bool send_not_found(const connection *c)
{
    return send_text(c->socket, "HTTP/1.1 404 Not Found\r\nX-Error-Code: EntryNotFound\r\nContent-Length: 0\r\n\r\n");
}

static bool send_file_head(const connection *c, const hub_file *f, hub_fault fault)
{
    const hub_server *s = c->server;
    const char *linked = f->large ? "X-Linked-" : "";
    char etag[512] = "";
    char size[128] = "";
    if (fault != FAULT_NO_ETAG)
        snprintf(etag, sizeof etag, "%sETag: \"%s\"\r\n", linked, fault == FAULT_ETAG ? s->extra : f->digest);
    if (fault == FAULT_SIZE)
        snprintf(size, sizeof size, "X-Linked-Size: %s\r\n", s->extra);
    else if (fault != FAULT_NO_SIZE)
        snprintf(size, sizeof size, "%s: %zu\r\n", f->large ? "X-Linked-Size" : "Content-Length", f->size);
    char location[256] = "";
    if (f->large)
        snprintf(location, sizeof location, "Content-Length: 0\r\nLocation: http://127.0.0.1:%d/store/%s?signed=1\r\n",
                 s->store_port, f->name);
    return send_text(c->socket, "HTTP/1.1 %s\r\nX-Repo-Commit: %s\r\n%s%s%s%s\r\n", f->large ? "302 Found" : "200 OK",
                     fault == FAULT_COMMIT ? s->extra : HUB_COMMIT, etag, size, location,
                     fault == FAULT_NO_SIZE ? "Connection: close\r\n" : "");
}

static bool send_part(const connection *c, const hub_file *f, int64_t from, int64_t count, hub_fault fault)
{
    hub_server *s = c->server;
    inside *in = s->inside;
    if (fault == FAULT_CUT || fault == FAULT_CUT_STALL)
        count = count < s->amount ? count : s->amount;
    pthread_mutex_lock(&in->lock);
    s->bodies++;
    s->bytes_sent += count;
    pthread_mutex_unlock(&in->lock);
    const int64_t wrong = fault == FAULT_BYTES && s->amount >= from && s->amount < from + count ? s->amount : -1;
    if (wrong >= 0) {
        const char other = (char)(f->bytes[wrong] ^ 1);
        return send_bytes(c->socket, f->bytes + from, (size_t)(wrong - from)) && send_bytes(c->socket, &other, 1) &&
               send_bytes(c->socket, f->bytes + wrong + 1, (size_t)(from + count - wrong - 1));
    }
    if (!send_bytes(c->socket, f->bytes + from, (size_t)count))
        return false;
    if (fault == FAULT_CUT_STALL)
        wait_for_end(c);
    return fault != FAULT_CUT && fault != FAULT_CUT_STALL;
}

static bool send_file(const connection *c, const hub_file *f, const asked *a, hub_fault fault)
{
    const hub_server *s = c->server;
    const bool ranged = a->from >= 0 && fault != FAULT_WITHOUT_RANGES;
    const int64_t from = ranged ? a->from : 0;
    const int64_t to = ranged ? a->to : (int64_t)f->size - 1;
    int64_t said = to - from + 1;
    if (fault == FAULT_SHORT)
        said -= s->amount;
    if (fault == FAULT_LONG)
        said += s->amount;
    if (ranged && (to >= (int64_t)f->size || from > to))
        return send_text(c->socket, "HTTP/1.1 416 Range\r\nContent-Length: 0\r\n\r\n");
    if (ranged)
        send_text(c->socket,
                  "HTTP/1.1 206 Partial\r\nContent-Range: bytes %lld-%lld/%zu\r\nContent-Length: %lld\r\n\r\n",
                  (long long)from + (fault == FAULT_RANGE), (long long)to, f->size, (long long)said);
    else
        send_text(c->socket, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", (long long)said);
    if (fault == FAULT_LONG) {
        send_part(c, f, from, to - from + 1, FAULT_NONE);
        for (int64_t i = 0; i < s->amount; i++)
            send_bytes(c->socket, "x", 1);
        return false;
    }
    return send_part(c, f, from, fault == FAULT_SHORT ? said : to - from + 1, fault);
}

static const hub_file *find_file(const hub_server *s, const char *path, const char *prefix)
{
    const size_t length = strlen(prefix);
    for (size_t i = 0; strncmp(path, prefix, length) == 0 && i < s->num_files; i++) {
        const size_t name = strlen(s->files[i].name);
        if (strncmp(path + length, s->files[i].name, name) == 0 && (!path[length + name] || path[length + name] == '?'))
            return &s->files[i];
    }
    return NULL;
}

/* False ends the connection. */
static bool answer(connection *c, const asked *a)
{
    const hub_server *s = c->server;
    const hub_fault fault = fault_of(c->server, a);
    const hub_file *kept = find_file(s, a->path, "/store/");
    const hub_file *own = find_file(s, a->path, "/org/model/resolve/" HUB_COMMIT "/");
    if (fault && misbehave(c, fault))
        return false;
    if (c->store)
        return kept ? send_file(c, kept, a, fault) : send_not_found(c);
    if (strcmp(a->path, "/api/models/org/model/revision/main") == 0 ||
        strcmp(a->path, "/api/models/org/model/revision/refs%2Fpr%2F1") == 0 ||
        strcmp(a->path, "/api/models/org/model/revision/" HUB_COMMIT) == 0)
        return send_listing(c);
    static const char tree[] = "/api/models/org/model/tree/" HUB_COMMIT;
    if (strncmp(a->path, tree, sizeof tree - 1) == 0)
        return send_tree(c);
    if (!own)
        return send_not_found(c);
    if (own->large || strcmp(a->method, "HEAD") == 0)
        return send_file_head(c, own, fault) && fault != FAULT_NO_SIZE;
    return send_file(c, own, a, fault);
}

static void *serve(void *context)
{
    connection *c = context;
    inside *in = c->server->inside;
    asked a;
    while (read_head(c, &a) && answer(c, &a))
        continue;
    pthread_mutex_lock(&in->lock);
    in->open[c->slot] = -1;
    close(c->socket);
    in->running--;
    pthread_cond_signal(&in->ended);
    pthread_mutex_unlock(&in->lock);
    free(c);
    return NULL;
}

static void accept_one(hub_server *s, int socket, bool store)
{
    inside *in = s->inside;
    pthread_t thread;
    connection *c = calloc(1, sizeof *c);
    const int at_once = 1; /* or a body waits for the acknowledgement of its head */
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    *c = (connection){s, socket, 0, store};
    pthread_mutex_lock(&in->lock);
    while (in->open[c->slot] >= 0)
        c->slot++;
    in->open[c->slot] = socket;
    in->running++;
    pthread_mutex_unlock(&in->lock);
    if (pthread_create(&thread, NULL, serve, c) != 0)
        abort();
    pthread_detach(thread);
}

static void *listen_hub(void *context)
{
    hub_server *s = context;
    inside *in = s->inside;
    for (int socket; (socket = accept(in->sockets[0], NULL, NULL)) >= 0;)
        accept_one(s, socket, false);
    return NULL;
}

static void *listen_store(void *context)
{
    hub_server *s = context;
    inside *in = s->inside;
    for (int socket; (socket = accept(in->sockets[1], NULL, NULL)) >= 0;)
        accept_one(s, socket, true);
    return NULL;
}

static int open_port(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&address, size) != 0 || listen(descriptor, 64) != 0 ||
        getsockname(descriptor, (struct sockaddr *)&address, &size) != 0)
        return -1;
    *port = ntohs(address.sin_port);
    return descriptor;
}

bool hub_server_start(hub_server *server)
{
    inside *in = calloc(1, sizeof *in);
    server->inside = in;
    pthread_mutex_init(&in->lock, NULL);
    pthread_cond_init(&in->ended, NULL);
    for (int i = 0; i < MOST_CONNECTIONS; i++)
        in->open[i] = -1;
    in->sockets[0] = open_port(&server->port);
    in->sockets[1] = open_port(&server->store_port);
    return in->sockets[0] >= 0 && in->sockets[1] >= 0 &&
           pthread_create(&in->listeners[0], NULL, listen_hub, server) == 0 &&
           pthread_create(&in->listeners[1], NULL, listen_store, server) == 0;
}

void hub_server_stop(hub_server *server)
{
    inside *in = server->inside;
    for (int i = 0; i < 2; i++) {
        shutdown(in->sockets[i], SHUT_RDWR);
        pthread_join(in->listeners[i], NULL);
        close(in->sockets[i]);
    }
    pthread_mutex_lock(&in->lock);
    for (int i = 0; i < MOST_CONNECTIONS; i++) {
        if (in->open[i] >= 0)
            shutdown(in->open[i], SHUT_RDWR);
    }
    while (in->running > 0)
        pthread_cond_wait(&in->ended, &in->lock);
    pthread_mutex_unlock(&in->lock);
    pthread_cond_destroy(&in->ended);
    pthread_mutex_destroy(&in->lock);
    free(in);
}
