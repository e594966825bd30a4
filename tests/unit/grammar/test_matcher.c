/* Token masks: held against every token tried alone, on the committed tokenizer of 49,152 tokens and on a small one
 * whose decoder takes a space off the text's beginning. */
#include "../text/fixtures.h"

#include <ffai/grammar.h>

#include "grammars.h"

typedef struct {
    ffai_tokenizer *tokenizer;
    ffai_grammar *grammar;
    ffai_token_trie *trie;
    ffai_matcher *matcher;
    int32_t tokens[256]; /* accepted so far */
    size_t num_tokens;
    uint64_t seed;
} fixture;

enum { END_TOKEN = 2 };

static void open_matcher(fixture *f, ffai_tokenizer *tokenizer, ffai_grammar_language language, const char *text)
{
    const int32_t end = END_TOKEN;
    ffai_error err = FFAI_ERROR_INIT;
    *f = (fixture){.tokenizer = tokenizer, .seed = 7};
    f->grammar = compile(language, text, strlen(text));
    assert_int_equal(ffai_token_trie_create(&f->trie, tokenizer, &end, 1, &err), FFAI_OK);
    assert_int_equal(ffai_matcher_create(&f->matcher, f->grammar, f->trie, &err), FFAI_OK);
}

static void close_matcher(fixture *f)
{
    ffai_matcher_free(f->matcher);
    ffai_token_trie_free(f->trie);
    ffai_grammar_free(f->grammar);
}

static void replay(fixture *f)
{
    assert_int_equal(ffai_matcher_reset(f->matcher, NULL), FFAI_OK);
    for (size_t i = 0; i < f->num_tokens; i++)
        assert_int_equal(ffai_matcher_accept(f->matcher, f->tokens[i], NULL), FFAI_OK);
}

/* A copy of the mask; returns how many tokens it has. */
static size_t take_mask(bool *allowed, fixture *f)
{
    const uint32_t *mask = NULL;
    int32_t count = 0;
    size_t set = 0;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai_matcher_mask(&mask, &count, f->matcher, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_int_equal(count, ffai_tokenizer_vocab_size(f->tokenizer));
    for (int32_t id = 0; id < count; id++) {
        allowed[id] = mask[id / 32] >> id % 32 & 1;
        set += allowed[id];
    }
    return set;
}

static void check_every_token(const bool *allowed, fixture *f)
{
    for (int32_t id = 0; id < ffai_tokenizer_vocab_size(f->tokenizer); id++) {
        const bool accepted = ffai_matcher_accept(f->matcher, id, NULL) == FFAI_OK;
        if (accepted != allowed[id])
            fail_msg("token %d \"%s\" behind %zu others: the mask says %d", (int)id,
                     ffai_tokenizer_token(f->tokenizer, id), f->num_tokens, allowed[id]);
        if (accepted && id != END_TOKEN)
            replay(f);
    }
}

/* Take one of the tokens at random; false where the text ends. */
static bool take_token(const bool *allowed, size_t count, fixture *f)
{
    const bool may_end = ffai_matcher_may_end(f->matcher);
    assert_true(may_end == allowed[END_TOKEN]);
    if (f->num_tokens == 256 || count <= may_end || (may_end && next_random(&f->seed) % 4 == 0))
        return false;
    size_t chosen = next_random(&f->seed) % count;
    int32_t id = 0;
    for (;; id++) {
        if (allowed[id] && chosen-- == 0)
            break;
    }
    if (id == END_TOKEN)
        return false;
    assert_int_equal(ffai_matcher_accept(f->matcher, id, NULL), FFAI_OK);
    f->tokens[f->num_tokens++] = id;
    return true;
}

/* A random text along the grammar, its first masks looked at closely; the decoded text follows the grammar. */
static void walk(fixture *f, size_t looked_at)
{
    bool *allowed = ffai__calloc((size_t)ffai_tokenizer_vocab_size(f->tokenizer), sizeof *allowed);
    f->num_tokens = 0;
    assert_int_equal(ffai_matcher_reset(f->matcher, NULL), FFAI_OK);
    for (size_t i = 0;; i++) {
        const size_t count = take_mask(allowed, f);
        if (i < looked_at)
            check_every_token(allowed, f);
        if (!take_token(allowed, count, f))
            break;
    }
    if (ffai_matcher_may_end(f->matcher)) {
        size_t size = 0;
        char *text = decode(f->tokenizer, f->tokens, f->num_tokens, true, &size);
        check_match(f->grammar, "a random text", text, size, true);
        ffai__free(text);
    }
    ffai__free(allowed);
}

static void masks_are_what_each_token_alone_says(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "[^\"]{0,40}\"",
        "[a-z]{3}[a-z0-9]{4}",
        "([a-z]+ ){2}[A-Z]*",
        "(\"([^\"\\\\]|\\\\.)*\",?){1,3}",
        ".{0,3}\xC3\xA9?",
        "[^a]*(the| and){2}.*",
        "(0|[1-9]\\d{0,5})(\\.\\d+)?",
        "[\xC3\xA0-\xC3\xBC]{2,}[\\u4e00-\\u9fff]*x",
    };
    ffai_tokenizer *tokenizer = load_named("smollm2");
    assert_non_null(tokenizer);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        fixture f;
        open_matcher(&f, tokenizer, FFAI_GRAMMAR_REGEX, patterns[i]);
        for (int round = 0; round < 10; round++)
            walk(&f, round < 2 ? 3 : 0);
        close_matcher(&f);
    }
    ffai_tokenizer_free(tokenizer);
}

