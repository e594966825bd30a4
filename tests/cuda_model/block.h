/* The block that runs now, or the blocks of a cluster: their threads, who of them can go on, and what the others wait
 * for. */
#ifndef CUDA_MODEL_BLOCK_H
#define CUDA_MODEL_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "launch.h"

enum { LANES = 32, MOST_WARPS = CUDA_MODEL_MOST_THREADS / LANES };

/* Lanes that do one operation together. It is there from the first lane that comes until the last one has gone. */
typedef struct meeting {
    struct meeting *next; /* waiting for lanes, or free */
    const char *operation;
    uint32_t mask;
    uint32_t arrived;
    uint32_t inside; /* have come, and not gone yet */
    uint32_t result;
    uint64_t operands[LANES][4];
} meeting;

typedef struct warp {
    uint32_t live;       /* lanes that have not ended */
    uint32_t can_go_on;  /* of these */
    uint32_t at_barrier; /* of these */
    uint32_t asleep;     /* until something in shared memory has changed */
    meeting *waiting;
    meeting *free;
} warp;

/* Some of a block's threads that wait for each other. */
typedef struct some_threads {
    int arrived;
    unsigned rounds;
} some_threads;

enum { MOST_SOME = 16 };

/* One of a cluster's blocks. */
typedef struct member {
    unsigned live;
    unsigned at_barrier;
    some_threads some[MOST_SOME];
} member;

typedef struct block {
    const cuda_model_kernel *kernel;
    const void *args;
    unsigned threads;         /* of a member */
    cuda_model_index first;   /* member's place in the grid */
    unsigned num_warps;       /* of all members, whose threads are numbered on */
    unsigned current;         /* the thread that runs */
    unsigned cluster_arrived; /* since the cluster began */
    unsigned short cluster_waits[CUDA_MODEL_MOST_THREADS];
    member members[CUDA_MODEL_MOST_CLUSTER];
    bool backwards;
    bool failed;
    char message[512];
    warp warps[MOST_WARPS];
} block;

extern block cuda_model_block;

static inline warp *current_warp(void)
{
    return &cuda_model_block.warps[cuda_model_block.current / LANES];
}

static inline member *current_member(void)
{
    return &cuda_model_block.members[cuda_model_block.current / cuda_model_block.threads];
}

/* Runs the block `first` of the launch, and the others of its cluster, to their end, or to a fault. False:
 * cuda_model_block.message says what happened. */
bool cuda_model_run_block(void);

/* The stacks of this many threads are there. False: no memory. */
bool cuda_model_make_threads(unsigned threads);

/* Ends the launch from within a thread; the message is there. */
__attribute__((noreturn)) void cuda_model_abandon(void);

/* The current thread is marked as one that cannot go on: others do, until it can. */
void cuda_model_let_others_run(void);

/* The current thread waits until another one says that something has changed, and looks again. */
void cuda_model_sleep(void);
void cuda_model_wake(void);

/* A lane has ended: those that wait for it no longer do. */
void cuda_model_settle_meetings(warp *w);

/* Which stack this address lies below, or -1: what overran its stack. */
int cuda_model_thread_of_guard(const void *address);

#endif
