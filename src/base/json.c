#include "json.h"

#include <math.h>

#include "alloc.h"
#include "file_map.h"

static const double exact_integers = 9007199254740992.0; /* 2^53 */

ffai_status ffai__json_parse(json_t **out, const char *bytes, size_t size, const char *what, ffai_error *err)
{
    json_error_t where;
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
    json_t *root = json_loadb(bytes, size, flags, &where);
    /* jansson tells of lacking memory by its code or, in places, by an error without a place. */
    if (!root && (json_error_code(&where) == json_error_out_of_memory || where.line < 0))
        return ffai__fail_memory(err, what, size);
    if (!root)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: is not valid JSON: line %d, column %d: %s", what, where.line,
                          where.column, where.text);
    *out = root;
    return FFAI_OK;
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
