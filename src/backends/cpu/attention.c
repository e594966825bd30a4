/* Keys and values in pages, and attention over them.
 *
 * The context is cut into stretches of FFAI__STRETCH_TOKENS positions and these into spans of FFAI__SPAN_TOKENS, always
 * at the same places. A stretch gives a partial result, span after span: each span's softmax is taken at once, and
 * what was summed before is scaled where the maximum rises. Partial results are merged in order. So a row's result
 * does not depend on which thread had which stretch, nor on the rows beside it. */
#include <math.h>
#include <string.h>

#include "cpu.h"

enum {
    SPAN_PAGES = FFAI__SPAN_TOKENS / FFAI__PAGE_TOKENS,
    BLOCK_QUERIES = 64,
    WIDENED_QUERIES = 12, /* so many share a page that it is made float32 once for all */
    ITEMS_A_THREAD = 4
};

/* One layer's attention in this step. */
typedef struct layer {
    const ffai__cpu_run *run;
    const ffai__cpu_store *store;
    int group; /* of block tables */
    int heads_per_kv;
    int partial_floats;
    float scale;
    int64_t window;
    size_t element_bytes;
} layer;

/* Queries of neighbouring rows of one sequence that share a key/value head, row after row. Later rows see later
 * positions. */
typedef struct block {
    const ffai__page_ref *table;
    int kv_head;
    int rows;
    int heads;                /* of a row */
    const int32_t *positions; /* [rows] */
    const float *queries;     /* [rows][heads][head_dim] */
} block;

/* Where the results of a stretch go: a query's partial is `stride` floats behind the one before. */
typedef struct partials {
    float *first;
    int64_t stride;
} partials;

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A thread's scratch: queries, weights of a span, a page in float32, partials of a stretch and of all before. */
typedef struct scratch {
    float *queries;
    float *scores;
    float *page;
    float *parts;
    float *totals;
} scratch;

static scratch divide_scratch(float *all, int padded_dim)
{
    scratch s = {.queries = all};
    s.scores = s.queries + (int64_t)BLOCK_QUERIES * padded_dim;
    s.page = s.scores + BLOCK_QUERIES * FFAI__SCORES_STRIDE;
    s.parts = s.page + (int64_t)FFAI__PAGE_TOKENS * padded_dim;
    s.totals = s.parts + (int64_t)BLOCK_QUERIES * (padded_dim + FFAI__PARTIAL_EXTRA);
    return s;
}

uint64_t ffai__cpu_attention_scratch(int head_dim)
{
    const uint64_t padded_dim = (uint64_t)ffai__padded_dim(head_dim);
    return BLOCK_QUERIES * (padded_dim + FFAI__SCORES_STRIDE) + FFAI__PAGE_TOKENS * padded_dim +
           2 * BLOCK_QUERIES * (padded_dim + FFAI__PARTIAL_EXTRA);
}

static uint8_t *page_keys(const layer *l, const block *b, int64_t page, int kv_head)
{
    const ffai__cpu_store *store = l->store;
    const uint64_t head = (uint64_t)store->head_dim * FFAI__PAGE_TOKENS * l->element_bytes;
    return store->pages + b->table[page].page * store->stride + (uint64_t)kv_head * head;
}

static uint8_t *page_values(const layer *l, const block *b, int64_t page, int kv_head)
{
    const ffai__cpu_store *store = l->store;
    const uint64_t head = (uint64_t)store->padded_dim * FFAI__PAGE_TOKENS * l->element_bytes;
    return store->pages + b->table[page].page * store->stride + store->keys_bytes + (uint64_t)kv_head * head;
}

static layer layer_of(const ffai__cpu_run *run, const ffai__action *a)
{
    const ffai__cpu_store *store = &run->stores[a->store];
    const int heads = a->instruction->attributes.attention.num_attention_heads;
    return (layer){
        .run = run,
        .store = store,
        .group = run->program->stores[a->store].group,
        .heads_per_kv = heads / store->heads,
        .partial_floats = store->padded_dim + FFAI__PARTIAL_EXTRA,
        .scale = a->instruction->attributes.attention.scale,
        .window = a->instruction->attributes.attention.window,
        .element_bytes = ffai__dtype_size(ffai__store_dtype(run->options.store_format)),
    };
}

