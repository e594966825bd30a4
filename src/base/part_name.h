/* The names of a GGUF file's parts: NAME-00001-of-00003.gguf and so on. */
#ifndef FFAI_BASE_PART_NAME_H
#define FFAI_BASE_PART_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { FFAI__MOST_PARTS = 1000 };

typedef struct ffai__part_name {
    size_t stem;            /* bytes of the name before -00001-of-00003.gguf */
    unsigned number, count; /* 1 to count, at most FFAI__MOST_PARTS */
} ffai__part_name;

/* Whether a path ends as a part's does. */
bool ffai__part_name_read(ffai__part_name *out, const char *path);

/* The path of another part; free with ffai__free. NULL when memory is short. */
char *ffai__part_name_of(const char *path, const ffai__part_name *name, unsigned number);

#endif
