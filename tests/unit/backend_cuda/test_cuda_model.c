/* The model of a device (tests/cuda_model) does what a device does, and the kernels' vocabulary is right over it. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "launch.h"
#include "model_args.h"

static uint64_t random_state = 0x243F6A8885A308D3u;

static uint32_t random_word(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

static void fill_random(uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        words[i] = random_word();
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static int forwards(void **state)
{
    (void)state;
    cuda_model_run_backwards(false);
    return 0;
}

/* Orders of blocks, warps and lanes. */
static void both_orders(void (*check)(void))
{
    if (!cuda_model_has_kernels())
        skip();
    for (int backwards = 0; backwards < 2; backwards++) {
        cuda_model_run_backwards(backwards);
        check();
    }
}

static void check_places(void)
{
    enum { X = 3, Y = 2, Z = 2, THREADS = 70 };
    uint32_t out[X * Y * Z * THREADS];
    const model_words args = {.out = out};
    const char *fault =
        cuda_model_launch_grid(cuda_model_find("model_places"), (cuda_model_index){X, Y, Z}, THREADS, 0, &args);
    assert_null(fault);
    for (uint32_t i = 0; i < X * Y * Z * THREADS; i++)
        assert_int_equal(out[i], i / THREADS << 16 | i % THREADS);
}

static void every_thread_of_every_block_runs_once(void **state)
{
    (void)state;
    both_orders(check_places);
}

static void check_block_sum(void)
{
    uint32_t in[256], out[3];
    const model_words args = {.out = out, .in = in, .count = 200};
    uint32_t sum = 0;
    fill_random(in, 256);
    for (size_t i = 0; i < 200; i++)
        sum += in[i];
    CUDA_MODEL_RUN("model_block_sum", 3, 256, 0, &args);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(out[i], sum);
}

static void a_barrier_shows_what_was_written_before_it(void **state)
{
    (void)state;
    both_orders(check_block_sum);
}

static void check_cluster(void)
{
    enum { X = 3, Y = 4 };
    static _Alignas(16) uint32_t in[64];
    uint32_t out[X * Y][64];
    const model_words args = {.out = out[0], .in = in};
    fill_random(in, 64);
    memset(out, 0, sizeof out);
    const cuda_model_kernel *kernel = cuda_model_find("model_cluster");
    const char *fault = cuda_model_launch_grid(kernel, (cuda_model_index){X, Y, 1}, 64, 16 + 64 * 4, &args);
    if (fault)
        fail_msg("%s", fault);
    for (size_t i = 0; i < (size_t)X * Y; i++)
        assert_memory_equal(out[i], in, sizeof in);
    fault = cuda_model_launch_grid(kernel, (cuda_model_index){X, Y - 1, 1}, 64, 16 + 64 * 4, &args);
    assert_true(fault && strstr(fault, "no whole cluster"));
}

static void blocks_of_a_cluster_reach_each_other(void **state)
{
    (void)state;
    if (!cuda_model_has_kernels())
        skip();
    both_orders(check_cluster);
}

static void a_missing_barrier_shows_in_one_of_the_two_orders(void **state)
{
    (void)state;
    uint32_t out[2][256];
    if (!cuda_model_has_kernels())
        skip();
    for (int backwards = 0; backwards < 2; backwards++) {
        const model_words args = {.out = out[backwards]};
        cuda_model_run_backwards(backwards);
        CUDA_MODEL_RUN("model_lacks_a_barrier", 1, 256, 0, &args);
    }
    assert_int_equal(out[1][5], 6);
    assert_int_equal(out[0][5], UINT32_MAX);
}

static void check_some_end(void)
{
    enum { COUNT = 45 };
    uint32_t in[256], out[256];
    const model_words args = {.out = out, .in = in, .count = COUNT};
    fill_random(in, 256);
    CUDA_MODEL_RUN("model_some_end", 1, 256, COUNT * sizeof(uint32_t), &args);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(out[i], in[i] + COUNT);
}

static void check_lanes_end(void)
{
    enum { COUNT = 20 };
    uint32_t in[32], out[3][32];
    const model_words args = {.out = out[0], .in = in, .count = COUNT};
    uint32_t sum = 0;
    fill_random(in, 32);
    for (size_t i = 0; i < COUNT; i++)
        sum += in[i];
    CUDA_MODEL_RUN("model_lanes_end", 1, 32, 0, &args);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(out[0][i], in[1]);
        assert_int_equal(out[1][i], sum);
        assert_int_equal(out[2][i], UINT32_MAX);
    }
}

