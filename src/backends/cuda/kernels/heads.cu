/* What stands between the products and attention: heads are normed and turned, keys and values stored. */
#include "pages.cuh"
#include "results.cuh"

enum { THREADS = FFAI__CUDA_HEADS_THREADS, WARP = 32 };

/* A head of a row, as a warp prepares it, and what is done to it. */
typedef struct head_input {
    const float *x;    /* [head_dim] shared memory */
    const float *norm; /* NULL: not normed */
    const float *angles;
    float scale; /* of the norm */
    int dims;    /* that are turned */
} head_input;

DEVICE float norm_scale(const float *x, int head_dim, float eps)
{
    float squares = 0;
    for (int d = threadIdx.x % WARP; d < head_dim; d += WARP)
        squares = fmaf(x[d], x[d], squares);
    return 1.0f / sqrtf(warp_sum(squares) / (float)head_dim + eps);
}

DEVICE float normed(const head_input &in, int d)
{
    return in.norm ? in.x[d] * in.scale * in.norm[d] : in.x[d];
}

/* Number d of the head, which is turned together with the one half of the dims away. */
DEVICE float turned(const head_input &in, int d)
{
    const int half = in.dims / 2;
    if (d >= in.dims)
        return normed(in, d);
    const int i = d < half ? d : d - half;
    const float cosine = in.angles[i];
    const float sine = in.angles[half + i];
    const float low = normed(in, i);
    const float high = normed(in, i + half);
    return d < half ? low * cosine - high * sine : high * cosine + low * sine;
}

/* A head of a row, in four columns for each lane at a time, to the warp's shared memory. */
DEVICE const float *take_head(const ffai__cuda_parted &from, int64_t t, int head, int head_dim)
{
    DYNAMIC_SHARED(float, shared);
    float *x = shared + threadIdx.x / WARP * head_dim;
    __syncwarp(); /* the one before it has been read */
    for (int d = threadIdx.x % WARP * 4; d < head_dim; d += WARP * 4)
        write_four(x, take_result(from, t, head * head_dim + d), d, head_dim);
    __syncwarp();
    return x;
}

DEVICE head_input find_head(const ffai__cuda_heads_args &args, const float *x, const float *norm, float eps, int64_t t)
{
    head_input in = {x, norm, nullptr, 0, args.angles ? args.dims : 0};
    in.angles = args.angles ? args.angles + t * args.dims : nullptr;
    in.scale = norm ? norm_scale(x, args.store.head_dim, eps) : 0;
    return in;
}

DEVICE void turn_query(const ffai__cuda_heads_args &args, int64_t t, int head)
{
    const int head_dim = args.store.head_dim;
    const float *x = take_head(args.q, t, head, head_dim);
    const head_input in = find_head(args, x, args.q_norm, args.q_eps, t);
    for (int d = threadIdx.x % WARP; d < head_dim; d += WARP)
        args.turned[(t * args.heads + head) * head_dim + d] = turned(in, d);
}

DEVICE uint8_t *page_for(const ffai__cuda_heads_args &args, const ffai__cuda_row &row)
{
    return args.store.pages + page_of(args.step, args.store, row.slot, row.position) * args.store.page_bytes;
}

DEVICE void store_key(const ffai__cuda_heads_args &args, int64_t t, int head)
{
    const ffai__cuda_store &store = args.store;
    const ffai__cuda_row row = args.step.rows[t];
    uint8_t *page = page_for(args, row);
    const float *x = take_head(args.keys, t, head, store.head_dim);
    const head_input in = find_head(args, x, args.k_norm, args.k_eps, t);
    for (int d = threadIdx.x % WARP; d < store.head_dim; d += WARP)
        store_number(page, key_index(store, head, row.position) + d, turned(in, d), store.format);
}

DEVICE void store_value(const ffai__cuda_heads_args &args, int64_t t, int head)
{
    const ffai__cuda_store &store = args.store;
    const ffai__cuda_row row = args.step.rows[t];
    uint8_t *page = page_for(args, row);
    const float *x = take_head(args.values, t, head, store.head_dim);
    for (int d = threadIdx.x % WARP; d < store.head_dim; d += WARP)
        store_number(page, value_index(store, head, d, row.position), x[d], store.format);
}

/* A warp has a query head of a row, a key or a value. Attention begins only when the product before is done. */
KERNEL(heads, ffai__cuda_heads_args, THREADS)
{
    wait_for_previous();
    let_next_begin(); /* and not before: attend.cu relies on it */
    const int queries = args.turned ? args.heads : 0;
    const int per_row = queries + 2 * args.store.heads;
    const uint32_t count = (uint32_t)args.step.sizes->num_rows * (uint32_t)per_row; /* 32 bits are divided far faster */
    const uint32_t warps = gridDim.x * (THREADS / WARP);
    for (uint32_t i = blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP; i < count; i += warps) {
        const int64_t t = i / (uint32_t)per_row;
        const int head = (int)(i % (uint32_t)per_row);
        if (head < queries)
            turn_query(args, t, head);
        else if (head < queries + args.store.heads)
            store_key(args, t, head - queries);
        else
            store_value(args, t, head - queries - args.store.heads);
    }
}
