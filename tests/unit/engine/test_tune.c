/* Tuned values: none changes a bit, and a file of them is hostile input. */
// clang-format off
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ffai/ffai.h>

#include "alloc.h"
#include "cuda_devices.h"
#include "results.h"
#include "session.h"
#include "tuning_file.h"

#define TINY FFAI_SOURCE_DIR "/tests/golden/llama/affine-4bit-g32-f32"

enum { ROWS = 70 };

static char folder[64];

static ffai_model *load_on(const char *backend, int device, int threads, bool untuned)
{
    const ffai_model_options options = {
        .backend = backend, .device = device, .threads = threads, .untuned = untuned, .without_tokenizer = true};
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai_model_load(&model, TINY, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return model;
}

static ffai_model *load(int threads, bool untuned)
{
    return load_on("cpu", 0, threads, untuned);
}

/* --- bits --- */

/* The logits of the last rows of a prompt and of a token behind it. */
static void compute(float *logits, ffai_session *s, ffai_sequence sequence)
{
    ffai_row rows[ROWS + 1];
    const float *given = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const size_t vocab_size = (size_t)s->model->program->vocab_size;
    for (int i = 0; i <= ROWS; i++)
        rows[i] = (ffai_row){(i * 37 + 5) % 250, sequence, i >= ROWS - 2, NULL};
    assert_int_equal(ffai_forward(&given, s, rows, ROWS, &err), FFAI_OK);
    memcpy(logits, given, 2 * vocab_size * sizeof *logits);
    assert_int_equal(ffai_forward(&given, s, rows + ROWS, 1, &err), FFAI_OK);
    memcpy(logits + 2 * vocab_size, given, vocab_size * sizeof *logits);
    assert_int_equal(ffai_sequence_truncate(s, sequence, 0, &err), FFAI_OK);
}

static void compare_all(ffai_model *model)
{
    const ffai_session_options opening = {.context = 96, .max_sequences = 1, .max_rows = ROWS, .max_outputs = 2};
    const size_t count = 3 * (size_t)model->program->vocab_size;
    float *usual = ffai__array(count, sizeof *usual), *other = ffai__array(count, sizeof *other);
    ffai_session *s = NULL;
    ffai_sequence sequence = 0;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai_session_open(&s, model, &opening, &err), FFAI_OK);
    assert_int_equal(ffai_sequence_open(&sequence, s, &err), FFAI_OK);
    compute(usual, s, sequence);
    for (size_t i = 0; i < (size_t)FFAI__NUM_TUNABLES * 2 * 3; i++) {
        const ffai__tunable *tunable = &ffai__tunables[i / 6];
        if (!ffai__tunable_is_of(i / 6, model->backend->name))
            continue;
        const int32_t values[] = {i / 6 == FFAI__TUNABLE_threads ? 1 : tunable->least, 17,
                                  i / 6 == FFAI__TUNABLE_threads ? 3 : tunable->most};
        ffai__tuning tuning = ffai__tuning_usual;
        tuning.threads = 1 + (int32_t)(i / 3 % 2) * 2;
        if (values[i % 3] <= 3 || i / 6 != FFAI__TUNABLE_threads)
            ffai__tuning_set(&tuning, i / 6, values[i % 3]);
        if (model->backend->retune(s->run, &tuning, &err) != FFAI_OK)
            fail_msg("%s", err.message);
        compute(other, s, sequence);
        for (size_t k = 0; k < count; k++) {
            if (memcmp(&usual[k], &other[k], sizeof *usual) != 0)
                fail_msg("%s %d, %d threads: logit %zu is %a, usually %a", tunable->name,
                         ffai__tuning_get(&tuning, i / 6), tuning.threads, k, (double)other[k], (double)usual[k]);
        }
    }
    ffai_session_close(s);
    ffai__free(usual);
    ffai__free(other);
}

static void no_value_changes_a_bit(void **state)
{
    (void)state;
    ffai_model *model = load(3, true);
    compare_all(model);
    ffai_model_free(model);
}

