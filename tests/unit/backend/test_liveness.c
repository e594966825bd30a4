// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>

#include "liveness.h"

enum { MOST = 60, INSTRUCTIONS = 40 };

static uint32_t state;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static bool meet(const ffai__lifetime *a, const ffai__lifetime *b)
{
    return a->bytes && b->bytes && a->birth <= b->death && b->birth <= a->death;
}

/* None that live together overlap, all end at `end`, and the last one that ends there could lie no lower: what is below
 * it was taken when it was placed. */
static void check_places(const ffai__lifetime *lifetimes, size_t count, uint64_t end)
{
    uint64_t highest = 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t own_end = lifetimes[i].offset + lifetimes[i].bytes;
        highest = lifetimes[i].bytes && own_end > highest ? own_end : highest;
        for (size_t k = 0; k < i; k++) {
            if (meet(&lifetimes[i], &lifetimes[k]))
                assert_true(own_end <= lifetimes[k].offset ||
                            lifetimes[k].offset + lifetimes[k].bytes <= lifetimes[i].offset);
        }
    }
    assert_int_equal(end, highest);
}

/* Bytes of those alive at an instruction: no placing does with less. */
static uint64_t most_at_once(const ffai__lifetime *lifetimes, size_t count)
{
    uint64_t most = 0;
    for (size_t at = 0; at <= INSTRUCTIONS; at++) {
        uint64_t bytes = 0;
        for (size_t i = 0; i < count; i++)
            bytes += lifetimes[i].birth <= at && at <= lifetimes[i].death ? lifetimes[i].bytes : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void what_lives_together_lies_apart(void **unused)
{
    (void)unused;
    for (uint32_t seed = 1; seed <= 500; seed++) {
        ffai__lifetime lifetimes[MOST];
        uint64_t end = 0;
        state = seed;
        const size_t count = draw(MOST + 1);
        for (size_t i = 0; i < count; i++) {
            const size_t birth = draw(INSTRUCTIONS);
            lifetimes[i] = (ffai__lifetime){.bytes = 64 * (uint64_t)draw(9), .birth = birth, .death = birth + draw(8)};
            if (draw(10) == 0)
                lifetimes[i].death = SIZE_MAX;
        }
        assert_int_equal(ffai__lifetimes_place(&end, lifetimes, count, NULL), FFAI_OK);
        check_places(lifetimes, count, end);
        assert_true(end >= most_at_once(lifetimes, count));
    }
}

static void equal_sizes_take_as_much_as_live_at_once(void **unused)
{
    (void)unused;
    for (uint32_t seed = 1; seed <= 200; seed++) {
        ffai__lifetime lifetimes[MOST];
        uint64_t end = 0;
        state = seed;
        for (size_t i = 0; i < MOST; i++) {
            const size_t birth = draw(INSTRUCTIONS);
            lifetimes[i] = (ffai__lifetime){.bytes = 256, .birth = birth, .death = birth + draw(6)};
        }
        assert_int_equal(ffai__lifetimes_place(&end, lifetimes, MOST, NULL), FFAI_OK);
        check_places(lifetimes, MOST, end);
        assert_int_equal(end, most_at_once(lifetimes, MOST));
    }
}

static void a_place_is_used_again_after_its_last_reader(void **unused)
{
    (void)unused;
    ffai__lifetime chain[] = {{.bytes = 64, .birth = 0, .death = 1},
                              {.bytes = 64, .birth = 1, .death = 2},
                              {.bytes = 64, .birth = 2, .death = 3},
                              {.bytes = 128, .birth = 3, .death = SIZE_MAX}};
    uint64_t end = 0;
    assert_int_equal(ffai__lifetimes_place(&end, chain, 4, NULL), FFAI_OK);
    assert_int_equal(chain[0].offset, 0);
    assert_int_equal(chain[1].offset, 64); /* its birth reads the first */
    assert_int_equal(chain[2].offset, 0);
    assert_int_equal(chain[3].offset, 64);
    assert_int_equal(end, 192);
}

static void sizes_beyond_any_memory_are_refused(void **unused)
{
    (void)unused;
    ffai__lifetime huge[] = {{.bytes = UINT64_MAX / 4, .death = 1}, {.bytes = 64, .death = 1}};
    uint64_t end = 0;
    assert_int_equal(ffai__lifetimes_place(&end, huge, 2, NULL), FFAI_E_MEMORY);
    huge[0].bytes = UINT64_MAX - 63;
    assert_int_equal(ffai__lifetimes_place(&end, huge, 1, NULL), FFAI_E_MEMORY);
}

/* Of a program that is only as whole as this needs: value v is written by instruction v and read by those that say so.
 */
typedef struct chain {
    ffai__program program;
    ffai__instruction instructions[INSTRUCTIONS];
    ffai__value_info values[INSTRUCTIONS + 1]; /* and a weight that all read */
} chain;

static void make_chain(chain *c)
{
    *c = (chain){.program = {.num_instructions = INSTRUCTIONS, .num_values = INSTRUCTIONS + 1, .logits = 30}};
    c->program.instructions = c->instructions;
    c->program.values = c->values;
    c->values[INSTRUCTIONS] = (ffai__value_info){.kind = FFAI__WEIGHT, .producer = -1};
    for (int i = 0; i < INSTRUCTIONS; i++) {
        ffai__instruction *instruction = &c->instructions[i];
        c->values[i] = (ffai__value_info){.kind = FFAI__ACTIVATION, .producer = i};
        for (int k = 0; k < FFAI__MAX_INPUTS; k++)
            instruction->in[k] = FFAI__NONE;
        for (int k = 0; k < FFAI__MAX_OUTPUTS; k++)
            instruction->out[k] = k ? FFAI__NONE : i;
        for (int k = 0; k < 2 && i > 0; k++)
            instruction->in[k] = (ffai__value)draw((uint32_t)i);
        instruction->in[2] = INSTRUCTIONS;
    }
}

static size_t last_reader(const chain *c, ffai__value value)
{
    size_t last = (size_t)value; /* read by nobody: while it is written */
    for (size_t i = 0; i < INSTRUCTIONS; i++) {
        if (c->instructions[i].in[0] == value || c->instructions[i].in[1] == value)
            last = i;
    }
    return value == c->program.logits ? SIZE_MAX : last;
}

static void activations_live_from_writer_to_last_reader(void **unused)
{
    (void)unused;
    for (uint32_t seed = 1; seed <= 100; seed++) {
        chain c;
        ffai__lifetime lifetimes[INSTRUCTIONS + 1];
        uint64_t end = 0;
        state = seed;
        make_chain(&c);
        for (size_t v = 0; v <= INSTRUCTIONS; v++)
            lifetimes[v].bytes = 64;
        ffai__lifetimes_find(lifetimes, &c.program, false);
        for (size_t v = 0; v < INSTRUCTIONS; v++) {
            assert_int_equal(lifetimes[v].birth, v);
            assert_int_equal(lifetimes[v].death, last_reader(&c, (ffai__value)v));
        }
        assert_int_equal(lifetimes[INSTRUCTIONS].bytes, 0);
        assert_int_equal(ffai__lifetimes_place(&end, lifetimes, INSTRUCTIONS + 1, NULL), FFAI_OK);
        check_places(lifetimes, INSTRUCTIONS, end);
    }
}

static void values_that_are_kept_share_no_place(void **unused)
{
    (void)unused;
    chain c;
    ffai__lifetime lifetimes[INSTRUCTIONS + 1];
    uint64_t end = 0;
    state = 5;
    make_chain(&c);
    for (size_t v = 0; v <= INSTRUCTIONS; v++)
        lifetimes[v].bytes = 64;
    ffai__lifetimes_find(lifetimes, &c.program, true);
    assert_int_equal(ffai__lifetimes_place(&end, lifetimes, INSTRUCTIONS + 1, NULL), FFAI_OK);
    check_places(lifetimes, INSTRUCTIONS, end);
    assert_int_equal(end, INSTRUCTIONS * 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lives_together_lies_apart),
        cmocka_unit_test(equal_sizes_take_as_much_as_live_at_once),
        cmocka_unit_test(a_place_is_used_again_after_its_last_reader),
        cmocka_unit_test(sizes_beyond_any_memory_are_refused),
        cmocka_unit_test(activations_live_from_writer_to_last_reader),
        cmocka_unit_test(values_that_are_kept_share_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
