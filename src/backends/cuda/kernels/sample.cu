/* Drawing a token: what src/backends/sampling.c does, on many blocks.
 *
 * The cuts and the draw each find a place in the vocabulary sorted by logit, larger first, then by id. A token's `rank`
 * is a number that sorts so, its `distance` how far its logit is below the largest, in units of temperature, and its
 * `mass` e^-distance. sample_best finds the first token; sample_weigh counts and weighs tokens in buckets by distance
 * and finds which buckets the cuts and the draw can fall into; sample_draw gathers the tokens of these and looks into
 * them. A block takes a chunk of a row at a time, and the last to finish with a row does what needs all of it.
 *
 * Logits, distances and masses are the numbers that sampling.c has. Masses of a bucket are whole multiples of one unit
 * and are added as integers, so that their sum is exact in any order, as it is there. Sums over buckets are double and
 * are added in another order than there, always the same: a draw differs where a cut or the draw is within about 1e-15
 * of a token's edge. */
#include <float.h>

#include "step.cuh"

#define FARTHEST      60.0f
#define NO_RANK       0xFFFFFFFFFFFFFFFFull
#define INFINITE_BITS 0x7F800000u

enum {
    THREADS = FFAI__CUDA_SAMPLE_THREADS,
    WARPS = FFAI__CUDA_SAMPLE_WARPS,
    CHUNK = FFAI__CUDA_SAMPLE_CHUNK,
    TOKENS = CHUNK / THREADS, /* of a chunk that a thread has: every THREADS-th */
    BUCKETS = FFAI__CUDA_SAMPLE_BUCKETS,
    AT_ONCE = 16, /* tokens of the history that a thread loads */
    DIGITS = 256  /* a digit of a rank has 8 bits, and each its thread */
};

typedef ffai__cuda_sample_shared sample_shared;

/* An output row, and where its scratch lies. */
struct output_row {
    const float *logits;
    int64_t vocab_size;
    int32_t num_chunks;
    ffai__cuda_sample_row *row;
    ffai__cuda_sample_chunk *chunks;
    int32_t *history; /* of its sequence */
    int32_t position;
    ffai__cuda_draw draw;
    float per_temperature;
};

/* Of a row whose largest logit is known. */
struct scale {
    float largest;
    float per_temperature;
    float per_bucket;
    float bucket_doublings; /* powers of two by which masses shrink over a bucket */
};

/* --- numbers --- */

DEVICE uint64_t rank_of(float logit, int64_t id)
{
    if (!(logit == logit))
        return NO_RANK;
    const uint32_t bits = bits_of(logit + 0.0f); /* both zeros are one */
    const uint32_t rising = bits >> 31 ? ~bits : bits | 0x80000000u;
    return (uint64_t)~rising << 32 | (uint32_t)id;
}

DEVICE float logit_of(uint64_t rank)
{
    const uint32_t rising = ~(uint32_t)(rank >> 32);
    return float_of(rising >> 31 ? rising & 0x7FFFFFFFu : ~rising);
}

DEVICE int32_t id_of(uint64_t rank)
{
    return rank == NO_RANK ? 0 : (int32_t)(uint32_t)rank;
}

/* sampling.c has where the numbers are from. */
DEVICE float decay(float distance)
{
    const float shift = 12582912.0f;
    const float shifted = shift - distance * 1.44269504f;
    const float n = shifted - shift;
    const float r = (-distance - n * 0.693359375f) + n * 2.12194440e-4f;
    const float p = ((0x1.123a6cp-7f + 0x1.6a2342p-10f * r) * r + 0x1.5558f4p-5f) * r + 0x1.55549p-3f;
    const float e = 1.0f + (r + r * r * (0x1.fffffcp-2f + r * p));
    return e * float_of((bits_of(shifted) << 23) + 0x3F800000u);
}

DEVICE float distance_of(const scale &s, float logit)
{
    return (s.largest - logit) * s.per_temperature;
}

