#include "states.h"

#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "hash.h"

/* Steps of one closure, and of the union of two sets of stacks: hostile grammars make more. */
enum { WORK_MAX = 1 << 20, UNIONS_REMEMBERED = 1 << 12 };

/* Set of stacks 0 has none. */
#define NO_STACKS 0u

/* A node and a set of stacks: a member of a state, or a frame, whose stacks lie below it. */
typedef struct {
    uint32_t node;
    uint32_t stacks;
} member;

/* A sorted run of members, one a node; both states and sets of stacks are such. */
typedef struct {
    uint32_t first, count;
    uint32_t depth; /* of the deepest stack */
} member_set;

/* Sets by content. */
typedef struct {
    member *members;
    member_set *sets;
    uint32_t *slots; /* hash table of set numbers, at most half full; FFAI__NONE where free */
    uint32_t num_members, num_sets, max_members, max_sets, num_slots;
} pool;

typedef struct {
    uint32_t a, b, both;
} remembered_union;

struct ffai__states {
    const ffai__automaton *automaton;
    size_t limit;
    uint64_t seed;
    pool stacks, states;
    ffai__state *next; /* [states, kinds] */
    uint32_t max_next;
    ffai__state_run *runs; /* [states] */
    uint32_t max_runs;
    /* Of the closure being made. */
    uint32_t *stacks_of; /* [nodes] the stacks a node has, NO_STACKS if it is not in it */
    uint32_t *touched;   /* [nodes] */
    uint32_t *work;      /* nodes to be followed */
    bool *waiting;       /* [nodes] in work */
    uint32_t num_touched, num_work;
    member *scratch; /* members of a set that is being made */
    uint32_t num_scratch, max_scratch;
    uint32_t steps;
    remembered_union *unions; /* [UNIONS_REMEMBERED] */
    ffai_status status;       /* of the call that is going on */
};

/* --- sets by content --- */

static void pool_free(pool *p)
{
    ffai__free(p->members);
    ffai__free(p->sets);
    ffai__free(p->slots);
    *p = (pool){0};
}

static size_t pool_bytes(const pool *p)
{
    return p->num_members * sizeof *p->members + p->num_sets * sizeof *p->sets + p->num_slots * sizeof *p->slots;
}

static uint64_t hash_of(const member *members, uint32_t count, uint64_t seed)
{
    return ffai__hash_bytes((const char *)members, count * sizeof *members, seed);
}

static bool pool_rehash(pool *p, uint64_t seed)
{
    if (p->num_slots > 2 * p->num_sets)
        return true;
    const uint32_t wanted = p->num_slots ? p->num_slots * 2 : 256;
    uint32_t *slots = ffai__array(wanted, sizeof *slots);
    if (!slots)
        return false;
    memset(slots, 0xFF, wanted * sizeof *slots);
    for (uint32_t i = 0; i < p->num_sets; i++) {
        uint64_t at = hash_of(p->members + p->sets[i].first, p->sets[i].count, seed) & (wanted - 1);
        while (slots[at] != FFAI__NONE)
            at = (at + 1) & (wanted - 1);
        slots[at] = i;
    }
    ffai__free(p->slots);
    p->slots = slots;
    p->num_slots = wanted;
    return true;
}

/* The number of the set with these members; *is_new if there was none. FFAI__NONE where memory is short. */
static uint32_t pool_find(pool *p, const member *members, uint32_t count, uint32_t depth, uint64_t seed, bool *is_new)
{
    *is_new = false;
    if (!pool_rehash(p, seed))
        return FFAI__NONE;
    uint64_t at = hash_of(members, count, seed) & (p->num_slots - 1);
    for (; p->slots[at] != FFAI__NONE; at = (at + 1) & (p->num_slots - 1)) {
        const member_set *set = &p->sets[p->slots[at]];
        if (set->count == count && (!count || !memcmp(p->members + set->first, members, count * sizeof *members)))
            return p->slots[at];
    }
    if (!FFAI__GROW(p->members, p->max_members, (uint64_t)p->num_members + count) ||
        !FFAI__GROW(p->sets, p->max_sets, p->num_sets + 1))
        return FFAI__NONE;
    if (count > 0)
        memcpy(p->members + p->num_members, members, count * sizeof *members);
    p->sets[p->num_sets] = (member_set){p->num_members, count, depth};
    p->num_members += count;
    p->slots[at] = p->num_sets;
    *is_new = true;
    return p->num_sets++;
}

/* --- sets of stacks --- */

static void fail(ffai__states *s, ffai_status status)
{
    if (s->status == FFAI_OK)
        s->status = status;
}

