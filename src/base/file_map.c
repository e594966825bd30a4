#define _GNU_SOURCE
#include "file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"

struct ffai__file_map {
    uint8_t *data;
    uint64_t size;
    char *path;
    int slot; /* in guarded[], -1 when nothing is mapped */
};

/* Mapped ranges, for the signal handler: process-wide, as signals are. A slot is free while begin is 0;
 * end is written before begin and read after it. */
enum { GUARD_SLOTS = 1024 };
static struct {
    atomic_uintptr_t begin;
    atomic_uintptr_t end;
    atomic_bool lost;
} guarded[GUARD_SLOTS];
static struct sigaction previous_action;
static atomic_flag install_lock = ATOMIC_FLAG_INIT;
static atomic_bool installed;

static int guarded_slot_of(uintptr_t address)
{
    for (int i = 0; i < GUARD_SLOTS; i++) {
        const uintptr_t begin = atomic_load(&guarded[i].begin);
        if (begin && address >= begin && address < atomic_load(&guarded[i].end))
            return i;
    }
    return -1;
}

static void forward_signal(int number, siginfo_t *info, void *context)
{
    if (previous_action.sa_flags & SA_SIGINFO) {
        previous_action.sa_sigaction(number, info, context);
    } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
        previous_action.sa_handler(number);
    } else {
        signal(number, SIG_DFL); /* the access is tried again and ends the process as it would have */
    }
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    const int saved_errno = errno;
    const uintptr_t address = (uintptr_t)info->si_addr;
    const int slot = guarded_slot_of(address);
    if (slot < 0) {
        forward_signal(number, info, context);
        errno = saved_errno;
        return;
    }
    /* Put zeros under the page that vanished; both calls are plain system calls. */
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *at = (void *)(address / page * page); // NOLINT(performance-no-int-to-ptr)
    atomic_store(&guarded[slot].lost, true);
    if (mmap(at, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        forward_signal(number, info, context);
    errno = saved_errno;
}

static void install_handler(void)
{
    while (atomic_flag_test_and_set(&install_lock)) {
    }
    if (!atomic_load(&installed)) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_sigaction = on_bus_error;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigemptyset(&action.sa_mask);
        if (sigaction(SIGBUS, &action, &previous_action) == 0)
            atomic_store(&installed, true);
    }
    atomic_flag_clear(&install_lock);
}

static int guard(const void *data, uint64_t size)
{
    const uintptr_t begin = (uintptr_t)data;
    for (int i = 0; i < GUARD_SLOTS; i++) {
        uintptr_t expected = 0;
        /* 1 reserves the slot: no address lies in [1, end = 0). */
        if (atomic_compare_exchange_strong(&guarded[i].begin, &expected, (uintptr_t)1)) {
            atomic_store(&guarded[i].lost, false);
            atomic_store(&guarded[i].end, begin + (uintptr_t)size);
            atomic_store(&guarded[i].begin, begin);
            return i;
        }
    }
    return -1;
}

static void unguard(int slot)
{
    atomic_store(&guarded[slot].end, (uintptr_t)0);
    atomic_store(&guarded[slot].begin, (uintptr_t)0);
}

/* Open a regular file and tell its size; the caller closes *descriptor. */
static ffai_status open_regular(int *descriptor, uint64_t *size, const char *path, ffai_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const int why = errno;
        return ffai__fail(err, why == ENOENT ? FFAI_E_NOT_FOUND : FFAI_E_IO, "%s: %s", path, strerror(why));
    }
    struct stat info;
    if (fstat(fd, &info) != 0) {
        const int why = errno;
        close(fd);
        return ffai__fail(err, FFAI_E_IO, "%s: %s", path, strerror(why));
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return ffai__fail(err, FFAI_E_IO, "%s: is not a regular file", path);
    }
    *descriptor = fd;
    *size = (uint64_t)info.st_size;
    return FFAI_OK;
}

