/* Random operands. */
#include <math.h>

#include "state.h"

uint32_t checkop_random(checkop *c)
{
    c->random = c->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(c->random >> 32);
}

int checkop_pick(checkop *c, int least, int most)
{
    return least + (int)(checkop_random(c) % (uint32_t)(most - least + 1));
}

float checkop_uniform(checkop *c)
{
    return (float)(checkop_random(c) >> 8) * 0x1p-23f - 1.0f;
}

float checkop_normal(checkop *c)
{
    return 1.2247449f * (checkop_uniform(c) + checkop_uniform(c)); /* two uniform ones have variance 2/3 */
}

static float element(checkop *c, checkop_fill fill)
{
    switch (fill) {
    case CHECKOP_SPREAD:
        return checkop_normal(c) * powf(10.0f, (float)checkop_pick(c, -6, 3));
    case CHECKOP_ZEROS:
        return checkop_random(c) >> 31 ? 0.0f : -0.0f;
    case CHECKOP_SPARSE:
        return checkop_pick(c, 0, 9) ? 0.0f : checkop_normal(c);
    case CHECKOP_LEVEL:
        return -3.0f;
    case CHECKOP_SMALL:
        return checkop_normal(c) * 1e-30f;
    case CHECKOP_DENORMALS:
        return checkop_uniform(c) * (checkop_random(c) >> 31 ? 0x1p-124f : 0x1p-140f);
    case CHECKOP_LARGE:
        return checkop_normal(c) * 1e30f;
    default:
        return checkop_normal(c);
    }
}

static void put_anywhere(checkop *c, float *x, int64_t count, float value)
{
    x[checkop_random(c) % (uint32_t)count] = value;
}

void checkop_fill_floats(checkop *c, float *x, int64_t count, checkop_fill fill)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = element(c, fill);
    if (count == 0)
        return;
    if (fill == CHECKOP_SPIKE)
        put_anywhere(c, x, count, 1e4f);
    if (fill == CHECKOP_INFINITY)
        put_anywhere(c, x, count, checkop_random(c) >> 31 ? INFINITY : -INFINITY);
    if (fill == CHECKOP_MIXTURE) {
        put_anywhere(c, x, count, -INFINITY);
        put_anywhere(c, x, count, INFINITY);
    }
    if (fill == CHECKOP_NAN || fill == CHECKOP_MIXTURE)
        put_anywhere(c, x, count, checkop_random(c) >> 31 ? NAN : -NAN);
}

const char *checkop_fill_name(checkop_fill fill)
{
    static const char *const names[CHECKOP_FILLS] = {"plain", "spread",    "a spike", "zeros",    "sparse", "level",
                                                     "small", "denormals", "large",   "infinity", "NaN",    "mixture"};
    return names[fill];
}
