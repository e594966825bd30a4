#include "rope.h"

#include <math.h>
#include <string.h>

/* NTK-aware scaling: beyond the trained length L0 the base becomes
 * theta * (factor * L / L0 - (factor - 1)) ^ (dims / (dims - 2)), L the length up to this row. */
static float dynamic_inv_freq(const ffai__rope *rope, int64_t position, int i)
{
    const double length = (double)(position + 1);
    const double ratio = length / (double)rope->original_max_position;
    const double growth = pow(rope->factor * ratio - (rope->factor - 1.0), rope->dims / (rope->dims - 2.0));
    return (float)(1.0 / pow(rope->theta * growth, 2.0 * i / rope->dims));
}

void ffai__rope_angles(float *cosines, float *sines, const ffai__rope *rope, int64_t position)
{
    const bool grown = rope->kind == FFAI__ROPE_DYNAMIC && position >= rope->original_max_position;
    for (int i = 0; i < rope->dims / 2; i++) {
        const float inv_freq = grown ? dynamic_inv_freq(rope, position, i) : rope->inv_freq[i];
        const double angle = (double)((float)position * inv_freq); /* float32, as the references form it */
        cosines[i] = (float)cos(angle) * rope->attention_factor;
        sines[i] = (float)sin(angle) * rope->attention_factor;
    }
}

bool ffai__rope_same(const ffai__rope *a, const ffai__rope *b)
{
    return a->kind == b->kind && a->dims == b->dims && a->theta == b->theta && a->factor == b->factor &&
           a->original_max_position == b->original_max_position && a->attention_factor == b->attention_factor &&
           memcmp(a->inv_freq, b->inv_freq, (size_t)a->dims / 2 * sizeof *a->inv_freq) == 0;
}
