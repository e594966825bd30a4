/* Attention over pages of 16-bit numbers.
 *
 * A warp takes whole pages. Rows 0 to 7 of mma.sync's A are the high halves of eight query heads' numbers and rows 8 to
 * 15 what these lack, so that one product with 16-bit numbers has them to 16 bits and more. Keys are B as they lie:
 * lane (g, t) takes 8 numbers at once of the key that stands for column g. The scores come out as A of the product with
 * the values wants them, which are B as they lie too.
 *
 * A column of scores stands for position 8 * (column / 2) + 2 * tile + column % 2 of the page: so a lane's scores are
 * of the eight positions that it loads together from a row of values. */
#include "few_input.cuh"
#include "halves.cuh"

enum {
    WARPS = FFAI__CUDA_ATTEND_WARPS, /* at most */
    HEADS = FFAI__CUDA_ATTEND_QUERIES,
    THREADS = WARPS * WARP,
    KEY_TILES = 4
};

/* A block's work. */
typedef struct attend_frame {
    const ffai__cuda_attend_args *args;
    int row, slot, position;
    int first; /* position that the row sees */
    int kv_head;
    int first_head; /* of its query heads, and how many */
    int num_heads;
    int warps;
    int splits; /* of them that have work */
} attend_frame;

template <int HEAD_DIM> struct attend_shared {
    float q[HEADS][HEAD_DIM];
    uint16_t key[HEAD_DIM], value[HEAD_DIM]; /* the row's own, as they are stored */
    float unscale[HEADS]; /* what scores are multiplied with: q was made smaller where f16 would not hold it */
    float largest[WARPS][HEADS];
    float total[WARPS][HEADS];
    uint32_t is_last;
    alignas(16) float sums[WARPS][HEADS][HEAD_DIM]; /* of as many warps as there are */
};
static_assert(sizeof(attend_shared<128>) <= FFAI__CUDA_ATTEND_SHARED_BYTES(128, WARPS), "args.h");

/* --- before the context: heads normed and turned --- */

/* A head's numbers in a warp: lane l has those of dimension l, l + 32 … */
template <int HEAD_DIM> struct head_numbers {
    float x[HEAD_DIM / WARP];
};

template <int HEAD_DIM> DEVICE head_numbers<HEAD_DIM> load_head(const float *from, bool there)
{
    head_numbers<HEAD_DIM> head;
#pragma unroll
    for (int i = 0; i < HEAD_DIM / WARP; i++)
        head.x[i] = there ? from[i * WARP + threadIdx.x % WARP] : 0;
    return head;
}

/* What a head is normed and turned with: lane l has the norm's weights as it has the head's numbers, and of the angles
 * those of pair l, l + 32 … */
template <int HEAD_DIM> struct head_turn {
    enum { PAIRS = (HEAD_DIM / 2 + WARP - 1) / WARP };
    head_numbers<HEAD_DIM> q_norm, k_norm;
    float cosine[PAIRS], sine[PAIRS];
};

template <int HEAD_DIM> DEVICE head_turn<HEAD_DIM> load_turn(const ffai__cuda_attend_args &args, int row)
{
    head_turn<HEAD_DIM> turn;
    const int half = args.dims / 2;
    turn.q_norm = load_head<HEAD_DIM>(args.q_norm, args.q_norm);
    turn.k_norm = load_head<HEAD_DIM>(args.k_norm, args.k_norm);
#pragma unroll
    for (int i = 0; i < head_turn<HEAD_DIM>::PAIRS; i++) {
        const int pair = i * WARP + threadIdx.x % WARP;
        const bool there = args.angles && pair < half;
        turn.cosine[i] = there ? args.angles[2 * row * half + pair] : 1;
        turn.sine[i] = there ? args.angles[(2 * row + 1) * half + pair] : 0;
    }
    return turn;
}

