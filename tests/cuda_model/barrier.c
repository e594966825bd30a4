/* Barriers in shared memory: mbarrier. */
#include <assert.h>
#include <string.h>

#include "block.h"

typedef struct barrier_bits {
    uint8_t arrivals; /* a phase's */
    uint8_t missing;
    uint8_t parity;
    uint8_t unused;
    int32_t bytes; /* announced, and not come yet; less than none where they came first */
} barrier_bits;

static_assert(sizeof(barrier_bits) == sizeof(uint64_t), "as large as a device's");

static barrier_bits read_barrier(const uint64_t *barrier)
{
    barrier_bits b;
    memcpy(&b, barrier, sizeof b);
    return b;
}

static void settle(uint64_t *barrier, barrier_bits b)
{
    if (b.missing == 0 && b.bytes == 0) {
        b.missing = b.arrivals;
        b.parity = !b.parity;
        cuda_model_wake();
    }
    memcpy(barrier, &b, sizeof b);
}

void cuda_model_barrier_make(uint64_t *barrier, int arrivals)
{
    const barrier_bits b = {.arrivals = (uint8_t)arrivals, .missing = (uint8_t)arrivals};
    memcpy(barrier, &b, sizeof b);
}

void cuda_model_barrier_arrive(uint64_t *barrier, uint32_t announced_bytes)
{
    barrier_bits b = read_barrier(barrier);
    if (b.missing == 0)
        cuda_model_fault("more than %d threads arrive at a barrier", b.arrivals);
    b.missing--;
    b.bytes += (int32_t)announced_bytes;
    settle(barrier, b);
}

void cuda_model_barrier_bytes(uint64_t *barrier, uint32_t bytes)
{
    barrier_bits b = read_barrier(barrier);
    b.bytes -= (int32_t)bytes;
    settle(barrier, b);
}

void cuda_model_barrier_wait(const uint64_t *barrier, int parity)
{
    while (read_barrier(barrier).parity == parity)
        cuda_model_sleep();
}
