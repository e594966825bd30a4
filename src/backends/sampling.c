/* Temperature, top-k, top-p and min-p each keep a prefix of the vocabulary sorted by logit, and the draw finds a
 * place in it. So nothing is sorted but what a cut or the draw falls into: tokens are counted and weighed in
 * buckets by logit, and only the buckets with a cut in them are put in order. */
#include "sampling.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { BUCKETS = 2048, LANES = 16 };

/* Tokens whose probability is below e^-60 of the largest have none. */
#define FARTHEST 60.0f

typedef struct sampler {
    const float *logits;
    int64_t vocab_size;
    float largest;
    float per_temperature;
    float range; /* of distances from the largest logit, in units of temperature, that have a bucket */
    float per_bucket;
    double *masses;   /* [BUCKETS] sum of e^-distance */
    int64_t *counts;  /* [BUCKETS] */
    int32_t *members; /* [vocab_size] ids of one bucket, in order */
    uint8_t *seen;    /* [vocab_size / 8 + 1] */
} sampler;

/* A prefix of the sorted vocabulary: whole buckets before `bucket`, and `count` tokens of it. */
typedef struct prefix {
    int bucket;
    int64_t count;
    double mass;
} prefix;

void ffai__philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c[0];
        const uint64_t b = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t mixed[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1],
                                   (uint32_t)a};
        memcpy(c, mixed, sizeof c);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

double ffai__philox_uniform(uint64_t seed, uint64_t counter)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t block[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), 0, 0};
    uint32_t words[4];
    ffai__philox(words, block, key);
    const uint64_t bits = (uint64_t)words[1] << 32 | words[0];
    return (double)(bits >> 11) * 0x1p-53;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t ffai__sample_scratch_bytes(int64_t vocab_size)
{
    const size_t n = (size_t)vocab_size;
    return round_up(BUCKETS * sizeof(double)) + round_up(BUCKETS * sizeof(int64_t)) + round_up(n * sizeof(int32_t)) +
           round_up(n / 8 + 1);
}

static void divide_scratch(sampler *s, void *scratch)
{
    uint8_t *at = scratch;
    s->masses = (double *)scratch;
    at += round_up(BUCKETS * sizeof(double));
    s->counts = (int64_t *)(void *)at;
    at += round_up(BUCKETS * sizeof(int64_t));
    s->members = (int32_t *)(void *)at;
    at += round_up((size_t)s->vocab_size * sizeof(int32_t));
    s->seen = at;
}

/* Once for each distinct token of the history. */
static void penalize(float *logits, const sampler *s, const ffai__draw *draw, const int32_t *tokens, int64_t count)
{
    memset(s->seen, 0, (size_t)s->vocab_size / 8 + 1);
    for (int64_t i = 0; i < count; i++) {
        const int32_t token = tokens[i];
        if (token < 0 || token >= s->vocab_size || (s->seen[token / 8] >> (token % 8) & 1))
            continue;
        s->seen[token / 8] = (uint8_t)(s->seen[token / 8] | 1 << (token % 8));
        const float logit = logits[token];
        logits[token] = logit > 0 ? logit / draw->repetition_penalty : logit * draw->repetition_penalty;
        logits[token] -= draw->presence_penalty;
    }
}

/* What is not allowed has no chance. */
static void apply_mask(float *logits, int64_t vocab_size, const ffai__draw *draw)
{
    const int64_t known = draw->num_allowed < vocab_size ? draw->num_allowed : vocab_size;
    for (int64_t i = 0; i < known; i++) {
        if (!(draw->allowed[i / 32] >> i % 32 & 1))
            logits[i] = -INFINITY;
    }
    for (int64_t i = known; i < vocab_size; i++)
        logits[i] = -INFINITY;
}

/* In lanes, so that a compiler can take several at once. Comparisons with NaN are false: it never wins. */
static float largest_logit(const float *logits, int64_t count)
{
    float best[LANES];
    int64_t i = 0;
    for (int lane = 0; lane < LANES; lane++)
        best[lane] = -INFINITY;
    for (; i + LANES <= count; i += LANES) {
        for (int lane = 0; lane < LANES; lane++)
            best[lane] = logits[i + lane] > best[lane] ? logits[i + lane] : best[lane];
    }
    for (; i < count; i++)
        best[0] = logits[i] > best[0] ? logits[i] : best[0];
    for (int lane = 1; lane < LANES; lane++)
        best[0] = best[lane] > best[0] ? best[lane] : best[0];
    return best[0];
}

static int32_t first_equal(const float *logits, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++) {
        if (logits[i] == value)
            return (int32_t)i;
    }
    return 0; /* all are NaN */
}

