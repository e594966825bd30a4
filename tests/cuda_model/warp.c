#define _GNU_SOURCE
#include "block.h"

#include <string.h>

static meeting *find_meeting(warp *w, uint32_t mask)
{
    for (meeting *m = w->waiting; m; m = m->next) {
        if (m->mask == mask)
            return m;
    }
    return NULL;
}

static meeting *call_meeting(warp *w, const char *operation, uint32_t mask)
{
    meeting *m = w->free;
    w->free = m->next;
    m->next = w->waiting;
    w->waiting = m;
    m->operation = operation;
    m->mask = mask;
    m->arrived = 0;
    m->inside = 0;
    return m;
}

static void remove_from_waiting(warp *w, const meeting *gone)
{
    meeting **link = &w->waiting;
    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
}

static bool complete(const warp *w, const meeting *m)
{
    return (m->mask & w->live & ~m->arrived) == 0;
}

void cuda_model_settle_meetings(warp *w)
{
    for (meeting *m = w->waiting, *next = NULL; m; m = next) {
        next = m->next;
        if (complete(w, m)) {
            remove_from_waiting(w, m);
            w->can_go_on |= m->arrived;
        }
    }
}

static uint32_t lane_bit(void)
{
    return UINT32_C(1) << cuda_model_block.current % LANES;
}

/* Comes together with the lanes of the mask; behind it all operands are there. */
static meeting *meet(const char *operation, uint32_t mask, const uint64_t *operands, size_t count)
{
    warp *w = current_warp();
    const uint32_t self = lane_bit();
    if (!(mask & self))
        cuda_model_fault("%s with mask 0x%08x, which leaves out lane %u itself", operation, mask,
                         cuda_model_block.current % LANES);
    meeting *m = find_meeting(w, mask);
    if (!m)
        m = call_meeting(w, operation, mask);
    if (m->operation != operation)
        cuda_model_fault("%s, while lanes 0x%08x of its warp wait in %s with the same mask 0x%08x", operation,
                         m->arrived, m->operation, mask);
    for (size_t i = 0; i < count; i++)
        m->operands[cuda_model_block.current % LANES][i] = operands[i];
    m->arrived |= self;
    m->inside |= self;
    if (complete(w, m)) {
        remove_from_waiting(w, m);
        w->can_go_on |= m->arrived;
        return m;
    }
    w->can_go_on &= ~self;
    cuda_model_let_others_run();
    return m;
}

static void leave(meeting *m)
{
    m->inside &= ~lane_bit();
    if (m->inside == 0) {
        warp *w = current_warp();
        m->next = w->free;
        w->free = m;
    }
}

void cuda_model_sync_warp(uint32_t mask)
{
    static const char operation[] = "__syncwarp";
    leave(meet(operation, mask, NULL, 0));
}

uint64_t cuda_model_shuffle(uint32_t mask, uint64_t value, unsigned source_lane)
{
    static const char operation[] = "a shuffle";
    meeting *m = meet(operation, mask, &value, 1);
    const uint64_t result = m->arrived >> source_lane & 1 ? m->operands[source_lane][0] : UINT64_MAX;
    leave(m);
    return result;
}

static uint32_t smaller(uint32_t a, uint32_t b, bool is_signed)
{
    return is_signed ? ((int32_t)a < (int32_t)b ? a : b) : (a < b ? a : b);
}

static uint32_t larger(uint32_t a, uint32_t b, bool is_signed)
{
    return smaller(a, b, is_signed) == a ? b : a;
}

static uint32_t combine(cuda_model_reduction what, uint32_t a, uint32_t b)
{
    switch (what) {
    case CUDA_MODEL_ADD:
        return a + b;
    case CUDA_MODEL_MIN:
    case CUDA_MODEL_MIN_SIGNED:
        return smaller(a, b, what == CUDA_MODEL_MIN_SIGNED);
    case CUDA_MODEL_MAX:
    case CUDA_MODEL_MAX_SIGNED:
        return larger(a, b, what == CUDA_MODEL_MAX_SIGNED);
    case CUDA_MODEL_AND:
        return a & b;
    case CUDA_MODEL_OR:
    case CUDA_MODEL_BALLOT:
        return a | b;
    case CUDA_MODEL_XOR:
        return a ^ b;
    }
    return 0;
}

