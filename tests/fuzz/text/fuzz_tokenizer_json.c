/* Any bytes as a tokenizer.json: it loads or says why not; what loads encodes and decodes without a fault. */
#include <ffai/tokenizer.h>

#include <stdint.h>
#include <stdlib.h>

#include "tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello w\xC3\xB6rld\xF0\x9F\x98\x80  <s>12 a-b's\n\xFF\0e\xCC\x81";
    const ffai_encode_options options = FFAI_ENCODE_OPTIONS_INIT;
    ffai_error err = FFAI_ERROR_INIT;
    ffai_tokenizer *t = NULL;
    if (ffai__tokenizer_parse(&t, (const char *)data, size, NULL, "fuzz", &err) != FFAI_OK)
        return 0;
    int32_t *ids = NULL;
    size_t count = 0;
    char *decoded = NULL;
    if (ffai_tokenizer_encode(&ids, &count, t, text, sizeof text - 1, &options, &err) == FFAI_OK) {
        if (ffai_tokenizer_decode(&decoded, &size, t, ids, count, false, &err) == FFAI_OK)
            ffai_free(decoded);
        ffai_free(ids);
    }
    ffai_tokenizer_free(t);
    return 0;
}