template <int HEAD_DIM>
DEVICE void norm_head(head_numbers<HEAD_DIM> &head, const head_numbers<HEAD_DIM> &norm, float eps)
{
    float squares = 0;
    for (int i = 0; i < HEAD_DIM / WARP; i++)
        squares = fmaf(head.x[i], head.x[i], squares);
    const float scale = 1.0f / sqrtf(warp_sum(squares) / (float)HEAD_DIM + eps);
    for (int i = 0; i < HEAD_DIM / WARP; i++)
        head.x[i] = head.x[i] * scale * norm.x[i];
}

/* Into `to` [head_dim]. */
template <int HEAD_DIM>
DEVICE void turn_head(float *to, const head_numbers<HEAD_DIM> &head, const head_turn<HEAD_DIM> &turn,
                      const ffai__cuda_attend_args &args)
{
    const int lane = threadIdx.x % WARP;
    const int half = args.dims / 2;
#pragma unroll
    for (int i = 0; i < HEAD_DIM / WARP; i++)
        to[i * WARP + lane] = head.x[i];
    __syncwarp();
#pragma unroll
    for (int i = 0; i < head_turn<HEAD_DIM>::PAIRS; i++) {
        const int pair = i * WARP + lane;
        if (!args.angles || pair >= half)
            continue;
        const float low = to[pair];
        const float high = to[pair + half];
        to[pair] = low * turn.cosine[i] - high * turn.sine[i];
        to[pair + half] = high * turn.cosine[i] + low * turn.sine[i];
    }
    __syncwarp();
}

/* Which numbers a warp prepares: a query head's, and of the fused row the key's or the value's. The last two warps have
 * no query head where a key/value head has six or fewer. */
DEVICE bool prepares_key(const attend_frame &f)
{
    return f.args->fused && (int)threadIdx.x / WARP == f.warps - 2;
}

DEVICE bool prepares_value(const attend_frame &f)
{
    return f.args->fused && (int)threadIdx.x / WARP == f.warps - 1;
}

/* A warp for query head `number`; heads that are not there are zero. */
template <int FORMAT, int HEAD_DIM>
DEVICE void take_query(attend_shared<HEAD_DIM> &shared, const attend_frame &f, int number, head_numbers<HEAD_DIM> head,
                       const head_turn<HEAD_DIM> &turn)
{
    const ffai__cuda_attend_args &args = *f.args;
    const int lane = threadIdx.x % WARP;
    float *q = shared.q[number];
    if (number < f.num_heads && args.fused) {
        if (args.q_norm)
            norm_head(head, turn.q_norm, args.q_eps);
        turn_head(q, head, turn, args);
    } else {
        for (int i = 0; i < HEAD_DIM / WARP; i++)
            q[i * WARP + lane] = head.x[i];
        __syncwarp();
    }
    float largest = 0;
    for (int d = lane; d < HEAD_DIM; d += WARP)
        largest = fmaxf(largest, fabsf(q[d]));
    largest = warp_max(largest);
    const float shrink = FORMAT == STORE_F16 && largest > 16384.0f ? 16384.0f / largest : 1.0f;
    for (int d = lane; d < HEAD_DIM; d += WARP)
        q[d] *= shrink;
    if (lane == 0)
        shared.unscale[number] = args.attention.scale * 1.44269504f / shrink; /* scores in powers of two */
}

/* The row's own key and value: where they are used from, and by one of the blocks where they stay. */
template <int HEAD_DIM>
DEVICE void take_key(attend_shared<HEAD_DIM> &shared, const attend_frame &f, head_numbers<HEAD_DIM> head,
                     const head_turn<HEAD_DIM> &turn, uint16_t *page)
{
    const ffai__cuda_attend_args &args = *f.args;
    const ffai__cuda_store &store = args.attention.store;
    float *key = shared.sums[0][0];
    if (args.k_norm)
        norm_head(head, turn.k_norm, args.k_eps);
    turn_head(key, head, turn, args);
    for (int d = threadIdx.x % WARP; d < HEAD_DIM; d += WARP) {
        shared.key[d] = stored_bits(key[d], store.format);
        if (page)
            page[key_index(store, f.kv_head, f.position) + d] = shared.key[d];
    }
}

