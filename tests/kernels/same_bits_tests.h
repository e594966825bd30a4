/* For backends on which a row's result hangs on its own sequence alone: the same bits, whatever stands beside it. After
 * backend_tests.h. */
#ifndef FFAI_TESTS_SAME_BITS_TESTS_H
#define FFAI_TESTS_SAME_BITS_TESTS_H

#include "backend_tests.h"

static void threads_chunks_company_and_pages_change_no_bit(void **state)
{
    (void)state;
    enum { TOTAL = 170 };
    static const int chunks[] = {1, 7, 64, TOTAL};
    tiny_shape shape = plain;
    shape.heads = 9;
    shape.kv_heads = 3;
    shape.head_dim = shape.rope_dims = 32;
    shape.window = 90;
    shape.qk_norm = true;
    static const int bits[] = {4, 16};
    for (size_t b = 0; b < sizeof bits / sizeof bits[0]; b++) {
        tiny_model m;
        shape.bits = bits[b];
        tiny_create(&m, &shape);
        fill_prompt(shape.vocab);
        const size_t bytes = (size_t)(TOTAL * shape.vocab) * sizeof(float);
        float *expected = malloc(bytes);
        float *logits = malloc(bytes);
        tiny_options options = {.threads = 1};
        logits_in_chunks(expected, &m, &options, TOTAL, TOTAL, false);
        for (options.threads = 1; options.threads <= 3; options.threads++) {
            for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
                options.page_stride = (uint32_t)(2 * i + 1);
                options.keep_values = options.threads == 2;
                logits_in_chunks(logits, &m, &options, TOTAL, chunks[i], options.threads == 3);
                assert_memory_equal(logits, expected, bytes);
            }
        }
        free(expected);
        free(logits);
        tiny_free(&m);
    }
}

/* More than two stretches of attention; steps of few rows share them out, longer ones do not. */
static void long_contexts_change_no_bit(void **state)
{
    (void)state;
    enum { TOTAL = 1100 };
    static const int chunks[] = {1, 13, 300};
    tiny_model m;
    tiny_shape shape = plain;
    shape.heads = 6;
    shape.head_dim = shape.rope_dims = 24;
    shape.window = 700;
    tiny_create(&m, &shape);
    fill_prompt(shape.vocab);
    const size_t bytes = (size_t)(TOTAL * shape.vocab) * sizeof(float);
    float *expected = malloc(bytes);
    float *logits = malloc(bytes);
    tiny_options options = {.threads = 1};
    logits_in_chunks(expected, &m, &options, TOTAL, TOTAL, false);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        options.threads = i == 1 ? 1 : 3;
        options.page_stride = 11;
        logits_in_chunks(logits, &m, &options, TOTAL, chunks[i], i == 1);
        assert_memory_equal(logits, expected, bytes);
    }
    free(expected);
    free(logits);
    tiny_free(&m);
}

/* For an array of CMUnitTest. */
#define SAME_BITS_TESTS                                                                                                \
    cmocka_unit_test(threads_chunks_company_and_pages_change_no_bit), cmocka_unit_test(long_contexts_change_no_bit)

#endif