static void lanes_that_have_ended_are_not_waited_for(void **state)
{
    (void)state;
    both_orders(check_lanes_end);
}

static void threads_that_have_ended_are_not_waited_for(void **state)
{
    (void)state;
    both_orders(check_some_end);
}

static void check_shared_is_poisoned(void)
{
    uint32_t out[3 * 64];
    const model_words args = {.out = out};
    CUDA_MODEL_RUN("model_looks_at_shared", 3, 32, 128, &args);
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        assert_int_equal(out[i], UINT32_MAX);
}

static void a_block_finds_nothing_of_the_one_before_in_shared_memory(void **state)
{
    (void)state;
    both_orders(check_shared_is_poisoned);
}

static void check_shuffles(void)
{
    uint32_t in[32], out[11][32];
    const model_words args = {.out = out[0], .in = in};
    fill_random(in, 32);
    CUDA_MODEL_RUN("model_shuffles", 1, 32, 0, &args);
    for (uint32_t lane = 0; lane < 32; lane++) {
        assert_int_equal(out[0][lane], in[(lane * 7 + 3) % 32]);
        assert_int_equal(out[1][lane], in[lane / 8 * 8 + (lane + 1) % 8]);
        assert_int_equal(out[2][lane], in[lane ^ 9]);
        /* Lane 4 and 12 are in groups of 8: the later may read the earlier, not the other way round. */
        assert_int_equal(out[3][lane], in[(lane ^ 12) / 8 > lane / 8 ? lane : lane ^ 12]);
        assert_int_equal(out[4][lane], in[lane < 5 ? lane : lane - 5]);
        assert_int_equal(out[5][lane], in[lane % 16 < 3 ? lane : lane - 3]);
        assert_int_equal(out[6][lane], in[lane > 26 ? lane : lane + 5]);
        assert_int_equal(out[7][lane], in[lane % 4 == 0 ? lane + 3 : lane]);
        assert_int_equal(out[8][lane], lane ^ 1);
        assert_int_equal(out[9][lane], in[lane ^ 1]);
        assert_int_equal(out[10][lane], in[31 - lane]);
    }
}

static void shuffles_read_the_lane_they_name(void **state)
{
    (void)state;
    both_orders(check_shuffles);
}

static void check_votes(void)
{
    uint32_t in[32], out[11][32];
    const model_words args = {.out = out[0], .in = in};
    fill_random(in, 32);
    uint32_t ballot = 0, sum = 0, least = UINT32_MAX, most = 0, both = UINT32_MAX, either = 0, odd = 0;
    int32_t least_signed = INT32_MAX, most_signed = INT32_MIN;
    for (uint32_t i = 0; i < 32; i++) {
        ballot |= (in[i] & 1) << i;
        sum += in[i];
        least = in[i] < least ? in[i] : least;
        most = in[i] > most ? in[i] : most;
        least_signed = (int32_t)in[i] < least_signed ? (int32_t)in[i] : least_signed;
        most_signed = (int32_t)in[i] > most_signed ? (int32_t)in[i] : most_signed;
        both &= in[i];
        either |= in[i];
        odd ^= in[i];
    }
    CUDA_MODEL_RUN("model_votes", 1, 32, 0, &args);
    const uint32_t expected[11] = {ballot, 1,      1,  sum, least, (uint32_t)least_signed, most, (uint32_t)most_signed,
                                   both,   either, odd};
    for (size_t i = 0; i < 11; i++) {
        for (size_t lane = 0; lane < 32; lane++)
            assert_int_equal(out[i][lane], expected[i]);
    }
}

static void votes_and_reductions_are_those_of_all_lanes(void **state)
{
    (void)state;
    both_orders(check_votes);
}

