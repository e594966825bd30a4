/* Attention of real shapes, in steps of a program with hardly anything else in it: GB/s of keys and values beside a
 * plain read, GFLOP/s of a chunk beside the fused products of registers. One line of JSON a figure.
 *
 *   bench_attention [threads [context [shape or part of it [format [MB of keys and values]]]]] */
#define _GNU_SOURCE
#include <time.h>

#include "cpu.h"
#include "kernels/machine_kernels.h"
#include "tiny_model.h"

enum { ROUNDS = 15, CHUNK_ROUNDS = 3, CHUNK = 256, MOST_SEQUENCES = 4, DEFAULT_MEGABYTES = 128 };

typedef struct attention_shape {
    const char *name;
    int heads;
    int kv_heads;
    int head_dim;
} attention_shape;

static const attention_shape shapes[] = {
    {"smollm2-135m", 9, 3, 64}, {"llama-3.2-1b", 32, 8, 64}, {"llama-3.1-8b", 32, 8, 128},
    {"qwen3-0.6b", 16, 8, 128}, {"mha", 16, 16, 64},         {"gemma-3", 4, 1, 256},
};

static const char *const formats[FFAI__STORE_FORMATS] = {
    [FFAI__STORE_BF16] = "bf16", [FFAI__STORE_F16] = "f16", [FFAI__STORE_F32] = "f32"};

/* A run with `sequences` sequences whose pages are full of numbers. */
typedef struct bench {
    const attention_shape *shape;
    ffai__store_format format;
    int sequences;
    int layers;
    int64_t context;
    double megabytes; /* of keys and values in all layers together, at least */
    tiny_model model;
    ffai__plan *plan;
    ffai__run *run;
    ffai__page_ref *table; /* [sequences][pages] */
} bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A plain read of the pages, and products of registers: one task each. */
typedef struct ceiling {
    ffai__read_kernel *read;
    const ffai__peak *peak;
    const ffai__region *pages;
    uint64_t sums[64]; /* so that every byte is needed */
} ceiling;

enum { PEAK_ITERATIONS = 1 << 18, READ_UNIT = 4096 };

static ceiling ceiling_of(const ffai__cpu_run *run)
{
    ceiling c = {ffai__read_scalar, &ffai__peak_scalar, &run->pages[0], {0}};
#if defined(__x86_64__)
    const bool avx2 = run->plan->isa == FFAI__ISA_AVX2;
    if (run->plan->isa != FFAI__ISA_SCALAR) {
        c.read = avx2 ? ffai__read_avx2 : ffai__read_avx512;
        c.peak = avx2 ? &ffai__peak_avx2_f32 : &ffai__peak_avx512_f32;
    }
#endif
    return c;
}

static void read_share(void *context, int thread, int num_threads)
{
    ceiling *c = context;
    const ffai__share share = ffai__share_of((int64_t)(c->pages->bytes / READ_UNIT), thread, num_threads);
    c->sums[thread % 64] +=
        c->read(c->pages->data + share.begin * READ_UNIT, (size_t)(share.end - share.begin) * READ_UNIT);
}

static void run_peak(void *context, int thread, int num_threads)
{
    const ceiling *c = context;
    (void)thread, (void)num_threads;
    c->peak->run(PEAK_ITERATIONS);
}

static double timed(const ffai__cpu_run *run, ceiling *c, ffai__pool_task *task)
{
    const double begin = now();
    ffai__thread_pool_run(run->pool, task, c);
    return now() - begin;
}

