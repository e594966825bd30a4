#include "gguf_pre_tokenizer.h"

#include <string.h>

#include "alloc.h"
#include "buffer.h"

#define BYTE_LEVEL(prefix, trim, regex)                                                                                \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" #prefix ",\"trim_offsets\":" #trim ",\"use_regex\":" #regex "}"
#define SEQUENCE(parts) "{\"type\":\"Sequence\",\"pretokenizers\":[" parts "]}"
#define SPLIT(regex)                                                                                                   \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define DIGITS "{\"type\":\"Digits\",\"individual_digits\":true}"
#define NFC    "{\"type\":\"NFC\"}"

/* Regexes are escaped for JSON in C. */

#define ENDS     "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+" /* of lines, and other whitespace */
#define SUFFIXES "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define FIRST    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" /* what a word may begin with */
#define OTHERS   " ?[^\\\\s\\\\p{L}\\\\p{N}]+"

/* The regexes of Llama 3 and Qwen 2, which differ in how many digits stay together. */
#define WORDS(digits) SUFFIXES "|" FIRST "\\\\p{L}+|" digits "|" OTHERS "[\\\\r\\\\n]*|" ENDS

/* Those of Mistral's Tekken and GPT-4o: a word begins anew where a capital follows a small letter. */
#define CAPITALS "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define SMALL    "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define CASED(digits, suffixes)                                                                                        \
    FIRST CAPITALS "*" SMALL "+" suffixes "|" FIRST CAPITALS "+" SMALL "*" suffixes "|" digits "|" OTHERS              \
                   "[\\\\r\\\\n/]*|" ENDS

#define QWEN35                                                                                                         \
    SUFFIXES "|" FIRST "[\\\\p{L}\\\\p{M}]+|\\\\p{N}| "                                                                \
             "?[^\\\\s\\\\p{L}\\\\p{M}\\\\p{N}]+[\\\\r\\\\n]*|" ENDS
#define SEED_CODER SUFFIXES "|" FIRST "\\\\p{L}+|\\\\p{N}{1}| ?[^\\\\s\\\\p{L}\\\\p{N}\\\\r\\\\n]+|" ENDS
#define DEEPSEEK_3                                                                                                     \
    "[!\\\"#$%&'()*+,\\\\-./:;<=>?@\\\\[\\\\\\\\\\\\]^_`{|}~][A-Za-z]+"                                                \
    "|[^\\\\r\\\\n\\\\p{L}\\\\p{P}\\\\p{S}]?[\\\\p{L}\\\\p{M}]+| ?[\\\\p{P}\\\\p{S}]+[\\\\r\\\\n]*|" ENDS
#define GPT_2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+|" OTHERS "|\\\\s+(?!\\\\S)|\\\\s+"

/* The rest of an entry: post-processor, decoder, affixes. */
#define PLAIN    NULL, BYTE_LEVEL(true, true, true), "null"
#define AS_GPT_2 BYTE_LEVEL(true, false, true), BYTE_LEVEL(true, true, true), "\"\""
#define AS_QWEN  BYTE_LEVEL(false, false, false), BYTE_LEVEL(false, false, false), "\"\""

#define LLAMA_3 SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}")) "," BYTE_LEVEL(false, true, false))
#define QWEN_2  SEQUENCE(SPLIT(WORDS("\\\\p{N}")) "," BYTE_LEVEL(false, false, false))
#define FAST    "PreTrainedTokenizerFast"

#define LLAMA_3_AS(name)                                                                                               \
    {                                                                                                                  \
        name, "null", LLAMA_3, BYTE_LEVEL(true, false, true), BYTE_LEVEL(true, true, true), "null", true, false, true, \
            FAST                                                                                                       \
    }
#define PLAIN_AS(name, pre_tokenizer)                                                                                  \
    {                                                                                                                  \
        name, "null", pre_tokenizer, PLAIN, false, false, false, FAST                                                  \
    }
#define GPT_2_AS(name)                                                                                                 \
    {                                                                                                                  \
        name, "null", BYTE_LEVEL(false, true, true), AS_GPT_2, false, false, false, "GPT2Tokenizer"                    \
    }
#define DIGITS_AS(name)                                                                                                \
    {                                                                                                                  \
        name, "null", SEQUENCE(DIGITS "," BYTE_LEVEL(false, true, true)), PLAIN, false, false, false, "GPT2Tokenizer"  \
    }
#define QWEN_AS(name, normalizer, pre_tokenizer)                                                                       \
    {                                                                                                                  \
        name, normalizer, pre_tokenizer, AS_QWEN, false, false, false, "Qwen2Tokenizer"                                \
    }

/* Behind the splits of another pre-tokenizer. */
#define BYTES BYTE_LEVEL(false, true, false)

