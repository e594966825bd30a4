/* The walk of a block through its items of a product of a few rows (args.h), however they are multiplied. */
#ifndef FFAI_CUDA_FEW_WALK_CUH
#define FFAI_CUDA_FEW_WALK_CUH

#include "few_results.cuh"
#include "few_ring.cuh"

template <int FORMAT, int SUBGROUPS, class PRODUCTS>
DEVICE void multiply_item(const few_frame &f, few_place &at, few_place &ahead, few_source &source)
{
    const int item = at.item;
    PRODUCTS products;
    do {
        wait_for_stage(f.args->stages);
        PRODUCTS::publish();
        __syncthreads(); /* all have the stage, and are done with the one before it */
        if (is_there(ahead, f)) {
            copy_weights<FORMAT, SUBGROUPS>(f, source, ahead);
            copy_input<FORMAT, SUBGROUPS, PRODUCTS::grouped>(f, ahead);
            if (advance(ahead, f))
                source = find_source<FORMAT, SUBGROUPS>(f, ahead.item);
        }
        close_copies();
        products.take_stage(f, at);
        advance(at, f);
    } while (at.item == item);
    write_item(products.finish(), f, item);
}

/* The ring's first stages, of which the last is left free. */
template <int FORMAT, int SUBGROUPS> DEVICE few_source begin_weights(const few_frame &f, few_place at)
{
    few_source source = find_source<FORMAT, SUBGROUPS>(f, at.item);
#pragma unroll 1
    for (int i = 0; i + 1 < f.args->stages && is_there(at, f); i++) {
        copy_weights<FORMAT, SUBGROUPS>(f, source, at);
        if (advance(at, f))
            source = find_source<FORMAT, SUBGROUPS>(f, at.item);
    }
    return source;
}

template <int FORMAT, int SUBGROUPS, int GROUPED> DEVICE few_place begin_input(const few_frame &f, few_place at)
{
#pragma unroll 1
    for (int i = 0; i + 1 < f.args->stages; i++) {
        if (is_there(at, f)) {
            copy_input<FORMAT, SUBGROUPS, GROUPED>(f, at);
            advance(at, f);
        }
        close_copies();
    }
    return at;
}

/* Grid: any number of blocks up to the number of items. PRODUCTS: few_products or group_products, of so many eights of
 * rows of x. */
template <int FORMAT, int SUBGROUPS, bool ONE, template <int, int, bool, int> class PRODUCTS>
DEVICE void walk_few(const ffai__cuda_product_few_args &args, uint8_t *shared)
{
    let_next_begin();
    few_frame f = find_frame<FORMAT, SUBGROUPS>(args, shared);
    few_place at = {};
    enter_item(at, f, (int)blockIdx.x);
    few_source source = begin_weights<FORMAT, SUBGROUPS>(f, at);
    wait_for_previous();
    f.num_rows = (int)rows_of(args.step, args.of_outputs);
    f.input_tiles = (f.num_rows + ROW_TILE - 1) / ROW_TILE;
    if (!f.num_rows) {
        wait_for_copies<0>();
        return;
    }
    few_place ahead = begin_input<FORMAT, SUBGROUPS, PRODUCTS<FORMAT, SUBGROUPS, ONE, 1>::grouped>(f, at);
    while (is_there(at, f)) {
        const int tiles = tiles_of(f, group_of(f, at.item));
        if (tiles > 2)
            multiply_item<FORMAT, SUBGROUPS, PRODUCTS<FORMAT, SUBGROUPS, ONE, 4>>(f, at, ahead, source);
        else if (tiles == 2)
            multiply_item<FORMAT, SUBGROUPS, PRODUCTS<FORMAT, SUBGROUPS, ONE, 2>>(f, at, ahead, source);
        else
            multiply_item<FORMAT, SUBGROUPS, PRODUCTS<FORMAT, SUBGROUPS, ONE, 1>>(f, at, ahead, source);
    }
    wait_for_copies<0>();
}

#endif
