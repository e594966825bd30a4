/* Attention of steps of many rows over pages of 16-bit numbers: what is read of a page is read for many queries.
 *
 * A block takes a tile, which is some rows of one sequence, one after the other, and the query heads of one key/value
 * head: up to 128 queries, 32 a warp, the heads of a row side by side. Keys and values come by stretches of 64
 * positions, two pages, into shared memory, one stretch while the one before it is computed with. Columns and rows of
 * mma.sync's fragments stand for what they do in attend.cu, but that all rows of A are queries and that queries and
 * weights are rounded to one number of 16 bits.
 *
 * Stretches begin at multiples of 64, and a row's sums go over them in order: one that the row sees nothing of adds
 * exactly nothing. So its result does not hang on the rows that share its tile. Where there would be few blocks, the
 * context is in parts: with n of them, part i has the stretches i, i + n, i + 2n … */
#include "halves.cuh"

enum {
    WARP = 32,
    THREADS = FFAI__CUDA_ATTEND_MANY_THREADS,
    WARPS = THREADS / WARP,
    WARP_QUERIES = FFAI__CUDA_ATTEND_MANY_QUERIES / WARPS,
    QUERY_TILES = WARP_QUERIES / 16,
    PAGES = FFAI__CUDA_ATTEND_MANY_PAGES, /* of a stretch */
    STRETCH = PAGES * PAGE_TOKENS,
    KEY_TILES = PAGE_TOKENS / 8, /* of a page */
    TILES_AT_ONCE = 4,           /* of dimensions */
    STAGES = 2,
    MOST_SPLITS = FFAI__CUDA_ATTEND_MANY_MOST_SPLITS,
    LISTERS = 256, /* threads of attend_tiles */
    MERGERS = 256  /* and of attend_many_merge */
};

/* --- which rows go together --- */

/* A tile begins with a sequence, and where a position is a multiple of its rows. One block. */
KERNEL(attend_tiles, ffai__cuda_attend_tiles_args, LISTERS)
{
    __shared__ int32_t counts[LISTERS / WARP];
    wait_for_previous();
    let_next_begin();
    const ffai__cuda_row *rows = args.step.rows;
    const int num_rows = args.step.sizes->num_rows;
    const int warp = threadIdx.x / WARP;
    const uint32_t before_it = (1u << threadIdx.x % WARP) - 1;
    int count = 0;
    for (int begin = 0; begin < num_rows; begin += LISTERS) {
        const int t = begin + threadIdx.x;
        const bool starts =
            t < num_rows && (t == 0 || rows[t].slot != rows[t - 1].slot || rows[t].position % args.tile_rows == 0);
        const uint32_t voted = __ballot_sync(~0u, starts);
        if (threadIdx.x % WARP == 0)
            counts[warp] = __popc(voted);
        __syncthreads();
        int at = count + __popc(voted & before_it);
        for (int i = 0; i < LISTERS / WARP; i++) {
            at += i < warp ? counts[i] : 0;
            count += counts[i];
        }
        if (starts)
            args.tiles->first_rows[at] = t;
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        args.tiles->first_rows[count] = num_rows;
        args.tiles->count = count;
    }
}

/* A block's work. */
typedef struct tile_frame {
    const ffai__cuda_attention_args *args;
    const uint32_t *table;
    int first_row, num_queries;
    int position, last; /* of the first row and of the last one */
    int first, window;  /* the first position that the first row sees; how many each does at most */
    int kv_head, first_head;
    int num_heads; /* that a row has here */
    int part;
} tile_frame;

DEVICE int position_of(const tile_frame &f, int query)
{
    return f.position + query / f.num_heads;
}

/* Whether rows from `lowest` to `highest` don't all see the whole stretch. */
DEVICE bool is_hidden(const tile_frame &f, int begin, int lowest, int highest)
{
    return begin + STRETCH - 1 > lowest || begin <= highest - f.window;
}

/* --- shared memory --- */

