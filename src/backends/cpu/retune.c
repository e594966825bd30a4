/* The backend's free parameters: what machine their values belong to, and changing them between steps. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "alloc.h"
#include "cpu.h"
#include "file_map.h"

enum { NAME_BYTES = 49 };

#if defined(__x86_64__)
/* The brand string: three leaves of 16 characters. */
static void name_processor(char name[NAME_BYTES])
{
    unsigned registers[12] = {0};
    for (unsigned i = 0; i < 3; i++) {
        unsigned *r = registers + (size_t)4 * i;
        if (!__get_cpuid(0x80000002u + i, &r[0], &r[1], &r[2], &r[3]))
            break;
    }
    memcpy(name, registers, sizeof registers);
    name[NAME_BYTES - 1] = 0;
}
#else
/* What the kernel says of the first processor: on ARM its implementer, part and revision in one number. */
static void name_processor(char name[NAME_BYTES])
{
    char *text = NULL;
    size_t size = 0;
    name[0] = 0;
    if (ffai__file_read(&text, &size, "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", 4096, NULL))
        return;
    snprintf(name, NAME_BYTES, "%.*s", (int)strcspn(text, "\n"), text);
    ffai__free(text);
}
#endif

static long cache_kib(int level)
{
    const long bytes = sysconf(level);
    return bytes > 0 ? bytes / 1024 : 0;
}

ffai_status ffai__cpu_identify(int *threads, char *text, size_t size, int device, ffai_error *err)
{
    char name[NAME_BYTES];
    ffai__cpu_features features;
    ffai__isa isa = FFAI__ISA_SCALAR;
    ffai__cores *cores = NULL;
    (void)device;
    ffai__cpu_features_detect(&features);
    FFAI__TRY(ffai__isa_choose(&isa, &features, err));
    FFAI__TRY(ffai__cores_find(&cores, err));
    *threads = ffai__cores_default_threads(cores);
    ffai__cores_free(cores);
    name_processor(name);
    snprintf(text, size, "%s, caches of %ld and %ld KiB, %s %s, %d cores", name, cache_kib(_SC_LEVEL2_CACHE_SIZE),
             cache_kib(_SC_LEVEL3_CACHE_SIZE), ffai__isa_name(isa), ffai__isa_extras(isa, &features), *threads);
    return FFAI_OK;
}

void ffai__cpu_tuning(ffai__tuning *tuning, const ffai__plan *base)
{
    *tuning = ((const ffai__cpu_plan *)base)->tuning;
}

/* The workspace has room for the plan's threads, so there may be fewer. */
ffai_status ffai__cpu_retune(ffai__run *base, const ffai__tuning *tuning, ffai_error *err)
{
    ffai__cpu_run *run = (ffai__cpu_run *)base;
    const int most = run->plan->threads;
    if (tuning->threads < 1 || tuning->threads > most)
        return ffai__fail(err, FFAI_E_ARGUMENT, "threads: %d is not from 1 to %d", tuning->threads, most);
    if (tuning->threads != ffai__thread_pool_size(run->pool)) {
        ffai__thread_pool *pool = NULL;
        FFAI__TRY(ffai__thread_pool_create(&pool, tuning->threads, run->plan->cores, err));
        ffai__thread_pool_free(run->pool);
        run->pool = pool;
    }
    run->tuning = *tuning;
    return FFAI_OK;
}

double ffai__cpu_lost(const ffai__run *base)
{
    return ffai__thread_pool_lost(((const ffai__cpu_run *)base)->pool);
}
