#include "rope.h"

#include <math.h>

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
