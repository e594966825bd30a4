#include <ffai/grammar.h>

#include <string.h>

#include "grammar.h"
#include "grow.h"
#include "run_index.h"
#include "states.h"
#include "token_trie.h"

enum {
    STATES_LIMIT = 64 << 20, /* bytes of states, and of masks, that are kept */
    MASKS_LIMIT = 64 << 20,
    RUNS_MAX = 16,     /* sets of characters with an index */
    RUN_SIZE_MIN = 16, /* and how many characters are worth one */
};

struct ffai_matcher {
    const ffai_grammar *grammar;
    const ffai_token_trie *trie;
    ffai__states *states;
    ffai__state state;
    bool at_start;
    ffai__run_index runs[RUNS_MAX];
    const ffai__characters *run_sets[RUNS_MAX];
    uint32_t num_runs;
    uint32_t *run_of_set; /* [sets of the grammar] FFAI__NONE: no index */
    uint32_t num_words;
    /* Masks by state. */
    uint32_t **masks; /* [max_states] NULL where none was asked for */
    uint32_t max_states;
    size_t masks_size;
    uint8_t *run_is_all; /* [max_known] by state, a verdict */
    uint32_t max_known;
    uint32_t *start_mask; /* of the text's beginning, where the decoder takes spaces off */
    /* The way from the trie's root. */
    ffai__state *path;   /* [depth + 1] */
    uint32_t *path_ends; /* [depth + 1] */
};

/* --- masks --- */

/* What is known of a state: whether nothing but its run takes characters of the run's set. */
typedef enum { NOT_KNOWN, ALL, NOT_ALL } verdict;

static void drop_masks(ffai_matcher *m)
{
    for (uint32_t i = 0; i < m->max_states; i++) {
        ffai__free(m->masks[i]);
        m->masks[i] = NULL;
    }
    ffai__free(m->start_mask);
    m->start_mask = NULL;
    if (m->run_is_all)
        memset(m->run_is_all, NOT_KNOWN, m->max_known);
    m->masks_size = 0;
}

/* All states but the current one are forgotten, with their masks. */
static ffai_status forget(ffai_matcher *m, ffai_error *err)
{
    drop_masks(m);
    return ffai__states_forget(&m->state, m->states, err);
}

static ffai_status step(ffai__state *out, ffai_matcher *m, ffai__state from, unsigned byte, ffai_error *err)
{
    const ffai__state_view view = ffai__states_view(m->states);
    *out = view.next[(size_t)from * view.num_kinds + view.kind_of[byte]];
    return *out == FFAI__UNKNOWN ? ffai__states_step(out, m->states, from, byte, err) : FFAI_OK;
}

/* The index of a state's run, or NULL. */
static inline const ffai__run_index *index_of(const ffai_matcher *m, ffai__state_run run)
{
    const uint32_t index = run.set == FFAI__NONE ? FFAI__NONE : m->run_of_set[run.set];
    return index == FFAI__NONE ? NULL : &m->runs[index];
}

static void set_tokens(uint32_t *mask, const ffai_token_trie *trie, const ffai__trie_node *node)
{
    for (uint32_t i = node->first_token; i < node[1].first_token; i++)
        mask[trie->sorted[i] / 32] |= 1U << trie->sorted[i] % 32;
}

/* What a search of the trie begins with. */
typedef struct {
    uint32_t first, end; /* its nodes: the children of one, all that lie below it */
    ffai__state state;
    uint32_t except; /* a node that is left out with all below it, or FFAI__NONE */
    const ffai__run_index *run;
    uint32_t more;
    bool run_is_all; /* nothing but the run takes characters of its set */
} search;

/* Whether a state's run takes all that lies below a node, and something does. */
static inline bool run_covers(const ffai_matcher *m, ffai__state_run run, uint32_t node)
{
    const ffai__run_index *index = index_of(m, run);
    if (!index || m->trie->nodes[node].end == node + 1)
        return false;
    return index->below[node] < FFAI__RUN_OTHER && index->below[node] <= run.more;
}

static void set_subtree(uint32_t *mask, const ffai_token_trie *trie, uint32_t node)
{
    const uint32_t end = trie->nodes[trie->nodes[node].end].first_token;
    for (uint32_t i = trie->nodes[node].first_token; i < end; i++)
        mask[trie->sorted[i] / 32] |= 1U << trie->sorted[i] % 32;
}