static void store_head(const layer *l, const block *b, int64_t position, int kv_head, const float *key,
                       const float *value)
{
    const ffai__kernels *kernels = l->run->plan->kernels;
    const ffai__store_format format = l->run->options.store_format;
    const int64_t page = position / FFAI__PAGE_TOKENS;
    const uint64_t token = (uint64_t)position % FFAI__PAGE_TOKENS;
    const uint64_t row_bytes = (uint64_t)l->store->padded_dim * l->element_bytes;
    kernels->store_key[format](page_keys(l, b, page, kv_head) + token * l->element_bytes, key, l->store->head_dim);
    kernels->store_value[format](page_values(l, b, page, kv_head) + token * row_bytes, value, l->store->head_dim);
}

/* One row: heads are shared out. Many: rows. Padding of values stays zero, as the pages began. */
void ffai__cpu_store_rows(const ffai__cpu_worker *w, const ffai__action *a)
{
    const ffai__cpu_run *run = w->run;
    const layer l = layer_of(run, a);
    const bool one = run->mode == FFAI__ONE_ROW;
    const int64_t columns = ffai__cpu_columns(run, a->x);
    ffai__share rows = {0, 1};
    ffai__share heads = {0, l.store->heads};
    if (one)
        heads = ffai__share_of(heads.end, w->thread, w->num_threads);
    else
        rows = ffai__share_of(run->step->num_rows, w->thread, w->num_threads);
    const float *keys = ffai__cpu_value(w, a->x);
    const float *values = ffai__cpu_value(w, a->z);
    for (int64_t t = rows.begin; t < rows.end; t++) {
        const block b = {.table = ffai__cpu_sequence(run, (int32_t)t)->tables[l.group]};
        for (int64_t h = heads.begin; h < heads.end; h++) {
            const int64_t at = t * columns + h * l.store->head_dim;
            store_head(&l, &b, run->step->positions[t], (int)h, keys + at, values + at);
        }
    }
}

static int64_t first_seen(const layer *l, int64_t position)
{
    return l->window ? most(position - l->window + 1, 0) : 0;
}

/* Of `tokens` positions from base on those that a row of the block sees, counted from base. */
static ffai__share seen(const layer *l, const block *b, int row, int64_t base, int64_t tokens)
{
    const int64_t begin = most(first_seen(l, b->positions[row]) - base, 0);
    const int64_t end = least(b->positions[row] + 1 - base, tokens);
    return (ffai__share){begin, most(begin, end)};
}

static bool is_empty(ffai__share share)
{
    return share.begin == share.end;
}

/* Keys or values of a page as the kernels shall read them: in float32 where many queries do. What is read ahead is
 * asked for once, by whoever reads the stored page. */
typedef struct operand {
    const void *data;
    const void *ahead;
    ffai__store_format format;
} operand;

static operand operand_of(const layer *l, const block *b, const uint8_t *stored, float *widened, int dim,
                          const uint8_t *ahead)
{
    const ffai__store_format format = l->run->options.store_format;
    if (format == FFAI__STORE_F32 || b->rows * b->heads < WIDENED_QUERIES)
        return (operand){stored, ahead, format};
    l->run->plan->kernels->widen[format](widened, stored, (int64_t)FFAI__PAGE_TOKENS * dim, ahead);
    return (operand){widened, widened, FFAI__STORE_F32};
}

static void score_page(const layer *l, const block *b, int64_t page, const scratch *s, const uint8_t *ahead)
{
    const int64_t base = page * FFAI__PAGE_TOKENS;
    int first = 0;
    int last = b->rows;
    while (first < last && is_empty(seen(l, b, first, base, FFAI__PAGE_TOKENS)))
        first++;
    while (last > first && is_empty(seen(l, b, last - 1, base, FFAI__PAGE_TOKENS)))
        last--;
    if (first == last)
        return;
    const operand keys = operand_of(l, b, page_keys(l, b, page, b->kv_head), s->page, l->store->head_dim, ahead);
    const int64_t query = (int64_t)first * b->heads;
    l->run->plan->kernels->scores[keys.format](s->scores + query * FFAI__SCORES_STRIDE + base % FFAI__SPAN_TOKENS,
                                               b->queries + query * l->store->head_dim, (last - first) * b->heads,
                                               keys.data, l->store->head_dim, keys.ahead);
}

