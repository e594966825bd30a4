/* A 4-bit checkpoint of Llama 3.2 1B's shape, made of random weights: it loads, its peak memory stays within 1.1 x
 * its size plus the stores, what it then holds is within 5% of the estimate made before, and a step gives finite
 * logits. Before that it is quantized to 3 bits, in memory that its largest tensor bounds. Times are printed, not
 * judged.
 *
 * usage: test_load [folder]: keep the checkpoint there; without, a temporary folder is made and removed. */
#define _GNU_SOURCE
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ffai/convert.h>
#include <ffai/ffai.h>

#include "safetensors_writer.h"

enum {
    HIDDEN = 2048,
    INTERMEDIATE = 8192,
    LAYERS = 16,
    HEADS = 32,
    KV_HEADS = 8,
    HEAD_DIM = 64,
    VOCAB = 128256,
    BITS = 4,
    GROUP = 64,
    MAX_TENSORS = 1024,
    CONTEXT = 512,
    ROWS = 16,
    FEW = 1 << 20
};

typedef struct {
    char name[160];
    ffai__dtype dtype;
    ffai__shape shape;
} tensor;

static tensor tensors[MAX_TENSORS];
static int num_tensors;
static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void add(const char *name, const char *part, ffai__dtype dtype, uint64_t rows, uint64_t columns)
{
    tensor *t = &tensors[num_tensors++];
    snprintf(t->name, sizeof t->name, "%s.%s", name, part);
    t->dtype = dtype;
    t->shape = rows ? (ffai__shape){2, {rows, columns}} : (ffai__shape){1, {columns}};
}

static void add_matrix(const char *name, uint64_t rows, uint64_t columns)
{
    add(name, "weight", FFAI__U32, rows, columns * BITS / 32);
    add(name, "scales", FFAI__F16, rows, columns / GROUP);
    add(name, "biases", FFAI__F16, rows, columns / GROUP);
}

static void add_layer(int layer)
{
    static const struct {
        const char *name;
        uint64_t rows, columns;
    } matrices[] = {
        {"self_attn.q_proj", HEADS * HEAD_DIM, HIDDEN},    {"self_attn.k_proj", KV_HEADS * HEAD_DIM, HIDDEN},
        {"self_attn.v_proj", KV_HEADS * HEAD_DIM, HIDDEN}, {"self_attn.o_proj", HIDDEN, HEADS * HEAD_DIM},
        {"mlp.gate_proj", INTERMEDIATE, HIDDEN},           {"mlp.up_proj", INTERMEDIATE, HIDDEN},
        {"mlp.down_proj", HIDDEN, INTERMEDIATE},
    };
    char name[128];
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++) {
        snprintf(name, sizeof name, "model.layers.%d.%s", layer, matrices[i].name);
        add_matrix(name, matrices[i].rows, matrices[i].columns);
    }
    snprintf(name, sizeof name, "model.layers.%d.input_layernorm", layer);
    add(name, "weight", FFAI__F16, 0, HIDDEN);
    snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm", layer);
    add(name, "weight", FFAI__F16, 0, HIDDEN);
}

/* Codes: any bits. Norms: 1. Scales and biases so that a weight is about uniform in ±0.03. */
static void fill(uint8_t *bytes, size_t size, const tensor *t)
{
    const bool biases = strstr(t->name, ".biases") != NULL;
    const uint16_t half = ffai__f32_to_f16(t->shape.rank == 1 ? 1.0F : biases ? -0.03F : 0.004F);
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word = t->dtype == FFAI__U32 ? next_random() : half * 0x0001000100010001u;
        memcpy(bytes + i, &word, 8);
    }
}

