#include "sample.h"

#include <math.h>

/* More blocks than any device runs at once would wait for each other. */
enum { MOST_BLOCKS = 1024 };

static int64_t chunks_of(int64_t vocab_size)
{
    return (vocab_size + FFAI__CUDA_SAMPLE_CHUNK - 1) / FFAI__CUDA_SAMPLE_CHUNK;
}

size_t ffai__cuda_sample_scratch_bytes(int64_t vocab_size)
{
    const size_t bytes =
        sizeof(ffai__cuda_sample_row) + (size_t)chunks_of(vocab_size) * sizeof(ffai__cuda_sample_chunk);
    return (bytes + 255) / 256 * 256;
}

unsigned ffai__cuda_sample_blocks(int64_t vocab_size, int32_t max_outputs)
{
    const int64_t chunks = chunks_of(vocab_size) * max_outputs;
    return chunks < 1 ? 1 : chunks < MOST_BLOCKS ? (unsigned)chunks : MOST_BLOCKS;
}

static bool has_penalties(const ffai__draw *draw)
{
    return draw->repetition_penalty != 1.0f || draw->presence_penalty != 0.0f;
}

static ffai__cuda_draw draw_from(const ffai__draw *draw)
{
    return (ffai__cuda_draw){
        .temperature = draw->temperature,
        .top_k = draw->top_k,
        .top_p = draw->top_p,
        .farthest = !(draw->min_p > 0)   ? INFINITY
                    : draw->min_p < 1.0f ? -logf(draw->min_p)
                                         : 0.0f,
        .repetition_penalty = draw->repetition_penalty,
        .presence_penalty = draw->presence_penalty,
        .seed_low = (uint32_t)draw->seed,
        .seed_high = (uint32_t)(draw->seed >> 32),
    };
}

static bool same_sequence(const ffai__step *step, int32_t r, int32_t other)
{
    return step->sequence_of_row[step->output_rows[r]] == step->sequence_of_row[step->output_rows[other]];
}

/* A row with penalties looks at what the rows of its sequence before it have drawn: it and they, all but the first, are
 * drawn one after the other. */
bool ffai__cuda_draws_fill(ffai__cuda_draw *draws, const ffai__step *step)
{
    bool at_once = true;
    bool penalties = false; /* of this row, or of one of its sequence behind it */
    for (int32_t r = step->num_outputs - 1; r >= 0; r--) {
        const ffai__draw *draw = &step->draws[r];
        const bool ends = r + 1 == step->num_outputs || !same_sequence(step, r, r + 1);
        penalties = has_penalties(draw) || (penalties && !ends);
        draws[r] = draw_from(draw);
        draws[r].follows = penalties && r > 0 && same_sequence(step, r, r - 1);
        at_once = at_once && !has_penalties(draw) && !(draw->temperature > 0);
    }
    return at_once;
}
