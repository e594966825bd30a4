#define _GNU_SOURCE
#include "block.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fibers.h"

block cuda_model_block;
cuda_model_index threadIdx, blockIdx, blockDim, gridDim;

static fiber host;
static fiber threads[CUDA_MODEL_MOST_THREADS];
static unsigned num_threads; /* that have a stack */

/* Which thread of which block a fiber is. */
static void become(unsigned thread)
{
    block *b = &cuda_model_block;
    b->current = thread;
    threadIdx.x = thread % blockDim.x;
    blockIdx.y = b->first.y + thread / blockDim.x;
}

static void switch_to(unsigned thread)
{
    fiber *from = &threads[cuda_model_block.current];
    become(thread);
    fiber_switch(from, &threads[thread]);
}

/* The next lane of those in the mask, after this one in the order of the launch. */
static unsigned next_lane(uint32_t mask, unsigned lane)
{
    if (cuda_model_block.backwards) {
        const uint32_t below = mask & ((UINT32_C(1) << lane) - 1);
        return 31u - (unsigned)__builtin_clz(below ? below : mask);
    }
    const uint32_t above = mask & ~((UINT32_C(2) << lane) - 1);
    return (unsigned)__builtin_ctz(above ? above : mask);
}

/* A thread that can go on: of the current warp first, so that a warp's lanes come to their meetings one after the
 * other. -1: there is none. */
static int next_thread(void)
{
    const block *b = &cuda_model_block;
    const unsigned current = b->current / LANES;
    if (b->warps[current].can_go_on)
        return (int)(current * LANES + next_lane(b->warps[current].can_go_on, b->current % LANES));
    for (unsigned i = 1; i < b->num_warps; i++) {
        const unsigned w = (current + (b->backwards ? b->num_warps - i : i)) % b->num_warps;
        if (b->warps[w].can_go_on)
            return (int)(w * LANES + next_lane(b->warps[w].can_go_on, b->backwards ? 0 : LANES - 1));
    }
    return -1;
}

static size_t describe_barrier(char *text, size_t room)
{
    const block *b = &cuda_model_block;
    for (unsigned w = 0; w < b->num_warps; w++) {
        if (b->warps[w].at_barrier)
            return (size_t)snprintf(text, room, "; %u of %u threads wait at __syncthreads, the first is thread %u",
                                    b->members[w * LANES / b->threads].at_barrier,
                                    b->members[w * LANES / b->threads].live,
                                    (w * LANES + (unsigned)__builtin_ctz(b->warps[w].at_barrier)) % b->threads);
    }
    return 0;
}

static size_t describe_meeting(char *text, size_t room)
{
    const block *b = &cuda_model_block;
    for (unsigned w = 0; w < b->num_warps; w++) {
        const meeting *m = b->warps[w].waiting;
        if (b->warps[w].live && m)
            return (size_t)snprintf(text, room,
                                    "; warp %u's lanes 0x%08x wait in %s with mask 0x%08x, the first is thread %u", w,
                                    m->arrived, m->operation, m->mask, w * LANES + (unsigned)__builtin_ctz(m->arrived));
    }
    return 0;
}

static size_t describe_sleepers(char *text, size_t room)
{
    const block *b = &cuda_model_block;
    for (unsigned w = 0; w < b->num_warps; w++) {
        if (b->warps[w].asleep)
            return (size_t)snprintf(text, room, "; thread %u waits for others of the block",
                                    w * LANES + (unsigned)__builtin_ctz(b->warps[w].asleep));
    }
    return 0;
}

static __attribute__((noreturn)) void fail_because_all_wait(void)
{
    char who[300] = "";
    size_t used = describe_barrier(who, sizeof who);
    used += describe_sleepers(who + used, sizeof who - used);
    describe_meeting(who + used, sizeof who - used);
    cuda_model_fault("no thread can go on%s", who);
}

void cuda_model_let_others_run(void)
{
    const int next = next_thread();
    if (next < 0)
        fail_because_all_wait();
    if ((unsigned)next != cuda_model_block.current)
        switch_to((unsigned)next);
}

static void open_barrier(member *m)
{
    block *b = &cuda_model_block;
    const unsigned first = (unsigned)(m - b->members) * b->threads / LANES;
    for (unsigned w = first; w < first + (b->threads + LANES - 1) / LANES; w++) {
        b->warps[w].can_go_on |= b->warps[w].at_barrier;
        b->warps[w].at_barrier = 0;
    }
    m->at_barrier = 0;
}

void cuda_model_sync_block(void)
{
    warp *w = current_warp();
    member *m = current_member();
    const uint32_t self = UINT32_C(1) << cuda_model_block.current % LANES;
    w->at_barrier |= self;
    w->can_go_on &= ~self;
    if (++m->at_barrier == m->live)
        open_barrier(m);
    cuda_model_let_others_run();
}

void cuda_model_sleep(void)
{
    warp *w = current_warp();
    const uint32_t self = UINT32_C(1) << cuda_model_block.current % LANES;
    w->asleep |= self;
    w->can_go_on &= ~self;
    cuda_model_let_others_run();
}

void cuda_model_wake(void)
{
    block *b = &cuda_model_block;
    for (unsigned w = 0; w < b->num_warps; w++) {
        b->warps[w].can_go_on |= b->warps[w].asleep;
        b->warps[w].asleep = 0;
    }
}

