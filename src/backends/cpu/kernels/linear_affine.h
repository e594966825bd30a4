/* Template: affine weights against fixed-point or float32 input. A tier includes it after its vocabulary:
 *
 *   lanes_u, lanes_f   16 lanes of 32 bits, of float32
 *   u_load, u_store, u_shift (16-bit elements; right by n, or left where n is negative), u_and, u_select (mask ? a : b)
 *   SHIFTS_BYTES       1 where u_shift lets no bits into a byte from its neighbour; without it, 0
 *   u_byte(quad, i)    column i of a quad as float32
 *   f_signed_bytes(b)  lanes_b as float32, each an int8
 *   f_zero, f_set, f_load, f_store, f_load_f16, f_load_bf16, f_add, f_mul, f_fma (a * b + c), f_reduce
 *   dot_codes, dot_widen(quad)            a quad as the dot product wants it
 *   dot_sum, dot_zero, dot_add(sum, codes, span of input, quad's number), dot_join, dot_float(sum, offset)
 *   DOT_ROWS, DOT_TURNS                   rows of input whose sums the registers hold at once, and sums of one row
 *                                         that take turns; without them, all, and two
 *   DOT_SPAN(input, number)               where a span of input begins; without it, 64 bytes behind the one before
 *   FIXED_LAYOUTS                         defined where usual layouts have code of their own, a chunk at a time: in
 *                                         tiers that are faster than memory
 *   DOT_GROUP                             defined where the tier has its own store_quads and dot_group (below)
 *   DOT_BYTES(quad), DOT_BYTES_LESS       codes of 8 bits as the dot product wants them, and what each has lost
 *                                         thereby; without them, nothing
 *
 * All sums within a group are exact integers and all float32 operations are the same, in the same order, on every
 * tier: results agree bit for bit.
 *
 * One row of input is multiplied straight from the planes, by code made for each width. Several rows share one
 * unpacking, a chunk at a time into a buffer in the first-level cache, and one code for all widths. */
#ifndef FFAI_LINEAR_AFFINE_H
#define FFAI_LINEAR_AFFINE_H

#include "linear_rows.h"
#include "linear_scales.h"

#if !defined(DOT_ROWS)
#define DOT_ROWS  MOST_ROWS
#define DOT_TURNS 2
#endif
#if !defined(DOT_SPAN)
#define DOT_SPAN(input, number) ((input) + (number)*2 * FFAI__SPAN_COLUMNS)
#endif
#if !defined(SHIFTS_BYTES)
#define SHIFTS_BYTES 0
#endif
#if defined(FIXED_LAYOUTS)
#define UNROLL_SPANS UNROLL
#else
#define UNROLL_SPANS
#endif
#if !defined(DOT_BYTES)
#define DOT_BYTES(quad) (quad)
#define DOT_BYTES_LESS  0
#endif

/* The bits of mask after a shift right by n. */
FFAI__ALWAYS_INLINE lanes_u field(lanes_u a, int n, int mask)
{
    a = u_shift(a, n);
    return SHIFTS_BYTES && 0xFF >> n == mask ? a : u_and(a, mask);
}

FFAI__ALWAYS_INLINE lanes_u nibble_plane(const uint8_t *plane, int quad)
{
    return u_shift(u_load(plane + quad / 2 * FFAI__BLOCK_BYTES), quad % 2 * 4);
}

FFAI__ALWAYS_INLINE lanes_u pair_plane(const uint8_t *plane, int quad, int at)
{
    return u_shift(u_load(plane + quad / 4 * FFAI__BLOCK_BYTES), ((at + 2 * (quad % 4)) & 7) - at);
}

FFAI__ALWAYS_INLINE lanes_u bit_plane(const uint8_t *plane, int quad, int at)
{
    return u_shift(u_load(plane), ((at + quad) & 7) - at);
}

