/* How threads divide work: equal shares, and shares of which others take what is left.
 *
 * Equal shares are not done in equal time: one core gets less of the memory's rate than its neighbour, or loses its
 * time to another process, and all wait for it. So work of any length is taken in blocks: a thread takes those of its
 * own share, in memory it has touched before, then what others have not begun. */
#ifndef FFAI_CPU_SHARES_H
#define FFAI_CPU_SHARES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A share [begin, end) of n things. */
typedef struct ffai__share {
    int64_t begin;
    int64_t end;
} ffai__share;

static inline ffai__share ffai__share_of(int64_t n, int thread, int num_threads)
{
    return (ffai__share){n * thread / num_threads, n * (thread + 1) / num_threads};
}

/* What has been taken of one thread's share; zeros before the first time. */
typedef struct ffai__taken {
    _Alignas(64) atomic_uint_least64_t blocks; /* in the lower half; in the upper one, of which round */
} ffai__taken;

/* One thread's way through one piece of work. */
typedef struct ffai__taking {
    ffai__taken *taken; /* [num_threads], of this piece of work */
    uint32_t round;     /* another one each time that the work is done, and not 0; all threads are done between two */
    int64_t total;      /* things, of which a block is at most `block` */
    int64_t block;
    int thread;
    int num_threads;
    int visited; /* shares that are used up */
} ffai__taking;

/* The next block, or false: nothing is left for this thread. */
bool ffai__take(ffai__taking *taking, ffai__share *block);

#endif
