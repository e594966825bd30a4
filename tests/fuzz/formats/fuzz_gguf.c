/* Input: a GGUF file. Its tokenizer is rebuilt and must be JSON, with its lists in it and with them apart. */
#include "alloc.h"
#include "json.h"
#include "read_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NULL where there is none. */
static json_t *read_tokenizer(ffai__tokenizer_lists *lists, const ffai__checkpoint *checkpoint)
{
    ffai_error err = FFAI_ERROR_INIT;
    char *text = NULL;
    size_t size = 0;
    json_t *document = NULL;
    if (ffai__checkpoint_tokenizer_json(&text, &size, lists, checkpoint, &err) == FFAI_OK &&
        ffai__json_parse(&document, text, size, "tokenizer.json", &err) != FFAI_OK)
        abort();
    ffai__free(text);
    return document;
}

static void check_lists(const ffai__tokenizer_lists *lists, const json_t *model)
{
    const json_t *vocab = json_object_get(model, "vocab");
    size_t tokens = 0;
    for (size_t id = 0; id < lists->num_tokens; id++) {
        if (!lists->tokens[id].data)
            continue;
        char *key = ffai__strndup(lists->tokens[id].data, lists->tokens[id].size);
        if (json_number_value(json_object_get(vocab, key)) != (double)id)
            abort();
        ffai__free(key);
        tokens++;
    }
    const bool listed = !lists->ranks; /* else the JSON has merges that follow from the ranks */
    if (tokens != json_object_size(vocab) ||
        (listed && lists->num_merges != json_array_size(json_object_get(model, "merges"))))
        abort();
}

static void read_documents(const ffai__checkpoint *checkpoint)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__tokenizer_lists lists = {NULL, 0, NULL, 0, NULL};
    json_t *whole = read_tokenizer(NULL, checkpoint);
    json_t *rest = read_tokenizer(&lists, checkpoint);
    if (whole && !rest) /* equal tokens are refused here in JSON, in lists by their reader */
        abort();
    if (whole)
        check_lists(&lists, json_object_get(whole, "model"));
    ffai__tokenizer_lists_free(&lists);
    json_decref(whole);
    json_decref(rest);
    json_t *document = NULL;
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