static void must(ffai_status status, const ffai_error *err)
{
    if (status == FFAI_OK)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static double bytes_of_token(const bench *b)
{
    return (b->format == FFAI__STORE_F32 ? 8.0 : 4.0) * b->shape->kv_heads * b->shape->head_dim;
}

/* Numbers between 1/4 and 1/2, of either sign, in every format. */
static void fill_pages(ffai__cpu_run *run)
{
    uint32_t state = 1;
    uint16_t *halves = (uint16_t *)(void *)run->pages[0].data;
    const uint16_t exponent = run->options.store_format == FFAI__STORE_F16 ? 0x3400 : 0x3E80;
    for (uint64_t k = 0; k < run->pages[0].bytes / 2; k++) {
        state = state * 1664525u + 1013904223u;
        halves[k] = (uint16_t)(exponent | (state >> 16 & 0x807F));
    }
}

static void set_up(bench *b, int threads)
{
    ffai_error err = FFAI_ERROR_INIT;
    const int64_t pages = (b->context + CHUNK) / FFAI__PAGE_TOKENS + 1;
    b->layers = 1 + (int)(1e6 * b->megabytes / (bytes_of_token(b) * (double)(b->context * b->sequences)));
    const tiny_shape shape = {.layers = b->layers,
                              .hidden = 32,
                              .heads = b->shape->heads,
                              .kv_heads = b->shape->kv_heads,
                              .head_dim = b->shape->head_dim,
                              .rope_dims = b->shape->head_dim,
                              .wide = 32,
                              .vocab = 32,
                              .tied = true,
                              .bits = 4};
    tiny_create(&b->model, &shape);
    const ffai__plan_options plan = {.threads = threads};
    const ffai__run_options run = {.max_rows = CHUNK,
                                   .max_outputs = MOST_SEQUENCES,
                                   .max_sequences = b->sequences,
                                   .max_context = pages * FFAI__PAGE_TOKENS,
                                   .num_pages = (uint32_t)(pages * b->sequences),
                                   .store_format = b->format};
    must(tiny_load(&b->plan, &ffai__backend_cpu, b->model.program, &plan, &err), &err);
    must(ffai__backend_cpu.open(&b->run, b->plan, &run, &err), &err);
    b->table = calloc((size_t)(pages * b->sequences), sizeof *b->table);
    for (int64_t i = 0; i < pages * b->sequences; i++)
        b->table[i] = (ffai__page_ref){(uint32_t)i, b->format};
    fill_pages((ffai__cpu_run *)b->run);
}

static void tear_down(bench *b)
{
    ffai__backend_cpu.close(b->run);
    ffai__backend_cpu.unload(b->plan);
    free(b->table);
    tiny_free(&b->model);
}

/* Seconds of a step of `rows` rows of every sequence from `position` on. */
static double timed_step(bench *b, int rows, int64_t position)
{
    static int32_t tokens[CHUNK * MOST_SEQUENCES];
    static int32_t positions[CHUNK * MOST_SEQUENCES];
    static int32_t owners[CHUNK * MOST_SEQUENCES];
    ffai__step_sequence sequences[MOST_SEQUENCES];
    const ffai__page_ref *tables[MOST_SEQUENCES][1];
    ffai_error err = FFAI_ERROR_INIT;
    const ffai__step step = {.num_rows = rows * b->sequences,
                             .num_sequences = b->sequences,
                             .tokens = tokens,
                             .positions = positions,
                             .sequence_of_row = owners,
                             .sequences = sequences};
    const size_t pages = ((size_t)b->context + CHUNK) / FFAI__PAGE_TOKENS + 1;
    for (int s = 0; s < b->sequences; s++) {
        tables[s][0] = b->table + (size_t)s * pages;
        sequences[s] = (ffai__step_sequence){s, s * rows, rows, tables[s]};
        for (int i = 0; i < rows; i++) {
            positions[s * rows + i] = (int32_t)(position + i);
            owners[s * rows + i] = s;
        }
    }
    const double begin = now();
    must(ffai__backend_cpu.step(b->run, &step, &err), &err);
    return now() - begin;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}

static void print(const bench *b, const char *what, const char *unit, double seconds, double work, double most)
{
    char text[128];
    ffai__backend_cpu.describe(b->plan, text, sizeof text);
    printf("{\"bench\": \"%s\", \"shape\": \"%s\", \"kv\": \"%s\", \"context\": %lld, \"sequences\": %d, "
           "\"cpu\": \"%s\", \"layer_us\": %.1f, \"%s\": %.1f, \"ceiling\": %.1f, \"share\": %.3f}\n",
           what, b->shape->name, formats[b->format], (long long)b->context, b->sequences, text,
           1e6 * seconds / b->layers, unit, 1e-9 * work / seconds, 1e-9 * most, work / seconds / most);
    fflush(stdout);
}

/* One row of every sequence at the end of the context: every key and value is read once. Steps and plain reads of the
 * same memory take turns. */
static void bench_decode(bench *b)
{
    const ffai__cpu_run *run = (const ffai__cpu_run *)b->run;
    ceiling c = ceiling_of(run);
    const double bytes = bytes_of_token(b) * (double)(b->context * b->sequences) * b->layers;
    double steps[ROUNDS];
    double reads[ROUNDS];
    timed_step(b, 1, b->context - 1);
    for (int i = 0; i < ROUNDS; i++) {
        reads[i] = timed(run, &c, read_share);
        steps[i] = timed_step(b, 1, b->context - 1);
    }
    print(b, "decode", "GB/s", median(steps, ROUNDS), bytes, (double)c.pages->bytes / median(reads, ROUNDS));
}

/* A chunk at the end of the context: two products of head_dim for every row, head and position that it sees. */
static void bench_chunk(bench *b)
{
    const ffai__cpu_run *run = (const ffai__cpu_run *)b->run;
    const double seen = ((double)b->context - CHUNK / 2.0) * CHUNK;
    const double flops = 4.0 * seen * b->shape->heads * b->shape->head_dim * b->layers;
    ceiling c = ceiling_of(run);
    double steps[CHUNK_ROUNDS];
    double peaks[CHUNK_ROUNDS];
    timed_step(b, CHUNK, b->context - CHUNK);
    for (int i = 0; i < CHUNK_ROUNDS; i++) {
        peaks[i] = timed(run, &c, run_peak);
        steps[i] = timed_step(b, CHUNK, b->context - CHUNK);
    }
    const double peak = c.peak->flops * PEAK_ITERATIONS * run->plan->threads / median(peaks, CHUNK_ROUNDS);
    print(b, "prefill", "GFLOP/s", median(steps, CHUNK_ROUNDS), flops, peak);
}

int main(int argc, char **argv)
{
    static bench b;
    const int threads = argc > 1 ? atoi(argv[1]) : 0;
    const int64_t context = argc > 2 ? atoi(argv[2]) : 8192;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int format = 0; format < FFAI__STORE_FORMATS; format++) {
            for (int sequences = 1; sequences <= MOST_SEQUENCES; sequences *= MOST_SEQUENCES) {
                if ((argc > 3 && !strstr(shapes[i].name, argv[3])) || (argc > 4 && !strstr(formats[format], argv[4])))
                    continue;
                b = (bench){.shape = &shapes[i],
                            .format = (ffai__store_format)format,
                            .sequences = sequences,
                            .context = context,
                            .megabytes = argc > 5 ? atof(argv[5]) : DEFAULT_MEGABYTES};
                set_up(&b, threads);
                bench_decode(&b);
                if (sequences == 1)
                    bench_chunk(&b);
                tear_down(&b);
            }
        }
    }
    return 0;
}