template <int HEAD_DIM> struct stretch_data {
    uint16_t keys[PAGES][PAGE_TOKENS * HEAD_DIM];
    uint16_t values[PAGES][HEAD_DIM * PAGE_TOKENS];

    /* Where part `part` of a key begins, 8 numbers: so that eight lanes that load parts of two keys find them in
     * different banks. */
    static DEVICE_MEMBER int key_part(int row, int part)
    {
        constexpr bool swaps = HEAD_DIM % 64 == 0;
        return (row * (HEAD_DIM / 8) + (swaps ? part ^ (row & 1) << 2 : part)) * 8;
    }
};

/* A lane's fragments of its warp's queries; no other one reads them. */
template <int HEAD_DIM> struct many_shared {
    uint4 queries[WARPS][QUERY_TILES][HEAD_DIM / 16][WARP];
    stretch_data<HEAD_DIM> stages[STAGES];
    tile_frame frame; /* here, since registers are few */
};
static_assert(sizeof(many_shared<128>) <= FFAI__CUDA_ATTEND_MANY_SHARED_BYTES(128), "args.h");
static_assert(sizeof(many_shared<96>) <= FFAI__CUDA_ATTEND_MANY_SHARED_BYTES(96), "args.h");
static_assert(sizeof(many_shared<32>) <= FFAI__CUDA_ATTEND_MANY_SHARED_BYTES(32), "args.h");

/* The pages of a stretch, looked up before they are needed. */
struct stretch_pages {
    uint32_t ids[PAGES];
    bool there[PAGES];

    DEVICE_MEMBER void look_up(const tile_frame &f, int stretch)
    {
        for (int i = 0; i < PAGES; i++) {
            const int page = stretch * PAGES + i;
            there[i] = page >= f.first / PAGE_TOKENS && page <= f.last / PAGE_TOKENS;
            ids[i] = there[i] ? f.table[page] : 0;
        }
    }
};

template <int HEAD_DIM>
DEVICE void copy_stretch(stretch_data<HEAD_DIM> &to, const tile_frame &f, const stretch_pages &pages)
{
    constexpr int PARTS = HEAD_DIM * PAGE_TOKENS / 8;
    const ffai__cuda_store &store = f.args->store;
#pragma unroll
    for (int page = 0; page < PAGES; page++) {
        const uint16_t *from = reinterpret_cast<const uint16_t *>(store.pages + pages.ids[page] * store.page_bytes);
        const uint16_t *keys = from + key_index(store, f.kv_head, 0);
        const uint16_t *values = from + value_index(store, f.kv_head, 0, 0);
#pragma unroll
        for (int part = threadIdx.x; part < PARTS; part += THREADS) {
            const int row = part / (HEAD_DIM / 8);
            copy_ahead<16>(to.keys[page] + to.key_part(row, part % (HEAD_DIM / 8)), keys + part * 8, pages.there[page]);
            copy_ahead<16>(to.values[page] + part * 8, values + part * 8, pages.there[page]);
        }
    }
    close_copies();
}

/* Whether a number of a pair is infinite or none. */
template <int FORMAT> DEVICE bool is_bad(uint32_t pair)
{
    const uint32_t exponents = FORMAT == STORE_F16 ? 0x7C007C00u : 0x7F807F80u;
    const uint32_t one = FORMAT == STORE_F16 ? 0x04000400u : 0x00800080u;
    return (((pair & exponents) + one) & 0x80008000u) != 0;
}

/* A weight of 0 hides a value from a row only if it is a number. What no row sees becomes 0; so does what is not
 * finite, and the key beside it no number, so that rows that do see it have none either. Of eight values: */
template <int FORMAT, int HEAD_DIM> DEVICE void make_finite(stretch_data<HEAD_DIM> &data, int page, int part, int seen)
{
    uint16_t *values = data.values[page] + part * 8;
    const uint4 pairs = *vectors_at<const uint4>(values);
    const bool bad =
        is_bad<FORMAT>(pairs.x) || is_bad<FORMAT>(pairs.y) || is_bad<FORMAT>(pairs.z) || is_bad<FORMAT>(pairs.w);
    const int row = part % (PAGE_TOKENS / 8) * 8;
    if (!bad && row + 8 <= seen)
        return;
    for (int i = 0; i < 8; i++) {
        const bool is_number = !is_bad<FORMAT>(values[i]);
        if (!is_number && row + i < seen)
            data.keys[page][data.key_part(row + i, 0)] = 0x7FFF;
        if (!is_number || row + i >= seen)
            values[i] = 0;
    }
}

