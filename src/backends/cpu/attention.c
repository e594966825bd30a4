/* Keys and values in pages, and attention over them.
 *
 * The context is cut into spans of FFAI__SPAN_TOKENS positions, always at the same places. A span's softmax gives a
 * partial result, and partial results are merged in order: so a row's result does not depend on which thread had
 * which span, nor on the rows beside it. */
#include <string.h>

#include "cpu.h"

enum { SPAN_PAGES = FFAI__SPAN_TOKENS / FFAI__PAGE_TOKENS, BLOCK_QUERIES = 32, ITEMS_A_THREAD = 4 };

static const ffai__dtype dtype_of_format[FFAI__STORE_FORMATS] = {
    [FFAI__STORE_BF16] = FFAI__BF16, [FFAI__STORE_F16] = FFAI__F16, [FFAI__STORE_F32] = FFAI__F32};

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

/* Queries of neighbouring rows of one sequence that share a key/value head. Later rows see later positions. */
typedef struct block {
    const ffai__page_ref *table;
    int kv_head;
    int count;
    const float *queries[BLOCK_QUERIES];
    int64_t begin[BLOCK_QUERIES]; /* positions that each sees */
    int64_t end[BLOCK_QUERIES];
} block;

/* Where the results of a span go: a query's partial is `stride` floats behind the one before. */
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

uint64_t ffai__cpu_attention_scratch(int head_dim)
{
    const uint64_t partial = (uint64_t)(ffai__padded_dim(head_dim) + FFAI__PARTIAL_EXTRA);
    return BLOCK_QUERIES * (FFAI__SPAN_TOKENS + 2 * partial);
}

static uint8_t *page_keys(const layer *l, const block *b, int64_t page, int kv_head)
{
    const ffai__cpu_store *store = l->store;
    const uint64_t head = (uint64_t)store->head_dim * FFAI__PAGE_TOKENS * l->element_bytes;
    return store->pages.data + b->table[page].page * store->page_bytes + (uint64_t)kv_head * head;
}

static uint8_t *page_values(const layer *l, const block *b, int64_t page, int kv_head)
{
    const ffai__cpu_store *store = l->store;
    const uint64_t head = (uint64_t)store->padded_dim * FFAI__PAGE_TOKENS * l->element_bytes;
    return store->pages.data + b->table[page].page * store->page_bytes + store->keys_bytes + (uint64_t)kv_head * head;
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
        .element_bytes = ffai__dtype_size(dtype_of_format[run->options.store_format]),
    };
}

/* One head's key: dimension d goes to row d of the page, column `token`. */
static void store_key(uint8_t *keys, const float *key, const layer *l, int64_t token)
{
    enum { PORTION = 64 };
    uint8_t rounded[PORTION * sizeof(float)];
    const size_t size = l->element_bytes;
    for (int first = 0; first < l->store->head_dim; first += PORTION) {
        const int64_t n = least(PORTION, l->store->head_dim - first);
        ffai__from_f32(rounded, dtype_of_format[l->run->options.store_format], key + first, (size_t)n);
        for (int64_t d = 0; d < n; d++)
            memcpy(keys + ((size_t)(first + d) * FFAI__PAGE_TOKENS + (size_t)token) * size, rounded + (size_t)d * size,
                   size == 2 ? 2 : 4);
    }
}