static void check_two_masks(void)
{
    uint32_t in[32], out[32], words[32], next[32];
    const model_words args = {.out = out, .in = in};
    fill_random(in, 32);
    memcpy(words, in, sizeof in);
    for (uint32_t turn = 0; turn < 5; turn++) {
        for (uint32_t lane = 0; lane < 32; lane++)
            next[lane] = words[lane] + (lane % 2 || turn < 2 ? words[(lane + 2) % 32] : 0);
        memcpy(words, next, sizeof words);
    }
    CUDA_MODEL_RUN("model_two_masks", 1, 32, 0, &args);
    for (uint32_t lane = 0; lane < 32; lane++)
        assert_int_equal(out[lane], words[lane ^ 1]);
}

static void lanes_of_two_masks_go_their_own_ways(void **state)
{
    (void)state;
    both_orders(check_two_masks);
}

static void check_atomics(void)
{
    enum { BLOCKS = 3, THREADS = 100 };
    uint32_t in[THREADS], out[10] = {[2] = UINT32_MAX};
    const model_words args = {.out = out, .in = in};
    uint32_t sum = 0, most = 0, least = UINT32_MAX, either = 0, chain = 0;
    uint64_t wide = 0;
    float floats = 0.0f;
    fill_random(in, THREADS);
    for (size_t i = 0; i < BLOCKS * THREADS; i++) {
        const uint32_t word = in[i % THREADS];
        sum += word;
        most = word > most ? word : most;
        least = word < least ? word : least;
        either |= word;
        chain = chain * 3 + 1;
        floats += (float)(word % 16);
        wide += (uint64_t)word << 8;
    }
    CUDA_MODEL_RUN("model_atomics", BLOCKS, THREADS, 0, &args);
    const uint32_t expected[] = {sum, most, least, either, chain};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(out[i], expected[i]);
    assert_true(out[5] == in[0] || out[5] == in[THREADS - 1]);
    assert_int_equal(out[6], sum);
    assert_true(float_of(out[7]) == floats);
    assert_int_equal(out[8] | (uint64_t)out[9] << 32, wide);
}

static void atomics_of_all_blocks_add_up(void **state)
{
    (void)state;
    both_orders(check_atomics);
}

/* The value of sign, exponent and fraction as IEEE 754 defines them, and NAN. */
static double meaning(uint32_t bits, int exponent_bits, int fraction_bits)
{
    const uint32_t fraction = bits & ((1u << fraction_bits) - 1);
    const uint32_t exponent = bits >> fraction_bits & ((1u << exponent_bits) - 1);
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const double sign = bits >> (exponent_bits + fraction_bits) & 1 ? -1.0 : 1.0;
    if (exponent == (1u << exponent_bits) - 1)
        return fraction ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp((double)fraction, 1 - bias - fraction_bits);
    return sign * ldexp((double)(fraction + (1u << fraction_bits)), (int)exponent - bias - fraction_bits);
}

