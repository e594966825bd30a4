/* Rewrites of a program: a named pattern becomes a named operation that computes the same.
 *
 * Each can be switched on its own; the program without them is the oracle of the program with them. */
#ifndef FFAI_PROGRAM_FUSIONS_H
#define FFAI_PROGRAM_FUSIONS_H

#include "program.h"

/* X(name, what becomes what) */
#define FFAI__FUSION_LIST(X)                                                                                           \
    X(swiglu, "mul(silu(a), b) becomes swiglu(a, b)")                                                                  \
    X(residual, "add(r, linear(x, W)) becomes linear_add(x, W, r)")                                                    \
    X(shared_input, "linears over the same input become one linear_shared of up to three")

typedef enum ffai__fusion {
#define FFAI__FUSION_ENUM(name, text) FFAI__FUSE_##name,
    FFAI__FUSION_LIST(FFAI__FUSION_ENUM)
#undef FFAI__FUSION_ENUM
        FFAI__FUSION_COUNT
} ffai__fusion;

#define FFAI__FUSE_NONE 0u
#define FFAI__FUSE_ALL  ((1u << FFAI__FUSION_COUNT) - 1u)

/* Apply the fusions whose bits (1 << fusion) are set, in the list's order, and verify the result. */
ffai_status ffai__program_fuse(ffai__program *program, uint32_t fusions, ffai_error *err);

/* "all", "none" or names joined by commas. */
ffai_status ffai__fusions_parse(uint32_t *fusions, const char *text, ffai_error *err);

#endif
