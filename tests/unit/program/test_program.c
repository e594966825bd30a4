#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>

#include "alloc.h"
#include "attention_products.h"
#include "fusions.h"
#include "small_model.h"

typedef struct {
    small_model model;
    ffai__program *program;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    ffai_error err = FFAI_ERROR_INIT;
    small_create(&f->model);
    f->program = small_program(&f->model, &err);
    *state = f;
    return f->program ? 0 : -1;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    ffai__program_free(f->program);
    small_free(&f->model);
    free(f);
    return 0;
}

static int count(const ffai__program *program, ffai__op op)
{
    int found = 0;
    for (size_t i = 0; i < program->num_instructions; i++)
        found += program->instructions[i].op == op;
    return found;
}

static ffai__instruction *find(ffai__program *program, ffai__op op)
{
    for (size_t i = 0; i < program->num_instructions; i++) {
        if (program->instructions[i].op == op)
            return &program->instructions[i];
    }
    fail_msg("the program has no %s", ffai__ops[op].name);
    return NULL;
}

static void recording_gives_the_operations_in_the_order_they_were_written(void **state)
{
    const fixture *f = *state;
    const ffai__op expected[] = {FFAI__OP_embed,     FFAI__OP_rms_norm, FFAI__OP_linear,      FFAI__OP_rope,
                                 FFAI__OP_linear,    FFAI__OP_rope,     FFAI__OP_linear,      FFAI__OP_kv_store,
                                 FFAI__OP_attention, FFAI__OP_linear,   FFAI__OP_add,         FFAI__OP_rms_norm,
                                 FFAI__OP_linear,    FFAI__OP_silu,     FFAI__OP_linear,      FFAI__OP_mul,
                                 FFAI__OP_linear,    FFAI__OP_add,      FFAI__OP_select_rows, FFAI__OP_linear,
                                 FFAI__OP_sample};
    assert_int_equal(f->program->num_instructions, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < f->program->num_instructions; i++)
        assert_int_equal(f->program->instructions[i].op, expected[i]);
    assert_int_equal(f->program->vocab_size, SMALL_VOCAB);
    assert_int_equal(f->program->hidden_size, SMALL_HIDDEN);
    assert_int_equal(f->program->num_stores, 1);
}

static void a_missing_weight_is_the_first_error_and_lists_the_names_tried(void **state)
{
    (void)state;
    static const ffai__name_alias aliases[] = {{"layer.", "transformer.h.0."}, {NULL, NULL}};
    small_model m;
    ffai__recorder *r = NULL;
    ffai__program *program = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    small_create(&m);
    m.weights[2].name = "gone"; /* layer.q */
    m.weights[6].name = "gone too";
    assert_int_equal(ffai__recorder_create(&r, small_find, &m, aliases, "the test", &err), FFAI_OK);
    small_record(r, &m);
    assert_int_equal(ffai__recorder_finish(&program, r, &err), FFAI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "\"layer.q.weight\""));
    assert_non_null(strstr(err.message, "transformer.h.0.q.weight"));
    assert_null(strstr(err.message, "layer.o"));
    assert_null(program);
    ffai__recorder_free(r);
    small_free(&m);
}

static void an_alias_finds_a_weight_under_its_other_name(void **state)
{
    (void)state;
    static const ffai__name_alias aliases[] = {{"layer.", "transformer.h.0."}, {NULL, NULL}};
    small_model m;
    ffai__recorder *r = NULL;
    ffai__program *program = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    small_create(&m);
    m.weights[2].name = "transformer.h.0.q.weight";
    assert_int_equal(ffai__recorder_create(&r, small_find, &m, aliases, "the test", &err), FFAI_OK);
    small_record(r, &m);
    assert_int_equal(ffai__recorder_finish(&program, r, &err), FFAI_OK);
    ffai__recorder_free(r);
    ffai__program_free(program);
    small_free(&m);
}

static void a_matrix_of_the_wrong_width_is_named(void **state)
{
    (void)state;
    small_model m;
    ffai_error err = FFAI_ERROR_INIT;
    small_create(&m);
    m.weights[9].columns = SMALL_WIDE - 1; /* layer.down */
    assert_null(small_program(&m, &err));
    assert_int_equal(err.status, FFAI_E_FORMAT);
    assert_non_null(strstr(err.message, "layer.down.weight"));
    assert_non_null(strstr(err.message, "12 columns"));
    small_free(&m);
}

