#include "productive.h"

#include <string.h>

#include "alloc.h"

typedef struct {
    ffai__automaton *a;
    bool *productive;     /* [nodes] leads to the end of its rule */
    uint32_t *from;       /* [edges] */
    uint32_t *first_in;   /* [nodes] edges that lead to it, chained by next_in */
    uint32_t *next_in;    /* [edges] */
    uint32_t *first_call; /* [nodes] edges that call the rule that begins there, chained by next_call */
    uint32_t *next_call;  /* [edges] */
    uint32_t *work;       /* [nodes] */
    uint32_t num_work;
} pruner;

static void link_edges(pruner *p)
{
    ffai__automaton *a = p->a;
    memset(p->first_in, 0xFF, a->num_nodes * sizeof *p->first_in);
    memset(p->first_call, 0xFF, a->num_nodes * sizeof *p->first_call);
    for (uint32_t node = 0; node < a->num_nodes; node++) {
        for (uint32_t e = a->nodes[node].first_edge; e != FFAI__NONE; e = a->edges[e].next) {
            const ffai__edge *edge = &a->edges[e];
            p->from[e] = node;
            p->next_in[e] = p->first_in[edge->to];
            p->first_in[edge->to] = e;
            if (edge->kind != FFAI__EDGE_CALL)
                continue;
            p->next_call[e] = p->first_call[a->starts[edge->rule]];
            p->first_call[a->starts[edge->rule]] = e;
        }
    }
}

static void mark(pruner *p, uint32_t node)
{
    if (p->productive[node])
        return;
    p->productive[node] = true;
    p->work[p->num_work++] = node;
}

static bool leads_on(const pruner *p, const ffai__edge *edge)
{
    return p->productive[edge->to] && (edge->kind != FFAI__EDGE_CALL || p->productive[p->a->starts[edge->rule]]);
}

static void spread(pruner *p)
{
    while (p->num_work > 0) {
        const uint32_t node = p->work[--p->num_work];
        for (uint32_t e = p->first_in[node]; e != FFAI__NONE; e = p->next_in[e]) {
            if (leads_on(p, &p->a->edges[e]))
                mark(p, p->from[e]);
        }
        for (uint32_t e = p->first_call[node]; e != FFAI__NONE; e = p->next_call[e]) {
            if (leads_on(p, &p->a->edges[e]))
                mark(p, p->from[e]);
        }
    }
}

static void drop_edges(pruner *p)
{
    for (uint32_t n = 0; n < p->a->num_nodes; n++) {
        ffai__automaton_node *node = &p->a->nodes[n];
        uint32_t *link = &node->first_edge;
        node->takes_bytes = false;
        while (*link != FFAI__NONE) {
            ffai__edge *edge = &p->a->edges[*link];
            if (!leads_on(p, edge)) {
                *link = edge->next;
                continue;
            }
            node->takes_bytes = node->takes_bytes || edge->kind == FFAI__EDGE_BYTES;
            link = &edge->next;
        }
    }
}

static void prune(bool *matches, pruner *p, uint32_t num_rules)
{
    link_edges(p);
    for (uint32_t rule = 0; rule < num_rules; rule++)
        mark(p, p->a->ends[rule]);
    spread(p);
    drop_edges(p);
    *matches = p->productive[p->a->starts[p->a->root]];
}

ffai_status ffai__automaton_prune(bool *matches, ffai__automaton *a, uint32_t num_rules, ffai_error *err)
{
    pruner p = {.a = a};
    p.productive = ffai__calloc(a->num_nodes, sizeof *p.productive);
    p.from = ffai__array(a->num_edges, sizeof *p.from);
    p.next_in = ffai__array(a->num_edges, sizeof *p.next_in);
    p.next_call = ffai__array(a->num_edges, sizeof *p.next_call);
    p.first_in = ffai__array(a->num_nodes, sizeof *p.first_in);
    p.first_call = ffai__array(a->num_nodes, sizeof *p.first_call);
    p.work = ffai__array(a->num_nodes, sizeof *p.work);
    const bool ok = p.productive && p.from && p.next_in && p.next_call && p.first_in && p.first_call && p.work;
    if (ok)
        prune(matches, &p, num_rules);
    ffai__free(p.productive);
    ffai__free(p.from);
    ffai__free(p.next_in);
    ffai__free(p.next_call);
    ffai__free(p.first_in);
    ffai__free(p.first_call);
    ffai__free(p.work);
    return ok ? FFAI_OK : ffai__fail_memory(err, "a grammar", a->num_edges * sizeof *p.from);
}
