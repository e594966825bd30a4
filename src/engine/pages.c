#include "pages.h"

#include <assert.h>

#include "alloc.h"

bool ffai__pages_create(ffai__pages *pages, uint32_t num_pages)
{
    pages->num_pages = pages->num_free = num_pages;
    pages->free = ffai__array(num_pages, sizeof *pages->free);
    pages->references = ffai__calloc(num_pages, sizeof *pages->references);
    if (!pages->free || !pages->references) {
        ffai__pages_free(pages);
        return false;
    }
    for (uint32_t i = 0; i < num_pages; i++)
        pages->free[i] = num_pages - 1 - i; /* low numbers are taken first */
    return true;
}

void ffai__pages_free(ffai__pages *pages)
{
    ffai__free(pages->free);
    ffai__free(pages->references);
    *pages = (ffai__pages){0};
}

uint32_t ffai__pages_take(ffai__pages *pages)
{
    assert(pages->num_free > 0);
    const uint32_t page = pages->free[--pages->num_free];
    pages->references[page] = 1;
    return page;
}

void ffai__pages_share(ffai__pages *pages, uint32_t page)
{
    pages->references[page]++;
}

void ffai__pages_drop(ffai__pages *pages, uint32_t page)
{
    assert(pages->references[page] > 0);
    if (--pages->references[page] == 0)
        pages->free[pages->num_free++] = page;
}
