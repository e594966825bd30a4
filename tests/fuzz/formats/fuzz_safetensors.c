/* Input: a config.json, a byte 0, a safetensors file. Without a 0 the whole is the file. */
#include <string.h>

#include "json.h"
#include "read_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ffai_error err = FFAI_ERROR_INIT;
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    const size_t length = data && end && *data == '{' ? (size_t)(end - data) : 0;
    json_t *config = NULL;
    if (length && ffai__json_parse(&config, (const char *)data, length, "config.json", &err) != FFAI_OK)
        return 0;
    const uint8_t *file = length ? end + 1 : data;
    ffai__checkpoint *checkpoint = NULL;
    if (!config)
        config = json_object();
    if (ffai__checkpoint_open_bytes(&checkpoint, config, file, size - (size_t)(file - data), &err) != FFAI_OK)
        return 0;
    read_all(checkpoint);
    ffai__checkpoint_close(checkpoint);
    return 0;
}