/* Set the tokens that lead from a state on. Nodes come in order; those below one that leads nowhere are passed over. */
static ffai_status search_trie(uint32_t *mask, ffai_matcher *m, const search *s, ffai_error *err)
{
    const ffai_token_trie *trie = m->trie;
    const uint8_t *longest = s->run ? s->run->longest : NULL;
    const uint32_t more = s->run_is_all ? FFAI__RUN_OTHER - 1 : s->more;
    uint32_t depth = 0;
    m->path[0] = s->state;
    m->path_ends[0] = s->end;
    ffai__state_view view = ffai__states_view(m->states);
    for (uint32_t n = s->first; n < s->end;) {
        const ffai__trie_node *node = &trie->nodes[n];
        while (n >= m->path_ends[depth])
            depth--;
        if ((longest && longest[n] <= more) || n == s->except) { /* masks have them */
            n = node->end;
            continue;
        }
        ffai__state next = view.next[(size_t)m->path[depth] * view.num_kinds + view.kind_of[node->byte]];
        if (next == FFAI__UNKNOWN) {
            FFAI__TRY(ffai__states_step(&next, m->states, m->path[depth], node->byte, err));
            view = ffai__states_view(m->states);
        }
        if (next == FFAI__DEAD) {
            n = node->end;
            continue;
        }
        if (run_covers(m, view.runs[next], n)) {
            set_subtree(mask, trie, n);
            n = node->end;
            continue;
        }
        set_tokens(mask, trie, node);
        m->path[++depth] = next;
        m->path_ends[depth] = node->end;
        n++;
    }
    return FFAI_OK;
}

/* Whether a state's run alone takes characters of its set, and nothing does behind it: then tokens of such characters
 * that are longer than the run may not come, and need not be looked at. It is so where it is so of the state behind the
 * next character. */
static ffai_status note_verdicts(ffai_matcher *m, const ffai__state *chain, uint32_t count, verdict is_all,
                                 ffai_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t before = m->max_known;
        if (!FFAI__GROW(m->run_is_all, m->max_known, (uint64_t)chain[i] + 1))
            return ffai__fail_memory(err, "token masks", chain[i]);
        memset(m->run_is_all + before, NOT_KNOWN, m->max_known - before);
        m->run_is_all[chain[i]] = (uint8_t)is_all;
    }
    return FFAI_OK;
}

static ffai_status find_verdict(bool *is_all, ffai_matcher *m, ffai__state state, ffai__state_run run, ffai_error *err)
{
    const ffai__run_index *index = index_of(m, run);
    ffai__state chain[FFAI__RUN_LENGTHS];
    uint32_t count = 0;
    verdict found = NOT_KNOWN;
    if (run.more > FFAI__RUN_LENGTHS)
        return FFAI_OK;
    for (uint32_t more = run.more; more > 0 && found == NOT_KNOWN; more--) {
        const ffai__state_run here = ffai__states_view(m->states).runs[state];
        found = state < m->max_known ? m->run_is_all[state] : NOT_KNOWN;
        if (found == NOT_KNOWN && (here.set != run.set || here.more != more ||
                                   ffai__states_run_edges(m->states, state, &index->firsts) != FFAI__RUN_EDGES_ALONE))
            found = NOT_ALL;
        chain[count++] = state;
        for (uint32_t i = 0; i < index->example_size; i++)
            FFAI__TRY(step(&state, m, state, (unsigned char)index->example[i], err));
    }
    if (found == NOT_KNOWN)
        found = ffai__states_run_edges(m->states, state, &index->firsts) == FFAI__RUN_EDGES_NONE ? ALL : NOT_ALL;
    *is_all = found == ALL;
    return note_verdicts(m, chain, count, found, err);
}

static void set_end_tokens(uint32_t *mask, const ffai_matcher *m)
{
    for (size_t i = 0; i < m->trie->num_end_tokens; i++) {
        const int32_t id = m->trie->end_tokens[i];
        if (id < m->trie->vocab_size)
            mask[id / 32] |= 1U << id % 32;
    }
}

static ffai_status fill_mask(uint32_t *mask, ffai_matcher *m, ffai_error *err)
{
    search s = {.first = 1, .end = m->trie->num_nodes, .state = m->state, .except = FFAI__NONE};
    memset(mask, 0, m->num_words * sizeof *mask);
    const ffai__state_run run = ffai__states_view(m->states).runs[m->state];
    s.run = index_of(m, run);
    s.more = run.more;
    if (s.run)
        FFAI__TRY(find_verdict(&s.run_is_all, m, m->state, run, err));
    if (s.run)
        memcpy(mask, ffai__run_index_mask(&s.more, s.run), m->num_words * sizeof *mask);
    FFAI__TRY(search_trie(mask, m, &s, err));
    if (ffai__states_may_end(m->states, m->state))
        set_end_tokens(mask, m);
    return FFAI_OK;
}

