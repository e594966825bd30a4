#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ffai/ffai.h>

#define TINY FFAI_SOURCE_DIR "/tests/golden/llama/f32"

typedef struct {
    ffai_model *model;
    ffai_session *session;
    ffai_sequence sequence;
    ffai_parameters parameters;
    char *streamed;
    size_t pieces;
    size_t stop_after; /* pieces, 0: never */
    size_t progress_calls;
    size_t stop_progress_at; /* done tokens, 0: never */
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    const ffai_model_options options = {.backend = "cpu", .threads = 1};
    const ffai_session_options session_options = {.context = 64, .max_rows = 8};
    ffai_error err = FFAI_ERROR_INIT;
    *state = f;
    f->streamed = calloc(1, 65536);
    if (ffai_model_load(&f->model, TINY, &options, &err) != FFAI_OK ||
        ffai_session_open(&f->session, f->model, &session_options, &err) != FFAI_OK ||
        ffai_sequence_open(&f->sequence, f->session, &err) != FFAI_OK) {
        print_message("%s\n", err.message);
        return -1;
    }
    ffai_model_parameters(&f->parameters, f->model);
    f->parameters.temperature.value = 0;
    f->parameters.max_tokens.value = 20;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    ffai_session_close(f->session);
    ffai_model_free(f->model);
    free(f->streamed);
    free(f);
    return 0;
}

static bool on_text(void *context, const char *text, size_t size)
{
    fixture *f = context;
    strncat(f->streamed, text, size);
    return ++f->pieces != f->stop_after;
}

static bool on_progress(void *context, size_t done, size_t total)
{
    fixture *f = context;
    f->progress_calls++;
    assert_true(done <= total);
    return !f->stop_progress_at || done < f->stop_progress_at;
}

static const int32_t prompt[] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120};
enum { PROMPT = sizeof prompt / sizeof prompt[0] };