/* Matrices of more tiles than a block holds. */
static void no_value_changes_a_bit_of_large_matrices(void **state)
{
    (void)state;
    const ffai_random_model random = {"smollm2-135m", 4, 64, 4};
    const ffai_model_options options = {.backend = "cpu", .threads = 3, .untuned = true};
    ffai_model *model = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai_model_make(&model, &random, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    compare_all(model);
    ffai_model_free(model);
}

/* --- files --- */

static ffai__tuning_file file_of(const ffai_model *model)
{
    ffai__tuning_file file = {0};
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__tuning_file_of(&file, model, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return file;
}

static void values_come_back_as_they_were_written(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model *model = load(0, true);
    ffai__tuning_file file = file_of(model);
    ffai_model_info info;
    ffai__tuning values = ffai__tuning_usual, read;
    values.threads = 1;
    values.row_block = 32;
    values.tile_block_bytes = 4321;
    values.fetch_ahead = 640;
    if (ffai__tuning_file_write(&file, &values, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ffai__tuning_file_read(&read, &file, &err), FFAI_OK);
    assert_memory_equal(&read, &values, sizeof read);
    ffai_model_get_info(&info, model);
    assert_string_equal(info.tuning, "usual values");
    ffai_model_free(model);

    model = load(0, false);
    ffai_model_get_info(&info, model);
    model->backend->tuning(&read, model->plan);
    assert_memory_equal(&read, &values, sizeof read);
    assert_non_null(strstr(info.tuning, "threads 1, row_block 32, tile_block_bytes 4321, fetch_ahead 640, from /"));
    ffai_model_free(model);

    model = load(2, false); /* a number that is asked for wins */
    model->backend->tuning(&read, model->plan);
    assert_int_equal(read.threads, 2);
    assert_int_equal(read.row_block, 32);
    ffai_model_free(model);

    setenv("FFAI_TUNE", "off", 1);
    model = load(0, false);
    setenv("FFAI_TUNE", "on", 1);
    model->backend->tuning(&read, model->plan);
    assert_int_equal(read.row_block, ffai__tuning_usual.row_block);
    ffai_model_free(model);
    ffai__tuning_file_free(&file);
}

static void write_text(const char *path, const char *text, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* A model whose file says this loads with the usual values and says why. */
static void check_ignored(const ffai__tuning_file *file, const char *text, size_t size, const char *why)
{
    ffai_model_info info;
    ffai__tuning read, usual = ffai__tuning_usual;
    write_text(file->path, text, size);
    ffai_model *model = load(0, false);
    ffai_model_get_info(&info, model);
    model->backend->tuning(&read, model->plan);
    usual.threads = read.threads;
    usual.fetch_ahead = read.fetch_ahead;
    if (!strstr(info.tuning, "usual values; ignored: ") || !strstr(info.tuning, why))
        fail_msg("\"%.*s\": \"%s\" lacks \"%s\"", (int)size, text, info.tuning, why);
    assert_memory_equal(&read, &usual, sizeof read);
    ffai_model_free(model);
}

static void a_broken_or_foreign_file_is_ignored_with_a_note(void **state)
{
    (void)state;
    static const char good[] = "\"threads\": 0, \"row_block\": 64, \"tile_block_bytes\": 4096, \"fetch_ahead\": 0";
    static const struct {
        const char *version, *device, *values, *why;
    } files[] = {
        {"0.0.0", NULL, good, "\"version\""},
        {NULL, "an abacus", good, "\"device\""},
        {NULL, NULL, "", "\"threads\": is missing"},
        {NULL, NULL, "\"threads\": 0, \"row_block\": 64", "\"tile_block_bytes\": is missing"},
        {NULL, NULL, "\"threads\": 1025, \"row_block\": 64, \"tile_block_bytes\": 1, \"fetch_ahead\": 0",
         "\"threads\""},
        {NULL, NULL, "\"threads\": -1, \"row_block\": 64, \"tile_block_bytes\": 1, \"fetch_ahead\": 0", "\"threads\""},
        {NULL, NULL, "\"threads\": 0, \"row_block\": 0, \"tile_block_bytes\": 1, \"fetch_ahead\": 0", "\"row_block\""},
        {NULL, NULL, "\"threads\": 0, \"row_block\": 1.5, \"tile_block_bytes\": 1, \"fetch_ahead\": 0",
         "\"row_block\""},
        {NULL, NULL, "\"threads\": 0, \"row_block\": \"64\", \"tile_block_bytes\": 1, \"fetch_ahead\": 0",
         "\"row_block\""},
        {NULL, NULL, "\"threads\": 0, \"row_block\": 64, \"tile_block_bytes\": 1e300, \"fetch_ahead\": 0",
         "\"tile_block_bytes\""},
        {NULL, NULL, "\"threads\": 0, \"row_block\": 64, \"tile_block_bytes\": 1, \"fetch_ahead\": -2",
         "\"fetch_ahead\""},
        {NULL, NULL, "\"threads\": 0, \"threads\": 0", "duplicate"},
    };
    ffai_model *model = load(0, true);
    ffai__tuning_file file = file_of(model);
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model_free(model);
    assert_int_equal(ffai__tuning_file_write(&file, &ffai__tuning_usual, &err), FFAI_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *text = ffai__format("{\"version\": \"%s\", \"device\": \"%s\", \"program\": \"%s\", \"values\": {%s}}",
                                  files[i].version ? files[i].version : ffai_version(),
                                  files[i].device ? files[i].device : file.device, file.program, files[i].values);
        check_ignored(&file, text, strlen(text), files[i].why);
        ffai__free(text);
    }
    check_ignored(&file, "", 0, file.path);
    check_ignored(&file, "[]", 2, "must be an object");
    check_ignored(&file, "{\"version\": 1}", 14, "\"version\"");
    check_ignored(&file, "\0\377{", 3, file.path);
    char *large = ffai__calloc(1, 100000);
    memset(large, ' ', 100000);
    check_ignored(&file, large, 100000, file.path);
    ffai__free(large);
    ffai__tuning_file_free(&file);
}

static void a_file_cut_short_anywhere_is_ignored(void **state)
{
    (void)state;
    ffai_model *model = load(0, true);
    ffai__tuning_file file = file_of(model);
    ffai_error err = FFAI_ERROR_INIT;
    ffai__tuning read;
    char text[1024];
    ffai_model_free(model);
    assert_int_equal(ffai__tuning_file_write(&file, &ffai__tuning_usual, &err), FFAI_OK);
    FILE *f = fopen(file.path, "rb");
    assert_non_null(f);
    const size_t size = fread(text, 1, sizeof text, f);
    fclose(f);
    for (size_t n = 0; n + 1 < size; n++) {
        write_text(file.path, text, n);
        if (ffai__tuning_file_read(&read, &file, &err) == FFAI_OK)
            fail_msg("%zu of %zu bytes are taken", n, size);
    }
    ffai__tuning_file_free(&file);
}

/* --- tuning --- */

static void count_trial(void *context, const ffai_tune_trial *trial)
{
    int *trials = context;
    assert_true(trial->prefill > 0 || trial->decode > 0 || !trial->rounds);
    assert_true(trial->rounds <= 7 && trial->wins <= trial->rounds && trial->disturbed <= 4);
    assert_true(trial->rounds >= 2 || trial->disturbed == 4);
    assert_true(!trial->kept || trial->wins >= 6);
    ++*trials;
}

static void tuning_writes_what_loading_reads_and_forgetting_removes(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model_info info;
    char *path = NULL;
    size_t removed = 0;
    int trials = 0;
    assert_int_equal(ffai_tune_forget(&removed, &err), FFAI_OK);
    ffai_model *model = load(0, true);
    const ffai_tune_options options = {.on_trial = count_trial, .context = &trials};
    if (ffai_tune(&path, model, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_true(trials >= 4);
    ffai_model_free(model);
    model = load(0, false);
    ffai_model_get_info(&info, model);
    assert_non_null(strstr(info.tuning, path));
    assert_int_equal(ffai_tune(&path, model, NULL, &err), FFAI_E_ARGUMENT);
    ffai_model_free(model);
    assert_int_equal(ffai_tune_forget(&removed, &err), FFAI_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(access(path, F_OK), -1);
    ffai_free(path);
}

/* A CPU backend whose steps take four times as long on several threads as on one, as they do beside another process, or
 * where memory feeds one best. */
static struct {
    int threads;
    bool disturbed; /* that is what `lost` says */
    double lost;
} busy;

static void busy_tuning(ffai__tuning *tuning, const ffai__plan *plan)
{
    ffai__backend_cpu.tuning(tuning, plan);
    tuning->threads = 2;
}

static ffai_status busy_retune(ffai__run *run, const ffai__tuning *tuning, ffai_error *err)
{
    (void)run;
    (void)err;
    busy.threads = tuning->threads;
    return FFAI_OK;
}

static ffai_status busy_step(ffai__run *run, const ffai__step *step, ffai_error *err)
{
    (void)err;
    ffai__results_of(run, step);
    nanosleep(&(struct timespec){.tv_nsec = busy.threads == 1 ? 200000 : 800000}, NULL);
    busy.lost += busy.disturbed && busy.threads > 1 ? 0.0004 : 0;
    return FFAI_OK;
}

static double busy_lost(const ffai__run *run)
{
    (void)run;
    return busy.lost;
}

typedef struct threads_trial {
    int kept, disturbed;
} threads_trial;

static void note_threads(void *context, const ffai_tune_trial *trial)
{
    threads_trial *noted = context;
    if (strcmp(trial->parameter, "threads") == 0)
        *noted = (threads_trial){trial->kept, trial->disturbed};
}

/* Returns the number of threads that is kept. */
static int tune_beside_others(threads_trial *noted, bool disturbed)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__tuning kept;
    size_t removed = 0;
    char *path = NULL;
    ffai_model *model = load(0, true);
    ffai__backend backend = ffai__backend_cpu;
    backend.tuning = busy_tuning;
    backend.retune = busy_retune;
    backend.step = busy_step;
    backend.lost = busy_lost;
    model->backend = &backend;
    busy.threads = 2;
    busy.disturbed = disturbed;
    const ffai_tune_options options = {.on_trial = note_threads, .context = noted};
    if (ffai_tune(&path, model, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    ffai__tuning_file file = file_of(model);
    assert_int_equal(ffai__tuning_file_read(&kept, &file, &err), FFAI_OK);
    assert_int_equal(ffai_tune_forget(&removed, &err), FFAI_OK);
    ffai__tuning_file_free(&file);
    model->backend = &ffai__backend_cpu;
    ffai_model_free(model);
    ffai_free(path);
    return kept.threads;
}

static void what_wins_because_other_processes_run_is_not_kept(void **state)
{
    (void)state;
    threads_trial noted = {0};
    assert_int_equal(tune_beside_others(&noted, false), 1);
    assert_true(noted.kept && noted.disturbed == 0);
    assert_int_equal(tune_beside_others(&noted, true), ffai__tuning_usual.threads);
    assert_true(!noted.kept && noted.disturbed == 4);
}

/* --- a device --- */

/* A device whose steps take so long, and half of it with the values below: as long as they last, nothing is computed.
 */
static struct {
    ffai__tuning tuning;
    double until; /* the steps submitted so far are done */
} device;

enum { BEST_ROW_BLOCKS = 3, BEST_ATTEND_BLOCKS = 4, BEST_STEP_ROWS = 4096 };

static ffai_status device_retune(ffai__run *run, const ffai__tuning *tuning, ffai_error *err)
{
    (void)run;
    (void)err;
    device.tuning = *tuning;
    return FFAI_OK;
}

static double seconds_of(const ffai__step *step)
{
    const bool deep = step->positions[0] > 4096;
    if (step->num_rows > 1)
        return 5e-6 * step->num_rows * (step->num_rows >= BEST_STEP_ROWS ? 0.5 : 1);
    if (deep)
        return device.tuning.attend_blocks == BEST_ATTEND_BLOCKS ? 2e-4 : 4e-4;
    return device.tuning.row_blocks == BEST_ROW_BLOCKS ? 2e-4 : 4e-4;
}

static ffai_status device_step(ffai__run *run, const ffai__step *step, ffai_error *err)
{
    (void)err;
    ffai__results_of(run, step);
    const double now = ffai__now();
    device.until = (device.until > now ? device.until : now) + seconds_of(step);
    return FFAI_OK;
}

static ffai_status device_collect(ffai__run *run, int behind, int32_t *ids, float *chosen, const float **logits,
                                  ffai_error *err)
{
    (void)run;
    (void)err;
    assert_true(behind == 0 && !ids && !chosen && !logits);
    while (ffai__now() < device.until)
        ;
    return FFAI_OK;
}

static bool has_device(void)
{
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__cuda_usable(0, &err) == FFAI_OK)
        return true;
    print_message("%s\n", err.message);
    return false;
}

static void tune_device(char **path)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model *model = load_on("cuda", 0, 0, true);
    ffai__backend backend = *model->backend;
    backend.retune = device_retune;
    backend.step = device_step;
    backend.collect = device_collect;
    model->backend = &backend;
    int trials = 0;
    const ffai_tune_options options = {.on_trial = count_trial, .context = &trials};
    if (ffai_tune(path, model, &options, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_true(trials == 9);
    model->backend = &ffai__backend_cuda;
    ffai_model_free(model);
}

static void check_device_values(int number, const char *path, int32_t row_blocks, int32_t attend_blocks,
                                double step_size)
{
    ffai__tuning tuning;
    ffai_model_info info;
    ffai_parameters parameters;
    ffai_model *model = load_on("cuda", number, 0, false);
    model->backend->tuning(&tuning, model->plan);
    ffai_model_get_info(&info, model);
    ffai_model_parameters(&parameters, model);
    assert_int_equal(tuning.row_blocks, row_blocks);
    assert_int_equal(tuning.attend_blocks, attend_blocks);
    assert_true(parameters.prefill_step_size.value == step_size);
    assert_int_equal(parameters.prefill_step_size.source, path ? FFAI_FROM_TUNING : FFAI_FROM_LIBRARY);
    assert_true((strstr(info.tuning, path ? path : "usual values") != NULL));
    ffai_model_free(model);
}

/* What a checkpoint says stays; what was tuned goes before the family, the device before the library alone. */
static void the_rows_of_a_step_are_whose_word_counts_most(void **state)
{
    (void)state;
    static const struct {
        ffai_parameter given;
        const ffai__backend *backend;
        int32_t tuned, wanted, scarce;
        ffai_source source;
    } cases[] = {
        {{1024, FFAI_FROM_LIBRARY}, &ffai__backend_cpu, 0, 1024, 1024, FFAI_FROM_LIBRARY},
        {{1024, FFAI_FROM_LIBRARY}, &ffai__backend_cuda, 0, 2048, 1024, FFAI_FROM_LIBRARY},
        {{1024, FFAI_FROM_LIBRARY}, &ffai__backend_cuda, 512, 512, 512, FFAI_FROM_TUNING},
        {{4096, FFAI_FROM_FAMILY}, &ffai__backend_cuda, 0, 4096, 4096, FFAI_FROM_FAMILY},
        {{4096, FFAI_FROM_FAMILY}, &ffai__backend_cuda, 2048, 2048, 1024, FFAI_FROM_TUNING},
        {{300, FFAI_FROM_CHECKPOINT}, &ffai__backend_cuda, 2048, 300, 300, FFAI_FROM_CHECKPOINT},
        {{3000, FFAI_FROM_CHECKPOINT}, &ffai__backend_cuda, 0, 3000, 3000, FFAI_FROM_CHECKPOINT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ffai__tuning tuning = ffai__tuning_usual;
        ffai_parameters parameters = {.prefill_step_size = cases[i].given};
        tuning.step_rows = cases[i].tuned;
        ffai__parameters_suit(&parameters, cases[i].backend, &tuning);
        assert_true(parameters.prefill_step_size.value == cases[i].wanted);
        assert_int_equal(parameters.prefill_step_size.source, cases[i].source);
        assert_int_equal(ffai__parameters_step_rows(&parameters, false), cases[i].wanted);
        assert_int_equal(ffai__parameters_step_rows(&parameters, true), cases[i].scarce);
    }
}

/* What is best on one device is in force there, and neither on another nor on the processor. */
static void a_device_keeps_values_of_its_own(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model_info info;
    size_t removed = 0;
    char *path = NULL;
    if (!has_device())
        skip();
    assert_int_equal(ffai_tune_forget(&removed, &err), FFAI_OK);
    tune_device(&path);
    check_device_values(0, path, BEST_ROW_BLOCKS, BEST_ATTEND_BLOCKS, BEST_STEP_ROWS);
    check_device_values(1, NULL, ffai__tuning_usual.row_blocks, 2, ffai__backend_cuda.step_rows);
    ffai_model *model = load(0, false);
    ffai_model_get_info(&info, model);
    assert_string_equal(info.tuning, "usual values");
    ffai__tuning_file own = file_of(model);
    assert_string_not_equal(own.path, path);
    assert_int_equal(ffai__tuning_file_write(&own, &ffai__tuning_usual, &err), FFAI_OK);
    ffai__tuning_file_free(&own);
    ffai_model_free(model);
    check_device_values(0, path, BEST_ROW_BLOCKS, BEST_ATTEND_BLOCKS, BEST_STEP_ROWS);
    assert_int_equal(ffai_tune_forget(&removed, &err), FFAI_OK);
    assert_int_equal(removed, 2);
    ffai_free(path);
}

/* A file of the one that stands where that of the other is looked for. */
static void values_of_another_device_are_ignored(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model_info info;
    ffai__tuning tuning = ffai__tuning_usual;
    size_t removed = 0;
    if (!has_device())
        skip();
    tuning.row_blocks = BEST_ROW_BLOCKS;
    ffai_model *first = load_on("cuda", 0, 0, true);
    ffai_model *second = load_on("cuda", 1, 0, true);
    ffai__tuning_file file = file_of(first), other = file_of(second);
    assert_string_not_equal(file.path, other.path);
    char *path = other.path;
    other.path = file.path;
    assert_int_equal(ffai__tuning_file_write(&other, &tuning, &err), FFAI_OK);
    other.path = path;
    ffai_model_free(second);
    ffai_model_free(first);
    ffai_model *model = load_on("cuda", 0, 0, false);
    ffai_model_get_info(&info, model);
    assert_non_null(strstr(info.tuning, "usual values; ignored: "));
    assert_non_null(strstr(info.tuning, "\"device\""));
    model->backend->tuning(&tuning, model->plan);
    assert_int_equal(tuning.row_blocks, ffai__tuning_usual.row_blocks);
    ffai_model_free(model);
    ffai__tuning_file_free(&file);
    ffai__tuning_file_free(&other);
    assert_int_equal(ffai_tune_forget(&removed, &err), FFAI_OK);
}

static bool is_never_called(void *context, double fraction)
{
    (void)context;
    fail_msg("measured %g before it was known whether anything can be written", fraction);
    return false;
}

/* That a folder cannot be made, and one that takes no file: root may write anywhere but into /proc. */
static void where_nothing_can_be_written_nothing_is_measured(void **state)
{
    (void)state;
    static const char *const folders[] = {"/proc/nowhere", "/proc/self/task"};
    const ffai_tune_options options = {.on_progress = is_never_called};
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    ffai_model *model = load(0, true);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        setenv("XDG_CACHE_HOME", folders[i], 1);
        assert_int_equal(ffai_tune(&path, model, &options, &err), FFAI_E_IO);
        assert_int_equal(strncmp(err.message, "tune: /proc/", 12), 0);
        assert_non_null(strstr(err.message, ": set XDG_CACHE_HOME to a folder you can write"));
    }
    char *home = getenv("HOME") ? ffai__strdup(getenv("HOME")) : NULL;
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_int_equal(ffai_tune(&path, model, &options, &err), FFAI_E_NOT_FOUND);
    assert_string_equal(err.message, "tune: neither XDG_CACHE_HOME nor HOME is set: set XDG_CACHE_HOME to a folder you "
                                     "can write");
    if (home)
        setenv("HOME", home, 1);
    ffai__free(home);
    setenv("XDG_CACHE_HOME", folder, 1);
    ffai_model_free(model);
}

static bool stop(void *context, double fraction)
{
    (void)context;
    return fraction < 0.1;
}

static void a_cancelled_tuning_writes_nothing(void **state)
{
    (void)state;
    ffai_error err = FFAI_ERROR_INIT;
    char *path = NULL;
    size_t removed = 0;
    ffai_model *model = load(0, true);
    assert_int_equal(ffai_tune_forget(&removed, &err), FFAI_OK);
    assert_int_equal(ffai_tune(&path, model, &(ffai_tune_options){.on_progress = stop}, &err), FFAI_E_CANCELLED);
    assert_int_equal(ffai_tune_forget(&removed, &err), FFAI_OK);
    assert_int_equal(removed, 0);
    ffai_model_free(model);
}

static int make_cache(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/ffai-tune-XXXXXX", temporary ? temporary : "/tmp");
    return !mkdtemp(folder) || setenv("XDG_CACHE_HOME", folder, 1) || setenv("FFAI_TUNE", "on", 1);
}

static int remove_cache(void **state)
{
    size_t removed = 0;
    char path[96];
    (void)state;
    ffai_tune_forget(&removed, NULL);
    snprintf(path, sizeof path, "%s/ffai/tune", folder);
    rmdir(path);
    snprintf(path, sizeof path, "%s/ffai", folder);
    rmdir(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_value_changes_a_bit),
        cmocka_unit_test(no_value_changes_a_bit_of_large_matrices),
        cmocka_unit_test(values_come_back_as_they_were_written),
        cmocka_unit_test(a_broken_or_foreign_file_is_ignored_with_a_note),
        cmocka_unit_test(a_file_cut_short_anywhere_is_ignored),
        cmocka_unit_test(tuning_writes_what_loading_reads_and_forgetting_removes),
        cmocka_unit_test(what_wins_because_other_processes_run_is_not_kept),
        cmocka_unit_test(the_rows_of_a_step_are_whose_word_counts_most),
        cmocka_unit_test(a_device_keeps_values_of_its_own),
        cmocka_unit_test(values_of_another_device_are_ignored),
        cmocka_unit_test(where_nothing_can_be_written_nothing_is_measured),
        cmocka_unit_test(a_cancelled_tuning_writes_nothing),
    };
    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}
