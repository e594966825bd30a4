/* Calls of the C library, counted and made to fail in turn.
 *
 * The programs of this folder are linked with --wrap for each call in calls.c, so that what the library calls
 * comes here first; jansson is given the same allocator by calls_begin, PCRE2 has it from the library. What goes on
 * inside shared libraries besides (a FILE's buffer, say) is not seen. */
#ifndef FFAI_TESTS_FAULT_CALLS_H
#define FFAI_TESTS_FAULT_CALLS_H

#include <stdbool.h>

typedef enum {
    CALLS_ALLOCATION, /* malloc and its kin, anonymous mmap, memfd_create, open_memstream */
    CALLS_READ,       /* open, read, stat, readdir and mmap of a file */
    CALLS_WRITE,      /* open for writing, write, ftruncate, fsync, close, rename, mkdir, symlink */
    CALLS_THREAD,     /* pthread_create */
    CALLS_LOCK,       /* pthread_mutex_lock: counted, never failed */
    CALLS_KINDS
} calls_kind;

const char *calls_kind_name(calls_kind kind);

/* Once, before anything else. */
void calls_begin(void);

/* Count from 0, and let call `fail_at` of one kind fail (0: none), with `and_later` all that follow it too. */
void calls_arm(calls_kind kind, long fail_at, bool and_later);
void calls_disarm(void);

long calls_count(calls_kind kind); /* since calls_arm */
bool calls_failed(void);           /* whether one was made to */

/* What was allocated, opened, mapped or started and not yet given back. */
long calls_live_memory(void);
long calls_live_handles(void);

#endif
