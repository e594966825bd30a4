/* Results against what is expected. */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

enum { MOST_MESSAGES = 5 };

const checkop_tier *checkop_tier_of(const checkop *c)
{
    return c->tier;
}

void checkop_start(checkop *c, const char *kernel, const checkop_tier *tier, checkop_tape *tape)
{
    c->kernel = kernel;
    c->tier = tier;
    c->tape = tape;
    c->position = 0;
    c->cases = c->failures = 0;
    c->worst = 0;
    c->random = c->seed;
    for (const char *letter = kernel; *letter; letter++)
        c->random = c->random * 31 + (uint64_t)*letter;
    if (tape && !tape->tier)
        tape->tier = tier->name;
}

void checkop_begin(checkop *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->text, sizeof c->text, format, arguments);
    va_end(arguments);
    c->cases++;
}

void checkop_fail(checkop *c, const char *format, ...)
{
    if (c->failures++ >= MOST_MESSAGES)
        return;
    va_list arguments;
    fprintf(stderr, "checkop: %s on %s, case %d (%s): ", c->kernel, c->tier->name, c->cases, c->text);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n    again: checkop --seed %llu --kernel %s\n", (unsigned long long)c->seed, c->kernel);
}

void checkop_near(checkop *c, const char *what, int64_t i, float y, double exact, double bar)
{
    bar += CHECKOP_LEAST;
    if (isnan(exact) || isnan(bar)) {
        if (!isnan(y))
            checkop_fail(c, "%s[%lld] is %.9g instead of NaN", what, (long long)i, (double)y);
        return;
    }
    if (fabs(exact) + bar > (double)FLT_MAX) {
        const bool beyond = isinf(y) && (y > 0) == (exact > 0);
        if (!beyond && !(fabs((double)y - exact) <= bar))
            checkop_fail(c, "%s[%lld] is %.9g instead of %.9g, beyond float32", what, (long long)i, (double)y, exact);
        return;
    }
    const double off = fabs((double)y - exact);
    if (!(off <= bar))
        checkop_fail(c, "%s[%lld] is %.9g instead of %.9g: off by %.3g, allowed is %.3g", what, (long long)i, (double)y,
                     exact, off, bar);
    else if (off / bar > c->worst)
        c->worst = off / bar;
}

void checkop_not_finite(checkop *c, const char *what, int64_t i, float y)
{
    if (isfinite(y))
        checkop_fail(c, "%s[%lld] is %.9g, and an operand is not finite", what, (long long)i, (double)y);
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

void checkop_equal(checkop *c, const char *what, const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!same_bits(a[i], b[i])) {
            checkop_fail(c, "%s: element %lld is %.9g and %.9g", what, (long long)i, (double)a[i], (double)b[i]);
            return;
        }
    }
}

void checkop_untouched(checkop *c, const char *what, const float *y, int64_t count)
{
    uint32_t canary = 0;
    memset(&canary, CHECKOP_CANARY, sizeof canary);
    for (int64_t i = 0; i < count; i++) {
        if (memcmp(y + i, &canary, sizeof canary) != 0) {
            checkop_fail(c, "%s: element %lld was written", what, (long long)i);
            return;
        }
    }
}

static void append(checkop_tape *tape, const float *y, int64_t count)
{
    if (tape->count + count > tape->capacity) {
        tape->capacity = 2 * tape->capacity + count;
        tape->values = realloc(tape->values, (size_t)tape->capacity * sizeof *tape->values);
        if (!tape->values)
            abort();
    }
    memcpy(tape->values + tape->count, y, (size_t)count * sizeof *y);
    tape->count += count;
}

void checkop_record(checkop *c, const char *what, const float *y, int64_t count)
{
    if (!c->tape)
        return;
    if (c->tape->tier == c->tier->name) {
        append(c->tape, y, count);
        return;
    }
    const float *const expected = c->tape->values + c->position;
    c->position += count;
    for (int64_t i = 0; i < count && c->position <= c->tape->count; i++) {
        if (!same_bits(y[i], expected[i])) {
            checkop_fail(c, "%s[%lld] is %.9g, and %.9g on %s", what, (long long)i, (double)y[i], (double)expected[i],
                         c->tape->tier);
            return;
        }
    }
    if (c->position > c->tape->count)
        checkop_fail(c, "%s: more results than on %s", what, c->tape->tier);
}
