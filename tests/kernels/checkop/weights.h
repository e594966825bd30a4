/* Random matrices in every format, and what a product with them should be. */
#ifndef FFAI_TESTS_CHECKOP_WEIGHTS_H
#define FFAI_TESTS_CHECKOP_WEIGHTS_H

#include "checkop.h"
#include "linear.h"

typedef struct weight_format {
    ffai__packing packing;
    ffai__dtype dtype; /* of dense elements or MLX scales */
    int bits, group_size;
} weight_format;

/* What is odd about the numbers of a matrix. */
typedef enum weight_fill {
    WEIGHTS_PLAIN,
    WEIGHTS_VARIED,  /* scales down to denormals, zero, negative; rows of dense numbers of every finite kind */
    WEIGHTS_EXTREME, /* the largest codes */
    WEIGHTS_BROKEN   /* some scales are infinities or no numbers */
} weight_fill;

/* Shape and format without numbers. rope_heads as in ffai__weight. */
ffai__weight weight_of(const weight_format *format, int64_t rows, int64_t columns, int rope_heads);
/* Give the weight numbers, in inputs of the case. */
void make_weight(checkop *c, ffai__weight *weight, weight_fill fill);
/* The groups of an affine weight, as its reader gives them, in MLX's packing with float32 scales. */
ffai__weight float_groups_of(checkop *c, const ffai__weight *weight);
/* "4 bits, groups of 64, bf16 scales" and the like. */
const char *format_text(const weight_format *format, char text[48]);

/* One output: the exact product, and how far it may be off by the kind of input. */
typedef struct expected_output {
    double exact;
    double bar;
} expected_output;

/* exact and bar of x . row `o`, without bias and residual. */
expected_output expect_output(const ffai__weight *weight, int64_t o, const float *x, ffai__input_kind kind);

#endif