template <int HEAD_DIM>
DEVICE void take_value(attend_shared<HEAD_DIM> &shared, const attend_frame &f, const head_numbers<HEAD_DIM> &head,
                       uint16_t *page)
{
    const ffai__cuda_store &store = f.args->attention.store;
#pragma unroll
    for (int i = 0; i < HEAD_DIM / WARP; i++) {
        const int d = i * WARP + threadIdx.x % WARP;
        shared.value[d] = stored_bits(head.x[i], store.format);
        if (page)
            page[value_index(store, f.kv_head, d, f.position)] = shared.value[d];
    }
}

/* --- a page --- */

/* What a warp has of the context so far; lane (g, t): head g. */
template <int HEAD_DIM> struct attend_state {
    uint32_t q[HEAD_DIM / 16][4];
    float sums[HEAD_DIM / 8][4]; /* [tile of 8 dimensions] of the scores' high halves and, the last two, the rest */
    float largest, total, unscale;
};

template <int FORMAT, int HEAD_DIM>
DEVICE void begin_state(attend_state<HEAD_DIM> &state, const attend_shared<HEAD_DIM> &shared)
{
    const int g = threadIdx.x % WARP / 4;
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int step = 0; step < HEAD_DIM / 16; step++) {
        const float *q = shared.q[g] + step / 2 * 32 + t * 8 + step % 2 * 4;
        split_pair<FORMAT>(state.q[step][0], state.q[step][1], q[0], q[1]);
        split_pair<FORMAT>(state.q[step][2], state.q[step][3], q[2], q[3]);
    }
#pragma unroll
    for (int tile = 0; tile < HEAD_DIM / 8; tile++) {
        for (int i = 0; i < 4; i++)
            state.sums[tile][i] = 0;
    }
    state.largest = -INFINITY;
    state.total = 0;
    state.unscale = shared.unscale[g];
}

/* What a lane has of a page's keys and values. */
template <int HEAD_DIM> struct page_data {
    uint4 keys[KEY_TILES][HEAD_DIM / 32];
    uint4 values[HEAD_DIM / 8];

    DEVICE_MEMBER void load_keys(const uint16_t *keys_from)
    {
        const int g = threadIdx.x % WARP / 4;
        const int t = threadIdx.x % 4;
#pragma unroll
        for (int tile = 0; tile < KEY_TILES; tile++) {
            const uint4 *row = vectors_at<const uint4>(keys_from + (g / 2 * 8 + tile * 2 + g % 2) * HEAD_DIM) + t;
#pragma unroll
            for (int i = 0; i < HEAD_DIM / 32; i++)
                keys[tile][i] = row[i * 4];
        }
    }

    DEVICE_MEMBER void load_values(const uint16_t *values_from)
    {
        const int g = threadIdx.x % WARP / 4;
        const int t = threadIdx.x % 4;
#pragma unroll
        for (int tile = 0; tile < HEAD_DIM / 8; tile++)
            values[tile] = vectors_at<const uint4>(values_from + (tile * 8 + g) * PAGE_TOKENS)[t];
    }

    /* The fused row's own, which memory need not have yet. */
    DEVICE_MEMBER void put_own(const attend_shared<HEAD_DIM> &shared, int position)
    {
        const int g = threadIdx.x % WARP / 4;
        const int t = threadIdx.x % 4;
        const int at = position % PAGE_TOKENS;
#pragma unroll
        for (int tile = 0; tile < KEY_TILES; tile++) {
            if (g / 2 * 8 + tile * 2 + g % 2 != at)
                continue;
#pragma unroll
            for (int i = 0; i < HEAD_DIM / 32; i++)
                keys[tile][i] = *vectors_at<const uint4>(shared.key + i * 32 + t * 8);
        }
        if (at / 8 != t)
            return;
        const int pair = at % 8 / 2;
        const int shift = at % 2 * 16;
        const uint32_t others = 0xFFFF0000u >> shift;
#pragma unroll
        for (int tile = 0; tile < HEAD_DIM / 8; tile++) {
            const uint32_t own = (uint32_t)shared.value[tile * 8 + g] << shift;
            uint4 &v = values[tile];
            v.x = pair == 0 ? (v.x & others) | own : v.x;
            v.y = pair == 1 ? (v.y & others) | own : v.y;
            v.z = pair == 2 ? (v.z & others) | own : v.z;
            v.w = pair == 3 ? (v.w & others) | own : v.w;
        }
    }
};

