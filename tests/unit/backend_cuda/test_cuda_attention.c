/* Attention of many rows, by itself: held against sums in double over what is stored. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtype.h"
#include "kernels/args.h"
#include "launch.h"
#include "step.h"

enum { SLOTS = 5, MOST_ROWS = 400, MAX_PAGES = 24, MOST_SEQUENCES = 5 };

typedef struct shape {
    int heads, kv_heads, head_dim;
    int window;
    ffai__store_format format;
    int splits; /* parts of the context */
} shape;

/* Rows [first, first + rows) of what is in a slot. */
typedef struct sequence {
    int slot, first, rows;
} sequence;

/* What is in every slot by position, and the pages that hold some of it. */
typedef struct contexts {
    shape s;
    float *q;       /* [slots][positions][heads][head_dim] */
    uint16_t *kv;   /* [slots][positions][2][kv_heads][head_dim] as stored */
    uint8_t *pages; /* what is not written is no number */
    int64_t page_bytes;
    uint32_t tables[SLOTS][2][MAX_PAGES];
} contexts;

enum { POSITIONS = MAX_PAGES * FFAI__PAGE_TOKENS, GROUP = 1 /* of the two that a sequence has pages of */ };

static uint32_t random_state;

static float uniform(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / 8388608.0f - 1.0f;
}

static uint16_t stored(float value, ffai__store_format format)
{
    return format == FFAI__STORE_F16 ? ffai__f32_to_f16(value) : ffai__f32_to_bf16(value);
}

static double number(uint16_t bits, ffai__store_format format)
{
    return (double)(format == FFAI__STORE_F16 ? ffai__f16_to_f32(bits) : ffai__bf16_to_f32(bits));
}

static float *query(const contexts *c, int slot, int position, int head)
{
    return c->q + (((int64_t)slot * POSITIONS + position) * c->s.heads + head) * c->s.head_dim;
}

/* which: 0 key, 1 value */
static uint16_t *stored_head(const contexts *c, int slot, int position, int which, int head)
{
    return c->kv + ((((int64_t)slot * POSITIONS + position) * 2 + which) * c->s.kv_heads + head) * c->s.head_dim;
}

static void create(contexts *c, const shape *s)
{
    const int64_t positions = (int64_t)SLOTS * POSITIONS;
    *c = (contexts){.s = *s};
    c->page_bytes = (int64_t)2 * 2 * FFAI__PAGE_TOKENS * s->kv_heads * s->head_dim;
    c->q = malloc((size_t)(positions * s->heads * s->head_dim) * sizeof *c->q);
    c->kv = malloc((size_t)(positions * 2 * s->kv_heads * s->head_dim) * sizeof *c->kv);
    c->pages = aligned_alloc(256, ((size_t)c->page_bytes * SLOTS * MAX_PAGES + 255) / 256 * 256);
    random_state = 7;
    for (int64_t i = 0; i < positions * s->heads * s->head_dim; i++)
        c->q[i] = 3 * uniform();
    for (int64_t i = 0; i < positions * 2 * s->kv_heads * s->head_dim; i++)
        c->kv[i] = stored(uniform(), s->format);
}

static void discard(contexts *c)
{
    free(c->q);
    free(c->kv);
    free(c->pages);
}

static void write_position(contexts *c, int slot, int position)
{
    const int dim = c->s.head_dim;
    void *at_page = c->pages + c->tables[slot][GROUP][position / FFAI__PAGE_TOKENS] * c->page_bytes;
    uint16_t *page = at_page;
    const int at = position % FFAI__PAGE_TOKENS;
    for (int head = 0; head < c->s.kv_heads; head++) {
        for (int d = 0; d < dim; d++) {
            page[(head * FFAI__PAGE_TOKENS + at) * dim + d] = stored_head(c, slot, position, 0, head)[d];
            page[((c->s.kv_heads + head) * dim + d) * FFAI__PAGE_TOKENS + at] =
                stored_head(c, slot, position, 1, head)[d];
        }
    }
}

