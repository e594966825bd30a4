/* How fast: rounds that go over all tiles in turn, the best of them, beside what this machine reads and multiplies at
 * most, measured in the same run. One thread. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "alloc.h"
#include "timed.h"

enum { ROUNDS = 15, MEMORY_ROUNDS = 5 };

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

enum { FIRST_BYTES = 16 << 10, SECOND_BYTES = 256 << 10, MEMORY_BYTES = 96 << 20, FMA_CHAINS = 12, FMA_LOOPS = 20000 };

static ceilings most;
static volatile float sink;

typedef struct reading {
    const uint8_t *data;
    size_t bytes;
} reading;

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void read_avx2(void *context)
{
    const reading *r = context;
    __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t i = 0; i < r->bytes; i += 128) {
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++)
            sums[k] = _mm256_xor_si256(sums[k], _mm256_load_si256((const void *)(r->data + i + 32 * k)));
    }
    const __m256i sum = _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3]));
    sink += (float)_mm256_extract_epi8(sum, 0);
}

__attribute__((target("avx512f"))) static void read_avx512(void *context)
{
    const reading *r = context;
    __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    for (size_t i = 0; i < r->bytes; i += 256) {
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++)
            sums[k] = _mm512_xor_si512(sums[k], _mm512_load_si512((const void *)(r->data + i + 64 * k)));
    }
    const __m512i sum = _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]));
    sink += (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(sum));
}

__attribute__((target("avx2,fma"))) static void multiply_avx2(void *context)
{
    (void)context;
    __m256 sums[FMA_CHAINS];
    for (int k = 0; k < FMA_CHAINS; k++)
        sums[k] = _mm256_set1_ps((float)k);
    const __m256 a = _mm256_set1_ps(sink * 1e-9f + 0.5f);
    for (int i = 0; i < FMA_LOOPS; i++) {
#pragma GCC unroll 12
        for (int k = 0; k < FMA_CHAINS; k++)
            sums[k] = _mm256_fmadd_ps(sums[k], a, a);
    }
    for (int k = 0; k < FMA_CHAINS; k++)
        sink += _mm256_cvtss_f32(sums[k]);
}

__attribute__((target("avx512f"))) static void multiply_avx512(void *context)
{
    (void)context;
    __m512 sums[FMA_CHAINS];
    for (int k = 0; k < FMA_CHAINS; k++)
        sums[k] = _mm512_set1_ps((float)k);
    const __m512 a = _mm512_set1_ps(sink * 1e-9f + 0.5f);
    for (int i = 0; i < FMA_LOOPS; i++) {
#pragma GCC unroll 12
        for (int k = 0; k < FMA_CHAINS; k++)
            sums[k] = _mm512_fmadd_ps(sums[k], a, a);
    }
    for (int k = 0; k < FMA_CHAINS; k++)
        sink += _mm512_cvtss_f32(sums[k]);
}
#endif

typedef float quad __attribute__((vector_size(16)));

static void read_plainly(void *context)
{
    const reading *r = context;
    quad sums[8] = {{0}};
    for (size_t i = 0; i < r->bytes; i += sizeof sums) {
        quad words[8];
        memcpy(words, r->data + i, sizeof words);
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++)
            sums[k] += words[k];
    }
    for (int k = 0; k < 8; k++)
        sink += sums[k][0];
}

static void multiply_plainly(void *context)
{
    (void)context;
    quad sums[FMA_CHAINS] = {{0}};
    const float value = sink * 1e-9f + 0.5f;
    const quad a = {value, value, value, value};
    for (int i = 0; i < FMA_LOOPS; i++) {
#pragma GCC unroll 12
        for (int k = 0; k < FMA_CHAINS; k++)
            sums[k] = sums[k] * a + a;
    }
    for (int k = 0; k < FMA_CHAINS; k++)
        sink += sums[k][0];
}

/* The widest of this machine, and floats a register. */
typedef struct widest {
    void (*read)(void *context);
    void (*multiply)(void *context);
    int lanes;
} widest;

static widest find_widest(void)
{
#if defined(__x86_64__)
    ffai__cpu_features features;
    ffai__cpu_features_detect(&features);
    if (features.avx512f)
        return (widest){read_avx512, multiply_avx512, 16};
    if (features.avx2 && features.fma)
        return (widest){read_avx2, multiply_avx2, 8};
#endif
    return (widest){read_plainly, multiply_plainly, 4};
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
    const widest w = find_widest();
    if (!data) {
        data = ffai__malloc_aligned(MEMORY_BYTES);
        if (!data)
            exit(1);
        memset(data, 0, MEMORY_BYTES);
    }
    reading first = {data, FIRST_BYTES};
    reading second = {data, SECOND_BYTES};
    reading all = {data, MEMORY_BYTES};
    keep_most(&most.first, FIRST_BYTES, best_of(w.read, &first, 500, samples));
    keep_most(&most.second, SECOND_BYTES, best_of(w.read, &second, 30, samples));
    keep_most(&most.flops, 2.0 * FMA_CHAINS * FMA_LOOPS * w.lanes, best_of(w.multiply, NULL, 1, samples));
    if (memory)
        keep_most(&most.memory, MEMORY_BYTES, best_of(w.read, &all, 1, samples));
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
            for (int i = 0; i < count; i++)
                sample(&timings[i]);
        }
        for (int i = 0; i < count; i++)
            print_timing(name, &timings[i], timings[0].best);
        for (int i = 0; i < count; i++)
            timings[i].job.close(timings[i].job.context);
    }
}
