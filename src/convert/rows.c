#include "rows.h"

#include "alloc.h"

enum { BLOCK_BYTES = 4 << 20 };

/* ---- room ---- */

static bool make_room(ffai__row_room *room, size_t columns)
{
    *room = (ffai__row_room){
        .codes = ffai__array(columns, 1),
        .values = ffai__array(columns, sizeof(float)),
        .scales = ffai__array(columns, sizeof(float)),
        .biases = ffai__array(columns, sizeof(float)),
        .bytes = ffai__array(columns, 8),
    };
    return room->codes && room->values && room->scales && room->biases && room->bytes;
}

static void free_room(ffai__row_room *room)
{
    ffai__free(room->codes);
    ffai__free(room->values);
    ffai__free(room->scales);
    ffai__free(room->biases);
    ffai__free(room->bytes);
}

static ffai_status start_threads(ffai__rows *rows, int threads, ffai_error *err)
{
    ffai__cores *cores = NULL;
    if (threads == 0) {
        FFAI__TRY(ffai__cores_find(&cores, err));
        threads = ffai__cores_default_threads(cores);
        ffai__cores_free(cores);
    }
    return ffai__thread_pool_create(&rows->pool, threads, NULL, err);
}

ffai_status ffai__rows_open(ffai__rows *rows, int64_t columns, int threads, ffai_error *err)
{
    FFAI__TRY(start_threads(rows, threads, err));
    const int size = ffai__thread_pool_size(rows->pool);
    rows->rooms = ffai__calloc((size_t)size, sizeof *rows->rooms);
    rows->block_bytes = BLOCK_BYTES;
    rows->block = ffai__malloc(rows->block_bytes);
    bool made = rows->rooms && rows->block;
    for (int i = 0; i < size && made; i++)
        made = make_room(&rows->rooms[i], (size_t)columns);
    return made ? FFAI_OK : ffai__fail_memory(err, "rows", (uint64_t)columns * 21 * (uint64_t)size);
}

void ffai__rows_close(ffai__rows *rows)
{
    for (int i = 0; rows->rooms && i < ffai__thread_pool_size(rows->pool); i++)
        free_room(&rows->rooms[i]);
    ffai__free(rows->rooms);
    ffai__free(rows->block);
    ffai__thread_pool_free(rows->pool);
    *rows = (ffai__rows){0};
}

/* ---- rows ---- */

typedef struct {
    ffai__rows *rows;
    ffai__row_maker *make;
    void *context;
    int64_t first; /* of the block */
    int64_t count; /* in it */
    size_t row_bytes;
    _Atomic int64_t refused; /* the first so far, or INT64_MAX */
} block;

static void refuse(block *b, int64_t row)
{
    int64_t before = atomic_load(&b->refused);
    while (row < before && !atomic_compare_exchange_weak(&b->refused, &before, row)) {
    }
}

static void make_share(void *context, int thread, int num_threads)
{
    block *b = context;
    const int64_t begin = b->count * thread / num_threads;
    const int64_t end = b->count * (thread + 1) / num_threads;
    for (int64_t i = begin; i < end; i++) {
        if (!b->make(b->context, b->rows->block + (size_t)i * b->row_bytes, b->first + i, &b->rows->rooms[thread])) {
            refuse(b, b->first + i);
            return;
        }
    }
}

static ffai_status make_space(ffai__rows *rows, size_t bytes, ffai_error *err)
{
    if (bytes <= rows->block_bytes)
        return FFAI_OK;
    ffai__free(rows->block);
    rows->block_bytes = 0;
    rows->block = ffai__malloc(bytes);
    if (!rows->block)
        return ffai__fail_memory(err, "a row", bytes);
    rows->block_bytes = bytes;
    return FFAI_OK;
}

ffai_status ffai__rows_report(ffai__rows *rows, ffai_error *err)
{
    if (rows->progress && !rows->progress(rows->context, rows->done, rows->total))
        return ffai__fail(err, FFAI_E_CANCELLED, "the conversion was cancelled");
    return FFAI_OK;
}

static ffai_status write_block(ffai__rows *rows, ffai__safetensors_writer *writer, const void *bytes, size_t size,
                               ffai_error *err)
{
    FFAI__TRY(ffai__safetensors_writer_append(writer, bytes, size, err));
    rows->done += size;
    return ffai__rows_report(rows, err);
}

ffai_status ffai__rows_write(int64_t *refused, ffai__rows *rows, ffai__safetensors_writer *writer, int64_t count,
                             size_t row_bytes, ffai__row_maker *make, void *context, ffai_error *err)
{
    *refused = -1;
    FFAI__TRY(make_space(rows, row_bytes, err));
    if (row_bytes == 0)
        return FFAI_OK;
    const int64_t most = (int64_t)(rows->block_bytes / row_bytes);
    block b = {.rows = rows, .make = make, .context = context, .row_bytes = row_bytes, .refused = INT64_MAX};
    for (b.first = 0; b.first < count; b.first += b.count) {
        b.count = count - b.first < most ? count - b.first : most;
        ffai__thread_pool_run(rows->pool, make_share, &b);
        if (b.refused != INT64_MAX) {
            *refused = b.refused;
            return FFAI_OK;
        }
        FFAI__TRY(write_block(rows, writer, rows->block, (size_t)b.count * row_bytes, err));
    }
    return FFAI_OK;
}

ffai_status ffai__rows_copy(ffai__rows *rows, ffai__safetensors_writer *writer, const void *bytes, uint64_t size,
                            ffai_error *err)
{
    const uint8_t *from = bytes;
    while (size) {
        const size_t count = size < BLOCK_BYTES ? (size_t)size : BLOCK_BYTES;
        FFAI__TRY(write_block(rows, writer, from, count, err));
        from += count;
        size -= count;
    }
    return FFAI_OK;
}
