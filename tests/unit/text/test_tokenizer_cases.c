/* Ids equal to Hugging Face's on the committed cases, for full-size tokenizers: SmolLM2's always, others where
 * they lie beside the repository. */
#include "fixtures.h"

static void compare_class(const ffai_tokenizer *t, const char *name, const json_t *class, const json_t *expected,
                          size_t *total, size_t *wrong)
{
    const json_t *cases = json_object_get(class, "cases");
    const json_t *answers = json_object_get(expected, "expected");
    assert_int_equal(json_array_size(cases), json_array_size(answers));
    for (size_t i = 0; i < json_array_size(cases); i++) {
        char what[256];
        snprintf(what, sizeof what, "%s: %s[%zu]", name, json_string_value(json_object_get(class, "name")), i);
        char *text = NULL;
        size_t size = 0;
        case_text(&text, &size, json_array_get(cases, i));
        *wrong += !agrees(t, what, text, size, json_array_get(answers, i));
        *total += 1;
        ffai__free(text);
    }
}

static void compare_all(const char *name)
{
    ffai_tokenizer *t = load_named(name);
    if (!t) {
        print_message("skipped: there is no ../shared/tokenizers/%s/tokenizer.json.xz\n", name);
        skip();
    }
    char file[512];
    snprintf(file, sizeof file, DATA "expected/%s.json", name);
    json_t *classes = read_json(DATA "cases.json");
    json_t *expected = read_json(file);
    assert_int_equal(json_array_size(classes), json_array_size(expected));
    assert_true(json_array_size(classes) >= 20);
    size_t total = 0;
    size_t wrong = 0;
    for (size_t i = 0; i < json_array_size(classes); i++)
        compare_class(t, name, json_array_get(classes, i), json_array_get(expected, i), &total, &wrong);
    print_message("%s: %zu of %zu strings agree with Hugging Face\n", name, total - wrong, total);
    assert_true(total >= 500);
    assert_int_equal(wrong, 0);
    json_decref(classes);
    json_decref(expected);
    ffai_tokenizer_free(t);
}

static void smollm2_gives_hugging_faces_ids(void **state)
{
    (void)state;
    compare_all("smollm2");
}

static void qwen3_gives_hugging_faces_ids(void **state)
{
    (void)state;
    compare_all("qwen3");
}

static void llama3_1_gives_hugging_faces_ids(void **state)
{
    (void)state;
    compare_all("llama3_1");
}

static void gemma3_gives_hugging_faces_ids(void **state)
{
    (void)state;
    compare_all("gemma3");
}

static void gptoss_gives_hugging_faces_ids(void **state)
{
    (void)state;
    compare_all("gptoss");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_gives_hugging_faces_ids),  cmocka_unit_test(qwen3_gives_hugging_faces_ids),
        cmocka_unit_test(llama3_1_gives_hugging_faces_ids), cmocka_unit_test(gemma3_gives_hugging_faces_ids),
        cmocka_unit_test(gptoss_gives_hugging_faces_ids),
    };
    return cmocka_run_group_tests_name("tokenizer cases", tests, NULL, NULL);
}
