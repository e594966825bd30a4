/* Which instruction sets this process may use: CPUID and, for the registers' state, XCR0. */
#ifndef FFAI_CPU_FEATURES_H
#define FFAI_CPU_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

typedef struct ffai__cpu_features {
    bool avx2, fma, f16c;
    bool avx512f, avx512bw, avx512vl, avx512dq, avx512vbmi, avx512_vnni, avx512_bf16;
} ffai__cpu_features;

/* Tiers of kernels, each a superset of the one before on its architecture. */
typedef enum ffai__isa { FFAI__ISA_SCALAR, FFAI__ISA_AVX2, FFAI__ISA_AVX512, FFAI__ISA_COUNT } ffai__isa;

void ffai__cpu_features_detect(ffai__cpu_features *features);
/* The best tier these features allow. */
ffai__isa ffai__isa_best(const ffai__cpu_features *features);
const char *ffai__isa_name(ffai__isa isa);
/* The tier to use: the best one, or the one that FFAI_ISA names (scalar, avx2, avx512). FFAI_E_ARGUMENT for an
 * unknown name, FFAI_E_UNSUPPORTED for one this machine cannot run. */
ffai_status ffai__isa_choose(ffai__isa *isa, const ffai__cpu_features *features, ffai_error *err);

/* Where detection gets its facts, so that a test can play another machine. */
typedef struct ffai__cpu_probe {
    /* EAX, EBX, ECX, EDX of a leaf. */
    void (*cpuid)(uint32_t registers[4], uint32_t leaf, uint32_t subleaf, const void *context);
    /* XCR0; asked for only where CPUID says that XGETBV works. */
    uint64_t (*xcr0)(const void *context);
    const void *context;
} ffai__cpu_probe;

void ffai__cpu_features_read(ffai__cpu_features *features, const ffai__cpu_probe *probe);

#endif
