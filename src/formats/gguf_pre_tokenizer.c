#include "gguf_pre_tokenizer.h"

#include <string.h>

#define BYTE_LEVEL(prefix, trim, regex)                                                                                \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" #prefix ",\"trim_offsets\":" #trim ",\"use_regex\":" #regex "}"
#define SEQUENCE(first, second) "{\"type\":\"Sequence\",\"pretokenizers\":[" first "," second "]}"
#define SPLIT(regex)                                                                                                   \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define DIGITS "{\"type\":\"Digits\",\"individual_digits\":true}"

/* The regexes of Llama 3 and Qwen 2, which differ in how many digits stay together; escaped for JSON in C. */
#define WORDS(digits)                                                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits                                     \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static const ffai__gguf_pre_tokenizer known[] = {
    {"smollm", "null", SEQUENCE(DIGITS, BYTE_LEVEL(false, true, true)), NULL, BYTE_LEVEL(true, true, true), "null",
     false, false, "GPT2Tokenizer"},
    {"llama-bpe", "null", SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}")), BYTE_LEVEL(false, true, false)),
     BYTE_LEVEL(true, false, true), BYTE_LEVEL(true, true, true), "null", true, true, "PreTrainedTokenizerFast"},
    {"qwen2", "{\"type\":\"NFC\"}", SEQUENCE(SPLIT(WORDS("\\\\p{N}")), BYTE_LEVEL(false, false, false)),
     BYTE_LEVEL(false, false, false), BYTE_LEVEL(false, false, false), "\"\"", false, false, "Qwen2Tokenizer"},
    {"gpt-2", "null", BYTE_LEVEL(false, true, true), BYTE_LEVEL(true, false, true), BYTE_LEVEL(true, true, true),
     "\"\"", false, false, "GPT2Tokenizer"},
};

static bool equals(const ffai__text *text, const char *name)
{
    return strlen(name) == text->size && memcmp(name, text->data, text->size) == 0;
}

static int shown(const ffai__text *text)
{
    return text->size < 64 ? (int)text->size : 64;
}

ffai_status ffai__gguf_pre_tokenizer_of(const ffai__gguf_pre_tokenizer **out, const ffai__gguf *file, ffai_error *err)
{
    ffai__text model = {"", 0};
    ffai__text name = {"", 0};
    FFAI__TRY(ffai__gguf_get_text(&model, file, "tokenizer.ggml.model", err));
    FFAI__TRY(ffai__gguf_get_text(&name, file, "tokenizer.ggml.pre", err));
    if (!equals(&model, "gpt2"))
        return ffai__fail(err, FFAI_E_UNSUPPORTED,
                          "%s: key \"tokenizer.ggml.model\": \"%.*s\" is not supported; only gpt2 is", file->what,
                          shown(&model), model.data);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (equals(&name, known[i].name)) {
            *out = &known[i];
            return FFAI_OK;
        }
    }
    return ffai__fail(err, FFAI_E_UNSUPPORTED,
                      "%s: key \"tokenizer.ggml.pre\": the pre-tokenizer \"%.*s\" is not known; smollm, llama-bpe, "
                      "qwen2 and gpt-2 are",
                      file->what, shown(&name), name.data);
}
