#include "automaton.h"

#include <string.h>

#include "grow.h"
#include "hash.h"
#include "productive.h"
#include "utf8_edges.h"

/* Ends of characters that lead to the same node by the same bytes are shared. */
enum { TAILS_MAX = 64, KNOWN_SETS = 64 };

typedef struct {
    uint8_t first, last;
    uint32_t node, to;
} tail;

typedef struct {
    ffai__automaton *a;
    const ffai__rules *rules;
    ffai_status status;
    /* Of the set of characters whose edges are being made. */
    tail tails[TAILS_MAX];
    uint32_t num_tails;
    uint32_t from, to;
} builder;

static bool fail(builder *b, ffai_status status)
{
    if (b->status == FFAI_OK)
        b->status = status;
    return false;
}

static uint32_t add_node(builder *b)
{
    ffai__automaton *a = b->a;
    if (a->num_nodes >= FFAI__NODES_MAX)
        fail(b, FFAI_E_LIMIT);
    else if (!FFAI__GROW(a->nodes, a->max_nodes, a->num_nodes + 1))
        fail(b, FFAI_E_MEMORY);
    if (b->status != FFAI_OK)
        return FFAI__ACCEPT;
    a->nodes[a->num_nodes] = (ffai__automaton_node){.first_edge = FFAI__NONE, .run = FFAI__NONE};
    return a->num_nodes++;
}

static void add_edge(builder *b, uint32_t from, ffai__edge edge)
{
    ffai__automaton *a = b->a;
    if (a->num_edges >= 8U * FFAI__NODES_MAX)
        fail(b, FFAI_E_LIMIT);
    else if (b->status == FFAI_OK && !FFAI__GROW(a->edges, a->max_edges, a->num_edges + 1))
        fail(b, FFAI_E_MEMORY);
    if (b->status != FFAI_OK)
        return;
    edge.next = a->nodes[from].first_edge;
    a->nodes[from].first_edge = a->num_edges;
    a->nodes[from].takes_bytes = a->nodes[from].takes_bytes || edge.kind == FFAI__EDGE_BYTES;
    a->edges[a->num_edges++] = edge;
}

static void add_empty(builder *b, uint32_t from, uint32_t to)
{
    if (from != to)
        add_edge(b, from, (ffai__edge){.kind = FFAI__EDGE_EMPTY, .to = to});
}

/* An edge for these bytes, one with others between the same nodes if that was made last. */
static void add_bytes(builder *b, uint32_t from, uint32_t to, unsigned first, unsigned last)
{
    const uint32_t latest = b->status == FFAI_OK ? b->a->nodes[from].first_edge : FFAI__NONE;
    if (latest != FFAI__NONE && latest + 1 == b->a->num_edges) {
        ffai__edge *edge = &b->a->edges[latest];
        if (edge->kind == FFAI__EDGE_BYTES && edge->to == to) {
            ffai__byte_set_add(&edge->bytes, first, last);
            return;
        }
    }
    ffai__edge edge = {.kind = FFAI__EDGE_BYTES, .to = to};
    ffai__byte_set_add(&edge.bytes, first, last);
    add_edge(b, from, edge);
}

/* A node from which a byte from first to last leads to `to`. */
static uint32_t tail_node(builder *b, uint8_t first, uint8_t last, uint32_t to)
{
    for (uint32_t i = 0; i < b->num_tails; i++) {
        const tail *t = &b->tails[i];
        if (t->first == first && t->last == last && t->to == to)
            return t->node;
    }
    const uint32_t node = add_node(b);
    add_bytes(b, node, to, first, last);
    if (b->num_tails < TAILS_MAX)
        b->tails[b->num_tails++] = (tail){first, last, node, to};
    return node;
}

static bool take_ranges(void *context, const ffai__byte_ranges *ranges)
{
    builder *b = context;
    uint32_t to = b->to;
    for (int i = ranges->length - 1; i > 0; i--)
        to = tail_node(b, ranges->first[i], ranges->last[i], to);
    add_bytes(b, b->from, to, ranges->first[0], ranges->last[0]);
    return b->status == FFAI_OK;
}