/* Quad number `quad` of a span: a byte for each code. */
FFAI__ALWAYS_INLINE lanes_u unpack_quad(const uint8_t *span, int bits, int quad)
{
    switch (bits) {
    case 2:
        return field(u_load(span + quad / 4 * FFAI__BLOCK_BYTES), quad % 4 * 2, 0x03);
    case 3:
        return u_and(u_select(0x03, pair_plane(span, quad, 0), bit_plane(span + 128, quad, 2)), 0x07);
    case 4:
        return field(u_load(span + quad / 2 * FFAI__BLOCK_BYTES), quad % 2 * 4, 0x0F);
    case 5:
        return u_and(u_select(0x0F, nibble_plane(span, quad), bit_plane(span + 256, quad, 4)), 0x1F);
    case 6:
        return u_and(u_select(0x0F, nibble_plane(span, quad), pair_plane(span + 256, quad, 4)), 0x3F);
    default:
        return DOT_BYTES(u_load(span + quad * FFAI__BLOCK_BYTES));
    }
}

enum { CHUNK_COLUMNS = FFAI__K_COLUMNS, QUAD_BYTES = FFAI__BLOCK_BYTES };

/* A chunk's quads, a byte for each code. */
typedef struct chunk_quads {
    _Alignas(64) uint8_t bytes[CHUNK_COLUMNS / 4 * QUAD_BYTES];
} chunk_quads;

#if !defined(DOT_GROUP)
FFAI__ALWAYS_INLINE void store_quads(uint8_t *out, lanes_u a, lanes_u b)
{
    u_store(out, a);
    u_store(out + QUAD_BYTES, b);
}

/* Half a span: four quads, from number `first` of their span on. */
FFAI__ALWAYS_INLINE void dot_half(dot_sum *sums, const uint8_t *quads, const uint8_t *span, size_t stride, int first,
                                  int rows)
{
    UNROLL
    for (int i = 0; i < 4; i++) {
        const dot_codes codes = dot_widen(u_load(quads + i * QUAD_BYTES));
        UNROLL
        for (int m = 0; m < rows; m++)
            sums[m] = dot_add(sums[m], codes, span + (size_t)m * stride, first + i);
    }
}

/* One group of unpacked quads. A loop over halves, not spans: with eight quads in its body the compilers run out of
 * registers where a quad takes two. */
FFAI__ALWAYS_INLINE void dot_group(dot_sum *sums, const uint8_t *quads, const uint8_t *input, size_t stride,
                                   int64_t group, int group_size, int rows)
{
    UNROLL
    for (int m = 0; m < rows; m++)
        sums[m] = dot_zero();
    const int64_t span = group * group_size / FFAI__SPAN_COLUMNS;
    if (group_size < FFAI__SPAN_COLUMNS) {
        dot_half(sums, quads, DOT_SPAN(input, span), stride, (int)(group % 2) * 4, rows);
        return;
    }
    for (int half = 0; half < group_size / 16; half++, quads += 4 * QUAD_BYTES)
        dot_half(sums, quads, DOT_SPAN(input, span + half / 2), stride, half % 2 * 4, rows);
}

#endif

FFAI__ALWAYS_INLINE void unpack_spans(chunk_quads *quads, const uint8_t *codes, int spans, int bits)
{
    uint8_t *out = quads->bytes;
    for (int s = 0; s < spans; s++, codes += bits * FFAI__BLOCK_BYTES, out += 8 * QUAD_BYTES) {
        UNROLL
        for (int quad = 0; quad < 8; quad += 2)
            store_quads(out + quad * QUAD_BYTES, unpack_quad(codes, bits, quad), unpack_quad(codes, bits, quad + 1));
    }
}

static void unpack_chunk(chunk_quads *quads, const uint8_t *chunk, const ffai__affine_layout *layout)
{
    const uint8_t *codes = chunk + layout->header_bytes;
    const int spans = layout->group_size * layout->groups_per_chunk / FFAI__SPAN_COLUMNS;
    switch (layout->bits) {
    case 2:
        unpack_spans(quads, codes, spans, 2);
        break;
    case 3:
        unpack_spans(quads, codes, spans, 3);
        break;
    case 4:
        unpack_spans(quads, codes, spans, 4);
        break;
    case 5:
        unpack_spans(quads, codes, spans, 5);
        break;
    case 6:
        unpack_spans(quads, codes, spans, 6);
        break;
    default:
        unpack_spans(quads, codes, spans, 8);
        break;
    }
}

FFAI__ALWAYS_INLINE int chunk_lines(const ffai__affine_layout *layout)
{
    return (int)(layout->chunk_bytes / FFAI__BLOCK_BYTES);
}