DEVICE int bucket_of(const scale &s, float distance)
{
    const int bucket = (int)(distance * s.per_bucket);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* The exponent of a bucket's unit: no mass in the bucket has a lower bit, and none is 2^27 units or more. */
DEVICE int unit_of(const scale &s, int bucket)
{
    return -(int)((float)(bucket + 1) * s.bucket_doublings) - 2 - 23;
}

DEVICE float power_of_two(int exponent)
{
    return float_of((uint32_t)(127 + exponent) << 23);
}

DEVICE uint32_t units_in(const scale &s, int bucket, float distance)
{
    return (uint32_t)(decay(distance) * power_of_two(-unit_of(s, bucket)));
}

DEVICE double mass_of(const scale &s, int bucket, uint64_t units)
{
    return (double)units * (double)power_of_two(unit_of(s, bucket));
}

DEVICE double uniform_of(const ffai__cuda_draw &draw, int32_t position)
{
    uint32_t c[4] = {(uint32_t)position, 0, 0, 0};
    uint32_t k[2] = {draw.seed_low, draw.seed_high};
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c[0];
        const uint64_t b = (uint64_t)0xCD9E8D57u * c[2];
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ k[0];
        c[1] = (uint32_t)b;
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ k[1];
        c[3] = (uint32_t)a;
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    const uint64_t bits = (uint64_t)c[1] << 32 | c[0];
    return (double)(bits >> 11) * 0x1p-53;
}

/* --- blocks --- */

DEVICE uint64_t least_of_block(uint64_t rank, sample_shared *shared)
{
    for (int distance = 16; distance > 0; distance /= 2) {
        const uint64_t other = __shfl_xor_sync(~0u, rank, distance);
        rank = other < rank ? other : rank;
    }
    if (threadIdx.x % 32 == 0)
        shared->ranks[threadIdx.x / 32] = rank;
    __syncthreads();
    for (int w = 0; w < WARPS; w++)
        rank = shared->ranks[w] < rank ? shared->ranks[w] : rank;
    __syncthreads();
    return rank;
}

/* No number is NaN. */
DEVICE float most_of_block(float value, sample_shared *shared)
{
    value = warp_max(value);
    if (threadIdx.x % 32 == 0)
        shared->distances[threadIdx.x / 32] = value;
    __syncthreads();
    for (int w = 0; w < WARPS; w++)
        value = fmaxf(value, shared->distances[w]);
    __syncthreads();
    return value;
}

/* The sum of the values of all threads before this one, and of all. */
template <typename Number> DEVICE Number sum_before(Number value, Number *total, Number *of_warps)
{
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    for (int distance = 1; distance < 32; distance *= 2) {
        const Number other = __shfl_up_sync(~0u, value, distance);
        if (lane >= distance)
            value += other;
    }
    if (lane == 31)
        of_warps[warp] = value;
    const Number previous = __shfl_up_sync(~0u, value, 1);
    __syncthreads();
    Number before = 0;
    *total = 0;
    for (int w = 0; w < WARPS; w++) {
        before += w < warp ? of_warps[w] : 0;
        *total += of_warps[w];
    }
    __syncthreads();
    return before + (lane ? previous : 0);
}

/* Whether this block is the last of `parts` to come here; what the others wrote before is then there to be read. */
DEVICE bool is_last_of(uint32_t *counter, int32_t parts, sample_shared *shared)
{
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        shared->is_last = atomicAdd(counter, 1u) == (uint32_t)parts - 1;
        if (shared->is_last)
            *counter = 0;
        __threadfence();
    }
    __syncthreads();
    return shared->is_last;
}

/* --- rows --- */

DEVICE bool has_penalties(const ffai__cuda_draw &draw)
{
    return draw.repetition_penalty != 1.0f || draw.presence_penalty != 0.0f;
}

DEVICE int32_t chunks_of(int64_t vocab_size)
{
    return (int32_t)((vocab_size + CHUNK - 1) / CHUNK);
}

DEVICE output_row output_of(const ffai__cuda_sample_args &args, int32_t r)
{
    const ffai__cuda_row row = args.step.rows[args.step.output_rows[r]];
    uint8_t *scratch = args.scratch + r * args.scratch_stride;
    output_row o;
    o.logits = args.logits + r * args.vocab_size;
    o.vocab_size = args.vocab_size;
    o.num_chunks = chunks_of(args.vocab_size);
    o.row = reinterpret_cast<ffai__cuda_sample_row *>(scratch);
    o.chunks = reinterpret_cast<ffai__cuda_sample_chunk *>(scratch + sizeof(ffai__cuda_sample_row));
    o.history = args.step.history + row.slot * args.step.history_stride;
    o.position = row.position;
    o.draw = args.step.draws[r];
    o.per_temperature = 1.0f / o.draw.temperature;
    return o;
}

DEVICE scale scale_of(const output_row &o)
{
    scale s;
    s.largest = o.row->largest;
    s.per_temperature = o.per_temperature;
    s.per_bucket = (float)BUCKETS / o.row->range;
    s.bucket_doublings = o.row->range * (1.44269504f / (float)BUCKETS);
    return s;
}

DEVICE float penalize(const ffai__cuda_draw &draw, float logit)
{
    const float repeated = logit > 0 ? logit / draw.repetition_penalty : logit * draw.repetition_penalty;
    return repeated - draw.presence_penalty;
}