static void build_characters(builder *b, const ffai__characters *set, uint32_t from, uint32_t to)
{
    b->num_tails = 0;
    b->from = from;
    b->to = to;
    for (size_t i = 0; i < set->count; i++) {
        if (!ffai__utf8_ranges(set->ranges[i].first, set->ranges[i].last, take_ranges, b))
            return;
    }
}

static void build(builder *b, ffai__expression expression, uint32_t from, uint32_t to);

static void build_literal(builder *b, const ffai__expression_node *e, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < e->count && b->status == FFAI_OK; i++) {
        const uint32_t next = i + 1 < e->count ? add_node(b) : to;
        const unsigned byte = (unsigned char)b->rules->bytes[e->first + i];
        add_bytes(b, from, next, byte, byte);
        from = next;
    }
}

static void build_sequence(builder *b, const ffai__expression_node *e, uint32_t from, uint32_t to)
{
    uint32_t last = e->count;
    while (b->rules->parts[e->first + last - 1] == FFAI__EMPTY)
        last--;
    for (uint32_t i = 0; i < last && b->status == FFAI_OK; i++) {
        const uint32_t next = i + 1 < last ? add_node(b) : to;
        build(b, b->rules->parts[e->first + i], from, next);
        from = next;
    }
}

/* The largest set of characters each of which the expression matches, or FFAI__NONE. */
static uint32_t run_of(const ffai__rules *r, ffai__expression expression)
{
    const ffai__expression_node *e = &r->nodes[expression];
    if (e->kind == FFAI__EXPRESSION_CHARACTERS)
        return e->first;
    uint32_t best = FFAI__NONE;
    for (uint32_t i = 0; e->kind == FFAI__EXPRESSION_CHOICE && i < e->count; i++) {
        const ffai__expression_node *part = &r->nodes[r->parts[e->first + i]];
        if (part->kind != FFAI__EXPRESSION_CHARACTERS)
            continue;
        if (best == FFAI__NONE || ffai__characters_size(&r->sets[part->first]) > ffai__characters_size(&r->sets[best]))
            best = part->first;
    }
    return best;
}

/* A node at which a repetition goes on. */
static uint32_t add_turn(builder *b, uint32_t run, uint32_t more)
{
    const uint32_t node = add_node(b);
    if (b->status == FFAI_OK && run != FFAI__NONE) {
        b->a->nodes[node].run = run;
        b->a->nodes[node].run_size = ffai__characters_size(&b->rules->sets[run]);
        b->a->nodes[node].more = more;
    }
    return node;
}

static void build_repeat(builder *b, const ffai__expression_node *e, uint32_t from, uint32_t to)
{
    const uint32_t run = run_of(b->rules, e->first);
    const bool limited = e->max != FFAI__UNLIMITED;
    const uint32_t turns = limited ? e->max : e->min;
    uint32_t node = add_turn(b, run, e->max);
    add_empty(b, from, node);
    for (uint32_t i = 0; i < turns && b->status == FFAI_OK; i++) {
        if (i >= e->min)
            add_empty(b, node, to);
        const uint32_t next = add_turn(b, run, limited ? e->max - i - 1 : FFAI__UNLIMITED);
        build(b, e->first, node, next);
        node = next;
    }
    if (!limited)
        build(b, e->first, node, node);
    add_empty(b, node, to);
}

/* A node for each state that leads somewhere. */
static void build_table(builder *b, const ffai__table *table, uint32_t from, uint32_t to)
{
    const uint32_t base = b->a->num_nodes;
    for (uint32_t state = 1; state < table->count && b->status == FFAI_OK; state++)
        add_node(b);
    if (b->status != FFAI_OK)
        return;
    add_empty(b, from, base);
    for (uint32_t state = 1; state < table->count; state++) {
        const uint32_t *next = table->next + (size_t)state * 256;
        if (table->ends[state])
            add_empty(b, base + state - 1, to);
        for (unsigned byte = 0; byte < 256; byte++) {
            unsigned last = byte;
            while (last < 255 && next[last + 1] == next[byte])
                last++;
            if (next[byte] != 0)
                add_bytes(b, base + state - 1, base + next[byte] - 1, byte, last);
            byte = last;
        }
    }
}