static const ffai__gguf_pre_tokenizer known[] = {
    DIGITS_AS("smollm"),
    DIGITS_AS("starcoder"),
    DIGITS_AS("refact"),
    LLAMA_3_AS("llama-bpe"),
    LLAMA_3_AS("llama3"),
    LLAMA_3_AS("llama-v3"),
    LLAMA_3_AS("falcon3"),
    PLAIN_AS("smaug-bpe", LLAMA_3),
    PLAIN_AS("dbrx", LLAMA_3),
    QWEN_AS("qwen2", NFC, QWEN_2),
    QWEN_AS("deepseek-r1-qwen", "null", QWEN_2),
    QWEN_AS("qwen35", NFC, SEQUENCE(SPLIT(QWEN35) "," BYTE_LEVEL(false, false, false))),
    PLAIN_AS("stablelm2", QWEN_2),
    PLAIN_AS("megrez", QWEN_2),
    GPT_2_AS("gpt-2"),
    GPT_2_AS("phi-2"),
    GPT_2_AS("olmo"),
    GPT_2_AS("mpt"),
    {"tekken", "null", SEQUENCE(SPLIT(CASED("\\\\p{N}", "")) "," BYTES), PLAIN, true, false, true, FAST},
    PLAIN_AS("gpt-4o", SEQUENCE(SPLIT(CASED("\\\\p{N}{1,3}", SUFFIXES "?")) "," BYTES)),
    PLAIN_AS("llama4", SEQUENCE(SPLIT(CASED("\\\\p{N}{1,3}", SUFFIXES "?")) "," BYTES)),
    PLAIN_AS("seed-coder", SEQUENCE(SPLIT(SEED_CODER) "," BYTES)),
    PLAIN_AS("deepseek-v3",
             SEQUENCE(SPLIT("\\\\p{N}{1,3}") "," SPLIT("[一-龥぀-ゟ゠-ヿ]+") "," SPLIT(DEEPSEEK_3) "," BYTES)),
    PLAIN_AS("deepseek-coder",
             SEQUENCE(SPLIT("[\\\\r\\\\n]") "," SPLIT("\\\\s?\\\\p{L}+") "," SPLIT("\\\\s?\\\\p{P}+") "," SPLIT(
                 "[一-龥ࠀ-一가-퟿]+") "," SPLIT("\\\\p{N}") "," BYTES)),
    PLAIN_AS("default", SEQUENCE(SPLIT("[\\\\p{P}\\\\$\\\\+<=>\\\\^~\\\\|]+") "," SPLIT(GPT_2) "," SPLIT(
                            "\\\\p{N}+") "," SPLIT("[0-9][0-9][0-9]") "," BYTES)),
};

/* ---- SentencePiece ---- */

#define STEPS(steps)          "{\"type\":\"Sequence\",\"normalizers\":[" steps "]}"
#define REGEX(regex, content) "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"" regex "\"},\"content\":\"" content "\"}"
#define ESCAPE                "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}"
#define PREFIX                "{\"type\":\"Prepend\",\"prepend\":\"▁\"}"
#define SINGLE_SPACES         REGEX("\\\\A +|[ ▁]+\\\\z", "") "," REGEX(" {2,}", " ")
#define DECODER(last)                                                                                                  \
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"▁\"},\"content\":\" \"},"  \
    "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}" last "]}"
#define STRIP ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"

#define SENTENCE_PIECE(steps, strip)                                                                                   \
    {                                                                                                                  \
        "llama", STEPS(steps), "null", NULL, DECODER(strip), "null", false, true, true, FAST                           \
    }

/* By remove_extra_whitespaces and add_space_prefix. */
static const ffai__gguf_pre_tokenizer sentence_piece[2][2] = {
    {SENTENCE_PIECE(ESCAPE, ""), SENTENCE_PIECE(PREFIX "," ESCAPE, STRIP)},
    {SENTENCE_PIECE(SINGLE_SPACES "," ESCAPE, ""), SENTENCE_PIECE(SINGLE_SPACES "," PREFIX "," ESCAPE, STRIP)},
};

static ffai_status choose_sentence_piece(const ffai__gguf_pre_tokenizer **out, const ffai__gguf *file, ffai_error *err)
{
    bool prefix = true;
    bool single_spaces = false;
    FFAI__TRY(ffai__gguf_get_bool(&prefix, file, "tokenizer.ggml.add_space_prefix", err));
    FFAI__TRY(ffai__gguf_get_bool(&single_spaces, file, "tokenizer.ggml.remove_extra_whitespaces", err));
    if (ffai__gguf_find(file, "tokenizer.ggml.precompiled_charsmap"))
        return ffai__fail(err, FFAI_E_UNSUPPORTED,
                          "%s: key \"tokenizer.ggml.precompiled_charsmap\": normalizing by a table is not supported",
                          file->what);
    *out = &sentence_piece[single_spaces][prefix];
    return FFAI_OK;
}

/* ---- choosing ---- */

static int shown(const ffai__text *text)
{
    return text->size < 64 ? (int)text->size : 64;
}

static ffai_status refuse_name(const ffai__text *name, const ffai__gguf *file, ffai_error *err)
{
    const size_t count = sizeof known / sizeof *known;
    ffai__buffer list = FFAI__BUFFER_INIT;
    for (size_t i = 0; i < count; i++)
        ffai__buffer_format(&list, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " and ", known[i].name);
    const ffai_status status = ffai__fail(
        err, FFAI_E_UNSUPPORTED, "%s: key \"tokenizer.ggml.pre\": the pre-tokenizer \"%.*s\" is not known; %s are",
        file->what, shown(name), name->data, list.failed ? "others" : list.data);
    ffai__buffer_free(&list);
    return status;
}

ffai_status ffai__gguf_pre_tokenizer_of(const ffai__gguf_pre_tokenizer **out, const ffai__gguf *file, ffai_error *err)
{
    ffai__text model = {"", 0};
    ffai__text name = {"", 0};
    FFAI__TRY(ffai__gguf_get_text(&model, file, "tokenizer.ggml.model", err));
    FFAI__TRY(ffai__gguf_get_text(&name, file, "tokenizer.ggml.pre", err));
    if (ffai__text_is(&model, "llama"))
        return choose_sentence_piece(out, file, err);
    if (!ffai__text_is(&model, "gpt2"))
        return ffai__fail(err, FFAI_E_UNSUPPORTED,
                          "%s: key \"tokenizer.ggml.model\": \"%.*s\" is not supported; gpt2 and llama are", file->what,
                          shown(&model), model.data);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (ffai__text_is(&name, known[i].name)) {
            *out = &known[i];
            return FFAI_OK;
        }
    }
    return refuse_name(&name, file, err);
}
