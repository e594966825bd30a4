#include "stores.h"

#include "alloc.h"

/* Layers begin on a boundary that every kind of load is content with. */
static uint64_t layer_bytes(const ffai__store *store, ffai__store_format format)
{
    const uint64_t bytes = 2 * ffai__dtype_size(ffai__store_dtype(format)) * FFAI__PAGE_TOKENS *
                           (uint64_t)store->num_key_value_heads * (uint64_t)store->head_dim;
    return (bytes + 255) / 256 * 256;
}

static bool measure(ffai__cuda_run *run)
{
    const ffai__program *program = run->program;
    for (size_t i = 0; i < program->num_stores; i++)
        run->page_bytes[program->stores[i].group] += layer_bytes(&program->stores[i], run->options.store_format);
    for (size_t g = 0; g < program->num_groups; g++) {
        uint64_t bytes = 0;
        if (!ffai__mul(&bytes, run->page_bytes[g], run->options.num_pages) ||
            !ffai__add(&run->store_bytes, run->store_bytes, bytes))
            return false;
    }
    return run->store_bytes < UINT64_MAX / 4;
}

static void place(ffai__cuda_run *run)
{
    const ffai__program *program = run->program;
    uint64_t at = run->stores;
    for (size_t g = 0; g < program->num_groups; g++) {
        uint64_t before = 0;
        run->groups[g] = at;
        for (size_t i = 0; i < program->num_stores; i++) {
            const ffai__store *store = &program->stores[i];
            if (store->group != (int)g)
                continue;
            run->each[i] = (ffai__cuda_store){
                .pages = ffai__cuda_pointer(at + before),
                .page_bytes = (int64_t)run->page_bytes[g],
                .heads = store->num_key_value_heads,
                .head_dim = store->head_dim,
                .format = (int32_t)run->options.store_format,
                .group = store->group,
            };
            before += layer_bytes(store, run->options.store_format);
        }
        at += run->page_bytes[g] * run->options.num_pages;
    }
}

ffai_status ffai__cuda_stores_measure(ffai__cuda_run *run, ffai_error *err)
{
    const ffai__program *program = run->program;
    run->each = ffai__calloc(program->num_stores, sizeof *run->each);
    run->groups = ffai__calloc(program->num_groups, sizeof *run->groups);
    run->page_bytes = ffai__calloc(program->num_groups, sizeof *run->page_bytes);
    if (!run->each || !run->groups || !run->page_bytes)
        return ffai__fail_memory(err, "a run", program->num_stores * sizeof *run->each);
    if (!measure(run))
        return ffai__fail_memory(err, "keys and values", UINT64_MAX);
    return FFAI_OK;
}

ffai_status ffai__cuda_stores_reserve(ffai__cuda_run *run, ffai_error *err)
{
    FFAI__TRY(ffai__cuda_stores_measure(run, err));
    FFAI__TRY(ffai__cuda_allocate(&run->stores, run->store_bytes, "keys and values", &run->plan->opened, err));
    place(run);
    return FFAI_OK;
}

void ffai__cuda_stores_free(ffai__cuda_run *run)
{
    if (run->stores)
        run->plan->opened.driver->memory_free(run->stores);
    ffai__free(run->page_bytes);
    ffai__free(run->groups);
    ffai__free(run->each);
}