template <int FORMAT, int HEAD_DIM>
DEVICE void make_finite(stretch_data<HEAD_DIM> &data, const tile_frame &f, int begin)
{
    for (int page = 0; page < PAGES; page++) {
        for (int part = threadIdx.x; part < HEAD_DIM * PAGE_TOKENS / 8; part += THREADS)
            make_finite<FORMAT>(data, page, part, f.last + 1 - begin - page * PAGE_TOKENS);
    }
    __syncthreads();
}

/* --- a warp's queries --- */

/* What a warp has of the context so far. Lane (g, t) has of each tile the queries g and g + 8. */
template <int HEAD_DIM> struct many_state {
    float sums[QUERY_TILES][HEAD_DIM / 8][4];
    float largest[QUERY_TILES][2], total[QUERY_TILES][2]; /* before unscale; of the lane's positions alone */
    float unscale[QUERY_TILES][2];                        /* makes products powers of two */
};

/* The first of a lane's queries of a tile. */
DEVICE int query_of(int tile)
{
    return threadIdx.x / WARP * WARP_QUERIES + tile * 16 + threadIdx.x % WARP / 4;
}

DEVICE int64_t head_of(const tile_frame &f, int query)
{
    return (int64_t)(f.first_row + query / f.num_heads) * f.args->heads + f.first_head + query % f.num_heads;
}

/* A power of two that brings the largest of a query's numbers to between 1 and 2, where f16 is at its best. */
DEVICE float scale_for(float largest)
{
    const uint32_t exponent = bits_of(largest) >> 23;
    const uint32_t within = exponent < 64 ? 64 : exponent > 190 ? 190 : exponent;
    return float_of((254 - within) << 23);
}

/* A query's pairs, of each 16 dimensions the two that the lane has in a row of A. */
template <int FORMAT, int HEAD_DIM>
DEVICE void take_query(uint32_t (&pairs)[HEAD_DIM / 16][2], float &unscale, const tile_frame &f, int query)
{
    const bool there = query < f.num_queries;
    const float *from = f.args->q + (there ? head_of(f, query) * HEAD_DIM : 0) + threadIdx.x % 4 * 8;
    float4 numbers[HEAD_DIM / 16];
    float largest = 0;
#pragma unroll
    for (int i = 0; i < HEAD_DIM / 16; i++) {
        float4 &x = numbers[i];
        x = there ? *vectors_at<const float4>(from + i / 2 * 32 + i % 2 * 4) : make_float4(0, 0, 0, 0);
        largest = fmaxf(largest, fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w))));
    }
    largest = quad_max(largest);
    const float scale = scale_for(largest);
    unscale = f.args->scale * 1.44269504f / scale;
#pragma unroll
    for (int i = 0; i < HEAD_DIM / 16; i++) {
        pairs[i][0] = pair_of<FORMAT>(numbers[i].x * scale, numbers[i].y * scale);
        pairs[i][1] = pair_of<FORMAT>(numbers[i].z * scale, numbers[i].w * scale);
    }
}

template <int FORMAT, int HEAD_DIM>
DEVICE void begin_state(many_state<HEAD_DIM> &state, many_shared<HEAD_DIM> &shared, const tile_frame &f)
{
#pragma unroll
    for (int m = 0; m < QUERY_TILES; m++) {
        uint32_t upper[HEAD_DIM / 16][2];
        uint32_t lower[HEAD_DIM / 16][2];
        take_query<FORMAT, HEAD_DIM>(upper, state.unscale[m][0], f, query_of(m));
        take_query<FORMAT, HEAD_DIM>(lower, state.unscale[m][1], f, query_of(m) + 8);
#pragma unroll
        for (int i = 0; i < HEAD_DIM / 16; i++)
            shared.queries[threadIdx.x / WARP][m][i][threadIdx.x % WARP] =
                make_uint4(upper[i][0], lower[i][0], upper[i][1], lower[i][1]);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            state.largest[m][half] = -INFINITY;
            state.total[m][half] = 0;
        }
#pragma unroll
        for (int i = 0; i < HEAD_DIM / 8 * 4; i++)
            state.sums[m][i / 4][i % 4] = 0;
    }
}