/* At the beginning of a text that loses its first space: tokens that begin with one are what is behind it. */
static ffai_status fill_start_mask(uint32_t *mask, ffai_matcher *m, ffai_error *err)
{
    const ffai_token_trie *trie = m->trie;
    search s = {.first = 1, .end = trie->num_nodes, .state = m->state, .except = FFAI__NONE};
    memset(mask, 0, m->num_words * sizeof *mask);
    for (uint32_t child = 1; child < trie->num_nodes; child = trie->nodes[child].end) {
        if (trie->nodes[child].byte == ' ')
            s.except = child;
    }
    FFAI__TRY(search_trie(mask, m, &s, err));
    if (ffai__states_may_end(m->states, m->state))
        set_end_tokens(mask, m);
    if (s.except == FFAI__NONE)
        return FFAI_OK;
    s.first = s.except + 1;
    s.end = trie->nodes[s.except].end;
    s.except = FFAI__NONE;
    return search_trie(mask, m, &s, err);
}

static bool is_empty(const uint32_t *mask, uint32_t num_words)
{
    for (uint32_t i = 0; i < num_words; i++) {
        if (mask[i])
            return false;
    }
    return true;
}

/* Where the current state's mask is kept. */
static ffai_status find_mask(uint32_t ***out, ffai_matcher *m, ffai_error *err)
{
    if (m->at_start && m->trie->dropped > 0) {
        *out = &m->start_mask;
        return FFAI_OK;
    }
    const uint32_t before = m->max_states;
    if (!FFAI__GROW(m->masks, m->max_states, (uint64_t)m->state + 1))
        return ffai__fail_memory(err, "token masks", m->state * sizeof *m->masks);
    for (uint32_t i = before; i < m->max_states; i++)
        m->masks[i] = NULL;
    *out = &m->masks[m->state];
    return FFAI_OK;
}

static ffai_status compute_mask(uint32_t **mask, ffai_matcher *m, ffai_error *err)
{
    const size_t size = m->num_words * sizeof **mask;
    *mask = ffai__malloc(size);
    if (!*mask)
        return ffai__fail_memory(err, "a token mask", size);
    m->masks_size += size;
    const ffai_status status =
        m->at_start && m->trie->dropped > 0 ? fill_start_mask(*mask, m, err) : fill_mask(*mask, m, err);
    if (status != FFAI_OK) {
        ffai__free(*mask);
        *mask = NULL;
    }
    return status;
}

ffai_status ffai_matcher_mask(const uint32_t **mask, int32_t *num_tokens, ffai_matcher *m, ffai_error *err)
{
    uint32_t **kept = NULL;
    if (m->masks_size > MASKS_LIMIT)
        drop_masks(m);
    FFAI__TRY(find_mask(&kept, m, err));
    ffai_status status = *kept ? FFAI_OK : compute_mask(kept, m, err);
    if (status == FFAI_E_LIMIT) {
        FFAI__TRY(forget(m, err));
        FFAI__TRY(find_mask(&kept, m, err));
        status = compute_mask(kept, m, err);
    }
    FFAI__TRY(status);
    if (is_empty(*kept, m->num_words) && !ffai__states_may_end(m->states, m->state))
        return ffai__fail(err, FFAI_E_UNSUPPORTED,
                          "grammar: no token goes on with this text: the vocabulary lacks what comes next, or it is "
                          "nested more than %d deep",
                          FFAI__STACK_DEPTH_MAX);
    *mask = *kept;
    *num_tokens = m->trie->vocab_size;
    return FFAI_OK;
}

/* --- tokens --- */

static bool is_end_token(const ffai_matcher *m, int32_t token)
{
    for (size_t i = 0; i < m->trie->num_end_tokens; i++) {
        if (m->trie->end_tokens[i] == token)
            return true;
    }
    return false;
}

static ffai_status walk_token(ffai__state *out, ffai_matcher *m, const char *bytes, uint32_t size, ffai_error *err)
{
    ffai__state state = m->state;
    for (uint32_t i = 0; i < size && state != FFAI__DEAD; i++)
        FFAI__TRY(step(&state, m, state, (unsigned char)bytes[i], err));
    *out = state;
    return FFAI_OK;
}

static ffai_status refuse(const ffai_matcher *m, int32_t token, ffai_error *err)
{
    (void)m;
    return ffai__fail(err, FFAI_E_ARGUMENT, "grammar: token %ld may not come here", (long)token);
}

ffai_status ffai_matcher_accept(ffai_matcher *m, int32_t token, ffai_error *err)
{
    if (is_end_token(m, token))
        return ffai__states_may_end(m->states, m->state) ? FFAI_OK : refuse(m, token, err);
    uint32_t size = 0;
    const char *bytes = token >= 0 && token < m->trie->vocab_size ? ffai__trie_token(&size, m->trie, token) : "";
    if (size == 0)
        return refuse(m, token, err);
    for (uint32_t i = 0; m->at_start && i < m->trie->dropped && size > 0 && bytes[0] == ' '; i++) {
        bytes++;
        size--;
    }
    ffai__state next = FFAI__DEAD;
    ffai_status status = walk_token(&next, m, bytes, size, err);
    if (status == FFAI_E_LIMIT) {
        FFAI__TRY(forget(m, err));
        status = walk_token(&next, m, bytes, size, err);
    }
    FFAI__TRY(status);
    if (next == FFAI__DEAD)
        return refuse(m, token, err);
    m->state = next;
    m->at_start = false;
    return FFAI_OK;
}

