#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "json_reading.h"

json_t *json_of_text(const char *text)
{
    json_error_t problem;
    json_t *document = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    check_says(document != NULL, __FILE__, __LINE__, "%s in: %.300s", problem.text, text);
    return document;
}

json_t *json_at(json_t *object, const char *path)
{
    while (object && path) {
        const size_t length = strcspn(path, ".");
        char key[64] = {0};
        memcpy(key, path, length < sizeof key - 1 ? length : sizeof key - 1);
        object = json_object_get(object, key);
        path = path[length] ? path + length + 1 : NULL;
    }
    return object;
}

bool json_is_text(const json_t *string, const char *text)
{
    const char *value = json_string_value(string);
    return value && strcmp(value, text) == 0;
}

bool json_is_ids(const json_t *array, const char *ids)
{
    json_t *expected = json_of_text(ids);
    const bool equal = array && json_equal(array, expected);
    json_decref(expected);
    return equal;
}