static uint32_t reduce(const meeting *m, cuda_model_reduction what)
{
    const unsigned first = (unsigned)__builtin_ctz(m->arrived);
    uint32_t result = (uint32_t)m->operands[first][0];
    for (unsigned lane = first + 1; lane < LANES; lane++) {
        if (m->arrived >> lane & 1)
            result = combine(what, result, (uint32_t)m->operands[lane][0]);
    }
    return result;
}

uint32_t cuda_model_reduce(cuda_model_reduction what, uint32_t mask, uint32_t value)
{
    static const char *const operations[] = {
        [CUDA_MODEL_BALLOT] = "a vote",
        [CUDA_MODEL_ADD] = "__reduce_add_sync",
        [CUDA_MODEL_MIN] = "__reduce_min_sync",
        [CUDA_MODEL_MAX] = "__reduce_max_sync",
        [CUDA_MODEL_MIN_SIGNED] = "__reduce_min_sync of int",
        [CUDA_MODEL_MAX_SIGNED] = "__reduce_max_sync of int",
        [CUDA_MODEL_AND] = "__reduce_and_sync",
        [CUDA_MODEL_OR] = "__reduce_or_sync",
        [CUDA_MODEL_XOR] = "__reduce_xor_sync",
    };
    const uint64_t operand = what == CUDA_MODEL_BALLOT ? (value ? lane_bit() : 0) : value;
    meeting *m = meet(operations[what], mask, &operand, 1);
    if (m->inside == m->arrived) /* nobody has gone: the first to see it */
        m->result = reduce(m, what);
    const uint32_t result = m->result;
    leave(m);
    return result;
}

/* A number of 16 bits, exactly. */
static inline float widen(uint32_t bits, cuda_model_number kind)
{
    const uint32_t magnitude = bits & 0x7FFFu;
    uint32_t wide = bits << 16;
    float value = (float)magnitude * 0x1p-24f;
    if (kind == CUDA_MODEL_F16 && magnitude < 0x400u)
        return bits & 0x8000u ? -value : value;
    if (kind == CUDA_MODEL_F16) /* infinities and what is no number have the largest exponent in both */
        wide = (bits & 0x8000u) << 16 |
               (magnitude >= 0x7C00u ? 0x7F800000u | magnitude << 13 : (magnitude + 0x1C000u) << 13);
    memcpy(&value, &wide, sizeof value);
    return value;
}

typedef struct product {
    float a[16][16], b[16][8], c[16][8];
} product;

/* Lane 4 g + t has of a the rows g and g + 8, of b the column g; columns of a and rows of b 2t, 2t + 1 and 8 more. */
static inline void gather_factors(product *p, const meeting *m, cuda_model_number kind)
{
    for (unsigned lane = 0; lane < LANES; lane++) {
        const unsigned g = lane / 4;
        const unsigned k = lane % 4 * 2;
        uint32_t words[6];
        memcpy(words, m->operands[lane], sizeof words);
        for (unsigned i = 0; i < 4; i++) {
            p->a[g + i % 2 * 8][k + i / 2 * 8] = widen(words[i] & 0xFFFFu, kind);
            p->a[g + i % 2 * 8][k + i / 2 * 8 + 1] = widen(words[i] >> 16, kind);
        }
        for (unsigned i = 0; i < 2; i++) {
            p->b[k + i * 8][g] = widen(words[4 + i] & 0xFFFFu, kind);
            p->b[k + i * 8 + 1][g] = widen(words[4 + i] >> 16, kind);
        }
    }
}

/* Lane 4 g + t has of c columns 2t and 2t + 1 of rows g and g + 8. */
static void exchange_sums(product *p, const meeting *m, bool give)
{
    for (unsigned lane = 0; lane < LANES; lane++) {
        float *sums = NULL;
        memcpy(&sums, &m->operands[lane][3], sizeof sums);
        for (unsigned i = 0; i < 2; i++) {
            float *two = &p->c[lane / 4 + i * 8][lane % 4 * 2];
            memcpy(give ? &sums[i * 2] : two, give ? two : &sums[i * 2], 2 * sizeof *two);
        }
    }
}

typedef float four __attribute__((vector_size(16)));

/* One lane does it for all, with vectors along the columns of b and c. */
static void multiply(product *p)
{
    four b[16][2];
    memcpy(b, p->b, sizeof b);
    for (unsigned row = 0; row < 16; row++) {
        four sums[2];
        memcpy(sums, p->c[row], sizeof sums);
        for (unsigned k = 0; k < 16; k++) {
            const float factor = p->a[row][k];
            sums[0] += factor * b[k][0];
            sums[1] += factor * b[k][1];
        }
        memcpy(p->c[row], sums, sizeof sums);
    }
}