/* e^-distance for distances from 0 to FARTHEST, by e^r * 2^n with |r| <= ln 2 / 2; relative error 2e-7. */
static inline float decay(float distance)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const float shifted = shift - distance * 1.44269504f;
    const float n = shifted - shift;
    const float r = (-distance - n * 0.693359375f) + n * 2.12194440e-4f;
    const float p = ((0x1.123a6cp-7f + 0x1.6a2342p-10f * r) * r + 0x1.5558f4p-5f) * r + 0x1.55549p-3f;
    const float e = 1.0f + (r + r * r * (0x1.fffffcp-2f + r * p));
    uint32_t bits = 0;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3F800000u;
    float power = 0;
    memcpy(&power, &bits, sizeof power);
    return e * power;
}

static inline float distance_of(const sampler *s, float logit)
{
    return (s->largest - logit) * s->per_temperature;
}

/* The distances of LANES tokens from `id` on; infinite beyond the vocabulary. */
static inline void distances_from(float distances[LANES], const sampler *s, int64_t id)
{
    float logits[LANES];
    const float *block = s->logits + id;
    if (id + LANES > s->vocab_size) {
        for (int lane = 0; lane < LANES; lane++)
            logits[lane] = id + lane < s->vocab_size ? s->logits[id + lane] : -INFINITY;
        block = logits;
    }
    for (int lane = 0; lane < LANES; lane++)
        distances[lane] = distance_of(s, block[lane]);
}