static ffai_status write_tensors(const char *folder, ffai_error *err)
{
    ffai__safetensors_writer *writer = NULL;
    uint8_t *bytes = malloc(FEW);
    ffai_status status = ffai__safetensors_writer_open(&writer, folder, UINT64_C(5000000000), err);
    for (int i = 0; status == FFAI_OK && i < num_tensors; i++)
        status = ffai__safetensors_writer_declare(writer, tensors[i].name, tensors[i].dtype, &tensors[i].shape, err);
    for (int i = 0; status == FFAI_OK && i < num_tensors; i++) {
        uint64_t left = 0;
        ffai__shape_elements(&left, &tensors[i].shape);
        left *= ffai__dtype_size(tensors[i].dtype);
        for (; status == FFAI_OK && left > 0; left -= left < FEW ? left : FEW) {
            const size_t size = left < FEW ? (size_t)left : FEW;
            fill(bytes, size, &tensors[i]);
            status = ffai__safetensors_writer_append(writer, bytes, size, err);
        }
    }
    if (status == FFAI_OK)
        status = ffai__safetensors_writer_finish(writer, err);
    ffai__safetensors_writer_free(writer);
    free(bytes);
    return status;
}

static bool write_config(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    fprintf(file,
            "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": %d, "
            "\"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d, "
            "\"num_key_value_heads\": %d, \"head_dim\": %d, \"vocab_size\": %d, \"tie_word_embeddings\": true, "
            "\"max_position_embeddings\": 131072, \"rope_theta\": 500000.0, \"rms_norm_eps\": 1e-05, "
            "\"quantization\": {\"group_size\": %d, \"bits\": %d}}",
            HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS, HEAD_DIM, VOCAB, GROUP, BITS);
    return fclose(file) == 0;
}

static ffai_status make_checkpoint(const char *folder, ffai_error *err)
{
    add_matrix("model.embed_tokens", VOCAB, HIDDEN);
    for (int layer = 0; layer < LAYERS; layer++)
        add_layer(layer);
    add("model.norm", "weight", FFAI__F16, 0, HIDDEN);
    return write_config(folder) ? write_tensors(folder, err) : FFAI_E_IO;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* A line of what the system says of this process, in bytes. */
static double status_bytes(const char *name)
{
    char line[128];
    double kilobytes = 0;
    const size_t length = strlen(name);
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, length) == 0)
            sscanf(line + length, ": %lf", &kilobytes);
    }
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

/* The most memory this process ever held, mapped files included. */
static double peak_memory(void)
{
    return status_bytes("VmHWM");
}

/* What it holds now beyond mapped files. */
static double held_memory(void)
{
    return status_bytes("RssAnon");
}

/* The whole context, so that all of the stores is touched. */
static ffai_status fill_context(const float **logits, ffai_session *session, ffai_error *err)
{
    ffai_sequence sequence = 0;
    ffai_row rows[ROWS];
    ffai_status status = ffai_sequence_open(&sequence, session, err);
    for (int i = 0; status == FFAI_OK && i < CONTEXT; i += ROWS) {
        for (int k = 0; k < ROWS; k++)
            rows[k] = (ffai_row){i + k, sequence, k + 1 == ROWS, NULL};
        status = ffai_forward(logits, session, rows, ROWS, err);
    }
    return status;
}

/* Without the stacks of threads and what else a process has. */
static bool is_as_estimated(const ffai_memory_estimate *e, double held)
{
    const double estimated = (double)(e->weights + e->stores + e->workspace);
    printf("%.1f MB estimated, %.1f MB held\n", estimated / 1e6, held / 1e6);
    return SANITIZED || fabs(held - estimated) <= 0.05 * estimated;
}