/* This thread's logits of a chunk, with penalties; beyond the vocabulary they are not numbers. */
DEVICE void load_logits(float (&logits)[TOKENS], const output_row &o, int32_t chunk)
{
    const int64_t first = (int64_t)chunk * CHUNK + threadIdx.x;
    for (int i = 0; i < TOKENS; i++) {
        const int64_t id = first + i * THREADS;
        logits[i] = id < o.vocab_size ? o.logits[id] : float_of(0x7FC00000u);
    }
    if (!has_penalties(o.draw))
        return;
    for (int i = 0; i < TOKENS; i++) {
        if (o.chunks[chunk].seen[(i * THREADS + threadIdx.x) / 32] >> threadIdx.x % 32 & 1)
            logits[i] = penalize(o.draw, logits[i]);
    }
}

DEVICE float logit_at(const output_row &o, int64_t id)
{
    const int64_t in_chunk = id % CHUNK;
    const float logit = o.logits[id];
    if (has_penalties(o.draw) && o.chunks[id / CHUNK].seen[in_chunk / 32] >> in_chunk % 32 & 1)
        return penalize(o.draw, logit);
    return logit;
}

/* Host memory is written too: the end of the step, which the host waits for, comes after it. */
DEVICE void settle(const ffai__cuda_sample_args &args, int32_t r, const output_row &o, int32_t id)
{
    if (threadIdx.x != 0)
        return;
    const int64_t slot = args.step.sizes->number % (uint32_t)args.slots;
    ffai__cuda_drawn *drawn = args.drawn + slot * args.max_outputs + r;
    o.history[o.position + 1] = id;
    drawn->id = id;
    drawn->logit = o.logits[id];
    __threadfence_system();
}

/* --- the first token --- */

/* Every THREADS-th token of the history from `first` on; loaded before any is looked at, because each takes its time.
 */
DEVICE void note_tokens(const output_row &o, int64_t first, int32_t chunk, sample_shared *shared)
{
    int32_t tokens[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++)
        tokens[i] = first + i * THREADS <= o.position ? o.history[first + i * THREADS] : -1;
    for (int i = 0; i < AT_ONCE; i++) {
        const int64_t token = tokens[i] - (int64_t)chunk * CHUNK;
        if (token >= 0 && token < CHUNK)
            atomicOr(&shared->seen[token / 32], 1u << token % 32);
    }
}

/* Which tokens of the chunk the sequence has. */
DEVICE void note_seen(const output_row &o, int32_t chunk, sample_shared *shared)
{
    for (int w = threadIdx.x; w < CHUNK / 32; w += THREADS)
        shared->seen[w] = 0;
    __syncthreads();
    for (int64_t first = threadIdx.x; first <= o.position; first += AT_ONCE * THREADS)
        note_tokens(o, first, chunk, shared);
    __syncthreads();
    for (int w = threadIdx.x; w < CHUNK / 32; w += THREADS)
        o.chunks[chunk].seen[w] = shared->seen[w];
    __syncthreads();
}

DEVICE bool has_temperature(const ffai__cuda_draw &draw)
{
    return draw.temperature >= FLT_MIN;
}

/* The lowest logit of the chunk that could count; infinite if none. */
DEVICE float lowest_of(const float (&logits)[TOKENS], const output_row &o, float largest, sample_shared *shared)
{
    float most = -float_of(INFINITE_BITS); /* of -logit */
    for (int i = 0; i < TOKENS; i++) {
        if ((largest - logits[i]) * o.per_temperature <= FARTHEST)
            most = fmaxf(most, -logits[i]);
    }
    return -most_of_block(most, shared);
}

DEVICE void search_chunk(const output_row &o, int32_t chunk, sample_shared *shared)
{
    float logits[TOKENS];
    uint64_t best = NO_RANK;
    if (has_penalties(o.draw))
        note_seen(o, chunk, shared);
    load_logits(logits, o, chunk);
    for (int i = 0; i < TOKENS; i++) {
        const uint64_t rank = rank_of(logits[i], (int64_t)chunk * CHUNK + i * THREADS + threadIdx.x);
        best = rank < best ? rank : best;
    }
    best = least_of_block(best, shared);
    const float lowest = has_temperature(o.draw) ? lowest_of(logits, o, logit_of(best), shared) : 0;
    if (threadIdx.x == 0) {
        o.chunks[chunk].best = best;
        o.chunks[chunk].lowest = lowest;
    }
}

/* As far as the farthest token that has a chance, so that no bucket holds a great part of them. */
DEVICE float range_of(const output_row &o, float largest, sample_shared *shared)
{
    float farthest = 0x1p-20f;
    for (int32_t c = threadIdx.x; c < o.num_chunks; c += THREADS) {
        const float nearest = (largest - logit_of(o.chunks[c].best)) * o.per_temperature;
        const float distance = (largest - o.chunks[c].lowest) * o.per_temperature;
        if (nearest <= FARTHEST)
            farthest = fmaxf(farthest, distance <= FARTHEST ? distance : FARTHEST);
    }
    return most_of_block(farthest, shared);
}