/* The stores as a step of these sequences finds them: nothing behind their last rows is written. */
static void write_pages(contexts *c, const sequence *sequences, int count)
{
    memset(c->pages, 0xFF, (size_t)c->page_bytes * SLOTS * MAX_PAGES);
    memset(c->tables, 0xFF, sizeof c->tables);
    for (int i = 0; i < count; i++) {
        const int slot = sequences[i].slot;
        const int end = sequences[i].first + sequences[i].rows;
        for (int page = 0; page * FFAI__PAGE_TOKENS < end; page++)
            c->tables[slot][GROUP][page] = (uint32_t)((slot * MAX_PAGES + page * 7) % (SLOTS * MAX_PAGES));
        for (int position = 0; position < end; position++)
            write_position(c, slot, position);
    }
}

static int set_rows(ffai__cuda_row *rows, float *q, const contexts *c, const sequence *sequences, int count)
{
    int t = 0;
    for (int i = 0; i < count; i++) {
        for (int row = 0; row < sequences[i].rows; row++, t++) {
            rows[t] = (ffai__cuda_row){.position = sequences[i].first + row, .slot = sequences[i].slot};
            memcpy(q + (int64_t)t * c->s.heads * c->s.head_dim,
                   query(c, sequences[i].slot, sequences[i].first + row, 0),
                   (size_t)(c->s.heads * c->s.head_dim) * sizeof *q);
        }
    }
    assert_true(t <= MOST_ROWS);
    return t;
}

/* One step: y [MOST_ROWS][heads][head_dim], of which the caller frees what is returned. */
static float *run_step(contexts *c, const sequence *sequences, int count)
{
    static ffai__cuda_row rows[MOST_ROWS];
    static int32_t tiles[MOST_ROWS + 2];
    const int64_t numbers = (int64_t)MOST_ROWS * c->s.heads * c->s.head_dim;
    const int splits = c->s.splits;
    float *partials = malloc((size_t)numbers * 2 * sizeof *partials * (size_t)splits);
    memset(partials, 0xFF, (size_t)numbers * 2 * sizeof *partials * (size_t)splits);
    float *q = aligned_alloc(256, (size_t)(numbers * 4 + 255) / 256 * 256);
    float *y = malloc((size_t)numbers * sizeof *y);
    for (int64_t i = 0; i < numbers; i++)
        y[i] = 7;
    write_pages(c, sequences, count);
    const ffai__cuda_sizes sizes = {.num_rows = set_rows(rows, q, c, sequences, count)};
    const ffai__cuda_step step = {.sizes = &sizes,
                                  .rows = rows,
                                  .tables = c->tables[0][0],
                                  .table_stride = 2 * MAX_PAGES,
                                  .max_pages = MAX_PAGES};
    const int group = c->s.heads / c->s.kv_heads;
    const int sets = FFAI__CUDA_ATTEND_MANY_SETS(group);
    const int tile_rows = FFAI__CUDA_ATTEND_MANY_QUERIES / ((group + sets - 1) / sets);
    const ffai__cuda_attend_tiles_args list = {.step = step, .tiles = (void *)tiles, .tile_rows = tile_rows};
    CUDA_MODEL_RUN("attend_tiles", 1, 256, 0, &list);
    const ffai__cuda_attend_many_args args = {
        .attention = {.step = step,
                      .store = {.pages = c->pages,
                                .page_bytes = c->page_bytes,
                                .heads = c->s.kv_heads,
                                .head_dim = c->s.head_dim,
                                .format = (int32_t)c->s.format,
                                .group = GROUP},
                      .q = q,
                      .y = y,
                      .partials = partials,
                      .splits = splits,
                      .heads = c->s.heads,
                      .scale = 1.0f / sqrtf((float)c->s.head_dim),
                      .window = c->s.window},
        .tiles = (void *)tiles,
        .sets = sets,
    };
    char name[64];
    snprintf(name, sizeof name, "attend_many_%s_%d", c->s.format == FFAI__STORE_F16 ? "f16" : "bf16", c->s.head_dim);
    CUDA_MODEL_RUN(name, (unsigned)((sizes.num_rows / tile_rows + 2 * count) * c->s.kv_heads * sets * splits),
                   FFAI__CUDA_ATTEND_MANY_THREADS, (size_t)FFAI__CUDA_ATTEND_MANY_SHARED_BYTES(c->s.head_dim), &args);
    if (splits > 1)
        CUDA_MODEL_RUN("attend_many_merge", 3, 256, 0, &args.attention);
    for (int64_t i = (int64_t)sizes.num_rows * c->s.heads * c->s.head_dim; i < numbers; i++)
        assert_true(y[i] == 7);
    free(partials);
    free(q);
    return y;
}