static ffai_generation *generate(fixture *f, uint64_t seed)
{
    ffai_generation *g = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_generate_options options = {.parameters = &f->parameters,
                                           .seed = seed,
                                           .ignore_end_tokens = true,
                                           .on_text = on_text,
                                           .on_progress = on_progress,
                                           .context = f};
    if (ffai_generate(&g, f->session, f->sequence, prompt, PROMPT, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return g;
}

static void text_arrives_in_pieces_that_add_up(void **state)
{
    fixture *f = *state;
    ffai_generation *g = generate(f, 0);
    assert_int_equal(g->num_tokens, 20);
    assert_int_equal(g->finish_reason, FFAI_FINISH_LENGTH);
    assert_int_equal(g->prompt_tokens, PROMPT);
    assert_string_equal(g->text, f->streamed);
    assert_int_equal(strlen(g->text), g->text_size);
    assert_int_equal(ffai_sequence_length(f->session, f->sequence), PROMPT + 19);
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(
        ffai_tokenizer_decode(&text, &size, ffai_model_tokenizer(f->model), g->tokens, g->num_tokens, true, NULL),
        FFAI_OK);
    assert_string_equal(text, g->text);
    ffai_free(text);
    ffai_generation_free(g);
}

static void a_caller_can_stop_the_text(void **state)
{
    fixture *f = *state;
    f->stop_after = 3;
    ffai_generation *g = generate(f, 0);
    assert_int_equal(g->finish_reason, FFAI_FINISH_CANCELLED);
    assert_true(g->num_tokens >= 3 && g->num_tokens < 20);
    assert_int_equal(f->pieces, 3);
    ffai_generation_free(g);
}

static void a_caller_can_stop_the_prompt(void **state)
{
    fixture *f = *state;
    f->stop_progress_at = 8;
    ffai_generation *g = generate(f, 0);
    assert_int_equal(g->finish_reason, FFAI_FINISH_CANCELLED);
    assert_int_equal(g->num_tokens, 0);
    assert_int_equal(ffai_sequence_length(f->session, f->sequence), 8);
    ffai_generation_free(g);
}

static void max_tokens_0_evaluates_the_prompt_alone(void **state)
{
    fixture *f = *state;
    f->parameters.max_tokens.value = 0;
    ffai_generation *g = generate(f, 0);
    assert_int_equal(g->num_tokens, 0);
    assert_int_equal(g->finish_reason, FFAI_FINISH_LENGTH);
    assert_string_equal(g->text, "");
    assert_int_equal(ffai_sequence_length(f->session, f->sequence), PROMPT);
    ffai_generation_free(g);
}

static void generation_ends_where_the_context_does(void **state)
{
    fixture *f = *state;
    f->parameters.max_tokens.value = 1000;
    ffai_generation *g = generate(f, 0);
    assert_int_equal(g->finish_reason, FFAI_FINISH_LENGTH);
    assert_int_equal(ffai_sequence_length(f->session, f->sequence), 64);
    assert_int_equal(g->num_tokens, 64 - PROMPT + 1);
    ffai_generation_free(g);
}

static void a_prompt_beyond_the_context_is_refused_with_the_numbers(void **state)
{
    fixture *f = *state;
    int32_t tokens[65] = {0};
    ffai_generation *g = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai_generate(&g, f->session, f->sequence, tokens, 65, NULL, &err), FFAI_E_CONTEXT_FULL);
    assert_non_null(strstr(err.message, "65 tokens"));
    assert_non_null(strstr(err.message, "64"));
    assert_int_equal(ffai_generate(&g, f->session, f->sequence, tokens, 0, NULL, &err), FFAI_E_ARGUMENT);
    assert_int_equal(ffai_sequence_length(f->session, f->sequence), 0);
    f->parameters.top_p.value = NAN;
    const ffai_generate_options options = {.parameters = &f->parameters};
    assert_int_equal(ffai_generate(&g, f->session, f->sequence, tokens, 1, &options, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "top_p"));
}

static bool count_down(void *context)
{
    int *left = context;
    return (*left)-- > 0;
}

/* Wherever in a step it comes, in the prompt or behind it. */
static void a_cancelled_step_ends_the_text_with_what_there_is(void **state)
{
    fixture *f = *state;
    ffai_generation *whole = generate(f, 0);
    bool cut_prompt = false, cut_text = false;
    for (int questions = 0; questions < 1000; questions += 37) {
        int left = questions;
        ffai_session *session = NULL;
        ffai_sequence sequence = 0;
        ffai_generation *g = NULL;
        const ffai_session_options opening = {.context = 64, .keep_going = count_down, .keep_going_context = &left};
        const ffai_generate_options options = {.parameters = &f->parameters};
        assert_int_equal(ffai_session_open(&session, f->model, &opening, NULL), FFAI_OK);
        assert_int_equal(ffai_sequence_open(&sequence, session, NULL), FFAI_OK);
        assert_int_equal(ffai_generate(&g, session, sequence, prompt, PROMPT, &options, NULL), FFAI_OK);
        assert_true(g->num_tokens <= whole->num_tokens);
        assert_memory_equal(g->tokens, whole->tokens, g->num_tokens * sizeof(int32_t));
        assert_int_equal(g->finish_reason == FFAI_FINISH_CANCELLED, left < 0);
        cut_prompt = cut_prompt || (left < 0 && g->prompt_tokens == 0);
        cut_text = cut_text || (left < 0 && g->num_tokens > 0);
        ffai_generation_free(g);
        ffai_session_close(session);
    }
    assert_true(cut_prompt && cut_text);
    ffai_generation_free(whole);
}

static void an_end_token_ends_the_text_and_is_left_out(void **state)
{
    fixture *f = *state;
    ffai_generation *g = generate(f, 0);
    int32_t end = -1;
    for (int32_t id = 0; id < 288 && end < 0; id++)
        end = ffai_model_is_end_token(f->model, id) ? id : -1;
    assert_true(end >= 0);
    /* Let the model draw until it meets its end token: at a high temperature that takes a few seeds. */
    bool met = false;
    for (uint64_t seed = 0; seed < 400 && !met; seed++) {
        ffai_generation *other = NULL;
        const ffai_generate_options options = {.parameters = &f->parameters, .seed = seed};
        f->parameters.temperature.value = 50;
        f->parameters.max_tokens.value = 40;
        assert_int_equal(ffai_sequence_truncate(f->session, f->sequence, 0, NULL), FFAI_OK);
        assert_int_equal(ffai_generate(&other, f->session, f->sequence, prompt, PROMPT, &options, NULL), FFAI_OK);
        met = other->finish_reason == FFAI_FINISH_STOP;
        for (size_t i = 0; i < other->num_tokens; i++)
            assert_false(ffai_model_is_end_token(f->model, other->tokens[i]));
        ffai_generation_free(other);
    }
    assert_true(met);
    ffai_generation_free(g);
}

static void the_same_seed_gives_the_same_tokens_and_another_others(void **state)
{
    fixture *f = *state;
    f->parameters.temperature.value = 2;
    ffai_generation *runs[3];
    const uint64_t seeds[] = {7, 7, 8};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ffai_sequence_truncate(f->session, f->sequence, 0, NULL), FFAI_OK);
        runs[i] = generate(f, seeds[i]);
    }
    assert_memory_equal(runs[0]->tokens, runs[1]->tokens, 20 * sizeof(int32_t));
    assert_memory_not_equal(runs[0]->tokens, runs[2]->tokens, 20 * sizeof(int32_t));
    for (int i = 0; i < 3; i++)
        ffai_generation_free(runs[i]);
}

