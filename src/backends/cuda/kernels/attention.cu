/* Rotary positions, keys and values in pages, and attention over them. */
#include "pages.cuh"

enum { THREADS = 256, WARP = 32, HEADS_AT_ONCE = FFAI__CUDA_ATTEND_HEADS };

/* A thread has one pair of one head, or an element behind the rotary ones. */
KERNEL(rope, ffai__cuda_rope_args, THREADS)
{
    wait_for_previous();
    let_next_begin();
    const int half = args.dims / 2;
    const int per_head = args.head_dim - half;
    const int64_t per_row = args.columns / args.head_dim * per_head;
    const int64_t count = args.step.sizes->num_rows * per_row;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < count; at += (int64_t)gridDim.x * THREADS) {
        const int64_t t = at / per_row;
        const int64_t head = at % per_row / per_head;
        const int i = (int)(at % per_head);
        const float *x = args.x + t * args.columns + head * args.head_dim;
        float *y = args.y + t * args.columns + head * args.head_dim;
        if (i >= half) {
            y[i + half] = x[i + half];
            continue;
        }
        const float cosine = args.angles[2 * t * half + i];
        const float sine = args.angles[(2 * t + 1) * half + i];
        const float low = x[i];
        const float high = x[i + half];
        y[i] = low * cosine - high * sine;
        y[i + half] = high * cosine + low * sine;
    }
}

KERNEL(kv_store, ffai__cuda_kv_store_args, THREADS)
{
    wait_for_previous();
    let_next_begin();
    const ffai__cuda_store &store = args.store;
    const int64_t columns = (int64_t)store.heads * store.head_dim;
    const int64_t count = args.step.sizes->num_rows * columns;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < count; at += (int64_t)gridDim.x * THREADS) {
        const ffai__cuda_row row = args.step.rows[at / columns];
        const int64_t column = at % columns;
        uint8_t *page = store.pages + page_of(args.step, store, row.slot, row.position) * store.page_bytes;
        const int head = (int)(column / store.head_dim);
        const int d = (int)(column % store.head_dim);
        store_number(page, key_index(store, head, row.position) + d, args.keys[at], store.format);
        store_number(page, value_index(store, head, d, row.position), args.values[at], store.format);
    }
}

/* One block's attention: some query heads of one key/value head, and what they have summed so far. */
typedef struct attend_frame {
    const ffai__cuda_attention_args *args;
    int64_t t;
    int slot, position, kv_head;
    int first_head, num_heads; /* of those computed at once */
    float *q;                  /* [num_heads][head_dim] */
    float *sums;               /* the same */
    float *weights;            /* [num_heads][STRETCH] */
    float *largest, *total;    /* [num_heads] */
} attend_frame;

DEVICE const uint8_t *page_at(const attend_frame &f, int64_t position)
{
    const ffai__cuda_store &store = f.args->store;
    return store.pages + page_of(f.args->step, store, f.slot, position) * store.page_bytes;
}

/* Every thread has a position of the stretch: its scores with all heads. */
DEVICE void score(const attend_frame &f, int64_t position, int64_t first)
{
    const ffai__cuda_store &store = f.args->store;
    const bool seen = position <= f.position && position >= first;
    float dots[HEADS_AT_ONCE] = {};
    if (seen) {
        const uint8_t *page = page_at(f, position);
        const int64_t at = key_index(store, f.kv_head, position);
        for (int d = 0; d < store.head_dim; d++) {
            const float key = stored_number(page, at + d, store.format);
            for (int h = 0; h < HEADS_AT_ONCE; h++) {
                if (h < f.num_heads)
                    dots[h] = fmaf(f.q[h * store.head_dim + d], key, dots[h]);
            }
        }
    }
    for (int h = 0; h < HEADS_AT_ONCE; h++) {
        if (h < f.num_heads)
            f.weights[h * FFAI__CUDA_STRETCH + threadIdx.x] = seen ? dots[h] * f.args->scale : -INFINITY;
    }
}

/* A warp for each head: the weights of the stretch, and what is summed so far in the measure of the new maximum. */
DEVICE void weigh(const attend_frame &f)
{
    const int lane = threadIdx.x % WARP;
    for (int h = threadIdx.x / WARP; h < f.num_heads; h += THREADS / WARP) {
        float *weights = f.weights + h * FFAI__CUDA_STRETCH;
        float most = f.largest[h];
        for (int i = lane; i < FFAI__CUDA_STRETCH; i += WARP)
            most = fmaxf(most, weights[i]);
        most = warp_max(most);
        float total = 0;
        for (int i = lane; i < FFAI__CUDA_STRETCH; i += WARP) {
            weights[i] = weights[i] == -INFINITY ? 0 : expf(weights[i] - most);
            total += weights[i];
        }
        total = warp_sum(total);
        const float shrink = f.largest[h] == -INFINITY ? 0 : expf(f.largest[h] - most);
        for (int d = lane; d < f.args->store.head_dim; d += WARP)
            f.sums[h * f.args->store.head_dim + d] *= shrink;
        __syncwarp();
        if (lane == 0) {
            f.total[h] = f.total[h] * shrink + total;
            f.largest[h] = most;
        }
    }
}