/* Scores of the page's 32 positions: [tile][2], of head g and positions 8t + 2 * tile + 0 and 1. */
template <int FORMAT, int HEAD_DIM>
DEVICE void score_page(float (&scores)[KEY_TILES][2], const attend_state<HEAD_DIM> &state,
                       const page_data<HEAD_DIM> &page)
{
#pragma unroll
    for (int tile = 0; tile < KEY_TILES; tile++) {
        float c[4] = {0, 0, 0, 0};
#pragma unroll
        for (int i = 0; i < HEAD_DIM / 32; i++) {
            const uint4 key = page.keys[tile][i];
            multiply<FORMAT>(c, state.q[2 * i], key.x, key.y);
            multiply<FORMAT>(c, state.q[2 * i + 1], key.z, key.w);
        }
        scores[tile][0] = (c[0] + c[2]) * state.unscale;
        scores[tile][1] = (c[1] + c[3]) * state.unscale;
    }
}

/* Positions outside the row's window have no weight. */
DEVICE void mask_scores(float (&scores)[KEY_TILES][2], const attend_frame &f, int begin)
{
    const int t = threadIdx.x % 4;
    for (int tile = 0; tile < KEY_TILES; tile++) {
        for (int i = 0; i < 2; i++) {
            const int position = begin + t * 8 + tile * 2 + i;
            if (position > f.position || position < f.first)
                scores[tile][i] = -INFINITY;
        }
    }
}

/* Scores become weights in the measure of the largest so far, and so do the sums. */
template <int HEAD_DIM> DEVICE void weigh_page(float (&scores)[KEY_TILES][2], attend_state<HEAD_DIM> &state)
{
    float largest = state.largest;
    for (int tile = 0; tile < KEY_TILES; tile++)
        largest = fmaxf(largest, fmaxf(scores[tile][0], scores[tile][1]));
    largest = quad_max(largest);
    const float measure = largest == -INFINITY ? 0 : largest;
    const float shrink = exp2f(state.largest - measure);
    float total = 0;
    for (int tile = 0; tile < KEY_TILES; tile++) {
        for (int i = 0; i < 2; i++) {
            scores[tile][i] = exp2f(scores[tile][i] - measure);
            total += scores[tile][i];
        }
    }
    state.total = fmaf(state.total, shrink, total);
    state.largest = largest;
    if (!__any_sync(~0u, shrink != 1.0f))
        return;
#pragma unroll
    for (int tile = 0; tile < HEAD_DIM / 8; tile++) {
        for (int i = 0; i < 4; i++)
            state.sums[tile][i] *= shrink;
    }
}

/* Pairs of the lane's eight positions that the row sees: memory behind them may hold what is no number. */
DEVICE uint32_t seen_pair(const attend_frame &f, int begin, int pair)
{
    const int position = begin + threadIdx.x % 4 * 8 + pair * 2;
    return (position <= f.position ? 0xFFFFu : 0) | (position + 1 <= f.position ? 0xFFFF0000u : 0);
}

template <int FORMAT, int HEAD_DIM>
DEVICE void add_page(attend_state<HEAD_DIM> &state, const float (&weights)[KEY_TILES][2],
                     const page_data<HEAD_DIM> &page, const attend_frame &f, int begin)
{
    uint32_t a[2][4];
    for (int step = 0; step < 2; step++) {
        split_pair<FORMAT>(a[step][0], a[step][1], weights[2 * step][0], weights[2 * step][1]);
        split_pair<FORMAT>(a[step][2], a[step][3], weights[2 * step + 1][0], weights[2 * step + 1][1]);
    }
    const bool whole = begin + PAGE_TOKENS - 1 <= f.position;
#pragma unroll
    for (int tile = 0; tile < HEAD_DIM / 8; tile++) {
        uint4 value = page.values[tile];
        if (!whole) {
            value.x &= seen_pair(f, begin, 0);
            value.y &= seen_pair(f, begin, 1);
            value.z &= seen_pair(f, begin, 2);
            value.w &= seen_pair(f, begin, 3);
        }
        multiply<FORMAT>(state.sums[tile], a[0], value.x, value.y);
        multiply<FORMAT>(state.sums[tile], a[1], value.z, value.w);
    }
}