/* sum += scale * step * (q . v - zero * sum of v) + bias * step * (sum of v) */
FFAI__ALWAYS_INLINE lanes_f add_group(lanes_f sum, dot_sum dot, const group_scales *scales,
                                      const ffai__fixed_group *group, const ffai__affine_layout *layout)
{
    const int zero = layout->zero - (layout->bits == 8) * DOT_BYTES_LESS;
    const lanes_f value = zero ? dot_float(dot, -zero * group->integer_sum) : dot_float(dot, 0);
    sum = f_fma(f_mul(scales->scale, f_set(group->step)), value, sum);
    if (layout->mode == FFAI__SCALE_F16_ZERO)
        return sum;
    return f_fma(scales->bias, f_set(group->sum), sum);
}

FFAI__ALWAYS_INLINE const ffai__fixed_group *fixed_groups(const uint8_t *input, int64_t columns)
{
    return (const ffai__fixed_group *)(const void *)(input + ffai__fixed_bytes(columns));
}

FFAI__ALWAYS_INLINE void fixed_rows(const ffai__linear_job *job, int64_t tile, int64_t row, int rows)
{
    ffai__affine_layout layout;
    ffai__affine_layout_of(&layout, job->packed->weight);
    const uint8_t *chunk = job->packed->tiles + (uint64_t)tile * job->packed->tile_bytes;
    const size_t stride = job->input_bytes;
    const uint8_t *input = job->inputs + (uint64_t)row * stride;
    const ffai__fixed_group *groups = fixed_groups(input, job->packed->weight->columns);
    const size_t groups_stride = stride / sizeof *groups;
    const int together = rows < DOT_ROWS ? rows : DOT_ROWS;
    chunk_quads quads;
    chunk_scales room;
    lanes_f y[MOST_ROWS];
    UNROLL
    for (int m = 0; m < rows; m++)
        y[m] = f_zero();
    for (int64_t g = 0; g < layout.groups; chunk += layout.chunk_bytes) {
        fetch_ahead(chunk, chunk_lines(&layout), distance_ahead(job, rows));
        unpack_chunk(&quads, chunk, &layout);
        const uint8_t *at = scales_of_chunk(&room, chunk, &layout);
        for (int i = 0; i < layout.groups_per_chunk && g < layout.groups; i++, g++) {
            const uint8_t *group = quads.bytes + i * layout.group_size / 4 * QUAD_BYTES;
            for (int first = 0; first < rows; first += together) {
                dot_sum sums[MOST_ROWS];
                dot_group(sums, group, input + (size_t)first * stride, stride, g, layout.group_size, together);
                const group_scales scales = load_scales(at + (size_t)i * layout.scale_bytes, &layout);
                UNROLL
                for (int k = 0; k < together; k++) {
                    const int m = first + k;
                    y[m] = add_group(y[m], sums[k], &scales, groups + (size_t)m * groups_stride + g, &layout);
                }
            }
        }
    }
    UNROLL
    for (int m = 0; m < rows; m++)
        finish_lanes(job, tile, row + m, y[m]);
}

/* One row: quads [first, first + count) of a span. Where a sum is a register or two, two sums take turns, which
 * shortens the chain of additions. */
FFAI__ALWAYS_INLINE void add_quads(dot_sum *even, dot_sum *odd, const uint8_t *codes, const uint8_t *span, int first,
                                   int count, int bits)
{
    UNROLL
    for (int quad = first; quad < first + count; quad += 2) {
        *even = dot_add(*even, dot_widen(unpack_quad(codes, bits, quad)), span, quad);
        dot_sum *const next = DOT_TURNS > 1 ? odd : even;
        *next = dot_add(*next, dot_widen(unpack_quad(codes, bits, quad + 1)), span, quad + 1);
    }
}

/* One row, groups of whole spans. */
FFAI__ALWAYS_INLINE dot_sum dot_spans(const uint8_t *codes, const uint8_t *input, int64_t first, int spans, int bits)
{
    dot_sum even = dot_zero();
    dot_sum odd = dot_zero();
    UNROLL_SPANS
    for (int s = 0; s < spans; s++)
        add_quads(&even, &odd, codes + s * bits * FFAI__BLOCK_BYTES, DOT_SPAN(input, first + s), 0, 8, bits);
    return DOT_TURNS > 1 ? dot_join(even, odd) : even;
}

