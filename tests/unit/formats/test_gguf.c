/* GGUF: the parser, names, row order, config and the rebuilt tokenizer. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "alloc.h"
#include "contents.h"
#include "gguf_names.h"
#include "json.h"

#define DATA FFAI_SOURCE_DIR "/tests/data/formats/"

typedef struct {
    uint8_t *bytes;
    size_t size;
} file;

static file read_file(const char *name)
{
    char path[512];
    char *bytes = NULL;
    file in = {NULL, 0};
    ffai_error err = FFAI_ERROR_INIT;
    snprintf(path, sizeof path, DATA "%s", name);
    if (ffai__file_read(&bytes, &in.size, path, 1 << 20, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    in.bytes = (uint8_t *)bytes;
    return in;
}

static ffai__checkpoint *open_bytes(const file *in)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__checkpoint_open_bytes(&checkpoint, NULL, in->bytes, in->size, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return checkpoint;
}

static void assert_refused(const file *in, ffai_status status, const char *part)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_status got = ffai__checkpoint_open_bytes(&checkpoint, NULL, in->bytes, in->size, &err);
    if (got != status || !strstr(err.message, part))
        fail_msg("status %d, \"%s\" is not in: %s", (int)got, part, err.message);
    assert_null(checkpoint);
}

/* Where a key's or a name's text begins, behind its length. */
static uint8_t *find(const file *in, const char *text)
{
    uint8_t *at = memmem(in->bytes, in->size, text, strlen(text));
    assert_non_null(at);
    return at;
}

static json_t *tokenizer_of(const char *name)
{
    file in = read_file(name);
    ffai__checkpoint *checkpoint = open_bytes(&in);
    ffai_error err = FFAI_ERROR_INIT;
    char *text = NULL;
    size_t size = 0;
    json_t *tokenizer = NULL;
    if (ffai__checkpoint_tokenizer_json(&text, &size, NULL, checkpoint, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ffai__json_parse(&tokenizer, text, size, "tokenizer.json", &err), FFAI_OK);
    ffai__free(text);
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
    return tokenizer;
}

/* ---- the tokenizer ---- */

static void check_structure(const char *pre)
{
    char name[64];
    json_t *expected = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    snprintf(name, sizeof name, "%s.gguf", pre);
    json_t *tokenizer = tokenizer_of(name);
    json_object_del(tokenizer, "added_tokens");
    json_object_del(json_object_get(tokenizer, "model"), "vocab");
    json_object_del(json_object_get(tokenizer, "model"), "merges");
    snprintf(name, sizeof name, "%s.expected.json", pre);
    file in = read_file(name);
    assert_int_equal(ffai__json_parse(&expected, (char *)in.bytes, in.size, name, &err), FFAI_OK);
    if (!json_equal(tokenizer, expected))
        fail_msg("%s: %s", pre, json_dumps(tokenizer, JSON_INDENT(1)));
    json_decref(expected);
    json_decref(tokenizer);
    ffai__free(in.bytes);
}

static void the_rebuilt_tokenizer_is_as_hugging_face_writes_it(void **state)
{
    (void)state;
    check_structure("smollm");
    check_structure("llama-bpe");
    check_structure("qwen2");
    check_structure("gpt-2");
}

static void added_tokens_behind_the_vocabulary_are_left_out_of_it(void **state)
{
    (void)state;
    json_t *tokenizer = tokenizer_of("qwen2.gguf");
    const json_t *added = json_object_get(tokenizer, "added_tokens");
    const json_t *vocabulary = json_object_get(json_object_get(tokenizer, "model"), "vocab");
    assert_int_equal(json_array_size(added), 3); /* two control, one user-defined; the unused one is nowhere */
    assert_int_equal(json_object_size(vocabulary), 259);
    assert_true(json_is_true(json_object_get(json_array_get(added, 0), "special")));
    const json_t *think = json_array_get(added, 2);
    assert_string_equal(json_string_value(json_object_get(think, "content")), "<think>");
    assert_true(json_is_false(json_object_get(think, "special")));
    assert_int_equal(json_number_value(json_object_get(think, "id")), 261);
    json_decref(tokenizer);
}

static void added_tokens_within_the_vocabulary_are_in_both(void **state)
{
    (void)state;
    json_t *tokenizer = tokenizer_of("smollm.gguf");
    const json_t *model = json_object_get(tokenizer, "model");
    assert_int_equal(json_array_size(json_object_get(tokenizer, "added_tokens")), 2);
    assert_int_equal(json_object_size(json_object_get(model, "vocab")), 261);
    assert_int_equal(json_number_value(json_object_get(json_object_get(model, "vocab"), "<|im_end|>")), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(model, "merges"), 0)), "\xC4\xA0 t");
    json_decref(tokenizer);
}

