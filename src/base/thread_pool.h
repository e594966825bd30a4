/* A persistent pool of threads that work through one task together.
 *
 * Waiting threads spin for a moment, then give their core away, then sleep: a hand-over between two busy cores
 * takes well under a microsecond and an idle pool costs nothing. Where other processes take cores, threads learn to
 * sleep sooner, so that those who work get the core. */
#ifndef FFAI_BASE_THREAD_POOL_H
#define FFAI_BASE_THREAD_POOL_H

#include "cores.h"

typedef struct ffai__thread_pool ffai__thread_pool;

enum { FFAI__MAX_THREADS = 1024 };

/* A pool of `threads`, the thread that calls ffai__thread_pool_run being one of them. cores: where threads go, for
 * as long as the pool lives; NULL: anywhere. The caller goes there for the time of a run.
 * FFAI_E_ARGUMENT for a number that is not from 1 to FFAI__MAX_THREADS, FFAI_E_BACKEND if the system refuses a
 * thread. */
ffai_status ffai__thread_pool_create(ffai__thread_pool **out, int threads, const ffai__cores *cores, ffai_error *err);
void ffai__thread_pool_free(ffai__thread_pool *pool); /* NULL is allowed */
int ffai__thread_pool_size(const ffai__thread_pool *pool);
/* Seconds of all runs so far that the thread which lost most wanted a core and other processes had it, or, in a team's
 * run, threads were left out for their sake. */
double ffai__thread_pool_lost(const ffai__thread_pool *pool);

/* What every thread calls once; the caller of run is thread 0. */
typedef void ffai__pool_task(void *context, int thread, int num_threads);

/* Run the task on every thread and return when all are done. One run at a time; takes no lock. */
void ffai__thread_pool_run(ffai__thread_pool *pool, ffai__pool_task *task, void *context);
/* The same on as many threads as are worth having, the first ones: fewer while other processes take cores (team.h).
 * For tasks that come again and again, and whose threads work without pause but for barriers. */
void ffai__thread_pool_run_team(ffai__thread_pool *pool, ffai__pool_task *task, void *context);
/* Inside a task, on thread `thread` of it: wait until every thread has come here. What any of them wrote before is
 * visible to all after. */
void ffai__thread_pool_barrier(ffai__thread_pool *pool, int thread);

#endif