/* A thread has some of the heads' dimensions. */
DEVICE void add_values(const attend_frame &f, int64_t begin, int64_t first)
{
    const ffai__cuda_store &store = f.args->store;
    int64_t from = begin < first ? first : begin;
    int64_t to = begin + FFAI__CUDA_STRETCH;
    to = to > f.position ? f.position + 1 : to;
    for (int i = threadIdx.x; i < f.num_heads * store.head_dim; i += THREADS) {
        const int d = i % store.head_dim;
        const float *weights = f.weights + i / store.head_dim * FFAI__CUDA_STRETCH;
        float sum = f.sums[i];
        for (int64_t p = from; p < to; p++)
            sum = fmaf(weights[p - begin],
                       stored_number(page_at(f, p), value_index(store, f.kv_head, d, p), store.format), sum);
        f.sums[i] = sum;
    }
}

DEVICE void attend_stretches(const attend_frame &f)
{
    const int64_t window = f.args->window;
    const int64_t first = window && f.position >= window ? f.position - window + 1 : 0;
    for (int64_t stretch = first / FFAI__CUDA_STRETCH + blockIdx.z; stretch * FFAI__CUDA_STRETCH <= f.position;
         stretch += gridDim.z) {
        const int64_t begin = stretch * FFAI__CUDA_STRETCH;
        score(f, begin + threadIdx.x, first);
        __syncthreads();
        weigh(f);
        __syncthreads();
        add_values(f, begin, first);
        __syncthreads();
    }
}

DEVICE void start_heads(const attend_frame &f)
{
    const int dim = f.args->store.head_dim;
    const float *q = f.args->q + (f.t * f.args->heads + f.first_head) * dim;
    for (int i = threadIdx.x; i < f.num_heads * dim; i += THREADS) {
        f.q[i] = q[i];
        f.sums[i] = 0;
    }
    if (threadIdx.x < f.num_heads) {
        f.largest[threadIdx.x] = -INFINITY;
        f.total[threadIdx.x] = 0;
    }
    __syncthreads();
}

/* The result, or a part of it for attend_any_merge. */
DEVICE void finish_heads(const attend_frame &f)
{
    const int dim = f.args->store.head_dim;
    for (int i = threadIdx.x; i < f.num_heads * dim; i += THREADS) {
        const int h = i / dim;
        const int64_t head = f.t * f.args->heads + f.first_head + h;
        if (gridDim.z == 1) {
            f.args->y[head * dim + i % dim] = f.sums[i] / f.total[h];
            continue;
        }
        float *partial = f.args->partials + (head * gridDim.z + blockIdx.z) * (dim + 2);
        partial[i % dim] = f.sums[i];
        if (i % dim == 0) {
            partial[dim] = f.largest[h];
            partial[dim + 1] = f.total[h];
        }
    }
    __syncthreads();
}

/* Grid: rows (any number), key/value heads, parts of the context. */
KERNEL(attend_any, ffai__cuda_attention_args, THREADS)
{
    DYNAMIC_SHARED(float, shared);
    wait_for_previous();
    let_next_begin();
    const int dim = args.store.head_dim;
    const int group = args.heads / args.store.heads;
    attend_frame f = {};
    f.args = &args;
    f.kv_head = blockIdx.y;
    f.q = shared;
    f.sums = f.q + HEADS_AT_ONCE * dim;
    f.weights = f.sums + HEADS_AT_ONCE * dim;
    f.largest = f.weights + HEADS_AT_ONCE * FFAI__CUDA_STRETCH;
    f.total = f.largest + HEADS_AT_ONCE;
    for (f.t = blockIdx.x; f.t < args.step.sizes->num_rows; f.t += gridDim.x) {
        f.slot = args.step.rows[f.t].slot;
        f.position = args.step.rows[f.t].position;
        for (int head = 0; head < group; head += HEADS_AT_ONCE) {
            f.first_head = f.kv_head * group + head;
            f.num_heads = group - head < HEADS_AT_ONCE ? group - head : HEADS_AT_ONCE;
            start_heads(f);
            attend_stretches(f);
            finish_heads(f);
        }
    }
}

/* A warp has one head of one row: parts in order. Grid: enough warps for rows * heads, or fewer. */
KERNEL(attend_any_merge, ffai__cuda_attention_args, THREADS)
{
    wait_for_previous();
    let_next_begin();
    const int dim = args.store.head_dim;
    const int lane = threadIdx.x % WARP;
    const int64_t count = (int64_t)args.step.sizes->num_rows * args.heads;
    const int64_t stride = (int64_t)gridDim.x * (THREADS / WARP);
    for (int64_t head = (int64_t)blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP; head < count; head += stride) {
        const float *partial = args.partials + head * args.splits * (dim + 2);
        float most = -INFINITY;
        for (int i = 0; i < args.splits; i++)
            most = fmaxf(most, partial[i * (dim + 2) + dim]);
        float total = 0;
        for (int i = 0; i < args.splits; i++) {
            const float m = partial[i * (dim + 2) + dim];
            total += m == -INFINITY ? 0 : expf(m - most) * partial[i * (dim + 2) + dim + 1];
        }
        for (int d = lane; d < dim; d += WARP) {
            float sum = 0;
            for (int i = 0; i < args.splits; i++) {
                const float m = partial[i * (dim + 2) + dim];
                sum += m == -INFINITY ? 0 : expf(m - most) * partial[i * (dim + 2) + d];
            }
            args.y[head * dim + d] = sum / total;
        }
    }
}