/* qwen2 has tokens behind its vocabulary, smollm within it. */
static void check_lists(const char *name)
{
    file in = read_file(name);
    ffai__checkpoint *checkpoint = open_bytes(&in);
    ffai__tokenizer_lists lists = {NULL, 0, NULL, 0, NULL};
    char *text = NULL;
    size_t size = 0;
    json_t *rest = NULL;
    assert_int_equal(ffai__checkpoint_tokenizer_json(&text, &size, &lists, checkpoint, NULL), FFAI_OK);
    assert_int_equal(ffai__json_parse(&rest, text, size, "tokenizer.json", NULL), FFAI_OK);
    json_t *whole = tokenizer_of(name);
    json_t *model = json_object_get(whole, "model");
    json_t *vocabulary = json_object();
    json_t *merges = json_array();
    for (size_t id = 0; id < lists.num_tokens; id++) {
        if (!lists.tokens[id].data)
            continue;
        char *key = ffai__strndup(lists.tokens[id].data, lists.tokens[id].size);
        json_object_set_new(vocabulary, key, json_real((double)id));
        ffai__free(key);
    }
    for (size_t i = 0; i < lists.num_merges; i++)
        json_array_append_new(merges, json_stringn(lists.merges[i].data, lists.merges[i].size));
    assert_true(json_equal(vocabulary, json_object_get(model, "vocab")));
    assert_true(json_equal(merges, json_object_get(model, "merges")));
    json_object_clear(json_object_get(model, "vocab"));
    json_array_clear(json_object_get(model, "merges"));
    assert_true(json_equal(rest, whole));
    json_decref(vocabulary);
    json_decref(merges);
    json_decref(whole);
    json_decref(rest);
    ffai__free(text);
    ffai__tokenizer_lists_free(&lists);
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

static void vocabulary_and_merges_apart_are_those_of_the_json(void **state)
{
    (void)state;
    check_lists("smollm.gguf");
    check_lists("qwen2.gguf");
}

static void an_unknown_pre_tokenizer_or_model_is_named(void **state)
{
    (void)state;
    file in = read_file("smollm.gguf");
    uint8_t *pre = find(&in, "tokenizer.ggml.pre") + strlen("tokenizer.ggml.pre") + 4 + 8;
    memcpy(pre, "mystic", 6);
    ffai__checkpoint *checkpoint = open_bytes(&in); /* weights and config are fine */
    ffai_error err = FFAI_ERROR_INIT;
    char *text = NULL;
    size_t size = 0;
    json_t *config = NULL;
    assert_int_equal(ffai__checkpoint_tokenizer_json(&text, &size, NULL, checkpoint, &err), FFAI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "\"mystic\""));
    uint8_t *model = find(&in, "tokenizer.ggml.model") + strlen("tokenizer.ggml.model") + 4 + 8;
    memcpy(model, "bert", 4);
    assert_int_equal(ffai__checkpoint_tokenizer_config(&config, checkpoint, &err), FFAI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "\"bert\""));
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

static void a_token_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xC0\x80|im",       "\xFF<|im",       "\xED\xA0\x80im",
                                      "\xF5\x80\x80\x80x", "\xE0\x80\x80im", "\xC3<|im"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        file in = read_file("smollm.gguf");
        char *text = NULL;
        size_t size = 0;
        ffai_error err = FFAI_ERROR_INIT;
        memcpy(find(&in, "<|im_start|>"), bad[i], 5);
        ffai__checkpoint *checkpoint = open_bytes(&in);
        assert_int_equal(ffai__checkpoint_tokenizer_json(&text, &size, NULL, checkpoint, &err), FFAI_E_FORMAT);
        assert_non_null(strstr(err.message, "entry 0 is not valid UTF-8"));
        ffai__checkpoint_close(checkpoint);
        ffai__free(in.bytes);
    }
}

