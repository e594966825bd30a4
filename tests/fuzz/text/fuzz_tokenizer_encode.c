/* Any text through a small byte-level tokenizer: decoding gives the text back (with U+FFFD for what is no UTF-8),
 * and so do the pieces of a stream. */
#include <ffai/tokenizer.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "byte_level.h"
#include "tokenizer.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

/* The 256 bytes, a few merges, and added tokens; GPT-2's regex, or Llama 3's. */
static ffai_tokenizer *create(int kind)
{
    static const char *const patterns[] = {
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}",
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'"
        "ll|'d)|"
        "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
        "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|"
        "\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},"
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}",
    };
    ffai__buffer json = FFAI__BUFFER_INIT;
    ffai__buffer_format(
        &json,
        "{\"added_tokens\":[{\"id\":261,\"content\":\"<s>\",\"special\":true,\"normalized\":false},"
        "{\"id\":262,\"content\":\"ab\",\"normalized\":false}],"
        "\"pre_tokenizer\":%s,\"decoder\":{\"type\":\"ByteLevel\"},"
        "\"model\":{\"type\":\"BPE\",\"merges\":[\"a a\",\"aa aa\",\"t h\",\"th e\",\"\\u0120 the\"],\"vocab\":{",
        patterns[kind]);
    for (unsigned byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        ffai__buffer_text(&json, byte == '"' || byte == '\\' ? "\"\\" : "\"");
        ffai__byte_level_spell(&json, &c, 1);
        ffai__buffer_format(&json, "\":%u,", byte);
    }
    ffai__buffer_text(&json, "\"aa\":256,\"aaaa\":257,\"th\":258,\"the\":259,\"\\u0120the\":260}}}");
    ffai_tokenizer *t = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    CHECK(ffai__tokenizer_parse(&t, json.data, json.size, NULL, "fuzz", &err) == FFAI_OK);
    ffai__buffer_free(&json);
    return t;
}

static void stream(ffai__buffer *out, const ffai_tokenizer *t, const int32_t *ids, size_t count)
{
    ffai_detokenizer *d = NULL;
    CHECK(ffai_detokenizer_create(&d, t, false, NULL) == FFAI_OK);
    for (size_t i = 0; i <= count; i++) {
        const char *piece = NULL;
        size_t size = 0;
        CHECK((i < count ? ffai_detokenizer_push(&piece, &size, d, ids[i], NULL)
                         : ffai_detokenizer_finish(&piece, &size, d, NULL)) == FFAI_OK);
        CHECK(size == 0 || ffai__utf8_valid(piece, size));
        ffai__buffer_append(out, piece, size);
    }
    ffai_detokenizer_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static ffai_tokenizer *tokenizers[2];
    if (size == 0)
        return 0;
    const int kind = data[0] & 1;
    const ffai_encode_options options = {.parse_special = (data[0] & 2) != 0};
    if (!tokenizers[kind])
        tokenizers[kind] = create(kind);
    const ffai_tokenizer *t = tokenizers[kind];
    ffai__buffer repaired = FFAI__BUFFER_INIT;
    ffai__buffer pieces = FFAI__BUFFER_INIT;
    ffai__utf8_append_repaired(&repaired, (const char *)data + 1, size - 1);
    int32_t *ids = NULL;
    size_t count = 0;
    CHECK(ffai_tokenizer_encode(&ids, &count, t, (const char *)data + 1, size - 1, &options, NULL) == FFAI_OK);
    char *text = NULL;
    size_t text_size = 0;
    CHECK(ffai_tokenizer_decode(&text, &text_size, t, ids, count, false, NULL) == FFAI_OK);
    CHECK(text_size == repaired.size && memcmp(text, repaired.data, text_size) == 0);
    stream(&pieces, t, ids, count);
    CHECK(pieces.size == text_size && memcmp(text, pieces.size ? pieces.data : "", text_size) == 0);
    ffai__buffer_free(&repaired);
    ffai__buffer_free(&pieces);
    ffai_free(text);
    ffai_free(ids);
    return 0;
}
