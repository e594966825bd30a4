#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { DEVICE_ALIGNMENT = 256, HOST_ALIGNMENT = 4096, PINNED = -1, POISON = 0xFF };

typedef struct allocation {
    struct allocation *next;
    char *memory;
    size_t bytes;
    int device; /* or PINNED */
    bool mapped;
} allocation;

static allocation *allocations;
static stub_object *objects;

void *stub_memory(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory) {
        fputs("the stub driver has no memory for itself\n", stderr);
        abort();
    }
    return memory;
}

void *stub_open(stub_kind kind, size_t bytes)
{
    stub_object *object = stub_memory(bytes);
    object->kind = kind;
    object->next = objects;
    objects = object;
    return object;
}

bool stub_is_open(const void *object, stub_kind kind)
{
    for (const stub_object *o = objects; o; o = o->next) {
        if (o == object)
            return o->kind == kind;
    }
    return false;
}

void stub_close(void *object)
{
    stub_object **link = &objects;
    while (*link != object)
        link = &(*link)->next;
    *link = (*link)->next;
    free(object);
}

int stub_open_objects(void)
{
    LOCKED;
    int count = 0;
    for (const stub_object *o = objects; o; o = o->next)
        count += o->kind != A_FUNCTION;
    return count;
}

static size_t bytes_of(int device)
{
    size_t bytes = 0;
    for (const allocation *a = allocations; a; a = a->next)
        bytes += a->device == device ? a->bytes : 0;
    return bytes;
}

size_t stub_device_bytes(void)
{
    LOCKED;
    size_t bytes = 0;
    for (int device = 0; device < MOST_DEVICES; device++)
        bytes += bytes_of(device);
    return bytes;
}

size_t stub_pinned_bytes(void)
{
    LOCKED;
    return bytes_of(PINNED);
}

/* The allocation that an address lies in. */
static const allocation *find(const void *address)
{
    const uintptr_t at = (uintptr_t)address;
    for (const allocation *a = allocations; a; a = a->next) {
        if (at >= (uintptr_t)a->memory && at - (uintptr_t)a->memory < a->bytes)
            return a;
    }
    return NULL;
}

bool stub_is_allocated(ffai__cuda_address at, size_t bytes)
{
    const char *address = (const char *)(uintptr_t)at;
    const allocation *a = find(address);
    return a && (a->device != PINNED || a->mapped) && bytes <= a->bytes - (size_t)(address - a->memory);
}

static ffai__cuda_result allocate(void **memory, size_t bytes, size_t alignment, allocation what)
{
    what.bytes = bytes;
    void *place = NULL;
    if (posix_memalign(&place, alignment, bytes) != 0)
        return FFAI__CUDA_OUT_OF_MEMORY;
    what.memory = place;
    memset(what.memory, POISON, bytes); /* a float of these bits is NaN */
    what.next = allocations;
    allocations = stub_memory(sizeof *allocations);
    *allocations = what;
    *memory = what.memory;
    return FFAI__CUDA_SUCCESS;
}

/* 1: nothing of this kind begins there. */
static ffai__cuda_result release(const void *memory, bool pinned)
{
    for (allocation **link = &allocations; *link; link = &(*link)->next) {
        allocation *a = *link;
        if (a->memory == memory && (a->device == PINNED) == pinned) {
            *link = a->next;
            free(a->memory);
            free(a);
            return FFAI__CUDA_SUCCESS;
        }
    }
    return INVALID_VALUE;
}

ffai__cuda_result cuMemGetInfo_v2(size_t *available, size_t *total)
{
    CALLED_ON_DEVICE(cuMemGetInfo_v2);
    const int device = stub_current_device();
    const size_t usable = stub_usable_memory(device);
    const size_t used = bytes_of(device);
    *available = usable > used ? usable - used : 0;
    *total = stub_total_memory(device);
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuMemAlloc_v2(ffai__cuda_address *address, size_t bytes)
{
    CALLED_ON_DEVICE(cuMemAlloc_v2);
    const int device = stub_current_device();
    void *memory = NULL;
    if (stub_thread_captures())
        return NOT_WHILE_CAPTURING;
    if (bytes == 0)
        return INVALID_VALUE;
    if (bytes > stub_usable_memory(device) || bytes_of(device) > stub_usable_memory(device) - bytes)
        return FFAI__CUDA_OUT_OF_MEMORY;
    TRY(allocate(&memory, bytes, DEVICE_ALIGNMENT, (allocation){.device = device}));
    *address = (uintptr_t)memory;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuMemFree_v2(ffai__cuda_address address)
{
    CALLED(cuMemFree_v2);
    if (stub_current_device() < 0)
        return INVALID_CONTEXT;
    if (stub_thread_captures())
        return NOT_WHILE_CAPTURING;
    TRY(release((void *)(uintptr_t)address, false));
    return stub_device_fault();
}

ffai__cuda_result cuMemHostAlloc(void **memory, size_t bytes, unsigned flags)
{
    CALLED_ON_DEVICE(cuMemHostAlloc);
    if (stub_thread_captures())
        return NOT_WHILE_CAPTURING;
    if (bytes == 0 || flags > 7)
        return INVALID_VALUE;
    return allocate(memory, bytes, HOST_ALIGNMENT,
                    (allocation){.device = PINNED, .mapped = flags & FFAI__CUDA_HOST_MAPPED});
}

ffai__cuda_result cuMemFreeHost(void *memory)
{
    CALLED(cuMemFreeHost);
    if (stub_current_device() < 0)
        return INVALID_CONTEXT;
    if (stub_thread_captures())
        return NOT_WHILE_CAPTURING;
    TRY(release(memory, true));
    return stub_device_fault();
}

ffai__cuda_result cuMemHostGetDevicePointer_v2(ffai__cuda_address *address, void *memory, unsigned flags)
{
    CALLED_ON_DEVICE(cuMemHostGetDevicePointer_v2);
    const allocation *a = find(memory);
    if (flags || !a || !a->mapped)
        return INVALID_VALUE;
    *address = (uintptr_t)memory;
    return FFAI__CUDA_SUCCESS;
}
