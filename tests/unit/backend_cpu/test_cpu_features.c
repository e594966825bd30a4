#define _DEFAULT_SOURCE
#include "cpu_features.h"
#include "linear.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A processor that exists only here. */
typedef struct fake_cpu {
    uint32_t last_leaf;
    uint32_t ecx1, ebx7, ecx7, edx7, eax7_1;
    uint32_t last_subleaf;
    uint32_t palettes;
    uint32_t palette[4]; /* leaf 1DH, subleaf 1 */
    uint32_t products;   /* EBX of leaf 1EH */
    uint64_t xcr0;
    bool refuses_tiles;
    int *requests;     /* for tiles; NULL: a request is a mistake */
    const char *maker; /* 12 characters in EBX, EDX, ECX; NULL: none */
} fake_cpu;

static void fake_cpuid(uint32_t registers[4], uint32_t leaf, uint32_t subleaf, const void *context)
{
    const fake_cpu *cpu = context;
    memset(registers, 0, 4 * sizeof *registers);
    assert_true(leaf <= cpu->last_leaf);
    if (leaf == 0) {
        registers[0] = cpu->last_leaf;
        if (cpu->maker) {
            memcpy(&registers[1], cpu->maker, 4);
            memcpy(&registers[3], cpu->maker + 4, 4);
            memcpy(&registers[2], cpu->maker + 8, 4);
        }
    } else if (leaf == 1) {
        registers[2] = cpu->ecx1;
    } else if (leaf == 7 && subleaf == 0) {
        registers[0] = cpu->last_subleaf;
        registers[1] = cpu->ebx7;
        registers[2] = cpu->ecx7;
        registers[3] = cpu->edx7;
    } else if (leaf == 7 && subleaf == 1) {
        assert_true(cpu->last_subleaf >= 1);
        registers[0] = cpu->eax7_1;
    } else if (leaf == 0x1D && subleaf == 0) {
        registers[0] = cpu->palettes;
    } else if (leaf == 0x1D && subleaf == 1) {
        assert_true(cpu->palettes >= 1);
        memcpy(registers, cpu->palette, sizeof cpu->palette);
    } else if (leaf == 0x1E && subleaf == 0) {
        registers[1] = cpu->products;
    }
}

static uint64_t fake_xcr0(const void *context)
{
    const fake_cpu *cpu = context;
    assert_true(cpu->ecx1 >> 27 & 1u); /* without OSXSAVE the instruction faults */
    return cpu->xcr0;
}

static bool fake_permit_tiles(const void *context)
{
    const fake_cpu *cpu = context;
    assert_non_null(cpu->requests);
    ++*cpu->requests;
    return !cpu->refuses_tiles;
}

static ffai__cpu_features read_features(const fake_cpu *cpu)
{
    const ffai__cpu_probe probe = {fake_cpuid, fake_xcr0, fake_permit_tiles, cpu};
    ffai__cpu_features features;
    memset(&features, 0xFF, sizeof features);
    ffai__cpu_features_read(&features, &probe);
    return features;
}

/* AVX-512 and all that comes before, and an operating system that saves the registers. */
static const fake_cpu without_amx = {
    .last_leaf = 0x20,
    .ecx1 = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29,
    .ebx7 = 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31,
    .ecx7 = 1u << 1 | 1u << 11,
    .eax7_1 = 1u << 5,
    .last_subleaf = 1,
    .xcr0 = 0xE7,
};

static int num_requests;

/* Every instruction set of x86 that we know; leaves 1DH and 1EH as Sapphire Rapids has them. */
static fake_cpu with_amx(void)
{
    fake_cpu cpu = without_amx;
    cpu.edx7 = 1u << 22 | 1u << 24 | 1u << 25;
    cpu.palettes = 1;
    cpu.palette[0] = 1024u << 16 | 8192;
    cpu.palette[1] = 8u << 16 | 64;
    cpu.palette[2] = 16;
    cpu.products = 64u << 8 | 16;
    cpu.xcr0 = 0x600E7;
    cpu.requests = &num_requests;
    num_requests = 0;
    return cpu;
}

