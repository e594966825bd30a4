/* The cores that this process may use, and where its threads go on them.
 *
 * A core counts once however many hardware threads it has, if the process may run on one of these. Cores stand in
 * the machine's order, those of a NUMA node together, and so do threads: neighbours among threads, which share out
 * neighbouring rows of a matrix, are neighbours in the machine. */
#ifndef FFAI_BASE_CORES_H
#define FFAI_BASE_CORES_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

typedef struct ffai__cores ffai__cores;
struct hwloc_topology;
struct hwloc_bitmap_s;

/* Look at the machine, the calling thread's affinity and the control group's quota. Where the system does not tell
 * about cores, each processor is one. FFAI_E_MEMORY. */
ffai_status ffai__cores_find(ffai__cores **out, ffai_error *err);
/* The same for any loaded hwloc topology, of which processors in `allowed` may be used, and for a quota of so many
 * processors (INT_MAX: none). */
ffai_status ffai__cores_of_topology(ffai__cores **out, struct hwloc_topology *topology,
                                    const struct hwloc_bitmap_s *allowed, int quota, ffai_error *err);
void ffai__cores_free(ffai__cores *cores); /* NULL is allowed */

/* Threads where nobody asks for a number: one a core, no more than the quota, at least 1. Where cores are of
 * several kinds, those of the fastest, and slower ones only if equal shares still gain by them. */
int ffai__cores_default_threads(const ffai__cores *cores);

/* Among `threads` threads: the NUMA node of thread i, from 0, and how many nodes they are spread over. More threads
 * than cores share cores, fewer leave some out evenly: each node's memory serves its part. */
int ffai__cores_node_of(const ffai__cores *cores, int thread, int threads);
int ffai__cores_nodes(const ffai__cores *cores, int threads);

/* Whether threads are bound: only where the cores are of more than one NUMA node. They never are to a single core:
 * such a thread could not get out of another process's way. */
bool ffai__cores_bind_threads(const ffai__cores *cores);

/* A set of processors, as many as Linux can be built for. */
enum { FFAI__MAX_PROCESSORS = 8192 };
typedef struct ffai__affinity {
    uint64_t words[FFAI__MAX_PROCESSORS / 64];
} ffai__affinity;

/* If threads are bound: let the calling thread run on the processors of thread i's node alone. before (NULL: not
 * wanted) receives those it could run on. Neither allocates; what the system refuses costs speed alone. */
void ffai__cores_bind(ffai__affinity *before, const ffai__cores *cores, int thread, int threads);
void ffai__cores_unbind(const ffai__cores *cores, const ffai__affinity *before);

#endif
