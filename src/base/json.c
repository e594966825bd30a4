#include "json.h"

#include <math.h>
#include <pthread.h>

#include "alloc.h"
#include "file_map.h"

static const double exact_integers = 9007199254740992.0; /* 2^53 */

/* --- memory ---
 *
 * jansson does not look at whether the text of a token could be grown: the character is lost, and where it was the
 * closing quote, it writes past the end. Nor do its printer and its deep copy look everywhere. So its allocator,
 * whatever it is, is called through one that remembers for each thread that it failed; and a parse has a reserve, as
 * large as any token's text can get, from which that one allocation is served: then the input ends. */
static json_malloc_t next_malloc;
static json_free_t next_free;
static _Thread_local bool allocation_failed;
static _Thread_local void *reserve;
static _Thread_local size_t reserve_size; /* 0 once it is in use */

static void *allocate(size_t size)
{
    void *memory = next_malloc(size);
    if (memory)
        return memory;
    allocation_failed = true;
    if (size > reserve_size)
        return NULL;
    reserve_size = 0;
    return reserve;
}

static void release(void *memory)
{
    if (memory && memory != reserve)
        next_free(memory);
}

static void watch_allocations(void)
{
    json_get_alloc_funcs(&next_malloc, &next_free);
    json_set_alloc_funcs(allocate, release);
}

void ffai__json_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_allocations);
    allocation_failed = false;
}

bool ffai__json_lost(void)
{
    return allocation_failed;
}

char *ffai__json_dump(const json_t *document, size_t flags)
{
    ffai__json_watch();
    char *text = json_dumps(document, flags);
    char *copy = text && !ffai__json_lost() ? ffai__strdup(text) : NULL;
    release(text);
    return copy;
}

json_t *ffai__json_copy(const json_t *document)
{
    ffai__json_watch();
    json_t *copy = json_deep_copy(document);
    if (!ffai__json_lost())
        return copy;
    json_decref(copy);
    return NULL;
}

/* --- parsing --- */

typedef struct {
    const char *at;
    size_t left;
} input;

/* One byte at a time, so that nothing is read after an allocation has failed. */
static size_t next_byte(void *buffer, size_t room, void *context)
{
    input *in = context;
    if (!in->left || allocation_failed || !room)
        return 0;
    *(char *)buffer = *in->at++;
    in->left--;
    return 1;
}

/* The text of a token is at most as long as the input, and jansson doubles its room. */
static json_t *parse_with_reserve(const char *bytes, size_t size, size_t flags, json_error_t *where)
{
    input in = {bytes, size};
    ffai__json_watch();
    const size_t room = 2 * (size + 64);
    reserve = ffai__malloc(room);
    reserve_size = reserve ? room : 0;
    allocation_failed = !reserve;
    json_t *root = NULL;
    if (reserve)
        root = json_load_callback(next_byte, &in, flags | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, where);
    if (allocation_failed) {
        json_decref(root);
        root = NULL;
    }
    ffai__free(reserve);
    reserve = NULL;
    reserve_size = 0;
    return root;
}

static bool ends_early(const json_error_t *where)
{
    return json_error_code(where) == json_error_premature_end_of_input;
}

static ffai_status parse(json_t **out, const char *bytes, size_t size, size_t flags, const char *what, ffai_error *err)
{
    json_error_t where;
    if (size > SIZE_MAX / 4)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: has %zu bytes", what, size);
    json_t *root = parse_with_reserve(bytes, size, flags, &where);
    if (allocation_failed)
        return ffai__fail_memory(err, what, size);
    if (!root)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: is not valid JSON: line %d, column %d: %s%s", what, where.line,
                          where.column, where.text, ends_early(&where) ? ": it looks cut off; fetch it again" : "");
    *out = root;
    return FFAI_OK;
}

ffai_status ffai__json_parse(json_t **out, const char *bytes, size_t size, const char *what, ffai_error *err)
{
    return parse(out, bytes, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, what, err);
}

ffai_status ffai__json_parse_as_written(json_t **out, const char *bytes, size_t size, const char *what, ffai_error *err)
{
    return parse(out, bytes, size, JSON_DECODE_ANY, what, err);
}

ffai_status ffai__json_read(json_t **out, const char *path, size_t limit, ffai_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    FFAI__TRY(ffai__file_read(&bytes, &size, path, limit, err));
    const ffai_status status = ffai__json_parse(out, bytes, size, path, err);
    ffai__free(bytes);
    return status;
}

json_t *ffai__json_field(const json_t *object, const char *key)
{
    json_t *field = json_object_get(object, key);
    return json_is_null(field) ? NULL : field;
}

bool ffai__json_integer(int64_t *integer, const json_t *value)
{
    if (!json_is_number(value))
        return false;
    const double number = json_number_value(value);
    if (!(fabs(number) <= exact_integers) || number != floor(number))
        return false;
    *integer = (int64_t)number;
    return true;
}

ffai_status ffai__json_get_int(int64_t *value, const json_t *object, const char *key, int64_t least, int64_t most,
                               const char *what, ffai_error *err)
{
    const json_t *field = ffai__json_field(object, key);
    if (!field)
        return FFAI_OK;
    int64_t number = 0;
    if (!ffai__json_integer(&number, field) || number < least || number > most)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be an integer from %lld to %lld", what, key,
                          (long long)least, (long long)most);
    *value = number;
    return FFAI_OK;
}

ffai_status ffai__json_get_double(double *value, const json_t *object, const char *key, double least, double most,
                                  const char *what, ffai_error *err)
{
    const json_t *field = ffai__json_field(object, key);
    if (!field)
        return FFAI_OK;
    const double number = json_is_number(field) ? json_number_value(field) : NAN;
    if (!(number >= least && number <= most))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be a number from %g to %g", what, key, least,
                          most);
    *value = number;
    return FFAI_OK;
}

ffai_status ffai__json_get_bool(bool *value, const json_t *object, const char *key, const char *what, ffai_error *err)
{
    const json_t *field = ffai__json_field(object, key);
    if (!field)
        return FFAI_OK;
    if (!json_is_boolean(field))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be true or false", what, key);
    *value = json_is_true(field);
    return FFAI_OK;
}

ffai_status ffai__json_get_string(const char **value, const json_t *object, const char *key, const char *what,
                                  ffai_error *err)
{
    const json_t *field = ffai__json_field(object, key);
    if (!field)
        return FFAI_OK;
    if (!json_is_string(field))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be a string", what, key);
    *value = json_string_value(field);
    return FFAI_OK;
}
