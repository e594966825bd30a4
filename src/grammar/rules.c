#include "rules.h"

#include <string.h>

#include "grow.h"

static void fail(ffai__rules *r, ffai_status status)
{
    if (r->status == FFAI_OK)
        r->status = status;
}

ffai_status ffai__rules_create(ffai__rules **out, ffai_error *err)
{
    ffai__rules *r = ffai__calloc(1, sizeof *r);
    if (!r || !FFAI__GROW(r->nodes, r->max_nodes, 2)) {
        ffai__free(r);
        return ffai__fail_memory(err, "a grammar", sizeof *r);
    }
    r->nodes[FFAI__NEVER] = (ffai__expression_node){.kind = FFAI__EXPRESSION_NEVER};
    r->nodes[FFAI__EMPTY] = (ffai__expression_node){.kind = FFAI__EXPRESSION_EMPTY};
    r->num_nodes = 2;
    *out = r;
    return FFAI_OK;
}

static void free_table(ffai__table *table)
{
    ffai__free(table->next);
    ffai__free(table->ends);
}

void ffai__rules_free(ffai__rules *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->num_sets; i++)
        ffai__characters_free(&r->sets[i]);
    for (uint32_t i = 0; i < r->num_tables; i++)
        free_table(&r->tables[i]);
    for (uint32_t i = 0; i < r->num_rules; i++)
        ffai__free(r->rules[i].name);
    ffai__free(r->nodes);
    ffai__free(r->parts);
    ffai__free(r->bytes);
    ffai__free(r->sets);
    ffai__free(r->tables);
    ffai__free(r->rules);
    ffai__free(r);
}

ffai_status ffai__rules_check(const ffai__rules *r, ffai_error *err)
{
    if (r->status == FFAI_E_MEMORY)
        return ffai__fail_memory(err, "a grammar", 0);
    if (r->status == FFAI_E_LIMIT)
        return ffai__fail(err, FFAI_E_LIMIT, "grammar: more than %d rules, %d expressions, or %d one inside another",
                          FFAI__RULES_MAX, FFAI__EXPRESSIONS_MAX, FFAI__EXPRESSION_DEPTH_MAX);
    return r->status == FFAI_OK ? FFAI_OK : ffai__fail(err, r->status, "grammar: it could not be built");
}

static ffai__expression add(ffai__rules *r, ffai__expression_node node)
{
    if (r->num_nodes >= FFAI__EXPRESSIONS_MAX || node.depth > FFAI__EXPRESSION_DEPTH_MAX)
        fail(r, FFAI_E_LIMIT);
    else if (!FFAI__GROW(r->nodes, r->max_nodes, r->num_nodes + 1))
        fail(r, FFAI_E_MEMORY);
    if (r->status != FFAI_OK)
        return FFAI__NEVER;
    r->nodes[r->num_nodes] = node;
    return r->num_nodes++;
}

ffai__expression ffai__rules_literal(ffai__rules *r, const char *bytes, size_t size)
{
    if (size == 0 || r->status != FFAI_OK)
        return FFAI__EMPTY;
    if (!FFAI__GROW(r->bytes, r->max_bytes, (uint64_t)r->num_bytes + size)) {
        fail(r, FFAI_E_MEMORY);
        return FFAI__NEVER;
    }
    memcpy(r->bytes + r->num_bytes, bytes, size);
    const ffai__expression_node node = {FFAI__EXPRESSION_LITERAL, r->num_bytes, (uint32_t)size, 0, 0, 0};
    r->num_bytes += (uint32_t)size;
    return add(r, node);
}

ffai__expression ffai__rules_characters(ffai__rules *r, const ffai__characters *set)
{
    if (set->failed)
        fail(r, FFAI_E_MEMORY);
    if (set->count == 0 || r->status != FFAI_OK)
        return FFAI__NEVER;
    ffai__characters copy = {0};
    ffai__characters_add_all(&copy, set);
    if (copy.failed || !FFAI__GROW(r->sets, r->max_sets, r->num_sets + 1)) {
        ffai__characters_free(&copy);
        fail(r, FFAI_E_MEMORY);
        return FFAI__NEVER;
    }
    r->sets[r->num_sets] = copy;
    return add(r, (ffai__expression_node){FFAI__EXPRESSION_CHARACTERS, r->num_sets++, 0, 0, 0, 0});
}

ffai__expression ffai__rules_range(ffai__rules *r, uint32_t first, uint32_t last)
{
    ffai__character_range range = {first, last};
    const ffai__characters set = {.ranges = &range, .count = 1};
    return ffai__rules_characters(r, &set);
}

static ffai__expression join(ffai__rules *r, ffai__expression_kind kind, const ffai__expression *parts, size_t count)
{
    if (!FFAI__GROW(r->parts, r->max_parts, (uint64_t)r->num_parts + count)) {
        fail(r, FFAI_E_MEMORY);
        return FFAI__NEVER;
    }
    uint32_t depth = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t inner = r->nodes[parts[i]].depth;
        depth = inner > depth ? inner : depth;
        r->parts[r->num_parts + i] = parts[i];
    }
    const ffai__expression_node node = {kind, r->num_parts, (uint32_t)count, 0, 0, depth + 1};
    r->num_parts += (uint32_t)count;
    return add(r, node);
}

