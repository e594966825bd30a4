#include "token_matcher.h"

#include <string.h>

#include "alloc.h"

/* An Aho-Corasick automaton of the reversed strings, run over the text from its end: at each byte it knows the
 * longest string that starts there. A walk from the left then takes the first, skips it, and so on. */

enum { ROOT = 0, NODES_MAX = (1 << 24) - 1 };
#define NO_STRING UINT32_MAX

typedef struct {
    uint32_t parent;
    uint32_t fail;
    uint32_t size;  /* of the longest string that ends here, 0 for none */
    uint32_t value; /* of that string */
    uint8_t byte;
    uint8_t unused[3];
} node;

typedef struct {
    uint32_t key; /* parent << 8 | byte; 0 with child 0 is free, for the root is nobody's child */
    uint32_t child;
} edge;

struct ffai__token_matcher {
    node *nodes; /* in the order of depth, the root first, once built */
    size_t count, capacity;
    edge *edges; /* hash table */
    size_t edges_mask;
    uint64_t seed;
    uint32_t first[256]; /* the root's children */
};

static edge *find_edge(const ffai__token_matcher *m, uint32_t parent, uint8_t byte)
{
    const uint32_t key = parent << 8 | byte;
    uint64_t hash = (key ^ m->seed) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
    hash *= 0xBF58476D1CE4E5B9u;
    size_t i = (size_t)(hash >> 20) & m->edges_mask;
    while (m->edges[i].child != ROOT && m->edges[i].key != key)
        i = (i + 1) & m->edges_mask;
    return &m->edges[i];
}

static uint32_t child_of(const ffai__token_matcher *m, uint32_t parent, uint8_t byte)
{
    return parent == ROOT ? m->first[byte] : find_edge(m, parent, byte)->child;
}

static ffai_status allocate(ffai__token_matcher *m, size_t bytes, ffai_error *err)
{
    if (bytes > NODES_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "the added tokens have %zu bytes together, more than %d", bytes,
                          NODES_MAX);
    size_t capacity = 16;
    while (capacity / 2 < bytes)
        capacity *= 2;
    m->nodes = ffai__calloc(bytes + 1, sizeof *m->nodes);
    m->edges = ffai__calloc(capacity, sizeof *m->edges);
    if (!m->nodes || !m->edges)
        return ffai__fail_memory(err, "added tokens", bytes * sizeof *m->nodes + capacity * sizeof *m->edges);
    m->edges_mask = capacity - 1;
    m->seed = (uint64_t)(uintptr_t)m->edges;
    m->count = 1;
    return FFAI_OK;
}

static uint32_t add_child(ffai__token_matcher *m, uint32_t parent, uint8_t byte)
{
    const uint32_t old = child_of(m, parent, byte);
    if (old != ROOT)
        return old;
    const uint32_t child = (uint32_t)m->count++;
    m->nodes[child] = (node){.parent = parent, .byte = byte};
    if (parent == ROOT)
        m->first[byte] = child;
    else
        *find_edge(m, parent, byte) = (edge){parent << 8 | byte, child};
    return child;
}

static void add_string(ffai__token_matcher *m, const ffai__token_text *string)
{
    uint32_t at = ROOT;
    for (size_t i = string->size; i-- > 0;)
        at = add_child(m, at, (uint8_t)string->text[i]);
    m->nodes[at].size = (uint32_t)string->size;
    m->nodes[at].value = string->value;
}

static uint32_t step(const ffai__token_matcher *m, uint32_t at, uint8_t byte)
{
    for (; at != ROOT; at = m->nodes[at].fail) {
        const uint32_t child = find_edge(m, at, byte)->child;
        if (child != ROOT)
            return child;
    }
    return m->first[byte];
}

/* Failure links, parents before children: `order` receives the nodes by depth. */
static void link_nodes(ffai__token_matcher *m, const uint32_t *order)
{
    for (size_t i = 1; i < m->count; i++) {
        node *n = &m->nodes[order[i]];
        n->fail = n->parent == ROOT ? ROOT : step(m, m->nodes[n->parent].fail, n->byte);
        if (n->size == 0) {
            n->size = m->nodes[n->fail].size;
            n->value = m->nodes[n->fail].value;
        }
    }
}

