/* A check under way, for checkop's own files. */
#ifndef FFAI_TESTS_CHECKOP_STATE_H
#define FFAI_TESTS_CHECKOP_STATE_H

#include "checkop.h"

enum { CHECKOP_MOST_BUFFERS = 32 };

typedef struct checkop_buffer {
    uint8_t *pages; /* a guard page, `room` bytes, a guard page */
    size_t room;
    uint8_t *data;
    size_t bytes;
    bool input, sealed;
} checkop_buffer;

/* What the first tier gave, value after value. */
typedef struct checkop_tape {
    float *values;
    int64_t count;
    int64_t capacity;
    const char *tier; /* whose it is */
} checkop_tape;

struct checkop {
    const checkop_tier *tier;
    const char *kernel;
    uint64_t seed;   /* of the whole run */
    uint64_t random; /* the generator's state */
    char text[200];  /* the case */
    int cases;
    int failures;
    double worst; /* the largest share of its bar that an error took */
    checkop_buffer buffers[CHECKOP_MOST_BUFFERS];
    int num_buffers;
    checkop_tape *tape; /* NULL: tiers need not agree to the bit */
    int64_t position;   /* on the tape */
};

/* Begin anew with the kernel on a tier. */
void checkop_start(checkop *c, const char *kernel, const checkop_tier *tier, checkop_tape *tape);

#endif