static void store_head(const layer *l, const block *b, int64_t position, int kv_head, const float *key,
                       const float *value)
{
    const int64_t page = position / FFAI__PAGE_TOKENS;
    const int64_t token = position % FFAI__PAGE_TOKENS;
    uint8_t *values = page_values(l, b, page, kv_head) + (size_t)(token * l->store->padded_dim) * l->element_bytes;
    store_key(page_keys(l, b, page, kv_head), key, l, token);
    ffai__from_f32(values, dtype_of_format[l->run->options.store_format], value, (size_t)l->store->head_dim);
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

/* Positions of a span that query i sees, counted from the span's first. */
static ffai__share seen(const block *b, int i, int64_t base, int64_t tokens)
{
    const int64_t begin = most(b->begin[i] - base, 0);
    const int64_t end = least(b->end[i] - base, tokens);
    return (ffai__share){begin, most(begin, end)};
}

static void score_page(const layer *l, const block *b, int64_t page, float *scores)
{
    const int64_t base = page * FFAI__PAGE_TOKENS;
    int first = 0;
    int last = b->count;
    while (first < last && b->end[first] <= base)
        first++;
    while (last > first && b->begin[last - 1] >= base + FFAI__PAGE_TOKENS)
        last--;
    if (first < last)
        l->run->plan->kernels->scores[l->run->options.store_format](
            scores + first * FFAI__SPAN_TOKENS, b->queries + first, last - first, page_keys(l, b, page, b->kv_head),
            l->store->head_dim);
}

/* Queries that see the same tokens of the page share its values' way into the registers. */
static void sum_page(const layer *l, const block *b, int64_t page, const float *weights, partials out)
{
    const int64_t base = page * FFAI__PAGE_TOKENS;
    const uint8_t *values = page_values(l, b, page, b->kv_head);
    for (int i = 0; i < b->count;) {
        const ffai__share tokens = seen(b, i, base, FFAI__PAGE_TOKENS);
        int n = 1;
        for (; i + n < b->count; n++) {
            const ffai__share next = seen(b, i + n, base, FFAI__PAGE_TOKENS);
            if (next.begin != tokens.begin || next.end != tokens.end)
                break;
        }
        if (tokens.end > tokens.begin)
            l->run->plan->kernels->accumulate[l->run->options.store_format](
                out.first + i * out.stride, out.stride, weights + i * FFAI__SPAN_TOKENS, n, values, (int)tokens.begin,
                (int)tokens.end, l->store->padded_dim);
        i += n;
    }
}

/* The partial results of one span, for the queries that see some of it. */
static void attend_span(const layer *l, const block *b, int64_t span, float *scores, partials out)
{
    const int64_t base = span * FFAI__SPAN_TOKENS;
    const int64_t end = least(base + FFAI__SPAN_TOKENS, b->end[b->count - 1]);
    const int64_t first_page = most(base, b->begin[0]) / FFAI__PAGE_TOKENS;
    const int64_t last_page = (end - 1) / FFAI__PAGE_TOKENS;
    for (int64_t page = first_page; page <= last_page; page++)
        score_page(l, b, page, scores + (page * FFAI__PAGE_TOKENS - base));
    for (int i = 0; i < b->count; i++) {
        const ffai__share tokens = seen(b, i, base, FFAI__SPAN_TOKENS);
        float *partial = out.first + i * out.stride;
        if (tokens.end == tokens.begin)
            continue;
        memset(partial, 0, (size_t)l->store->padded_dim * sizeof *partial);
        l->run->plan->kernels->softmax(partial + l->store->padded_dim, scores + i * FFAI__SPAN_TOKENS,
                                       (int)tokens.begin, (int)tokens.end, l->scale);
    }
    for (int64_t page = first_page; page <= last_page; page++)
        sum_page(l, b, page, scores + (page * FFAI__PAGE_TOKENS - base), out);
}

/* Add the queries of a row's heads [head, head + heads) to the block. */
static void add_queries(block *b, const layer *l, const float *row, int head, int heads, int64_t position)
{
    for (int i = 0; i < heads; i++) {
        b->queries[b->count] = row + (int64_t)(head + i) * l->store->head_dim;
        b->begin[b->count] = l->window ? most(position - l->window + 1, 0) : 0;
        b->end[b->count] = position + 1;
        b->count++;
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

static float *partial_of(const layer *l, int64_t head, int64_t span)
{
    float *all = (float *)(void *)(l->run->workspace.data + l->run->partials.offset);
    return all + (head * l->run->max_spans + span) * l->partial_floats;
}

/* One row: (head block, span) pairs are shared out; partial results go where ffai__cpu_merge finds them. */
static void attend_one_row(const ffai__cpu_worker *w, const ffai__action *a, const layer *l)
{
    const int64_t position = w->run->step->positions[0];
    const int64_t begin = l->window ? most(position - l->window + 1, 0) : 0;
    const int64_t first_span = begin / FFAI__SPAN_TOKENS;
    const int64_t spans = position / FFAI__SPAN_TOKENS - first_span + 1;
    const int64_t head_blocks = (int64_t)l->store->heads * blocks_of_kv_head(l);
    const ffai__share items = ffai__share_of(head_blocks * spans, w->thread, w->num_threads);
    for (int64_t item = items.begin; item < items.end; item++) {
        const head_block heads = head_block_of(l, item / spans);
        const int64_t span = first_span + item % spans;
        block b = {.table = w->run->step->sequences[0].tables[l->group], .kv_head = heads.kv_head};
        add_queries(&b, l, ffai__cpu_value(w, a->x), heads.first, heads.count, position);
        const partials out = {partial_of(l, heads.first, span), w->run->max_spans * l->partial_floats};
        attend_span(l, &b, span, ffai__cpu_scratch(w), out);
    }
}

/* Each thread merges every head for itself: the next product wants the whole row. */
void ffai__cpu_merge(const ffai__cpu_worker *w, const ffai__action *a)
{
    if (w->run->mode != FFAI__ONE_ROW)
        return;
    const layer l = layer_of(w->run, a);
    const ffai__kernels *kernels = w->run->plan->kernels;
    const int64_t position = w->run->step->positions[0];
    const int64_t begin = l.window ? most(position - l.window + 1, 0) : 0;
    const int64_t first = begin / FFAI__SPAN_TOKENS;
    float *total = ffai__cpu_scratch(w);
    float *y = ffai__cpu_value(w, a->y);
    for (int64_t head = 0; head < (int64_t)l.store->heads * l.heads_per_kv; head++) {
        memcpy(total, partial_of(&l, head, first), (size_t)l.partial_floats * sizeof *total);
        for (int64_t span = first + 1; span <= position / FFAI__SPAN_TOKENS; span++)
            kernels->merge(total, partial_of(&l, head, span), l.store->padded_dim);
        kernels->finish(y + head * l.store->head_dim, total, l.store->head_dim, l.store->padded_dim);
    }
}

/* Merge a span's partial results into the totals of the queries that see some of it. */
static void merge_span(const layer *l, const block *b, int64_t span, partials totals, partials parts)
{
    for (int i = 0; i < b->count; i++) {
        const ffai__share tokens = seen(b, i, span * FFAI__SPAN_TOKENS, FFAI__SPAN_TOKENS);
        float *total = totals.first + i * totals.stride;
        const float *part = parts.first + i * parts.stride;
        if (tokens.end == tokens.begin)
            continue;
        if (span == b->begin[i] / FFAI__SPAN_TOKENS)
            memcpy(total, part, (size_t)l->partial_floats * sizeof *total);
        else
            l->run->plan->kernels->merge(total, part, l->store->padded_dim);
    }
}

/* Rows [first, last) of one sequence for one block of heads. */
static void attend_rows(const ffai__cpu_worker *w, const ffai__action *a, const layer *l, head_block heads,
                        int32_t first, int32_t last)
{
    const int64_t columns = ffai__cpu_columns(w->run, a->x);
    const float *x = ffai__cpu_value(w, a->x);
    float *y = ffai__cpu_value(w, a->y);
    float *scores = ffai__cpu_scratch(w);
    const partials parts = {scores + BLOCK_QUERIES * FFAI__SPAN_TOKENS, l->partial_floats};
    const partials totals = {parts.first + BLOCK_QUERIES * parts.stride, l->partial_floats};
    block b = {.table = ffai__cpu_sequence(w->run, first)->tables[l->group], .kv_head = heads.kv_head};
    for (int32_t t = first; t < last; t++)
        add_queries(&b, l, x + t * columns, heads.first, heads.count, w->run->step->positions[t]);
    for (int64_t span = b.begin[0] / FFAI__SPAN_TOKENS; span * FFAI__SPAN_TOKENS < b.end[b.count - 1]; span++) {
        attend_span(l, &b, span, scores, parts);
        merge_span(l, &b, span, totals, parts);
    }
    for (int i = 0; i < b.count; i++)
        l->run->plan->kernels->finish(y + (b.queries[i] - x), totals.first + i * totals.stride, l->store->head_dim,
                                      l->store->padded_dim);
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
    return most(1, least(fair, BLOCK_QUERIES / heads_of_block(l)));
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
    if (w->run->mode == FFAI__ONE_ROW)
        attend_one_row(w, a, &l);
    else
        attend_many_rows(w, a, &l);
}
