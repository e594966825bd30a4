/* What one kernel does of several instructions in steps of one row, and what it must leave alone: on programs made by
 * hand, each of which also runs and is held against the reference. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "../../kernels/tiny_model.h"
#include "fold.h"
#include "launch.h"

enum { HIDDEN = 64, HEAD_DIM = 32, VOCAB = 50 };

/* --- programs by hand --- */

static tiny_model weights;

/* Whatever the program asks for: "m<rows>x<columns>.name.weight" is a matrix, "v<columns>.name.weight" a vector. */
static const ffai__weight *find_or_make(void *context, const char *name)
{
    int rows = 0;
    int columns = 0;
    tiny_model *m = context;
    const ffai__weight *known = tiny_find(m, name);
    if (known || !(sscanf(name, "m%dx%d", &rows, &columns) == 2 || sscanf(name, "v%d", &columns) == 1))
        return known;
    tiny_add(m, name, rows, columns, 32);
    return tiny_find(m, name);
}

typedef ffai__value body(ffai__recorder *r, ffai__value x);

/* embed, then what the body makes of it, then norm and head. */
static ffai__program *program_of(body *record, uint32_t fusions)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__recorder *r = NULL;
    ffai__program *program = NULL;
    memset(&weights, 0, sizeof weights);
    weights.state = 7;
    for (int i = 0; i < HEAD_DIM / 2; i++)
        weights.inv_freq[i] = powf(10000.0f, -2.0f * (float)i / HEAD_DIM);
    assert_int_equal(ffai__recorder_create(&r, find_or_make, &weights, NULL, "the test", &err), FFAI_OK);
    const ffai__value x = record(r, ffai__embed(r, "m50x64.embed"));
    ffai__head(r, ffai__rms_norm(r, ffai__select_rows(r, x), "v64.last", 1e-5), "m50x64.head");
    if (ffai__recorder_finish(&program, r, &err) || ffai__program_fuse(program, fusions, &err))
        fail_msg("%s", err.message);
    ffai__recorder_free(r);
    return program;
}

static const ffai__instruction *first(const ffai__program *program, ffai__op op)
{
    for (size_t i = 0; i < program->num_instructions; i++) {
        if (program->instructions[i].op == op)
            return &program->instructions[i];
    }
    fail_msg("the program has no %s", ffai__ops[op].name);
    return NULL;
}

static size_t index_of(const ffai__program *program, ffai__op op)
{
    return (size_t)(first(program, op) - program->instructions);
}

/* Single tokens, and a few at a time, on both sides; logits compared. */
static void check_runs(const ffai__program *program)
{
    static tiny_run own;
    static tiny_run ref;
    static const int32_t tokens[] = {3, 14, 15, 9, 2, 6, 5, 35, 8, 9, 7, 9, 32, 38, 46, 26, 43, 38};
    static const int steps[] = {1, 1, 4, 1, 9, 2};
    const tiny_options options = {.threads = 1, .f32 = true, .format = FFAI__STORE_F16};
    tiny_open(&own, &ffai__backend_cuda, program, &options);
    tiny_open(&ref, &ffai__backend_ref, program, &options);
    const int32_t *next = tokens;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        tiny_begin(&own);
        tiny_begin(&ref);
        tiny_rows(&own, 0, next, steps[i], steps[i]);
        tiny_rows(&ref, 0, next, steps[i], steps[i]);
        const float *got = tiny_step(&own);
        const float *expected = tiny_step(&ref);
        for (int v = 0; v < steps[i] * VOCAB; v++) {
            if (!(fabsf(got[v] - expected[v]) <= 1e-3f)) /* logits are about 1 */
                fail_msg("step %zu: logit %d is %g, not %g", i, v, (double)got[v], (double)expected[v]);
        }
        next += steps[i];
    }
    tiny_close(&own);
    tiny_close(&ref);
}

static void free_program(ffai__program *program)
{
    check_runs(program);
    ffai__program_free(program);
    for (int i = 0; i < weights.count; i++)
        free(weights.parts[i][0]);
}

/* --- norms --- */

static ffai__value norm_of(ffai__recorder *r, ffai__value x)
{
    return ffai__rms_norm(r, x, "v64.norm", 1e-5);
}

static ffai__value norm_for_one(ffai__recorder *r, ffai__value x)
{
    return ffai__add_values(r, x, ffai__linear(r, norm_of(r, x), "m64x64.a", false));
}

static ffai__value norm_for_two(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = norm_of(r, x);
    const ffai__value a = ffai__linear(r, h, "m64x64.a", false);
    return ffai__add_values(r, a, ffai__linear(r, h, "m64x64.b", false));
}

