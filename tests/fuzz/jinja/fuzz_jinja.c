/* Any bytes as a template: it is parsed and rendered, or says why not, within its budgets. */
#include <stdint.h>
#include <stdlib.h>

#include "jinja.h"
#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *variables(void)
{
    static const char text[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \" h\xC3\xA4llo\\n\"}, {\"role\": \"assistant\","
        "\"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"a\": 1.5}}}]}],"
        "\"tools\": [{\"type\": \"function\", \"x\": [true, {}]}], \"s\": \"a,b\", \"n\": 3}";
    static json_t *parsed;
    ffai_error err;
    if (!parsed && ffai__json_parse_as_written(&parsed, text, sizeof text - 1, "variables", &err) != FFAI_OK)
        abort();
    return parsed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ffai__jinja_input input = {.data = variables(), .limits = {.steps = 20000, .bytes = 1 << 22}};
    ffai__jinja_template *parsed = NULL;
    ffai__jinja_output output = {.text = NULL};
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__jinja_parse(&parsed, (const char *)data, size, "fuzz", &err) != FFAI_OK)
        return 0;
    if (ffai__jinja_render(&output, parsed, &input, &err) == FFAI_OK) {
        for (size_t i = 0; i < output.num_data; i++) {
            if (output.data[i].begin >= output.data[i].end || output.data[i].end > output.size)
                abort();
        }
        ffai__jinja_output_free(&output);
    }
    ffai__jinja_free(parsed);
    return 0;
}
