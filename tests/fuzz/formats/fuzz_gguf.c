/* Input: a GGUF file. Its tokenizer is rebuilt and must be JSON. */
#include "alloc.h"
#include "json.h"
#include "read_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_documents(const ffai__checkpoint *checkpoint)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *text = NULL;
    size_t size = 0;
    json_t *document = NULL;
    if (ffai__checkpoint_tokenizer_json(&text, &size, checkpoint, &err) == FFAI_OK) {
        if (ffai__json_parse(&document, text, size, "tokenizer.json", &err) != FFAI_OK)
            abort();
        json_decref(document);
    }
    ffai__free(text);
    document = NULL;
    if (ffai__checkpoint_tokenizer_config(&document, checkpoint, &err) == FFAI_OK)
        json_decref(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__checkpoint *checkpoint = NULL;
    if (ffai__checkpoint_open_bytes(&checkpoint, NULL, data, size, &err) != FFAI_OK)
        return 0;
    read_documents(checkpoint);
    read_all(checkpoint);
    ffai__checkpoint_close(checkpoint);
    return 0;
}
