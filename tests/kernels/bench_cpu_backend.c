/* Steps of a SmolLM2-135M-shaped program with random weights: decode and prefill in tokens a second.
 * bench_cpu_backend [threads [bits [context]]] */
#define _GNU_SOURCE
#include <time.h>

#include "tiny_model.h"

static const tiny_shape smollm2 = {.layers = 30,
                                   .hidden = 576,
                                   .heads = 9,
                                   .kv_heads = 3,
                                   .head_dim = 64,
                                   .rope_dims = 64,
                                   .wide = 1536,
                                   .vocab = 49152,
                                   .tied = true};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double timed_step(tiny_run *run)
{
    const double begin = now();
    tiny_step(run);
    return now() - begin;
}

static void bench_decode(tiny_run *run, int context)
{
    enum { STEPS = 100 };
    static const int32_t token = 7;
    static const ffai__draw draw = {.temperature = 0, .top_p = 1, .repetition_penalty = 1};
    double seconds[STEPS];
    for (int i = 0; i < STEPS; i++) {
        tiny_begin(run);
        tiny_rows(run, 0, &token, 1, 1);
        run->step.draws = &draw;
        seconds[i] = timed_step(run);
    }
    qsort(seconds, STEPS, sizeof seconds[0], by_value);
    printf("decode at %4d: %.1f tok/s median, %.1f best\n", context, 1 / seconds[STEPS / 2], 1 / seconds[0]);
}

static void bench_prefill(tiny_run *run, int count)
{
    int32_t *tokens = calloc((size_t)count, sizeof *tokens);
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        run->lengths[0] = 0;
        tiny_begin(run);
        tiny_rows(run, 0, tokens, count, 1);
        const double seconds = timed_step(run);
        best = seconds < best ? seconds : best;
    }
    printf("prefill of %4d: %.0f tok/s best\n", count, count / best);
    free(tokens);
}

int main(int argc, char **argv)
{
    static tiny_model model;
    static tiny_run run;
    tiny_shape shape = smollm2;
    shape.bits = argc > 2 ? atoi(argv[2]) : 4;
    const int context = argc > 3 ? atoi(argv[3]) : 1000;
    const tiny_options options = {.threads = argc > 1 ? atoi(argv[1]) : 0};
    tiny_create(&model, &shape);
    const double begin = now();
    tiny_open(&run, &ffai__backend_cpu, model.program, &options);
    char text[128];
    run.backend->describe(run.plan, text, sizeof text);
    printf("%s, %d bits, loaded in %.2f s\n", text, shape.bits, now() - begin);
    bench_decode(&run, 0);
    bench_prefill(&run, context);
    bench_decode(&run, context);
    tiny_close(&run);
    tiny_free(&model);
    return 0;
}