static ffai__isa best_of(const fake_cpu *cpu)
{
    const ffai__cpu_features features = read_features(cpu);
    return ffai__isa_best(&features);
}

static void a_processor_with_everything_gets_amx(void **state)
{
    (void)state;
    const fake_cpu cpu = with_amx();
    const ffai__cpu_features features = read_features(&cpu);
    assert_true(features.avx2 && features.fma && features.f16c && features.avx512f && features.avx512bw);
    assert_true(features.avx512vl && features.avx512dq && features.avx512vbmi && features.avx512_vnni);
    assert_true(features.avx512_bf16 && features.amx_tile && features.amx_bf16 && features.amx_int8);
    assert_int_equal(ffai__isa_best(&features), FFAI__ISA_AMX);
    assert_int_equal(num_requests, 1);
}

static void a_processor_without_tiles_gets_avx512(void **state)
{
    (void)state;
    assert_int_equal(best_of(&without_amx), FFAI__ISA_AVX512);
}

static void tiles_that_the_kernel_refuses_are_not_used(void **state)
{
    (void)state;
    fake_cpu cpu = with_amx();
    cpu.refuses_tiles = true;
    const ffai__cpu_features features = read_features(&cpu);
    assert_int_equal(num_requests, 1);
    assert_false(features.amx_tile || features.amx_bf16 || features.amx_int8);
    assert_int_equal(ffai__isa_best(&features), FFAI__ISA_AVX512);
}

static void tiles_that_the_system_does_not_save_are_not_asked_for(void **state)
{
    (void)state;
    static const uint64_t masks[] = {0xE7, 0x200E7, 0x400E7, 0x60007};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        fake_cpu cpu = with_amx();
        cpu.xcr0 = masks[i];
        cpu.requests = NULL;
        assert_int_equal(best_of(&cpu), i == 3 ? FFAI__ISA_AVX2 : FFAI__ISA_AVX512);
    }
}

static void amx_wants_all_three_of_its_parts_and_vnni(void **state)
{
    (void)state;
    static const int parts[] = {22, 24, 25};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        fake_cpu cpu = with_amx();
        cpu.edx7 &= ~(1u << parts[i]);
        assert_int_equal(best_of(&cpu), FFAI__ISA_AVX512);
    }
    fake_cpu cpu = with_amx();
    cpu.ecx7 &= ~(1u << 11);
    assert_int_equal(best_of(&cpu), FFAI__ISA_AVX512);
}

static void tiles_of_another_size_are_not_used(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        fake_cpu cpu = with_amx();
        cpu.requests = NULL;
        cpu.palettes = i == 0 ? 0 : 1;
        cpu.palette[0] = i == 1 ? 512u << 16 | 8192 : cpu.palette[0];
        cpu.palette[1] = i == 2 ? 8u << 16 | 32 : i == 3 ? 4u << 16 | 64 : cpu.palette[1];
        cpu.palette[2] = i == 4 ? 8 : cpu.palette[2];
        cpu.products = i == 5 ? 64u << 8 | 8 : i == 6 ? 32u << 8 | 16 : cpu.products;
        cpu.last_leaf = i == 7 ? 0x1D : cpu.last_leaf;
        assert_int_equal(best_of(&cpu), FFAI__ISA_AVX512);
    }
}

static void registers_that_the_system_does_not_save_are_not_used(void **state)
{
    (void)state;
    fake_cpu cpu = without_amx;
    cpu.xcr0 = 0x07;
    ffai__cpu_features features = read_features(&cpu);
    assert_false(features.avx512f || features.avx512_vnni || features.avx512_bf16);
    assert_int_equal(ffai__isa_best(&features), FFAI__ISA_AVX2);
    cpu.xcr0 = 0x67; /* upper halves of the low registers, but not ZMM16-31 */
    features = read_features(&cpu);
    assert_int_equal(ffai__isa_best(&features), FFAI__ISA_AVX2);
    cpu.xcr0 = 0x03;
    features = read_features(&cpu);
    assert_int_equal(ffai__isa_best(&features), FFAI__ISA_SCALAR);
}

