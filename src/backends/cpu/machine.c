/* The machine's ceilings: reading memory, and multiply-adds on registers. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "cpu.h"
#include "kernels/machine_kernels.h"
#include "memory_info.h"

enum { PASSES = 8, MAX_PEAKS = 8, READ_AT_ONCE = 1 << 20 /* bytes */ };
/* One pass over registers takes about this long. */
#define PEAK_SECONDS 0.02

typedef struct measuring {
    ffai__cores *cores;
    ffai__thread_pool *pool;
    const ffai__plan_options *options;
    ffai__read_kernel *read;
    ffai__region buffer;
    atomic_uint_least64_t sum; /* so that every byte is needed */
    const ffai__peak *peak;
    int64_t iterations;
} measuring;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double timed(measuring *m, ffai__pool_task *task)
{
    const double begin = now();
    ffai__thread_pool_run(m->pool, task, m);
    return now() - begin;
}

static ffai_status report(const measuring *m, double done, ffai_error *err)
{
    if (!m->options->progress || m->options->progress(m->options->progress_context, done))
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_CANCELLED, "measuring the machine: cancelled");
}

/* --- memory --- */

static ffai__share bytes_share(const measuring *m, int thread, int num_threads)
{
    enum { UNIT = 4096 };
    ffai__share share = ffai__share_of((int64_t)(m->buffer.bytes / UNIT), thread, num_threads);
    return (ffai__share){share.begin * UNIT, share.end * UNIT};
}

static void touch(void *context, int thread, int num_threads)
{
    const measuring *m = context;
    const ffai__share share = bytes_share(m, thread, num_threads);
    memset(m->buffer.data + share.begin, thread + 1, (size_t)(share.end - share.begin));
}

static void read_share(void *context, int thread, int num_threads)
{
    measuring *m = context;
    const ffai__share share = bytes_share(m, thread, num_threads);
    atomic_fetch_add(&m->sum, m->read(m->buffer.data + share.begin, (size_t)(share.end - share.begin)));
}

/* 1 GiB, or a quarter of the memory where that is less, but far more than the caches hold. */
static uint64_t buffer_bytes(void)
{
    const uint64_t most = (uint64_t)1 << 30;
    const uint64_t quarter = ffai__memory_available() / 4;
    const uint64_t bytes = quarter < most ? quarter : most;
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    const uint64_t least = cache > 0 ? 4 * (uint64_t)cache : (uint64_t)128 << 20;
    return (bytes > least ? bytes : least) / 4096 * 4096;
}

static ffai_status measure_reads(ffai__machine *machine, measuring *m, ffai_error *err)
{
    const uint64_t bytes = buffer_bytes();
    if (bytes > ffai__memory_available())
        return ffai__fail_memory(err, "measuring the machine", bytes);
    FFAI__TRY(ffai__region_reserve(&m->buffer, bytes, FFAI__REGION_FILLED, "measuring the machine", err));
    timed(m, touch);
    for (int i = 0; i < PASSES; i++) {
        FFAI__TRY(report(m, 0.5 * (i + 1) / (PASSES + 1), err));
        const double rate = (double)bytes / timed(m, read_share);
        machine->read_bytes_s = rate > machine->read_bytes_s ? rate : machine->read_bytes_s;
    }
    return FFAI_OK;
}

/* --- multiply-adds --- */

static void run_peak(void *context, int thread, int num_threads)
{
    const measuring *m = context;
    (void)thread;
    (void)num_threads;
    m->peak->run(m->iterations);
}

static void measure_peak(ffai__machine *machine, measuring *m, const ffai__peak *peak)
{
    m->peak = peak;
    m->iterations = 1000;
    while (timed(m, run_peak) < PEAK_SECONDS / 2)
        m->iterations *= 2;
    for (int i = 0; i < PASSES; i++) {
        const double work = peak->flops * (double)m->iterations * ffai__thread_pool_size(m->pool);
        const double rate = work / timed(m, run_peak);
        if (rate <= machine->matmul_flop_s)
            continue;
        machine->matmul_flop_s = rate;
        machine->instruction = peak->instruction;
    }
}

/* What a tier's products may be made of, and what the features must allow. */
typedef struct candidate {
    ffai__isa isa;
    bool usable;
    const ffai__peak *peak;
} candidate;

