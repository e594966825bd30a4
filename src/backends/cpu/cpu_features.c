#define _DEFAULT_SOURCE /* syscall */
#include "cpu_features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

enum { EAX, EBX, ECX, EDX };

/* State components of XCR0 (Intel SDM volume 1, 13.3). */
#define XCR0_AVX    0x06u    /* SSE, AVX */
#define XCR0_AVX512 0xE6u    /* and opmask, upper halves of ZMM0-15, ZMM16-31 */
#define XCR0_TILES  0x60000u /* tile configuration, tile data */

static bool bit(uint32_t value, int index)
{
    return (value >> index) & 1u;
}

/* The kernels count on palette 1 as every processor with AMX has had it: eight tiles of 16 rows of 64 bytes, and
 * products of a whole tile (Intel SDM volume 2, CPUID leaves 1DH and 1EH). */
static bool usual_tiles(const ffai__cpu_probe *probe)
{
    uint32_t leaf[4] = {0};
    probe->cpuid(leaf, 0x1D, 0, probe->context);
    if (leaf[EAX] < 1)
        return false;
    probe->cpuid(leaf, 0x1D, 1, probe->context);
    const bool sizes = leaf[EAX] >> 16 == 1024 && (leaf[EBX] & 0xFFFF) == 64 && (leaf[ECX] & 0xFFFF) == 16;
    const bool eight = leaf[EBX] >> 16 >= 8;
    probe->cpuid(leaf, 0x1E, 0, probe->context);
    const bool products = (leaf[EBX] & 0xFF) >= 16 && (leaf[EBX] >> 8 & 0xFFFF) >= 64;
    return sizes && eight && products;
}

static void read_amx(ffai__cpu_features *features, const ffai__cpu_probe *probe, uint32_t last_leaf, uint32_t edx7)
{
    if (!bit(edx7, 24) || last_leaf < 0x1E || !usual_tiles(probe) || !probe->permit_tiles(probe->context))
        return;
    features->amx_tile = true;
    features->amx_bf16 = bit(edx7, 22);
    features->amx_int8 = bit(edx7, 25);
}

static void read_extended(ffai__cpu_features *features, const ffai__cpu_probe *probe, uint32_t last_leaf, uint64_t xcr0)
{
    uint32_t leaf[4] = {0};
    probe->cpuid(leaf, 7, 0, probe->context);
    const uint32_t last_subleaf = leaf[EAX];
    features->avx2 = bit(leaf[EBX], 5);
    const uint32_t edx = leaf[EDX];
    if ((xcr0 & XCR0_AVX512) != XCR0_AVX512 || !bit(leaf[EBX], 16))
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
    if ((xcr0 & XCR0_TILES) == XCR0_TILES)
        read_amx(features, probe, last_leaf, edx);
}

/* Leaf 0 names the maker in EBX, EDX and ECX. */
static bool made_by_intel(const uint32_t leaf[4])
{
    const uint32_t name[3] = {leaf[EBX], leaf[EDX], leaf[ECX]};
    return memcmp(name, "GenuineIntel", sizeof name) == 0;
}

void ffai__cpu_features_read(ffai__cpu_features *features, const ffai__cpu_probe *probe)
{
    memset(features, 0, sizeof *features);
    uint32_t leaf[4] = {0};
    probe->cpuid(leaf, 0, 0, probe->context);
    const uint32_t last_leaf = leaf[EAX];
    features->intel = made_by_intel(leaf);
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
        read_extended(features, probe, last_leaf, xcr0);
}

/* Linux, arch/arm64/include/uapi/asm/hwcap.h. */
enum { HWCAP_ASIMD_BIT = 1, HWCAP_ASIMDDP_BIT = 20, HWCAP2_I8MM_BIT = 13, HWCAP2_BF16_BIT = 14 };