/* --- the oracle --- */

static int first_seen(const shape *s, int position)
{
    return s->window && position >= s->window ? position - s->window + 1 : 0;
}

static void expect(double *y, const contexts *c, int slot, int position, int head)
{
    static double weights[POSITIONS];
    const int kv_head = head / (c->s.heads / c->s.kv_heads);
    const int first = first_seen(&c->s, position);
    const float *q = query(c, slot, position, head);
    double most = -INFINITY;
    double total = 0;
    for (int p = first; p <= position; p++) {
        double dot = 0;
        for (int d = 0; d < c->s.head_dim; d++)
            dot += (double)q[d] * number(stored_head(c, slot, p, 0, kv_head)[d], c->s.format);
        weights[p] = dot / sqrt(c->s.head_dim);
        most = weights[p] > most ? weights[p] : most;
    }
    memset(y, 0, (size_t)c->s.head_dim * sizeof *y);
    for (int p = first; p <= position; p++) {
        const double weight = exp(weights[p] - most);
        total += weight;
        for (int d = 0; d < c->s.head_dim; d++)
            y[d] += weight * number(stored_head(c, slot, p, 1, kv_head)[d], c->s.format);
    }
    for (int d = 0; d < c->s.head_dim; d++)
        y[d] /= total;
}

/* Values are below 1, and so is each of their means; queries and weights have 11 bits, or 8. */
static double bar(const contexts *c)
{
    return c->s.format == FFAI__STORE_F16 ? 1e-3 : 8e-3;
}

static void compare(const contexts *c, const sequence *sequences, int count, const float *y)
{
    double expected[256];
    for (int i = 0; i < count; i++) {
        for (int row = 0; row < sequences[i].rows; row++) {
            for (int head = 0; head < c->s.heads; head++, y += c->s.head_dim) {
                const int position = sequences[i].first + row;
                expect(expected, c, sequences[i].slot, position, head);
                for (int d = 0; d < c->s.head_dim; d++) {
                    if (!(fabs((double)y[d] - expected[d]) <= bar(c)))
                        fail_msg("%d/%d heads of %d, window %d: slot %d, position %d, head %d, %d: %g, not %g",
                                 c->s.heads, c->s.kv_heads, c->s.head_dim, c->s.window, sequences[i].slot, position,
                                 head, d, (double)y[d], expected[d]);
                }
            }
        }
    }
}

/* --- cases --- */

/* Prompts, their later chunks, and single tokens, whose tiles are cut in every way. */
static const sequence batches[][MOST_SEQUENCES] = {
    {{0, 0, 70}, {1, 100, 1}, {2, 63, 66}, {3, 0, 1}, {4, 30, 3}},
    {{0, 570, 140}, {3, 31, 2}, {1, 0, 33}},
    {{2, 0, 10}},
};

static int length_of(const sequence *sequences)
{
    int count = 0;
    while (count < MOST_SEQUENCES && sequences[count].rows)
        count++;
    return count;
}

static void check(const shape *s, const sequence *sequences)
{
    contexts c;
    create(&c, s);
    float *y = run_step(&c, sequences, length_of(sequences));
    compare(&c, sequences, length_of(sequences), y);
    free(y);
    discard(&c);
}

static void skip_without_kernels(void)
{
    if (!cuda_model_has_kernels())
        skip();
}