/* What leads from one node to another by what the expression matches. No edge leads back to `from`. */
static void build(builder *b, ffai__expression expression, uint32_t from, uint32_t to)
{
    const ffai__expression_node *e = &b->rules->nodes[expression];
    switch (e->kind) {
    case FFAI__EXPRESSION_NEVER:
        break;
    case FFAI__EXPRESSION_EMPTY:
        add_empty(b, from, to);
        break;
    case FFAI__EXPRESSION_LITERAL:
        build_literal(b, e, from, to);
        break;
    case FFAI__EXPRESSION_CHARACTERS:
        build_characters(b, &b->rules->sets[e->first], from, to);
        break;
    case FFAI__EXPRESSION_SEQUENCE:
        build_sequence(b, e, from, to);
        break;
    case FFAI__EXPRESSION_CHOICE:
        for (uint32_t i = 0; i < e->count && b->status == FFAI_OK; i++)
            build(b, b->rules->parts[e->first + i], from, to);
        break;
    case FFAI__EXPRESSION_REPEAT:
        build_repeat(b, e, from, to);
        break;
    case FFAI__EXPRESSION_CALL:
        add_edge(b, from, (ffai__edge){.kind = FFAI__EDGE_CALL, .rule = e->first, .to = to});
        break;
    case FFAI__EXPRESSION_TABLE:
        build_table(b, &b->rules->tables[e->first], from, to);
        break;
    }
}

static void build_rule(builder *b, uint32_t rule, ffai__expression body)
{
    b->a->starts[rule] = add_node(b);
    b->a->ends[rule] = add_node(b);
    if (b->status != FFAI_OK)
        return;
    b->a->nodes[b->a->ends[rule]].ends_rule = true;
    build(b, body, b->a->starts[rule], b->a->ends[rule]);
}

/* --- what a rule begins with --- */

typedef struct {
    const ffai__automaton *a;
    bool *nullable; /* [rules] matches the empty text */
    uint32_t *seen; /* [nodes] the search that came here last */
    uint32_t *stack;
    uint32_t search;
} beginnings;

/* Visit the nodes that `rule` reaches without a byte; visit, where given, hears of the rules called there. True if its
 * end is one of them. */
static bool explore(beginnings *g, uint32_t rule, bool (*visit)(void *context, uint32_t called), void *context)
{
    const ffai__automaton *a = g->a;
    uint32_t depth = 0;
    g->search++;
    g->stack[depth++] = a->starts[rule];
    g->seen[a->starts[rule]] = g->search;
    while (depth > 0) {
        const uint32_t node = g->stack[--depth];
        for (uint32_t e = a->nodes[node].first_edge; e != FFAI__NONE; e = a->edges[e].next) {
            const ffai__edge *edge = &a->edges[e];
            if (edge->kind == FFAI__EDGE_BYTES)
                continue;
            if (edge->kind == FFAI__EDGE_CALL && visit && !visit(context, edge->rule))
                return false;
            if (edge->kind == FFAI__EDGE_CALL && !g->nullable[edge->rule])
                continue;
            if (g->seen[edge->to] != g->search) {
                g->seen[edge->to] = g->search;
                g->stack[depth++] = edge->to;
            }
        }
    }
    return g->seen[a->ends[rule]] == g->search;
}

/* Until nothing changes; from the last rule on, because rules call mostly later ones. FFAI__RULES_MAX bounds it. */
static void find_nullable(beginnings *g, uint32_t num_rules)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t rule = num_rules; rule-- > 0;) {
            if (g->nullable[rule] || !explore(g, rule, NULL, NULL))
                continue;
            g->nullable[rule] = true;
            changed = true;
        }
    }
}

/* Rules left to call at the beginning of each: those whose count comes to 0 recurse nowhere. */
typedef struct {
    uint32_t *calls; /* pairs: caller, called */
    uint32_t count, capacity;
    uint32_t caller;
} call_list;

