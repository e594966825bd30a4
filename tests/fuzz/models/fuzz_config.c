/* Input: a config.json. What it describes is recorded, fused and printed over weights that fit it.
 *
 * Two fields of the test's own spoil the fit: no weight whose name ends in "absent" is there, and one whose name ends
 * in "misshapen" has a row too many. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "combined.h"
#include "family.h"
#include "fusions.h"
#include "json.h"
#include "string_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct invented {
    struct invented *next;
    ffai__weight weight;
    char name[];
} invented;

typedef struct {
    const ffai__config *config;
    const char *absent;
    const char *misshapen;
    ffai__string_map *by_name; /* name -> invented */
    invented *all;
} inventor;

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);
    const size_t tail = strlen(end);
    return tail && length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The shape that a decoder of this configuration wants: rows 0 for a vector; false for a name it does not know. */
static bool shape_of(int64_t *rows, int64_t *columns, const ffai__config *c, const char *name)
{
    const int64_t q = c->num_attention_heads * c->head_dim;
    const int64_t kv = c->num_key_value_heads * c->head_dim;
    const struct {
        const char *end;
        int64_t rows, columns;
    } shapes[] = {
        {"embed_tokens.weight", c->vocab_size, c->hidden_size},
        {"lm_head.weight", c->vocab_size, c->hidden_size},
        {"q_norm.weight", 0, c->head_dim},
        {"k_norm.weight", 0, c->head_dim},
        {"norm.weight", 0, c->hidden_size},
        {"q_proj.weight", q, c->hidden_size},
        {"k_proj.weight", kv, c->hidden_size},
        {"v_proj.weight", kv, c->hidden_size},
        {"o_proj.weight", c->hidden_size, q},
        {"gate_proj.weight", c->intermediate_size, c->hidden_size},
        {"up_proj.weight", c->intermediate_size, c->hidden_size},
        {"down_proj.weight", c->hidden_size, c->intermediate_size},
        {"q_proj.bias", 0, q},
        {"k_proj.bias", 0, kv},
        {"v_proj.bias", 0, kv},
        {"o_proj.bias", 0, c->hidden_size},
        {"gate_proj.bias", 0, c->intermediate_size},
        {"up_proj.bias", 0, c->intermediate_size},
        {"down_proj.bias", 0, c->hidden_size},
        {"layernorm.weight", 0, c->hidden_size},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (ends_with(name, shapes[i].end)) {
            *rows = shapes[i].rows;
            *columns = shapes[i].columns;
            return true;
        }
    }
    return false;
}

static const ffai__weight *invent(inventor *from, const char *name, int64_t rows, int64_t columns)
{
    const size_t length = strlen(name);
    invented *made = ffai__calloc(1, sizeof *made + length + 1);
    if (!made)
        abort();
    memcpy(made->name, name, length);
    made->next = from->all;
    from->all = made;
    made->weight = (ffai__weight){.name = made->name,
                                  .rank = rows ? 2 : 1,
                                  .rows = rows ? rows + ends_with(name, from->misshapen) : 1,
                                  .columns = columns,
                                  .packing = FFAI__DENSE,
                                  .dtype = FFAI__BF16};
    if (ffai__string_map_add(from->by_name, made->name, length, (uintptr_t)made) != FFAI__MAP_NEW)
        abort();
    return &made->weight;
}

static const ffai__weight *find(void *context, const char *name)
{
    inventor *from = context;
    uint64_t known = 0;
    int64_t rows = 0;
    int64_t columns = 0;
    if (ffai__string_map_get(from->by_name, name, strlen(name), &known))
        return &((const invented *)(uintptr_t)known)->weight; // NOLINT(performance-no-int-to-ptr)
    if (ends_with(name, from->absent) || !shape_of(&rows, &columns, from->config, name))
        return NULL;
    return invent(from, name, rows, columns);
}

static void print(const ffai__program *program)
{
    char line[512];
    for (size_t i = 0; i < program->num_instructions; i++) {
        ffai__instruction_print(line, sizeof line, program, i);
        if (strlen(line) >= sizeof line || ffai__instruction_bytes(program, i) > UINT64_MAX / 2 ||
            ffai__instruction_flops(program, i) > UINT64_MAX / 2)
            abort();
    }
}

static void record(const ffai__family *family, const ffai__config *config, inventor *from)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__recorder *r = NULL;
    ffai__program *program = NULL;
    if (ffai__recorder_create(&r, find, from, family->aliases, "the test", &err) != FFAI_OK)
        abort();
    family->record(r, config);
    if (ffai__recorder_finish(&program, r, &err) == FFAI_OK) {
        /* A rewrite of a sound program is sound. */
        if (ffai__program_fuse(program, FFAI__FUSE_ALL, &err) != FFAI_OK)
            abort();
        print(program);
    } else if (err.status == FFAI_E_INTERNAL || !err.message[0]) {
        abort(); /* the file is at fault, not the recorder, and the message says how */
    }
    ffai__program_free(program);
    ffai__recorder_free(r);
}

static void record_over_invented_weights(const ffai__family *family, const ffai__config *config)
{
    inventor from = {.config = config, .absent = "", .misshapen = "", .by_name = ffai__string_map_new(64)};
    ffai__json_get_string(&from.absent, config->json, "absent", "config.json", NULL);
    ffai__json_get_string(&from.misshapen, config->json, "misshapen", "config.json", NULL);
    record(family, config, &from);
    ffai__string_map_free(from.by_name);
    while (from.all) {
        invented *next = from.all->next;
        ffai__free(from.all);
        from.all = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ffai_error err = FFAI_ERROR_INIT;
    json_t *json = NULL;
    json_t *text_config = NULL;
    ffai__config config;
    const ffai__family *family = NULL;
    if (ffai__json_parse(&json, (const char *)data, size, "config.json", &err) != FFAI_OK)
        return 0;
    if (ffai__text_config(&text_config, &family, json, "config.json", &err) == FFAI_OK &&
        ffai__config_read(&config, text_config, "config.json", &err) == FFAI_OK)
        record_over_invented_weights(family, &config);
    json_decref(text_config);
    json_decref(json);
    return 0;
}