/* --- a stretch --- */

typedef float stretch_scores[QUERY_TILES][PAGES * KEY_TILES][4];
typedef uint32_t stretch_weights[QUERY_TILES][PAGES * KEY_TILES / 2][4]; /* as A */

template <int FORMAT, int HEAD_DIM>
DEVICE void score_stretch(stretch_scores &scores, const many_shared<HEAD_DIM> &shared,
                          const stretch_data<HEAD_DIM> &data)
{
    const int lane = threadIdx.x % WARP;
    const int g = lane / 4;
#pragma unroll
    for (int i = 0; i < QUERY_TILES * PAGES * KEY_TILES * 4; i++)
        scores[i / (PAGES * KEY_TILES * 4)][i / 4 % (PAGES * KEY_TILES)][i % 4] = 0;
#pragma unroll
    for (int i = 0; i < HEAD_DIM / 32; i++) {
        uint32_t a[QUERY_TILES][2][4];
#pragma unroll
        for (int j = 0; j < QUERY_TILES * 2; j++) {
            const uint4 query = shared.queries[threadIdx.x / WARP][j / 2][2 * i + j % 2][lane];
            a[j / 2][j % 2][0] = query.x;
            a[j / 2][j % 2][1] = query.y;
            a[j / 2][j % 2][2] = query.z;
            a[j / 2][j % 2][3] = query.w;
        }
#pragma unroll
        for (int page = 0; page < PAGES; page++) {
            uint4 keys[KEY_TILES];
#pragma unroll
            for (int tile = 0; tile < KEY_TILES; tile++)
                keys[tile] = *vectors_at<const uint4>(data.keys[page] +
                                                      data.key_part(g / 2 * 8 + tile * 2 + g % 2, i * 4 + lane % 4));
                /* A product waits for the one before it on the same sums: eight others are between them. */
#pragma unroll
            for (int j = 0; j < KEY_TILES * QUERY_TILES; j++)
                multiply<FORMAT>(scores[j % QUERY_TILES][page * KEY_TILES + j / QUERY_TILES], a[j % QUERY_TILES][0],
                                 keys[j / QUERY_TILES].x, keys[j / QUERY_TILES].y);
#pragma unroll
            for (int j = 0; j < KEY_TILES * QUERY_TILES; j++)
                multiply<FORMAT>(scores[j % QUERY_TILES][page * KEY_TILES + j / QUERY_TILES], a[j % QUERY_TILES][1],
                                 keys[j / QUERY_TILES].z, keys[j / QUERY_TILES].w);
        }
    }
}

/* Positions outside a row's window have no weight. */
DEVICE void mask_scores(stretch_scores &scores, const tile_frame &f, int begin)
{
#pragma unroll
    for (int m = 0; m < QUERY_TILES; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int own = position_of(f, query_of(m) + half * 8);
#pragma unroll
            for (int tile = 0; tile < PAGES * KEY_TILES; tile++) {
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const int position =
                        begin + tile / KEY_TILES * PAGE_TOKENS + threadIdx.x % 4 * 8 + tile % KEY_TILES * 2 + i;
                    if (position > own || position <= own - f.window)
                        scores[m][tile][half * 2 + i] = -INFINITY;
                }
            }
        }
    }
}

