/* The operations of products: of one row, of a few and of many, and what prepares their inputs. */
#ifndef FFAI_CUDA_PRODUCTS_H
#define FFAI_CUDA_PRODUCTS_H

#include "maker.h"

/* Every class has either all its products of one row as such or none: what is folded into them hangs on it. */
bool ffai__product_all_rows_fit(const ffai__maker *m);

/* Of the current instruction: linear and linear_add, with the residual or FFAI__NONE, and linear_shared. */
void ffai__product_emit_linear(ffai__maker *m, ffai__value residual);
void ffai__product_emit_shared(ffai__maker *m);

/* The norm that makes x, if it is done by the products that read x or by what prepares it for them; the swiglu that is
 * done by the product `shared`. NULL: neither is. */
const ffai__instruction *ffai__product_folded_norm(const ffai__maker *m, ffai__value x);
const ffai__instruction *ffai__product_folded_swiglu(const ffai__maker *m, const ffai__instruction *shared);

/* Of how many bf16 numbers the input of the product at `index`, and of the current one, is made up: see activations in
 * backend.h. */
int32_t ffai__product_pieces_at(const ffai__maker *m, size_t index);
int32_t ffai__product_pieces(const ffai__maker *m);

/* --- inputs of several rows (prepare.c) --- */

/* How x's rows come to lie as pieces for a product with the matrix. */
ffai__cuda_prepare_args ffai__prepare_args(const ffai__maker *m, const ffai__cuda_matrix *matrix, ffai__value x,
                                           int32_t pieces, ffai__cuda_order order);
/* From now on x is prepared so, at the usual place; at that of args. */
void ffai__prepare_set(ffai__maker *m, ffai__value x, int32_t subgroups, int32_t pieces, ffai__cuda_order order);
void ffai__prepare_remember(ffai__maker *m, ffai__value x, const ffai__cuda_prepare_args *args);
/* Prepare the instruction's input, unless it is. */
void ffai__prepare_emit(ffai__maker *m, const ffai__cuda_matrix *matrix, int32_t pieces, ffai__cuda_order order);
/* The same for a few rows, whose products want them in this order. */
void ffai__prepare_emit_few(ffai__maker *m, const ffai__cuda_matrix *matrix, int32_t pieces);
ffai__cuda_order ffai__product_few_order(const ffai__maker *m, ffai__value x, int32_t pieces);
/* The prepared input of the product that alone reads a swiglu's results y, if it is wgmma's and there is room for it
 * behind what the current product, with `matrix`, reads; else spans is 0. */
ffai__cuda_prepare_args ffai__prepare_next(ffai__maker *m, const ffai__cuda_matrix *matrix, ffai__value y);

/* --- between products.c and the ways to multiply --- */

typedef struct ffai__product_kernels {
    int32_t format, subgroups;
    ffai__cuda_kernel row[3]; /* by the pieces of the input, from one on */
    ffai__cuda_kernel few[2]; /* inputs of one piece, of more */
    ffai__cuda_kernel group[2];
    ffai__cuda_kernel many;
    ffai__cuda_kernel wgmma[2]; /* inputs of one piece, of two */
} ffai__product_kernels;

const ffai__product_kernels *ffai__product_kernels_for(const ffai__cuda_matrix *matrix);
/* What the operation takes: of one matrix, of all parts. */
void ffai__product_add_work(ffai__cuda_operation *operation, const ffai__cuda_matrix *matrix);
void ffai__product_add_parts(ffai__cuda_operation *operation, const ffai__cuda_part *parts, int count);
/* The first block of each part, where a block has so many units. Returns the blocks of all. */
int32_t ffai__product_count_blocks(int32_t *first_block, const ffai__cuda_part *parts, int count, int32_t units);

/* Arguments without parts; emitted with parts that are all stored alike. */
ffai__cuda_product_row_args ffai__product_row_args(const ffai__maker *m);
void ffai__product_emit_row(ffai__maker *m, ffai__cuda_product_row_args *args);
ffai__cuda_product_few_args ffai__product_few_args(const ffai__maker *m);
void ffai__product_emit_few(ffai__maker *m, ffai__cuda_product_few_args *args);
/* Whether the current product, and the one at `index`, is one of many rows, and one of these that wgmma does. */
bool ffai__product_takes_many(const ffai__maker *m, const ffai__cuda_part *part);
bool ffai__product_takes_wgmma(const ffai__maker *m, size_t index, const ffai__cuda_matrix *matrix);
void ffai__product_emit_many(ffai__maker *m, const ffai__cuda_part *part);
void ffai__product_emit_wgmma(ffai__maker *m, ffai__cuda_product_wgmma_args *args);

#endif