/* Rows from `row` on that see the same tokens of a page. */
static int rows_alike(const layer *l, const block *b, int row, int64_t base)
{
    const ffai__share tokens = seen(l, b, row, base, FFAI__PAGE_TOKENS);
    int n = 1;
    for (; row + n < b->rows; n++) {
        const ffai__share next = seen(l, b, row + n, base, FFAI__PAGE_TOKENS);
        if (next.begin != tokens.begin || next.end != tokens.end)
            break;
    }
    return n;
}

/* Queries that see the same tokens of the page share its values' way into the registers. */
static void sum_page(const layer *l, const block *b, int64_t page, const scratch *s, partials out, const uint8_t *ahead)
{
    const int64_t base = page * FFAI__PAGE_TOKENS;
    const float *weights = s->scores + base % FFAI__SPAN_TOKENS;
    const operand values = operand_of(l, b, page_values(l, b, page, b->kv_head), s->page, l->store->padded_dim, ahead);
    for (int row = 0, n = 0; row < b->rows; row += n) {
        const ffai__share tokens = seen(l, b, row, base, FFAI__PAGE_TOKENS);
        const int64_t query = (int64_t)row * b->heads;
        n = rows_alike(l, b, row, base);
        if (!is_empty(tokens))
            l->run->plan->kernels->accumulate[values.format](
                out.first + query * out.stride, out.stride, weights + query * FFAI__SCORES_STRIDE, n * b->heads,
                values.data, (int)tokens.begin, (int)tokens.end, l->store->padded_dim, values.ahead);
    }
}

/* The span's scores become weights, and what is summed already is brought to their maximum. */
static void weigh_span(const layer *l, const block *b, int64_t base, const scratch *s, partials out)
{
    for (int row = 0; row < b->rows; row++) {
        const ffai__share tokens = seen(l, b, row, base, FFAI__SPAN_TOKENS);
        for (int64_t i = (int64_t)row * b->heads; !is_empty(tokens) && i < (int64_t)(row + 1) * b->heads; i++)
            l->run->plan->kernels->softmax(out.first + i * out.stride, s->scores + i * FFAI__SCORES_STRIDE,
                                           (int)tokens.begin, (int)tokens.end, l->scale, l->store->padded_dim);
    }
}

/* Pages [first, last) of one span. What is read next is asked for while something is computed. */
static void attend_span(const layer *l, const block *b, int64_t first, int64_t last, const scratch *s, partials out,
                        bool more)
{
    const uint8_t *values = page_values(l, b, first, b->kv_head);
    for (int64_t page = first; page < last; page++)
        score_page(l, b, page, s, page + 1 < last ? page_keys(l, b, page + 1, b->kv_head) : values);
    weigh_span(l, b, first / SPAN_PAGES * FFAI__SPAN_TOKENS, s, out);
    for (int64_t page = first; page < last; page++) {
        const uint8_t *ahead = page_values(l, b, page, b->kv_head);
        if (page + 1 < last)
            ahead = page_values(l, b, page + 1, b->kv_head);
        else if (more)
            ahead = page_keys(l, b, page + 1, b->kv_head);
        sum_page(l, b, page, s, out, ahead);
    }
}

