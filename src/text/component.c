#include "component.h"

#include <stdio.h>
#include <string.h>

#include "utf8.h"

static ffai_status visit_at_depth(const json_t *json, const char *members, const char *place, unsigned depth,
                                  ffai__component_visit *visit, void *context, ffai_error *err)
{
    if (!json_is_object(json))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: must be an object", place);
    const char *type = NULL;
    FFAI__TRY(ffai__json_get_string(&type, json, "type", place, err));
    if (!type)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: has no \"type\"", place);
    if (strcmp(type, "Sequence") != 0)
        return visit(context, json, type, place, err);
    if (depth == FFAI__SEQUENCE_DEPTH)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: more than %d Sequences in each other", place, FFAI__SEQUENCE_DEPTH);
    const json_t *list = ffai__json_field(json, members);
    if (!json_is_array(list))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be an array", place, members);
    if (json_array_size(list) > FFAI__STEPS_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: has more than %d members", place, FFAI__STEPS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char member[FFAI__PLACE_SIZE];
        const int length = snprintf(member, sizeof member, "%s.%s[%zu]", place, members, i);
        if (length < 0 || (size_t)length >= sizeof member)
            snprintf(member, sizeof member, "%s[%zu]", members, i);
        FFAI__TRY(visit_at_depth(json_array_get(list, i), members, member, depth + 1, visit, context, err));
    }
    return FFAI_OK;
}

ffai_status ffai__component_each(const json_t *json, const char *members, const char *place,
                                 ffai__component_visit *visit, void *context, ffai_error *err)
{
    return json ? visit_at_depth(json, members, place, 0, visit, context, err) : FFAI_OK;
}

ffai_status ffai__component_unsupported(const char *type, const char *place, ffai_error *err)
{
    return ffai__fail(err, FFAI_E_UNSUPPORTED, "%s: unsupported type \"%.100s\"", place, type);
}

ffai_status ffai__component_text(const char **text, size_t *size, const json_t *json, const char *key,
                                 const char *place, ffai_error *err)
{
    const json_t *field = ffai__json_field(json, key);
    if (!json_is_string(field))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be a string", place, key);
    if (json_string_length(field) > FFAI__COMPONENT_TEXT)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: field \"%s\": is longer than %d bytes", place, key,
                          FFAI__COMPONENT_TEXT);
    *text = json_string_value(field);
    *size = json_string_length(field);
    return FFAI_OK;
}

ffai_status ffai__component_character(uint32_t *character, const json_t *json, const char *key, const char *place,
                                      ffai_error *err)
{
    const char *text = NULL;
    size_t size = 0;
    FFAI__TRY(ffai__component_text(&text, &size, json, key, place, err));
    size_t used = 0;
    if (size > 0)
        *character = ffai__utf8_get(text, &used);
    if (used != size || size == 0)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"%s\": must be one character", place, key);
    return FFAI_OK;
}
