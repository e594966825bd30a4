/* The CUDA backend's plan and run.
 *
 * A plan holds a device's context, the kernels, and the program's weights in device memory: matrices in tiles
 * (kernels/args.h), vectors in float32. A run turns the program into launches, gives each activation a place in one
 * workspace, and captures the launches into graphs, one for each class of row counts, when a step of that class first
 * comes. A step is a message that the device reads and one launch of a graph. */
#ifndef FFAI_CUDA_CUDA_H
#define FFAI_CUDA_CUDA_H

#include "backend.h"
#include "cuda_kernels.h"
#include "kernels/args.h"

/* A device as this process has opened it. */
typedef struct ffai__cuda_context_and_kernels {
    const ffai__cuda_driver *driver;
    ffai__cuda_device device;
    ffai__cuda_context context; /* NULL: not retained */
    int number;
    int compute; /* 90 for compute capability 9.0 */
    int multiprocessors;
    int shared_bytes; /* that a block may have */
    bool has_wgmma;   /* the device has it, and the kernels are compiled for it */
    char name[128];
    ffai__cuda_kernels kernels;
} ffai__cuda_opened;

typedef struct ffai__cuda_plan {
    ffai__plan base;
    ffai__cuda_opened opened;
    ffai__activations activations;
    ffai__tuning tuning;         /* what it was asked for */
    ffai__cuda_matrix *matrices; /* [values] words NULL for other values */
    uint64_t *vectors;           /* [values] addresses of norm weights and biases, 0 for other values */
    bool *around_attention;      /* [instructions] see attention_products.h */
    ffai__cuda_address weights;
    uint64_t weight_bytes;
    uint64_t matrix_bytes; /* of these, the matrices' */
} ffai__cuda_plan;

/* The driver's context is the thread's from enter to leave. */
ffai_status ffai__cuda_enter(const ffai__cuda_opened *opened, ffai_error *err);
void ffai__cuda_leave(const ffai__cuda_opened *opened);
/* Open device `number`, then load the kernels; what was opened before a failure stays for ffai__cuda_close_device. */
ffai_status ffai__cuda_open_device(ffai__cuda_opened *opened, int number, ffai_error *err);
ffai_status ffai__cuda_open_kernels(ffai__cuda_opened *opened, ffai_error *err);
void ffai__cuda_close_device(ffai__cuda_opened *opened);

/* Bytes that weights, stores and workspace could take on device `number` now, with something held back for the rest.
 * FFAI_E_ARGUMENT if there is no such device. */
ffai_status ffai__cuda_memory_available(uint64_t *bytes, int number, ffai_error *err);
/* Memory, refused with the numbers where there is not enough; what: "weights", "keys and values". */
ffai_status ffai__cuda_allocate(ffai__cuda_address *address, uint64_t bytes, const char *what,
                                const ffai__cuda_opened *opened, ffai_error *err);

/* Give the program's weights their layout and size, then bring them into device memory (pack.c). */
ffai_status ffai__cuda_plan_weights(ffai__cuda_plan *plan, ffai_error *err);
ffai_status ffai__cuda_pack(ffai__cuda_plan *plan, const ffai__plan_options *options, ffai_error *err);
void ffai__cuda_unpack(ffai__cuda_plan *plan);
/* Bytes of a matrix in tiles. */
uint64_t ffai__cuda_matrix_bytes(const ffai__cuda_matrix *matrix);

static inline void *ffai__cuda_pointer(ffai__cuda_address address)
{
    return (void *)(uintptr_t)address;
}

enum {
    FFAI__CUDA_SLOTS = 4,        /* messages to the device, and results from it, that may be on their way */
    FFAI__CUDA_MOST_ARGS = 1024, /* bytes of a kernel's argument */
    FFAI__CUDA_THREADS = 256,    /* of a block, unless a launch says otherwise */
    FFAI__CUDA_FEW_ROWS = 8      /* attention of no more rows than these has its context in parts */
};

/* How many blocks a launch has, by the rows of the step's class. */
typedef enum ffai__cuda_grid {
    FFAI__CUDA_GRID_FIXED,       /* blocks */
    FFAI__CUDA_GRID_WORK,        /* enough threads for rows * work, up to some for each multiprocessor */
    FFAI__CUDA_GRID_ROWS,        /* a block a row, `blocks` in the second dimension */
    FFAI__CUDA_GRID_TILES,       /* blocks, and in the second dimension one for each rows_a_block */
    FFAI__CUDA_GRID_ROW_TILES,   /* the same the other way round: neighbours have the same part of the matrix */
    FFAI__CUDA_GRID_ATTEND,      /* a block a row; `blocks` key/value heads; parts of the context */
    FFAI__CUDA_GRID_ATTEND_MANY, /* `blocks` for each tile of at most rows_a_block rows of one sequence */
} ffai__cuda_grid;

/* One kernel of a step. */
typedef struct ffai__cuda_operation {
    ffai__cuda_kernel kernel;
    ffai__cuda_grid grid;
    bool of_outputs; /* rows are R, not T */
    unsigned blocks;
    unsigned parts;        /* GRID_ATTEND: of the context */
    uint64_t work;         /* GRID_WORK: threads for each row */
    unsigned rows_a_block; /* GRID_TILES, GRID_ROW_TILES, GRID_ATTEND_MANY */
    unsigned threads;
    unsigned shared_bytes;
    const ffai__instruction *instruction;
    const char *part;          /* of the instruction, for profiles */
    double bytes, flops_a_row; /* of weights that it reads, and of its products for each row */
    bool attends;              /* reads keys and values */
    size_t args_bytes;
    _Alignas(16) uint8_t args[FFAI__CUDA_MOST_ARGS];
} ffai__cuda_operation;