static ffai__value norm_for_a_sum(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = norm_of(r, x);
    return ffai__add_values(r, h, ffai__linear(r, h, "m64x64.a", false)); /* fused: the product's residual */
}

static ffai__value norm_for_others(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = norm_of(r, x);
    const ffai__value a = ffai__silu(r, h);
    return ffai__add_values(r, a, ffai__linear(r, h, "m64x64.a", false));
}

static ffai__value norm_of_heads(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = ffai__rms_norm(r, x, "v32.norm", 1e-5);
    return ffai__add_values(r, x, ffai__linear(r, h, "m64x64.a", false));
}

static void norms_that_only_products_read_are_theirs(void **state)
{
    (void)state;
    static const struct {
        body *record;
        bool folds;
    } cases[] = {{norm_for_one, true},
                 {norm_for_two, true},
                 {norm_for_a_sum, false},
                 {norm_for_others, false},
                 {norm_of_heads, false}};
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        ffai__program *program = program_of(cases[i / 2].record, i % 2 ? FFAI__FUSE_ALL : FFAI__FUSE_NONE);
        const ffai__instruction *norm = first(program, FFAI__OP_rms_norm);
        assert_ptr_equal(ffai__fold_norm(program, norm->out[0]), cases[i / 2].folds ? norm : NULL);
        assert_null(ffai__fold_norm(program, norm->in[0])); /* made by no norm */
        free_program(program);
    }
}

/* --- swiglu --- */

static ffai__value gated(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = norm_of(r, x);
    const ffai__value gate = ffai__silu(r, ffai__linear(r, h, "m96x64.gate", false));
    const ffai__value wide = ffai__mul_values(r, gate, ffai__linear(r, h, "m96x64.up", false));
    return ffai__add_values(r, x, ffai__linear(r, wide, "m64x96.down", false));
}

static ffai__value gated_the_other_way(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = norm_of(r, x);
    const ffai__value up = ffai__linear(r, h, "m96x64.up", false);
    const ffai__value gate = ffai__silu(r, ffai__linear(r, h, "m96x64.gate", false));
    return ffai__add_values(r, x, ffai__linear(r, ffai__mul_values(r, gate, up), "m64x96.down", false));
}

static ffai__value gate_read_twice(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = norm_of(r, x);
    const ffai__value gate = ffai__linear(r, h, "m96x64.gate", false);
    const ffai__value up = ffai__linear(r, h, "m96x64.up", false);
    const ffai__value wide = ffai__mul_values(r, ffai__silu(r, gate), up);
    return ffai__add_values(r, x, ffai__linear(r, ffai__add_values(r, wide, gate), "m64x96.down", false));
}

static ffai__value gated_by_itself(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = norm_of(r, x);
    const ffai__value gate = ffai__linear(r, h, "m96x64.gate", false);
    const ffai__value up = ffai__silu(r, ffai__linear(r, h, "m96x64.up", false));
    const ffai__value wide = ffai__mul_values(r, ffai__silu(r, gate), gate);
    return ffai__add_values(r, x, ffai__linear(r, ffai__add_values(r, wide, up), "m64x96.down", false));
}

static ffai__value gated_beside_a_third(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = norm_of(r, x);
    const ffai__value gate = ffai__silu(r, ffai__linear(r, h, "m96x64.gate", false));
    const ffai__value wide = ffai__mul_values(r, gate, ffai__linear(r, h, "m96x64.up", false));
    const ffai__value third = ffai__silu(r, ffai__linear(r, h, "m64x64.third", false));
    return ffai__add_values(r, third, ffai__linear(r, wide, "m64x96.down", false));
}