static void count_step(ffai__states *s)
{
    if (++s->steps > WORK_MAX)
        fail(s, FFAI_E_LIMIT);
}

static bool push_scratch(ffai__states *s, member m)
{
    if (!FFAI__GROW(s->scratch, s->max_scratch, s->num_scratch + 1)) {
        fail(s, FFAI_E_MEMORY);
        return false;
    }
    s->scratch[s->num_scratch++] = m;
    return true;
}

/* The scratch from `first` on as a set of stacks. */
static uint32_t intern_stacks(ffai__states *s, uint32_t first)
{
    uint32_t depth = 0;
    for (uint32_t i = first; i < s->num_scratch; i++) {
        const uint32_t below = s->stacks.sets[s->scratch[i].stacks].depth;
        depth = below > depth ? below : depth;
    }
    bool is_new = false;
    const uint32_t set = pool_find(&s->stacks, s->scratch + first, s->num_scratch - first, depth + 1, s->seed, &is_new);
    s->num_scratch = first;
    if (set == FFAI__NONE)
        fail(s, FFAI_E_MEMORY);
    return set == FFAI__NONE ? NO_STACKS : set;
}

static uint32_t unite(ffai__states *s, uint32_t a, uint32_t b);

/* Merge two sorted runs. */
static uint32_t unite_members(ffai__states *s, uint32_t a, uint32_t b)
{
    const uint32_t first = s->num_scratch;
    uint32_t i = 0;
    uint32_t j = 0;
    for (;;) { /* pools move as they grow */
        const member_set *left = &s->stacks.sets[a];
        const member_set *right = &s->stacks.sets[b];
        if (s->status != FFAI_OK || (i == left->count && j == right->count))
            break;
        member x = i < left->count ? s->stacks.members[left->first + i] : (member){FFAI__NONE, 0};
        const member y = j < right->count ? s->stacks.members[right->first + j] : (member){FFAI__NONE, 0};
        i += x.node <= y.node;
        j += y.node <= x.node;
        if (x.node == y.node)
            x.stacks = unite(s, x.stacks, y.stacks);
        else if (y.node < x.node)
            x = y;
        push_scratch(s, x);
    }
    return intern_stacks(s, first);
}

static uint32_t unite(ffai__states *s, uint32_t a, uint32_t b)
{
    if (a == b || b == NO_STACKS)
        return a;
    if (a == NO_STACKS)
        return b;
    if (a > b) {
        const uint32_t larger = a;
        a = b;
        b = larger;
    }
    count_step(s);
    if (s->status != FFAI_OK)
        return a;
    remembered_union *known = &s->unions[ffai__hash_fold(a + 1, b ^ s->seed) % UNIONS_REMEMBERED];
    if (known->a == a && known->b == b)
        return known->both;
    const uint32_t both = unite_members(s, a, b);
    if (s->status == FFAI_OK)
        *known = (remembered_union){a, b, both};
    return both;
}

static uint32_t push_frame(ffai__states *s, uint32_t node, uint32_t below)
{
    if (!push_scratch(s, (member){node, below}))
        return NO_STACKS;
    return intern_stacks(s, s->num_scratch - 1);
}

/* --- closures --- */

static void reach(ffai__states *s, uint32_t node, uint32_t stacks)
{
    const uint32_t before = s->stacks_of[node];
    const uint32_t now = unite(s, before, stacks);
    if (s->status != FFAI_OK || now == before)
        return;
    if (before == NO_STACKS)
        s->touched[s->num_touched++] = node;
    s->stacks_of[node] = now;
    if (!s->waiting[node]) {
        s->waiting[node] = true;
        s->work[s->num_work++] = node;
    }
}

static void call_rule(ffai__states *s, const ffai__edge *edge, uint32_t stacks)
{
    const ffai__automaton *a = s->automaton;
    /* A call at the end of a rule returns where that rule does: recursion to the right needs no stack. */
    if (!a->nodes[edge->to].ends_rule) {
        if (s->stacks.sets[stacks].depth >= FFAI__STACK_DEPTH_MAX)
            return;
        stacks = push_frame(s, edge->to, stacks);
    }
    if (s->status == FFAI_OK)
        reach(s, a->starts[edge->rule], stacks);
}

static void return_from_rule(ffai__states *s, uint32_t stacks)
{
    for (uint32_t i = 0; s->status == FFAI_OK && i < s->stacks.sets[stacks].count; i++) {
        const member frame = s->stacks.members[s->stacks.sets[stacks].first + i];
        reach(s, frame.node, frame.node == FFAI__ACCEPT ? stacks : frame.stacks);
    }
}

