#include "json_output.h"

#include <math.h>

#include "report.h"

json_t *json_of_ids(const int32_t *ids, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(array, json_integer(ids[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *json_of_measure(double value)
{
    return json_real(isfinite(value) ? round(value * 1e6) / 1e6 : 0);
}

static int append(const char *bytes, size_t size, void *out)
{
    output_write(out, bytes, size);
    return 0;
}

ffai_status json_print(output *out, json_t *object, ffai_error *err)
{
    const int failed = !object || json_dump_callback(object, append, out, JSON_REAL_PRECISION(12)) != 0;
    json_decref(object);
    output_text(out, "\n");
    return failed ? failure_memory(err, "json") : FFAI_OK;
}