static void xgetbv_is_not_executed_where_it_would_fault(void **state)
{
    (void)state;
    fake_cpu cpu = without_amx;
    cpu.ecx1 &= ~(1u << 27);
    const ffai__cpu_features features = read_features(&cpu);
    assert_int_equal(ffai__isa_best(&features), FFAI__ISA_SCALAR);
}

static void leaves_beyond_the_last_are_not_asked_for(void **state)
{
    (void)state;
    fake_cpu cpu = without_amx;
    cpu.last_subleaf = 0;
    assert_false(read_features(&cpu).avx512_bf16);
    cpu.last_leaf = 1;
    assert_false(read_features(&cpu).avx2);
    cpu.last_leaf = 0;
    assert_false(read_features(&cpu).fma);
}

static void avx512_wants_all_four_of_its_parts(void **state)
{
    (void)state;
    static const int parts[] = {16, 17, 30, 31};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        fake_cpu cpu = without_amx;
        cpu.ebx7 &= ~(1u << parts[i]);
        const ffai__cpu_features features = read_features(&cpu);
        assert_int_equal(ffai__isa_best(&features), FFAI__ISA_AVX2);
    }
}

static void avx2_without_fma_or_f16c_is_scalar(void **state)
{
    (void)state;
    static const int parts[] = {12, 29};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        fake_cpu cpu = without_amx;
        cpu.ecx1 &= ~(1u << parts[i]);
        const ffai__cpu_features features = read_features(&cpu);
        assert_int_equal(ffai__isa_best(&features), FFAI__ISA_SCALAR);
    }
}

static void the_environment_names_any_tier_that_runs(void **state)
{
    (void)state;
    const fake_cpu cpu = with_amx();
    const ffai__cpu_features features = read_features(&cpu);
    ffai__isa isa = FFAI__ISA_COUNT;
    ffai_error err = FFAI_ERROR_INIT;
    unsetenv("FFAI_ISA");
    assert_int_equal(ffai__isa_choose(&isa, &features, &err), FFAI_OK);
    assert_int_equal(isa, FFAI__ISA_AMX);
    for (ffai__isa i = FFAI__ISA_SCALAR; i < FFAI__ISA_COUNT; i++) {
        if (!ffai__isa_runs(&features, i))
            continue;
        setenv("FFAI_ISA", ffai__isa_name(i), 1);
        assert_int_equal(ffai__isa_choose(&isa, &features, &err), FFAI_OK);
        assert_int_equal(isa, i);
    }
    setenv("FFAI_ISA", "", 1);
    assert_int_equal(ffai__isa_choose(&isa, &features, &err), FFAI_OK);
    assert_int_equal(isa, FFAI__ISA_AMX);
    unsetenv("FFAI_ISA");
}

static void an_unknown_or_impossible_tier_is_an_error(void **state)
{
    (void)state;
    const ffai__cpu_features features = read_features(&without_amx);
    ffai__isa isa = FFAI__ISA_COUNT;
    ffai_error err = FFAI_ERROR_INIT;
    setenv("FFAI_ISA", "sse9", 1);
    assert_int_equal(ffai__isa_choose(&isa, &features, &err), FFAI_E_ARGUMENT);
    assert_string_equal(err.message, "FFAI_ISA: there is no \"sse9\"; this machine runs scalar, avx2, avx512");
    static const char *const impossible[] = {"neon", "amx"};
    for (size_t i = 0; i < 2; i++) {
        setenv("FFAI_ISA", impossible[i], 1);
        assert_int_equal(ffai__isa_choose(&isa, &features, &err), FFAI_E_UNSUPPORTED);
        assert_non_null(strstr(err.message, impossible[i]));
        assert_non_null(strstr(err.message, "; it runs scalar, avx2, avx512"));
    }
    unsetenv("FFAI_ISA");
}