static bool note_call(void *context, uint32_t called)
{
    call_list *list = context;
    if (!FFAI__GROW(list->calls, list->capacity, (uint64_t)list->count + 2))
        return false;
    list->calls[list->count++] = list->caller;
    list->calls[list->count++] = called;
    return true;
}

/* A rule that lies on a circle of calls, or FFAI__NONE: rules that call none, or only such, are put aside one after
 * the other. */
static uint32_t find_circle(const call_list *list, bool *aside, uint32_t num_rules)
{
    if (!list->calls)
        return FFAI__NONE;
    memset(aside, 0, num_rules);
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t rule = num_rules, at = list->count; rule-- > 0;) {
            bool calls = false;
            for (; at > 0 && list->calls[at - 2] == rule; at -= 2)
                calls = calls || !aside[list->calls[at - 1]];
            if (!calls && !aside[rule]) {
                aside[rule] = true;
                changed = true;
            }
        }
    }
    /* What is left calls others that are left: following them leads round. */
    uint32_t rule = 0;
    while (rule < num_rules && aside[rule])
        rule++;
    if (rule == num_rules)
        return FFAI__NONE;
    for (uint32_t step = 0; step < num_rules; step++) {
        uint32_t at = 0;
        while (list->calls[at] != rule || aside[list->calls[at + 1]])
            at += 2;
        rule = list->calls[at + 1];
    }
    return rule;
}

static ffai_status check_beginnings(beginnings *g, const ffai__rules *rules, ffai_error *err)
{
    call_list list = {0};
    find_nullable(g, rules->num_rules);
    bool complete = true;
    for (uint32_t rule = 0; rule < rules->num_rules && complete; rule++) {
        list.caller = rule;
        const uint32_t before = list.count;
        explore(g, rule, note_call, &list);
        complete = list.calls || list.count == before;
    }
    ffai_status status = FFAI_OK;
    bool *aside = ffai__calloc(rules->num_rules, sizeof *aside);
    if (!aside) {
        status = ffai__fail_memory(err, "a grammar", rules->num_rules);
    } else {
        const uint32_t rule = find_circle(&list, aside, rules->num_rules);
        if (rule != FFAI__NONE)
            status = ffai__fail(err, FFAI_E_UNSUPPORTED,
                                "grammar: rule \"%.100s\" calls itself before it takes anything (left recursion): "
                                "write it with a repetition",
                                rules->rules[rule].name);
    }
    ffai__free(aside);
    ffai__free(list.calls);
    return status;
}

static ffai_status check_recursion(const ffai__automaton *a, const ffai__rules *rules, ffai_error *err)
{
    beginnings g = {.a = a};
    g.nullable = ffai__calloc(rules->num_rules, sizeof *g.nullable);
    g.seen = ffai__calloc(a->num_nodes, sizeof *g.seen);
    g.stack = ffai__array(a->num_nodes, sizeof *g.stack);
    ffai_status status = FFAI_OK;
    if (!g.nullable || !g.seen || !g.stack)
        status = ffai__fail_memory(err, "a grammar", a->num_nodes * sizeof *g.seen);
    else
        status = check_beginnings(&g, rules, err);
    ffai__free(g.nullable);
    ffai__free(g.seen);
    ffai__free(g.stack);
    return status;
}

/* --- the whole --- */

/* Whether this set was met lately; grammars have few that differ. */
static bool is_known(ffai__byte_set *known, const ffai__byte_set *set)
{
    const uint64_t hash = ffai__hash_bytes((const char *)set, sizeof *set, 0);
    ffai__byte_set *place = &known[hash % KNOWN_SETS];
    if (memcmp(place, set, sizeof *set) == 0)
        return true;
    *place = *set;
    return false;
}

