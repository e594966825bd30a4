/* A thread of the library's own. */
#ifndef FFAI_BASE_THREAD_START_H
#define FFAI_BASE_THREAD_START_H

#include <pthread.h>

/* pthread_create, with every signal blocked in the new thread but those that its own faults raise: signals meant for
 * the process go to the threads that it made itself. 0, or the system's error. */
int ffai__thread_start(pthread_t *thread, void *(*run)(void *), void *context);

#endif
