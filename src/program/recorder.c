#include "recorder.h"

#include <stdarg.h>
#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "string_map.h"

struct ffai__recorder {
    ffai__program *program;
    ffai__find_weight *find;
    void *find_context;
    const ffai__name_alias *aliases;
    const char *where;
    char scope[160];
    const char *scope_copy;    /* the program's, made when the scope's first instruction is recorded */
    ffai__value tokens;        /* the sequences' tokens, once embed has named them */
    ffai__value embedding;     /* the embedding's matrix, for tied heads */
    ffai__string_map *weights; /* values by their weights' names */
    ffai_error error;          /* the first one; status FFAI_OK until then */
};

ffai_status ffai__recorder_create(ffai__recorder **out, ffai__find_weight *find, void *context,
                                  const ffai__name_alias *aliases, const char *where, ffai_error *err)
{
    ffai__recorder *r = ffai__calloc(1, sizeof *r);
    if (r)
        r->program = ffai__calloc(1, sizeof *r->program);
    if (r && r->program)
        r->weights = ffai__string_map_new(1024);
    if (!r || !r->program || !r->weights) {
        ffai__recorder_free(r);
        return ffai__fail_memory(err, "a program", sizeof *r->program);
    }
    r->find = find;
    r->find_context = context;
    r->aliases = aliases;
    r->where = where;
    r->tokens = r->embedding = FFAI__NONE;
    r->program->logits = r->program->sampled = FFAI__NONE;
    *out = r;
    return FFAI_OK;
}

void ffai__recorder_free(ffai__recorder *r)
{
    if (!r)
        return;
    ffai__string_map_free(r->weights);
    ffai__program_free(r->program);
    ffai__free(r);
}

ffai_status ffai__recorder_finish(ffai__program **out, ffai__recorder *r, ffai_error *err)
{
    if (r->error.status != FFAI_OK) {
        if (err)
            *err = r->error;
        return r->error.status;
    }
    const ffai_status status = ffai__program_verify(r->program, err);
    if (status != FFAI_OK)
        return ffai__fail_in(err, status, "%s", r->where);
    *out = r->program;
    r->program = NULL;
    return FFAI_OK;
}

bool ffai__recorder_failed(const ffai__recorder *r)
{
    return r->error.status != FFAI_OK;
}