/* A warp's pages: every warps * splits-th one. */
struct page_walk {
    const attend_frame &f;
    const uint32_t *table;
    int page, stride, last, count;
    uint32_t ids; /* of the next 32 pages, one a lane */

    DEVICE_MEMBER page_walk(const attend_frame &f_) : f(f_), count(0), ids(0)
    {
        const ffai__cuda_attention_args &args = f.args->attention;
        table = args.step.tables + f.slot * args.step.table_stride + args.store.group * args.step.max_pages;
        stride = f.warps * f.splits;
        last = f.position / PAGE_TOKENS;
        page = f.first / PAGE_TOKENS + (int)blockIdx.z * f.warps + (int)threadIdx.x / WARP;
        look_up();
    }

    DEVICE_MEMBER void look_up()
    {
        const int own = page + threadIdx.x % WARP * stride;
        if (count % WARP == 0)
            ids = own <= last ? table[own] : 0;
    }

    DEVICE_MEMBER bool there() const
    {
        return page <= last;
    }

    DEVICE_MEMBER uint16_t *numbers() const
    {
        const ffai__cuda_store &store = f.args->attention.store;
        return reinterpret_cast<uint16_t *>(store.pages + __shfl_sync(~0u, ids, count % WARP) * store.page_bytes);
    }

    DEVICE_MEMBER void go_on()
    {
        page += stride;
        count++;
        look_up();
    }
};

template <int HEAD_DIM> DEVICE void load_page(page_data<HEAD_DIM> &data, const page_walk &walk)
{
    const ffai__cuda_store &store = walk.f.args->attention.store;
    const uint16_t *numbers = walk.numbers();
    data.load_keys(numbers + key_index(store, walk.f.kv_head, 0));
    data.load_values(numbers + value_index(store, walk.f.kv_head, 0, 0));
}

/* The first page has been loaded. The next one's keys are asked for as soon as this one's have been used, and its
 * values likewise: what is on its way takes no registers of its own. */
template <int FORMAT, int HEAD_DIM>
DEVICE void attend_pages(attend_state<HEAD_DIM> &state, page_data<HEAD_DIM> &data, page_walk &walk,
                         const attend_shared<HEAD_DIM> &shared)
{
    const attend_frame &f = walk.f;
    const ffai__cuda_store &store = f.args->attention.store;
    while (walk.there()) {
        const int page = walk.page;
        if (f.args->fused && page == walk.last)
            data.put_own(shared, f.position);
        float scores[KEY_TILES][2];
        score_page<FORMAT>(scores, state, data);
        walk.go_on();
        const bool more = walk.there();
        const uint16_t *next = more ? walk.numbers() : nullptr;
        if (more)
            data.load_keys(next + key_index(store, f.kv_head, 0));
        mask_scores(scores, f, page * PAGE_TOKENS);
        weigh_page(scores, state);
        add_page<FORMAT>(state, scores, data, f, page * PAGE_TOKENS);
        if (more)
            data.load_values(next + value_index(store, f.kv_head, 0, 0));
    }
}

/* --- after it: warps, then blocks, put together --- */