static void a_gate_that_only_its_swiglu_reads_is_folded(void **state)
{
    (void)state;
    static const struct {
        body *record;
        bool folds;
    } cases[] = {{gated, true},
                 {gated_the_other_way, false},
                 {gate_read_twice, false},
                 {gated_by_itself, false},
                 {gated_beside_a_third, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ffai__program *program = program_of(cases[i].record, FFAI__FUSE_ALL);
        const ffai__instruction *shared = first(program, FFAI__OP_linear_shared);
        assert_ptr_equal(ffai__fold_swiglu(program, shared), cases[i].folds ? first(program, FFAI__OP_swiglu) : NULL);
        assert_null(ffai__fold_swiglu(program, first(program, FFAI__OP_embed)));
        free_program(program);
    }
}

/* --- attention --- */

typedef struct heads {
    bool q_rope, k_rope;
    int q_dims, k_dims; /* of the ropes; 0: the whole head */
    const char *q_norm, *k_norm;
    bool q_elsewhere, k_elsewhere, v_elsewhere, turned_elsewhere;
} heads;

static heads now; /* what record_heads makes */

static ffai__value prepare(ffai__recorder *r, ffai__value x, const char *norm, bool rope, int dims)
{
    const ffai__rope turn = {
        .head_dim = HEAD_DIM, .dims = dims ? dims : HEAD_DIM, .inv_freq = weights.inv_freq, .attention_factor = 1};
    if (norm)
        x = ffai__rms_norm(r, x, norm, 1e-6);
    return rope ? ffai__rope_apply(r, x, &turn) : x;
}

static ffai__value record_heads(ffai__recorder *r, ffai__value x)
{
    const ffai__value h = norm_of(r, x);
    const ffai__value q = ffai__linear(r, h, "m64x64.q", false);
    const ffai__value k = ffai__linear(r, h, "m32x64.k", false);
    const ffai__value v = ffai__linear(r, h, "m32x64.v", false);
    const ffai__value queries = prepare(r, q, now.q_norm, now.q_rope, now.q_dims);
    const ffai__value keys = prepare(r, k, now.k_norm, now.k_rope, now.k_dims);
    ffai__value y = ffai__attention(r, queries, keys, v, HEAD_DIM, 0.3f, 0);
    y = ffai__linear(r, y, "m64x64.o", false);
    if (now.q_elsewhere)
        y = ffai__add_values(r, y, q);
    if (now.turned_elsewhere)
        y = ffai__add_values(r, y, queries);
    if (now.k_elsewhere)
        y = ffai__add_values(r, y, ffai__linear(r, k, "m64x32.from_k", false));
    if (now.v_elsewhere)
        y = ffai__add_values(r, y, ffai__linear(r, v, "m64x32.from_v", false));
    return ffai__add_values(r, x, y);
}

/* Queries that something else reads as well are taken as they are. */
static void check_found(const ffai__program *program, const ffai__fold_attention *fold)
{
    const ffai__instruction *i = program->instructions;
    assert_int_equal(i[fold->store].op, FFAI__OP_kv_store);
    assert_int_equal(fold->q_rope != SIZE_MAX, now.q_rope);
    assert_int_equal(fold->q_norm != SIZE_MAX, now.q_norm && !now.turned_elsewhere);
    assert_int_equal(fold->k_norm != SIZE_MAX, now.k_norm != NULL);
    const ffai__value made[] = {fold->q, fold->k, fold->v};
    for (int n = now.turned_elsewhere; n < 3; n++)
        assert_true(ffai__op_multiplies(i[program->values[made[n]].producer].op));
}

static void attention_takes_what_nobody_else_needs(void **state)
{
    (void)state;
    static const struct {
        heads of;
        bool folds;
    } cases[] = {
        {{.q_rope = true, .k_rope = true}, true},
        {{.q_rope = true, .k_rope = true, .q_dims = 12, .k_dims = 12}, true},
        {{.q_rope = true, .k_rope = true, .q_norm = "v32.q", .k_norm = "v32.k"}, true},
        {{.q_rope = true, .k_rope = true, .k_norm = "v32.k"}, true},
        {{.q_norm = "v32.q"}, true},
        {{.q_rope = false}, true},
        {{.q_rope = true}, false},
        {{.k_rope = true}, false},
        {{.q_rope = true, .k_rope = true, .q_norm = "v64.q"}, false}, /* a norm of all heads together */
        {{.q_rope = true, .k_rope = true, .q_elsewhere = true}, true},
        {{.q_rope = true, .k_rope = true, .q_norm = "v32.q", .q_elsewhere = true}, true},
        {{.q_rope = true, .k_rope = true, .turned_elsewhere = true}, false},
        {{.q_norm = "v32.q", .turned_elsewhere = true}, true},
        {{.q_rope = true, .k_rope = true, .k_elsewhere = true}, true},
        {{.q_rope = true, .k_rope = true, .v_elsewhere = true}, false},
        /* turned by different angles: found, and left alone by who knows the angles */
        {{.q_rope = true, .k_rope = true, .q_dims = 12, .k_dims = 8}, true},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        ffai__fold_attention fold;
        now = cases[i / 2].of;
        ffai__program *program = program_of(record_heads, i % 2 ? FFAI__FUSE_ALL : FFAI__FUSE_NONE);
        const bool folds = ffai__fold_attention_find(&fold, program, index_of(program, FFAI__OP_attention));
        if (folds != cases[i / 2].folds)
            fail_msg("case %zu", i / 2);
        if (folds)
            check_found(program, &fold);
        free_program(program);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_that_only_products_read_are_theirs),
        cmocka_unit_test(a_gate_that_only_its_swiglu_reads_is_folded),
        cmocka_unit_test(attention_takes_what_nobody_else_needs),
    };
    if (!cuda_model_has_kernels())
        return 77;
    setenv("FFAI_STUB_MEMORY", "4294967296", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