void ffai__recorder_fail(ffai__recorder *r, ffai_status status, const char *format, ...)
{
    if (ffai__recorder_failed(r))
        return;
    char message[sizeof r->error.message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    ffai__fail(&r->error, status, "%s", message);
}

static void fail_memory(ffai__recorder *r)
{
    ffai__recorder_fail(r, FFAI_E_MEMORY, "not enough memory for the program");
}

/* Grow *array by one element of size bytes, zeroed; NULL after an error. */
static void *push(ffai__recorder *r, void *array, size_t *count, size_t size)
{
    void **items = array;
    if (ffai__recorder_failed(r))
        return NULL;
    /* Capacity is the next power of two: it grows exactly when the count is one. */
    if ((*count & (*count - 1)) == 0) {
        void *grown = ffai__realloc(*items, *count ? *count * 2 : 1, size);
        if (!grown) {
            fail_memory(r);
            return NULL;
        }
        *items = grown;
    }
    char *item = (char *)*items + *count * size;
    memset(item, 0, size);
    ++*count;
    return item;
}

/* Let the program free pointer when it goes; frees it at once and gives NULL after an error. */
static void *keep(ffai__recorder *r, void *pointer)
{
    void **slot = NULL;
    if (!pointer)
        fail_memory(r);
    else
        slot = push(r, &r->program->owned, &r->program->num_owned, sizeof *slot);
    if (!slot) {
        ffai__free(pointer);
        return NULL;
    }
    *slot = pointer;
    return pointer;
}

float *ffai__recorder_table(ffai__recorder *r, size_t count)
{
    return ffai__recorder_failed(r) ? NULL : keep(r, ffai__calloc(count, sizeof(float)));
}

void ffai__scope(ffai__recorder *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(r->scope, sizeof r->scope, format, arguments);
    va_end(arguments);
    r->scope_copy = NULL;
    if (length < 0 || (size_t)length >= sizeof r->scope)
        ffai__recorder_fail(r, FFAI_E_LIMIT, "a scope's name is longer than %zu bytes", sizeof r->scope - 1);
}

static const char *scope_text(ffai__recorder *r)
{
    if (!r->scope_copy)
        r->scope_copy = keep(r, ffai__strdup(r->scope));
    return r->scope_copy;
}

/* --- weights --- */

enum { NAME_BYTES = 320 };

/* "scope.name.part" */
static bool full_name(ffai__recorder *r, char full[NAME_BYTES], const char *name, const char *part)
{
    const int length = snprintf(full, NAME_BYTES, "%s%s%s.%s", r->scope, r->scope[0] ? "." : "", name, part);
    if (length > 0 && length < NAME_BYTES)
        return true;
    ffai__recorder_fail(r, FFAI_E_LIMIT, "weight name too long: %s.%s", r->scope, name);
    return false;
}

/* The alias's spelling of a name, or false where the alias does not apply. */
static bool apply_alias(char out[NAME_BYTES], const ffai__name_alias *alias, const char *name)
{
    const size_t prefix = strlen(alias->prefix);
    if (strncmp(name, alias->prefix, prefix) != 0)
        return false;
    const int length = snprintf(out, NAME_BYTES, "%s%s", alias->replacement, name + prefix);
    return length > 0 && length < NAME_BYTES;
}

static const ffai__weight *look_up(ffai__recorder *r, const char *name)
{
    const ffai__weight *weight = r->find(r->find_context, name);
    char other[NAME_BYTES];
    for (const ffai__name_alias *alias = r->aliases; !weight && alias && alias->prefix; alias++) {
        if (apply_alias(other, alias, name))
            weight = r->find(r->find_context, other);
    }
    return weight;
}

static void fail_missing(ffai__recorder *r, const char *name)
{
    ffai__buffer tried = FFAI__BUFFER_INIT;
    char other[NAME_BYTES];
    ffai__buffer_format(&tried, "%s", name);
    for (const ffai__name_alias *alias = r->aliases; alias && alias->prefix; alias++) {
        if (apply_alias(other, alias, name))
            ffai__buffer_format(&tried, ", %s", other);
    }
    ffai__recorder_fail(r, FFAI_E_NOT_FOUND, "%s: the checkpoint has no weight \"%s\" (names tried: %s)", r->where,
                        name, tried.data && !tried.failed ? tried.data : name);
    ffai__buffer_free(&tried);
}

static ffai__value new_value(ffai__recorder *r, ffai__value_info info)
{
    ffai__value_info *value = push(r, &r->program->values, &r->program->num_values, sizeof *value);
    if (!value)
        return FFAI__NONE;
    *value = info;
    return (ffai__value)(r->program->num_values - 1);
}

/* The same weight read twice is one value: found by its name, so that recording takes time in proportion. */
static ffai__value weight_value(ffai__recorder *r, const ffai__weight *weight)
{
    uint64_t known = 0;
    if (ffai__string_map_get(r->weights, weight->name, strlen(weight->name), &known))
        return (ffai__value)known;
    const ffai__value value = new_value(r, (ffai__value_info){.kind = FFAI__WEIGHT, .weight = weight, .producer = -1});
    if (value != FFAI__NONE &&
        ffai__string_map_add(r->weights, weight->name, strlen(weight->name), (uint64_t)value) == FFAI__MAP_NO_MEMORY)
        fail_memory(r);
    return value;
}

static ffai__value require_weight(ffai__recorder *r, const char *name, const char *part)
{
    char full[NAME_BYTES];
    if (ffai__recorder_failed(r) || !full_name(r, full, name, part))
        return FFAI__NONE;
    const ffai__weight *weight = look_up(r, full);
    if (weight)
        return weight_value(r, weight);
    fail_missing(r, full);
    return FFAI__NONE;
}

bool ffai__has_weight(ffai__recorder *r, const char *name)
{
    char full[NAME_BYTES];
    return !ffai__recorder_failed(r) && full_name(r, full, name, "weight") && look_up(r, full) != NULL;
}

/* --- instructions --- */

/* Operands given in the signature's order; the rest are absent. */
static ffai__instruction *record(ffai__recorder *r, ffai__op op, const ffai__value *in, size_t num_in)
{
    const char *scope = scope_text(r);
    if (!scope)
        return NULL;
    ffai__instruction *instruction =
        push(r, &r->program->instructions, &r->program->num_instructions, sizeof *instruction);
    if (!instruction)
        return NULL;
    instruction->op = op;
    instruction->scope = scope;
    for (size_t i = 0; i < FFAI__MAX_INPUTS; i++)
        instruction->in[i] = i < num_in ? in[i] : FFAI__NONE;
    for (size_t i = 0; i < FFAI__MAX_OUTPUTS; i++)
        instruction->out[i] = FFAI__NONE;
    return instruction;
}

#define RECORD(r, op, ...)                                                                                             \
    record(r, FFAI__OP_##op, (const ffai__value[]){__VA_ARGS__},                                                       \
           sizeof((const ffai__value[]){__VA_ARGS__}) / sizeof(ffai__value))

/* Give the latest instruction an output. */
static ffai__value output(ffai__recorder *r, ffai__instruction *instruction, ffai__value_kind kind, ffai__rows rows,
                          int64_t columns)
{
    if (!instruction)
        return FFAI__NONE;
    const int32_t producer = (int32_t)(instruction - r->program->instructions);
    const ffai__value value =
        new_value(r, (ffai__value_info){.kind = kind, .rows = rows, .columns = columns, .producer = producer});
    instruction->out[0] = value;
    return value;
}

static ffai__value_info info_of(const ffai__recorder *r, ffai__value value)
{
    const ffai__value_info none = {.kind = FFAI__ACTIVATION, .rows = FFAI__ROWS_NONE, .producer = -1};
    return value == FFAI__NONE ? none : r->program->values[value];
}

/* An output of the same shape as x. */
static ffai__value output_like(ffai__recorder *r, ffai__instruction *instruction, ffai__value x)
{
    const ffai__value_info info = info_of(r, x);
    return output(r, instruction, FFAI__ACTIVATION, info.rows, info.columns);
}

static int64_t weight_rows(const ffai__recorder *r, ffai__value value)
{
    const ffai__weight *weight = ffai__weight_of(r->program, value);
    return weight ? weight->rows : 0;
}

ffai__value ffai__embed(ffai__recorder *r, const char *name)
{
    r->embedding = require_weight(r, name, "weight");
    if (r->tokens == FFAI__NONE)
        r->tokens = new_value(r, (ffai__value_info){.kind = FFAI__TOKENS, .producer = -1});
    ffai__instruction *embed = RECORD(r, embed, r->embedding, r->tokens);
    if (!embed)
        return FFAI__NONE;
    const ffai__weight *weight = r->program->values[r->embedding].weight;
    r->program->hidden_size = weight->columns;
    r->program->vocab_size = weight->rows;
    return output(r, embed, FFAI__ACTIVATION, FFAI__ROWS_T, weight->columns);
}

ffai__value ffai__rms_norm(ffai__recorder *r, ffai__value x, const char *name, double eps)
{
    const ffai__value weight = require_weight(r, name, "weight");
    ffai__instruction *norm = RECORD(r, rms_norm, x, weight);
    if (norm)
        norm->attributes.rms_norm.eps = (float)eps;
    return output_like(r, norm, x);
}

ffai__value ffai__linear(ffai__recorder *r, ffai__value x, const char *name, bool bias)
{
    const ffai__value weight = require_weight(r, name, "weight");
    const ffai__value bias_value = bias ? require_weight(r, name, "bias") : FFAI__NONE;
    ffai__instruction *linear = RECORD(r, linear, x, weight, bias_value);
    return output(r, linear, FFAI__ACTIVATION, info_of(r, x).rows, weight_rows(r, weight));
}

ffai__value ffai__rope_apply(ffai__recorder *r, ffai__value x, const ffai__rope *rope)
{
    ffai__instruction *instruction = RECORD(r, rope, x);
    if (instruction)
        instruction->attributes.rope = *rope;
    return output_like(r, instruction, x);
}

static int find_group(ffai__recorder *r, int64_t window)
{
    ffai__program *program = r->program;
    for (size_t i = 0; i < program->num_groups; i++) {
        if (program->groups[i].window == window)
            return (int)i;
    }
    ffai__store_group *group = push(r, &program->groups, &program->num_groups, sizeof *group);
    if (!group)
        return 0;
    group->window = window;
    return (int)(program->num_groups - 1);
}

static ffai__value new_store(ffai__recorder *r, int num_key_value_heads, int head_dim, int64_t window)
{
    const int group = find_group(r, window);
    ffai__store *store = push(r, &r->program->stores, &r->program->num_stores, sizeof *store);
    if (!store)
        return FFAI__NONE;
    const int index = (int)(r->program->num_stores - 1);
    *store = (ffai__store){index, group, num_key_value_heads, head_dim};
    r->program->num_layers = index + 1;
    return new_value(r, (ffai__value_info){.kind = FFAI__STORE, .store = index, .producer = -1});
}

ffai__value ffai__attention(ffai__recorder *r, ffai__value q, ffai__value k, ffai__value v, int head_dim, float scale,
                            int64_t window)
{
    const int num_heads = (int)(info_of(r, q).columns / head_dim);
    const int num_kv_heads = (int)(info_of(r, k).columns / head_dim);
    const ffai__value store = new_store(r, num_kv_heads, head_dim, window);
    ffai__attributes attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.attention.num_attention_heads = num_heads;
    attributes.attention.num_key_value_heads = num_kv_heads;
    attributes.attention.head_dim = head_dim;
    attributes.attention.scale = scale;
    attributes.attention.window = window;
    ffai__instruction *write = RECORD(r, kv_store, k, v, store);
    if (write)
        write->attributes = attributes;
    ffai__instruction *attention = RECORD(r, attention, q, store);
    if (attention)
        attention->attributes = attributes;
    return output_like(r, attention, q);
}

ffai__value ffai__silu(ffai__recorder *r, ffai__value x)
{
    return output_like(r, RECORD(r, silu, x), x);
}

ffai__value ffai__mul_values(ffai__recorder *r, ffai__value a, ffai__value b)
{
    return output_like(r, RECORD(r, mul, a, b), a);
}

ffai__value ffai__add_values(ffai__recorder *r, ffai__value a, ffai__value b)
{
    return output_like(r, RECORD(r, add, a, b), a);
}

ffai__value ffai__select_rows(ffai__recorder *r, ffai__value x)
{
    ffai__instruction *select = RECORD(r, select_rows, x);
    return output(r, select, FFAI__ACTIVATION, FFAI__ROWS_R, info_of(r, x).columns);
}

ffai__value ffai__head(ffai__recorder *r, ffai__value x, const char *name)
{
    const ffai__value weight = name ? require_weight(r, name, "weight") : r->embedding;
    ffai__instruction *linear = RECORD(r, linear, x, weight, FFAI__NONE);
    r->program->logits = output(r, linear, FFAI__ACTIVATION, FFAI__ROWS_R, weight_rows(r, weight));
    r->program->vocab_size = weight_rows(r, weight);
    ffai__instruction *sample = RECORD(r, sample, r->program->logits, r->tokens);
    r->program->sampled = output(r, sample, FFAI__IDS, FFAI__ROWS_R, 1);
    return r->program->logits;
}

/* --- asking --- */

int64_t ffai__columns_of(const ffai__recorder *r, ffai__value x)
{
    return ffai__recorder_failed(r) ? 0 : info_of(r, x).columns;
}

const ffai__weight *ffai__weight_behind(const ffai__recorder *r, ffai__value x)
{
    while (!ffai__recorder_failed(r) && info_of(r, x).producer >= 0) {
        const ffai__instruction *instruction = &r->program->instructions[info_of(r, x).producer];
        if (instruction->op == FFAI__OP_embed)
            return ffai__weight_of(r->program, instruction->in[0]);
        if (instruction->op == FFAI__OP_linear)
            return ffai__weight_of(r->program, instruction->in[1]);
        x = instruction->in[0];
    }
    return NULL;
}
