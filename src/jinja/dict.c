/* Dicts: entries in their order, and once there are some, a table of them by hash. */
#include <math.h>
#include <string.h>

#include "values.h"

enum { MOST_WITHOUT_TABLE = 8 };

typedef struct entry {
    jinja_value key, value;
    uint64_t hash;
} entry;

struct jinja_dict {
    entry *entries;
    size_t count, capacity;
    uint32_t *table;   /* [table_size] index of an entry + 1; 0: free. NULL while entries are few */
    size_t table_size; /* a power of two */
};

jinja_dict *ffai__jinja_new_dict(ffai__jinja *j)
{
    return ffai__jinja_alloc(j, 1, sizeof(jinja_dict));
}

size_t ffai__jinja_dict_count(const jinja_dict *dict)
{
    return dict->count;
}

jinja_value ffai__jinja_dict_key(const jinja_dict *dict, size_t index)
{
    return dict->entries[index].key;
}

jinja_value ffai__jinja_dict_value(const jinja_dict *dict, size_t index)
{
    return dict->entries[index].value;
}

static uint64_t mix(uint64_t hash, uint64_t with)
{
    hash = (hash ^ with) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static uint64_t hash_string(const jinja_string *string)
{
    uint64_t hash = string->size;
    for (size_t i = 0; i < string->size; i++)
        hash = mix(hash, (unsigned char)string->data[i]);
    return hash;
}

/* Equal numbers have equal hashes, whatever their kind. */
static uint64_t hash_number(jinja_value value)
{
    if (value.kind == JINJA_FLOAT && (value.number != floor(value.number) || fabs(value.number) >= 0x1p63)) {
        uint64_t bits = 0;
        memcpy(&bits, &value.number, sizeof bits);
        return mix(1, bits);
    }
    return mix(2,
               value.kind == JINJA_FLOAT ? (uint64_t)(int64_t)value.number : (uint64_t)ffai__jinja_as_integer(value));
}

static uint64_t hash_of(ffai__jinja *j, jinja_value value)
{
    uint64_t hash = value.kind;
    if (ffai__jinja_is_number(value))
        return hash_number(value);
    switch (value.kind) {
    case JINJA_NONE:
        return hash;
    case JINJA_STRING:
        ffai__jinja_step(j, value.string->size);
        return hash_string(value.string);
    case JINJA_TUPLE:
        ffai__jinja_enter(j);
        for (size_t i = 0; i < value.list->count; i++)
            hash = mix(hash, hash_of(j, value.list->items[i]));
        ffai__jinja_leave(j);
        return hash;
    case JINJA_UNDEFINED:
        ffai__jinja_refuse(j, "%s", value.why);
    default:
        ffai__jinja_refuse(j, "%s cannot be a dict's key", ffai__jinja_type_name(value));
    }
}

static bool is_key(ffai__jinja *j, const entry *e, jinja_value key, uint64_t hash)
{
    return e->hash == hash && ffai__jinja_equal(j, e->key, key);
}

/* Index of the key's entry, or count. */
static size_t find(ffai__jinja *j, const jinja_dict *dict, jinja_value key, uint64_t hash)
{
    if (!dict->table) {
        size_t i = 0;
        while (i < dict->count && !is_key(j, &dict->entries[i], key, hash))
            i++;
        return i;
    }
    for (size_t at = hash & (dict->table_size - 1);; at = (at + 1) & (dict->table_size - 1)) {
        if (dict->table[at] == 0)
            return dict->count;
        if (is_key(j, &dict->entries[dict->table[at] - 1], key, hash))
            return dict->table[at] - 1;
    }
}

static void put_into_table(jinja_dict *dict, size_t index)
{
    size_t at = dict->entries[index].hash & (dict->table_size - 1);
    while (dict->table[at])
        at = (at + 1) & (dict->table_size - 1);
    dict->table[at] = (uint32_t)index + 1;
}

/* Room in the table for all there is capacity for. */
static void make_table(ffai__jinja *j, jinja_dict *dict)
{
    dict->table_size = 2 * dict->capacity;
    dict->table = ffai__jinja_alloc(j, dict->table_size, sizeof *dict->table);
    for (size_t i = 0; i < dict->count; i++)
        put_into_table(dict, i);
}

bool ffai__jinja_dict_get(ffai__jinja *j, jinja_value *value, const jinja_dict *dict, jinja_value key)
{
    const size_t i = find(j, dict, key, hash_of(j, key));
    if (i < dict->count)
        *value = dict->entries[i].value;
    return i < dict->count;
}

void ffai__jinja_dict_set(ffai__jinja *j, jinja_dict *dict, jinja_value key, jinja_value value)
{
    const uint64_t hash = hash_of(j, key);
    const size_t i = find(j, dict, key, hash);
    if (i < dict->count) {
        dict->entries[i].value = value;
        return;
    }
    if (dict->count == dict->capacity) {
        dict->entries = ffai__jinja_grow(j, dict->entries, dict->count, &dict->capacity, sizeof *dict->entries);
        if (dict->count >= MOST_WITHOUT_TABLE)
            make_table(j, dict);
    }
    dict->entries[dict->count] = (entry){key, value, hash};
    dict->count++;
    if (dict->table)
        put_into_table(dict, dict->count - 1);
}
