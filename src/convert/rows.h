/* Rows of a tensor, made by several threads and written in their order. The bytes are the same for any number of
 * threads: a row is made by one of them, from that row alone. */
#ifndef FFAI_CONVERT_ROWS_H
#define FFAI_CONVERT_ROWS_H

#include <stdatomic.h>

#include "safetensors_writer.h"
#include "thread_pool.h"

/* A thread's room for one row in its several forms. */
typedef struct ffai__row_room {
    uint8_t *codes; /* [columns] */
    float *values;  /* [columns] */
    float *scales;  /* [columns] */
    float *biases;  /* [columns] */
    uint8_t *bytes; /* [columns * 8] */
} ffai__row_room;

typedef struct ffai__rows {
    ffai__thread_pool *pool;
    ffai__row_room *rooms; /* one a thread */
    uint8_t *block;        /* rows on their way to the file */
    size_t block_bytes;
    uint64_t done; /* bytes handed to the writer */
    uint64_t total;
    bool (*progress)(void *context, uint64_t done, uint64_t total); /* false cancels; may be NULL */
    void *context;
} ffai__rows;

/* Room for rows of at most so many columns. threads 0: one for each core that this process may use. Free with
 * ffai__rows_close, also after a failure. */
ffai_status ffai__rows_open(ffai__rows *rows, int64_t columns, int threads, ffai_error *err);
void ffai__rows_close(ffai__rows *rows);

/* Tell progress how far it is. FFAI_E_CANCELLED. */
ffai_status ffai__rows_report(ffai__rows *rows, ffai_error *err);

/* Make one row at out, on any thread; false refuses it. */
typedef bool ffai__row_maker(void *context, void *out, int64_t row, ffai__row_room *room);

/* Write `count` rows of row_bytes each. *refused receives the first row that its maker refused, or -1: then not all
 * of the rows were written. */
ffai_status ffai__rows_write(int64_t *refused, ffai__rows *rows, ffai__safetensors_writer *writer, int64_t count,
                             size_t row_bytes, ffai__row_maker *make, void *context, ffai_error *err);
/* Write bytes as they are. */
ffai_status ffai__rows_copy(ffai__rows *rows, ffai__safetensors_writer *writer, const void *bytes, uint64_t size,
                            ffai_error *err);

#endif