/* Scores of a lane's query become weights in the measure of the largest so far. Returns what sums shrink by. */
template <int HEAD_DIM> DEVICE float weigh_query(stretch_scores &scores, many_state<HEAD_DIM> &state, int m, int half)
{
    const float unscale = state.unscale[m][half];
    float largest = state.largest[m][half];
#pragma unroll
    for (int tile = 0; tile < PAGES * KEY_TILES; tile++)
        largest = fmaxf(largest, fmaxf(scores[m][tile][half * 2], scores[m][tile][half * 2 + 1]));
    largest = quad_max(largest);
    const float measure = largest == -INFINITY ? 0 : largest * unscale;
    const float shrink = power_of_two(state.largest[m][half] * unscale - measure);
    float total = 0;
#pragma unroll
    for (int tile = 0; tile < PAGES * KEY_TILES; tile++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float &score = scores[m][tile][half * 2 + i];
            score = power_of_two(fmaf(score, unscale, -measure));
            total += score;
        }
    }
    state.total[m][half] = fmaf(state.total[m][half], shrink, total);
    state.largest[m][half] = largest;
    return shrink;
}

template <int FORMAT, int HEAD_DIM>
DEVICE void weigh_stretch(stretch_weights &weights, stretch_scores &scores, many_state<HEAD_DIM> &state)
{
    float shrink[QUERY_TILES][2];
    bool shrinks = false;
#pragma unroll
    for (int m = 0; m < QUERY_TILES; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            shrink[m][half] = weigh_query(scores, state, m, half);
            shrinks = shrinks || shrink[m][half] != 1.0f;
        }
#pragma unroll
        for (int i = 0; i < PAGES * KEY_TILES * 2; i++) {
            const float *pair = &scores[m][i / 4 * 2 + i % 4 / 2][i % 2 * 2];
            weights[m][i / 4][i % 4] = pair_of<FORMAT>(pair[0], pair[1]);
        }
    }
    if (!__any_sync(~0u, shrinks))
        return;
#pragma unroll
    for (int m = 0; m < QUERY_TILES; m++) {
#pragma unroll
        for (int i = 0; i < HEAD_DIM / 8 * 4; i++)
            state.sums[m][i / 4][i % 4] *= shrink[m][i % 4 / 2];
    }
}

template <int FORMAT, int HEAD_DIM>
DEVICE void add_stretch(many_state<HEAD_DIM> &state, const stretch_weights &weights, const stretch_data<HEAD_DIM> &data)
{
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int first = 0; first < HEAD_DIM / 8; first += TILES_AT_ONCE) {
#pragma unroll
        for (int page = 0; page < PAGES; page++) {
            uint4 values[TILES_AT_ONCE];
#pragma unroll
            for (int tile = 0; tile < TILES_AT_ONCE; tile++)
                values[tile] = vectors_at<const uint4>(data.values[page])[(first + tile) * 32 + lane];
#pragma unroll
            for (int j = 0; j < TILES_AT_ONCE * QUERY_TILES; j++)
                multiply<FORMAT>(state.sums[j % QUERY_TILES][first + j / QUERY_TILES],
                                 weights[j % QUERY_TILES][page * 2], values[j / QUERY_TILES].x,
                                 values[j / QUERY_TILES].y);
#pragma unroll
            for (int j = 0; j < TILES_AT_ONCE * QUERY_TILES; j++)
                multiply<FORMAT>(state.sums[j % QUERY_TILES][first + j / QUERY_TILES],
                                 weights[j % QUERY_TILES][page * 2 + 1], values[j / QUERY_TILES].z,
                                 values[j / QUERY_TILES].w);
        }
    }
}

/* By a warp that has queries. */
template <int FORMAT, int HEAD_DIM>
DEVICE void attend_stretch(many_state<HEAD_DIM> &state, const many_shared<HEAD_DIM> &shared,
                           const stretch_data<HEAD_DIM> &data, const tile_frame &f, int begin)
{
    const int own = threadIdx.x / WARP * WARP_QUERIES;
    const int behind = own + WARP_QUERIES < f.num_queries ? own + WARP_QUERIES : f.num_queries;
    const int lowest = position_of(f, own);
    const int highest = position_of(f, behind - 1);
    if (begin > highest || begin + STRETCH - 1 <= lowest - f.window)
        return;
    stretch_scores scores;
    stretch_weights weights;
    score_stretch<FORMAT>(scores, shared, data);
    if (is_hidden(f, begin, lowest, highest))
        mask_scores(scores, f, begin);
    weigh_stretch<FORMAT>(weights, scores, state);
    add_stretch<FORMAT>(state, weights, data);
}