static void a_bias_of_the_wrong_length_is_named(void **state)
{
    (void)state;
    small_model m;
    ffai_error err = FFAI_ERROR_INIT;
    small_create(&m);
    m.weights[5].columns = 3; /* layer.v.bias */
    assert_null(small_program(&m, &err));
    assert_non_null(strstr(err.message, "layer.v.bias"));
    small_free(&m);
}

static void integer_elements_are_no_weights(void **state)
{
    (void)state;
    small_model m;
    ffai_error err = FFAI_ERROR_INIT;
    small_create(&m);
    m.weights[2].dtype = FFAI__I32;
    assert_null(small_program(&m, &err));
    assert_int_equal(err.status, FFAI_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "I32"));
    small_free(&m);
}

/* Each breaks one promise of a verified program. */
static void use_before_definition(ffai__program *p)
{
    find(p, FFAI__OP_rms_norm)->in[0] = p->logits;
}
static void define_twice(ffai__program *p)
{
    p->instructions[2].out[0] = p->instructions[1].out[0];
}
static void wrong_kind(ffai__program *p)
{
    find(p, FFAI__OP_rope)->in[0] = find(p, FFAI__OP_embed)->in[0];
}
static void operand_out_of_range(ffai__program *p)
{
    find(p, FFAI__OP_add)->in[1] = 30000;
}
static void missing_operand(ffai__program *p)
{
    find(p, FFAI__OP_mul)->in[1] = FFAI__NONE;
}
static void extra_operand(ffai__program *p)
{
    find(p, FFAI__OP_silu)->in[3] = 0;
}
static void store_read_before_written(ffai__program *p)
{
    ffai__instruction *write = find(p, FFAI__OP_kv_store);
    const ffai__instruction first = write[0];
    write[0] = write[1];
    write[1] = first;
    p->values[write[0].out[0]].producer--;
}
static void odd_rotary_dimensions(ffai__program *p)
{
    find(p, FFAI__OP_rope)->attributes.rope.dims = 3;
}
static void negative_eps(ffai__program *p)
{
    find(p, FFAI__OP_rms_norm)->attributes.rms_norm.eps = -1;
}
static void nan_eps(ffai__program *p)
{
    find(p, FFAI__OP_rms_norm)->attributes.rms_norm.eps = NAN;
}
static void heads_that_do_not_share(ffai__program *p)
{
    find(p, FFAI__OP_attention)->attributes.attention.num_attention_heads = 3;
}
static void window_unlike_the_group(ffai__program *p)
{
    find(p, FFAI__OP_attention)->attributes.attention.window = 7;
}
static void shapes_that_differ(ffai__program *p)
{
    p->values[find(p, FFAI__OP_silu)->out[0]].columns++;
}
static void no_draw(ffai__program *p)
{
    p->num_instructions--;
}
static void no_such_operation(ffai__program *p)
{
    p->instructions[3].op = FFAI__OP_COUNT;
}

static void the_verifier_refuses_every_broken_promise(void **state)
{
    (void)state;
    static void (*const breaks[])(ffai__program *) = {use_before_definition,
                                                      define_twice,
                                                      wrong_kind,
                                                      operand_out_of_range,
                                                      missing_operand,
                                                      extra_operand,
                                                      store_read_before_written,
                                                      odd_rotary_dimensions,
                                                      negative_eps,
                                                      nan_eps,
                                                      heads_that_do_not_share,
                                                      window_unlike_the_group,
                                                      shapes_that_differ,
                                                      no_draw,
                                                      no_such_operation};
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
        small_model m;
        ffai_error err = FFAI_ERROR_INIT;
        small_create(&m);
        ffai__program *program = small_program(&m, &err);
        assert_int_equal(ffai__program_verify(program, &err), FFAI_OK);
        breaks[i](program);
        if (ffai__program_verify(program, &err) == FFAI_OK)
            fail_msg("broken promise %zu was not noticed", i);
        assert_true(strlen(err.message) > 0);
        ffai__program_free(program);
        small_free(&m);
    }
}

