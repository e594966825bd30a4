/* A checkpoint's file that loses its end while the model is in use gives an error, and no signal.
 *
 * Without a test framework: cmocka has a SIGBUS handler of its own. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ffai/ffai.h>

#define GOLDEN FFAI_SOURCE_DIR "/tests/golden/"

enum { MOST_FILES = 8, PATH_ROOM = 512 };

typedef struct {
    const char *name;
    const char *source; /* a folder, or one file */
    const char *files[MOST_FILES];
    const char *victim; /* the file that is cut */
    const char *backend;
    long long keep; /* bytes of it that stay */
} sample;

static char folder[64];

static void path_of(char path[PATH_ROOM], const char *name)
{
    snprintf(path, PATH_ROOM, "%s/%s", folder, name);
}

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    printf("%s\n", what);
    exit(1);
}

static void copy(const sample *s, const char *name)
{
    static char bytes[1 << 20];
    char from[PATH_ROOM];
    char to[PATH_ROOM];
    snprintf(from, sizeof from, "%s/%s", s->source, name);
    path_of(to, name);
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    require(in && out, from);
    for (size_t got = fread(bytes, 1, sizeof bytes, in); got; got = fread(bytes, 1, sizeof bytes, in))
        require(fwrite(bytes, 1, got, out) == got, to);
    fclose(in);
    require(fclose(out) == 0, to);
}

static void remove_all(const sample *s)
{
    char path[PATH_ROOM];
    for (int i = 0; i < MOST_FILES && s->files[i]; i++) {
        path_of(path, s->files[i]);
        unlink(path);
    }
    rmdir(folder);
}

static ffai_status step(ffai_session *session, ffai_sequence sequence, ffai_error *err)
{
    const float *logits = NULL;
    const ffai_row row = {5, sequence, true, NULL};
    return ffai_forward(&logits, session, &row, 1, err);
}

/* What is wrong with the outcome; NULL if nothing is. */
static const char *judge(const sample *s, ffai_status status, const ffai_error *err)
{
    if (strcmp(s->backend, "cpu") == 0 && status == FFAI_OK) /* it may read nothing of the file any more */
        return NULL;
    if (status != FFAI_E_IO)
        return "the step after it does not fail with FFAI_E_IO";
    return strstr(err->message, s->victim) ? NULL : "the message does not name the file";
}

static const char *cut_and_step(const sample *s, ffai_session *session, ffai_sequence sequence)
{
    ffai_error err = FFAI_ERROR_INIT;
    char path[PATH_ROOM];
    path_of(path, s->victim);
    if (step(session, sequence, &err) != FFAI_OK)
        return "the step before it fails";
    require(truncate(path, s->keep) == 0, path);
    const ffai_status status = step(session, sequence, &err);
    const char *wrong = judge(s, status, &err);
    if (wrong || status == FFAI_OK)
        return wrong;
    if (ffai_sequence_length(session, sequence) != 1)
        return "the step that failed has changed the sequence";
    return step(session, sequence, &err) == FFAI_E_IO ? NULL : "a later step succeeds on zeros";
}

static const char *run_session(const sample *s, ffai_model *model)
{
    static const ffai_session_options options = {.context = 32, .max_sequences = 1, .max_rows = 4};
    ffai_error err = FFAI_ERROR_INIT;
    ffai_session *session = NULL;
    ffai_sequence sequence = 0;
    require(ffai_session_open(&session, model, &options, &err) == FFAI_OK, err.message);
    require(ffai_sequence_open(&sequence, session, &err) == FFAI_OK, err.message);
    const char *wrong = cut_and_step(s, session, sequence);
    ffai_session_close(session);
    return wrong;
}

static const char *run(const sample *s)
{
    const ffai_model_options options = {.backend = s->backend, .threads = 2, .without_tokenizer = true};
    ffai_error err = FFAI_ERROR_INIT;
    ffai_model *model = NULL;
    char path[PATH_ROOM];
    path_of(path, s->victim);
    if (!strstr(s->victim, ".gguf"))
        snprintf(path, sizeof path, "%s", folder);
    require(ffai_model_load(&model, path, &options, &err) == FFAI_OK, err.message);
    const char *wrong = run_session(s, model);
    ffai_model_free(model);
    if (!wrong && ffai_model_load(&model, path, &options, &err) == FFAI_OK) {
        ffai_model_free(model);
        wrong = "the cut file still loads";
    }
    return wrong;
}

static bool check(const sample *s)
{
    snprintf(folder, sizeof folder, "/tmp/ffai-truncation-XXXXXX");
    require(mkdtemp(folder) != NULL, folder);
    for (int i = 0; i < MOST_FILES && s->files[i]; i++)
        copy(s, s->files[i]);
    const char *wrong = run(s);
    remove_all(s);
    printf("%s  %s%s%s\n", wrong ? "FAILED" : "ok    ", s->name, wrong ? ": " : "", wrong ? wrong : "");
    return !wrong;
}

#define ONE                                                                                                            \
    {                                                                                                                  \
        "config.json", "model.safetensors"                                                                             \
    }
#define SHARDS                                                                                                         \
    {                                                                                                                  \
        "config.json", "model.safetensors.index.json", "model-00001-of-00003.safetensors",                             \
            "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"                                     \
    }

static const sample samples[] = {
    {"a file cut in its middle", GOLDEN "llama/f32", ONE, "model.safetensors", "ref", 40960},
    {"a file cut inside a page", GOLDEN "llama/f32", ONE, "model.safetensors", "ref", 5000},
    {"a file cut to nothing", GOLDEN "llama/affine-mixed", ONE, "model.safetensors", "ref", 0},
    {"one shard cut", GOLDEN "llama/sharded", SHARDS, "model-00002-of-00003.safetensors", "ref", 4096},
    {"a GGUF file cut", GOLDEN "gguf", {"F32.gguf"}, "F32.gguf", "ref", 32768},
    {"a file cut under the cpu backend", GOLDEN "llama/f32", ONE, "model.safetensors", "cpu", 4096},
    {"a quantized file cut under the cpu backend", GOLDEN "llama/affine-mixed", ONE, "model.safetensors", "cpu", 0},
};

int main(void)
{
    int passed = 0;
    int failed = 0;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        const bool ok = check(&samples[i]);
        passed += ok;
        failed += !ok;
    }
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