/* The partial results of one stretch, for the queries that see some of it. */
static void attend_stretch(const layer *l, const block *b, int64_t stretch, const scratch *s, partials out)
{
    const int64_t base = stretch * FFAI__STRETCH_TOKENS;
    const int64_t end = least(base + FFAI__STRETCH_TOKENS, b->positions[b->rows - 1] + 1);
    const int64_t last = (end + FFAI__PAGE_TOKENS - 1) / FFAI__PAGE_TOKENS;
    for (int i = 0; i < b->rows * b->heads; i++) {
        float *partial = out.first + i * out.stride;
        memset(partial, 0, (size_t)l->partial_floats * sizeof *partial);
        partial[l->store->padded_dim] = -INFINITY;
    }
    for (int64_t page = most(base, first_seen(l, b->positions[0])) / FFAI__PAGE_TOKENS; page < last;) {
        const int64_t next = least((page / SPAN_PAGES + 1) * SPAN_PAGES, last);
        attend_span(l, b, page, next, s, out, next < last);
        page = next;
    }
}

/* Heads are taken BLOCK_QUERIES at a time where more of them share a key/value head. */
static int heads_of_block(const layer *l)
{
    return (int)least(l->heads_per_kv, BLOCK_QUERIES);
}

static int blocks_of_kv_head(const layer *l)
{
    return (l->heads_per_kv + BLOCK_QUERIES - 1) / BLOCK_QUERIES;
}

/* Head block number i: its key/value head, its first head, and how many there are. */
typedef struct head_block {
    int kv_head;
    int first;
    int count;
} head_block;

static head_block head_block_of(const layer *l, int64_t i)
{
    const int per_kv = blocks_of_kv_head(l);
    const int kv_head = (int)i / per_kv;
    const int begin = (int)i % per_kv * BLOCK_QUERIES;
    return (head_block){kv_head, kv_head * l->heads_per_kv + begin, (int)least(BLOCK_QUERIES, l->heads_per_kv - begin)};
}

/* Rows [first, last) of one sequence, for some heads of one key/value head. The queries of several rows are brought
 * together: far apart, they would fall out of the nearest cache. */
static block block_of(const ffai__cpu_worker *w, const ffai__action *a, const layer *l, head_block heads, int32_t first,
                      int32_t last, const scratch *s)
{
    const int64_t columns = ffai__cpu_columns(w->run, a->x);
    const int64_t floats = (int64_t)heads.count * l->store->head_dim;
    const float *x = ffai__cpu_value(w, a->x) + first * columns + (int64_t)heads.first * l->store->head_dim;
    for (int32_t t = 0; last - first > 1 && t < last - first; t++)
        memcpy(s->queries + t * floats, x + t * columns, (size_t)floats * sizeof *x);
    return (block){.table = ffai__cpu_sequence(w->run, first)->tables[l->group],
                   .kv_head = heads.kv_head,
                   .rows = last - first,
                   .heads = heads.count,
                   .positions = w->run->step->positions + first,
                   .queries = last - first > 1 ? s->queries : x};
}

static int rows_of_full_block(const layer *l)
{
    return BLOCK_QUERIES / heads_of_block(l);
}

/* Rows [first, last) of one sequence, and the stretches of its context that they see. */
typedef struct row_block {
    int32_t first;
    int32_t last;
    ffai__share stretches;
} row_block;

/* The block of rows behind this one, false behind the last. Zeros stand before the first. */
static bool next_row_block(row_block *rows, const ffai__cpu_run *run, const layer *l)
{
    const ffai__step *step = run->step;
    rows->first = rows->last;
    if (rows->first == step->num_rows)
        return false;
    const ffai__step_sequence *sequence = ffai__cpu_sequence(run, rows->first);
    rows->last = (int32_t)least(rows->first + rows_of_full_block(l), sequence->first_row + sequence->num_rows);
    rows->stretches = (ffai__share){first_seen(l, step->positions[rows->first]) / FFAI__STRETCH_TOKENS,
                                    step->positions[rows->last - 1] / FFAI__STRETCH_TOKENS + 1};
    return true;
}

/* Partials lie as [head block][stretch][row][head], so that those of a block's queries follow one another. */
static float *partial_of(const layer *l, int64_t heads, int64_t stretch, int64_t row)
{
    float *all = (float *)(void *)(l->run->workspace.data + l->run->partials.offset);
    const int64_t index = ((heads * l->run->max_stretches + stretch) * FFAI__FEW_ROWS + row) * heads_of_block(l);
    return all + index * l->partial_floats;
}

