#include "cpu_features.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { EAX, EBX, ECX, EDX };

/* State components of XCR0 (Intel SDM volume 1, 13.3). */
#define XCR0_AVX    0x06u /* SSE, AVX */
#define XCR0_AVX512 0xE6u /* and opmask, upper halves of ZMM0-15, ZMM16-31 */

static bool bit(uint32_t value, int index)
{
    return (value >> index) & 1u;
}

static void read_extended(ffai__cpu_features *features, const ffai__cpu_probe *probe, bool avx512_state)
{
    uint32_t leaf[4] = {0};
    probe->cpuid(leaf, 7, 0, probe->context);
    const uint32_t last_subleaf = leaf[EAX];
    features->avx2 = bit(leaf[EBX], 5);
    if (!avx512_state || !bit(leaf[EBX], 16))
        return;
    features->avx512f = true;
    features->avx512dq = bit(leaf[EBX], 17);
    features->avx512bw = bit(leaf[EBX], 30);
    features->avx512vl = bit(leaf[EBX], 31);
    features->avx512vbmi = bit(leaf[ECX], 1);
    features->avx512_vnni = bit(leaf[ECX], 11);
    if (last_subleaf >= 1) {
        probe->cpuid(leaf, 7, 1, probe->context);
        features->avx512_bf16 = bit(leaf[EAX], 5);
    }
}

void ffai__cpu_features_read(ffai__cpu_features *features, const ffai__cpu_probe *probe)
{
    memset(features, 0, sizeof *features);
    uint32_t leaf[4] = {0};
    probe->cpuid(leaf, 0, 0, probe->context);
    const uint32_t last_leaf = leaf[EAX];
    if (last_leaf < 1)
        return;
    probe->cpuid(leaf, 1, 0, probe->context);
    const bool osxsave = bit(leaf[ECX], 27);
    const bool avx = bit(leaf[ECX], 28);
    if (!osxsave || !avx)
        return;
    const uint64_t xcr0 = probe->xcr0(probe->context);
    if ((xcr0 & XCR0_AVX) != XCR0_AVX)
        return;
    features->fma = bit(leaf[ECX], 12);
    features->f16c = bit(leaf[ECX], 29);
    if (last_leaf >= 7)
        read_extended(features, probe, (xcr0 & XCR0_AVX512) == XCR0_AVX512);
}

#if defined(__x86_64__)
static void machine_cpuid(uint32_t registers[4], uint32_t leaf, uint32_t subleaf, const void *context)
{
    (void)context;
    __cpuid_count(leaf, subleaf, registers[EAX], registers[EBX], registers[ECX], registers[EDX]);
}

static uint64_t machine_xcr0(const void *context)
{
    (void)context;
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

void ffai__cpu_features_detect(ffai__cpu_features *features)
{
    const ffai__cpu_probe machine = {machine_cpuid, machine_xcr0, NULL};
    ffai__cpu_features_read(features, &machine);
}
#else
void ffai__cpu_features_detect(ffai__cpu_features *features)
{
    memset(features, 0, sizeof *features);
}
#endif

ffai__isa ffai__isa_best(const ffai__cpu_features *features)
{
    if (!features->avx2 || !features->fma || !features->f16c)
        return FFAI__ISA_SCALAR;
    const bool avx512 = features->avx512f && features->avx512bw && features->avx512vl && features->avx512dq;
    return avx512 ? FFAI__ISA_AVX512 : FFAI__ISA_AVX2;
}

const char *ffai__isa_name(ffai__isa isa)
{
    static const char *const names[FFAI__ISA_COUNT] = {"scalar", "avx2", "avx512"};
    return names[isa];
}

ffai_status ffai__isa_choose(ffai__isa *isa, const ffai__cpu_features *features, ffai_error *err)
{
    const ffai__isa best = ffai__isa_best(features);
    const char *wanted = getenv("FFAI_ISA");
    if (!wanted || !*wanted) {
        *isa = best;
        return FFAI_OK;
    }
    for (ffai__isa i = FFAI__ISA_SCALAR; i < FFAI__ISA_COUNT; i++) {
        if (strcmp(wanted, ffai__isa_name(i)) != 0)
            continue;
        if (i > best)
            return ffai__fail(err, FFAI_E_UNSUPPORTED, "FFAI_ISA: this machine cannot run %s; its best is %s", wanted,
                              ffai__isa_name(best));
        *isa = i;
        return FFAI_OK;
    }
    return ffai__fail(err, FFAI_E_ARGUMENT, "FFAI_ISA: \"%s\" is none of scalar, avx2, avx512", wanted);
}
