#define _GNU_SOURCE
#include "repeated_map.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void filler(void *content, size_t content_bytes, const void *context);

static ffai_status fail_here(ffai_error *err, const char *what)
{
    const int why = errno;
    return ffai__fail(err, why == ENOMEM ? FFAI_E_MEMORY : FFAI_E_IO, "memory for made-up content: %s: %s", what,
                      strerror(why));
}

static ffai_status write_content(int descriptor, size_t content_bytes, filler *fill, const void *context,
                                 ffai_error *err)
{
    if (ftruncate(descriptor, (off_t)content_bytes) != 0)
        return fail_here(err, "ftruncate");
    void *content = mmap(NULL, content_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (content == MAP_FAILED)
        return fail_here(err, "mmap");
    fill(content, content_bytes, context);
    munmap(content, content_bytes);
    return FFAI_OK;
}

/* A range of addresses first, so that the pieces lie side by side. */
static ffai_status map_pieces(ffai__repeated_map *map, int descriptor, size_t content_bytes, ffai_error *err)
{
    void *range = mmap(NULL, (size_t)map->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED)
        return fail_here(err, "mmap");
    map->data = range;
    for (uint64_t at = 0; at < map->bytes; at += content_bytes) {
        if (mmap(map->data + at, content_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, descriptor, 0) == MAP_FAILED)
            return fail_here(err, "mmap");
    }
    return FFAI_OK;
}

ffai_status ffai__repeated_map_make(ffai__repeated_map *map, uint64_t bytes, size_t content_bytes, filler *fill,
                                    const void *context, ffai_error *err)
{
    *map = (ffai__repeated_map){NULL, 0};
    if (bytes > SIZE_MAX / 2 - content_bytes)
        return ffai__fail_memory(err, "made-up content", bytes);
    const int descriptor = memfd_create("ffai", MFD_CLOEXEC);
    if (descriptor < 0)
        return fail_here(err, "memfd_create");
    map->bytes = (bytes + content_bytes - 1) / content_bytes * content_bytes;
    ffai_status status = write_content(descriptor, content_bytes, fill, context, err);
    if (status == FFAI_OK)
        status = map_pieces(map, descriptor, content_bytes, err);
    close(descriptor);
    if (status != FFAI_OK)
        ffai__repeated_map_release(map);
    return status;
}

void ffai__repeated_map_release(ffai__repeated_map *map)
{
    if (map->data)
        munmap(map->data, (size_t)map->bytes);
    *map = (ffai__repeated_map){NULL, 0};
}