static void the_swiglu_fusion_joins_silu_and_mul(void **state)
{
    fixture *f = *state;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__program_fuse(f->program, 1u << FFAI__FUSE_swiglu, &err), FFAI_OK);
    assert_int_equal(count(f->program, FFAI__OP_swiglu), 1);
    assert_int_equal(count(f->program, FFAI__OP_silu) + count(f->program, FFAI__OP_mul), 0);
    assert_int_equal(f->program->num_instructions, 20);
}

static void the_residual_fusion_joins_linear_and_add(void **state)
{
    fixture *f = *state;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__program_fuse(f->program, 1u << FFAI__FUSE_residual, &err), FFAI_OK);
    assert_int_equal(count(f->program, FFAI__OP_linear_add), 2);
    assert_int_equal(count(f->program, FFAI__OP_add), 0);
}

static void the_shared_input_fusion_joins_qkv_and_gate_with_up(void **state)
{
    fixture *f = *state;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__program_fuse(f->program, 1u << FFAI__FUSE_shared_input, &err), FFAI_OK);
    assert_int_equal(count(f->program, FFAI__OP_linear_shared), 2);
    const ffai__instruction *qkv = find(f->program, FFAI__OP_linear_shared);
    assert_true(qkv->in[1] != FFAI__NONE && qkv->in[3] != FFAI__NONE && qkv->in[5] != FFAI__NONE);
    assert_true(qkv->in[6] != FFAI__NONE); /* v's bias came along */
    assert_true(qkv->in[2] == FFAI__NONE && qkv->in[4] == FFAI__NONE);
}

static void all_fusions_together_still_verify(void **state)
{
    fixture *f = *state;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__program_fuse(f->program, FFAI__FUSE_ALL, &err), FFAI_OK);
    assert_int_equal(f->program->num_instructions, 15);
}

static void a_silu_that_is_read_twice_is_not_fused(void **state)
{
    fixture *f = *state;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai__value silu = find(f->program, FFAI__OP_silu)->out[0];
    find(f->program, FFAI__OP_mul)->in[1] = silu; /* silu(g) * silu(g) */
    assert_int_equal(ffai__program_fuse(f->program, 1u << FFAI__FUSE_swiglu, &err), FFAI_OK);
    assert_int_equal(count(f->program, FFAI__OP_silu), 1);
}

/* The matrices that the products found multiply by, joined by spaces. */
static void attention_products(char *text, size_t size, const ffai__program *program)
{
    bool *found = NULL;
    size_t length = 0;
    text[0] = 0;
    assert_int_equal(ffai__attention_products(&found, program, NULL), FFAI_OK);
    for (size_t i = 0; i < program->num_instructions; i++) {
        for (int k = 1; found[i] && k < FFAI__MAX_INPUTS; k++) {
            const ffai__weight *weight = ffai__weight_of(program, program->instructions[i].in[k]);
            if (weight && weight->rank == 2)
                length += (size_t)snprintf(text + length, size - length, " %s", weight->name);
        }
    }
    ffai__free(found);
}

static void attention_hangs_on_the_products_around_it_fused_or_not(void **state)
{
    fixture *f = *state;
    char text[256];
    attention_products(text, sizeof text, f->program);
    assert_string_equal(text, " layer.q.weight layer.k.weight layer.v.weight layer.o.weight");
    assert_int_equal(ffai__program_fuse(f->program, FFAI__FUSE_ALL, NULL), FFAI_OK);
    attention_products(text, sizeof text, f->program);
    assert_string_equal(text, " layer.q.weight layer.k.weight layer.v.weight layer.o.weight");
}

static void fusions_are_named_on_the_command_line(void **state)
{
    (void)state;
    uint32_t fusions = 99;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__fusions_parse(&fusions, "all", &err), FFAI_OK);
    assert_int_equal(fusions, FFAI__FUSE_ALL);
    assert_int_equal(ffai__fusions_parse(&fusions, "none", &err), FFAI_OK);
    assert_int_equal(fusions, 0);
    assert_int_equal(ffai__fusions_parse(&fusions, "residual,swiglu", &err), FFAI_OK);
    assert_int_equal(fusions, 1u << FFAI__FUSE_swiglu | 1u << FFAI__FUSE_residual);
    assert_int_equal(ffai__fusions_parse(&fusions, "residual,qkv", &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "qkv"));
}