template <int HEAD_DIM> DEVICE void leave_state(attend_shared<HEAD_DIM> &shared, const attend_state<HEAD_DIM> &state)
{
    const int warp = threadIdx.x / WARP;
    const int g = threadIdx.x % WARP / 4;
    const int t = threadIdx.x % 4;
    const float total = quad_sum(state.total);
#pragma unroll
    for (int tile = 0; tile < HEAD_DIM / 8; tile++) {
        shared.sums[warp][g][tile * 8 + t * 2] = state.sums[tile][0] + state.sums[tile][2];
        shared.sums[warp][g][tile * 8 + t * 2 + 1] = state.sums[tile][1] + state.sums[tile][3];
    }
    if (t == 0) {
        shared.largest[warp][g] = state.largest;
        shared.total[warp][g] = total;
    }
}

/* How much a part's sums weigh beside those of the part with the largest score. */
DEVICE float weight_of(float largest, float most)
{
    return largest == -INFINITY ? 0 : exp2f(largest - most);
}

template <int HEAD_DIM> DEVICE float *partial_of(const attend_frame &f, int head, int split)
{
    const ffai__cuda_attention_args &args = f.args->attention;
    return args.partials + (((int64_t)f.row * args.heads + f.first_head + head) * args.splits + split) * (HEAD_DIM + 2);
}

/* Four numbers of a result, by the 16 lanes that have 64: as they are, or as the next product's input. */
template <int HEAD_DIM> DEVICE void leave_result(const attend_frame &f, int head, int d, float4 y, bool there)
{
    const ffai__cuda_attend_args &args = *f.args;
    const int column = (f.first_head + head) * HEAD_DIM + d;
    if (args.next.pieces)
        prepare_four(args.next, y, f.row, column, there);
    else if (there)
        *vectors_at<float4>(args.attention.y + (int64_t)f.row * args.attention.heads * HEAD_DIM + column) = y;
}

DEVICE float4 divided_four(float4 x, float by)
{
    return make_float4(x.x / by, x.y / by, x.z / by, x.w / by);
}

DEVICE void add_scaled(float4 &sum, float scale, float4 x)
{
    sum =
        make_float4(fmaf(scale, x.x, sum.x), fmaf(scale, x.y, sum.y), fmaf(scale, x.z, sum.z), fmaf(scale, x.w, sum.w));
}

/* The warps' sums for four numbers of a head, in the measure of the largest score: `most`. */
template <int HEAD_DIM>
DEVICE float4 sum_warps(float &total, float &most, const attend_shared<HEAD_DIM> &shared, int warps, int head, int d)
{
    float4 sum = make_float4(0, 0, 0, 0);
    most = -INFINITY;
    total = 0;
    for (int warp = 0; warp < warps; warp++)
        most = fmaxf(most, shared.largest[warp][head]);
    for (int warp = 0; warp < warps; warp++) {
        const float weight = weight_of(shared.largest[warp][head], most);
        add_scaled(sum, weight, *vectors_at<const float4>(&shared.sums[warp][head][d]));
        total = fmaf(weight, shared.total[warp][head], total);
    }
    return sum;
}

/* The block's own result: whole if it has no others beside it. Whole warps have a part of it or none. */
template <int HEAD_DIM> DEVICE void join_warps(const attend_shared<HEAD_DIM> &shared, const attend_frame &f)
{
    const int end = f.num_heads * (HEAD_DIM / 4);
    for (int i = threadIdx.x; i / WARP * WARP < end; i += blockDim.x) {
        const bool there = i < end;
        const int head = there ? i / (HEAD_DIM / 4) : 0;
        const int d = i % (HEAD_DIM / 4) * 4;
        float total;
        float most;
        const float4 sum = sum_warps(total, most, shared, f.warps, head, d);
        if (f.splits == 1) {
            leave_result<HEAD_DIM>(f, there ? head : f.num_heads, d, divided_four(sum, total), there);
            continue;
        }
        if (!there)
            continue;
        float *partial = partial_of<HEAD_DIM>(f, head, blockIdx.z);
        vectors_at<float2>(partial + d)[0] = make_float2(sum.x, sum.y);
        vectors_at<float2>(partial + d)[1] = make_float2(sum.z, sum.w);
        if (d == 0) {
            partial[HEAD_DIM] = most;
            partial[HEAD_DIM + 1] = total;
        }
    }
}

