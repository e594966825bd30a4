/* Which instruction sets this process may use. On x86: CPUID; for the registers' state, XCR0; for AMX's tiles, the
 * kernel's permission too. On ARM: what the kernel says in the auxiliary vector. */
#ifndef FFAI_CPU_FEATURES_H
#define FFAI_CPU_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

typedef struct ffai__cpu_features {
    bool intel; /* made by Intel */
    bool avx2, fma, f16c;
    bool avx512f, avx512bw, avx512vl, avx512dq, avx512vbmi, avx512_vnni, avx512_bf16;
    bool amx_tile, amx_int8, amx_bf16; /* with tiles of the usual size, and the permission to use them */
    bool neon;                         /* Advanced SIMD; on 64-bit ARM it has fused products and float16 conversion */
    bool neon_dotprod, neon_i8mm, neon_bf16;
} ffai__cpu_features;

/* Tiers of kernels. On one architecture a later one is faster and runs only where the ones before it do. */
typedef enum ffai__isa {
    FFAI__ISA_SCALAR,
    FFAI__ISA_NEON,
    FFAI__ISA_AVX2,
    FFAI__ISA_AVX512,
    FFAI__ISA_AMX,
    FFAI__ISA_COUNT
} ffai__isa;

/* Where a processor has AMX, this asks the kernel for its tiles: for this process, the threads that it has and those
 * that it starts. */
void ffai__cpu_features_detect(ffai__cpu_features *features);
/* Whether these features allow a tier. */
bool ffai__isa_runs(const ffai__cpu_features *features, ffai__isa isa);
/* The best tier these features allow. */
ffai__isa ffai__isa_best(const ffai__cpu_features *features);
/* scalar, neon, avx2, avx512, amx. */
const char *ffai__isa_name(ffai__isa isa);
/* What a tier makes use of where it is there: "vnni", "dotprod", "i8mm"; "" for nothing. */
const char *ffai__isa_extras(ffai__isa isa, const ffai__cpu_features *features);
/* The tier to use: the best one, or the one that FFAI_ISA names. FFAI_E_ARGUMENT for an unknown name,
 * FFAI_E_UNSUPPORTED for one this machine cannot run; both messages name those that it can. */
ffai_status ffai__isa_choose(ffai__isa *isa, const ffai__cpu_features *features, ffai_error *err);

/* Where detection gets its facts, so that a test can play another machine. */
typedef struct ffai__cpu_probe {
    /* EAX, EBX, ECX, EDX of a leaf. */
    void (*cpuid)(uint32_t registers[4], uint32_t leaf, uint32_t subleaf, const void *context);
    /* XCR0; asked for only where CPUID says that XGETBV works. */
    uint64_t (*xcr0)(const void *context);
    /* Ask the kernel for AMX's tile data; asked only where CPUID and XCR0 have it. False: refused. */
    bool (*permit_tiles)(const void *context);
    const void *context;
} ffai__cpu_probe;

void ffai__cpu_features_read(ffai__cpu_features *features, const ffai__cpu_probe *probe);
/* The same for 64-bit ARM, from the auxiliary vector's AT_HWCAP and AT_HWCAP2. */
void ffai__cpu_features_read_arm(ffai__cpu_features *features, uint64_t hwcap, uint64_t hwcap2);

#endif
