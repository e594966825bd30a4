/* Files, mapped read-only, and small files read whole.
 *
 * A mapping survives its file being truncated: pages that vanish read as zeros from then on and the mapping
 * is marked lost, so that a load or a step ends with an error instead of the process with SIGBUS. For this a
 * SIGBUS handler is installed with the first mapping; faults outside our mappings go to the handler that was
 * there before. */
#ifndef FFAI_BASE_FILE_MAP_H
#define FFAI_BASE_FILE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

typedef struct ffai__file_map ffai__file_map;

/* Map a regular file. An empty file maps to zero bytes. The path is copied. */
ffai_status ffai__file_map_open(ffai__file_map **out, const char *path, ffai_error *err);
void ffai__file_map_close(ffai__file_map *map);

const uint8_t *ffai__file_map_data(const ffai__file_map *map); /* page-aligned */
uint64_t ffai__file_map_size(const ffai__file_map *map);
const char *ffai__file_map_path(const ffai__file_map *map);

/* Give back the memory of the pages that lie wholly in these bytes; the next read takes them from the file again. Bytes
 * of another mapping are left alone. */
void ffai__file_map_forget(const ffai__file_map *map, const void *bytes, uint64_t size);

/* FFAI_E_IO, naming the file, once a page of it has vanished. */
ffai_status ffai__file_map_check(const ffai__file_map *map, ffai_error *err);

/* Read a whole regular file of at most limit bytes; *data is ended by a 0 that *size does not count and is
 * freed with ffai__free. FFAI_E_NOT_FOUND if there is none, FFAI_E_LIMIT if it is larger. */
ffai_status ffai__file_read(char **data, size_t *size, const char *path, size_t limit, ffai_error *err);

typedef enum {
    FFAI__PATH_MISSING,
    FFAI__PATH_FILE,
    FFAI__PATH_FOLDER,
    FFAI__PATH_OTHER,
    FFAI__PATH_UNKNOWN, /* the system does not tell (no permission, a failing disk): opening it says why */
} ffai__path_kind;
ffai__path_kind ffai__path_kind_of(const char *path);
/* folder "/" name, freed with ffai__free; NULL when memory is short. */
char *ffai__path_join(const char *folder, const char *name);

#endif
