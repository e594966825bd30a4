/* The example programs: on a tiny checkpoint, and on the default model where it is there. */
#include <string.h>

#include "check.h"
#include "process.h"

static bool default_model_is_there(void)
{
    outcome o;
    RUN(o, NULL, "inspect");
    const bool there = o.status == 0;
    outcome_release(&o);
    if (!there)
        skip("the default model is not there");
    return there;
}

/* A tiny checkpoint's text may well hold a zero byte. */
static bool says_anywhere(const outcome *o, const char *text)
{
    const size_t length = strlen(text);
    for (size_t at = 0; at + length <= o->out_size; at++) {
        if (memcmp(o->out + at, text, length) == 0)
            return true;
    }
    return false;
}

static void check_example(const char *program, const char *model, const char *says)
{
    outcome o;
    const setting s = {.program = program};
    RUN_IN(o, s, model);
    CHECK_OUTCOME(o, 0, NULL);
    check_says(says_anywhere(&o, says), __FILE__, __LINE__, "%s says no \"%s\": %s", program, says, o.out);
    outcome_release(&o);
}

static void the_examples_run_on_a_tiny_checkpoint(void)
{
    check_example(FFAI_EXAMPLES "example_generate", MODEL, " tokens, ");
    check_example(FFAI_EXAMPLES "example_chat_prefix", MODEL, "the prefix was read once: ");
    check_example(FFAI_EXAMPLES "example_logits", MODEL, "most likely next tokens:");
}

static void the_examples_run_on_the_default_model(void)
{
    if (!default_model_is_there())
        return;
    check_example(FFAI_EXAMPLES "example_chat_prefix", NULL, " France is| Paris");
    check_example(FFAI_EXAMPLES "example_chat_prefix", NULL, " Italy is| Rome");
    check_example(FFAI_EXAMPLES "example_logits", NULL, "Paris");
}

static void an_example_says_what_is_wrong(void)
{
    outcome o;
    const setting s = {.program = FFAI_EXAMPLES "example_generate"};
    RUN_IN(o, s, "/nonexistent");
    CHECK(o.status == 1 && strstr(o.err, "/nonexistent"));
    outcome_release(&o);
}

static const test tests[] = {
    TEST(the_examples_run_on_a_tiny_checkpoint),
    TEST(the_examples_run_on_the_default_model),
    TEST(an_example_says_what_is_wrong),
};
extern const suite suite_examples;
const suite suite_examples = SUITE(tests);