/* --- a tile --- */

DEVICE float *partial_of(const ffai__cuda_attention_args &args, int64_t head, int part)
{
    return args.partials + (head * args.splits + part) * (args.store.head_dim + 2);
}

/* A lane's numbers of a query: [tile of 8 dimensions] two, times `scale`. */
template <int HEAD_DIM>
DEVICE void leave_sums(float *to, const many_state<HEAD_DIM> &state, int m, int half, float scale)
{
#pragma unroll
    for (int tile = 0; tile < HEAD_DIM / 8; tile++)
        *vectors_at<float2>(to + tile * 8 + threadIdx.x % 4 * 2) =
            make_float2(state.sums[m][tile][half * 2] * scale, state.sums[m][tile][half * 2 + 1] * scale);
}

template <int HEAD_DIM> DEVICE void leave_results(const many_state<HEAD_DIM> &state, const tile_frame &f)
{
#pragma unroll
    for (int m = 0; m < QUERY_TILES; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int query = query_of(m) + half * 8;
            const float total = quad_sum(state.total[m][half]);
            if (query >= f.num_queries)
                continue;
            if (f.args->splits == 1) {
                leave_sums(f.args->y + head_of(f, query) * HEAD_DIM, state, m, half, 1.0f / total);
                continue;
            }
            float *partial = partial_of(*f.args, head_of(f, query), f.part);
            leave_sums(partial, state, m, half, 1.0f);
            if (threadIdx.x % 4 == 0) {
                partial[HEAD_DIM] = state.largest[m][half] * state.unscale[m][half];
                partial[HEAD_DIM + 1] = total;
            }
        }
    }
}

template <int FORMAT, int HEAD_DIM> DEVICE void attend_tile(many_shared<HEAD_DIM> &shared, const tile_frame &f)
{
    const int splits = f.args->splits;
    const int first = f.first / STRETCH;
    int stretch = first + (f.part + splits - first % splits) % splits;
    if (stretch * STRETCH > f.last)
        return;
    many_state<HEAD_DIM> state;
    stretch_pages pages;
    int stage = 0;
    pages.look_up(f, stretch);
    copy_stretch(shared.stages[stage], f, pages);
    pages.look_up(f, stretch + splits);
    begin_state<FORMAT>(state, shared, f);
    for (; stretch * STRETCH <= f.last; stretch += splits, stage ^= 1) {
        stretch_data<HEAD_DIM> &data = shared.stages[stage];
        wait_for_copies<0>();
        __syncthreads(); /* and all are done with the other stage */
        if ((stretch + splits) * STRETCH <= f.last) {
            copy_stretch(shared.stages[stage ^ 1], f, pages);
            pages.look_up(f, stretch + 2 * splits);
        }
        if (is_hidden(f, stretch * STRETCH, f.position, f.last))
            make_finite<FORMAT>(data, f, stretch * STRETCH);
        if ((int)threadIdx.x / WARP * WARP_QUERIES < f.num_queries)
            attend_stretch<FORMAT>(state, shared, data, f, stretch * STRETCH);
    }
    leave_results(state, f);
}

/* The first position that a row sees. */
DEVICE int first_seen(const ffai__cuda_attention_args &args, int position)
{
    return args.window && position >= args.window ? position - (int)args.window + 1 : 0;
}

/* Grid: as many tiles as there may be, times key/value heads, times sets of their query heads, times parts of the
 * context. Tiles at the end of a prompt have the most to read, and begin first. */