static void on_arm_the_kernel_says_what_there_is(void **state)
{
    (void)state;
    const uint64_t asimd = 1u << 1;
    const uint64_t dotprod = 1u << 20;
    const uint64_t i8mm = 1u << 13;
    const uint64_t bf16 = 1u << 14;
    ffai__cpu_features f;
    memset(&f, 0xFF, sizeof f);
    ffai__cpu_features_read_arm(&f, asimd, 0);
    assert_true(f.neon && !f.neon_dotprod && !f.neon_i8mm && !f.neon_bf16 && !f.avx2);
    assert_int_equal(ffai__isa_best(&f), FFAI__ISA_NEON);
    assert_false(ffai__isa_runs(&f, FFAI__ISA_AVX2));
    ffai__cpu_features_read_arm(&f, asimd | dotprod, bf16);
    assert_true(f.neon_dotprod && !f.neon_i8mm && f.neon_bf16);
    ffai__cpu_features_read_arm(&f, asimd | dotprod, i8mm | bf16);
    assert_true(f.neon_dotprod && f.neon_i8mm && f.neon_bf16);
    assert_string_equal(ffai__isa_extras(FFAI__ISA_NEON, &f), "i8mm");
    assert_string_equal(ffai__isa_extras(FFAI__ISA_SCALAR, &f), "");
    ffai__cpu_features_read_arm(&f, dotprod, i8mm | bf16); /* no Advanced SIMD: none of its extensions */
    assert_false(f.neon || f.neon_dotprod || f.neon_i8mm || f.neon_bf16);
    assert_int_equal(ffai__isa_best(&f), FFAI__ISA_SCALAR);
}

static void weights_are_asked_for_ahead_on_intel_alone(void **state)
{
    (void)state;
    fake_cpu cpu = without_amx;
    ffai__cpu_features features = read_features(&cpu);
    assert_false(features.intel);
    cpu.maker = "AuthenticAMD";
    features = read_features(&cpu);
    assert_int_equal(ffai__fetch_ahead_usual(&features), 0);
    cpu.maker = "GenuineIntel";
    features = read_features(&cpu);
    assert_int_equal(ffai__fetch_ahead_usual(&features), 4096);
}

static void this_machine_can_run_its_best_tier(void **state)
{
    (void)state;
    ffai__cpu_features features;
    ffai__cpu_features_detect(&features);
    assert_true(ffai__isa_runs(&features, ffai__isa_best(&features)));
    assert_true(ffai__isa_runs(&features, FFAI__ISA_SCALAR));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_processor_with_everything_gets_amx),
        cmocka_unit_test(a_processor_without_tiles_gets_avx512),
        cmocka_unit_test(tiles_that_the_kernel_refuses_are_not_used),
        cmocka_unit_test(tiles_that_the_system_does_not_save_are_not_asked_for),
        cmocka_unit_test(amx_wants_all_three_of_its_parts_and_vnni),
        cmocka_unit_test(tiles_of_another_size_are_not_used),
        cmocka_unit_test(registers_that_the_system_does_not_save_are_not_used),
        cmocka_unit_test(xgetbv_is_not_executed_where_it_would_fault),
        cmocka_unit_test(leaves_beyond_the_last_are_not_asked_for),
        cmocka_unit_test(avx512_wants_all_four_of_its_parts),
        cmocka_unit_test(avx2_without_fma_or_f16c_is_scalar),
        cmocka_unit_test(the_environment_names_any_tier_that_runs),
        cmocka_unit_test(an_unknown_or_impossible_tier_is_an_error),
        cmocka_unit_test(on_arm_the_kernel_says_what_there_is),
        cmocka_unit_test(weights_are_asked_for_ahead_on_intel_alone),
        cmocka_unit_test(this_machine_can_run_its_best_tier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