/* sum + a chunk times groups [g, g + count) of one row, read from its first byte to its last. */
FFAI__ALWAYS_INLINE lanes_f add_chunk(lanes_f sum, const uint8_t *chunk, const ffai__affine_layout *layout,
                                      const uint8_t *input, const ffai__fixed_group *groups, int64_t g, int count,
                                      int spans, int bits)
{
    const uint8_t *codes = chunk + layout->header_bytes;
    UNROLL_SPANS
    for (int i = 0; i < count; i++, codes += spans * bits * FFAI__BLOCK_BYTES) {
        const group_scales scales = load_scales(chunk + (size_t)i * layout->scale_bytes, layout);
        const dot_sum dot = dot_spans(codes, input, (g + i) * spans, spans, bits);
        sum = add_group(sum, dot, &scales, groups + g + i, layout);
    }
    return sum;
}

/* One row. Where the compiler knows the spans of a group and the groups of a chunk, a chunk is one piece of code, in
 * which every instruction that reads weights does so once. Processors fetch ahead what one instruction reads in equal
 * steps: in 8 bits a core of a Zen 4 takes 90% of a plain read so, and 70% otherwise. */
enum { AS_LAYOUT = 0 };

FFAI__ALWAYS_INLINE void fixed_row(const ffai__linear_job *job, int64_t tile, int64_t row, int bits, int known_spans,
                                   int known_groups)
{
    ffai__affine_layout layout;
    ffai__affine_layout_of(&layout, job->packed->weight);
    const int spans = known_spans ? known_spans : layout.group_size / FFAI__SPAN_COLUMNS;
    const int count = known_groups ? known_groups : layout.groups_per_chunk;
    const uint8_t *chunk = job->packed->tiles + (uint64_t)tile * job->packed->tile_bytes;
    const uint8_t *input = job->inputs + (uint64_t)row * job->input_bytes;
    const ffai__fixed_group *groups = fixed_groups(input, job->packed->weight->columns);
    lanes_f y = f_zero();
    for (int64_t g = 0; g < layout.groups; g += count, chunk += layout.chunk_bytes) {
        fetch_ahead(chunk, chunk_lines(&layout), distance_ahead(job, 1));
        const bool whole = known_groups == 1 || g + count <= layout.groups;
        if (known_groups == AS_LAYOUT)
            y = add_chunk(y, chunk, &layout, input, groups, g, whole ? count : 1, spans, bits);
        else if (whole)
            y = add_chunk(y, chunk, &layout, input, groups, g, known_groups, spans, bits);
        else
            y = add_chunk(y, chunk, &layout, input, groups, g, 1, spans, bits);
    }
    finish_lanes(job, tile, row, y);
}

/* The sum over quads [first, first + count) of a span. */
FFAI__ALWAYS_INLINE dot_sum dot_quads(const uint8_t *codes, const uint8_t *span, int first, int count, int bits)
{
    dot_sum even = dot_zero();
    dot_sum odd = dot_zero();
    add_quads(&even, &odd, codes, span, first, count, bits);
    return DOT_TURNS > 1 ? dot_join(even, odd) : even;
}

/* One row of a K type: a span has a group, or two of half as many quads. */
FFAI__ALWAYS_INLINE void fixed_row_k(const ffai__linear_job *job, int64_t tile, int64_t row, int bits, int group_size)
{
    enum { SPANS = FFAI__K_COLUMNS / FFAI__SPAN_COLUMNS };
    const ffai__affine_layout float_scales = {.bits = bits, .mode = FFAI__SCALE_F32};
    const int64_t columns = job->packed->weight->columns;
    const int in_span = FFAI__SPAN_COLUMNS / group_size;
    const int header_lines = FFAI__K_HEADER_LINES(bits);
    const int ahead = distance_ahead(job, 1);
    const uint8_t *at = job->packed->tiles + (uint64_t)tile * job->packed->tile_bytes;
    const uint8_t *input = job->inputs + (uint64_t)row * job->input_bytes;
    const ffai__fixed_group *group = fixed_groups(input, columns);
    chunk_scales scales;
    lanes_f y = f_zero();
    for (int64_t span = 0; span < columns / FFAI__SPAN_COLUMNS; span += SPANS) {
        fetch_ahead(at, header_lines, ahead);
        expand_scales(&scales, at, bits);
        at += header_lines * FFAI__BLOCK_BYTES;
        for (int s = 0; s < SPANS; s++, at += bits * FFAI__BLOCK_BYTES) {
            fetch_ahead(at, bits, ahead);
            UNROLL
            for (int i = 0; i < in_span; i++, group++) {
                const dot_sum dot = dot_quads(at, DOT_SPAN(input, span + s), i * 8 / in_span, 8 / in_span, bits);
                const group_scales pair = load_scales((const uint8_t *)scales.groups[s * in_span + i], &float_scales);
                y = add_group(y, dot, &pair, group, &float_scales);
            }
        }
    }
    finish_lanes(job, tile, row, y);
}

