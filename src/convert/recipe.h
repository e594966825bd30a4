/* Which weights a conversion rounds, and to how many bits: the choices of mlx-lm's convert. */
#ifndef FFAI_CONVERT_RECIPE_H
#define FFAI_CONVERT_RECIPE_H

#include "failure.h"
#include "weight.h"

typedef struct ffai__recipe {
    int bits;       /* 0: nothing is rounded */
    int high_bits;  /* of the weights that a mixed recipe spares; without one equal to bits */
    int group_size; /* 32, 64 or 128 */
    int64_t num_hidden_layers;
} ffai__recipe;

/* "mixed_2_6", "mixed_3_4", "mixed_3_6" or "mixed_4_6": sets the two widths. FFAI_E_ARGUMENT names the others. */
ffai_status ffai__recipe_find(ffai__recipe *recipe, const char *name, ffai_error *err);

/* FFAI_E_ARGUMENT unless bits are 2, 3, 4, 5, 6 or 8 (or 0), and the group size 32, 64 or 128. */
ffai_status ffai__recipe_check(const ffai__recipe *recipe, ffai_error *err);

/* The bits of a weight, 0 where it stays as it is: matrices of floats or of affine groups named "….weight", whose
 * columns the group size divides, are rounded, which are those of linear layers and embeddings of
 * the text model. A mixed recipe spares
 * lm_head, and v_proj and down_proj in the first and the last eighth of the layers and in every third between. */
int ffai__recipe_bits(const ffai__recipe *recipe, const ffai__weight *weight);

#endif