static void follow(ffai__states *s, uint32_t node)
{
    const ffai__automaton *a = s->automaton;
    const uint32_t stacks = s->stacks_of[node];
    count_step(s);
    if (a->nodes[node].ends_rule)
        return_from_rule(s, stacks);
    for (uint32_t e = a->nodes[node].first_edge; e != FFAI__NONE && s->status == FFAI_OK; e = a->edges[e].next) {
        const ffai__edge *edge = &a->edges[e];
        if (edge->kind == FFAI__EDGE_EMPTY)
            reach(s, edge->to, stacks);
        else if (edge->kind == FFAI__EDGE_CALL)
            call_rule(s, edge, stacks);
    }
}

static int by_node(const void *a, const void *b)
{
    const uint32_t x = ((const member *)a)->node;
    const uint32_t y = ((const member *)b)->node;
    return (x > y) - (x < y);
}

/* What was reached, as members in order: nodes that take bytes, and the end. */
static void gather(ffai__states *s)
{
    s->num_scratch = 0;
    for (uint32_t i = 0; i < s->num_touched && s->status == FFAI_OK; i++) {
        const uint32_t node = s->touched[i];
        if (node == FFAI__ACCEPT)
            push_scratch(s, (member){node, NO_STACKS});
        else if (s->automaton->nodes[node].takes_bytes)
            push_scratch(s, (member){node, s->stacks_of[node]});
    }
    if (s->num_scratch > 1)
        qsort(s->scratch, s->num_scratch, sizeof *s->scratch, by_node);
}

static void check_limit(ffai__states *s)
{
    const size_t rows = s->states.num_sets * (s->automaton->num_kinds * sizeof *s->next + sizeof *s->runs);
    if (pool_bytes(&s->stacks) + pool_bytes(&s->states) + rows > s->limit)
        fail(s, FFAI_E_LIMIT);
}

static ffai__state_run largest_run(const ffai__states *s, ffai__state state)
{
    const member_set *set = &s->states.sets[state];
    ffai__state_run best = {FFAI__NONE, 0};
    uint32_t best_size = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const ffai__automaton_node *node = &s->automaton->nodes[s->states.members[set->first + i].node];
        const bool larger = node->run_size > best_size || (node->run_size == best_size && node->more > best.more);
        if (node->run == FFAI__NONE || node->more == 0 || !larger)
            continue;
        best = (ffai__state_run){node->run, node->more};
        best_size = node->run_size;
    }
    return best;
}

/* Room for a new state's row, of which nothing is known yet. */
static bool add_row(ffai__states *s, ffai__state state)
{
    const uint32_t kinds = s->automaton->num_kinds;
    if (!FFAI__GROW(s->next, s->max_next, ((uint64_t)state + 1) * kinds) ||
        !FFAI__GROW(s->runs, s->max_runs, (uint64_t)state + 1))
        return false;
    memset(s->next + (size_t)state * kinds, state == FFAI__DEAD ? 0 : 0xFF, kinds * sizeof *s->next);
    s->runs[state] = largest_run(s, state);
    return true;
}

/* The state of what was reached and all that it reaches without a byte. */
static ffai__state close_state(ffai__states *s)
{
    while (s->num_work > 0 && s->status == FFAI_OK) {
        const uint32_t node = s->work[--s->num_work];
        s->waiting[node] = false;
        follow(s, node);
    }
    gather(s);
    for (uint32_t i = 0; i < s->num_touched; i++) {
        s->stacks_of[s->touched[i]] = NO_STACKS;
        s->waiting[s->touched[i]] = false;
    }
    s->num_touched = 0;
    s->num_work = 0;
    check_limit(s);
    if (s->status != FFAI_OK)
        return FFAI__DEAD;
    bool is_new = false;
    const ffai__state state = pool_find(&s->states, s->scratch, s->num_scratch, 0, s->seed, &is_new);
    if (state == FFAI__NONE || (is_new && !add_row(s, state))) {
        fail(s, FFAI_E_MEMORY);
        return FFAI__DEAD;
    }
    return state;
}

static void begin(ffai__states *s)
{
    s->status = FFAI_OK;
    s->steps = 0;
    s->num_scratch = 0;
}

static ffai_status told(const ffai__states *s, ffai_error *err)
{
    if (s->status == FFAI_E_LIMIT)
        return ffai__fail(err, FFAI_E_LIMIT,
                          "grammar: it is too ambiguous: what it may go on with takes more than %zu bytes to keep",
                          s->limit);
    return s->status == FFAI_OK ? FFAI_OK : ffai__fail_memory(err, "a grammar's states", pool_bytes(&s->states));
}

/* --- the whole --- */