static void split_kinds(ffai__automaton *a, const ffai__byte_set *set)
{
    bool in[256] = {false};
    bool out[256] = {false};
    uint16_t with[256];
    for (unsigned byte = 0; byte < 256; byte++)
        *(ffai__byte_set_has(set, byte) ? &in[a->kind_of[byte]] : &out[a->kind_of[byte]]) = true;
    for (unsigned kind = 0, count = a->num_kinds; kind < count; kind++)
        with[kind] = (uint16_t)(in[kind] && out[kind] ? a->num_kinds++ : kind);
    for (unsigned byte = 0; byte < 256; byte++) {
        if (ffai__byte_set_has(set, byte))
            a->kind_of[byte] = (uint8_t)with[a->kind_of[byte]];
    }
}

/* Bytes are of one kind until an edge takes one and not the other. */
static void find_kinds(ffai__automaton *a)
{
    ffai__byte_set known[KNOWN_SETS] = {{{0}}};
    a->num_kinds = 1;
    for (uint32_t e = 0; e < a->num_edges && a->num_kinds < 256; e++) {
        if (a->edges[e].kind == FFAI__EDGE_BYTES && !is_known(known, &a->edges[e].bytes))
            split_kinds(a, &a->edges[e].bytes);
    }
    for (unsigned byte = 0; byte < 256; byte++)
        a->example[a->kind_of[byte]] = (uint8_t)byte;
}

static ffai_status build_status(const builder *b, ffai_error *err)
{
    if (b->status == FFAI_E_LIMIT)
        return ffai__fail(err, FFAI_E_LIMIT,
                          "grammar: more than %d states: repetitions such as {1,100000} multiply what they repeat",
                          FFAI__NODES_MAX);
    return b->status == FFAI_OK ? FFAI_OK : ffai__fail_memory(err, "a grammar", b->a->num_nodes * sizeof *b->a->nodes);
}

/* All rules, or where there is `single`, it alone. */
static ffai_status build_all(builder *b, const ffai__expression *single, ffai_error *err)
{
    const ffai__rules *rules = b->rules;
    const uint32_t count = single ? 1 : rules->num_rules;
    add_node(b);
    b->a->starts = ffai__calloc(count, sizeof *b->a->starts);
    b->a->ends = ffai__calloc(count, sizeof *b->a->ends);
    if (!b->a->starts || !b->a->ends)
        return ffai__fail_memory(err, "a grammar", count * sizeof *b->a->starts);
    for (uint32_t rule = 0; rule < count && b->status == FFAI_OK; rule++)
        build_rule(b, rule, single ? *single : rules->rules[rule].body);
    FFAI__TRY(build_status(b, err));
    find_kinds(b->a);
    bool matches = false;
    if (!single)
        FFAI__TRY(check_recursion(b->a, rules, err));
    FFAI__TRY(ffai__automaton_prune(&matches, b->a, count, err));
    if (single || matches)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_UNSUPPORTED, "grammar: no text follows it: what it asks for contradicts itself");
}

static ffai_status create(ffai__automaton **out, const ffai__rules *rules, uint32_t root,
                          const ffai__expression *single, ffai_error *err)
{
    FFAI__TRY(ffai__rules_check(rules, err));
    ffai__automaton *a = ffai__calloc(1, sizeof *a);
    if (!a)
        return ffai__fail_memory(err, "a grammar", sizeof *a);
    builder b = {.a = a, .rules = rules};
    a->root = root;
    const ffai_status status = build_all(&b, single, err);
    if (status != FFAI_OK) {
        ffai__automaton_free(a);
        return status;
    }
    *out = a;
    return FFAI_OK;
}

ffai_status ffai__automaton_build(ffai__automaton **out, const ffai__rules *rules, uint32_t root, ffai_error *err)
{
    return create(out, rules, root, NULL, err);
}

ffai_status ffai__automaton_of(ffai__automaton **out, const ffai__rules *rules, ffai__expression expression,
                               ffai_error *err)
{
    return create(out, rules, 0, &expression, err);
}

void ffai__automaton_free(ffai__automaton *a)
{
    if (!a)
        return;
    ffai__free(a->nodes);
    ffai__free(a->edges);
    ffai__free(a->starts);
    ffai__free(a->ends);
    ffai__free(a);
}