void ffai__cpu_features_read_arm(ffai__cpu_features *features, uint64_t hwcap, uint64_t hwcap2)
{
    memset(features, 0, sizeof *features);
    if (!(hwcap >> HWCAP_ASIMD_BIT & 1u))
        return;
    features->neon = true;
    features->neon_dotprod = hwcap >> HWCAP_ASIMDDP_BIT & 1u;
    features->neon_i8mm = hwcap2 >> HWCAP2_I8MM_BIT & 1u;
    features->neon_bf16 = hwcap2 >> HWCAP2_BF16_BIT & 1u;
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

/* Linux hands out the 8 KiB of tile data on request (Documentation/arch/x86/xstate.rst). */
static bool machine_permit_tiles(const void *context)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    (void)context;
#if defined(SYS_arch_prctl)
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

void ffai__cpu_features_detect(ffai__cpu_features *features)
{
    const ffai__cpu_probe machine = {machine_cpuid, machine_xcr0, machine_permit_tiles, NULL};
    ffai__cpu_features_read(features, &machine);
}
#elif defined(__aarch64__)
void ffai__cpu_features_detect(ffai__cpu_features *features)
{
    ffai__cpu_features_read_arm(features, getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
}
#else
void ffai__cpu_features_detect(ffai__cpu_features *features)
{
    memset(features, 0, sizeof *features);
}
#endif

bool ffai__isa_runs(const ffai__cpu_features *features, ffai__isa isa)
{
    const ffai__cpu_features *f = features;
    switch (isa) {
    case FFAI__ISA_SCALAR:
        return true;
    case FFAI__ISA_NEON:
        return f->neon;
    case FFAI__ISA_AVX2:
        return f->avx2 && f->fma && f->f16c;
    case FFAI__ISA_AVX512:
        return ffai__isa_runs(f, FFAI__ISA_AVX2) && f->avx512f && f->avx512bw && f->avx512vl && f->avx512dq;
    case FFAI__ISA_AMX:
        return ffai__isa_runs(f, FFAI__ISA_AVX512) && f->avx512_vnni && f->amx_tile && f->amx_int8 && f->amx_bf16;
    case FFAI__ISA_COUNT:
    default:
        return false;
    }
}

ffai__isa ffai__isa_best(const ffai__cpu_features *features)
{
    ffai__isa best = FFAI__ISA_SCALAR;
    for (ffai__isa isa = FFAI__ISA_SCALAR; isa < FFAI__ISA_COUNT; isa++)
        best = ffai__isa_runs(features, isa) ? isa : best;
    return best;
}

const char *ffai__isa_name(ffai__isa isa)
{
    static const char *const names[FFAI__ISA_COUNT] = {"scalar", "neon", "avx2", "avx512", "amx"};
    return names[isa];
}

const char *ffai__isa_extras(ffai__isa isa, const ffai__cpu_features *features)
{
    if (isa == FFAI__ISA_AVX512)
        return features->avx512_vnni ? "vnni" : "";
    if (isa == FFAI__ISA_NEON && features->neon_dotprod)
        return features->neon_i8mm ? "i8mm" : "dotprod";
    return "";
}

enum { NAMES_SIZE = 64 };

/* "scalar, avx2": the tiers that run. */
static const char *list_tiers(char names[NAMES_SIZE], const ffai__cpu_features *features)
{
    int length = 0;
    for (ffai__isa isa = FFAI__ISA_SCALAR; isa < FFAI__ISA_COUNT; isa++) {
        if (ffai__isa_runs(features, isa))
            length += snprintf(names + length, (size_t)(NAMES_SIZE - length), "%s%s", length ? ", " : "",
                               ffai__isa_name(isa));
    }
    return names;
}

ffai_status ffai__isa_choose(ffai__isa *isa, const ffai__cpu_features *features, ffai_error *err)
{
    const char *wanted = getenv("FFAI_ISA");
    if (!wanted || !*wanted) {
        *isa = ffai__isa_best(features);
        return FFAI_OK;
    }
    ffai__isa named = FFAI__ISA_SCALAR;
    while (named < FFAI__ISA_COUNT && strcmp(wanted, ffai__isa_name(named)) != 0)
        named++;
    char names[NAMES_SIZE];
    if (named == FFAI__ISA_COUNT)
        return ffai__fail(err, FFAI_E_ARGUMENT, "FFAI_ISA: there is no \"%s\"; this machine runs %s", wanted,
                          list_tiers(names, features));
    if (!ffai__isa_runs(features, named))
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "FFAI_ISA: this machine cannot run %s; it runs %s", wanted,
                          list_tiers(names, features));
    *isa = named;
    return FFAI_OK;
}
