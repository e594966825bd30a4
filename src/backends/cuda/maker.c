#include "maker.h"

#include <string.h>

#include "alloc.h"

static ffai__cuda_operation *grow(ffai__maker *m)
{
    if (m->of->num_operations == m->capacity && !m->failed) {
        const size_t capacity = 2 * m->capacity + 64;
        ffai__cuda_operation *grown = ffai__realloc(m->of->operations, capacity, sizeof *grown);
        m->failed = grown == NULL;
        if (grown) {
            m->of->operations = grown;
            m->capacity = capacity;
        }
    }
    return m->failed ? &m->ignored : &m->of->operations[m->of->num_operations++];
}

static void join_results(ffai__maker *m);

ffai__cuda_operation *ffai__maker_emit(ffai__maker *m, ffai__cuda_kernel kernel, ffai__value rows_of, const char *part,
                                       const void *args, size_t args_bytes)
{
    if (m->num_parted)
        join_results(m);
    ffai__cuda_operation *operation = grow(m);
    *operation = (ffai__cuda_operation){.kernel = kernel, .blocks = 1, .threads = FFAI__CUDA_THREADS, .part = part};
    operation->instruction = m->instruction;
    operation->of_outputs = rows_of != FFAI__NONE && m->run->program->values[rows_of].rows == FFAI__ROWS_R;
    operation->args_bytes = args_bytes;
    memcpy(operation->args, args, args_bytes);
    return operation;
}

void ffai__maker_over_work(ffai__cuda_operation *operation, int64_t threads_a_row)
{
    operation->grid = FFAI__CUDA_GRID_WORK;
    operation->work = (uint64_t)threads_a_row;
}

int64_t ffai__maker_columns(const ffai__maker *m, ffai__value value)
{
    return m->run->program->values[value].columns;
}

bool ffai__maker_is_of_outputs(const ffai__maker *m, ffai__value value)
{
    return m->run->program->values[value].rows == FFAI__ROWS_R;
}

bool ffai__maker_is_one_row(const ffai__maker *m, ffai__value value)
{
    return (ffai__maker_is_of_outputs(m, value) ? m->of->outputs : m->of->rows) == 1;
}

int32_t ffai__maker_rows(const ffai__maker *m, ffai__value value)
{
    return ffai__maker_is_of_outputs(m, value) ? m->of->outputs : m->of->rows;
}

int32_t ffai__maker_row_tiles(const ffai__maker *m, ffai__value value)
{
    return (ffai__maker_rows(m, value) + 7) / 8;
}

unsigned ffai__maker_shared_room(const ffai__maker *m)
{
    return (unsigned)m->run->plan->opened.shared_bytes - FFAI__CUDA_STATIC_SHARED_BYTES;
}

bool ffai__maker_skips_select(const ffai__maker *m)
{
    return m->of->rows == 1 && m->of->outputs == 1 && !m->run->options.keep_values;
}

float *ffai__maker_address(const ffai__maker *m, ffai__value value)
{
    const ffai__program *program = m->run->program;
    const int32_t producer = program->values[value].producer;
    if (producer >= 0 && program->instructions[producer].op == FFAI__OP_select_rows && ffai__maker_skips_select(m))
        value = program->instructions[producer].in[0];
    return ffai__cuda_pointer(m->run->values[value]);
}

const float *ffai__maker_vector(const ffai__maker *m, ffai__value value)
{
    return value == FFAI__NONE ? NULL : ffai__cuda_pointer(m->run->plan->vectors[value]);
}

static void join_results(ffai__maker *m)
{
    ffai__cuda_join_args args = {
        .step = m->run->step, .num_results = m->num_parted, .of_outputs = ffai__maker_is_of_outputs(m, m->parted_rows)};
    int64_t columns = 0;
    for (int32_t i = 0; i < m->num_parted; i++) {
        args.results[i] = m->parted[i];
        columns = m->parted[i].columns > columns ? m->parted[i].columns : columns;
    }
    m->num_parted = 0;
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, FFAI__CUDA_KERNEL_join, m->parted_rows, "join", &args, sizeof args);
    operation->threads = FFAI__CUDA_ELEMENT_THREADS;
    ffai__maker_over_work(operation, (columns + 3) / 4);
}

ffai__cuda_parted ffai__maker_take_result(ffai__maker *m, ffai__value value)
{
    ffai__cuda_parted result = {.y = ffai__maker_address(m, value), .columns = ffai__maker_columns(m, value)};
    for (int32_t i = 0; i < m->num_parted; i++) {
        if (m->parted[i].y == result.y) {
            result = m->parted[i];
            m->parted[i] = m->parted[--m->num_parted];
        }
    }
    return result;
}