/* Steps of up to `rows` rows and `outputs` output rows run the same graph, those that only take largest logits one with
 * less in it. */
typedef struct ffai__cuda_class {
    int32_t rows, outputs;
    bool greedy; /* what is drawn is the largest logit as it is */
    ffai__cuda_operation *operations;
    size_t num_operations;
    ffai__cuda_graph_exec graph; /* NULL until a step needs it */
} ffai__cuda_class;

typedef struct ffai__cuda_profile ffai__cuda_profile;

typedef struct ffai__cuda_run {
    ffai__run base;
    ffai__cuda_plan *plan;
    const ffai__program *program;
    ffai__run_options options;
    ffai__tuning tuning;
    ffai__cuda_stream stream;
    ffai__cuda_event done[FFAI__CUDA_SLOTS]; /* the step in this slot */

    ffai__cuda_class *classes; /* [num_classes] by rows, then outputs, then greedy ones first */
    size_t num_classes;

    ffai__cuda_address workspace;
    uint64_t workspace_bytes;
    uint64_t *values;      /* [values] addresses of activations */
    uint64_t *angles;      /* [instructions] address of a rope's table, of those that share one the same */
    uint64_t *frequencies; /* [instructions] and of its inv_freq */
    uint64_t pieces, sums;
    uint64_t pieces_bytes, sums_bytes;
    uint64_t partials;
    uint64_t arrived, arrived_bytes;
    uint64_t tiles;      /* of rows, for attention of many */
    int32_t tile_rows;   /* at most, in one of these */
    int32_t tile_blocks; /* of one of these, at most */
    uint64_t few_sums;   /* of products of a few rows, in parts */
    uint64_t sample_scratch;
    ffai__cuda_step step; /* where a step's data lies on the device */
    ffai__cuda_begin_args begin;
    int32_t splits; /* parts that a context is cut into at most, as tuned */

    ffai__cuda_address stores;
    uint64_t store_bytes;
    ffai__cuda_store *each; /* [stores] */
    uint64_t *groups;       /* [groups] address of page 0 */
    uint64_t *page_bytes;   /* [groups] */

    uint8_t *messages;              /* host memory [slots][message_stride] */
    ffai__cuda_drawn *drawn;        /* host memory [slots][max_outputs] */
    ffai__cuda_drawn *device_drawn; /* the same, as the device addresses it */
    uint32_t *shadow;               /* what the device's block tables hold; UINT32_MAX: nothing yet */
    int32_t *told;                  /* [max_sequences] positions of the slot's sequence whose pages the device knows */
    uint64_t num_entries;
    float *logits;                          /* [max_outputs][vocab_size] */
    uint32_t number;                        /* of the next step */
    uint32_t numbers[FFAI__MOST_AHEAD + 1]; /* of the steps that have results: the last one, the one before … */

    ffai__cuda_profile *profile; /* NULL until it is first asked for */
    bool profiling;
} ffai__cuda_run;

/* The workspace's size; or allocate it, with places for activations and the rest (places.c). What of the device a
 * layout rests on, its multiprocessors, is known of an open one. */
ffai_status ffai__cuda_measure_places(ffai__cuda_run *run, ffai_error *err);
ffai_status ffai__cuda_make_places(ffai__cuda_run *run, ffai_error *err);
/* Set the run's splits, of which there are places for any tuning. */
void ffai__cuda_choose_splits(ffai__cuda_run *run);
/* Parts that the context is in where tiles of rows attend to it, in steps of up to `rows` rows (places.c). */
int32_t ffai__cuda_attend_splits(const ffai__cuda_run *run, int32_t rows);
/* The operations of a class of steps (operations.c). */
ffai_status ffai__cuda_make_operations(ffai__cuda_class *of, ffai__cuda_run *run, ffai_error *err);
/* Launch one operation of a class into the run's stream. */
ffai_status ffai__cuda_launch_operation(const ffai__cuda_run *run, const ffai__cuda_class *of,
                                        ffai__cuda_operation *operation, ffai_error *err);
/* Launch a class's operations, one after the other, into the run's stream (launch.c). */
ffai_status ffai__cuda_launch_operations(const ffai__cuda_run *run, const ffai__cuda_class *of, ffai_error *err);
/* The class of a step, its graph made if there is none yet. */
ffai_status ffai__cuda_class_of(ffai__cuda_class **out, ffai__cuda_run *run, const ffai__step *step, bool greedy,
                                ffai_error *err);
/* Let all classes' operations and graphs go, none of which may be running; steps make them anew. */
void ffai__cuda_drop_graphs(ffai__cuda_run *run);
/* Launch one kernel with dynamic shared memory. */
ffai_status ffai__cuda_launch_kernel(const ffai__cuda_opened *opened, ffai__cuda_stream stream,
                                     ffai__cuda_kernel kernel, const unsigned grid[3], unsigned threads,
                                     unsigned shared_bytes, void *args, ffai_error *err);

#endif