void cuda_model_sync_some(int number, int wanted)
{
    if (number < 1 || number >= MOST_SOME || wanted % LANES != 0)
        cuda_model_fault("barrier %d of %d threads", number, wanted);
    some_threads *some = &current_member()->some[number];
    const unsigned round = some->rounds;
    if (++some->arrived == wanted) {
        some->arrived = 0;
        some->rounds++;
        cuda_model_wake();
    }
    while (some->rounds == round)
        cuda_model_sleep();
}

unsigned cuda_model_cluster_rank(void)
{
    return cuda_model_block.current / cuda_model_block.threads;
}

void cuda_model_cluster_arrive(void)
{
    cuda_model_block.cluster_arrived++;
    cuda_model_wake();
}

void cuda_model_cluster_wait(void)
{
    block *b = &cuda_model_block;
    const unsigned all = b->threads * b->kernel->cluster;
    const unsigned wanted = all * ++b->cluster_waits[b->current];
    while (b->cluster_arrived < wanted)
        cuda_model_sleep();
}

static bool any_live(void)
{
    const block *b = &cuda_model_block;
    unsigned live = 0;
    for (unsigned i = 0; i < b->kernel->cluster; i++)
        live += b->members[i].live;
    return live > 0;
}

static void end_thread(void)
{
    block *b = &cuda_model_block;
    warp *w = current_warp();
    member *m = current_member();
    const uint32_t self = UINT32_C(1) << b->current % LANES;
    w->live &= ~self;
    w->can_go_on &= ~self;
    m->live--;
    if (!any_live()) {
        fiber_switch(&threads[b->current], &host);
        return;
    }
    if (m->live > 0 && m->at_barrier == m->live)
        open_barrier(m);
    cuda_model_settle_meetings(w);
    cuda_model_let_others_run();
}

/* A thread's whole life: the kernel, block after block and launch after launch. */
static void live(void)
{
    fiber_arrived();
    for (;;) {
        cuda_model_block.kernel->run(cuda_model_block.args);
        end_thread();
    }
}

bool cuda_model_make_threads(unsigned wanted)
{
    for (; num_threads < wanted; num_threads++) {
        if (!fiber_create(&threads[num_threads], num_threads, live))
            return false;
    }
    return true;
}

int cuda_model_thread_of_guard(const void *address)
{
    const uintptr_t at = (uintptr_t)address;
    const uintptr_t guard = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (unsigned i = 0; i < num_threads; i++) {
        const uintptr_t stack = (uintptr_t)threads[i].stack;
        if (at < stack && at >= stack - guard)
            return (int)i;
    }
    return -1;
}

void cuda_model_fault(const char *format, ...)
{
    block *b = &cuda_model_block;
    const int used =
        snprintf(b->message, sizeof b->message, "kernel %s, block (%u, %u, %u), thread %u: ", b->kernel->name,
                 blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(b->message + used, sizeof b->message - (size_t)used, format, arguments);
    va_end(arguments);
    cuda_model_abandon();
}

/* The threads stay where they are; their stacks begin anew with the next launch. */
void cuda_model_abandon(void)
{
    cuda_model_block.failed = true;
    fiber_switch(&threads[cuda_model_block.current], &host);
    __builtin_unreachable();
}

/* As many as a warp can need: a lane is in one at most. */
static void free_meetings(void)
{
    static meeting meetings[MOST_WARPS][LANES];
    for (unsigned w = 0; w < MOST_WARPS; w++) {
        warp *of = &cuda_model_block.warps[w];
        of->waiting = NULL;
        of->free = NULL;
        for (unsigned i = 0; i < LANES; i++) {
            meetings[w][i].next = of->free;
            of->free = &meetings[w][i];
        }
    }
}

/* After a fault threads and meetings are left in the middle of something. */
static void begin_anew(void)
{
    for (unsigned i = 0; i < num_threads; i++)
        fiber_restart(&threads[i], i, live);
    free_meetings();
}

static void begin_block(void)
{
    block *b = &cuda_model_block;
    const unsigned all = b->threads * b->kernel->cluster; /* whole warps where it is more than one block's */
    b->num_warps = (all + LANES - 1) / LANES;
    b->failed = false;
    b->cluster_arrived = 0;
    memset(b->cluster_waits, 0, sizeof b->cluster_waits);
    memset(b->members, 0, sizeof b->members);
    for (unsigned i = 0; i < b->kernel->cluster; i++)
        b->members[i].live = b->threads;
    for (unsigned w = 0; w < b->num_warps; w++) {
        const unsigned lanes = all - w * LANES;
        b->warps[w].live = lanes >= LANES ? UINT32_MAX : (UINT32_C(1) << lanes) - 1;
        b->warps[w].can_go_on = b->warps[w].live;
        b->warps[w].at_barrier = 0;
        b->warps[w].asleep = 0;
    }
    threadIdx = (cuda_model_index){0};
    blockIdx = b->first;
    become(b->backwards ? all - 1 : 0);
}

bool cuda_model_run_block(void)
{
    block *b = &cuda_model_block;
    if (!b->warps[0].free)
        free_meetings();
    begin_block();
    fiber_switch(&host, &threads[b->current]);
    if (b->failed)
        begin_anew();
    return !b->failed;
}
