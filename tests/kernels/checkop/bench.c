/* How fast: rounds that go over all tiles in turn, the best of them, beside what this machine reads and multiplies at
 * most, measured in the same run. One thread. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "kernels/machine_kernels.h"
#include "timed.h"

enum { ROUNDS = 15, MEMORY_ROUNDS = 5 };
/* A tier as slow as the scalar one takes part in fewer rounds. */
#define MOST_SECONDS 0.3

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- operands --- */

static void close_timed(void *context)
{
    timed *t = context;
    for (int i = 0; i < TIMED_OPERANDS; i++)
        ffai__free_aligned(t->x[i]);
    ffai__free_aligned(t->y);
    free(t);
}

static float *random_floats(int64_t n)
{
    float *x = ffai__malloc_aligned((size_t)n * sizeof *x);
    if (!x)
        exit(1);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((i * 7919) % 1000 - 500) * 0.003f;
    return x;
}

void timed_open(checkop_job *job, const checkop_tier *tier, void (*run)(void *context), int64_t n, int operands,
                const char *format, ...)
{
    timed *t = calloc(1, sizeof *t);
    if (!t)
        exit(1);
    *t = (timed){.tier = tier, .n = n, .y = random_floats(n)};
    for (int i = 0; i < operands; i++)
        t->x[i] = random_floats(n);
    *job = (checkop_job){.run = run, .close = close_timed, .context = t, .code = tier->kernels};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(job->name, sizeof job->name, format, arguments);
    va_end(arguments);
}

/* --- ceilings --- */

typedef struct ceilings {
    double first, second, memory; /* bytes a second from the caches and from memory */
    double flops;                 /* float32, fused products and sums */
} ceilings;

enum { FIRST_BYTES = 16 << 10, SECOND_BYTES = 256 << 10, MEMORY_BYTES = 96 << 20, PEAK_ITERATIONS = 5000 };

static ceilings most;
static volatile uint64_t sink;

typedef struct reading {
    ffai__read_kernel *read;
    const uint8_t *data;
    size_t bytes;
} reading;

static void run_reading(void *context)
{
    const reading *r = context;
    sink += r->read(r->data, r->bytes);
}

static void run_peak(void *context)
{
    const ffai__peak *const *peak = context;
    (*peak)->run(PEAK_ITERATIONS);
}

/* The widest of this machine. */
typedef struct widest {
    ffai__read_kernel *read;
    const ffai__peak *peak; /* float32 */
} widest;

static widest find_widest(void)
{
    ffai__cpu_features features;
    ffai__cpu_features_detect(&features);
#if defined(__x86_64__)
    if (ffai__isa_runs(&features, FFAI__ISA_AVX512))
        return (widest){ffai__read_avx512, &ffai__peak_avx512_f32};
    if (ffai__isa_runs(&features, FFAI__ISA_AVX2))
        return (widest){ffai__read_avx2, &ffai__peak_avx2_f32};
#elif defined(__aarch64__)
    if (ffai__isa_runs(&features, FFAI__ISA_NEON))
        return (widest){ffai__read_neon, &ffai__peak_neon_f32};
#endif
    return (widest){ffai__read_scalar, &ffai__peak_scalar};
}

/* Seconds of one run, the best of many samples that each take a fraction of a millisecond. */
static double best_of(void (*run)(void *context), void *context, int repeats, int samples)
{
    double best = 1e9;
    for (int s = 0; s < samples; s++) {
        const double begin = now();
        for (int i = 0; i < repeats; i++)
            run(context);
        const double taken = (now() - begin) / repeats;
        best = taken < best ? taken : best;
    }
    return best;
}

static void keep_most(double *rate, double amount, double taken)
{
    *rate = amount / taken > *rate ? amount / taken : *rate;
}

