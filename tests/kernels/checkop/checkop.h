/* checkop: every kernel of src/backends/cpu/kernels/kernels.def on every tier that this machine can run, against plain
 * loops in double precision written here, and its speed beside what the machine can do at most.
 *
 * Each line of kernels.def wants a `const checkop_kernel checkop_<name>` in one of this folder's files. Operands lie
 * between pages that nobody may touch, with canaries in what is left of their own pages; inputs are read-only while
 * the kernel runs. All tiers see the same inputs. */
#ifndef FFAI_TESTS_CHECKOP_H
#define FFAI_TESTS_CHECKOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu_features.h"
#include "kernels/kernel_table.h"

/* A set of kernels as a plan would choose them. */
typedef struct checkop_tier {
    const char *name;
    ffai__isa isa;
    ffai__cpu_features features; /* the machine's, less what this variant leaves out */
    const ffai__kernels *kernels;
    bool amx_model;   /* AMX's linear kernels over a model of its instructions, the rest as on the scalar tier */
    char missing[96]; /* why it cannot run here; "" if it can */
} checkop_tier;

enum { CHECKOP_MOST_TIERS = 16 };

/* All tiers of this program, the plain one first; how many. */
int checkop_list_tiers(checkop_tier tiers[CHECKOP_MOST_TIERS]);
/* The tiers that the operating system's own list of the processor's features calls for, as a list of names between
 * spaces. Independent of src/backends/cpu/cpu_features.c. */
void checkop_reported_tiers(char *names, size_t size);

/* One kernel being checked on one tier. */
typedef struct checkop checkop;

typedef struct checkop_job checkop_job;

typedef struct checkop_kernel {
    const char
        *bar;       /* how far a result may be off, and why; eps is 2^-24, half the distance from 1 to the next float */
    bool same_bits; /* on all tiers: what checkop_record gets must agree */
    void (*check)(checkop *c);
    /* Make the kernel's `variant`th thing to time, 0 up; false where there are no more. */
    bool (*bench)(checkop_job *job, const checkop_tier *tier, int variant);
} checkop_kernel;

const checkop_tier *checkop_tier_of(const checkop *c);

/* Open a case, described for the messages; the case before must have been closed. */
void checkop_begin(checkop *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Look at the canaries and give all buffers of the case back. */
void checkop_end(checkop *c);
void checkop_fail(checkop *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Buffers live until checkop_end. An input can be written until checkop_seal, and is read-only behind it. An output
 * begins as CHECKOP_CANARY bytes. alignment: bytes; buffers that ask for 4 or less lie at odd places as well. */
enum { CHECKOP_CANARY = 0xA5 };
void *checkop_input(checkop *c, size_t bytes, size_t alignment);
void *checkop_output(checkop *c, size_t bytes, size_t alignment);
void checkop_seal(checkop *c);
/* Inputs and outputs of floats. */
float *checkop_floats_in(checkop *c, int64_t count);
float *checkop_floats_out(checkop *c, int64_t count);

/* Random numbers: the same on every tier. */
uint32_t checkop_random(checkop *c);
int checkop_pick(checkop *c, int least, int most); /* both included */
float checkop_uniform(checkop *c);                 /* [-1, 1) */
float checkop_normal(checkop *c);                  /* about normal, of variance 1 */

/* The numbers that a STORE_KERNEL's format keeps. */
static inline ffai__dtype checkop_dtype(int format)
{
    return ffai__store_dtype((ffai__store_format)format);
}

/* What a row of floats is made of. */
typedef enum checkop_fill {
    CHECKOP_PLAIN,     /* about normal */
    CHECKOP_SPREAD,    /* magnitudes from 1e-6 to 1e3 */
    CHECKOP_SPIKE,     /* one entry 10,000 times the others: a massive activation */
    CHECKOP_ZEROS,     /* of both signs */
    CHECKOP_SPARSE,    /* most are zero */
    CHECKOP_LEVEL,     /* all the same: integer sums at their limit */
    CHECKOP_SMALL,     /* about 1e-30 */
    CHECKOP_DENORMALS, /* and the smallest normal numbers */
    CHECKOP_LARGE,     /* about 1e30 */
    CHECKOP_FINITE,    /* how many of the kinds above; those below have an entry that is not a finite number */
    CHECKOP_INFINITY = CHECKOP_FINITE,
    CHECKOP_NAN,
    CHECKOP_MIXTURE, /* infinities of both signs and a NaN */
    CHECKOP_FILLS
} checkop_fill;

void checkop_fill_floats(checkop *c, float *x, int64_t count, checkop_fill fill);
const char *checkop_fill_name(checkop_fill fill);

#define CHECKOP_EPS 0x1p-24
/* Numbers below may be taken for zero, and results below too. */
#define CHECKOP_LEAST 0x1p-126

/* y, which is element `i` of `what`, is within `bar` of `exact`. Where exact is not a number y is none, and where it
 * is beyond float32 y is anything beyond or near. */
void checkop_near(checkop *c, const char *what, int64_t i, float y, double exact, double bar);
/* y is an infinity or not a number. */
void checkop_not_finite(checkop *c, const char *what, int64_t i, float y);
/* a and b [count] agree to the last bit; two that are no numbers agree. */
void checkop_equal(checkop *c, const char *what, const float *a, const float *b, int64_t count);
/* Nothing was written to y [count] of an output. */
void checkop_untouched(checkop *c, const char *what, const float *y, int64_t count);
/* Compare with what the first tier gave at this place (kernels with same_bits). */
void checkop_record(checkop *c, const char *what, const float *y, int64_t count);

/* Something to time on one tier. */
struct checkop_job {
    char name[40]; /* the variant: sizes, format */
    double bytes;  /* read by one run, but for small operands */
    double flops;  /* of one run */
    bool memory;   /* the bytes come from memory: they exceed the caches */
    void (*run)(void *context);
    void (*close)(void *context);
    void *context;
    const void *code; /* what identifies the kernel: tiers that share one are timed once */
};

/* The most that this machine does on one thread. */
void checkop_measure_ceilings(void);
/* Time the kernel's variants on these tiers and print a line for each. */
void checkop_bench(const char *name, const checkop_kernel *kernel, const checkop_tier *tiers, int num_tiers);

#endif