static void multiply_for_all(const meeting *m, cuda_model_number kind)
{
    product p;
    if (kind == CUDA_MODEL_F16)
        gather_factors(&p, m, CUDA_MODEL_F16);
    else
        gather_factors(&p, m, CUDA_MODEL_BF16);
    exchange_sums(&p, m, false);
    multiply(&p);
    exchange_sums(&p, m, true);
}

/* Lane 4 g + t has of a columns 4t to 4t + 3 and 16 more of the rows g and g + 8, of b the same of column g. */
static void multiply_bytes_for_all(const meeting *m)
{
    uint8_t a[16][32];
    int8_t b[8][32]; /* by columns */
    for (unsigned lane = 0; lane < LANES; lane++) {
        uint32_t words[6];
        memcpy(words, m->operands[lane], sizeof words);
        for (unsigned i = 0; i < 4; i++)
            memcpy(&a[lane / 4 + i % 2 * 8][lane % 4 * 4 + i / 2 * 16], &words[i], 4);
        for (unsigned i = 0; i < 2; i++)
            memcpy(&b[lane / 4][lane % 4 * 4 + i * 16], &words[4 + i], 4);
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        int *sums = NULL;
        memcpy(&sums, &m->operands[lane][3], sizeof sums);
        for (unsigned i = 0; i < 4; i++) {
            const uint8_t *row = a[lane / 4 + i / 2 * 8];
            const int8_t *column = b[lane % 4 * 2 + i % 2];
            for (unsigned k = 0; k < 32; k++)
                sums[i] += row[k] * column[k];
        }
    }
}

/* The operation's meeting, with the lane's factors and where its sums are. */
static meeting *meet_to_multiply(const char *operation, void *sums, const uint32_t *a, uint32_t b0, uint32_t b1)
{
    const uint32_t words[6] = {a[0], a[1], a[2], a[3], b0, b1};
    uint64_t operands[4];
    memcpy(operands, words, sizeof words);
    memcpy(&operands[3], &sums, sizeof sums);
    meeting *m = meet(operation, UINT32_MAX, operands, 4);
    if (m->arrived != UINT32_MAX)
        cuda_model_fault("%s without lanes 0x%08x, which have ended", operation, ~m->arrived);
    return m;
}

void cuda_model_mma(float *c, const uint32_t *a, uint32_t b0, uint32_t b1, cuda_model_number kind)
{
    meeting *m = meet_to_multiply(kind == CUDA_MODEL_F16 ? "mma_f16" : "mma_bf16", c, a, b0, b1);
    if (m->inside == m->arrived)
        multiply_for_all(m, kind);
    leave(m);
}

void cuda_model_mma_bytes(int *c, const uint32_t *a, uint32_t b0, uint32_t b1)
{
    meeting *m = meet_to_multiply("mma_bytes", c, a, b0, b1);
    if (m->inside == m->arrived)
        multiply_bytes_for_all(m);
    leave(m);
}

static float bf16_value(uint32_t pair, int half)
{
    const uint32_t bits = half ? pair & 0xFFFF0000U : pair << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Row `row` of 16, number k of 16, of what all lanes brought. */
static float a_value(const meeting *m, int row, int k)
{
    return bf16_value((uint32_t)m->operands[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2);
}

static float b_value(const uint8_t *b, int column, int step, int k)
{
    const int part = (step * 2 + k / 8) ^ (column % 8);
    uint16_t bits;
    memcpy(&bits, b + column * 128 + part * 16 + k % 8 * 2, sizeof bits);
    return bf16_value(bits, 0);
}

void cuda_model_group_product(float *c, const uint32_t *a, const uint8_t *b, int columns, int step, int add)
{
    static const char operation[] = "multiply_group";
    const uint64_t operands[4] = {a[0], a[1], a[2], a[3]};
    meeting *m = meet(operation, UINT32_MAX, operands, 4);
    const int lane = (int)(cuda_model_block.current % LANES);
    float values[2][16];
    for (int i = 0; i < 32; i++)
        values[i / 16][i % 16] = a_value(m, lane / 4 + i / 16 * 8, i % 16);
    leave(m);
    for (int i = 0; i < columns / 2; i++) {
        float sum = add ? c[i] : 0.0F;
        for (int k = 0; k < 16; k++)
            sum += values[i / 2 % 2][k] * b_value(b, i / 4 * 8 + lane % 4 * 2 + i % 2, step, k);
        c[i] = sum;
    }
}