/* With float32 input: q . x by one chain of fused additions in a group. */
FFAI__ALWAYS_INLINE float sum_inputs(const float *x, int count)
{
    lanes_f sum = f_load(x);
    for (int i = FFAI__TILE_ROWS; i < count; i += FFAI__TILE_ROWS)
        sum = f_add(sum, f_load(x + i));
    return f_reduce(sum);
}

FFAI__ALWAYS_INLINE void multiply_quads(lanes_f *sums, const uint8_t *quads, const float *x, size_t stride, int columns,
                                        int rows)
{
    UNROLL
    for (int m = 0; m < rows; m++)
        sums[m] = f_zero();
    for (int c = 0; c < columns; c += 4, quads += QUAD_BYTES) {
        const lanes_u quad = u_load(quads);
        UNROLL
        for (int i = 0; i < 4; i++) {
            const lanes_f codes = u_byte(quad, i);
            UNROLL
            for (int m = 0; m < rows; m++)
                sums[m] = f_fma(codes, f_set(x[(size_t)m * stride + (size_t)(c + i)]), sums[m]);
        }
    }
}

FFAI__ALWAYS_INLINE void affine_f32_rows(const ffai__linear_job *job, int64_t tile, int64_t row, int rows)
{
    ffai__affine_layout layout;
    ffai__affine_layout_of(&layout, job->packed->weight);
    const uint8_t *chunk = job->packed->tiles + (uint64_t)tile * job->packed->tile_bytes;
    const size_t stride = job->input_bytes / sizeof(float);
    const float *x = (const float *)(const void *)(job->inputs + (uint64_t)row * job->input_bytes);
    chunk_quads quads;
    chunk_scales room;
    lanes_f y[MOST_ROWS];
    UNROLL
    for (int m = 0; m < rows; m++)
        y[m] = f_zero();
    for (int64_t g = 0; g < layout.groups; chunk += layout.chunk_bytes) {
        unpack_chunk(&quads, chunk, &layout);
        const uint8_t *at = scales_of_chunk(&room, chunk, &layout);
        for (int i = 0; i < layout.groups_per_chunk && g < layout.groups; i++, g++, x += layout.group_size) {
            lanes_f sums[MOST_ROWS];
            multiply_quads(sums, quads.bytes + i * layout.group_size / 4 * QUAD_BYTES, x, stride, layout.group_size,
                           rows);
            group_scales scales = load_scales(at + (size_t)i * layout.scale_bytes, &layout);
            if (layout.mode == FFAI__SCALE_F16_ZERO)
                scales.bias = f_mul(scales.scale, f_set((float)-layout.zero));
            UNROLL
            for (int m = 0; m < rows; m++) {
                const float sum = sum_inputs(x + (size_t)m * stride, layout.group_size);
                y[m] = f_fma(scales.bias, f_set(sum), f_fma(scales.scale, sums[m], y[m]));
            }
        }
    }
    UNROLL
    for (int m = 0; m < rows; m++)
        finish_lanes(job, tile, row + m, y[m]);
}

#define DEFINE_FIXED_ROW(bits, name, spans, groups)                                                                    \
    static void fixed_row_##bits##_##name(const ffai__linear_job *job, int64_t tile, int64_t row)                      \
    {                                                                                                                  \
        fixed_row(job, tile, row, bits, spans, groups);                                                                \
    }

/* By layout: groups of 32, two of them in a chunk (GGUF's 4, 5 and 8 bits), groups of 64 and of 128. */
#if defined(FIXED_LAYOUTS)
#define DEFINE_FIXED_ROWS(bits)                                                                                        \
    DEFINE_FIXED_ROW(bits, 32, 1, 1)                                                                                   \
    DEFINE_FIXED_ROW(bits, 64, 2, 1)                                                                                   \
    DEFINE_FIXED_ROW(bits, 128, 4, 1)
