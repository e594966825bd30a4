/* Read-only memory in which the same content lies again and again: as long as one likes, and no larger in memory
 * than the content is once.
 *
 * The content lies in a file without a name (memfd_create), which is mapped piece after piece. So its pages can be
 * let go of like those of any mapped file. */
#ifndef FFAI_BASE_REPEATED_MAP_H
#define FFAI_BASE_REPEATED_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

typedef struct ffai__repeated_map {
    uint8_t *data; /* page-aligned; NULL for none */
    uint64_t bytes;
} ffai__repeated_map;

/* Map at least `bytes` bytes, above 0, of which byte i is byte i % content_bytes of what fill writes. content_bytes is
 * a multiple of the page size. Release with ffai__repeated_map_release; one all zero may be released too.
 * FFAI_E_MEMORY, FFAI_E_IO where the system refuses. */
ffai_status ffai__repeated_map_make(ffai__repeated_map *map, uint64_t bytes, size_t content_bytes,
                                    void (*fill)(void *content, size_t content_bytes, const void *context),
                                    const void *context, ffai_error *err);
void ffai__repeated_map_release(ffai__repeated_map *map);

#endif