/* The tier's own. Returns their number. */
static int find_peaks(const ffai__peak **peaks, ffai__isa isa, const ffai__cpu_features *f)
{
    const candidate candidates[] = {
        {FFAI__ISA_SCALAR, true, &ffai__peak_scalar},
#if defined(__aarch64__)
        {FFAI__ISA_NEON, true, &ffai__peak_neon_f32},
        {FFAI__ISA_NEON, f->neon_dotprod, &ffai__peak_neon_dotprod},
        {FFAI__ISA_NEON, f->neon_dotprod && f->neon_i8mm, &ffai__peak_neon_i8mm},
#elif defined(__x86_64__)
        {FFAI__ISA_AVX2, true, &ffai__peak_avx2_f32},
        {FFAI__ISA_AVX2, true, &ffai__peak_avx2_i16},
        {FFAI__ISA_AVX512, true, &ffai__peak_avx512_f32},
        {FFAI__ISA_AVX512, f->avx512_vnni, &ffai__peak_avx512_vnni},
        {FFAI__ISA_AVX512, f->avx512_bf16, &ffai__peak_avx512_bf16},
        {FFAI__ISA_AMX, true, &ffai__peak_amx_bf16},
        {FFAI__ISA_AMX, true, &ffai__peak_amx_int8},
#endif
    };
    int count = 0;
    (void)f;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        if (candidates[i].usable && candidates[i].isa == isa)
            peaks[count++] = candidates[i].peak;
    }
    return count;
}

static ffai__read_kernel *find_read(ffai__isa isa)
{
    static ffai__read_kernel *const kernels[FFAI__ISA_COUNT] = {
        [FFAI__ISA_SCALAR] = ffai__read_scalar,
#if defined(__aarch64__)
        [FFAI__ISA_NEON] = ffai__read_neon,
#elif defined(__x86_64__)
        [FFAI__ISA_AVX2] = ffai__read_avx2,
        [FFAI__ISA_AVX512] = ffai__read_avx512,
        [FFAI__ISA_AMX] = ffai__read_avx512,
#endif
    };
    return kernels[isa];
}

static ffai_status measure_all(ffai__machine *machine, measuring *m, ffai_error *err)
{
    const ffai__peak *peaks[MAX_PEAKS];
    ffai__cpu_features features;
    ffai__isa isa = FFAI__ISA_SCALAR;
    ffai__cpu_features_detect(&features);
    FFAI__TRY(ffai__isa_choose(&isa, &features, err));
    FFAI__TRY(ffai__cores_find(&m->cores, err));
    const int threads = m->options->threads ? m->options->threads : ffai__cores_default_threads(m->cores);
    FFAI__TRY(ffai__thread_pool_create(&m->pool, threads, m->cores, err));
    machine->isa = ffai__isa_name(isa);
    machine->threads = ffai__thread_pool_size(m->pool);
    m->read = find_read(isa);
    FFAI__TRY(measure_reads(machine, m, err));
    const int count = find_peaks(peaks, isa, &features);
    for (int i = 0; i < count; i++) {
        FFAI__TRY(report(m, 0.5 + 0.5 * i / count, err));
        measure_peak(machine, m, peaks[i]);
    }
    return report(m, 1, err);
}

ffai_status ffai__cpu_measure(ffai__machine *machine, const ffai__plan_options *options, ffai_error *err)
{
    *machine = (ffai__machine){0};
    measuring m = {.options = options};
    const ffai_status status = measure_all(machine, &m, err);
    ffai__thread_pool_free(m.pool);
    ffai__cores_free(m.cores);
    ffai__region_release(&m.buffer);
    return status;
}

/* --- a plan's weights --- */

typedef struct weights_reading {
    const ffai__cpu_plan *plan;
    ffai__read_kernel *read;
    ffai__taken *taken; /* [num_packed, threads] */
    atomic_uint_least64_t sum;
} weights_reading;

static void read_weights_share(void *context, int thread, int num_threads)
{
    weights_reading *r = context;
    for (size_t i = 0; i < r->plan->num_packed; i++) {
        const ffai__packed *packed = &r->plan->packed[i];
        ffai__taking taking = {.taken = r->taken + i * (size_t)num_threads,
                               .round = 1,
                               .total = packed->num_tiles,
                               .block = (int64_t)(READ_AT_ONCE / packed->tile_bytes) + 1,
                               .thread = thread,
                               .num_threads = num_threads};
        ffai__share tiles;
        while (ffai__take(&taking, &tiles)) {
            const uint8_t *at = packed->tiles + (uint64_t)tiles.begin * packed->tile_bytes;
            atomic_fetch_add(&r->sum, r->read(at, (size_t)(tiles.end - tiles.begin) * packed->tile_bytes));
        }
    }
}

double ffai__cpu_read_weights(ffai__run *base)
{
    ffai__cpu_run *run = (ffai__cpu_run *)base;
    const size_t taken_bytes = run->plan->num_packed * (size_t)run->plan->threads * sizeof(ffai__taken);
    weights_reading r = {.plan = run->plan, .read = find_read(run->plan->isa)};
    r.taken = ffai__malloc_aligned(taken_bytes);
    if (!r.taken)
        return 0;
    memset(r.taken, 0, taken_bytes);
    const double begin = now();
    ffai__thread_pool_run(run->pool, read_weights_share, &r);
    const double seconds = now() - begin;
    ffai__free_aligned(r.taken);
    double bytes = 0;
    for (size_t i = 0; i < run->plan->num_packed; i++)
        bytes += (double)run->plan->packed[i].num_tiles * (double)run->plan->packed[i].tile_bytes;
    return seconds > 0 ? bytes / seconds : 0;
}
