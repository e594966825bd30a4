/* What a machine can do at most: the ceilings that ffai bench holds the other kernels against. */
#ifndef FFAI_CPU_MACHINE_KERNELS_H
#define FFAI_CPU_MACHINE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Read n bytes, a multiple of 512, from 64-byte aligned memory, as fast as the tier can. What it returns depends on
 * every byte. */
typedef uint64_t ffai__read_kernel(const uint8_t *bytes, size_t n);

/* A multiply-add instruction, repeated on registers. */
typedef struct ffai__peak {
    const char *instruction;
    double flops; /* of one iteration: 2 for each multiply-add of a product it would do */
    void (*run)(int64_t iterations);
} ffai__peak;

/* Declared for every architecture, there for its own alone. */
extern const ffai__peak ffai__peak_scalar, ffai__peak_neon_f32, ffai__peak_neon_dotprod, ffai__peak_neon_i8mm;
extern const ffai__peak ffai__peak_avx2_f32, ffai__peak_avx2_i16;
extern const ffai__peak ffai__peak_avx512_f32, ffai__peak_avx512_vnni, ffai__peak_avx512_bf16;
extern const ffai__peak ffai__peak_amx_bf16, ffai__peak_amx_int8;

ffai__read_kernel ffai__read_scalar, ffai__read_neon, ffai__read_avx2, ffai__read_avx512;

/* How far ahead the AVX-512 one asks for memory: 5 to 10% on Sapphire Rapids, nothing on Zen 4. */
enum { FFAI__READ_AHEAD = 2048 };

/* Multiply-adds that do not wait for each other. */
enum { FFAI__PEAK_CHAINS = 12, FFAI__PEAK_REPEATS = 4 };

#endif