/* A counting sort by depth; a node comes behind its parent in the table, so depths are known in one pass. */
static ffai_status link_by_depth(ffai__token_matcher *m, ffai_error *err)
{
    uint32_t *depth = ffai__array(m->count, sizeof *depth);
    uint32_t *order = ffai__array(m->count, sizeof *order);
    uint32_t *start = ffai__calloc(m->count + 1, sizeof *start);
    const bool enough = depth && order && start;
    if (enough) {
        depth[ROOT] = 0;
        for (size_t i = 1; i < m->count; i++)
            depth[i] = depth[m->nodes[i].parent] + 1;
        for (size_t i = 0; i < m->count; i++)
            start[depth[i] + 1]++;
        for (size_t d = 1; d <= m->count; d++)
            start[d] += start[d - 1];
        for (size_t i = 0; i < m->count; i++)
            order[start[depth[i]]++] = (uint32_t)i;
        link_nodes(m, order);
    }
    ffai__free(depth);
    ffai__free(order);
    ffai__free(start);
    return enough ? FFAI_OK : ffai__fail_memory(err, "added tokens", m->count * 3 * sizeof *order);
}

ffai_status ffai__token_matcher_create(ffai__token_matcher **out, const ffai__token_text *strings, size_t count,
                                       ffai_error *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strings[i].size;
    ffai__token_matcher *m = ffai__calloc(1, sizeof *m);
    ffai_status status = m ? allocate(m, bytes, err) : ffai__fail_memory(err, "added tokens", sizeof *m);
    if (status == FFAI_OK) {
        for (size_t i = 0; i < count; i++)
            add_string(m, &strings[i]);
        status = link_by_depth(m, err);
    }
    if (status != FFAI_OK) {
        ffai__token_matcher_free(m);
        return status;
    }
    *out = m;
    return FFAI_OK;
}

void ffai__token_matcher_free(ffai__token_matcher *m)
{
    if (!m)
        return;
    ffai__free(m->nodes);
    ffai__free(m->edges);
    ffai__free(m);
}

static ffai_status append_hit(ffai__token_hits *hits, ffai__token_hit hit, ffai_error *err)
{
    if (hits->count == hits->capacity) {
        const size_t capacity = hits->capacity ? hits->capacity * 2 : 16;
        ffai__token_hit *data = ffai__realloc(hits->data, capacity, sizeof *data);
        if (!data)
            return ffai__fail_memory(err, "added tokens in a text", capacity * sizeof *data);
        hits->data = data;
        hits->capacity = capacity;
    }
    hits->data[hits->count++] = hit;
    return FFAI_OK;
}

/* From hits at every place, last first, to those that a walk from the left takes, first first. */
static void keep_leftmost(ffai__token_hits *hits)
{
    for (size_t i = 0, j = hits->count; i + 1 < j; i++) {
        const ffai__token_hit other = hits->data[--j];
        hits->data[j] = hits->data[i];
        hits->data[i] = other;
    }
    size_t kept = 0;
    size_t end = 0;
    for (size_t i = 0; i < hits->count; i++) {
        if (hits->data[i].start < end)
            continue;
        end = hits->data[i].start + hits->data[i].size;
        hits->data[kept++] = hits->data[i];
    }
    hits->count = kept;
}

ffai_status ffai__token_matcher_find(ffai__token_hits *hits, const ffai__token_matcher *m, const char *text,
                                     size_t size, ffai_error *err)
{
    hits->count = 0;
    uint32_t at = ROOT;
    for (size_t i = size; i-- > 0;) {
        at = step(m, at, (uint8_t)text[i]);
        if (m->nodes[at].size > 0)
            FFAI__TRY(append_hit(hits, (ffai__token_hit){i, m->nodes[at].size, m->nodes[at].value}, err));
    }
    keep_leftmost(hits);
    return FFAI_OK;
}

void ffai__token_hits_free(ffai__token_hits *hits)
{
    ffai__free(hits->data);
    *hits = (ffai__token_hits){0};
}