static void ragged_steps_equal_the_oracle(void **state)
{
    (void)state;
    static const shape shapes[] = {{8, 2, 128, 0, FFAI__STORE_F16, 1},
                                   {3, 1, 96, 0, FFAI__STORE_BF16, 1},
                                   {7, 1, 64, 0, FFAI__STORE_F16, 1},
                                   {2, 2, 32, 0, FFAI__STORE_BF16, 1},
                                   {5, 1, 128, 0, FFAI__STORE_BF16, 1}};
    skip_without_kernels();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check(&shapes[i], batches[0]);
    check(&shapes[0], batches[1]);
    check(&shapes[2], batches[1]);
    check(&shapes[3], batches[2]);
}

static void windows_of_every_kind_equal_the_oracle(void **state)
{
    (void)state;
    static const int windows[] = {1, 31, 32, 33, 64, 100, 5000};
    skip_without_kernels();
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        const shape s = {4, 1, i % 2 ? 32 : 64, windows[i], FFAI__STORE_F16, 1};
        check(&s, batches[0]);
        check(&s, batches[1]);
    }
}

static void contexts_in_parts_equal_the_oracle(void **state)
{
    (void)state;
    static const shape shapes[] = {{8, 2, 128, 0, FFAI__STORE_F16, 2},
                                   {3, 1, 64, 0, FFAI__STORE_F16, 16},
                                   {7, 1, 32, 100, FFAI__STORE_BF16, 5},
                                   {4, 2, 96, 33, FFAI__STORE_F16, 3}};
    skip_without_kernels();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check(&shapes[i], batches[0]);
        check(&shapes[i], batches[1]);
    }
}

/* 130 heads don't go into one tile; of 66 and 128 a tile has one row. */
static void groups_of_any_size_equal_the_oracle(void **state)
{
    (void)state;
    static const int groups[] = {130, 128, 66, 33, 1};
    static const sequence few[] = {{0, 40, 5}, {1, 0, 2}, {0}};
    skip_without_kernels();
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        const shape s = {groups[i], 1, 32, 0, FFAI__STORE_F16, 1};
        check(&s, few);
    }
}

/* Queries that f16 does not hold, or only as its smallest numbers. */
static void queries_of_any_size_equal_the_oracle(void **state)
{
    (void)state;
    static const float sizes[] = {1e-30f, 1e-7f, 1.0f, 3e2f, 1e6f};
    skip_without_kernels();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const shape s = {4, 2, 32, 0, FFAI__STORE_F16, 1};
        contexts c;
        create(&c, &s);
        for (int64_t n = 0; n < (int64_t)SLOTS * POSITIONS * s.heads * s.head_dim; n++)
            c.q[n] *= sizes[i];
        /* keys as small as queries are large: the scores are those of the others */
        for (int64_t n = 0; n < (int64_t)SLOTS * POSITIONS * 2 * s.kv_heads; n++) {
            for (int d = 0; d < s.head_dim && n / s.kv_heads % 2 == 0 && sizes[i] > 1; d++) {
                uint16_t *key = &c.kv[n * s.head_dim + d];
                *key = stored((float)number(*key, s.format) / sizes[i], s.format);
            }
        }
        float *y = run_step(&c, batches[0], MOST_SEQUENCES);
        compare(&c, batches[0], MOST_SEQUENCES, y);
        free(y);
        discard(&c);
    }
}

/* A row's result hangs on its sequence alone: not on the step's other rows, nor on where its prompt was cut. */
static void company_and_chunks_change_no_bit(void **state)
{
    (void)state;
    static const shape shapes[] = {
        {8, 2, 128, 0, FFAI__STORE_F16, 1}, {3, 1, 64, 50, FFAI__STORE_BF16, 1}, {4, 1, 32, 0, FFAI__STORE_F16, 4}};
    static const sequence whole[] = {{0, 0, 200}};
    static const sequence steps[][3] = {{{0, 0, 9}, {1, 3, 80}, {3, 64, 1}},
                                        {{2, 5, 11}, {0, 9, 90}, {1, 0, 1}},
                                        {{4, 300, 1}, {3, 64, 30}, {0, 99, 101}}};
    skip_without_kernels();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        contexts c;
        create(&c, &shapes[i]);
        const size_t row = (size_t)(c.s.heads * c.s.head_dim);
        float *y = run_step(&c, whole, 1);
        for (int n = 0; n < 3; n++) {
            cuda_model_run_backwards(n % 2);
            float *own = run_step(&c, steps[n], 3);
            cuda_model_run_backwards(false);
            size_t before = 0;
            for (int k = 0; k < 3; before += (size_t)steps[n][k].rows, k++) {
                if (steps[n][k].slot == 0)
                    assert_memory_equal(own + before * row, y + (size_t)steps[n][k].first * row,
                                        (size_t)steps[n][k].rows * row * sizeof *y);
            }
            free(own);
        }
        free(y);
        discard(&c);
    }
}