static void parameters_come_from_the_first_source_that_gives_them(void **state)
{
    fixture *f = *state;
    ffai_parameters p;
    ffai_model_parameters(&p, f->model);
    /* tests/golden/llama/f32/generation_config.json gives these. */
    assert_int_equal(p.temperature.source, FFAI_FROM_CHECKPOINT);
    assert_int_equal(p.prefill_step_size.source, FFAI_FROM_LIBRARY);
    assert_float_equal(p.prefill_step_size.value, 1024, 0);
    ffai_model *qwen = NULL;
    assert_int_equal(ffai_model_load(&qwen, FFAI_SOURCE_DIR "/tests/golden/qwen3/bf16", NULL, NULL), FFAI_OK);
    ffai_model_parameters(&p, qwen);
    assert_int_equal(p.top_k.source, FFAI_FROM_FAMILY);
    assert_float_equal(p.top_k.value, 20, 0);
    assert_int_equal(p.repetition_penalty.source, FFAI_FROM_LIBRARY);
    ffai_model_free(qwen);
}

static void mean_nll_is_what_the_logits_say(void **state)
{
    fixture *f = *state;
    double nll = 0;
    double by_hand = 0;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai_mean_nll(&nll, f->session, f->sequence, prompt, PROMPT, NULL, NULL, &err), FFAI_OK);
    assert_int_equal(ffai_sequence_truncate(f->session, f->sequence, 0, NULL), FFAI_OK);
    for (int i = 0; i + 1 < PROMPT; i++) {
        const ffai_row row = {prompt[i], f->sequence, true, NULL};
        const float *logits = NULL;
        double sum = 0;
        assert_int_equal(ffai_forward(&logits, f->session, &row, 1, NULL), FFAI_OK);
        for (int k = 0; k < 288; k++)
            sum += exp((double)logits[k]);
        by_hand += log(sum) - (double)logits[prompt[i + 1]];
    }
    assert_true(fabs(nll - by_hand / (PROMPT - 1)) < 1e-9);
    assert_int_equal(ffai_mean_nll(&nll, f->session, f->sequence, prompt, 1, NULL, NULL, &err), FFAI_E_ARGUMENT);
}

static void inspecting_names_family_formats_and_sources(void **state)
{
    (void)state;
    char *text = NULL;
    assert_int_equal(ffai_model_inspect(&text, FFAI_SOURCE_DIR "/tests/golden/llama/affine-mixed", true, NULL),
                     FFAI_OK);
    assert_non_null(strstr(text, "\"family\": \"llama\""));
    assert_non_null(strstr(text, "\"4b g64\""));
    assert_non_null(strstr(text, "\"6b g64\""));
    assert_non_null(strstr(text, "\"bf16\""));
    assert_non_null(strstr(text, "\"source\": \"library\""));
    ffai_free(text);
    assert_int_equal(ffai_model_inspect(&text, FFAI_SOURCE_DIR "/tests/golden/llama/affine-mixed", false, NULL),
                     FFAI_OK);
    assert_non_null(strstr(text, "variant       llama 271k\n")); /* 270,976 by hand from tools/golden/tiny.py */
    assert_non_null(strstr(text, "  embedding   6b g64, 1 tensor,"));
    assert_non_null(strstr(text, "  attention   4b g64, 6 tensors, "));
    assert_non_null(strstr(text, "8b g64, 1 tensor,"));
    assert_non_null(strstr(text, "  head        8b g32, 1 tensor,"));
    assert_non_null(strstr(text, "  norms       bf16, 5 tensors,"));
    ffai_free(text);
    assert_int_equal(ffai_model_inspect(&text, FFAI_SOURCE_DIR "/tests/golden/gguf/Q4_0.gguf", false, NULL), FFAI_OK);
    assert_non_null(strstr(text, "GGUF"));
    ffai_free(text);
}

static void inspecting_tells_the_shape_and_the_rope(void **state)
{
    (void)state;
    char *text = NULL;
    assert_int_equal(ffai_model_inspect(&text, FFAI_SOURCE_DIR "/tests/golden/llama/rope-llama3", false, NULL),
                     FFAI_OK);
    assert_non_null(strstr(text, "rope          llama3, theta 10000, factor 8, original_max_position_embeddings 32, "
                                 "low_freq_factor 1, high_freq_factor 4\n"));
    ffai_free(text);
    assert_int_equal(ffai_model_inspect(&text, FFAI_SOURCE_DIR "/tests/golden/llama/rope-longrope", false, NULL),
                     FFAI_OK);
    assert_non_null(strstr(text, "long_factor of 16 numbers"));
    ffai_free(text);
}

static uint64_t integer_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    if (!at)
        fail_msg("no %s", key);
    return strtoull(at + strlen(key), NULL, 10);
}