static void equal_tokens_are_refused(void **state)
{
    (void)state;
    file in = read_file("llama-bpe.gguf");
    char *text = NULL;
    size_t size = 0;
    ffai_error err = FFAI_ERROR_INIT;
    uint8_t *alphabet = find(&in, "tokenizer.ggml.tokens") + strlen("tokenizer.ggml.tokens") + 4 + 4 + 8;
    alphabet[8] = '#'; /* entry 0 was "!", entry 2 is "#" */
    ffai__checkpoint *checkpoint = open_bytes(&in);
    assert_int_equal(ffai__checkpoint_tokenizer_json(&text, &size, NULL, checkpoint, &err), FFAI_E_FORMAT);
    assert_non_null(strstr(err.message, "entries 0 and 2 are equal"));
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

/* ---- documents ---- */

static void metadata_becomes_config_json(void **state)
{
    (void)state;
    file in = read_file("smollm.gguf");
    ffai__checkpoint *checkpoint = open_bytes(&in);
    ffai_error err = FFAI_ERROR_INIT;
    json_t *expected = NULL;
    static const char text[] =
        "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":64,"
        "\"intermediate_size\":96,\"num_hidden_layers\":1,\"max_position_embeddings\":128,\"rms_norm_eps\":1e-05,"
        "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,\"vocab_size\":261,"
        "\"tie_word_embeddings\":true,\"attention_bias\":true,\"rope_theta\":10000.0,\"bos_token_id\":0,"
        "\"eos_token_id\":1,\"torch_dtype\":\"float16\"}";
    assert_int_equal(ffai__json_parse(&expected, text, sizeof text - 1, "expected", &err), FFAI_OK);
    char *got_text = json_dumps(ffai__checkpoint_config(checkpoint), 0);
    json_t *got = NULL;
    assert_int_equal(ffai__json_parse(&got, got_text, strlen(got_text), "got", &err), FFAI_OK);
    if (!json_equal(got, expected))
        fail_msg("%s", got_text);
    free(got_text);
    json_decref(got);
    json_decref(expected);
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

static void put(uint8_t **at, const void *bytes, size_t size)
{
    memcpy(*at, bytes, size);
    *at += size;
}

static void put_text(uint8_t **at, const char *text)
{
    const uint64_t size = strlen(text);
    put(at, &size, sizeof size);
    put(at, text, (size_t)size);
}

/* One more key in front: a number where text is NULL. Filled up to 128 bytes, so that the data stay aligned. */
static void add_key(file *in, const char *key, const char *text, float number)
{
    enum { ROOM = 128 };
    const uint32_t type = text ? FFAI__GGUF_STRING : FFAI__GGUF_F32;
    const uint32_t filler_type = FFAI__GGUF_STRING;
    uint64_t fields = 0;
    uint8_t *bytes = ffai__calloc(1, in->size + ROOM);
    assert_non_null(bytes);
    uint8_t *at = bytes;
    memcpy(&fields, in->bytes + 16, sizeof fields);
    fields += 2;
    put(&at, in->bytes, 16);
    put(&at, &fields, sizeof fields);
    put_text(&at, key);
    put(&at, &type, sizeof type);
    if (text)
        put_text(&at, text);
    else
        put(&at, &number, sizeof number);
    char name[32];
    snprintf(name, sizeof name, "filler-%llu", (unsigned long long)fields);
    put_text(&at, name);
    put(&at, &filler_type, sizeof filler_type);
    const uint64_t rest = (uint64_t)(bytes + 24 + ROOM - at) - 8;
    put(&at, &rest, sizeof rest);
    memcpy(bytes + 24 + ROOM, in->bytes + 24, in->size - 24);
    ffai__free(in->bytes);
    *in = (file){bytes, in->size + ROOM};
}

/* smollm.gguf with these keys has this rope_scaling; NULL: none. */
static void check_rope(const char *type, const char *factor_key, float factor, const char *expected)
{
    file in = read_file("smollm.gguf");
    if (type)
        add_key(&in, "llama.rope.scaling.type", type, 0);
    if (factor_key)
        add_key(&in, factor_key, NULL, factor);
    ffai__checkpoint *checkpoint = open_bytes(&in);
    const json_t *scaling = json_object_get(ffai__checkpoint_config(checkpoint), "rope_scaling");
    json_t *wanted = NULL;
    if (expected)
        assert_int_equal(ffai__json_parse(&wanted, expected, strlen(expected), "expected", NULL), FFAI_OK);
    if (!wanted || !scaling || !json_equal(wanted, scaling)) {
        if (wanted || scaling)
            fail_msg("%s", scaling ? json_dumps(scaling, 0) : "no scaling");
    }
    json_decref(wanted);
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

static void scaling_of_rope_is_as_the_keys_say(void **state)
{
    (void)state;
    const char *factor = "llama.rope.scaling.factor";
    const char *linear = "{\"rope_type\":\"linear\",\"factor\":2.5}";
    check_rope(NULL, NULL, 0, NULL);
    check_rope("none", factor, 2.5F, NULL);
    check_rope("linear", factor, 2.5F, linear);
    check_rope(NULL, factor, 2.5F, linear);
    check_rope(NULL, "llama.rope.scale_linear", 2.5F, linear);
    check_rope(NULL, factor, 1.0F, NULL);
    check_rope("linear", factor, 0.0F, NULL);
    check_rope("yarn", factor, 4.0F, "{\"rope_type\":\"yarn\",\"factor\":4.0}");
}

static void what_the_engine_has_no_form_for_is_refused(void **state)
{
    (void)state;
    file in = read_file("smollm.gguf");
    add_key(&in, "llama.rope.scaling.type", "mystic", 0);
    assert_refused(&in, FFAI_E_UNSUPPORTED, "\"llama.rope.scaling.type\": \"mystic\" is not supported");
    ffai__free(in.bytes);
    in = read_file("llama-bpe.gguf"); /* has a table of factors */
    add_key(&in, "llama.rope.scaling.type", "linear", 0);
    ffai__checkpoint_close(open_bytes(&in));
    add_key(&in, "llama.rope.scaling.factor", NULL, 4.0F);
    assert_refused(&in, FFAI_E_UNSUPPORTED, "a scaling besides the table rope_freqs.weight");
    ffai__free(in.bytes);
    in = read_file("smollm.gguf");
    add_key(&in, "llama.attention.value_length", NULL, 16.0F);
    assert_refused(&in, FFAI_E_FORMAT, "\"llama.attention.value_length\": must be an integer");
    const uint32_t u32 = FFAI__GGUF_U32;
    uint8_t *value = find(&in, "attention.value_length") + strlen("attention.value_length");
    memcpy(value, &u32, 4);
    memcpy(value + 4, &(uint32_t){24}, 4);
    assert_refused(&in, FFAI_E_UNSUPPORTED, "values of 24 numbers beside keys of 16");
    memcpy(value + 4, &(uint32_t){16}, 4);
    ffai__checkpoint_close(open_bytes(&in));
    ffai__free(in.bytes);
}

static void a_table_of_rope_factors_becomes_longrope(void **state)
{
    (void)state;
    file in = read_file("llama-bpe.gguf");
    ffai__checkpoint *checkpoint = open_bytes(&in);
    const json_t *scaling = json_object_get(ffai__checkpoint_config(checkpoint), "rope_scaling");
    assert_string_equal(json_string_value(json_object_get(scaling, "rope_type")), "longrope");
    assert_int_equal(json_array_size(json_object_get(scaling, "short_factor")), 8);
    assert_true(json_equal(json_object_get(scaling, "short_factor"), json_object_get(scaling, "long_factor")));
    assert_true(json_number_value(json_object_get(scaling, "attention_factor")) == 1.0);
    assert_int_equal(json_number_value(json_object_get(scaling, "original_max_position_embeddings")), 128);
    assert_null(ffai__checkpoint_find(checkpoint, "rope_freqs.weight"));
    assert_non_null(ffai__checkpoint_find(checkpoint, "lm_head.weight"));
    assert_true(json_is_false(json_object_get(ffai__checkpoint_config(checkpoint), "tie_word_embeddings")));
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

static void end_tokens_and_templates_come_along(void **state)
{
    (void)state;
    file in = read_file("llama-bpe.gguf");
    ffai__checkpoint *checkpoint = open_bytes(&in);
    const json_t *ends = json_object_get(ffai__checkpoint_generation_config(checkpoint), "eos_token_id");
    assert_int_equal(json_array_size(ends), 2);
    json_t *config = NULL;
    assert_int_equal(ffai__checkpoint_tokenizer_config(&config, checkpoint, NULL), FFAI_OK);
    assert_string_equal(json_string_value(json_object_get(config, "chat_template")), "A");
    assert_string_equal(json_string_value(json_object_get(json_object_get(config, "chat_templates"), "tool_use")), "B");
    assert_string_equal(json_string_value(json_object_get(config, "bos_token")), "<|begin_of_text|>");
    assert_true(json_is_true(json_object_get(config, "add_bos_token")));
    json_decref(config);
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

/* A name is enough: the list of names, tokenizer.chat_templates, need not be there. */
static void a_template_is_known_by_its_key(void **state)
{
    (void)state;
    file in = read_file("smollm.gguf");
    add_key(&in, "tokenizer.chat_template.rag", "C", 0);
    ffai__checkpoint *checkpoint = open_bytes(&in);
    json_t *config = NULL;
    assert_int_equal(ffai__checkpoint_tokenizer_config(&config, checkpoint, NULL), FFAI_OK);
    assert_string_equal(json_string_value(json_object_get(config, "chat_template")), "{{ messages }}");
    assert_string_equal(json_string_value(json_object_get(json_object_get(config, "chat_templates"), "rag")), "C");
    json_decref(config);
    config = NULL;
    memcpy(find(&in, "tokenizer.chat_template.rag") + strlen("tokenizer.chat_template."), "r\xFFg", 3);
    ffai__checkpoint_close(checkpoint);
    checkpoint = open_bytes(&in);
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__checkpoint_tokenizer_config(&config, checkpoint, &err), FFAI_E_FORMAT);
    assert_non_null(strstr(err.message, "its name is no text"));
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

static void a_float_becomes_its_shortest_decimal(void **state)
{
    (void)state;
    assert_true(ffai__gguf_decimal(1e-5f) == 1e-5);
    assert_true(ffai__gguf_decimal(0.1f) == 0.1);
    assert_true(ffai__gguf_decimal(500000.0f) == 500000.0);
    assert_true((float)ffai__gguf_decimal(16777217.0f) == 16777216.0f);
}

/* ---- tensors ---- */

static void names_become_hugging_faces(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"token_embd.weight", "model.embed_tokens.weight"},
        {"output.weight", "lm_head.weight"},
        {"output_norm.weight", "model.norm.weight"},
        {"blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"},
        {"blk.12.attn_q.weight", "model.layers.12.self_attn.q_proj.weight"},
        {"blk.12.attn_k.bias", "model.layers.12.self_attn.k_proj.bias"},
        {"blk.1.attn_v.bias", "model.layers.1.self_attn.v_proj.bias"},
        {"blk.1.attn_output.weight", "model.layers.1.self_attn.o_proj.weight"},
        {"blk.1.attn_q_norm.weight", "model.layers.1.self_attn.q_norm.weight"},
        {"blk.1.attn_k_norm.weight", "model.layers.1.self_attn.k_norm.weight"},
        {"blk.99999.ffn_norm.weight", "model.layers.99999.post_attention_layernorm.weight"},
        {"blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj.weight"},
        {"blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight"},
        {"blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"},
    };
    static const char *const none[] = {"",
                                       ".",
                                       "blk.",
                                       "blk.1",
                                       "blk.1.",
                                       "blk.1.weight",
                                       "blk.1.ffn_up.scale",
                                       "blk.x.ffn_up.weight",
                                       "blk.100000.ffn_up.weight",
                                       "blk.1.ffn_gate_exps.weight",
                                       "output",
                                       "weight",
                                       ".weight"};
    char out[64];
    ffai__gguf_role role = FFAI__GGUF_OTHER;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_true(ffai__gguf_name(out, sizeof out, &role, pairs[i][0]));
        assert_string_equal(out, pairs[i][1]);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(ffai__gguf_name(out, sizeof out, &role, none[i]));
}

static void llamas_q_and_k_are_interleaved_and_others_are_not(void **state)
{
    (void)state;
    file in = read_file("smollm.gguf");
    ffai__checkpoint *checkpoint = open_bytes(&in);
    assert_int_equal(ffai__checkpoint_find(checkpoint, "model.layers.0.self_attn.q_proj.weight")->rope_heads, 4);
    assert_int_equal(ffai__checkpoint_find(checkpoint, "model.layers.0.self_attn.k_proj.weight")->rope_heads, 2);
    assert_int_equal(ffai__checkpoint_find(checkpoint, "model.layers.0.self_attn.v_proj.weight")->rope_heads, 0);
    /* a bias is one row: it is copied into order */
    const ffai__weight *bias = ffai__checkpoint_find(checkpoint, "model.layers.0.self_attn.k_proj.bias");
    const ffai__gguf_tensor *stored = NULL;
    for (size_t i = 0; i < checkpoint->gguf->tensor_count; i++) {
        if (strcmp(checkpoint->gguf->tensors[i].name, "blk.0.attn_k.bias") == 0)
            stored = &checkpoint->gguf->tensors[i];
    }
    assert_non_null(stored);
    for (size_t i = 0; i < 32; i++) {
        const size_t within = i % 16;
        const size_t from = i - within + (within < 8 ? 2 * within : 2 * (within - 8) + 1);
        assert_memory_equal((const uint8_t *)bias->data + 4 * i, stored->data + 4 * from, 4);
    }
    assert_int_equal(bias->rope_heads, 0);
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
    in = read_file("qwen2.gguf");
    checkpoint = open_bytes(&in);
    assert_int_equal(ffai__checkpoint_find(checkpoint, "model.layers.0.self_attn.q_proj.weight")->rope_heads, 0);
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

static uint8_t *type_field(const file *in, const char *tensor, int rank)
{
    return find(in, tensor) + strlen(tensor) + 4 + 8 * rank;
}

static void a_type_that_cannot_be_used_is_named_with_its_tensor(void **state)
{
    (void)state;
    file in = read_file("smollm.gguf");
    *type_field(&in, "blk.0.ffn_up.weight", 2) = 20; /* IQ4_NL, whose blocks are no larger */
    assert_refused(&in, FFAI_E_UNSUPPORTED, "tensor \"blk.0.ffn_up.weight\": type IQ4_NL is not supported");
    *type_field(&in, "blk.0.ffn_up.weight", 2) = 12;
    assert_refused(&in, FFAI_E_FORMAT, "no multiple of Q4_K's 256");
    *type_field(&in, "blk.0.ffn_up.weight", 2) = 200;
    assert_refused(&in, FFAI_E_UNSUPPORTED, "unknown type 200");
    ffai__free(in.bytes);
}

static void each_kind_of_damage_is_named(void **state)
{
    (void)state;
    file in = read_file("smollm.gguf");
    in.bytes[4] = 1;
    assert_refused(&in, FFAI_E_UNSUPPORTED, "version 1");
    memcpy(in.bytes + 4, "\0\0\0\3", 4);
    assert_refused(&in, FFAI_E_UNSUPPORTED, "big-endian");
    memcpy(in.bytes + 4, "\3\0\0\0", 4);
    in.bytes[0] = 'g';
    assert_refused(&in, FFAI_E_FORMAT, "is not a GGUF file");
    in.bytes[0] = 'G';
    in.bytes[15] = 1;
    assert_refused(&in, FFAI_E_FORMAT, "tensors, more than it can hold");
    in.bytes[15] = 0;
    in.bytes[23] = 1;
    assert_refused(&in, FFAI_E_FORMAT, "metadata entries, more than it can hold");
    in.bytes[23] = 0;
    memcpy(find(&in, "general.architecture") + 20 + 4 + 8, "gemma", 5);
    assert_refused(&in, FFAI_E_UNSUPPORTED, "\"gemma\" is not supported");
    memcpy(find(&in, "general.architecture") + 20 + 4 + 8, "llama", 5);
    memcpy(find(&in, "llama.block_count"), "llama.block_cxxnt", 17);
    assert_refused(&in, FFAI_E_FORMAT, "\"llama.block_count\" is missing");
    memcpy(find(&in, "llama.block_cxxnt"), "llama.block_count", 17);
    memcpy(find(&in, "blk.0.ffn_up.weight"), "blk.0.ffn_xx.weight", 19);
    assert_refused(&in, FFAI_E_UNSUPPORTED, "\"blk.0.ffn_xx.weight\" has no place");
    memcpy(find(&in, "blk.0.ffn_xx.weight"), "blk.0.ffn_up.weight", 19);
    type_field(&in, "blk.0.ffn_up.weight", 2)[4] = 1;
    assert_refused(&in, FFAI_E_FORMAT, "no multiple of 32");
    type_field(&in, "blk.0.ffn_up.weight", 2)[4] = 0;
    memset(type_field(&in, "blk.0.ffn_up.weight", 2) + 4, 0, 8);
    assert_refused(&in, FFAI_E_FORMAT, "overlaps tensor");
    memcpy(type_field(&in, "blk.0.ffn_up.weight", 2) + 4, "\xE0\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    assert_refused(&in, FFAI_E_FORMAT, "offset is too large");
    type_field(&in, "blk.0.ffn_norm.weight", 1)[-1] = 0x40;
    assert_refused(&in, FFAI_E_FORMAT, "product of its dimensions is too large");
    ffai__free(in.bytes);
}

static void deep_arrays_and_repeated_keys_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[256];
    file in = {bytes, sizeof bytes};
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, "GGUF\3\0\0\0", 8);
    bytes[16] = 1; /* one entry */
    bytes[24] = 1; /* key of one byte */
    bytes[32] = 'k';
    size_t at = 33;
    bytes[at] = 9; /* an array … */
    for (at += 4; at + 12 < 150; at += 12) {
        bytes[at] = 9;     /* … of arrays … */
        bytes[at + 4] = 1; /* … of one entry */
    }
    assert_refused(&in, FFAI_E_LIMIT, "nested more than 4 deep");
    memset(bytes + 16, 0, sizeof bytes - 16);
    bytes[16] = 2;
    for (size_t i = 0; i < 2; i++) {
        bytes[24 + 14 * i] = 1;
        bytes[32 + 14 * i] = 'k';
    }
    assert_refused(&in, FFAI_E_FORMAT, "key \"k\" is there twice");
}

static void try_bytes(const uint8_t *bytes, size_t size)
{
    ffai__checkpoint *checkpoint = NULL;
    char *text = NULL;
    size_t length = 0;
    if (ffai__checkpoint_open_bytes(&checkpoint, NULL, bytes, size, NULL) != FFAI_OK)
        return;
    if (ffai__checkpoint_tokenizer_json(&text, &length, NULL, checkpoint, NULL) == FFAI_OK)
        ffai__free(text);
    ffai__checkpoint_close(checkpoint);
}

static void damage_everywhere(const char *seed)
{
    char path[512];
    char *bytes = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, FFAI_SOURCE_DIR "/tests/fuzz/formats/corpus/fuzz_gguf/%s", seed);
    assert_int_equal(ffai__file_read(&bytes, &size, path, 1 << 20, NULL), FFAI_OK);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = malloc(cut + 1);
        ffai__checkpoint *checkpoint = NULL;
        memcpy(part, bytes, cut);
        assert_true(ffai__checkpoint_open_bytes(&checkpoint, NULL, part, cut, NULL) != FFAI_OK || cut + 32 > size);
        ffai__checkpoint_close(checkpoint);
        free(part);
    }
    for (size_t i = 0; i < size; i++) {
        static const char masks[] = {1, 2, 8, 64, (char)0x80, (char)0xFF};
        for (size_t m = 0; m < sizeof masks; m++) {
            bytes[i] = (char)(bytes[i] ^ masks[m]);
            try_bytes((const uint8_t *)bytes, size);
            bytes[i] = (char)(bytes[i] ^ masks[m]);
        }
    }
    ffai__free(bytes);
}

static void cut_or_changed_anywhere_it_does_not_crash(void **state)
{
    (void)state;
    damage_everywhere("q4_1");
    damage_everywhere("sentence-piece");
}

static void unused_tokens_among_others_leave_ids_as_they_are(void **state)
{
    (void)state;
    file in = read_file("qwen2.gguf"); /* … "<|endoftext|>" 259, "<|im_end|>", "<think>", and an unused one */
    uint8_t *types = find(&in, "tokenizer.ggml.token_type") + strlen("tokenizer.ggml.token_type") + 4 + 4 + 8;
    types[4 * 7] = 5; /* unused */
    ffai__checkpoint *checkpoint = open_bytes(&in);
    char *text = NULL;
    size_t size = 0;
    json_t *tokenizer = NULL;
    assert_int_equal(ffai__checkpoint_tokenizer_json(&text, &size, NULL, checkpoint, NULL), FFAI_OK);
    assert_int_equal(ffai__json_parse(&tokenizer, text, size, "tokenizer.json", NULL), FFAI_OK);
    const json_t *vocabulary = json_object_get(json_object_get(tokenizer, "model"), "vocab");
    assert_int_equal(json_number_value(json_object_get(vocabulary, "<|im_end|>")), 260);
    assert_int_equal(json_object_size(vocabulary), 261);
    json_decref(tokenizer);
    ffai__free(text);
    ffai__checkpoint_close(checkpoint);
    ffai__free(in.bytes);
}

static void the_golden_files_open(void **state)
{
    (void)state;
    static const char *const names[] = {"F32",        "F16",         "BF16",      "Q4_0",        "Q4_1",
                                        "Q5_0",       "Q5_1",        "Q8_0",      "llama3-rope", "qwen2-Q4_1",
                                        "qwen3-Q8_0", "linear-rope", "yarn-rope", "mistral-Q8_0"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        ffai__checkpoint *checkpoint = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        snprintf(path, sizeof path, FFAI_SOURCE_DIR "/tests/golden/gguf/%s.gguf", names[i]);
        if (ffai__checkpoint_open(&checkpoint, path, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        assert_true(ffai__checkpoint_is_gguf(checkpoint));
        assert_non_null(ffai__checkpoint_find(checkpoint, "model.embed_tokens.weight"));
        ffai__checkpoint_close(checkpoint);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rebuilt_tokenizer_is_as_hugging_face_writes_it),
        cmocka_unit_test(added_tokens_behind_the_vocabulary_are_left_out_of_it),
        cmocka_unit_test(added_tokens_within_the_vocabulary_are_in_both),
        cmocka_unit_test(vocabulary_and_merges_apart_are_those_of_the_json),
        cmocka_unit_test(an_unknown_pre_tokenizer_or_model_is_named),
        cmocka_unit_test(a_token_that_is_not_utf8_is_refused),
        cmocka_unit_test(equal_tokens_are_refused),
        cmocka_unit_test(metadata_becomes_config_json),
        cmocka_unit_test(scaling_of_rope_is_as_the_keys_say),
        cmocka_unit_test(what_the_engine_has_no_form_for_is_refused),
        cmocka_unit_test(a_table_of_rope_factors_becomes_longrope),
        cmocka_unit_test(end_tokens_and_templates_come_along),
        cmocka_unit_test(a_template_is_known_by_its_key),
        cmocka_unit_test(a_float_becomes_its_shortest_decimal),
        cmocka_unit_test(names_become_hugging_faces),
        cmocka_unit_test(llamas_q_and_k_are_interleaved_and_others_are_not),
        cmocka_unit_test(a_type_that_cannot_be_used_is_named_with_its_tensor),
        cmocka_unit_test(each_kind_of_damage_is_named),
        cmocka_unit_test(deep_arrays_and_repeated_keys_are_refused),
        cmocka_unit_test(cut_or_changed_anywhere_it_does_not_crash),
        cmocka_unit_test(unused_tokens_among_others_leave_ids_as_they_are),
        cmocka_unit_test(the_golden_files_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
