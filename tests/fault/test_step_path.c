/* Once a session has taken its first step, a step allocates nothing, touches no file, starts no thread and takes no
 * lock: whatever its rows, while sequences grow over pages, fork and are cut short. */
#include <stdio.h>
#include <stdlib.h>

#include <ffai/ffai.h>

#include "calls.h"

#define GOLDEN FFAI_SOURCE_DIR "/tests/golden/"

enum { ROWS = 40 };

static int passed;
static int failed;

/* The test itself cannot go on. */
static void require(ffai_status status, const ffai_error *err)
{
    if (status == FFAI_OK)
        return;
    printf("%s\n", err->message);
    exit(1);
}

/* The calls made by what is under way. */
static bool called_nothing(const char *what)
{
    bool nothing = true;
    for (int kind = 0; kind < CALLS_KINDS; kind++) {
        const long count = calls_count((calls_kind)kind);
        if (count)
            printf("%s: %ld calls of kind %s\n", what, count, calls_kind_name((calls_kind)kind));
        nothing = nothing && count == 0;
    }
    return nothing;
}

static bool step(const char *what, ffai_session *session, ffai_sequence sequence, int rows,
                 const ffai_sampling *sampling)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai_row batch[ROWS];
    int32_t token = 0;
    const float *logits = NULL;
    for (int i = 0; i < rows; i++)
        batch[i] = (ffai_row){3 + i, sequence, i + 1 == rows, i + 1 == rows ? sampling : NULL};
    calls_arm(CALLS_ALLOCATION, 0, false);
    ffai_status status = ffai_step_submit(session, batch, (size_t)rows, &err);
    if (status == FFAI_OK)
        status = ffai_step_collect(&token, &logits, session, &err);
    calls_disarm();
    require(status, &err);
    return called_nothing(what);
}

/* Decoding over three pages, greedily and drawn with everything there is. */
static bool decode(ffai_session *session, ffai_sequence sequence)
{
    static const ffai_sampling greedy = FFAI_SAMPLING_INIT;
    static const ffai_sampling drawn = {.temperature = 0.8F,
                                        .top_k = 40,
                                        .top_p = 0.9F,
                                        .min_p = 0.01F,
                                        .repetition_penalty = 1.1F,
                                        .presence_penalty = 0.1F,
                                        .seed = 5};
    bool ok = true;
    for (int i = 0; i < 70 && ok; i++)
        ok = step("decode", session, sequence, 1, i % 3 == 0 ? NULL : i % 3 == 1 ? &greedy : &drawn);
    return ok;
}

static bool fork_and_go_on(ffai_session *session, ffai_sequence sequence)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai_sequence other = 0;
    calls_arm(CALLS_ALLOCATION, 0, false);
    ffai_status status = ffai_sequence_fork(&other, session, sequence, 37, &err);
    if (status == FFAI_OK)
        status = ffai_sequence_truncate(session, sequence, 35, &err);
    calls_disarm();
    require(status, &err);
    return called_nothing("fork and truncate") && step("a forked sequence", session, other, 1, NULL) &&
           step("the sequence it came from", session, sequence, 1, NULL);
}

static bool go_through_steps(ffai_model *model)
{
    static const ffai_session_options options = {.context = 256, .max_sequences = 2, .max_rows = ROWS};
    ffai_error err = FFAI_ERROR_INIT;
    ffai_session *session = NULL;
    ffai_sequence sequence = 0;
    require(ffai_session_open(&session, model, &options, &err), &err);
    require(ffai_sequence_open(&sequence, session, &err), &err);
    step("the first step", session, sequence, 1, NULL); /* may do as it likes */
    const bool ok = step("a chunk of a prompt", session, sequence, ROWS, NULL) && decode(session, sequence) &&
                    fork_and_go_on(session, sequence);
    ffai_session_close(session);
    return ok;
}

static void check(const char *checkpoint, const char *backend, int threads)
{
    const ffai_model_options options = {.backend = backend, .threads = threads};
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model *model = NULL;
    require(ffai_model_load(&model, checkpoint, &options, &err), &err);
    const bool ok = go_through_steps(model);
    ffai_model_free(model);
    printf("%s  %s, %d threads, %s\n", ok ? "ok    " : "FAILED", backend, threads, checkpoint);
    passed += ok;
    failed += !ok;
}

int main(void)
{
    calls_begin();
    check(GOLDEN "llama/affine-mixed", "cpu", 1);
    check(GOLDEN "llama/affine-mixed", "cpu", 2);
    check(GOLDEN "llama/bf16", "cpu", 2);
    check(GOLDEN "gguf/Q5_0.gguf", "cpu", 1);
    check(GOLDEN "llama/affine-mixed", "ref", 1);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
