/* Pages of keys and values: which are free, and how many sequences share each.
 *
 * Numbers only; the backend has the memory. Every group of layers has the same number of pages. */
#ifndef FFAI_ENGINE_PAGES_H
#define FFAI_ENGINE_PAGES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ffai__pages {
    uint32_t num_pages;
    uint32_t num_free;
    uint32_t *free;       /* a stack */
    uint32_t *references; /* [num_pages] */
} ffai__pages;

bool ffai__pages_create(ffai__pages *pages, uint32_t num_pages);
void ffai__pages_free(ffai__pages *pages);

/* One page with one reference; there must be a free one. */
uint32_t ffai__pages_take(ffai__pages *pages);
void ffai__pages_share(ffai__pages *pages, uint32_t page);
void ffai__pages_drop(ffai__pages *pages, uint32_t page);
static inline bool ffai__pages_is_shared(const ffai__pages *pages, uint32_t page)
{
    return pages->references[page] > 1;
}

#endif