/* What is not finite reaches the rows that see it, and no other ones: its sequence's later rows, within the window. */
static void what_is_not_finite_reaches_those_that_see_it(void **state)
{
    (void)state;
    enum { BAD = 41, ROWS = 100 };
    static const uint16_t bad[2][2] = {{0x7E01, 0xFC00}, {0x7FC1, 0x7F80}}; /* a NaN and an infinity of f16, of bf16 */
    static const sequence step[] = {{0, 0, ROWS}, {1, 0, 30}};
    skip_without_kernels();
    for (int i = 0; i < 16; i++) {
        const shape s = {4, 1, 64, i / 4 % 2 ? 33 : 0, i % 2 ? FFAI__STORE_BF16 : FFAI__STORE_F16, i / 8 ? 3 : 1};
        contexts c;
        create(&c, &s);
        const int row = s.heads * s.head_dim;
        float *clean = run_step(&c, step, 2);
        stored_head(&c, 0, BAD, 1, 0)[5] = bad[i % 2][i / 2 % 2];
        float *y = run_step(&c, step, 2);
        for (int t = 0; t < ROWS + 30; t++) {
            if (t >= BAD && t < ROWS && first_seen(&s, t) <= BAD)
                assert_true(!isfinite(y[t * row + 5]));
            else
                assert_memory_equal(y + t * row, clean + t * row, (size_t)row * sizeof *y);
        }
        free(y);
        free(clean);
        discard(&c);
    }
}

/* Tiles begin with sequences and where positions say so, whatever the number of rows. */
static void tiles_cover_every_row_once(void **state)
{
    (void)state;
    static ffai__cuda_row rows[2000];
    static int32_t tiles[2002];
    skip_without_kernels();
    for (int tile_rows = 1; tile_rows <= 128; tile_rows += 31) {
        for (int lengths = 1; lengths < 900; lengths = lengths * 3 + 1) {
            for (int t = 0; t < 2000; t++)
                rows[t] = (ffai__cuda_row){.slot = t / lengths, .position = 17 * (t / lengths) + t % lengths};
            const ffai__cuda_sizes sizes = {.num_rows = 1999};
            const ffai__cuda_attend_tiles_args args = {
                .step = {.sizes = &sizes, .rows = rows}, .tiles = (void *)tiles, .tile_rows = tile_rows};
            CUDA_MODEL_RUN("attend_tiles", 1, 256, 0, &args);
            const ffai__cuda_tiles *made = (const void *)tiles;
            int count = 0;
            for (int t = 0; t < 1999; t++) {
                if (t % lengths == 0 || rows[t].position % tile_rows == 0)
                    assert_int_equal(made->first_rows[count++], t);
            }
            assert_int_equal(made->count, count);
            assert_int_equal(made->first_rows[count], 1999);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ragged_steps_equal_the_oracle),
        cmocka_unit_test(windows_of_every_kind_equal_the_oracle),
        cmocka_unit_test(contexts_in_parts_equal_the_oracle),
        cmocka_unit_test(groups_of_any_size_equal_the_oracle),
        cmocka_unit_test(queries_of_any_size_equal_the_oracle),
        cmocka_unit_test(company_and_chunks_change_no_bit),
        cmocka_unit_test(what_is_not_finite_reaches_those_that_see_it),
        cmocka_unit_test(tiles_cover_every_row_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