uint64_t ffai__cpu_attention_partials(int heads, int kv_heads, int head_dim)
{
    const int blocks = (heads / kv_heads + BLOCK_QUERIES - 1) / BLOCK_QUERIES;
    const int64_t all = (int64_t)kv_heads * blocks * least(heads / kv_heads, BLOCK_QUERIES);
    return (uint64_t)(all * FFAI__FEW_ROWS * (ffai__padded_dim(head_dim) + FFAI__PARTIAL_EXTRA));
}

/* Few rows: their stretches are shared out too, as items (block of rows, stretch, block of heads). */
static void attend_few_rows(const ffai__cpu_worker *w, const ffai__action *a, const layer *l)
{
    const int64_t head_blocks = (int64_t)l->store->heads * blocks_of_kv_head(l);
    const scratch s = divide_scratch(ffai__cpu_scratch(w), l->store->padded_dim);
    row_block rows = {.last = 0};
    int64_t before = 0; /* items of earlier blocks of rows */
    int64_t count = 0;  /* items of this one */
    for (;;) {
        const int64_t item = atomic_fetch_add_explicit(&w->run->cursors[a->index], 1, memory_order_relaxed);
        while (item - before >= count) {
            before += count;
            if (!next_row_block(&rows, w->run, l))
                return;
            count = head_blocks * (rows.stretches.end - rows.stretches.begin);
        }
        const int64_t heads = (item - before) % head_blocks;
        const int64_t stretch = rows.stretches.begin + (item - before) / head_blocks;
        const block b = block_of(w, a, l, head_block_of(l, heads), rows.first, rows.last, &s);
        attend_stretch(l, &b, stretch, &s, (partials){partial_of(l, heads, stretch, rows.first), l->partial_floats});
    }
}

/* Few rows: the partial results of one row's head, in order. */
static void merge_head(const ffai__cpu_worker *w, const ffai__action *a, const layer *l, int64_t row, int64_t head)
{
    const ffai__kernels *kernels = w->run->plan->kernels;
    const int64_t position = w->run->step->positions[row];
    const int64_t of_kv = head % l->heads_per_kv;
    const int64_t heads = head / l->heads_per_kv * blocks_of_kv_head(l) + of_kv / BLOCK_QUERIES;
    const int64_t offset = of_kv % BLOCK_QUERIES * l->partial_floats;
    int64_t stretch = first_seen(l, position) / FFAI__STRETCH_TOKENS;
    float *total = ffai__cpu_scratch(w);
    memcpy(total, partial_of(l, heads, stretch, row) + offset, (size_t)l->partial_floats * sizeof *total);
    for (stretch++; stretch <= position / FFAI__STRETCH_TOKENS; stretch++)
        kernels->merge(total, partial_of(l, heads, stretch, row) + offset, l->store->padded_dim);
    float *y = ffai__cpu_value(w, a->y) + row * ffai__cpu_columns(w->run, a->y) + head * l->store->head_dim;
    kernels->finish(y, total, l->store->head_dim, l->store->padded_dim);
}

/* One row: each thread merges every head for itself, as the next product wants the whole row. More: rows. */
void ffai__cpu_merge(const ffai__cpu_worker *w, const ffai__action *a)
{
    const int32_t num_rows = w->run->step->num_rows;
    if (num_rows > FFAI__FEW_ROWS)
        return;
    const layer l = layer_of(w->run, a);
    ffai__share rows = {0, 1};
    if (w->run->mode == FFAI__MANY_ROWS)
        rows = ffai__share_of(num_rows, w->thread, w->num_threads);
    for (int64_t row = rows.begin; row < rows.end; row++) {
        for (int64_t head = 0; head < (int64_t)l.store->heads * l.heads_per_kv; head++)
            merge_head(w, a, &l, row, head);
    }
}