static void the_listing_shows_shapes_formats_bytes_and_work(void **state)
{
    const fixture *f = *state;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    ffai__program_print(stream, f->program, "small");
    fclose(stream);
    assert_non_null(strstr(text, "small  1 layers  21 instructions"));
    assert_non_null(strstr(text, "layer.q.weight f32"));
    assert_non_null(strstr(text, "[T,12]"));
    assert_non_null(strstr(text, "[R,16]"));
    assert_non_null(strstr(text, "256 B  128 FLOP/row")); /* q: 8 x 8 float32 */
    free(text);
}

static void a_long_instruction_is_cut_to_its_buffer(void **state)
{
    const fixture *f = *state;
    char text[16];
    memset(text, 'x', sizeof text);
    ffai__instruction_print(text, 8, f->program, 1);
    assert_int_equal(text[7], 0);
    assert_int_equal(text[8], 'x');
}

static void rotary_angles_grow_with_the_position_and_carry_the_attention_factor(void **state)
{
    (void)state;
    const float inv_freq[2] = {1.0f, 0.25f};
    const ffai__rope rope = {.head_dim = 4, .dims = 4, .inv_freq = inv_freq, .attention_factor = 2.0f};
    float cosines[2], sines[2];
    ffai__rope_angles(cosines, sines, &rope, 3);
    assert_float_equal(cosines[0], 2 * cosf(3.0F), 1e-6F);
    assert_float_equal(sines[1], 2 * sinf(0.75F), 1e-6F);
}

static void dynamic_rope_is_plain_up_to_the_trained_length_and_slower_beyond(void **state)
{
    (void)state;
    const float inv_freq[2] = {1.0f, 0.01f};
    const ffai__rope rope = {.kind = FFAI__ROPE_DYNAMIC,
                             .head_dim = 4,
                             .dims = 4,
                             .inv_freq = inv_freq,
                             .theta = 10000,
                             .factor = 2,
                             .original_max_position = 8,
                             .attention_factor = 1};
    float cosines[2], sines[2];
    ffai__rope_angles(cosines, sines, &rope, 7);
    assert_float_equal(sines[1], sinf(0.07F), 1e-6F);
    /* At length 16 the base is 10000 * (2 * 16 / 8 - 1) ^ (4 / 2) = 90000. */
    ffai__rope_angles(cosines, sines, &rope, 15);
    assert_float_equal(sines[1], sinf(0.05F), 1e-6F);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(recording_gives_the_operations_in_the_order_they_were_written, set_up,
                                        tear_down),
        cmocka_unit_test(a_missing_weight_is_the_first_error_and_lists_the_names_tried),
        cmocka_unit_test(an_alias_finds_a_weight_under_its_other_name),
        cmocka_unit_test(a_matrix_of_the_wrong_width_is_named),
        cmocka_unit_test(a_bias_of_the_wrong_length_is_named),
        cmocka_unit_test(integer_elements_are_no_weights),
        cmocka_unit_test(the_verifier_refuses_every_broken_promise),
        cmocka_unit_test_setup_teardown(the_swiglu_fusion_joins_silu_and_mul, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_residual_fusion_joins_linear_and_add, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_shared_input_fusion_joins_qkv_and_gate_with_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_fusions_together_still_verify, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_silu_that_is_read_twice_is_not_fused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(attention_hangs_on_the_products_around_it_fused_or_not, set_up, tear_down),
        cmocka_unit_test(fusions_are_named_on_the_command_line),
        cmocka_unit_test_setup_teardown(the_listing_shows_shapes_formats_bytes_and_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_instruction_is_cut_to_its_buffer, set_up, tear_down),
        cmocka_unit_test(rotary_angles_grow_with_the_position_and_carry_the_attention_factor),
        cmocka_unit_test(dynamic_rope_is_plain_up_to_the_trained_length_and_slower_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