/* All chunks have been searched: the row's draw is settled, or begins. */
DEVICE void finish_search(const ffai__cuda_sample_args &args, int32_t r, const output_row &o, sample_shared *shared)
{
    uint64_t best = NO_RANK;
    for (int32_t c = threadIdx.x; c < o.num_chunks; c += THREADS)
        best = o.chunks[c].best < best ? o.chunks[c].best : best;
    best = least_of_block(best, shared);
    const float largest = logit_of(best);
    const bool settled =
        !has_temperature(o.draw) || best == NO_RANK || (bits_of(largest) & 0x7FFFFFFFu) == INFINITE_BITS;
    const float range = settled ? 0 : range_of(o, largest, shared);
    if (threadIdx.x == 0) {
        o.row->settled = settled;
        o.row->best = best;
        o.row->largest = largest;
        o.row->range = range;
        o.row->num_members = 0;
    }
    if (settled)
        settle(args, r, o, id_of(best));
    for (int b = threadIdx.x; b < BUCKETS && !settled; b += THREADS) {
        o.row->masses[b] = 0;
        o.row->counts[b] = 0;
    }
}

/* --- buckets --- */

/* A token into a bin of `num`: bins[0] counts, the others sum its units, 9 bits each: no vocabulary fills 32 bits. */
DEVICE void tally(uint32_t *bins, int num, int bin, uint32_t units)
{
    atomicAdd(&bins[bin], 1u);
    atomicAdd(&bins[num + bin], units & 511u);
    atomicAdd(&bins[2 * num + bin], units >> 9 & 511u);
    atomicAdd(&bins[3 * num + bin], units >> 18);
}

DEVICE uint64_t units_tallied(const uint32_t *bins, int num, int bin)
{
    return bins[num + bin] + ((uint64_t)bins[2 * num + bin] << 9) + ((uint64_t)bins[3 * num + bin] << 18);
}

DEVICE void empty_bins(uint32_t *bins, int num)
{
    for (int i = threadIdx.x; i < 4 * num; i += THREADS)
        bins[i] = 0;
    __syncthreads();
}

DEVICE void weigh_chunk(const output_row &o, int32_t chunk, sample_shared *shared)
{
    const scale s = scale_of(o);
    uint32_t *bins = shared->bins[0];
    float logits[TOKENS];
    load_logits(logits, o, chunk);
    empty_bins(bins, BUCKETS);
    for (int i = 0; i < TOKENS; i++) {
        const float distance = distance_of(s, logits[i]);
        if (!(distance <= FARTHEST))
            continue;
        const int bucket = bucket_of(s, distance);
        tally(bins, BUCKETS, bucket, units_in(s, bucket, distance));
    }
    __syncthreads();
    for (int b = threadIdx.x; b < BUCKETS; b += THREADS) {
        if (bins[b] == 0)
            continue;
        atomicAdd(&o.row->counts[b], bins[b]);
        atomicAdd(reinterpret_cast<unsigned long long *>(&o.row->masses[b]), units_tallied(bins, BUCKETS, b));
    }
    __syncthreads();
}

DEVICE void sum_buckets(const output_row &o, const scale &s, sample_shared *shared)
{
    const int each = BUCKETS / THREADS;
    const int first = threadIdx.x * each;
    uint32_t count = 0;
    double mass = 0;
    for (int b = first; b < first + each; b++) {
        count += o.row->counts[b];
        mass += mass_of(s, b, o.row->masses[b]);
    }
    uint32_t counts = 0;
    double masses = 0;
    count = sum_before(count, &counts, shared->counts);
    mass = sum_before(mass, &masses, shared->sums);
    for (int b = first; b < first + each; b++) {
        o.row->count_before[b] = count;
        o.row->mass_before[b] = mass;
        count += o.row->counts[b];
        mass += mass_of(s, b, o.row->masses[b]);
    }
    if (threadIdx.x == 0) {
        o.row->count_before[BUCKETS] = counts;
        o.row->mass_before[BUCKETS] = masses;
    }
    __syncthreads();
}

/* --- places in the sorted vocabulary --- */

enum { AT_COUNT, AT_MASS, BEHIND_MASS, AT_THE_END };

/* What a place is looked for by: the first token with which so many or so much is reached, or the last of all. */
struct goal {
    int kind;
    double amount;
};

DEVICE goal goal_of(int kind, double amount)
{
    goal g;
    g.kind = kind;
    g.amount = amount;
    return g;
}