/* Again and again between the kernels, so that both have the machine's better and worse moments. */
static void sample_ceilings(bool memory, int samples)
{
    static uint8_t *data;
    widest w = find_widest();
    if (!data) {
        data = ffai__malloc_aligned(MEMORY_BYTES);
        if (!data)
            exit(1);
        memset(data, 0, MEMORY_BYTES);
    }
    reading first = {w.read, data, FIRST_BYTES};
    reading second = {w.read, data, SECOND_BYTES};
    reading all = {w.read, data, MEMORY_BYTES};
    keep_most(&most.first, FIRST_BYTES, best_of(run_reading, &first, 500, samples));
    keep_most(&most.second, SECOND_BYTES, best_of(run_reading, &second, 30, samples));
    keep_most(&most.flops, w.peak->flops * PEAK_ITERATIONS, best_of(run_peak, &w.peak, 1, samples));
    if (memory)
        keep_most(&most.memory, MEMORY_BYTES, best_of(run_reading, &all, 1, samples));
}

void checkop_measure_ceilings(void)
{
    sample_ceilings(true, 10);
    printf(
        "ceilings of one thread: reads %.0f GB/s from the first-level cache, %.0f from the second, %.1f from memory; "
        "%.0f GFLOP/s in float32\n",
        most.first * 1e-9, most.second * 1e-9, most.memory * 1e-9, most.flops * 1e-9);
}

/* The time that the ceilings would allow, by what binds: reads or products. */
static double least_seconds(const checkop_job *job)
{
    const double rate = job->memory ? most.memory : job->bytes <= 32e3 ? most.first : most.second;
    const double reads = job->bytes / rate;
    const double products = job->flops / most.flops;
    return reads > products ? reads : products;
}

/* --- rounds --- */

typedef struct timing {
    checkop_job job;
    const checkop_tier *tier;
    int repeats;
    double best;
} timing;

static void sample(timing *t)
{
    const double taken = best_of(t->job.run, t->job.context, t->repeats, 1);
    t->best = taken < t->best ? taken : t->best;
}

/* Repetitions that take a third of a millisecond together. */
static void calibrate(timing *t)
{
    t->repeats = 1;
    t->best = 1e9;
    sample(t);
    const double wanted = 0.3e-3 / t->best;
    t->repeats = wanted < 1 ? 1 : wanted > 1e6 ? 1000000 : (int)wanted;
}

static void print_timing(const char *name, const timing *t, double plain)
{
    const checkop_job *job = &t->job;
    printf("%-11s %-24s %-12s %10.3f us %7.1f GB/s %7.1f GFLOP/s %4.0f%% of the ceiling %6.1fx\n", name, job->name,
           t->tier->name, t->best * 1e6, job->bytes / t->best * 1e-9, job->flops / t->best * 1e-9,
           100 * least_seconds(job) / t->best, plain / t->best);
    fflush(stdout);
}

/* Open the variant on every tier whose code is its own; how many. */
static int open_timings(timing *timings, const checkop_kernel *kernel, const checkop_tier *tiers, int num_tiers,
                        int variant)
{
    int count = 0;
    for (int i = 0; i < num_tiers; i++) {
        timing *t = &timings[count];
        *t = (timing){.tier = &tiers[i]};
        if (!kernel->bench(&t->job, &tiers[i], variant))
            break;
        bool known = false;
        for (int k = 0; k < count; k++)
            known = known || timings[k].job.code == t->job.code;
        if (known)
            t->job.close(t->job.context);
        else
            count++;
    }
    return count;
}

void checkop_bench(const char *name, const checkop_kernel *kernel, const checkop_tier *tiers, int num_tiers)
{
    timing timings[CHECKOP_MOST_TIERS];
    for (int variant = 0;; variant++) {
        const int count = open_timings(timings, kernel, tiers, num_tiers, variant);
        if (!count)
            return;
        for (int i = 0; i < count; i++)
            calibrate(&timings[i]);
        for (int round = 0; round < (timings[0].job.memory ? MEMORY_ROUNDS : ROUNDS); round++) {
            sample_ceilings(timings[0].job.memory, 1);
            for (int i = 0; i < count; i++) {
                if (round * timings[i].best < MOST_SECONDS)
                    sample(&timings[i]);
            }
        }
        for (int i = 0; i < count; i++)
            print_timing(name, &timings[i], timings[0].best);
        for (int i = 0; i < count; i++)
            timings[i].job.close(timings[i].job.context);
    }
}
