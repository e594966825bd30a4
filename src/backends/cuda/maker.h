/* What makes a class's operations: where it is in the program, and what has been emitted that the next kernels find. */
#ifndef FFAI_CUDA_MAKER_H
#define FFAI_CUDA_MAKER_H

#include "cuda.h"

typedef struct ffai__maker {
    ffai__cuda_run *run;
    ffai__cuda_class *of;
    const ffai__instruction *instruction;
    size_t index; /* of the instruction */
    size_t capacity;
    bool failed;
    ffai__cuda_operation ignored; /* what is emitted after a failure */
    ffai__value prepared;         /* what the prepared input is of */
    int32_t prepared_subgroups, prepared_pieces;
    ffai__cuda_order prepared_order;
    const uint32_t *pieces; /* where it is */
    const float *sums;
    ffai__cuda_parted parted[FFAI__CUDA_MATRICES]; /* results of the last product that are still in parts */
    int32_t num_parted;
    ffai__value parted_rows; /* what has their rows */
    bool *done;              /* [instructions] by another's kernel */
} ffai__maker;

/* An operation of one block of FFAI__CUDA_THREADS whose rows are those of `rows_of`; the caller changes its grid. Never
 * NULL; valid until the next one. part: for profiles, static. args: copied. Results in parts that are still there, not
 * taken by ffai__maker_take_result, are put together before it. */
ffai__cuda_operation *ffai__maker_emit(ffai__maker *m, ffai__cuda_kernel kernel, ffai__value rows_of, const char *part,
                                       const void *args, size_t args_bytes);
/* The operation's blocks follow from the threads that each row has work for. */
void ffai__maker_over_work(ffai__cuda_operation *operation, int64_t threads_a_row);

int64_t ffai__maker_columns(const ffai__maker *m, ffai__value value);
/* Whether the value has the rows of the outputs, R, rather than all, T. */
bool ffai__maker_is_of_outputs(const ffai__maker *m, ffai__value value);
/* Rows of the value in the largest step of the class. */
int32_t ffai__maker_rows(const ffai__maker *m, ffai__value value);
bool ffai__maker_is_one_row(const ffai__maker *m, ffai__value value);
/* Of eight rows each. */
int32_t ffai__maker_row_tiles(const ffai__maker *m, ffai__value value);
/* Bytes of shared memory that a block may ask for. */
unsigned ffai__maker_shared_room(const ffai__maker *m);
/* In a step of one row that is also the output row, the rows selected are the rows there are. */
bool ffai__maker_skips_select(const ffai__maker *m);

/* Where the value is, and a norm's weights or a bias; NULL for FFAI__NONE. Device memory. */
float *ffai__maker_address(const ffai__maker *m, ffai__value value);
const float *ffai__maker_vector(const ffai__maker *m, ffai__value value);
/* The value as a kernel takes it that puts results together, and that is emitted next. */
ffai__cuda_parted ffai__maker_take_result(ffai__maker *m, ffai__value value);

#endif
