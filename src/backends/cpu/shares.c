#include "shares.h"

/* Beyond the nearest ones, looking costs more than it finds. */
enum { MOST_VISITS = 8 };

static int64_t next_block(ffai__taken *taken, uint32_t round, int64_t num_blocks)
{
    uint64_t seen = atomic_load_explicit(&taken->blocks, memory_order_relaxed);
    for (;;) {
        const int64_t block = seen >> 32 == round ? (int64_t)(seen & UINT32_MAX) : 0;
        if (block >= num_blocks)
            return -1;
        const uint64_t after = (uint64_t)round << 32 | (uint64_t)(block + 1);
        if (atomic_compare_exchange_weak_explicit(&taken->blocks, &seen, after, memory_order_relaxed,
                                                  memory_order_relaxed))
            return block;
    }
}

bool ffai__take(ffai__taking *taking, ffai__share *block)
{
    for (; taking->visited < taking->num_threads && taking->visited < MOST_VISITS; taking->visited++) {
        const int whose = (taking->thread + taking->visited) % taking->num_threads;
        const ffai__share share = ffai__share_of(taking->total, whose, taking->num_threads);
        const int64_t num_blocks = (share.end - share.begin + taking->block - 1) / taking->block;
        const int64_t next = next_block(&taking->taken[whose], taking->round, num_blocks);
        if (next < 0)
            continue;
        block->begin = share.begin + next * taking->block;
        block->end = block->begin + taking->block < share.end ? block->begin + taking->block : share.end;
        return true;
    }
    return false;
}
