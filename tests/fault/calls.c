#define _GNU_SOURCE
#include "calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { DESCRIPTORS = 1024 };

static atomic_bool armed;
static atomic_bool failed;
static calls_kind armed_kind;
static long fail_at;
static bool fail_later;
static atomic_long counts[CALLS_KINDS];
static atomic_long memory, handles;
static atomic_bool for_writing[DESCRIPTORS];

const char *calls_kind_name(calls_kind kind)
{
    static const char *const names[CALLS_KINDS] = {"allocation", "read", "write", "thread", "lock"};
    return names[kind];
}

void calls_begin(void)
{
    json_set_alloc_funcs(malloc, free);
}

void calls_arm(calls_kind kind, long at, bool and_later)
{
    for (int i = 0; i < CALLS_KINDS; i++)
        atomic_store(&counts[i], 0);
    atomic_store(&failed, false);
    armed_kind = kind;
    fail_at = at;
    fail_later = and_later;
    atomic_store(&armed, true);
}

void calls_disarm(void)
{
    atomic_store(&armed, false);
}

long calls_count(calls_kind kind)
{
    return atomic_load(&counts[kind]);
}

bool calls_failed(void)
{
    return atomic_load(&failed);
}

long calls_live_memory(void)
{
    return atomic_load(&memory);
}

long calls_live_handles(void)
{
    return atomic_load(&handles);
}

/* A place for a debugger's breakpoint: the call that fails is the frame above. */
__attribute__((noinline)) static bool fail_here(int error)
{
    atomic_store(&failed, true);
    errno = error;
    return true;
}

static bool fails(calls_kind kind, int error)
{
    if (!atomic_load(&armed))
        return false;
    const long number = atomic_fetch_add(&counts[kind], 1) + 1;
    if (kind != armed_kind || fail_at == 0)
        return false;
    return (number == fail_at || (fail_later && number > fail_at)) && fail_here(error);
}

static void *count_memory(void *pointer)
{
    if (pointer)
        atomic_fetch_add(&memory, 1);
    return pointer;
}

static void *count_handle(void *pointer)
{
    if (pointer)
        atomic_fetch_add(&handles, 1);
    return pointer;
}

/* WRAP(type, name, parameters) begins the stand-in for a call; REAL(name) is the call itself. */
#define REAL(name) __real_##name
#define WRAP(type, name, ...)                                                                                          \
    type REAL(name)(__VA_ARGS__); /* NOLINT(bugprone-reserved-identifier) */                                           \
    type __wrap_##name(__VA_ARGS__);                                                                                   \
    type __wrap_##name(__VA_ARGS__) /* NOLINT(bugprone-reserved-identifier) */

/* --- memory --- */

WRAP(void *, malloc, size_t size)
{
    return fails(CALLS_ALLOCATION, ENOMEM) ? NULL : count_memory(REAL(malloc)(size));
}

WRAP(void *, calloc, size_t count, size_t size)
{
    return fails(CALLS_ALLOCATION, ENOMEM) ? NULL : count_memory(REAL(calloc)(count, size));
}

WRAP(void *, realloc, void *old, size_t size)
{
    if (fails(CALLS_ALLOCATION, ENOMEM))
        return NULL;
    void *grown = REAL(realloc)(old, size);
    return old ? grown : count_memory(grown);
}

WRAP(void *, aligned_alloc, size_t alignment, size_t size)
{
    return fails(CALLS_ALLOCATION, ENOMEM) ? NULL : count_memory(REAL(aligned_alloc)(alignment, size));
}

WRAP(void, free, void *pointer)
{
    if (pointer)
        atomic_fetch_sub(&memory, 1);
    REAL(free)(pointer);
}

WRAP(void *, mmap, void *address, size_t size, int protection, int flags, int descriptor, off_t offset)
{
    const bool anonymous = flags & MAP_ANONYMOUS;
    /* Pages put over others are no new mapping: so is a vanished page replaced. */
    if (flags & MAP_FIXED)
        return REAL(mmap)(address, size, protection, flags, descriptor, offset);
    if (anonymous ? fails(CALLS_ALLOCATION, ENOMEM) : fails(CALLS_READ, EIO))
        return MAP_FAILED;
    void *data = REAL(mmap)(address, size, protection, flags, descriptor, offset);
    if (data != MAP_FAILED)
        count_handle(data);
    return data;
}

WRAP(int, munmap, void *address, size_t size)
{
    atomic_fetch_sub(&handles, 1);
    return REAL(munmap)(address, size);
}

/* The stream is a handle; its buffer is the caller's to free. */
WRAP(FILE *, open_memstream, char **text, size_t *size)
{
    if (fails(CALLS_ALLOCATION, ENOMEM))
        return NULL;
    FILE *stream = count_handle(REAL(open_memstream)(text, size));
    if (stream)
        atomic_fetch_add(&memory, 1);
    return stream;
}

/* --- files --- */