static bool same_number(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

/* An integer of few bits over a power of two: one of either format, so that products are exact. */
static uint16_t random_half(bool f16)
{
    const uint32_t sign = random_word() & 0x8000u;
    return (uint16_t)(sign | (f16 ? random_word() % 0x4400u : 0x3C00u + random_word() % 0x0480u));
}

static double value_of(uint16_t bits, bool f16)
{
    return f16 ? meaning(bits, 5, 10) : meaning(bits, 8, 7);
}

static void check_mma_of(bool f16)
{
    float c[16][8];
    double expected[16][8], size[16][8];
    uint16_t a[16][16], b[16][8];
    for (size_t i = 0; i < 256; i++)
        a[i / 16][i % 16] = random_half(f16);
    for (size_t i = 0; i < 128; i++) {
        b[i / 8][i % 8] = random_half(f16);
        c[i / 8][i % 8] = (float)(int32_t)random_word() * 0x1p-30f;
    }
    for (size_t i = 0; i < 128; i++) {
        double sum = (double)c[i / 8][i % 8], magnitude = fabs(sum);
        for (size_t k = 0; k < 16; k++) {
            const double product = value_of(a[i / 8][k], f16) * value_of(b[k][i % 8], f16);
            sum += product;
            magnitude += fabs(product);
        }
        expected[i / 8][i % 8] = sum;
        size[i / 8][i % 8] = magnitude;
    }
    const model_product args = {.c = c[0], .a = a[0], .b = b[0], .f16 = f16};
    CUDA_MODEL_RUN("model_mma", 1, 32, 0, &args);
    for (size_t i = 0; i < 128; i++)
        assert_true(fabs((double)c[i / 8][i % 8] - expected[i / 8][i % 8]) <= 16 * 0x1p-24 * size[i / 8][i % 8]);
}

static void check_mma(void)
{
    for (int i = 0; i < 20; i++)
        check_mma_of(i % 2);
}

static void a_product_of_fragments_is_that_of_matrices(void **state)
{
    (void)state;
    both_orders(check_mma);
}

static void check_differences(void)
{
    uint32_t in[512], out[256];
    const model_words args = {.out = out, .in = in, .count = 256};
    for (size_t i = 0; i < 512; i++) { /* integers of at most 7 bits: so are their differences, with a sign */
        const uint32_t low = bits_of((float)(random_word() % 128)) >> 16;
        in[i] = low | (bits_of((float)(random_word() % 128)) & 0xFFFF0000u);
    }
    CUDA_MODEL_RUN("model_differences", 1, 256, 0, &args);
    for (size_t i = 0; i < 256; i++) {
        assert_true(float_of(out[i] << 16) == float_of(in[i] << 16) - float_of(in[256 + i] << 16));
        assert_true(float_of(out[i] & 0xFFFF0000u) ==
                    float_of(in[i] & 0xFFFF0000u) - float_of(in[256 + i] & 0xFFFF0000u));
    }
    in[7] = 0x3F803F80u;
    in[256 + 7] = 0x39803980u; /* 1 - 2^-12 */
    const char *fault = cuda_model_launch("model_differences", 1, 256, 0, &args, sizeof args);
    assert_true(fault && strstr(fault, "thread 7: subtract_bf16(0x3f803f80, 0x39803980), which has to be rounded"));
}

static void differences_of_pairs_are_exact(void **state)
{
    (void)state;
    both_orders(check_differences);
}

static void all_half_numbers_become_the_floats_they_mean(void **state)
{
    (void)state;
    uint32_t *out = malloc(131072 * sizeof *out);
    if (!cuda_model_has_kernels()) {
        free(out);
        skip();
    }
    assert_non_null(out);
    const model_words args = {.out = out};
    CUDA_MODEL_RUN("model_from_half", 256, 256, 0, &args);
    for (uint32_t i = 0; i < 65536; i++) {
        assert_true(same_number((double)float_of(out[i]), meaning(i, 5, 10)));
        assert_true(same_number((double)float_of(out[65536 + i]), meaning(i, 8, 7)));
    }
    free(out);
}

/* Floats to round: each half number itself, the middle between it and the next, and what lies just beside both. */
static void make_floats_around(uint32_t *floats, int exponent_bits, int fraction_bits)
{
    for (uint32_t i = 0; i < 65536; i++) {
        const double here = meaning(i, exponent_bits, fraction_bits);
        const double next = meaning(i + 1, exponent_bits, fraction_bits);
        const uint32_t at = bits_of((float)here);
        const uint32_t middle = isfinite(here + next) ? bits_of((float)((here + next) / 2)) : at;
        const uint32_t around[8] = {at, at + 1, at - 1, middle, middle + 1, middle - 1, middle + 77, random_word()};
        memcpy(&floats[i * 8], around, sizeof around);
    }
}

/* The nearest half number by trying: of two at one distance the even one. Beyond the largest by half a step: infinity.
 */
static bool is_nearest(uint32_t half, double value, int exponent_bits, int fraction_bits)
{
    const uint32_t sign = 0x8000u;
    const uint32_t infinity = ((1u << exponent_bits) - 1) << fraction_bits;
    const double rounded = meaning(half, exponent_bits, fraction_bits);
    if (isnan(value) || isnan(rounded))
        return isnan(value) && isnan(rounded);
    if (isinf(value) || (half & ~sign) == infinity) {
        const double limit = ldexp(2.0 - ldexp(1.0, -fraction_bits - 1), (1 << (exponent_bits - 1)) - 1);
        return (half & ~sign) == infinity && fabs(value) >= limit && !signbit(value) == !(half & sign);
    }
    if (!signbit(value) != !(half & sign))
        return false;
    const double distance = fabs(value - rounded);
    for (uint32_t step = 0; step < 2; step++) {
        const uint32_t other = step ? half + 1 : half - 1;
        const bool crosses = step ? (other & ~sign) == infinity : (half & ~sign) == 0;
        if (crosses)
            continue;
        const double theirs = fabs(value - meaning(other, exponent_bits, fraction_bits));
        if (theirs < distance || (theirs == distance && (half & 1)))
            return false;
    }
    /* The largest number has infinity for its neighbour, one step further on. */
    if (((half + 1) & ~sign) == infinity) {
        const double limit = ldexp(2.0 - ldexp(1.0, -fraction_bits - 1), (1 << (exponent_bits - 1)) - 1);
        return fabs(value) < limit;
    }
    return true;
}

static void check_rounding(int exponent_bits, int fraction_bits)
{
    enum { COUNT = 65536 * 8 };
    uint32_t *in = malloc(COUNT * sizeof *in);
    uint32_t *out = malloc(COUNT * sizeof *out);
    assert_true(in && out);
    const model_words args = {.out = out, .in = in, .count = COUNT};
    make_floats_around(in, exponent_bits, fraction_bits);
    CUDA_MODEL_RUN("model_to_half", COUNT / 256, 256, 0, &args);
    for (size_t i = 0; i < COUNT; i++) {
        const uint32_t half = exponent_bits == 5 ? out[i] & 0xFFFFu : out[i] >> 16;
        if (!is_nearest(half, (double)float_of(in[i]), exponent_bits, fraction_bits))
            fail_msg("%a (0x%08x) became 0x%04x", (double)float_of(in[i]), in[i], half);
    }
    free(in);
    free(out);
}

static void floats_become_the_nearest_half_numbers(void **state)
{
    (void)state;
    if (!cuda_model_has_kernels())
        skip();
    check_rounding(5, 10);
    check_rounding(8, 7);
}

static void check_vocabulary(void)
{
    _Alignas(16) float in[32];
    float out[3][32];
    const model_floats args = {.out = out[0], .in = in};
    float sum = 0.0f, most = -INFINITY;
    for (size_t i = 0; i < 32; i++) {
        in[i] = (float)((int32_t)random_word() >> 14) * 0.25f; /* sums of these are exact */
        sum += in[i];
        most = fmaxf(most, in[i]);
    }
    CUDA_MODEL_RUN("model_vocabulary", 1, 32, 0, &args);
    for (size_t lane = 0; lane < 32; lane++) {
        assert_true(out[0][lane] == sum);
        assert_true(out[1][lane] == most);
        assert_true(out[2][lane] == in[lane]);
    }
}

static void sums_maxima_and_loads_are_right(void **state)
{
    (void)state;
    both_orders(check_vocabulary);
}

static const struct {
    model_mistake_kind kind;
    const char *words[3];
} mistakes[] = {
    {MODEL_BARRIER_AND_SHUFFLE,
     {"no thread can go on; 63 of 64 threads wait at __syncthreads, the first is thread 0",
      "warp 1's lanes 0x00000020 wait in a shuffle with mask 0xffffffff, the first is thread 37"}},
    {MODEL_LANE_MISSES_SHUFFLE,
     {"no thread can go on", "33 of 64 threads wait at __syncthreads", "warp 1's lanes 0xffffffdf wait in a shuffle"}},
    {MODEL_OTHER_OPERATION, {"of its warp wait in", "__syncwarp", "a shuffle"}},
    {MODEL_OUTSIDE_ITS_MASK, {"thread 37: a vote with mask 0x00000001, which leaves out lane 5 itself"}},
    {MODEL_MISALIGNED, {"thread 37: 16 bytes at", "no multiple of their size"}},
    {MODEL_SHARED_READ_BEHIND, {"thread 37: byte 128 of dynamic shared memory, of which the launch gave it 100"}},
    {MODEL_SHARED_WRITE_BEHIND, {"behind the end of its dynamic shared memory"}},
    {MODEL_SHARED_WRITE_BEFORE, {"in front of its dynamic shared memory"}},
    {MODEL_NULL_POINTER, {"thread 37: address 0x10 is nobody's"}},
    {MODEL_ENDLESS_STACK, {"thread 37: the stack of thread 37 is full"}},
    {MODEL_TRAP, {"thread 37: __trap"}},
};

static void check_mistakes(void)
{
    uint32_t out[4 * 64 + 4];
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const model_mistake args = {.out = out, .kind = mistakes[i].kind};
        const char *fault = cuda_model_launch("model_makes_mistakes", 4, 64, 100, &args, sizeof args);
        assert_non_null(fault);
        if (!strstr(fault, "kernel model_makes_mistakes, block (2, 0, 0)"))
            fail_msg("%s", fault);
        for (size_t j = 0; j < 3 && mistakes[i].words[j]; j++) {
            if (!strstr(fault, mistakes[i].words[j]))
                fail_msg("\"%s\" is not in: %s", mistakes[i].words[j], fault);
        }
        check_block_sum(); /* and the next launch is none the worse for it */
    }
}