static ffai_status map_descriptor(ffai__file_map *map, int descriptor, ffai_error *err)
{
    if (map->size == 0)
        return FFAI_OK;
    if (map->size > SIZE_MAX / 2)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: too large to map", map->path);
    void *data = mmap(NULL, (size_t)map->size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (data == MAP_FAILED)
        return ffai__fail(err, FFAI_E_IO, "%s: cannot be mapped: %s", map->path, strerror(errno));
    map->data = data;
    install_handler();
    map->slot = guard(data, map->size);
    if (map->slot < 0)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: more than %d files are mapped", map->path, GUARD_SLOTS);
    return FFAI_OK;
}

ffai_status ffai__file_map_open(ffai__file_map **out, const char *path, ffai_error *err)
{
    int descriptor = -1;
    uint64_t size = 0;
    FFAI__TRY(open_regular(&descriptor, &size, path, err));
    ffai_status status = FFAI_OK;
    ffai__file_map *map = ffai__calloc(1, sizeof *map);
    if (map) {
        map->slot = -1;
        map->size = size;
        map->path = ffai__strdup(path);
    }
    if (!map || !map->path)
        status = ffai__fail_memory(err, "a file mapping", sizeof *map);
    else
        status = map_descriptor(map, descriptor, err);
    close(descriptor);
    if (status != FFAI_OK) {
        ffai__file_map_close(map);
        return status;
    }
    *out = map;
    return FFAI_OK;
}

void ffai__file_map_close(ffai__file_map *map)
{
    if (!map)
        return;
    if (map->data)
        munmap(map->data, (size_t)map->size);
    if (map->slot >= 0)
        unguard(map->slot);
    ffai__free(map->path);
    ffai__free(map);
}

void ffai__file_map_forget(const ffai__file_map *map, const void *bytes, uint64_t size)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t begin = (uint64_t)((uintptr_t)bytes - (uintptr_t)map->data); /* huge where it lies before */
    if (!map->data || begin > map->size || size > map->size - begin)
        return;
    const uint64_t first = (begin + page - 1) / page * page;
    const uint64_t end = (begin + size) / page * page;
    if (first < end)
        (void)madvise(map->data + first, (size_t)(end - first), MADV_DONTNEED);
}

const uint8_t *ffai__file_map_data(const ffai__file_map *map)
{
    return map->data;
}

uint64_t ffai__file_map_size(const ffai__file_map *map)
{
    return map->size;
}

const char *ffai__file_map_path(const ffai__file_map *map)
{
    return map->path;
}

ffai_status ffai__file_map_check(const ffai__file_map *map, ffai_error *err)
{
    if (map->slot >= 0 && atomic_load(&guarded[map->slot].lost))
        return ffai__fail(err, FFAI_E_IO, "%s: the file was truncated while it was in use", map->path);
    return FFAI_OK;
}

static ffai_status read_all(char *data, size_t size, int descriptor, const char *path, ffai_error *err)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t got = read(descriptor, data + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ffai__fail(err, FFAI_E_IO, "%s: %s", path, strerror(errno));
        if (got == 0)
            return ffai__fail(err, FFAI_E_IO, "%s: ended after %zu of %zu bytes", path, done, size);
        done += (size_t)got;
    }
    return FFAI_OK;
}

ffai_status ffai__file_read(char **data, size_t *size, const char *path, size_t limit, ffai_error *err)
{
    int descriptor = -1;
    uint64_t file_size = 0;
    FFAI__TRY(open_regular(&descriptor, &file_size, path, err));
    if (file_size > limit || file_size >= SIZE_MAX) {
        close(descriptor);
        return ffai__fail(err, FFAI_E_LIMIT, "%s: has %llu bytes, more than the %zu allowed", path,
                          (unsigned long long)file_size, limit);
    }
    char *bytes = ffai__malloc((size_t)file_size + 1);
    if (!bytes) {
        close(descriptor);
        return ffai__fail_memory(err, path, file_size);
    }
    const ffai_status status = read_all(bytes, (size_t)file_size, descriptor, path, err);
    close(descriptor);
    if (status != FFAI_OK) {
        ffai__free(bytes);
        return status;
    }
    bytes[file_size] = 0;
    *data = bytes;
    *size = (size_t)file_size;
    return FFAI_OK;
}

ffai__path_kind ffai__path_kind_of(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return errno == ENOENT || errno == ENOTDIR ? FFAI__PATH_MISSING : FFAI__PATH_UNKNOWN;
    if (S_ISREG(info.st_mode))
        return FFAI__PATH_FILE;
    return S_ISDIR(info.st_mode) ? FFAI__PATH_FOLDER : FFAI__PATH_OTHER;
}

char *ffai__path_join(const char *folder, const char *name)
{
    const size_t length = strlen(folder);
    return ffai__format("%s%s%s", folder, length && folder[length - 1] == '/' ? "" : "/", name);
}