static void masks_follow_recursion(void **state)
{
    (void)state;
    ffai_tokenizer *tokenizer = load_named("smollm2");
    assert_non_null(tokenizer);
    fixture f;
    open_matcher(&f, tokenizer, FFAI_GRAMMAR_GBNF,
                 "root ::= \"{\" [a-z]{1,30} (\":\" root)? \"}\" | \"[\" root{0,3} \"]\"");
    for (int round = 0; round < 30; round++)
        walk(&f, round < 2 ? 4 : 0);
    close_matcher(&f);
    ffai_tokenizer_free(tokenizer);
}

/* As Llama 2's: a first space is the tokenizer's, bytes are tokens. */
static ffai_tokenizer *load_small(void)
{
    static const char json[] =
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":2,\"content\":\"</s>\","
        "\"special\":true},{\"id\":12,\"content\":\"<b>\",\"special\":false,\"normalized\":false}],"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
        "\"\xE2\x96\x81\"},"
        "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
        "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
        "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"merges\":[],\"vocab\":{\"<unk>\":0,\"</s>\":2,\"<s>\":1,"
        "\"\xE2\x96\x81\":3,\"\xE2\x96\x81"
        "a\":4,\"a\":5,\"b\":6,\"ab\":7,\"\xE2\x96\x81"
        "ab\":8,\"<0xC3>\":9,"
        "\"<0xA9>\":10,\"\xC3\xA9\":11}}}";
    ffai_tokenizer *tokenizer = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__tokenizer_parse(&tokenizer, json, sizeof json - 1, NULL, "small", &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return tokenizer;
}

static void check_mask(ffai_matcher *matcher, const char *expected)
{
    const uint32_t *mask = NULL;
    int32_t count = 0;
    assert_int_equal(ffai_matcher_mask(&mask, &count, matcher, NULL), FFAI_OK);
    char found[32] = {0};
    for (int32_t id = 0; id < count; id++)
        found[id] = mask[id / 32] >> id % 32 & 1 ? '1' : '0';
    assert_string_equal(found, expected);
}

static void bytes_are_those_of_the_decoded_text(void **state)
{
    (void)state;
    ffai_tokenizer *tokenizer = load_small();
    fixture f;
    open_matcher(&f, tokenizer, FFAI_GRAMMAR_REGEX, "(ab?\xC3\xA9)+( a|<b>)?");
    check_mask(f.matcher, "0000110110000"); /* the first space is dropped */
    assert_int_equal(ffai_matcher_accept(f.matcher, 8, NULL), FFAI_OK);
    check_mask(f.matcher, "0000000001010"); /* the character, or its first byte */
    assert_int_equal(ffai_matcher_accept(f.matcher, 9, NULL), FFAI_OK);
    check_mask(f.matcher, "0000000000100");
    assert_int_equal(ffai_matcher_accept(f.matcher, 11, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai_matcher_accept(f.matcher, 10, NULL), FFAI_OK);
    assert_true(ffai_matcher_may_end(f.matcher) && !ffai_matcher_must_end(f.matcher));
    check_mask(f.matcher, "0011110100001"); /* the end, and later spaces are spaces */
    assert_int_equal(ffai_matcher_accept(f.matcher, 12, NULL), FFAI_OK);
    assert_true(ffai_matcher_must_end(f.matcher));
    check_mask(f.matcher, "0010000000000");
    close_matcher(&f);
    ffai_tokenizer_free(tokenizer);
}

static void a_text_that_no_token_continues_is_an_error(void **state)
{
    (void)state;
    ffai_tokenizer *tokenizer = load_small();
    fixture f;
    open_matcher(&f, tokenizer, FFAI_GRAMMAR_REGEX, "az");
    assert_int_equal(ffai_matcher_accept(f.matcher, 5, NULL), FFAI_OK);
    const uint32_t *mask = NULL;
    int32_t count = 0;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai_matcher_mask(&mask, &count, f.matcher, &err), FFAI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no token goes on"));
    assert_int_equal(ffai_matcher_accept(f.matcher, END_TOKEN, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai_matcher_accept(f.matcher, 1, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai_matcher_accept(f.matcher, -1, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai_matcher_accept(f.matcher, 13, NULL), FFAI_E_ARGUMENT);
    close_matcher(&f);
    ffai_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_what_each_token_alone_says),
        cmocka_unit_test(masks_follow_recursion),
        cmocka_unit_test(bytes_are_those_of_the_decoded_text),
        cmocka_unit_test(a_text_that_no_token_continues_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