#define DEFINE_FIXED_PAIR(bits) DEFINE_FIXED_ROW(bits, pair, 1, 2)
#define LIST_FIXED_ROWS(bits, pair)                                                                                    \
    [bits] = {fixed_row_##bits##_32, pair, fixed_row_##bits##_64, fixed_row_##bits##_128}
#define FIXED_PAIR(bits) fixed_row_##bits##_pair
#else
#define DEFINE_FIXED_ROWS(bits) DEFINE_FIXED_ROW(bits, any, AS_LAYOUT, AS_LAYOUT)
#define DEFINE_FIXED_PAIR(bits)
#define LIST_FIXED_ROWS(bits, pair)                                                                                    \
    [bits] = {fixed_row_##bits##_any, fixed_row_##bits##_any, fixed_row_##bits##_any, fixed_row_##bits##_any}
#define FIXED_PAIR(bits) fixed_row_##bits##_any
#endif

/* Which of a list suits a layout. */
FFAI__ALWAYS_INLINE int fixed_row_number(const ffai__affine_layout *layout)
{
    if (layout->group_size == 32)
        return layout->groups_per_chunk - 1;
    return layout->group_size == 64 ? 2 : 3;
}

#define DEFINE_FIXED_K(bits, group_size)                                                                               \
    static void fixed_row_##bits##_k(const ffai__linear_job *job, int64_t tile, int64_t row)                           \
    {                                                                                                                  \
        fixed_row_k(job, tile, row, bits, group_size);                                                                 \
    }

/* fixed(job): several rows by ROWS, the last by its layout's own kernel where groups are whole spans, or a K type's. */
#define DEFINE_FIXED(ROWS)                                                                                             \
    ROWS(DEFINE_ROWS, fixed)                                                                                           \
    DEFINE_FIXED_ROWS(2)                                                                                               \
    DEFINE_FIXED_ROWS(3)                                                                                               \
    DEFINE_FIXED_ROWS(4)                                                                                               \
    DEFINE_FIXED_ROWS(5)                                                                                               \
    DEFINE_FIXED_ROWS(6)                                                                                               \
    DEFINE_FIXED_ROWS(8)                                                                                               \
    DEFINE_FIXED_PAIR(4)                                                                                               \
    DEFINE_FIXED_PAIR(5)                                                                                               \
    DEFINE_FIXED_PAIR(8)                                                                                               \
    DEFINE_FIXED_K(2, 16)                                                                                              \
    DEFINE_FIXED_K(3, 16)                                                                                              \
    DEFINE_FIXED_K(4, 32)                                                                                              \
    DEFINE_FIXED_K(5, 32)                                                                                              \
    DEFINE_FIXED_K(6, 16)                                                                                              \
    static void fixed(const ffai__linear_job *job)                                                                     \
    {                                                                                                                  \
        static compute_rows_function *const one[][4] = {                                                               \
            LIST_FIXED_ROWS(2, fixed_1),       LIST_FIXED_ROWS(3, fixed_1), LIST_FIXED_ROWS(4, FIXED_PAIR(4)),         \
            LIST_FIXED_ROWS(5, FIXED_PAIR(5)), LIST_FIXED_ROWS(6, fixed_1), LIST_FIXED_ROWS(8, FIXED_PAIR(8))};        \
        static compute_rows_function *const one_k[] = {                                                                \
            [2] = fixed_row_2_k, fixed_row_3_k, fixed_row_4_k, fixed_row_5_k, fixed_row_6_k};                          \
        ffai__affine_layout layout;                                                                                    \
        ffai__affine_layout_of(&layout, job->packed->weight);                                                          \
        rows_kernel kernels[] = {ROWS(LIST_ROWS, fixed)};                                                              \
        rows_kernel *const last = &kernels[sizeof kernels / sizeof *kernels - 1];                                      \
        if (layout.mode == FFAI__SCALE_K)                                                                              \
            last->compute = one_k[layout.bits];                                                                        \
        else if (layout.group_size >= FFAI__SPAN_COLUMNS)                                                              \
            last->compute = one[layout.bits][fixed_row_number(&layout)];                                               \
        compute_rows(job, kernels);                                                                                    \
    }

#endif