static ffai_status load_and_step(const char *folder, bool *good, ffai_error *err)
{
    ffai_model *model = NULL;
    ffai_session *session = NULL;
    const float *logits = NULL;
    const ffai_model_options options = {.without_tokenizer = true, .backend = "cpu"};
    const ffai_session_options session_options = {.context = CONTEXT, .max_sequences = 1, .max_rows = ROWS};
    ffai_memory_estimate estimated;
    ffai_status status =
        ffai_model_estimate(&estimated, &session_options.context, 1, folder, &options, &session_options, err);
    const double before = peak_memory();
    const double held_before = held_memory();
    const double start = now();
    if (status == FFAI_OK)
        status = ffai_model_load(&model, folder, &options, err);
    const double loaded = now();
    if (status == FFAI_OK)
        status = ffai_session_open(&session, model, &session_options, err);
    if (status == FFAI_OK)
        status = fill_context(&logits, session, err);
    if (status == FFAI_OK) {
        ffai_model_info info;
        uint64_t weights = 0;
        uint64_t stores = 0;
        uint64_t workspace = 0;
        ffai_model_get_info(&info, model);
        ffai_session_memory(&weights, &stores, &workspace, session);
        const double used = peak_memory() - before;
        const double allowed = 1.1 * (double)info.weight_bytes + (double)stores;
        *good = is_as_estimated(&estimated, held_memory() - held_before) && (SANITIZED || used <= allowed) &&
                isfinite(logits[0]) && isfinite(logits[VOCAB - 1]);
        printf("%.0f MB of weights loaded in %.2f s on %s; peak memory %.0f MB of %.0f MB allowed; logits %g … %g\n",
               (double)info.weight_bytes / 1e6, loaded - start, info.kernels, used / 1e6, allowed / 1e6,
               (double)logits[0], (double)logits[VOCAB - 1]);
    }
    ffai_session_close(session);
    ffai_model_free(model);
    return status;
}

static void remove_checkpoint(const char *folder)
{
    char path[1024];
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* What it takes is the largest tensor, its scales, and room for some rows; a sanitizer takes memory of its own. */
static bool quantize(const char *folder)
{
    char quantized[600];
    const double largest = (double)VOCAB * HIDDEN * (BITS / 8.0 + 4.0 / GROUP);
    const double allowed = 1.2 * largest + 32e6;
    const double before = peak_memory();
    const double start = now();
    const ffai_convert_options options = {.bits = 3, .group_size = 32};
    ffai_error err = FFAI_ERROR_INIT;
    snprintf(quantized, sizeof quantized, "%s-quantized", folder);
    if (ffai_convert(quantized, folder, &options, &err) != FFAI_OK)
        printf("%s\n", err.message);
    const double used = peak_memory() - before;
    printf("quantized in %.2f s; peak memory %.0f MB of %.0f MB allowed\n", now() - start, used / 1e6, allowed / 1e6);
    remove_checkpoint(quantized);
    return err.status == FFAI_OK && (SANITIZED || used <= allowed);
}

/* In a process of its own, whose peak is not that of loading. */
static bool quantize_elsewhere(const char *folder)
{
    int status = 1;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        status = !quantize(folder);
        fflush(stdout);
        _exit(status);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool disk_has_room(const char *folder)
{
    struct statvfs info;
    return statvfs(folder, &info) == 0 && (double)info.f_bavail * (double)info.f_frsize > 2e9;
}

int main(int argc, char **argv)
{
    char temporary[512];
    ffai_error err = FFAI_ERROR_INIT;
    bool good = false;
    const char *tmp = getenv("TMPDIR");
    snprintf(temporary, sizeof temporary, "%s/ffai-load-XXXXXX", tmp ? tmp : "/tmp");
    const char *folder = argc > 1 ? argv[1] : mkdtemp(temporary);
    if (!folder || (argc > 1 && mkdir(folder, 0777) != 0)) {
        perror("cannot make the folder");
        return 1;
    }
    if (!disk_has_room(folder)) {
        printf("skipped: less than 2 GB of disk are free\n");
        rmdir(folder);
        return 77;
    }
    ffai_status status = make_checkpoint(folder, &err);
    const bool quantized = status == FFAI_OK && quantize_elsewhere(folder);
    if (status == FFAI_OK)
        status = load_and_step(folder, &good, &err);
    good = good && quantized;
    if (argc <= 1)
        remove_checkpoint(folder);
    if (status != FFAI_OK)
        printf("%s\n", err.message);
    printf("%d passed, %d failed\n", status == FFAI_OK && good, !(status == FFAI_OK && good));
    return !(status == FFAI_OK && good);
}