/* Rises with the distance. */
static inline int bucket_of(const sampler *s, float distance)
{
    const int bucket = (int)(distance * s->per_bucket);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* Buckets reach as far as the farthest token that has a chance, so that none holds a great part of them. A token
 * whose logit is not a number has none. */
static void choose_range(sampler *s)
{
    float farthest[LANES] = {0};
    for (int64_t id = 0; id < s->vocab_size; id += LANES) {
        float d[LANES];
        distances_from(d, s, id);
        for (int lane = 0; lane < LANES; lane++) {
            const float near = d[lane] <= FARTHEST ? d[lane] : 0;
            farthest[lane] = near > farthest[lane] ? near : farthest[lane];
        }
    }
    s->range = 0x1p-20f;
    for (int lane = 0; lane < LANES; lane++)
        s->range = farthest[lane] > s->range ? farthest[lane] : s->range;
    s->per_bucket = (float)BUCKETS / s->range;
}

static void weigh_buckets(sampler *s)
{
    memset(s->masses, 0, BUCKETS * sizeof *s->masses);
    memset(s->counts, 0, BUCKETS * sizeof *s->counts);
    for (int64_t id = 0; id < s->vocab_size; id += LANES) {
        float d[LANES];
        float mass[LANES];
        distances_from(d, s, id);
        for (int lane = 0; lane < LANES; lane++)
            mass[lane] = decay(d[lane]);
        for (int lane = 0; lane < LANES; lane++) {
            if (!(d[lane] <= s->range))
                continue;
            const int bucket = bucket_of(s, d[lane]);
            s->masses[bucket] += (double)mass[lane];
            s->counts[bucket]++;
        }
    }
}

/* Larger logits first, then smaller ids. */
static bool goes_before(const sampler *s, int32_t a, int32_t b)
{
    const float x = s->logits[a];
    const float y = s->logits[b];
    return x > y || (x == y && a < b);
}

/* Restore the heap whose last element goes first, below `at`. */
static void sift_down(const sampler *s, int64_t at, int64_t count)
{
    int32_t *m = s->members;
    for (int64_t child = 2 * at + 1; child < count; at = child, child = 2 * at + 1) {
        if (child + 1 < count && goes_before(s, m[child], m[child + 1]))
            child++;
        if (!goes_before(s, m[at], m[child]))
            return;
        const int32_t moved = m[at];
        m[at] = m[child];
        m[child] = moved;
    }
}

static bool is_sorted(const sampler *s, int64_t count)
{
    for (int64_t i = 1; i < count; i++) {
        if (goes_before(s, s->members[i], s->members[i - 1]))
            return false;
    }
    return true;
}

static void sort_members(const sampler *s, int64_t count)
{
    if (is_sorted(s, count))
        return;
    for (int64_t i = count / 2; i-- > 0;)
        sift_down(s, i, count);
    for (int64_t end = count - 1; end > 0; end--) {
        const int32_t last = s->members[0];
        s->members[0] = s->members[end];
        s->members[end] = last;
        sift_down(s, 0, end);
    }
}

/* Fill members with a bucket's tokens in order. */
static void gather_bucket(const sampler *s, int bucket)
{
    int64_t count = 0;
    for (int64_t id = 0; count < s->counts[bucket]; id += LANES) {
        float d[LANES];
        distances_from(d, s, id);
        for (int lane = 0; lane < LANES; lane++) {
            if (d[lane] <= s->range && bucket_of(s, d[lane]) == bucket)
                s->members[count++] = (int32_t)(id + lane);
        }
    }
    sort_members(s, count);
}

static double member_mass(const sampler *s, int64_t i)
{
    return (double)decay(distance_of(s, s->logits[s->members[i]]));
}

static double mass_before(const sampler *s, int bucket)
{
    double mass = 0;
    for (int b = 0; b < bucket; b++)
        mass += s->masses[b];
    return mass;
}

/* Everything that has a chance. */
static prefix whole(const sampler *s)
{
    prefix all = {.bucket = BUCKETS - 1};
    while (all.bucket > 0 && s->counts[all.bucket] == 0)
        all.bucket--;
    all.count = s->counts[all.bucket];
    all.mass = mass_before(s, all.bucket) + s->masses[all.bucket];
    return all;
}

/* Tokens of a bucket that belong to the prefix. */
static int64_t count_in(const sampler *s, prefix p, int bucket)
{
    return bucket == p.bucket ? p.count : s->counts[bucket];
}

/* The first `count` tokens of a bucket that has been gathered, and the buckets before it. */
static prefix prefix_to(const sampler *s, int bucket, int64_t count)
{
    prefix p = {.bucket = bucket, .count = count, .mass = mass_before(s, bucket)};
    for (int64_t i = 0; i < count; i++)
        p.mass += member_mass(s, i);
    return p;
}

/* The first k tokens of the prefix. */
static prefix cut_to_count(const sampler *s, prefix p, int64_t k)
{
    int64_t before = 0;
    int b = 0;
    while (b < p.bucket && before + s->counts[b] < k)
        before += s->counts[b++];
    if (before + count_in(s, p, b) <= k)
        k = before + count_in(s, p, b);
    gather_bucket(s, b);
    return prefix_to(s, b, k - before);
}

/* The smallest prefix of the prefix that has at least this mass, with one token at least. */
static prefix cut_to_mass(const sampler *s, prefix p, double mass)
{
    double sum = 0;
    int b = 0;
    while (b < p.bucket && (s->counts[b] == 0 || sum + s->masses[b] < mass))
        sum += s->masses[b++];
    gather_bucket(s, b);
    int64_t count = 0;
    while (count < count_in(s, p, b) && (count == 0 || sum < mass))
        sum += member_mass(s, count++);
    return prefix_to(s, b, count);
}

/* Tokens at least min_p times as likely as the likeliest, which is one of them. */
static prefix cut_to_ratio(const sampler *s, prefix p, float min_p)
{
    const float farthest = min_p < 1.0f ? -logf(min_p) : 0.0f;
    int b = farthest <= s->range ? bucket_of(s, farthest) : BUCKETS - 1;
    if (b >= p.bucket)
        b = p.bucket;
    gather_bucket(s, b);
    int64_t count = 0;
    while (count < count_in(s, p, b) && distance_of(s, s->logits[s->members[count]]) <= farthest)
        count++;
    while (count == 0) { /* the bucket before is kept whole */
        count = s->counts[--b];
        gather_bucket(s, b);
    }
    return prefix_to(s, b, count);
}

/* The last token of the smallest prefix whose mass exceeds `target`. */
static int32_t token_at(const sampler *s, prefix p, double target)
{
    double before = 0;
    int b = 0;
    while (b < p.bucket && before + s->masses[b] <= target)
        before += s->masses[b++];
    gather_bucket(s, b);
    int64_t i = 0;
    for (; i + 1 < count_in(s, p, b); i++) {
        before += member_mass(s, i);
        if (before > target)
            break;
    }
    return s->members[i];
}

static int32_t draw_token(sampler *s, const ffai__draw *draw, int64_t position)
{
    choose_range(s);
    weigh_buckets(s);
    prefix kept = whole(s);
    if (draw->top_k > 0)
        kept = cut_to_count(s, kept, draw->top_k);
    if (draw->top_p < 1.0f)
        kept = cut_to_mass(s, kept, (double)draw->top_p * kept.mass);
    if (draw->min_p > 0)
        kept = cut_to_ratio(s, kept, draw->min_p);
    const double uniform = ffai__philox_uniform(draw->seed, (uint64_t)position);
    return token_at(s, kept, uniform * kept.mass);
}

int32_t ffai__sample(float *logits, int64_t vocab_size, const ffai__draw *draw, const int32_t *tokens,
                     int64_t num_tokens, int64_t position, void *scratch)
{
    sampler s = {.logits = logits, .vocab_size = vocab_size, .per_temperature = 1.0f / draw->temperature};
    divide_scratch(&s, scratch);
    if (draw->allowed)
        apply_mask(logits, vocab_size, draw);
    if (draw->repetition_penalty != 1.0f || draw->presence_penalty != 0.0f)
        penalize(logits, &s, draw, tokens, num_tokens);
    s.largest = largest_logit(logits, vocab_size);
    if (!(draw->temperature >= FLT_MIN) || isinf(s.largest))
        return first_equal(logits, vocab_size, s.largest);
    return draw_token(&s, draw, position);
}
