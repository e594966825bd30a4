/* A step's beginning: what the host said, the angles of its positions, and its tokens' embeddings. */
#include "tiles.cuh"

enum { TOKEN_SAMPLED = -1, THREADS = 256 };

/* By all threads of the block. */
DEVICE void copy_words(void *to, const void *from, int64_t words)
{
    for (int64_t i = threadIdx.x; i < words; i += blockDim.x)
        static_cast<uint32_t *>(to)[i] = static_cast<const volatile uint32_t *>(from)[i];
}

KERNEL(begin, ffai__cuda_begin_args, 1024)
{
    __shared__ ffai__cuda_sizes sizes;
    __shared__ const uint8_t *message;
    wait_for_previous();
    if (threadIdx.x == 0) {
        message = args.messages + *args.number % (uint32_t)args.slots * args.message_stride;
        *args.number += 1;
    }
    __syncthreads();
    copy_words(&sizes, message, sizeof sizes / 4);
    __syncthreads();
    copy_words(args.sizes, &sizes, sizeof sizes / 4);
    copy_words(args.rows, message + args.rows_offset, (int64_t)sizes.num_rows * (int64_t)(sizeof *args.rows / 4));
    copy_words(args.output_rows, message + args.outputs_offset, sizes.num_outputs);
    if (sizes.draws)
        copy_words(args.draws, message + args.draws_offset,
                   (int64_t)sizes.num_outputs * (int64_t)(sizeof *args.draws / 4));
    const volatile uint32_t *updates = reinterpret_cast<const volatile uint32_t *>(message + args.updates_offset);
    for (uint32_t i = threadIdx.x; i < sizes.num_updates; i += blockDim.x)
        args.tables[updates[2 * i]] = updates[2 * i + 1];
}

/* As ffai__rope_angles (rope.c). */
DEVICE float dynamic_inv_freq(const ffai__cuda_angles_args &args, int64_t position, int i)
{
    const double ratio = (double)(position + 1) / (double)args.original_max_position;
    const double growth = pow(args.factor * ratio - (args.factor - 1.0), args.dims / (args.dims - 2.0));
    return (float)(1.0 / pow(args.theta * growth, 2.0 * i / args.dims));
}

KERNEL(angles, ffai__cuda_angles_args, THREADS)
{
    wait_for_previous();
    let_next_begin();
    const int half = args.dims / 2;
    const int64_t count = (int64_t)args.step.sizes->num_rows * half;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count;
         at += (int64_t)gridDim.x * blockDim.x) {
        const int64_t t = at / half;
        const int i = (int)(at % half);
        const int position = args.step.rows[t].position;
        const bool grown = args.dynamic && position >= args.original_max_position;
        const float inv_freq = grown ? dynamic_inv_freq(args, position, i) : args.inv_freq[i];
        const double angle = (double)((float)position * inv_freq);
        args.angles[(2 * t) * half + i] = (float)cos(angle) * args.attention_factor;
        args.angles[(2 * t + 1) * half + i] = (float)sin(angle) * args.attention_factor;
    }
}

/* A matrix's element, from its tile. */
DEVICE float element(const ffai__cuda_matrix &m, int64_t row, int64_t column)
{
    const int count = FFAI__CUDA_LANE_WORDS(m.format);
    const int64_t tile = column / FFAI__CUDA_TILE_COLUMNS;
    const int span = (int)(tile / FFAI__CUDA_SPAN_TILES);
    const int before = (int)(tile % FFAI__CUDA_SPAN_TILES) * count;
    const int half = (int)(column % FFAI__CUDA_TILE_COLUMNS) / 64;
    const int within = (int)(column % 64);
    int step;
    int t;
    step_of_column(within / 4 * 4, m.subgroups, &step, &t);
    const int pair = step * 4 + within % 4 / 2 * 2 + half;
    const int odd = within % 2;
    const int lane = (int)(row % UNIT) * 4 + t;
    const int64_t unit = row / UNIT;
    if (m.format == FFAI__CUDA_F32)
        return float_of(m.words[word_index(&m, count, unit, span, before + 2 * pair + odd, lane)]);
    if (m.format >= FFAI__CUDA_BF16) {
        const uint32_t bits = m.words[word_index(&m, count, unit, span, before + pair, lane)] >> (16 * odd) & 0xFFFFu;
        return m.format == FFAI__CUDA_F16 ? f16_to_f32((uint16_t)bits) : bf16_to_f32((uint16_t)bits);
    }
    uint32_t words[8];
    for (int i = 0; i < count; i++)
        words[i] = m.words[word_index(&m, count, unit, span, before + i, lane)];
    float scale;
    float bias;
    const int block = (int)(tile % FFAI__CUDA_SPAN_TILES) * 2 + half;
    read_scale(&scale, &bias, &m, scale_index(&m, unit, span, (int)(row % UNIT), block, within / (64 / m.subgroups)));
    return scale * (float)take_code(words, m.format, pair, odd) + bias;
}

/* A block has a row of the step. */
KERNEL(embed, ffai__cuda_embed_args, THREADS)
{
    wait_for_previous();
    let_next_begin();
    const int64_t columns = args.matrix.columns;
    for (int t = blockIdx.x; t < args.step.sizes->num_rows; t += gridDim.x) {
        const ffai__cuda_row row = args.step.rows[t];
        int32_t *token = args.step.history + row.slot * args.step.history_stride + row.position;
        const int32_t id = row.token == TOKEN_SAMPLED ? *token : row.token;
        for (int64_t column = threadIdx.x + (int64_t)blockIdx.y * THREADS; column < columns;
             column += (int64_t)gridDim.y * THREADS)
            args.y[t * columns + column] = element(args.matrix, id, column);
        if (row.token != TOKEN_SAMPLED && threadIdx.x == 0 && blockIdx.y == 0)
            *token = id;
    }
}