DEVICE bool is_reached(const goal &g, double count, double mass)
{
    return g.kind == AT_COUNT      ? count >= g.amount
           : g.kind == AT_MASS     ? mass >= g.amount
           : g.kind == BEHIND_MASS ? mass > g.amount
                                   : false;
}

/* The first bucket from `first` on with which the goal is reached, or `last`. */
DEVICE int bucket_with(const output_row &o, const goal &g, int first, int last, sample_shared *shared)
{
    const ffai__cuda_sample_row *row = o.row;
    if (threadIdx.x == 0)
        shared->first = (uint32_t)last;
    __syncthreads();
    for (int b = first + threadIdx.x; b < last; b += THREADS) {
        if (row->count_before[b + 1] > row->count_before[b] &&
            is_reached(g, row->count_before[b + 1], row->mass_before[b + 1])) {
            atomicMin(&shared->first, (uint32_t)b);
            break;
        }
    }
    __syncthreads();
    const int found = (int)shared->first;
    __syncthreads();
    return found;
}

/* The last bucket before `end` that has tokens. The first bucket has the largest. */
DEVICE int last_filled(const output_row &o, int end)
{
    const uint32_t *before = o.row->count_before;
    const uint32_t count = before[end];
    int low = 0;
    for (int high = end - 1; low < high;) {
        const int middle = (low + high) / 2;
        if (before[middle + 1] >= count)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* --- which buckets to look into --- */

/* What is known of a prefix before any bucket is looked into: where it ends, and how much it holds. */
struct bounds {
    int first, last; /* bucket of its last token */
    double least, most;
};

/* Its last token is in these buckets, which are to be gathered. */
DEVICE bounds look_into(const output_row &o, int stage, int first, int last)
{
    if (threadIdx.x == 0) {
        o.row->stages[stage].first = first;
        o.row->stages[stage].last = last;
    }
    bounds p;
    p.first = first;
    p.last = last;
    p.least = o.row->mass_before[first];
    p.most = o.row->mass_before[last + 1];
    return p;
}

/* All tokens of the buckets up to `last`. */
DEVICE bounds whole_to(const output_row &o, int last)
{
    bounds p;
    p.first = last;
    p.last = last;
    p.least = p.most = o.row->mass_before[last + 1];
    return p;
}

DEVICE bounds bound_count(const output_row &o, const bounds &p, int32_t k, sample_shared *shared)
{
    const int b = bucket_with(o, goal_of(AT_COUNT, k), 0, p.last, shared);
    if (o.row->count_before[b + 1] <= (uint32_t)k)
        return whole_to(o, b);
    return look_into(o, FFAI__CUDA_SAMPLE_TOP_K, b, b);
}

/* share * mass is reached, or passed. */
DEVICE bounds bound_mass(const output_row &o, int stage, int kind, const bounds &p, double share, sample_shared *shared)
{
    const int first = bucket_with(o, goal_of(kind, share * p.least), 0, p.first, shared);
    const int last = bucket_with(o, goal_of(kind, share * p.most), first, p.last, shared);
    return look_into(o, stage, first, last);
}

DEVICE int bucket_of_min_p(const output_row &o, const scale &s)
{
    const float distance = o.draw.farthest;
    return distance <= o.row->range ? bucket_of(s, distance) : BUCKETS - 1;
}

/* Where none of its bucket is near enough, the last token of those before it is the end. */
DEVICE bounds bound_distance(const output_row &o, const scale &s, const bounds &p)
{
    const int b = bucket_of_min_p(o, s);
    const int before = b > 0 ? last_filled(o, b) : 0;
    return look_into(o, FFAI__CUDA_SAMPLE_MIN_P, before < p.first ? before : p.first, b < p.last ? b : p.last);
}

DEVICE void begin_plan(const output_row &o)
{
    if (threadIdx.x == 0) {
        for (int i = 0; i < FFAI__CUDA_SAMPLE_STAGES; i++) {
            o.row->stages[i].first = 0;
            o.row->stages[i].last = -1;
        }
    }
}

DEVICE void finish_plan(const output_row &o)
{
    if (threadIdx.x == 0) {
        uint64_t members = 0;
        for (int i = 0; i < FFAI__CUDA_SAMPLE_STAGES; i++)
            members += o.row->count_before[o.row->stages[i].last + 1] - o.row->count_before[o.row->stages[i].first];
        o.row->listed = members <= FFAI__CUDA_SAMPLE_MEMBERS;
    }
    __syncthreads();
}

/* All chunks have been weighed. */
DEVICE void plan_draw(const output_row &o, sample_shared *shared)
{
    const scale s = scale_of(o);
    sum_buckets(o, s, shared);
    begin_plan(o);
    bounds p = whole_to(o, last_filled(o, BUCKETS));
    if (o.draw.top_k > 0)
        p = bound_count(o, p, o.draw.top_k, shared);
    if (o.draw.top_p < 1.0f)
        p = bound_mass(o, FFAI__CUDA_SAMPLE_TOP_P, AT_MASS, p, (double)o.draw.top_p, shared);
    if (o.draw.farthest < float_of(INFINITE_BITS))
        p = bound_distance(o, s, p);
    bound_mass(o, FFAI__CUDA_SAMPLE_PLACE, BEHIND_MASS, p, uniform_of(o.draw, o.position), shared);
    finish_plan(o);
}

DEVICE bool is_in(const ffai__cuda_buckets (&stages)[FFAI__CUDA_SAMPLE_STAGES], int bucket)
{
    bool in = false;
    for (int i = 0; i < FFAI__CUDA_SAMPLE_STAGES; i++)
        in = in || (bucket >= stages[i].first && bucket <= stages[i].last);
    return in;
}

DEVICE void gather_chunk(const output_row &o, int32_t chunk)
{
    if (!o.row->listed)
        return;
    const scale s = scale_of(o);
    ffai__cuda_buckets stages[FFAI__CUDA_SAMPLE_STAGES];
    float logits[TOKENS];
    for (int i = 0; i < FFAI__CUDA_SAMPLE_STAGES; i++)
        stages[i] = o.row->stages[i];
    load_logits(logits, o, chunk);
    for (int i = 0; i < TOKENS; i++) {
        const float distance = distance_of(s, logits[i]);
        if (!(distance <= FARTHEST) || !is_in(stages, bucket_of(s, distance)))
            continue;
        o.row->members[atomicAdd(&o.row->num_members, 1u)] =
            rank_of(logits[i], (int64_t)chunk * CHUNK + i * THREADS + threadIdx.x);
    }
}

/* --- looking into buckets --- */

/* Tokens of a bucket that belong to a prefix. */
struct members {
    int bucket;
    uint64_t end;    /* the prefix's last rank */
    float distance;  /* and the farthest that is kept */
    uint64_t number; /* to look through */
};

DEVICE members members_of(const output_row &o, int bucket, uint64_t end, float distance)
{
    members m;
    m.bucket = bucket;
    m.end = end;
    m.distance = distance;
    m.number = o.row->listed ? o.row->num_members : (uint64_t)o.vocab_size;
    return m;
}

/* The rank at i, and its distance; NO_RANK if it is none of the members. */
DEVICE uint64_t member_at(float *distance, const output_row &o, const scale &s, const members &m, uint64_t i)
{
    const uint64_t rank = o.row->listed ? o.row->members[i] : rank_of(logit_at(o, (int64_t)i), (int64_t)i);
    *distance = distance_of(s, logit_of(rank));
    const bool belongs =
        rank <= m.end && *distance <= FARTHEST && *distance <= m.distance && bucket_of(s, *distance) == m.bucket;
    return belongs ? rank : NO_RANK;
}

/* A place in a bucket: its rank, and the members up to it. */
struct place {
    uint64_t rank;
    uint32_t count;
    uint64_t units;
};

/* Members whose higher digits are those of `rank`, by the digit at `shift`. */
DEVICE void tally_digits(const output_row &o, const scale &s, const members &m, uint64_t rank, int shift,
                         sample_shared *shared)
{
    uint32_t *bins = shared->bins[0];
    const uint64_t higher = shift < 56 ? NO_RANK << (shift + 8) : 0;
    empty_bins(bins, DIGITS);
    for (uint64_t i = threadIdx.x; i < m.number; i += THREADS) {
        float distance = 0;
        const uint64_t other = member_at(&distance, o, s, m, i);
        if (other != NO_RANK && ((other ^ rank) & higher) == 0)
            tally(bins, DIGITS, (int)(other >> shift & (DIGITS - 1)), units_in(s, m.bucket, distance));
    }
    __syncthreads();
}

/* The digit with which the goal is reached, or the last: it is put into the place, and the members before it are added.
 * Returns how many have it. */
DEVICE uint32_t choose_digit(place *at, const output_row &o, const scale &s, const members &m, const goal &g, int shift,
                             sample_shared *shared)
{
    const uint32_t count = shared->bins[0][threadIdx.x];
    const uint64_t units = units_tallied(shared->bins[0], DIGITS, threadIdx.x);
    uint32_t counts = 0;
    uint64_t all_units = 0;
    const uint32_t count_before = at->count + sum_before(count, &counts, shared->counts);
    const uint64_t units_before = at->units + sum_before(units, &all_units, shared->masses);
    if (threadIdx.x == 0) {
        shared->first = DIGITS;
        shared->last = 0;
    }
    __syncthreads();
    if (count > 0) {
        const double mass = o.row->mass_before[m.bucket] + mass_of(s, m.bucket, units_before + units);
        if (is_reached(g, (double)o.row->count_before[m.bucket] + count_before + count, mass))
            atomicMin(&shared->first, threadIdx.x);
        atomicMax(&shared->last, threadIdx.x);
    }
    __syncthreads();
    const uint32_t digit = shared->first < DIGITS ? shared->first : shared->last;
    if (threadIdx.x == digit) {
        shared->count = count_before;
        shared->mass = units_before;
        shared->count_of_digit = count;
    }
    __syncthreads();
    at->rank |= (uint64_t)digit << shift;
    at->count = shared->count;
    at->units = shared->mass;
    const uint32_t of_digit = shared->count_of_digit;
    __syncthreads();
    return of_digit;
}

/* The one member whose digits from `shift` up are those of the place: the place is behind it. */
DEVICE void pass_member(place *at, const output_row &o, const scale &s, const members &m, int shift,
                        sample_shared *shared)
{
    for (uint64_t i = threadIdx.x; i < m.number; i += THREADS) {
        float distance = 0;
        const uint64_t rank = member_at(&distance, o, s, m, i);
        if (rank != NO_RANK && rank >> shift == at->rank >> shift)
            shared->rank = rank;
    }
    __syncthreads();
    at->rank = shared->rank;
    at->count++;
    at->units += units_in(s, m.bucket, distance_of(s, logit_of(at->rank)));
    __syncthreads();
}

/* The member with which the goal is reached, or the last; a count of 0 if there is none. Digit by digit from the
 * highest, until one member is left. */
DEVICE place find_place(const output_row &o, const scale &s, const members &m, const goal &g, sample_shared *shared)
{
    place at;
    at.rank = 0;
    at.count = 0;
    at.units = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        tally_digits(o, s, m, at.rank, shift, shared);
        const uint32_t left = choose_digit(&at, o, s, m, g, shift, shared);
        if (left == 0)
            break;
        if (left == 1) {
            pass_member(&at, o, s, m, shift, shared);
            break;
        }
    }
    return at;
}

/* --- the draw --- */

/* A prefix of the sorted vocabulary. */
struct prefix {
    int bucket;   /* of its last token */
    uint64_t end; /* its last token's rank, or any number between that and the next one's */
    double mass;
};

DEVICE prefix prefix_to(const output_row &o, const scale &s, int bucket, const place &at)
{
    prefix p;
    p.bucket = bucket;
    p.end = at.rank;
    p.mass = o.row->mass_before[bucket] + mass_of(s, bucket, at.units);
    return p;
}

DEVICE prefix prefix_of_buckets(const output_row &o, int last)
{
    prefix p;
    p.bucket = last;
    p.end = NO_RANK;
    p.mass = o.row->mass_before[last + 1];
    return p;
}

DEVICE prefix cut_to_count(const output_row &o, const scale &s, const prefix &p, int32_t k, sample_shared *shared)
{
    const int b = bucket_with(o, goal_of(AT_COUNT, k), 0, p.bucket, shared);
    if (o.row->count_before[b + 1] <= (uint32_t)k)
        return prefix_of_buckets(o, b);
    const members m = members_of(o, b, p.end, FARTHEST);
    return prefix_to(o, s, b, find_place(o, s, m, goal_of(AT_COUNT, k), shared));
}

/* To the first token with which the goal, a mass, is reached. */
DEVICE prefix cut_to_mass(const output_row &o, const scale &s, int stage, const prefix &p, const goal &g,
                          sample_shared *shared)
{
    const int last = o.row->stages[stage].last < p.bucket ? o.row->stages[stage].last : p.bucket;
    const int b = bucket_with(o, g, o.row->stages[stage].first, last, shared);
    return prefix_to(o, s, b, find_place(o, s, members_of(o, b, p.end, FARTHEST), g, shared));
}

DEVICE prefix cut_to_distance(const output_row &o, const scale &s, const prefix &p, sample_shared *shared)
{
    const int near = bucket_of_min_p(o, s);
    const int b = near < p.bucket ? near : p.bucket;
    const goal end = goal_of(AT_THE_END, 0);
    const place at = find_place(o, s, members_of(o, b, p.end, o.draw.farthest), end, shared);
    if (at.count > 0)
        return prefix_to(o, s, b, at);
    const int before = last_filled(o, b);
    return prefix_to(o, s, before, find_place(o, s, members_of(o, before, p.end, FARTHEST), end, shared));
}

/* All chunks have been gathered. */
DEVICE void draw_token(const ffai__cuda_sample_args &args, int32_t r, const output_row &o, sample_shared *shared)
{
    const scale s = scale_of(o);
    prefix p = prefix_of_buckets(o, last_filled(o, BUCKETS));
    if (o.draw.top_k > 0)
        p = cut_to_count(o, s, p, o.draw.top_k, shared);
    if (o.draw.top_p < 1.0f)
        p = cut_to_mass(o, s, FFAI__CUDA_SAMPLE_TOP_P, p, goal_of(AT_MASS, (double)o.draw.top_p * p.mass), shared);
    if (o.draw.farthest < float_of(INFINITE_BITS))
        p = cut_to_distance(o, s, p, shared);
    const double uniform = uniform_of(o.draw, o.position);
    p = cut_to_mass(o, s, FFAI__CUDA_SAMPLE_PLACE, p, goal_of(BEHIND_MASS, uniform * p.mass), shared);
    settle(args, r, o, id_of(p.end));
}

/* The whole of a row by one block. */
DEVICE void draw_alone(const ffai__cuda_sample_args &args, int32_t r, sample_shared *shared)
{
    const output_row o = output_of(args, r);
    for (int32_t c = 0; c < o.num_chunks; c++)
        search_chunk(o, c, shared);
    __syncthreads();
    finish_search(args, r, o, shared);
    __syncthreads();
    if (o.row->settled)
        return;
    for (int32_t c = 0; c < o.num_chunks; c++)
        weigh_chunk(o, c, shared);
    plan_draw(o, shared);
    for (int32_t c = 0; c < o.num_chunks; c++)
        gather_chunk(o, c);
    __syncthreads();
    draw_token(args, r, o, shared);
}

DEVICE bool is_followed(const ffai__cuda_sample_args &args, int32_t r)
{
    return r + 1 < args.step.sizes->num_outputs && args.step.draws[r + 1].follows;
}

/* The rows behind r, one after the other, as far as each hangs on the one before it. */
DEVICE void draw_followers(const ffai__cuda_sample_args &args, int32_t r, sample_shared *shared)
{
    for (; is_followed(args, r); r++) {
        __syncthreads(); /* r's draw is in the history */
        draw_alone(args, r + 1, shared);
    }
}

/* --- the kernels --- */

typedef void chunk_work(const ffai__cuda_sample_args &args, int32_t r, const output_row &o, int32_t chunk,
                        sample_shared *shared);

/* The chunks of all output rows that do not hang on another, of which block i takes every gridDim.x-th from i on. */
template <chunk_work WORK> DEVICE void take_chunks(const ffai__cuda_sample_args &args, sample_shared *shared)
{
    wait_for_previous();
    let_next_begin();
    const int32_t each = chunks_of(args.vocab_size);
    const int32_t end = args.step.sizes->draws ? args.step.sizes->num_outputs * each : 0;
    for (int32_t i = blockIdx.x; i < end; i += gridDim.x) {
        const int32_t r = i / each;
        if (!args.step.draws[r].follows)
            WORK(args, r, output_of(args, r), i % each, shared);
    }
}

DEVICE void search(const ffai__cuda_sample_args &args, int32_t r, const output_row &o, int32_t chunk,
                   sample_shared *shared)
{
    search_chunk(o, chunk, shared);
    if (is_last_of(&o.row->chunks_searched, o.num_chunks, shared))
        finish_search(args, r, o, shared);
}

DEVICE void weigh(const ffai__cuda_sample_args &, int32_t, const output_row &o, int32_t chunk, sample_shared *shared)
{
    if (o.row->settled)
        return;
    weigh_chunk(o, chunk, shared);
    if (is_last_of(&o.row->chunks_weighed, o.num_chunks, shared))
        plan_draw(o, shared);
}

DEVICE void gather_and_draw(const ffai__cuda_sample_args &args, int32_t r, const output_row &o, int32_t chunk,
                            sample_shared *shared)
{
    const bool settled = o.row->settled;
    if (settled && !is_followed(args, r))
        return;
    if (!settled)
        gather_chunk(o, chunk);
    if (!is_last_of(&o.row->chunks_gathered, o.num_chunks, shared))
        return;
    if (!settled)
        draw_token(args, r, o, shared);
    draw_followers(args, r, shared);
}

KERNEL(sample_best, ffai__cuda_sample_args, FFAI__CUDA_SAMPLE_THREADS)
{
    DYNAMIC_SHARED(sample_shared, shared);
    take_chunks<search>(args, shared);
}

KERNEL(sample_weigh, ffai__cuda_sample_args, FFAI__CUDA_SAMPLE_THREADS)
{
    DYNAMIC_SHARED(sample_shared, shared);
    take_chunks<weigh>(args, shared);
}

KERNEL(sample_draw, ffai__cuda_sample_args, FFAI__CUDA_SAMPLE_THREADS)
{
    DYNAMIC_SHARED(sample_shared, shared);
    take_chunks<gather_and_draw>(args, shared);
}