/* ThreadSanitizer takes signals itself, and does not get over a handler that goes on elsewhere. */
static bool signals_are_taken(void)
{
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    return false;
}

static void a_mistake_names_kernel_block_and_thread(void **state)
{
    (void)state;
    if (signals_are_taken())
        skip();
    const model_mistake args = {.out = (uint32_t[4 * 64]){0}};
    both_orders(check_mistakes);
    CUDA_MODEL_RUN("model_makes_mistakes", 4, 64, 100, &args);
}

static void what_a_device_refuses_does_not_run(void **state)
{
    (void)state;
    const model_words args = {0};
    const model_floats wrong = {0};
    const cuda_model_kernel *kernel = cuda_model_find("model_block_sum");
    static const struct {
        cuda_model_index grid;
        unsigned threads;
        size_t shared_bytes;
        const char *words;
    } cases[] = {
        {{0, 1, 1}, 32, 0, "a grid without blocks"},
        {{1, 65536, 1}, 32, 0, "a grid of more than"},
        {{1, 1, 65536}, 32, 0, "a grid of more than"},
        {{UINT32_C(1) << 31, 1, 1}, 32, 0, "a grid of more than"},
        {{1, 1, 1}, 0, 0, "a block has 1 to 1024 threads"},
        {{1, 1, 1}, 1025, 0, "a block has 1 to 1024 threads"},
        {{1, 1, 1}, 257, 0, "more threads in a block than KERNEL says"},
        {{1, 1, 1}, 32, CUDA_MODEL_MOST_SHARED + 1, "more than 227 KiB"},
    };
    if (!kernel)
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *fault =
            cuda_model_launch_grid(kernel, cases[i].grid, cases[i].threads, cases[i].shared_bytes, &args);
        assert_true(fault && strstr(fault, cases[i].words));
    }
    assert_string_equal(cuda_model_launch("nobody", 1, 1, 0, &args, sizeof args), "there is no kernel nobody");
    assert_non_null(strstr(cuda_model_launch("model_mma", 1, 32, 0, &wrong, 8), "its arguments are 32 bytes, not 8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_thread_of_every_block_runs_once, forwards),
        cmocka_unit_test_setup(a_barrier_shows_what_was_written_before_it, forwards),
        cmocka_unit_test_setup(blocks_of_a_cluster_reach_each_other, forwards),
        cmocka_unit_test_setup(a_missing_barrier_shows_in_one_of_the_two_orders, forwards),
        cmocka_unit_test_setup(threads_that_have_ended_are_not_waited_for, forwards),
        cmocka_unit_test_setup(lanes_that_have_ended_are_not_waited_for, forwards),
        cmocka_unit_test_setup(a_block_finds_nothing_of_the_one_before_in_shared_memory, forwards),
        cmocka_unit_test_setup(shuffles_read_the_lane_they_name, forwards),
        cmocka_unit_test_setup(votes_and_reductions_are_those_of_all_lanes, forwards),
        cmocka_unit_test_setup(lanes_of_two_masks_go_their_own_ways, forwards),
        cmocka_unit_test_setup(atomics_of_all_blocks_add_up, forwards),
        cmocka_unit_test_setup(a_product_of_fragments_is_that_of_matrices, forwards),
        cmocka_unit_test_setup(differences_of_pairs_are_exact, forwards),
        cmocka_unit_test_setup(all_half_numbers_become_the_floats_they_mean, forwards),
        cmocka_unit_test_setup(floats_become_the_nearest_half_numbers, forwards),
        cmocka_unit_test_setup(sums_maxima_and_loads_are_right, forwards),
        cmocka_unit_test_setup(a_mistake_names_kernel_block_and_thread, forwards),
        cmocka_unit_test_setup(what_a_device_refuses_does_not_run, forwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