bool ffai_matcher_may_end(const ffai_matcher *m)
{
    return ffai__states_may_end(m->states, m->state);
}

bool ffai_matcher_must_end(const ffai_matcher *m)
{
    return ffai__states_must_end(m->states, m->state);
}

/* --- the whole --- */

static bool same_set(const ffai__characters *a, const ffai__characters *b)
{
    return a->count == b->count && memcmp(a->ranges, b->ranges, a->count * sizeof *a->ranges) == 0;
}

/* Give a set of characters the index of an equal one, or one of its own while there are few. */
static ffai_status index_run(ffai_matcher *m, uint32_t set, ffai_error *err)
{
    const ffai__characters *characters = &m->grammar->rules->sets[set];
    for (uint32_t i = 0; i < m->num_runs; i++) {
        if (same_set(m->run_sets[i], characters)) {
            m->run_of_set[set] = i;
            return FFAI_OK;
        }
    }
    if (m->num_runs == RUNS_MAX || ffai__characters_size(characters) < RUN_SIZE_MIN)
        return FFAI_OK;
    m->run_sets[m->num_runs] = characters;
    m->run_of_set[set] = m->num_runs++;
    return ffai__run_index_create(&m->runs[m->num_runs - 1], m->trie, characters, err);
}

static ffai_status index_runs(ffai_matcher *m, ffai_error *err)
{
    const ffai__automaton *a = m->grammar->automaton;
    const uint32_t num_sets = m->grammar->rules->num_sets;
    m->run_of_set = ffai__array(num_sets, sizeof *m->run_of_set);
    if (!m->run_of_set)
        return ffai__fail_memory(err, "a matcher", num_sets * sizeof *m->run_of_set);
    memset(m->run_of_set, 0xFF, num_sets * sizeof *m->run_of_set);
    for (uint32_t node = 0; node < a->num_nodes; node++) {
        const uint32_t set = a->nodes[node].run;
        if (set != FFAI__NONE && m->run_of_set[set] == FFAI__NONE)
            FFAI__TRY(index_run(m, set, err));
    }
    return FFAI_OK;
}

static ffai_status prepare(ffai_matcher *m, ffai_error *err)
{
    m->num_words = ((uint32_t)m->trie->vocab_size + 31) / 32;
    m->path = ffai__array((size_t)m->trie->depth + 1, sizeof *m->path);
    m->path_ends = ffai__array((size_t)m->trie->depth + 1, sizeof *m->path_ends);
    if (!m->path || !m->path_ends)
        return ffai__fail_memory(err, "a matcher", m->trie->depth * sizeof *m->path);
    FFAI__TRY(index_runs(m, err));
    FFAI__TRY(ffai__states_create(&m->states, m->grammar->automaton, STATES_LIMIT, err));
    return ffai_matcher_reset(m, err);
}

ffai_status ffai_matcher_create(ffai_matcher **out, const ffai_grammar *grammar, const ffai_token_trie *trie,
                                ffai_error *err)
{
    ffai_matcher *m = ffai__calloc(1, sizeof *m);
    if (!m)
        return ffai__fail_memory(err, "a matcher", sizeof *m);
    m->grammar = grammar;
    m->trie = trie;
    const ffai_status status = prepare(m, err);
    if (status != FFAI_OK) {
        ffai_matcher_free(m);
        return status;
    }
    *out = m;
    return FFAI_OK;
}

void ffai_matcher_free(ffai_matcher *m)
{
    if (!m)
        return;
    drop_masks(m);
    for (uint32_t i = 0; i < m->num_runs; i++)
        ffai__run_index_free(&m->runs[i]);
    ffai__states_free(m->states);
    ffai__free(m->run_of_set);
    ffai__free(m->masks);
    ffai__free(m->run_is_all);
    ffai__free(m->path);
    ffai__free(m->path_ends);
    ffai__free(m);
}

ffai_status ffai_matcher_reset(ffai_matcher *m, ffai_error *err)
{
    m->at_start = true;
    ffai_status status = ffai__states_start(&m->state, m->states, err);
    if (status == FFAI_E_LIMIT) {
        m->state = FFAI__DEAD;
        FFAI__TRY(forget(m, err));
        status = ffai__states_start(&m->state, m->states, err);
    }
    return status;
}