/* Set of stacks 0, and state 0. */
static void add_first_sets(ffai__states *s)
{
    bool is_new = false;
    begin(s);
    if (pool_find(&s->stacks, NULL, 0, 0, s->seed, &is_new) == FFAI__NONE)
        fail(s, FFAI_E_MEMORY);
    close_state(s);
}

ffai_status ffai__states_create(ffai__states **out, const ffai__automaton *automaton, size_t limit, ffai_error *err)
{
    const size_t nodes = automaton->num_nodes;
    ffai__states *s = ffai__calloc(1, sizeof *s);
    if (!s)
        return ffai__fail_memory(err, "a grammar's states", sizeof *s);
    s->automaton = automaton;
    s->limit = limit;
    s->seed = (uint64_t)(uintptr_t)s;
    s->stacks_of = ffai__calloc(nodes, sizeof *s->stacks_of);
    s->touched = ffai__calloc(nodes, sizeof *s->touched);
    s->work = ffai__calloc(nodes, sizeof *s->work);
    s->waiting = ffai__calloc(nodes, sizeof *s->waiting);
    s->unions = ffai__calloc(UNIONS_REMEMBERED, sizeof *s->unions);
    s->status = FFAI_E_MEMORY;
    if (s->stacks_of && s->touched && s->work && s->waiting && s->unions)
        add_first_sets(s);
    const ffai_status status = told(s, err);
    if (status != FFAI_OK) {
        ffai__states_free(s);
        return status;
    }
    *out = s;
    return FFAI_OK;
}

void ffai__states_free(ffai__states *s)
{
    if (!s)
        return;
    pool_free(&s->stacks);
    pool_free(&s->states);
    ffai__free(s->next);
    ffai__free(s->runs);
    ffai__free(s->stacks_of);
    ffai__free(s->touched);
    ffai__free(s->work);
    ffai__free(s->waiting);
    ffai__free(s->scratch);
    ffai__free(s->unions);
    ffai__free(s);
}

ffai_status ffai__states_start(ffai__state *out, ffai__states *s, ffai_error *err)
{
    begin(s);
    const uint32_t bottom = push_frame(s, FFAI__ACCEPT, NO_STACKS);
    if (s->status == FFAI_OK)
        reach(s, s->automaton->starts[s->automaton->root], bottom);
    *out = close_state(s);
    return told(s, err);
}

/* Whether the state's edges take both bytes or neither, each of them. */
static bool same_edges(const ffai__states *s, const member_set *set, unsigned a, unsigned b)
{
    const ffai__automaton *automaton = s->automaton;
    for (uint32_t i = 0; i < set->count; i++) {
        const uint32_t node = s->states.members[set->first + i].node;
        for (uint32_t e = automaton->nodes[node].first_edge; e != FFAI__NONE; e = automaton->edges[e].next) {
            const ffai__edge *edge = &automaton->edges[e];
            if (edge->kind == FFAI__EDGE_BYTES &&
                ffai__byte_set_has(&edge->bytes, a) != ffai__byte_set_has(&edge->bytes, b))
                return false;
        }
    }
    return true;
}

/* What is known of one byte is known of all that the state's edges do not tell from it: it costs less to look than to
 * step again. */
static void note_step(ffai__states *s, ffai__state from, unsigned byte, ffai__state to)
{
    enum { WORTH_MEMBERS = 16 };
    const ffai__automaton *a = s->automaton;
    const member_set *set = &s->states.sets[from];
    ffai__state *row = s->next + (size_t)from * a->num_kinds;
    row[a->kind_of[byte]] = to;
    for (uint32_t kind = 0; set->count <= WORTH_MEMBERS && kind < a->num_kinds; kind++) {
        if (row[kind] == FFAI__UNKNOWN && same_edges(s, set, byte, a->example[kind]))
            row[kind] = to;
    }
}

ffai_status ffai__states_step(ffai__state *out, ffai__states *s, ffai__state from, unsigned byte, ffai_error *err)
{
    const ffai__automaton *a = s->automaton;
    const size_t entry = (size_t)from * a->num_kinds + a->kind_of[byte];
    *out = s->next[entry];
    if (*out != FFAI__UNKNOWN)
        return FFAI_OK;
    begin(s);
    for (uint32_t i = 0; i < s->states.sets[from].count; i++) {
        const member m = s->states.members[s->states.sets[from].first + i];
        for (uint32_t e = a->nodes[m.node].first_edge; e != FFAI__NONE && s->status == FFAI_OK; e = a->edges[e].next) {
            const ffai__edge *edge = &a->edges[e];
            if (edge->kind == FFAI__EDGE_BYTES && ffai__byte_set_has(&edge->bytes, byte))
                reach(s, edge->to, m.stacks);
        }
    }
    *out = close_state(s);
    FFAI__TRY(told(s, err));
    note_step(s, from, byte, *out);
    return FFAI_OK;
}

