/* Operations become launches, and launches graphs. */
#include "alloc.h"
#include "cuda.h"

ffai_status ffai__cuda_launch_kernel(const ffai__cuda_opened *opened, ffai__cuda_stream stream,
                                     ffai__cuda_kernel kernel, const unsigned grid[3], unsigned threads,
                                     unsigned shared_bytes, void *args, ffai_error *err)
{
    ffai__cuda_launch_attribute overlap = {.which = FFAI__CUDA_LAUNCH_PROGRAMMATIC, .value = {.programmatic = 1}};
    const ffai__cuda_launch launch = {
        .grid_x = grid[0],
        .grid_y = grid[1],
        .grid_z = grid[2],
        .block_x = threads,
        .block_y = 1,
        .block_z = 1,
        .shared_bytes = shared_bytes,
        .stream = stream,
        .attributes = &overlap,
        .num_attributes = opened->compute >= 90 ? 1 : 0,
    };
    void *arguments[] = {args};
    return ffai__cuda_check(opened->driver,
                            opened->driver->launch(&launch, opened->kernels.functions[kernel], arguments, NULL),
                            "launching a kernel", err);
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

static void size_grid(unsigned grid[3], const ffai__cuda_run *run, const ffai__cuda_class *of,
                      const ffai__cuda_operation *operation)
{
    const uint64_t rows = (uint64_t)(operation->of_outputs ? of->outputs : of->rows);
    const uint64_t most = 16 * (uint64_t)run->plan->opened.multiprocessors;
    grid[0] = operation->blocks;
    grid[1] = grid[2] = 1;
    switch (operation->grid) {
    case FFAI__CUDA_GRID_FIXED:
        return;
    case FFAI__CUDA_GRID_WORK:
        grid[0] = (unsigned)at_most((rows * operation->work + operation->threads - 1) / operation->threads, most);
        return;
    case FFAI__CUDA_GRID_ROWS:
        grid[0] = (unsigned)at_most(rows, most);
        grid[1] = operation->blocks;
        return;
    case FFAI__CUDA_GRID_TILES:
        grid[1] = (unsigned)at_most((rows + operation->rows_a_block - 1) / operation->rows_a_block, 65535);
        return;
    case FFAI__CUDA_GRID_ROW_TILES:
        grid[0] = (unsigned)((rows + operation->rows_a_block - 1) / operation->rows_a_block);
        grid[1] = operation->blocks;
        return;
    case FFAI__CUDA_GRID_ATTEND:
        grid[0] = (unsigned)rows;
        grid[1] = operation->blocks;
        grid[2] = operation->parts;
        return;
    case FFAI__CUDA_GRID_ATTEND_MANY:
        /* A sequence's first tile and its last one need not be whole. */
        grid[0] *= (unsigned)at_most(rows / operation->rows_a_block + 2 * (uint64_t)run->options.max_sequences, rows);
        return;
    }
}

ffai_status ffai__cuda_launch_operation(const ffai__cuda_run *run, const ffai__cuda_class *of,
                                        ffai__cuda_operation *operation, ffai_error *err)
{
    unsigned grid[3];
    size_grid(grid, run, of, operation);
    return ffai__cuda_launch_kernel(&run->plan->opened, run->stream, operation->kernel, grid, operation->threads,
                                    operation->shared_bytes, operation->args, err);
}

ffai_status ffai__cuda_launch_operations(const ffai__cuda_run *run, const ffai__cuda_class *of, ffai_error *err)
{
    for (size_t i = 0; i < of->num_operations; i++)
        FFAI__TRY(ffai__cuda_launch_operation(run, of, &of->operations[i], err));
    return FFAI_OK;
}

static ffai_status capture(ffai__cuda_graph *graph, const ffai__cuda_run *run, const ffai__cuda_class *of,
                           ffai_error *err)
{
    const ffai__cuda_driver *driver = run->plan->opened.driver;
    FFAI__TRY(ffai__cuda_check(driver, driver->capture_begin(run->stream, FFAI__CUDA_CAPTURE_THREAD),
                               "capturing a step", err));
    const ffai_status launched = ffai__cuda_launch_operations(run, of, err);
    const ffai__cuda_result ended = driver->capture_end(run->stream, graph);
    return launched == FFAI_OK ? ffai__cuda_check(driver, ended, "capturing a step", err) : launched;
}

/* All of them or none. */
static ffai_status make_operations(ffai__cuda_class *of, ffai__cuda_run *run, ffai_error *err)
{
    const ffai_status status = ffai__cuda_make_operations(of, run, err);
    if (status != FFAI_OK) {
        ffai__free(of->operations);
        of->operations = NULL;
        of->num_operations = 0;
    }
    return status;
}

static ffai_status make_graph(ffai__cuda_class *of, ffai__cuda_run *run, ffai_error *err)
{
    const ffai__cuda_driver *driver = run->plan->opened.driver;
    ffai__cuda_graph graph = NULL;
    ffai_status status = of->operations ? FFAI_OK : make_operations(of, run, err);
    if (status == FFAI_OK)
        status = capture(&graph, run, of, err);
    if (status == FFAI_OK)
        status =
            ffai__cuda_check(driver, driver->graph_instantiate(&of->graph, graph, 0), "making a graph of a step", err);
    if (graph)
        driver->graph_destroy(graph);
    return status;
}

void ffai__cuda_drop_graphs(ffai__cuda_run *run)
{
    for (size_t i = 0; i < run->num_classes; i++) {
        ffai__cuda_class *of = &run->classes[i];
        if (of->graph)
            run->plan->opened.driver->graph_exec_destroy(of->graph);
        ffai__free(of->operations);
        of->graph = NULL;
        of->operations = NULL;
        of->num_operations = 0;
    }
}

ffai_status ffai__cuda_class_of(ffai__cuda_class **out, ffai__cuda_run *run, const ffai__step *step, bool greedy,
                                ffai_error *err)
{
    size_t i = 0;
    while (i + 1 < run->num_classes &&
           (run->classes[i].rows < step->num_rows || run->classes[i].outputs < step->num_outputs ||
            (run->classes[i].greedy && !greedy)))
        i++;
    *out = &run->classes[i];
    return run->classes[i].graph ? FFAI_OK : make_graph(&run->classes[i], run, err);
}
