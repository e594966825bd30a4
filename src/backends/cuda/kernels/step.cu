/* A step's beginning: what the host said, the angles of its positions, and its tokens' embeddings. */
#include "tiles.cuh"

enum { TOKEN_SAMPLED = -1, THREADS = 256 };

/* By all threads of the block. */
DEVICE void copy_words(void *to, const void *from, int64_t words)
{
    for (int64_t i = threadIdx.x; i < words; i += blockDim.x)
        static_cast<uint32_t *>(to)[i] = static_cast<const volatile uint32_t *>(from)[i];
}

DEVICE const uint8_t *take_message(const ffai__cuda_begin_args &args)
{
    const uint8_t *message = args.messages + *args.number % (uint32_t)args.slots * args.message_stride;
    *args.number += 1;
    return message;
}

DEVICE void update_tables(const ffai__cuda_begin_args &args, const uint8_t *message, uint32_t count)
{
    const volatile uint32_t *updates = reinterpret_cast<const volatile uint32_t *>(message + args.updates_offset);
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x)
        args.tables[updates[2 * i]] = updates[2 * i + 1];
}

KERNEL(begin, ffai__cuda_begin_args, 1024)
{
    __shared__ ffai__cuda_sizes sizes;
    __shared__ const uint8_t *message;
    wait_for_previous();
    if (threadIdx.x == 0)
        message = take_message(args);
    __syncthreads();
    copy_words(&sizes, message, sizeof sizes / 4);
    __syncthreads();
    copy_words(args.sizes, &sizes, sizeof sizes / 4);
    copy_words(args.rows, message + args.rows_offset, (int64_t)sizes.num_rows * (int64_t)(sizeof *args.rows / 4));
    copy_words(args.output_rows, message + args.outputs_offset, sizes.num_outputs);
    if (sizes.draws)
        copy_words(args.draws, message + args.draws_offset,
                   (int64_t)sizes.num_outputs * (int64_t)(sizeof *args.draws / 4));
    update_tables(args, message, sizes.num_updates);
}

/* As ffai__rope_angles (rope.c). */
DEVICE float dynamic_inv_freq(const ffai__cuda_angles_args &args, int64_t position, int i)
{
    const double ratio = (double)(position + 1) / (double)args.original_max_position;
    const double growth = pow(args.factor * ratio - (args.factor - 1.0), args.dims / (args.dims - 2.0));
    return (float)(1.0 / pow(args.theta * growth, 2.0 * i / args.dims));
}

/* Cosine and sine of the row's pair i. */
DEVICE void write_angle(const ffai__cuda_angles_args &args, int64_t t, int i, int position)
{
    const int half = args.dims / 2;
    const bool grown = args.dynamic && position >= args.original_max_position;
    const float inv_freq = grown ? dynamic_inv_freq(args, position, i) : args.inv_freq[i];
    const double angle = (double)((float)position * inv_freq);
    args.angles[(2 * t) * half + i] = (float)cos(angle) * args.attention_factor;
    args.angles[(2 * t + 1) * half + i] = (float)sin(angle) * args.attention_factor;
}

KERNEL(angles, ffai__cuda_angles_args, THREADS)
{
    wait_for_previous();
    let_next_begin();
    const int half = args.dims / 2;
    const int64_t count = (int64_t)args.step.sizes->num_rows * half;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += (int64_t)gridDim.x * blockDim.x)
        write_angle(args, at / half, (int)(at % half), args.step.rows[at / half].position);
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

/* Every `threads`-th column of a row from `first` on; the first of these threads completes the history. */
DEVICE void embed_row(const ffai__cuda_embed_args &args, const ffai__cuda_row &row, int64_t t, int first, int threads)
{
    const int64_t columns = args.matrix.columns;
    int32_t *token = args.step.history + row.slot * args.step.history_stride + row.position;
    const int32_t id = row.token == TOKEN_SAMPLED ? *token : row.token;
    for (int64_t column = first; column < columns; column += threads)
        args.y[t * columns + column] = element(args.matrix, id, column);
    if (row.token != TOKEN_SAMPLED && first == 0)
        *token = id;
}

/* A block has a row of the step, or a part of its columns. */
KERNEL(embed, ffai__cuda_embed_args, THREADS)
{
    wait_for_previous();
    let_next_begin();
    for (int t = blockIdx.x; t < args.step.sizes->num_rows; t += gridDim.x)
        embed_row(args, args.step.rows[t], t, (int)(threadIdx.x + blockIdx.y * THREADS), (int)gridDim.y * THREADS);
}

/* Words of a message by as many threads from `first` on: to their place, and to `here` if it is not null. */
DEVICE void fetch_words(void *to, void *here, const uint8_t *from, int words, int first)
{
    const int i = (int)threadIdx.x - first;
    if (i < 0 || i >= words)
        return;
    const uint32_t word = reinterpret_cast<const volatile uint32_t *>(from)[i];
    static_cast<uint32_t *>(to)[i] = word;
    if (here)
        static_cast<uint32_t *>(here)[i] = word;
}

/* What is said of one row comes at once, to a warp for each part, because host memory is far. */
KERNEL(begin_row, ffai__cuda_begin_row_args, FFAI__CUDA_BEGIN_ROW_THREADS)
{
    __shared__ const uint8_t *message;
    __shared__ ffai__cuda_sizes sizes;
    __shared__ ffai__cuda_row row;
    const ffai__cuda_begin_args &begin = args.begin;
    let_next_begin();
    wait_for_previous();
    if (threadIdx.x == 0)
        message = take_message(begin);
    __syncthreads();
    fetch_words(begin.sizes, &sizes, message, sizeof sizes / 4, 0);
    fetch_words(begin.rows, &row, message + begin.rows_offset, sizeof row / 4, WARP);
    fetch_words(begin.output_rows, nullptr, message + begin.outputs_offset, 1, 2 * WARP);
    fetch_words(begin.draws, nullptr, message + begin.draws_offset, sizeof *begin.draws / 4, 3 * WARP);
    __syncthreads();
    update_tables(begin, message, sizes.num_updates);
    for (int i = threadIdx.x; args.angles.angles && i < args.angles.dims / 2; i += FFAI__CUDA_BEGIN_ROW_THREADS)
        write_angle(args.angles, 0, i, row.position);
    embed_row(args.embed, row, 0, (int)threadIdx.x, FFAI__CUDA_BEGIN_ROW_THREADS);
}