/* Copy a set of stacks and what lies below it from one pool to another, deepest first. */
static uint32_t move_stacks(ffai__states *s, const pool *from, uint32_t set, uint32_t *moved)
{
    if (set == NO_STACKS || moved[set] != NO_STACKS || s->status != FFAI_OK)
        return set == NO_STACKS ? NO_STACKS : moved[set];
    const uint32_t first = s->num_scratch;
    for (uint32_t i = 0; i < from->sets[set].count; i++) {
        const member m = from->members[from->sets[set].first + i];
        push_scratch(s, (member){m.node, move_stacks(s, from, m.stacks, moved)});
    }
    moved[set] = intern_stacks(s, first);
    return moved[set];
}

static void forget(ffai__states *s, ffai__state *kept, const pool *stacks, const pool *states, uint32_t *moved)
{
    memset(s->unions, 0, UNIONS_REMEMBERED * sizeof *s->unions);
    add_first_sets(s);
    for (uint32_t i = 0; i < states->sets[*kept].count && s->status == FFAI_OK; i++) {
        const member m = states->members[states->sets[*kept].first + i];
        const uint32_t below =
            m.node == FFAI__ACCEPT ? push_frame(s, FFAI__ACCEPT, NO_STACKS) : move_stacks(s, stacks, m.stacks, moved);
        if (s->status == FFAI_OK)
            reach(s, m.node, below);
    }
    *kept = close_state(s);
}

ffai_status ffai__states_forget(ffai__state *kept, ffai__states *s, ffai_error *err)
{
    pool stacks = s->stacks;
    pool states = s->states;
    uint32_t *moved = ffai__calloc(stacks.num_sets, sizeof *moved);
    if (!moved)
        return ffai__fail_memory(err, "a grammar's states", stacks.num_sets * sizeof *moved);
    s->stacks = (pool){0};
    s->states = (pool){0};
    forget(s, kept, &stacks, &states, moved);
    pool_free(&stacks);
    pool_free(&states);
    ffai__free(moved);
    return told(s, err);
}

bool ffai__states_may_end(const ffai__states *s, ffai__state state)
{
    const member_set *set = &s->states.sets[state];
    return set->count > 0 && s->states.members[set->first].node == FFAI__ACCEPT;
}

bool ffai__states_must_end(const ffai__states *s, ffai__state state)
{
    return ffai__states_may_end(s, state) && s->states.sets[state].count == 1;
}

/* Add an edge's bytes, as far as they are in the set; false if one of them was there. */
static bool add_taken(ffai__byte_set *taken, const ffai__byte_set *bytes, const ffai__edge *edge)
{
    bool apart = true;
    for (int i = 0; i < 4 && edge->kind == FFAI__EDGE_BYTES; i++) {
        const uint64_t more = edge->bytes.bits[i] & bytes->bits[i];
        apart = apart && !(taken->bits[i] & more);
        taken->bits[i] |= more;
    }
    return apart;
}

ffai__run_edges ffai__states_run_edges(const ffai__states *s, ffai__state state, const ffai__byte_set *bytes)
{
    const ffai__automaton *a = s->automaton;
    const member_set *set = &s->states.sets[state];
    const ffai__byte_set empty = {{0}};
    ffai__byte_set taken = empty;
    bool alone = true;
    for (uint32_t i = 0; i < set->count; i++) {
        const ffai__automaton_node *node = &a->nodes[s->states.members[set->first + i].node];
        const bool is_run = node->run != FFAI__NONE && node->run == s->runs[state].set;
        const ffai__byte_set before = taken;
        for (uint32_t e = node->first_edge; e != FFAI__NONE; e = a->edges[e].next)
            alone = add_taken(&taken, bytes, &a->edges[e]) && alone;
        alone = alone && (is_run || memcmp(&before, &taken, sizeof taken) == 0);
    }
    if (memcmp(&taken, &empty, sizeof taken) == 0)
        return FFAI__RUN_EDGES_NONE;
    return alone ? FFAI__RUN_EDGES_ALONE : FFAI__RUN_EDGES_MIXED;
}

uint32_t ffai__states_count(const ffai__states *s)
{
    return s->states.num_sets;
}

ffai__state_view ffai__states_view(const ffai__states *s)
{
    return (ffai__state_view){s->next, s->runs, s->automaton->kind_of, s->automaton->num_kinds};
}