/* A split's share of a head, lane by lane; nothing behind the last. */
template <int HEAD_DIM> DEVICE void load_share(float &largest, float &total, const attend_frame &f, int head, int split)
{
    const float *partial = partial_of<HEAD_DIM>(f, head, split < f.splits ? split : 0);
    largest = split < f.splits ? partial[HEAD_DIM] : -INFINITY;
    total = split < f.splits ? partial[HEAD_DIM + 1] : 0;
}

/* A warp puts a head's splits together, four numbers a lane. They come from far: those of eight splits are on their way
 * at once. */
template <int HEAD_DIM> DEVICE void join_head(const attend_frame &f, int head)
{
    const int lane = threadIdx.x % WARP;
    const bool there = lane < HEAD_DIM / 4;
    const int d = there ? lane * 4 : 0;
    float largest;
    float total;
    float most = -INFINITY;
    for (int first = 0; first < f.splits; first += WARP) {
        load_share<HEAD_DIM>(largest, total, f, head, first + lane);
        most = fmaxf(most, warp_max(largest));
    }
    float4 sum = make_float4(0, 0, 0, 0);
    float all = 0;
    for (int first = 0; first < f.splits; first += WARP) {
        load_share<HEAD_DIM>(largest, total, f, head, first + lane);
        const float weight = weight_of(largest, most);
        all += warp_sum(weight * total);
        const int count = f.splits - first < WARP ? f.splits - first : WARP;
#pragma unroll 8
        for (int split = 0; split < count; split++) {
            const float2 *partial = vectors_at<const float2>(partial_of<HEAD_DIM>(f, head, first + split) + d);
            add_scaled(sum, __shfl_sync(~0u, weight, split),
                       make_float4(partial[0].x, partial[0].y, partial[1].x, partial[1].y));
        }
    }
    leave_result<HEAD_DIM>(f, head, d, divided_four(sum, all), there);
}

template <int HEAD_DIM> DEVICE void join_blocks(const attend_frame &f)
{
    for (int head = (int)threadIdx.x / WARP; head < f.num_heads; head += f.warps)
        join_head<HEAD_DIM>(f, head);
}

/* Whether all the others have left their parts. */
template <int HEAD_DIM> DEVICE bool comes_last(attend_shared<HEAD_DIM> &shared, const attend_frame &f)
{
    uint32_t *arrived = f.args->arrived + (int64_t)blockIdx.x * gridDim.y + blockIdx.y;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        shared.is_last = atomicAdd(arrived, 1u) == (uint32_t)f.splits - 1;
        if (shared.is_last)
            *arrived = 0;
    }
    __syncthreads();
    __threadfence();
    return shared.is_last;
}

template <int HEAD_DIM> DEVICE head_numbers<HEAD_DIM> load_query(const attend_frame &f, int number)
{
    const ffai__cuda_attention_args &args = f.args->attention;
    return load_head<HEAD_DIM>(args.q + ((int64_t)f.row * args.heads + f.first_head + number) * HEAD_DIM,
                               number < f.num_heads);
}

/* The fused row's page, if this block stores its key and value; NULL: another one does. */
DEVICE uint16_t *page_to_store(const attend_frame &f, const page_walk &walk)
{
    const ffai__cuda_store &store = f.args->attention.store;
    if ((int)blockIdx.z != (walk.last - f.first / PAGE_TOKENS) / f.warps % f.splits)
        return nullptr;
    return reinterpret_cast<uint16_t *>(store.pages + walk.table[walk.last] * store.page_bytes);
}

/* What the step's beginning and earlier steps have left, pages, tables and angles, is asked for before the fused row's
 * own numbers are there, and of others the tables. That is sound because the kernel before this one, a product or
 * `heads`, lets it begin only when what came before that is done. */
