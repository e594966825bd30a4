#include "regular.h"

#include <string.h>

#include "alloc.h"
#include "states.h"

enum { STATES_LIMIT = 32 << 20, PAIRS_MAX = 1 << 22 };

static void free_table(ffai__table *table)
{
    ffai__free(table->next);
    ffai__free(table->ends);
    *table = (ffai__table){0};
}

static ffai_status too_large(ffai_error *err)
{
    return ffai__fail(err, FFAI_E_LIMIT, "it takes more than %d states together: shorten it", FFAI__TABLE_STATES_MAX);
}

static ffai_status create_table(ffai__table *table, uint32_t count, ffai_error *err)
{
    table->count = count;
    table->next = ffai__calloc((size_t)count * 256, sizeof *table->next);
    table->ends = ffai__calloc(count, sizeof *table->ends);
    if (table->next && table->ends)
        return FFAI_OK;
    free_table(table);
    return ffai__fail_memory(err, "a grammar's states", (size_t)count * 256 * sizeof *table->next);
}

/* --- an expression's states --- */

/* All states there are: their numbers come in order, the first is 1. */
static ffai_status explore(ffai__states *states, ffai_error *err)
{
    ffai__state start = FFAI__DEAD;
    FFAI__TRY(ffai__states_start(&start, states, err));
    for (ffai__state state = 1; state < ffai__states_count(states); state++) {
        if (ffai__states_count(states) > FFAI__TABLE_STATES_MAX)
            return too_large(err);
        for (unsigned byte = 0; byte < 256; byte++) {
            ffai__state ignored = FFAI__DEAD;
            FFAI__TRY(ffai__states_step(&ignored, states, state, byte, err));
        }
    }
    return FFAI_OK;
}

static ffai_status copy_states(ffai__table *table, const ffai__states *states, ffai_error *err)
{
    const ffai__state_view view = ffai__states_view(states);
    const uint32_t count = ffai__states_count(states);
    FFAI__TRY(create_table(table, count < 2 ? 2 : count, err));
    for (ffai__state state = 1; state < count; state++) {
        table->ends[state] = ffai__states_may_end(states, state);
        for (unsigned byte = 0; byte < 256; byte++)
            table->next[(size_t)state * 256 + byte] = view.next[(size_t)state * view.num_kinds + view.kind_of[byte]];
    }
    return FFAI_OK;
}

static ffai_status determinize(ffai__table *table, const ffai__rules *rules, ffai__expression e, ffai_error *err)
{
    ffai__automaton *automaton = NULL;
    ffai__states *states = NULL;
    FFAI__TRY(ffai__automaton_of(&automaton, rules, e, err));
    ffai_status status = ffai__states_create(&states, automaton, STATES_LIMIT, err);
    if (status == FFAI_OK)
        status = explore(states, err);
    if (status == FFAI_OK)
        status = copy_states(table, states, err);
    ffai__states_free(states);
    ffai__automaton_free(automaton);
    return status;
}

/* --- two at once --- */

typedef struct {
    const ffai__table *a, *b;
    bool without;
    uint32_t *number; /* [a, b] of a pair, 0: none yet */
    uint32_t *pairs;  /* [FFAI__TABLE_STATES_MAX] by number */
    uint32_t count;
} product;

/* The number of a pair of states; 0 for one from which nothing can come. */
static uint32_t pair_of(product *p, uint32_t a, uint32_t b)
{
    if (a == 0 || (b == 0 && !p->without))
        return 0;
    uint32_t *number = &p->number[(size_t)a * p->b->count + b];
    if (*number == 0 && p->count < FFAI__TABLE_STATES_MAX) {
        p->pairs[p->count] = a * p->b->count + b;
        *number = p->count++;
    }
    return *number;
}