static void inspecting_estimates_what_a_session_then_takes(void **state)
{
    (void)state;
    char *text = NULL;
    ffai_model *model = NULL;
    ffai_session *session = NULL;
    uint64_t weights = 0;
    uint64_t stores = 0;
    uint64_t workspace = 0;
    const ffai_session_options options = {.context = 512, .max_sequences = 1};
    assert_int_equal(ffai_model_inspect(&text, TINY, true, NULL), FFAI_OK);
    const char *here = strstr(text, "\"here\": {");
    assert_non_null(strstr(here, "\"runs\": true"));
    assert_int_equal(integer_after(here, "\"largest_context\": "), 512);
    assert_int_equal(ffai_model_load(&model, TINY, &(ffai_model_options){.backend = "cpu"}, NULL), FFAI_OK);
    assert_int_equal(ffai_session_open(&session, model, &options, NULL), FFAI_OK);
    ffai_session_memory(&weights, &stores, &workspace, session);
    assert_int_equal(integer_after(here, "\"weights\": "), weights);
    assert_int_equal(integer_after(here, "\"stores\": "), stores);
    assert_int_equal(integer_after(here, "\"workspace\": "), workspace);
    assert_int_equal(integer_after(here, "\"total\": "), weights + stores + workspace);
    ffai_session_close(session);
    ffai_model_free(model);
    ffai_free(text);
}

static void inspecting_says_why_a_model_does_not_run(void **state)
{
    (void)state;
    char *text = NULL;
#ifdef __aarch64__
    setenv("FFAI_ISA", "amx", 1);
#else
    setenv("FFAI_ISA", "neon", 1);
#endif
    const ffai_status status = ffai_model_inspect(&text, TINY, false, NULL);
    unsetenv("FFAI_ISA");
    assert_int_equal(status, FFAI_OK);
    assert_non_null(strstr(text, "here          does not run with cpu: "));
    assert_non_null(strstr(text, "FFAI_ISA"));
    ffai_free(text);
}

static void a_diff_of_a_backend_with_itself_departs_nowhere(void **state)
{
    (void)state;
    size_t first = 0;
    assert_int_equal(ffai_diff(&first, TINY, "ref", "ref", prompt, PROMPT, 0, NULL, NULL, NULL, NULL), FFAI_OK);
    assert_true(first == SIZE_MAX);
    assert_int_equal(ffai_diff(&first, TINY, "cpu", "ref", prompt, PROMPT, 0, NULL, NULL, NULL, NULL), FFAI_OK);
    assert_true(first < 20); /* float sums in another order: something departs from exact equality */
    assert_int_equal(ffai_diff(&first, TINY, "cpu", "ref", prompt, PROMPT, 3e-2, NULL, NULL, NULL, NULL), FFAI_OK);
    assert_true(first == SIZE_MAX);
}

static bool stop_loading(void *context, const ffai_load_event *event)
{
    int *calls = context;
    ++*calls;
    return event->stage != FFAI_LOAD_PLANNING;
}

static void loading_can_be_cancelled(void **state)
{
    (void)state;
    int calls = 0;
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_model_options options = {.on_event = stop_loading, .context = &calls};
    assert_int_equal(ffai_model_load(&model, TINY, &options, &err), FFAI_E_CANCELLED);
    assert_null(model);
    assert_int_equal(calls, 2); /* mapping and planning */
}

static void loading_what_is_not_there_says_so(void **state)
{
    (void)state;
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai_model_load(&model, "/nonexistent/model", NULL, &err), FFAI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nonexistent/model"));
    const ffai_model_options cuda = {.backend = "tpu"};
    assert_int_equal(ffai_model_load(&model, TINY, &cuda, &err), FFAI_E_UNSUPPORTED);
    const ffai_model_options vision = {.capabilities = FFAI_TEXT_IN | FFAI_IMAGE_IN};
    assert_int_equal(ffai_model_load(&model, TINY, &vision, &err), FFAI_E_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_arrives_in_pieces_that_add_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_caller_can_stop_the_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_caller_can_stop_the_prompt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(max_tokens_0_evaluates_the_prompt_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(generation_ends_where_the_context_does, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_prompt_beyond_the_context_is_refused_with_the_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_token_ends_the_text_and_is_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancelled_step_ends_the_text_with_what_there_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_same_seed_gives_the_same_tokens_and_another_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parameters_come_from_the_first_source_that_gives_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mean_nll_is_what_the_logits_say, set_up, tear_down),
        cmocka_unit_test(inspecting_names_family_formats_and_sources),
        cmocka_unit_test(inspecting_tells_the_shape_and_the_rope),
        cmocka_unit_test(inspecting_estimates_what_a_session_then_takes),
        cmocka_unit_test(inspecting_says_why_a_model_does_not_run),
        cmocka_unit_test(a_diff_of_a_backend_with_itself_departs_nowhere),
        cmocka_unit_test(loading_can_be_cancelled),
        cmocka_unit_test(loading_what_is_not_there_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