/* Merge a stretch's partial results into the totals of the queries that see some of it. */
static void merge_stretch(const layer *l, const block *b, int64_t stretch, partials totals, partials parts)
{
    for (int i = 0; i < b->rows * b->heads; i++) {
        const int row = i / b->heads;
        float *total = totals.first + i * totals.stride;
        const float *part = parts.first + i * parts.stride;
        if (is_empty(seen(l, b, row, stretch * FFAI__STRETCH_TOKENS, FFAI__STRETCH_TOKENS)))
            continue;
        if (stretch == first_seen(l, b->positions[row]) / FFAI__STRETCH_TOKENS)
            memcpy(total, part, (size_t)l->partial_floats * sizeof *total);
        else
            l->run->plan->kernels->merge(total, part, l->store->padded_dim);
    }
}

/* Rows [first, last) of one sequence for one block of heads. */
static void attend_rows(const ffai__cpu_worker *w, const ffai__action *a, const layer *l, head_block heads,
                        int32_t first, int32_t last)
{
    const int head_dim = l->store->head_dim;
    const scratch s = divide_scratch(ffai__cpu_scratch(w), l->store->padded_dim);
    const partials parts = {s.parts, l->partial_floats};
    const partials totals = {s.totals, l->partial_floats};
    const block b = block_of(w, a, l, heads, first, last, &s);
    const int64_t end = b.positions[b.rows - 1] / FFAI__STRETCH_TOKENS + 1;
    for (int64_t stretch = first_seen(l, b.positions[0]) / FFAI__STRETCH_TOKENS; stretch < end; stretch++) {
        attend_stretch(l, &b, stretch, &s, parts);
        merge_stretch(l, &b, stretch, totals, parts);
    }
    for (int i = 0; i < b.rows * b.heads; i++) {
        float *y = ffai__cpu_value(w, a->y) + (first + i / b.heads) * ffai__cpu_columns(w->run, a->y);
        l->run->plan->kernels->finish(y + (int64_t)(heads.first + i % b.heads) * head_dim,
                                      totals.first + i * totals.stride, head_dim, l->store->padded_dim);
    }
}

/* Rows [first, last) of the step, one sequence after another. */
static void attend_sequences(const ffai__cpu_worker *w, const ffai__action *a, const layer *l, head_block heads,
                             int32_t first, int32_t last)
{
    while (first < last) {
        const ffai__step_sequence *sequence = ffai__cpu_sequence(w->run, first);
        const int32_t end = (int32_t)least(last, sequence->first_row + sequence->num_rows);
        attend_rows(w, a, l, heads, first, end);
        first = end;
    }
}

/* As many rows as fill a block, or fewer where threads would find nothing to do. */
static int64_t rows_of_block(const ffai__cpu_worker *w, const layer *l, int64_t head_blocks)
{
    const int64_t fair = w->run->step->num_rows * head_blocks / (ITEMS_A_THREAD * (int64_t)w->num_threads);
    return most(1, least(fair, rows_of_full_block(l)));
}

/* Blocks of rows and heads, the longest contexts first, taken as threads come free. */
static void attend_many_rows(const ffai__cpu_worker *w, const ffai__action *a, const layer *l)
{
    const int64_t num_rows = w->run->step->num_rows;
    const int64_t head_blocks = (int64_t)l->store->heads * blocks_of_kv_head(l);
    const int64_t rows = rows_of_block(w, l, head_blocks);
    const int64_t row_blocks = (num_rows + rows - 1) / rows;
    atomic_llong *cursor = &w->run->cursors[a->index];
    for (;;) {
        const int64_t item = atomic_fetch_add_explicit(cursor, 1, memory_order_relaxed);
        if (item >= row_blocks * head_blocks)
            return;
        const int64_t first = (row_blocks - 1 - item / head_blocks) * rows;
        attend_sequences(w, a, l, head_block_of(l, item % head_blocks), (int32_t)first,
                         (int32_t)least(first + rows, num_rows));
    }
}

void ffai__cpu_attend(const ffai__cpu_worker *w, const ffai__action *a)
{
    const layer l = layer_of(w->run, a);
    if (w->run->step->num_rows <= FFAI__FEW_ROWS)
        attend_few_rows(w, a, &l);
    else
        attend_many_rows(w, a, &l);
}