template <int FORMAT, int HEAD_DIM> DEVICE void attend_many(const ffai__cuda_attend_many_args &args)
{
    DYNAMIC_SHARED(many_shared<HEAD_DIM>, shared);
    wait_for_previous();
    let_next_begin();
    const ffai__cuda_attention_args &attention = args.attention;
    const int blocks = attention.store.heads * args.sets * attention.splits; /* of a tile */
    const int number = args.tiles->count - 1 - (int)blockIdx.x / blocks;
    const int set = (int)blockIdx.x % blocks / attention.splits;
    const int group = attention.heads / attention.store.heads;
    const int set_heads = (group + args.sets - 1) / args.sets;
    const int before = set % args.sets * set_heads;
    if (number < 0 || before >= group)
        return;
    const int32_t *first_row = args.tiles->first_rows + number;
    const int num_rows = first_row[1] - first_row[0];
    const ffai__cuda_row row = attention.step.rows[first_row[0]];
    tile_frame f;
    f.args = &attention;
    f.table = attention.step.tables + row.slot * attention.step.table_stride +
              attention.store.group * attention.step.max_pages;
    f.kv_head = set / args.sets;
    f.first_head = f.kv_head * group + before;
    f.num_heads = group - before < set_heads ? group - before : set_heads;
    f.first_row = first_row[0];
    f.num_queries = num_rows * f.num_heads;
    f.position = row.position;
    f.last = row.position + num_rows - 1;
    f.window = attention.window && attention.window < 1 << 30 ? (int)attention.window : 1 << 30;
    f.first = first_seen(attention, f.position);
    f.part = (int)blockIdx.x % attention.splits;
    if (threadIdx.x == 0)
        shared->frame = f;
    __syncthreads();
    attend_tile<FORMAT>(*shared, shared->frame);
}

/* The parts that a row sees something of, a bit each. */
DEVICE uint32_t parts_of(const ffai__cuda_attention_args &args, int position)
{
    const int first = first_seen(args, position) / STRETCH;
    const int stretches = position / STRETCH - first + 1;
    uint32_t parts = 0;
    for (int i = 0; i < args.splits && i < stretches; i++)
        parts |= 1u << (first + i) % args.splits;
    return parts;
}

/* Parts put together, in order. A warp has one head of one row. Grid: enough warps for rows * heads, or fewer. */
KERNEL(attend_many_merge, ffai__cuda_attention_args, MERGERS)
{
    wait_for_previous();
    let_next_begin();
    const int dim = args.store.head_dim;
    const int64_t count = (int64_t)args.step.sizes->num_rows * args.heads;
    const int64_t stride = (int64_t)gridDim.x * (MERGERS / WARP);
    for (int64_t head = (int64_t)blockIdx.x * (MERGERS / WARP) + threadIdx.x / WARP; head < count; head += stride) {
        const uint32_t parts = parts_of(args, args.step.rows[head / args.heads].position);
        float weights[MOST_SPLITS];
        float most = -INFINITY;
#pragma unroll
        for (int i = 0; i < MOST_SPLITS; i++) {
            weights[i] = parts >> i & 1 ? partial_of(args, head, i)[dim] : -INFINITY;
            most = fmaxf(most, weights[i]);
        }
        float total = 0;
#pragma unroll
        for (int i = 0; i < MOST_SPLITS; i++) {
            weights[i] = power_of_two(weights[i] - most);
            total = parts >> i & 1 ? fmaf(weights[i], partial_of(args, head, i)[dim + 1], total) : total;
        }
        for (int d = threadIdx.x % WARP; d < dim; d += WARP) {
            float sum = 0;
#pragma unroll
            for (int i = 0; i < MOST_SPLITS; i++)
                sum = parts >> i & 1 ? fmaf(weights[i], partial_of(args, head, i)[d], sum) : sum;
            args.y[head * dim + d] = sum / total;
        }
    }
}

#define ATTEND_MANY(head_dim)                                                                                          \
    KERNEL_BESIDE(attend_many_f16_##head_dim, ffai__cuda_attend_many_args, THREADS, 2)                                 \
    {                                                                                                                  \
        attend_many<STORE_F16, head_dim>(args);                                                                        \
    }                                                                                                                  \
    KERNEL_BESIDE(attend_many_bf16_##head_dim, ffai__cuda_attend_many_args, THREADS, 2)                                \
    {                                                                                                                  \
        attend_many<STORE_BF16, head_dim>(args);                                                                       \
    }

ATTEND_MANY(32)
ATTEND_MANY(64)
ATTEND_MANY(96)
ATTEND_MANY(128)