static ffai_status multiply(ffai__table *table, product *p, ffai_error *err)
{
    FFAI__TRY(create_table(table, FFAI__TABLE_STATES_MAX, err));
    p->count = 1;
    pair_of(p, 1, 1);
    for (uint32_t state = 1; state < p->count; state++) {
        const uint32_t a = p->pairs[state] / p->b->count;
        const uint32_t b = p->pairs[state] % p->b->count;
        table->ends[state] = p->a->ends[a] && p->b->ends[b] != p->without;
        for (unsigned byte = 0; byte < 256; byte++)
            table->next[(size_t)state * 256 + byte] =
                pair_of(p, p->a->next[(size_t)a * 256 + byte], p->b->next[(size_t)b * 256 + byte]);
    }
    table->count = p->count;
    if (p->count >= FFAI__TABLE_STATES_MAX)
        return too_large(err);
    uint32_t *fitting = ffai__realloc(table->next, (size_t)p->count * 256, sizeof *table->next);
    table->next = fitting ? fitting : table->next;
    return FFAI_OK;
}

static ffai_status multiply_tables(ffai__table *table, const ffai__table *a, const ffai__table *b, bool without,
                                   ffai_error *err)
{
    product p = {.a = a, .b = b, .without = without};
    if ((uint64_t)a->count * b->count > PAIRS_MAX)
        return too_large(err);
    p.number = ffai__calloc((size_t)a->count * b->count, sizeof *p.number);
    p.pairs = ffai__array(FFAI__TABLE_STATES_MAX, sizeof *p.pairs);
    const ffai_status status =
        p.number && p.pairs ? multiply(table, &p, err) : ffai__fail_memory(err, "a grammar's states", PAIRS_MAX);
    ffai__free(p.number);
    ffai__free(p.pairs);
    return status;
}

static ffai_status combine(ffai__expression *out, ffai__rules *rules, ffai__expression a, ffai__expression b,
                           bool without, ffai_error *err)
{
    ffai__table first = {0};
    ffai__table second = {0};
    ffai__table both = {0};
    ffai_status status = determinize(&first, rules, a, err);
    if (status == FFAI_OK)
        status = determinize(&second, rules, b, err);
    rules->table_states += first.count + second.count;
    if (status == FFAI_OK && rules->table_states > FFAI__TABLE_WORK_MAX)
        status = ffai__fail(err, FFAI_E_LIMIT, "patterns, formats, lengths and ranges take too many states together");
    if (status == FFAI_OK)
        status = multiply_tables(&both, &first, &second, without, err);
    free_table(&first);
    free_table(&second);
    if (status != FFAI_OK) {
        free_table(&both);
        return status;
    }
    *out = ffai__rules_table(rules, &both);
    return ffai__rules_check(rules, err);
}

ffai_status ffai__regular_both(ffai__expression *out, ffai__rules *rules, ffai__expression a, ffai__expression b,
                               ffai_error *err)
{
    return combine(out, rules, a, b, false, err);
}

ffai_status ffai__regular_without(ffai__expression *out, ffai__rules *rules, ffai__expression a, ffai__expression b,
                                  ffai_error *err)
{
    return combine(out, rules, a, b, true, err);
}

static ffai_status match(bool *matches, ffai__states *states, const char *text, size_t size, ffai_error *err)
{
    ffai__state state = FFAI__DEAD;
    FFAI__TRY(ffai__states_start(&state, states, err));
    for (size_t i = 0; i < size && state != FFAI__DEAD; i++)
        FFAI__TRY(ffai__states_step(&state, states, state, (unsigned char)text[i], err));
    *matches = ffai__states_may_end(states, state);
    return FFAI_OK;
}

ffai_status ffai__regular_matches(bool *matches, const ffai__rules *rules, ffai__expression e, const char *text,
                                  size_t size, ffai_error *err)
{
    ffai__automaton *automaton = NULL;
    ffai__states *states = NULL;
    FFAI__TRY(ffai__automaton_of(&automaton, rules, e, err));
    ffai_status status = ffai__states_create(&states, automaton, STATES_LIMIT, err);
    if (status == FFAI_OK)
        status = match(matches, states, text, size, err);
    ffai__states_free(states);
    ffai__automaton_free(automaton);
    return status;
}