ffai__expression ffai__rules_sequence(ffai__rules *r, const ffai__expression *parts, size_t count)
{
    size_t kept = 0;
    ffai__expression last = FFAI__EMPTY;
    for (size_t i = 0; i < count; i++) {
        if (parts[i] == FFAI__NEVER)
            return FFAI__NEVER;
        kept += parts[i] != FFAI__EMPTY;
        last = parts[i] != FFAI__EMPTY ? parts[i] : last;
    }
    return kept < 2 ? last : join(r, FFAI__EXPRESSION_SEQUENCE, parts, count);
}

/* Sets of characters are one set. */
static ffai__expression choose_character(ffai__rules *r, const ffai__expression *parts, size_t count)
{
    ffai__characters all = {0};
    for (size_t i = 0; i < count; i++) {
        if (parts[i] != FFAI__NEVER)
            ffai__characters_add_all(&all, &r->sets[r->nodes[parts[i]].first]);
    }
    const ffai__expression chosen = ffai__rules_characters(r, &all);
    ffai__characters_free(&all);
    return chosen;
}

ffai__expression ffai__rules_choice(ffai__rules *r, const ffai__expression *parts, size_t count)
{
    size_t kept = 0;
    size_t sets = 0;
    ffai__expression last = FFAI__NEVER;
    for (size_t i = 0; i < count; i++) {
        if (parts[i] == FFAI__NEVER)
            continue;
        kept++;
        last = parts[i];
        sets += r->nodes[parts[i]].kind == FFAI__EXPRESSION_CHARACTERS;
    }
    if (kept < 2)
        return last;
    return kept == sets ? choose_character(r, parts, count) : join(r, FFAI__EXPRESSION_CHOICE, parts, count);
}

ffai__expression ffai__rules_sequence_of(ffai__rules *r, const ffai__expression *parts, uint32_t first, uint32_t *count)
{
    const uint32_t taken = *count - first;
    *count = first;
    return taken ? ffai__rules_sequence(r, parts + first, taken) : FFAI__EMPTY;
}

ffai__expression ffai__rules_choice_of(ffai__rules *r, const ffai__expression *parts, uint32_t first, uint32_t *count)
{
    const uint32_t taken = *count - first;
    *count = first;
    return taken ? ffai__rules_choice(r, parts + first, taken) : FFAI__NEVER;
}

ffai__expression ffai__rules_pair(ffai__rules *r, ffai__expression first, ffai__expression second)
{
    return ffai__rules_sequence(r, (ffai__expression[]){first, second}, 2);
}

ffai__expression ffai__rules_either(ffai__rules *r, ffai__expression one, ffai__expression other)
{
    return ffai__rules_choice(r, (ffai__expression[]){one, other}, 2);
}

ffai__expression ffai__rules_repeat(ffai__rules *r, ffai__expression part, uint32_t min, uint32_t max)
{
    if (max == 0 || part == FFAI__EMPTY)
        return FFAI__EMPTY;
    if (part == FFAI__NEVER)
        return min > 0 ? FFAI__NEVER : FFAI__EMPTY;
    if (min == 1 && max == 1)
        return part;
    return add(r, (ffai__expression_node){FFAI__EXPRESSION_REPEAT, part, 0, min, max, r->nodes[part].depth + 1});
}

ffai__expression ffai__rules_call(ffai__rules *r, uint32_t rule)
{
    return add(r, (ffai__expression_node){FFAI__EXPRESSION_CALL, rule, 0, 0, 0, 0});
}

ffai__expression ffai__rules_table(ffai__rules *r, ffai__table *table)
{
    if (!FFAI__GROW(r->tables, r->max_tables, r->num_tables + 1)) {
        free_table(table);
        fail(r, FFAI_E_MEMORY);
        return FFAI__NEVER;
    }
    r->tables[r->num_tables] = *table;
    *table = (ffai__table){0};
    return add(r, (ffai__expression_node){FFAI__EXPRESSION_TABLE, r->num_tables++, 0, 0, 0, 0});
}

uint32_t ffai__rules_declare(ffai__rules *r, const char *name, size_t size)
{
    if (r->num_rules >= FFAI__RULES_MAX) {
        fail(r, FFAI_E_LIMIT);
        return 0;
    }
    char *copy = ffai__strndup(name, size);
    if (!copy || !FFAI__GROW(r->rules, r->max_rules, r->num_rules + 1)) {
        ffai__free(copy);
        fail(r, FFAI_E_MEMORY);
        return 0;
    }
    r->rules[r->num_rules] = (ffai__rule){copy, FFAI__NEVER, false};
    return r->num_rules++;
}

void ffai__rules_define(ffai__rules *r, uint32_t rule, ffai__expression body)
{
    if (r->status != FFAI_OK)
        return;
    r->rules[rule].body = body;
    r->rules[rule].defined = true;
}