static int count_descriptor(int descriptor, bool writes)
{
    if (descriptor < 0)
        return descriptor;
    atomic_fetch_add(&handles, 1);
    if (descriptor < DESCRIPTORS)
        atomic_store(&for_writing[descriptor], writes);
    return descriptor;
}

WRAP(int, open, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (writes ? fails(CALLS_WRITE, ENOSPC) : fails(CALLS_READ, EIO))
        return -1;
    return count_descriptor(REAL(open)(path, flags, mode), writes);
}

WRAP(int, memfd_create, const char *name, unsigned flags)
{
    return fails(CALLS_ALLOCATION, ENOMEM) ? -1 : count_descriptor(REAL(memfd_create)(name, flags), false);
}

/* As a full disk is often told: after the descriptor is gone. */
WRAP(int, close, int descriptor)
{
    const bool writes = descriptor >= 0 && descriptor < DESCRIPTORS && atomic_load(&for_writing[descriptor]);
    const int result = REAL(close)(descriptor);
    atomic_fetch_sub(&handles, 1);
    return writes && fails(CALLS_WRITE, EIO) ? -1 : result;
}

WRAP(ssize_t, read, int descriptor, void *bytes, size_t size)
{
    return fails(CALLS_READ, EIO) ? -1 : REAL(read)(descriptor, bytes, size);
}

WRAP(ssize_t, pread, int descriptor, void *bytes, size_t size, off_t offset)
{
    return fails(CALLS_READ, EIO) ? -1 : REAL(pread)(descriptor, bytes, size, offset);
}

WRAP(ssize_t, write, int descriptor, const void *bytes, size_t size)
{
    return fails(CALLS_WRITE, ENOSPC) ? -1 : REAL(write)(descriptor, bytes, size);
}

WRAP(ssize_t, pwrite, int descriptor, const void *bytes, size_t size, off_t offset)
{
    return fails(CALLS_WRITE, ENOSPC) ? -1 : REAL(pwrite)(descriptor, bytes, size, offset);
}

WRAP(int, ftruncate, int descriptor, off_t size)
{
    return fails(CALLS_WRITE, EDQUOT) ? -1 : REAL(ftruncate)(descriptor, size);
}

/* Not done at all: it would take most of the tests' time. */
WRAP(int, fsync, int descriptor)
{
    (void)descriptor;
    return fails(CALLS_WRITE, EIO) ? -1 : 0;
}

WRAP(int, fdatasync, int descriptor)
{
    (void)descriptor;
    return fails(CALLS_WRITE, EIO) ? -1 : 0;
}

WRAP(int, rename, const char *from, const char *to)
{
    return fails(CALLS_WRITE, EIO) ? -1 : REAL(rename)(from, to);
}

WRAP(int, mkdir, const char *path, mode_t mode)
{
    return fails(CALLS_WRITE, EROFS) ? -1 : REAL(mkdir)(path, mode);
}

WRAP(int, symlink, const char *target, const char *path)
{
    return fails(CALLS_WRITE, EACCES) ? -1 : REAL(symlink)(target, path);
}

WRAP(int, stat, const char *path, struct stat *info)
{
    return fails(CALLS_READ, EIO) ? -1 : REAL(stat)(path, info);
}

WRAP(int, fstat, int descriptor, struct stat *info)
{
    return fails(CALLS_READ, EIO) ? -1 : REAL(fstat)(descriptor, info);
}

WRAP(int, lstat, const char *path, struct stat *info)
{
    return fails(CALLS_READ, EIO) ? -1 : REAL(lstat)(path, info);
}

WRAP(int, statvfs, const char *path, struct statvfs *info)
{
    return fails(CALLS_READ, EIO) ? -1 : REAL(statvfs)(path, info);
}

WRAP(FILE *, fopen, const char *path, const char *mode)
{
    return fails(CALLS_READ, EIO) ? NULL : count_handle(REAL(fopen)(path, mode));
}

WRAP(int, fclose, FILE *stream)
{
    atomic_fetch_sub(&handles, 1);
    return REAL(fclose)(stream);
}

WRAP(DIR *, opendir, const char *path)
{
    return fails(CALLS_READ, EIO) ? NULL : count_handle(REAL(opendir)(path));
}

WRAP(struct dirent *, readdir, DIR *directory)
{
    return fails(CALLS_READ, EIO) ? NULL : REAL(readdir)(directory);
}

WRAP(int, closedir, DIR *directory)
{
    atomic_fetch_sub(&handles, 1);
    return REAL(closedir)(directory);
}

/* --- threads --- */

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    if (fails(CALLS_THREAD, EAGAIN))
        return EAGAIN;
    const int error = REAL(pthread_create)(thread, attributes, run, argument);
    if (!error)
        atomic_fetch_add(&handles, 1);
    return error;
}

WRAP(int, pthread_join, pthread_t thread, void **result)
{
    atomic_fetch_sub(&handles, 1);
    return REAL(pthread_join)(thread, result);
}

WRAP(int, pthread_mutex_lock, pthread_mutex_t *mutex)
{
    fails(CALLS_LOCK, 0);
    return REAL(pthread_mutex_lock)(mutex);
}