template <int FORMAT, int HEAD_DIM>
DEVICE void begin_row(attend_shared<HEAD_DIM> &shared, const attend_frame &f, page_data<HEAD_DIM> &data,
                      page_walk &walk)
{
    const ffai__cuda_attend_args &args = *f.args;
    const int first = (int)threadIdx.x / WARP;
    const int64_t own = ((int64_t)f.row * args.attention.store.heads + f.kv_head) * HEAD_DIM;
    const bool prepares = prepares_key(f) || prepares_value(f);
    const float *others = prepares_key(f) ? args.keys : args.values; // either may be null
    uint16_t *page = prepares ? page_to_store(f, walk) : nullptr;
    const head_turn<HEAD_DIM> turn = load_turn<HEAD_DIM>(args, f.row);
    if (args.fused && walk.there())
        load_page(data, walk);
    wait_for_previous();
    let_next_begin();
    const head_numbers<HEAD_DIM> query = load_query<HEAD_DIM>(f, first);
    const head_numbers<HEAD_DIM> other = load_head<HEAD_DIM>(prepares ? others + own : args.attention.q, prepares);
    if (!args.fused && walk.there())
        load_page(data, walk);
    take_query<FORMAT>(shared, f, first, query, turn);
    for (int number = first + f.warps; number < HEADS; number += f.warps)
        take_query<FORMAT>(shared, f, number, load_query<HEAD_DIM>(f, number), turn);
    if (prepares_key(f))
        take_key(shared, f, other, turn, page);
    if (prepares_value(f))
        take_value(shared, f, other, page);
}

template <int FORMAT, int HEAD_DIM> DEVICE void attend_row(attend_shared<HEAD_DIM> &shared, attend_frame &f)
{
    const int pages = f.position / PAGE_TOKENS - f.first / PAGE_TOKENS + 1;
    const int wanted = (pages + f.warps - 1) / f.warps;
    f.splits = wanted < (int)gridDim.z ? wanted : (int)gridDim.z;
    if ((int)blockIdx.z >= f.splits)
        return;
    page_walk walk(f);
    page_data<HEAD_DIM> data;
    begin_row<FORMAT>(shared, f, data, walk);
    __syncthreads();
    attend_state<HEAD_DIM> state;
    begin_state<FORMAT>(state, shared);
    attend_pages<FORMAT>(state, data, walk, shared);
    __syncthreads(); /* the key's room is free */
    leave_state(shared, state);
    __syncthreads();
    join_warps(shared, f);
    if (f.splits > 1 && comes_last(shared, f))
        join_blocks<HEAD_DIM>(f);
}

/* Grid: rows, key/value heads times groups of eight query heads, parts of the context. */
template <int FORMAT, int HEAD_DIM> DEVICE void attend(const ffai__cuda_attend_args &args)
{
    DYNAMIC_SHARED(attend_shared<HEAD_DIM>, shared);
    const ffai__cuda_attention_args &attention = args.attention;
    const int group = attention.heads / attention.store.heads;
    const int sets = (group + HEADS - 1) / HEADS;
    attend_frame f = {};
    f.args = &args;
    f.row = blockIdx.x;
    f.warps = (int)blockDim.x / WARP;
    const ffai__cuda_row row = attention.step.rows[f.row]; /* there is room for it in any case */
    if (f.row >= attention.step.sizes->num_rows)
        return;
    f.slot = row.slot;
    f.position = row.position;
    f.first = attention.window && f.position >= attention.window ? f.position - (int)attention.window + 1 : 0;
    f.kv_head = blockIdx.y / sets;
    const int before = blockIdx.y % sets * HEADS;
    f.first_head = f.kv_head * group + before;
    f.num_heads = group - before < HEADS ? group - before : HEADS;
    attend_row<FORMAT>(*shared, f);
}

#define ATTEND(head_dim)                                                                                               \
    KERNEL(attend_f16_##head_dim, ffai__cuda_attend_args, THREADS)                                                     \
    {                                                                                                                  \
        attend<STORE_F16, head_dim>(args);                                                                             \
    }                                                                                                                  \
    KERNEL(attend_bf16_##head_dim, ffai__cuda_attend_args, THREADS)                                                    \
    {                                                                                                                  \
        attend<STORE_BF16, head_dim>(args);                                                                            \
    }

ATTEND(32)
ATTEND(64)
ATTEND(96)
ATTEND(128)
